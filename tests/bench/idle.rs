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

#[path = "../support/anybody.rs"]
mod anybody;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use anybody::Anybody;
use support::{host, peers};

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn main() {
    let sessions = std::env::args().find_map(|word| word.parse().ok());
    let sessions: usize = sessions.unwrap_or(2_000);
    let host = host::start(Duration::ZERO);
    let peer = peers::gatepost(host.imap);
    let (imaps, pid) = (
        peer.imaps.expect("a TLS port"),
        peer.pid.expect("a process"),
    );
    let config = Arc::new(trusting());
    for _ in 0..200 {
        let mut session = log_in(imaps, &config);
        say(&mut session, "c LOGOUT\r\n", "c OK");
    }
    std::thread::sleep(Duration::from_secs(1));
    let before = pss_kib(pid);
    let mut held = Vec::new();
    for _ in 0..sessions {
        let mut session = log_in(imaps, &config);
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

fn log_in(at: SocketAddr, config: &Arc<ClientConfig>) -> Tls {
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = ClientConnection::new(config.clone(), name).expect("a TLS client");
    let tcp = TcpStream::connect(at).expect("connect");
    tcp.set_nodelay(true).expect("an option of the socket");
    let mut session = StreamOwned::new(tls, tcp);
    say(&mut session, "", "* OK");
    say(&mut session, "a LOGIN n10-s2000 secret\r\n", "a OK");
    session
}

/// Says something and reads until a line that starts as it should.
fn say(session: &mut Tls, words: &str, until: &str) {
    session.write_all(words.as_bytes()).expect("write");
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let n = session.read(&mut chunk).expect("read");
        answer.extend_from_slice(chunk.get(..n).unwrap_or_default());
        let text = String::from_utf8_lossy(&answer);
        if text.ends_with("\r\n") && text.lines().any(|line| line.starts_with(until)) {
            return;
        }
        assert!(n > 0, "closed after {text}");
    }
}

/// The proportional set size of a process.
fn pss_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps");
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

fn trusting() -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody::new()))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config
}
