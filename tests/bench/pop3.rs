//! POP3 from an IMAP host, measured as a whole: polls and downloads through Gatepost, through
//! Dovecot's POP3 over `imapc`, and from the host's own POP3, one after the other in each round.
//!
//! `cargo bench --bench pop3` runs it all (about ten minutes): five rounds, three where Dovecot takes
//! half a minute and more. Words behind `--` choose rows: `poll`, `download`; `1k`, `10k`, `100k`
//! messages; `0ms`, `20ms` to the host; `rounds=N` sets the rounds, `quick` is one of each. Times are
//! medians over the rounds; ratios are taken in the same round. What was promised as a ratio stands
//! at the end, beside what came out.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a program for a person at a terminal, not part of the gateway"
)]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use support::client::Pop3;
use support::host::{self, Host};
use support::peers::{self, Peer};
use support::stats::{cpu_seconds, median};

/// What one visit cost.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall: f64,
    cpu: f64,
    commands: f64,
}

struct Rows {
    title: String,
    peers: Vec<(&'static str, Vec<Cost>)>,
}

/// A ratio of Gatepost's to another's that was promised.
struct Bar {
    title: String,
    what: &'static str,
    to: &'static str,
    most: f64,
    got: f64,
    rounds: usize,
}

/// How the peers that ratios are taken to are named.
const DOVECOT: &str = "dovecot";
const NATIVE: &str = "host's POP3";

type Taken = fn(&Cost) -> f64;

const TIME: (&str, Taken) = ("time", |cost| cost.wall);
const CPU: (&str, Taken) = ("CPU", |cost| cost.cpu);

impl Bar {
    fn print(all: &[Bar]) {
        println!("\nratios, and what was promised (median of the rounds)");
        for bar in all {
            println!(
                "{:<44}{:<6}to {:<16}{:>8.4}{:>9} {:<7} {} ({} rounds)",
                bar.title,
                bar.what,
                bar.to,
                bar.got,
                "at most",
                bar.most,
                if bar.got <= bar.most {
                    "kept"
                } else {
                    "BROKEN"
                },
                bar.rounds
            );
        }
    }
}

/// What the words on the command line choose.
struct Choice(Vec<String>);

impl Choice {
    /// Whether a row is wanted: of each kind of word, its own was said or none.
    fn wants(&self, kind: &str, messages: usize, rtt: usize) -> bool {
        let said = |word: &str| self.0.iter().any(|it| it == word);
        let fits = |own: &str, all: &[&str]| said(own) || !all.iter().any(|word| said(word));
        fits(kind, &["poll", "download"])
            && fits(&format!("{}k", messages / 1_000), &["1k", "10k", "100k"])
            && fits(&format!("{rtt}ms"), &["0ms", "20ms"])
    }

    fn rounds(&self, usual: usize) -> usize {
        let said = self.0.iter().find_map(|word| word.strip_prefix("rounds="));
        match said {
            Some(rounds) => rounds.parse().expect("rounds=N"),
            None if self.0.iter().any(|word| word == "quick") => 1,
            None => usual,
        }
    }
}

fn main() {
    let choice = Choice(std::env::args().skip(1).collect());
    let mut bars = Vec::new();
    for (messages, rtt, rounds) in [
        (1_000, 0, 5),
        (1_000, 20, 5),
        (10_000, 0, 5),
        (10_000, 20, 5),
        (100_000, 0, 3),
    ] {
        // Dovecot asks for each size on its own: at 10,000 messages and 20 ms that takes minutes.
        let with_dovecot = messages * rtt <= 20_000;
        if choice.wants("poll", messages, rtt) {
            polls(
                messages,
                rtt,
                choice.rounds(rounds),
                with_dovecot,
                &mut bars,
            );
        }
    }
    for (rtt, rounds) in [(0, 5), (20, 3)] {
        if choice.wants("download", 1_000, rtt) {
            download(1_000, 50_000, rtt, choice.rounds(rounds), &mut bars);
        }
    }
    Bar::print(&bars);
}

fn start_all(rtt: usize, with_dovecot: bool) -> (Host, Vec<Peer>) {
    let host = host::start(Duration::from_millis(rtt as u64));
    let mut peers = vec![peers::gatepost(host.imap)];
    if with_dovecot {
        peers.extend(peers::dovecot(host.imap));
    }
    peers.push(peers::direct(host.pop3));
    (host, peers)
}

/// A first visit of a fresh process, and later ones of a box that did not change.
fn polls(messages: usize, rtt: usize, rounds: usize, with_dovecot: bool, bars: &mut Vec<Bar>) {
    let mut first = Rows::new(format!("first poll, {messages} messages, {rtt} ms"));
    let mut again = Rows::new(format!("repeated poll, {messages} messages, {rtt} ms"));
    for _ in 0..rounds {
        let (host, peers) = start_all(rtt, with_dovecot);
        for rows in [&mut first, &mut again] {
            for peer in &peers {
                let user = format!("n{messages}-s2000");
                let cost = measure(&host, peer, || {
                    let session = Pop3::log_in(peer.pop3, &user).expect("log in");
                    assert_eq!(session.poll().expect("poll"), messages);
                });
                rows.add(peer.name, cost);
            }
        }
    }
    first.print(0);
    again.print(0);
    match (messages, rtt) {
        (1_000, 20) => {
            first.bar(TIME, DOVECOT, 0.008, bars);
            again.bar(TIME, DOVECOT, 0.5, bars);
            again.bar(TIME, NATIVE, 1.0, bars);
        }
        (100_000, 0) => {
            first.bar(TIME, DOVECOT, 0.05, bars);
            again.bar(CPU, DOVECOT, 0.1, bars);
        }
        _ => {}
    }
}

fn download(messages: usize, size: usize, rtt: usize, rounds: usize, bars: &mut Vec<Bar>) {
    let mut rows = Rows::new(format!("download of {messages} x {size} octets, {rtt} ms"));
    for _ in 0..rounds {
        let (host, peers) = start_all(rtt, true);
        for peer in &peers {
            let user = format!("n{messages}-s{size}");
            let cost = measure(&host, peer, || {
                let session = Pop3::log_in(peer.pop3, &user).expect("log in");
                let octets = session.collect(messages).expect("collect");
                assert_eq!(octets, (messages * size) as u64);
            });
            rows.add(peer.name, cost);
        }
    }
    rows.print(messages * size);
    match rtt {
        0 => rows.bar(CPU, DOVECOT, 0.2, bars),
        _ => rows.bar(TIME, DOVECOT, 0.03, bars),
    }
}

fn measure(host: &Host, peer: &Peer, visit: impl FnOnce()) -> Cost {
    let cpu = || peer.pid.map_or(0.0, cpu_seconds);
    let commands = || host.counts.commands.load(Ordering::Relaxed) as f64;
    let (cpu_before, commands_before, began) = (cpu(), commands(), Instant::now());
    visit();
    let wall = began.elapsed().as_secs_f64();
    // What a gateway still does behind the answer to QUIT is part of the visit.
    std::thread::sleep(Duration::from_millis(50));
    Cost {
        wall,
        cpu: cpu() - cpu_before,
        commands: commands() - commands_before,
    }
}

impl Rows {
    fn new(title: String) -> Self {
        Rows {
            title,
            peers: Vec::new(),
        }
    }

