//! The built-in store as mail programs meet it: conversations as data, over a stream that is cut
//! anywhere.
#![allow(clippy::unwrap_used)] // A test that cannot go on must fail.

#[path = "demo/client.rs"]
mod client;
#[path = "demo/sessions.rs"]
mod sessions;

use std::sync::Arc;

use client::Client;
use gatepost::demo::{Store, serve_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// 2026-11-21 12:00:00 UTC: UIDVALIDITYs and dates follow from it.
fn noon() -> i64 {
    1_795_262_400
}

fn store() -> Arc<Store> {
    Arc::new(Store::with_clock(noon))
}

/// Sends all of `octets` over a pipe that holds `cut` octets; everything the store says.
async fn converse(octets: &[u8], cut: usize) -> Vec<u8> {
    let (client, theirs) = tokio::io::duplex(cut);
    let (mut read, mut write) = tokio::io::split(client);
    let mut said = Vec::new();
    let (served, ..) = tokio::join!(
        serve_with(store(), theirs),
        async {
            // The store may hang up first.
            let _ = write.write_all(octets).await;
            let _ = write.shutdown().await;
        },
        async { read.read_to_end(&mut said).await.unwrap() },
    );
    // A store that hung up before everything was read: the client's writes fail, not its own.
    served.unwrap();
    said
}

/// A conversation as data: `C: ` and `S: ` lines, `#` comments. In an `S` line `…` is anything;
/// a line of `~` is any number of lines.
struct Transcript {
    name: String,
    client: Vec<u8>,
    server: Vec<String>,
}

fn transcripts() -> Vec<Transcript> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts/demo");
    let files = std::fs::read_dir(folder).unwrap();
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let side = |mark: &'static str| text.lines().filter_map(move |l| l.strip_prefix(mark));
        Transcript {
            name: path.display().to_string(),
            client: side("C:")
                .map(|line| format!("{}\r\n", line.strip_prefix(' ').unwrap_or(line)))
                .collect::<String>()
                .into_bytes(),
            server: text
                .lines()
                .filter_map(|line| match line {
                    "~" => Some("~".to_owned()),
                    line => line
                        .strip_prefix("S:")
                        .map(|l| l.strip_prefix(' ').unwrap_or(l).to_owned()),
                })
                .collect(),
        }
    };
    files.map(read).collect()
}

fn fits(pattern: &str, line: &str) -> bool {
    match pattern.split_once('…') {
        None => pattern == line,
        Some((start, end)) => {
            line.len() >= start.len() + end.len() && line.starts_with(start) && line.ends_with(end)
        }
    }
}

/// What is wrong with what was said.
fn compare(expected: &[String], said: &str) -> Result<(), String> {
    let mut said = said
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .peekable();
    let mut expected = expected.iter().peekable();
    while let Some(pattern) = expected.next() {
        if pattern == "~" {
            let Some(next) = expected.peek() else {
                return Ok(());
            };
            while said.next_if(|line| !fits(next, line)).is_some() {}
            continue;
        }
        match said.next() {
            Some(line) if fits(pattern, line) => {}
            line => return Err(format!("expected {pattern:?}, got {line:?}")),
        }
    }
    match said.next() {
        None => Ok(()),
        line => Err(format!("expected the end, got {line:?}")),
    }
}

#[tokio::test]
async fn programs_conversations_however_they_are_cut() {
    for transcript in transcripts() {
        for cut in [1, 2, 3, 5, 7, 64, 1 << 20] {
            let said = converse(&transcript.client, cut).await;
            let said = String::from_utf8_lossy(&said);
            if let Err(wrong) = compare(&transcript.server, &said) {
                panic!("{}, cut at {cut}: {wrong}", transcript.name);
            }
        }
    }
}

