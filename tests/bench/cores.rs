//! The cores by themselves: reading a relayed session's framing, dot-stuffing and its end, finding a
//! user in the map: `cargo bench --bench cores`.
//!
//! Following bulk data must cost little beside what a TLS record or a copy through the kernel costs
//! (some GB/s a core).
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a program for a person at a terminal, not part of the gateway"
)]

use std::fmt::Write as _;
use std::fs;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use gatepost::config::Config;
use gatepost::protocol::imap::framing::Framing;
use gatepost::protocol::pop3::multiline::{EndFinder, Stuffer};
use gatepost::protocol::{Observer, UnauthenticateOffer, UserName, Verdict};

/// What the relay reads at a time.
const CHUNK: usize = 16 * 1024;

fn main() {
    divan::main();
}

/// A megabyte of mail text; every seventh line starts with a dot.
fn mail() -> Vec<u8> {
    let text = b"a line of mail text as it may stand in a message of seventy-odd octets\r\n";
    let dotted = b".a line of mail text as it may stand in a message, with a dot before\r\n";
    let block = [text.repeat(6), dotted.to_vec()].concat();
    let mut mail = block.repeat(1_000_000 / block.len() + 1);
    mail.truncate(1_000_000);
    mail
}

fn literal(before: &str, after: &str) -> Vec<u8> {
    [before.as_bytes(), &mail(), after.as_bytes()].concat()
}

fn framing(literal_plus: bool) -> Framing {
    let offers = literal_plus.then(|| ["LITERAL+".to_owned()]);
    let offers = offers.as_ref().map(|list| &list[..]);
    Framing::new("S1", offers, UnauthenticateOffer::No)
}

fn from_host(bencher: Bencher<'_, '_>, mut stream: Vec<u8>) {
    let mut framing = framing(true);
    let bytes = BytesCount::new(stream.len());
    bencher.counter(bytes).bench_local(|| {
        for chunk in stream.chunks_mut(CHUNK) {
            framing.host_to_client(black_box(chunk));
        }
    });
}

fn from_client(bencher: Bencher<'_, '_>, literal_plus: bool, mut stream: Vec<u8>) {
    let mut framing = framing(literal_plus);
    let bytes = BytesCount::new(stream.len());
    bencher.counter(bytes).bench_local(|| {
        for chunk in stream.chunks_mut(CHUNK) {
            assert_eq!(framing.client_to_host(black_box(chunk)), Verdict::Pass);
        }
    });
}

#[divan::bench]
fn framing_host_one_literal(bencher: Bencher<'_, '_>) {
    from_host(bencher, literal("* 1 FETCH (BODY[] {1000000}\r\n", ")\r\n"));
}

#[divan::bench]
fn framing_host_short_lines(bencher: Bencher<'_, '_>) {
    let line = b"* 123 FETCH (UID 4711 FLAGS (\\Seen) RFC822.SIZE 12345 MODSEQ (12345))\r\n";
    from_host(bencher, line.repeat(14_000));
}

#[divan::bench(args = [true, false])]
fn framing_client_one_literal(bencher: Bencher<'_, '_>, literal_plus: bool) {
    let stream = literal("a APPEND x {1000000+}\r\n", "\r\n");
    from_client(bencher, literal_plus, stream);
}

#[divan::bench]
fn framing_client_commands(bencher: Bencher<'_, '_>) {
    from_client(
        bencher,
        true,
        b"a1 UID FETCH 4711 (FLAGS)\r\n".repeat(40_000),
    );
}

#[divan::bench]
fn dots_stuffed(bencher: Bencher<'_, '_>) {
    let mail = mail();
    let mut out = Vec::with_capacity(2 * CHUNK);
    bencher
        .counter(BytesCount::new(mail.len()))
        .bench_local(|| {
            let mut stuffer = Stuffer::new();
            for chunk in mail.chunks(CHUNK) {
                out.clear();
                stuffer.push(black_box(chunk), &mut out);
            }
            stuffer.finish(&mut out)
        });
}

#[divan::bench]
fn end_of_a_stuffed_message(bencher: Bencher<'_, '_>) {
    let mail = mail();
    bencher
        .counter(BytesCount::new(mail.len()))
        .bench_local(|| {
            let mut finder = EndFinder::new();
            mail.chunks(CHUNK)
                .filter_map(|chunk| finder.push(black_box(chunk)))
                .count()
        });
}

/// A user that is there, by the number of users in a map file.
#[divan::bench(args = [10, 1_000, 1_000_000])]
fn user_found(bencher: Bencher<'_, '_>, users: u64) {
    let dir = std::env::temp_dir().join(format!("gatepost-cores-{}-{users}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let mut map = String::new();
    for n in 0..users {
        writeln!(map, "user.number{n}@customer{}.example.org: store", n % 977).unwrap();
    }
    fs::write(dir.join("users.yaml"), map).unwrap();
    let settings = dir.join("proxy.yaml");
    let text = "listeners: [imap://127.0.0.1:1143]\nbackends: { store: imap://10.0.0.5 }\n\
        users: { \"*\": store }\nusers_from: [{ file: users.yaml }]\n";
    fs::write(&settings, text).unwrap();
    let (config, _) = Config::load(&settings).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    let mut n = 0_u64;
    bencher
        .with_inputs(|| {
            n = (n + 7_368_787) % users;
            let name = format!("user.number{n}@customer{}.example.org", n % 977);
            UserName::new(name.as_bytes()).unwrap()
        })
        .bench_local_refs(|name| config.routes.map.find(black_box(name)).is_some());
}
