//! Keeps the RFC index at the head of each protocol's `mod.rs` true: what it names is there, and every
//! method whose heading cites an RFC (`/// LOGIN (RFC 9051 §6.2.3)…`) is in it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A line of the index: `| what | RFC | item | file |`.
struct Row {
    what: String,
    rfc: String,
    item: String,
    file: String,
}

fn folder(protocol: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/protocol")
        .join(protocol)
}

fn index(protocol: &str) -> Vec<Row> {
    let text = fs::read_to_string(folder(protocol).join("mod.rs")).unwrap();
    let rows: Vec<Row> = text
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .skip(1)
        .map(|line| {
            let cells: Vec<String> = line
                .trim_end_matches(" |")
                .split(" | ")
                .map(|cell| cell.trim_matches('`').to_owned())
                .collect();
            let [what, rfc, item, file] = cells.try_into().expect("four cells");
            Row {
                what,
                rfc,
                item,
                file,
            }
        })
        .collect();
    assert!(rows.len() > 5, "{protocol} has an index");
    rows
}

#[test]
fn what_the_index_names_is_there() {
    let rfc = Regex::new(r"^RFC \d+").unwrap();
    for protocol in ["imap", "pop3"] {
        for row in index(protocol) {
            let place = format!("{protocol}: {}", row.what);
            assert!(rfc.is_match(&row.rfc), "{place}: which RFC is {}?", row.rfc);
            let path = folder(protocol).join(&row.file);
            let text = fs::read_to_string(&path).unwrap_or_else(|_| panic!("{place}: no {path:?}"));
            let item = format!(r"\b(fn|struct|enum|const|trait|impl) {}\b", row.item);
            assert!(
                Regex::new(&item).unwrap().is_match(&text),
                "{place}: no {} in {}",
                row.item,
                row.file
            );
        }
    }
}

/// In the front servers: one command, one method, one heading, one row.
#[test]
fn every_command_is_in_the_index() {
    // The heading, further lines of its docs, and the method.
    let method = Regex::new(
        r"(?m)^ *///? ([A-Z][A-Z0-9]+) \((RFC \d+)[^\n]*\n(?: *//[^\n]*\n)* *(?:pub(?:\([a-z]+\))? )?fn (\w+)",
    )
    .unwrap();
    let file = "server/commands.rs";
    for protocol in ["imap", "pop3"] {
        let rows = index(protocol);
        let text = fs::read_to_string(folder(protocol).join(file)).unwrap();
        let mut seen = 0;
        for found in method.captures_iter(&text) {
            seen += 1;
            let (command, rfc, name) = (&found[1], &found[2], &found[3]);
            assert!(
                rows.iter().any(|row| row.file == file
                    && row.item == name
                    && row.what.starts_with(command)
                    && row.rfc.contains(rfc)),
                "{protocol}: no row `{command} … {rfc} … {name} … {file}`"
            );
        }
        assert!(seen >= 5, "{protocol}: only {seen} headings found");
    }
}

/// Each command that the IMAP front answers is a method, and so in the index.
#[test]
fn every_verb_of_imap_is_in_the_index() {
    let rows = index("imap");
    let text = fs::read_to_string(folder("imap").join("server.rs")).unwrap();
    let arm = Regex::new(r#""([A-Z]+)" => self\.(\w+)\("#).unwrap();
    let mut seen = 0;
    for found in arm.captures_iter(&text) {
        seen += 1;
        assert!(
            rows.iter()
                .any(|row| row.what == found[1] && row.item == found[2]),
            "no row for {}",
            &found[1]
        );
    }
    assert!(seen >= 8, "only {seen} verbs found");
}
