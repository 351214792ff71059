//! The whole program beside what else ends TLS before an IMAP host, on one processor each, in
//! interleaved rounds: processor time of a login, of a command and of a gigabyte, the time of one
//! login at a time, memory of an idle session. Medians, and ratios to the bare relay.
//!
//! `cargo bench --bench whole` runs five rounds, `-- 9` nine, `-- 1` one. nginx (with its mail module)
//! and HAProxy are measured where they are installed.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program for a person at a terminal, not part of the gateway"
)]

mod support;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use support::imap_client::{Tickets, Tls, log_in, say, trusting};
use support::peers::Peer;
use support::stats::{cpu_seconds, median, pss_kib};
use support::{fronts, host};

/// Sessions at a time where logins are counted.
const AT_ONCE: usize = 32;
const LOGINS: usize = 3_000;
const ALONE: usize = 200;
const CONNECTIONS: usize = 50;
const NOOPS: usize = 400;
/// Fetches of 10 MiB.
const FETCHES: usize = 30;
const IDLE: usize = 1_000;

/// What is measured: its name, its unit, how.
type Row = (&'static str, &'static str, fn(&Peer) -> f64);

const ROWS: [Row; 6] = [
    ("login, full handshake", "us CPU", |peer| {
        logins(peer, Tickets::Thrown)
    }),
    ("login, resumed", "us CPU", |peer| {
        logins(peer, Tickets::Used)
    }),
    ("one login at a time", "us, median", alone),
    ("NOOP, 50 connections", "us CPU", noops),
    ("a GB in 10 MiB messages", "s CPU", bulk),
    ("an idle session", "KiB PSS", idle),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = words.as_slice()
        && first == "relay"
    {
        return fronts::relay(rest);
    }
    let rounds = words.iter().find_map(|word| word.parse().ok());
    let rounds: usize = rounds.unwrap_or(5);
    // The load and the host leave the first processor to who is measured, if there is a second.
    let me = std::process::id().to_string();
    let _ = Command::new("taskset")
        .args(["-a", "-p", "-c", "1-63", &me])
        .output();
    let host = host::start(Duration::ZERO);
    let names: Vec<&str> = fronts::all(host.imap)
        .iter()
        .map(|peer| peer.name)
        .collect();
    println!("{:<26}{:<12}{}", "", "", columns(&names));
    for (name, unit, measure) in ROWS {
        let mut values = vec![Vec::new(); names.len()];
        for _ in 0..rounds {
            // Fresh processes: one round's memory is not the next one's.
            for (peer, values) in fronts::all(host.imap).iter().zip(&mut values) {
                values.push(measure(peer));
            }
        }
        let medians: Vec<f64> = values.iter().map(|values| median(values)).collect();
        let ratios: Vec<f64> = values.iter().map(|own| ratio(own, &values)).collect();
        let cells: Vec<String> = (medians.iter().zip(&ratios))
            .map(|(value, ratio)| format!("{value:.1} ({ratio:.2})"))
            .collect();
        println!("{name:<26}{unit:<12}{}", columns(&cells));
    }
}

/// The median over the rounds of the ratio to the bare relay.
fn ratio(own: &[f64], all: &[Vec<f64>]) -> f64 {
    let relay = all.get(1).map(Vec::as_slice).unwrap_or_default();
    let ratios: Vec<f64> = own.iter().zip(relay).map(|(a, b)| a / b).collect();
    median(&ratios)
}

fn columns<T: std::fmt::Display>(cells: &[T]) -> String {
    cells.iter().map(|cell| format!("{cell:>18}")).collect()
}

fn place(peer: &Peer) -> (SocketAddr, u32) {
    let pid = peer.pid.expect("a process");
    (peer.imaps.expect("a TLS port"), pid)
}

/// What `work` costs the peer, in seconds of its processor.
fn cost(peer: &Peer, work: impl FnOnce()) -> f64 {
    let before = cpu_seconds(place(peer).1);
    work();
    // What is left to do when the last answer is out belongs to it.
    thread::sleep(Duration::from_millis(100));
    cpu_seconds(place(peer).1) - before
}

/// Runs `sessions` sessions, [`AT_ONCE`] at a time.
fn crowd(at: SocketAddr, sessions: usize, tickets: Tickets) {
    let left = AtomicUsize::new(sessions);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let config = trusting(tickets);
                let take = |n: usize| n.checked_sub(1);
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                    .is_ok()
                {
                    once(at, &config);
                }
            });
        }
    });
}

fn once(at: SocketAddr, config: &Arc<ClientConfig>) {
    let mut session = log_in(at, config, "n10-s2000");
    say(&mut session, "c LOGOUT\r\n", "c OK");
}

fn logins(peer: &Peer, tickets: Tickets) -> f64 {
    let at = place(peer).0;
    crowd(at, 300, tickets);
    cost(peer, || crowd(at, LOGINS, tickets)) / LOGINS as f64 * 1e6
}

fn alone(peer: &Peer) -> f64 {
    let (at, config) = (place(peer).0, trusting(Tickets::Thrown));
    once(at, &config);
    let times: Vec<f64> = (0..ALONE)
        .map(|_| {
            let begun = Instant::now();
            let mut session = log_in(at, &config, "n10-s2000");
            let took = begun.elapsed().as_secs_f64() * 1e6;
            say(&mut session, "c LOGOUT\r\n", "c OK");
            took
        })
        .collect();
    median(&times)
}

fn noops(peer: &Peer) -> f64 {
    let (at, config) = (place(peer).0, trusting(Tickets::Thrown));
    let mut sessions: Vec<Tls> = (0..CONNECTIONS)
        .map(|_| log_in(at, &config, "n10-s2000"))
        .collect();
    let spent = cost(peer, || {
        thread::scope(|scope| {
            for session in &mut sessions {
                scope.spawn(|| {
                    for _ in 0..NOOPS {
                        say(session, "n NOOP\r\n", "n OK");
                    }
                });
            }
        });
    });
    spent / (CONNECTIONS * NOOPS) as f64 * 1e6
}

fn bulk(peer: &Peer) -> f64 {
    let (at, config) = (place(peer).0, trusting(Tickets::Thrown));
    let mut session = log_in(at, &config, "n1-s10485760");
    say(&mut session, "s SELECT INBOX\r\n", "s OK");
    let mut octets = 0;
    let spent = cost(peer, || {
        for _ in 0..FETCHES {
            octets += say(&mut session, "f UID FETCH 1 (BODY.PEEK[])\r\n", "f OK");
        }
    });
    spent / (octets as f64 / 1e9)
}

fn idle(peer: &Peer) -> f64 {
    let (at, pid) = place(peer);
    crowd(at, 200, Tickets::Thrown);
    thread::sleep(Duration::from_millis(500));
    let before = tree_pss(pid);
    let config = trusting(Tickets::Thrown);
    let held: Vec<Tls> = (0..IDLE)
        .map(|_| {
            let mut session = log_in(at, &config, "n10-s2000");
            say(&mut session, "b SELECT INBOX\r\n", "b OK");
            say(&mut session, "c IDLE\r\n", "+ ");
            session
        })
        .collect();
    thread::sleep(Duration::from_millis(500));
    let after = tree_pss(pid);
    drop(held);
    after.saturating_sub(before) as f64 / IDLE as f64
}

/// Of a process and its children: nginx has a worker.
fn tree_pss(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|it| it.parse().ok());
    pss_kib(pid) + children.map(pss_kib).sum::<u64>()
}
