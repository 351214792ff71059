//! What an idle session costs: so many TLS sessions through Gatepost, logged in, in IDLE, and the
//! memory that the process holds for them (PSS, that of the same process after 200 logins taken
//! off).
//!
//! `cargo bench --bench idle` holds 2,000; `cargo bench --bench idle -- 9000` another number. Half
//! the descriptors are the gateway's: two a session.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program for a person at a terminal, not part of the gateway"
)]

mod support;

use std::io::{Read, Write};
use std::time::Duration;

use support::imap_client::{Tickets, log_in, say, trusting};
use support::stats::pss_kib;
use support::{host, peers};

fn main() {
    let sessions = std::env::args().find_map(|word| word.parse().ok());
    let sessions: usize = sessions.unwrap_or(2_000);
    let host = host::start(Duration::ZERO);
    let peer = peers::gatepost(host.imap);
    let (imaps, pid) = (
        peer.imaps.expect("a TLS port"),
        peer.pid.expect("a process"),
    );
    let config = trusting(Tickets::Thrown);
    for _ in 0..200 {
        let mut session = log_in(imaps, &config, "n10-s2000");
        say(&mut session, "c LOGOUT\r\n", "c OK");
    }
    std::thread::sleep(Duration::from_secs(1));
    let before = pss_kib(pid);
    let mut held = Vec::new();
    for _ in 0..sessions {
        let mut session = log_in(imaps, &config, "n10-s2000");
        say(&mut session, "b SELECT INBOX\r\n", "b OK");
        say(&mut session, "c IDLE\r\n", "+ ");
        held.push(session);
    }
    std::thread::sleep(Duration::from_secs(2));
    let after = pss_kib(pid);
    let alive = held.iter_mut().filter_map(|session| {
        session.write_all(b"DONE\r\n").ok()?;
        let mut answer = [0; 64];
        session.read(&mut answer).ok().filter(|n| *n > 0)
    });
    let alive = alive.count();
    println!("sessions held and alive   {alive} of {sessions}");
    println!("process before, after     {before} KiB, {after} KiB (PSS)");
    let each = after.saturating_sub(before) as f64 / sessions as f64;
    println!("a session                 {each:.1} KiB");
}