#[tokio::test]
async fn searches() {
    let mut client = Client::inbox(&store()).await;
    for (query, found) in [
        ("ALL", " 1 2 3 4 5 6 7"),
        ("2:3,7", " 2 3 7"),
        ("UID 5:*", " 5 6 7"),
        ("NOT UID 5:*", " 1 2 3 4"),
        ("SEEN", " 4 5 6"),
        ("UNSEEN FLAGGED", " 1"),
        ("OR ANSWERED FLAGGED", " 1 6"),
        ("(OR (SEEN 4) (UNSEEN 7)) NOT DELETED", " 4 7"),
        ("DRAFT", ""),
        ("NEW", " 1 2 3 7"),
        ("OLD", ""),
        ("RECENT UNKEYWORD work", " 1 2 3 4 5 6 7"),
        ("FROM DAVE", " 6 7"),
        ("TO carol@demo.example", " 2"),
        ("SUBJECT \"moving the\"", " 6 7"),
        ("SUBJECT {7+}\r\nGRÜSS", ""),
        ("CHARSET UTF-8 SUBJECT {7+}\r\nGRÜßE", " 4"),
        ("HEADER In-Reply-To \"\"", " 7"),
        ("HEADER Message-ID welcome", " 1"),
        ("BODY \"café at FOUR\"", " 2"),
        ("TEXT gatepost.bmp", ""),
        ("TEXT \"nothing was cut\"", " 5"),
        ("SINCE 21-Nov-2026", " 1 2 3"),
        ("BEFORE 20-Nov-2026", " 6 7"),
        ("ON 20-Nov-2026", " 4 5"),
        ("SENTSINCE 21-Nov-2026", " 1 2 3"),
        ("LARGER 200000", " 3"),
        ("SMALLER 300", " 6"),
    ] {
        let answer = client.ask(&format!("SEARCH {query}")).await;
        assert_eq!(
            answer,
            [format!("* SEARCH{found}").as_str(), "OK done"],
            "{query}"
        );
    }
    for (query, answer) in [
        ("UID SEARCH RETURN (COUNT) UNSEEN", "UID COUNT 4"),
        ("SEARCH RETURN () SEEN", "ALL 4:6"),
        ("SEARCH RETURN (MIN MAX) DRAFT", ""),
    ] {
        let space = if answer.is_empty() { "" } else { " " };
        let expected = format!("* ESEARCH (TAG \"t\"){space}{answer}");
        assert_eq!(client.ask(query).await, [expected.as_str(), "OK done"]);
    }
    assert!(
        client
            .ask(&format!("SEARCH {}ALL", "NOT ".repeat(30)))
            .await[0]
            .starts_with("BAD")
    );
}

#[tokio::test]
async fn the_store_has_an_end_and_says_so() {
    let mut client = Client::inbox(&store()).await;
    let size = 8 * 1024 * 1024;
    let message = "x".repeat(size);
    for _ in 0..7 {
        let answer = client
            .ask(&format!("APPEND Archive {{{size}+}}\r\n{message}"))
            .await;
        assert!(answer[0].starts_with("OK [APPENDUID "), "{answer:?}");
    }
    let full = "NO [OVERQUOTA] the demo store is full: it holds 64 MiB in all";
    // Asked beforehand, no octet need be sent; sent unasked, it is read and thrown away.
    assert_eq!(
        client.ask(&format!("APPEND Archive {{{size}}}")).await,
        [full]
    );
    let unasked = format!("APPEND Archive {{{size}+}}\r\n{message}");
    assert_eq!(client.ask(&unasked).await, [full]);
    client.ask("SELECT Archive").await;
    assert!(client.ask("COPY 1 INBOX").await[0].starts_with("NO [OVERQUOTA]"));
    assert!(
        client
            .ask("MOVE 1 Trash")
            .await
            .last()
            .unwrap()
            .starts_with("OK")
    );
    client.ask("STORE 1:* FLAGS.SILENT (\\Deleted)").await;
    client.ask("CLOSE").await;
    assert!(client.ask(&unasked).await[0].starts_with("OK"));
}

#[tokio::test]
async fn what_cannot_be_read_ends_the_conversation() {
    for (octets, end) in [
        ("x".repeat(70_000), "* BYE a command may have 64 KiB"),
        (
            "a LOGIN {99999999999+}\r\n".to_owned(),
            "* BYE the literal is too long",
        ),
        (
            format!("a AUTHENTICATE PLAIN\r\n{}", "A".repeat(70_000)),
            "* BYE a line may have 64 KiB",
        ),
    ] {
        let said = converse(octets.as_bytes(), 4096).await;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(said.lines().last(), Some(end));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    /// Conversations with octets changed, left out and put in: they end, without a panic.
    #[test]
    fn damaged_conversations_end(
        which in 0usize..5,
        cut in 1usize..100,
        damage in proptest::collection::vec((0usize..3000, 0u8..4, proptest::num::u8::ANY), 1..12),
    ) {
        let mut octets = transcripts().swap_remove(which).client;
        for (at, kind, octet) in damage {
            let at = at % octets.len().max(1);
            match kind {
                _ if octets.is_empty() => octets.push(octet),
                0 => octets[at] = octet,
                1 => drop(octets.remove(at)),
                2 => octets.insert(at, b"{}()\"\\*\r\n +\0"[octet as usize % 12]),
                _ => octets.truncate(at.max(1)),
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(converse(&octets, cut));
    }
}