    fn add(&mut self, name: &'static str, cost: Cost) {
        match self.peers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, costs)) => costs.push(cost),
            None => self.peers.push((name, vec![cost])),
        }
    }

    /// Holds the median of the rounds' ratios against what was promised, where the peer took part.
    fn bar(
        &self,
        (what, of): (&'static str, Taken),
        to: &'static str,
        most: f64,
        bars: &mut Vec<Bar>,
    ) {
        let costs = |name: &str| {
            let found = self.peers.iter().find(|(peer, _)| peer.starts_with(name));
            found.map(|(_, costs)| costs)
        };
        let (Some(ours), Some(theirs)) = (costs("gatepost"), costs(to)) else {
            return;
        };
        let each: Vec<f64> = (ours.iter().zip(theirs))
            .map(|(ours, theirs)| of(ours) / of(theirs))
            .collect();
        bars.push(Bar {
            title: self.title.clone(),
            what,
            to,
            most,
            got: median(&each),
            rounds: each.len(),
        });
    }

    /// The table; ratios are to Dovecot, round by round, where it took part. `octets`: of a download.
    fn print(&self, octets: usize) {
        println!("\n{}", self.title);
        println!(
            "{:<16}{:>11}{:>11}{:>11}{:>12}{:>12}",
            "", "ms", "CPU ms", "commands", "time ratio", "CPU ratio"
        );
        let base = self
            .peers
            .iter()
            .find(|(name, _)| name.starts_with("dovecot"));
        for (name, costs) in &self.peers {
            let of = |what: fn(&Cost) -> f64| median(&costs.iter().map(what).collect::<Vec<_>>());
            let ratio = |what: fn(&Cost) -> f64| match base {
                Some((_, base)) => {
                    let each = costs.iter().zip(base).map(|(a, b)| what(a) / what(b));
                    format!("{:.4}", median(&each.collect::<Vec<_>>()))
                }
                None => "-".into(),
            };
            let wall = of(|cost| cost.wall) * 1e3;
            let cpu = of(|cost| cost.cpu) * 1e3;
            let (times, cpus) = (ratio(|cost| cost.wall), ratio(|cost| cost.cpu));
            let measured = cpu > 0.0;
            let cpu_text = if measured {
                format!("{cpu:.1}")
            } else {
                "-".into()
            };
            let cpus = if measured { cpus } else { "-".into() };
            println!(
                "{name:<16}{wall:>11.1}{cpu_text:>11}{:>11.0}{times:>12}{cpus:>12}",
                of(|cost| cost.commands)
            );
            if octets > 0 && measured {
                println!(
                    "{:<16}{:>33.2} CPU s/GB",
                    "",
                    cpu / 1e3 / (octets as f64 / 1e9)
                );
            }
        }
    }
}
