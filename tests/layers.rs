//! The rules of the house that a compiler does not hold: which part may name which, what the protocol
//! cores may not know, that every file says what it is for, and how long it may be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "layers/sizes.rs"]
mod sizes;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the top down; a part may name those below it, and those beside it as long as no circle comes
/// of it.
const LAYERS: [&[&str]; 8] = [
    &["app"],
    &["cli", "config"],
    &["listen", "admin"],
    &["session"],
    &["route"],
    &["backend"],
    &["demo"],
    &["protocol", "net", "tls", "observe", "state", "manual"],
];

/// Every file of `src` by its path below it, with comments taken out.
fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, files),
                false if path.extension().is_some_and(|ext| ext == "rs") => files.push(path),
                false => {}
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The text without line comments (and without what follows `//` in a string, which names no part).
fn code(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The part a file belongs to: `session/mod.rs` and `session.rs` to `session`.
fn part(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

fn layer(part: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&part))
}

/// The parts that some code names: `crate::net::…`, `use crate::{net, tls::…}`.
fn named(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for behind in code.split("crate::").skip(1) {
        match behind.strip_prefix('{') {
            None => {
                named.insert(word(behind));
            }
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && !c.is_whitespace() => {
                            named.insert(word(&group[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    named
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn parts_name_only_what_lies_below_them() {
    let mut beside: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let from = part(&file);
        if matches!(from, "lib" | "main") {
            continue;
        }
        let Some(own) = layer(from) else {
            wrong.push(format!(
                "{file}: the part {from} has no place among the layers"
            ));
            continue;
        };
        for to in named(&code(&text)) {
            match layer(&to) {
                None if to == from => {}
                None => wrong.push(format!("{file} names crate::{to}, which has no layer")),
                Some(other) if other < own => {
                    wrong.push(format!("{file} names crate::{to}, which lies above it"));
                }
                Some(other) if other == own && to != from => {
                    beside.entry(from.to_owned()).or_default().insert(to);
                }
                Some(_) => {}
            }
        }
    }
    // Parts of one layer: what can be reached from a part must not come back to it.
    for start in beside.keys() {
        let mut reached: BTreeSet<&String> = BTreeSet::new();
        let mut next: Vec<&String> = beside[start].iter().collect();
        while let Some(part) = next.pop() {
            if part == start {
                wrong.push(format!("{start} names a part that leads back to it"));
                break;
            }
            if reached.insert(part) {
                next.extend(beside.get(part).into_iter().flatten());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_languages_know_no_clock_no_io_and_no_chance() {
    const FOREIGN: [&str; 10] = [
        "tokio",
        "Instant",
        "SystemTime",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "std::fs",
        "std::thread",
        "std::env",
        "rand::",
    ];
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if part(&file) == "protocol" {
            let code = code(&text);
            for word in FOREIGN.iter().filter(|word| code.contains(**word)) {
                wrong.push(format!("{file} names {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_file_names_the_yaml_crate() {
    let names: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| code(text).contains("serde_yaml"))
        .map(|(file, _)| file)
        .collect();
    assert_eq!(names, ["config/yaml.rs"]);
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let mute: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! ") && !text.starts_with("#![doc"))
        .map(|(file, _)| file)
        .collect();
    assert!(mute.is_empty(), "without `//!`: {}", mute.join(", "));
}

#[test]
fn names_are_found_in_groups_too() {
    let code = "use crate::{admin, net::{self, Stream},\n tls};\nfn f(x: crate::route::Ask) {}";
    let want = ["admin", "net", "route", "tls"].map(str::to_owned);
    assert_eq!(named(code), BTreeSet::from(want));
}

/// Of our own code nothing is unsafe. (Of the tests the allocators that count are, in `tests/memory.rs` and
/// `tests/bench/counted.rs`.)
#[test]
fn nothing_of_ours_is_unsafe() {
    for (name, text) in sources() {
        let code = code(&text);
        let unsafe_word = |word: &str| word == "unsafe";
        let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        assert!(!words.any(unsafe_word), "{name} has unsafe code");
    }
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    assert!(manifest.unwrap().contains("unsafe_code = \"deny\""));
}

/// What reads strangers' octets: the protocol cores, the record layer of TLS, what transcripts show of either,
/// and the talk with a lookup service.
const STRANGERS: [&str; 4] = [
    "protocol/",
    "tls/stream/",
    "observe/redact.rs",
    "route/lookup/",
];

/// The lints that keep panics out of it.
const PANICS: [&str; 7] = [
    "indexing_slicing",
    "string_slice",
    "unwrap_used",
    "expect_used",
    "arithmetic_side_effects",
    "panic",
    "unreachable",
];

/// What panics all the same ends its own session: the release unwinds.
#[test]
fn a_release_unwinds() {
    let manifest = include_str!("../Cargo.toml");
    let (_, release) = manifest.split_once("[profile.release]\n").unwrap();
    let release = release.split("\n[").next().unwrap();
    assert!(release.contains("panic = \"unwind\""), "{release}");
}

/// They stay where they are, and nothing is excepted from them.
#[test]
fn the_protocol_cores_deny_what_can_panic() {
    let denied = format!(
        "#![cfg_attr(not(test),deny({}))]",
        PANICS.map(|lint| format!("clippy::{lint}")).join(",")
    );
    let mut parts = 0;
    for (name, text) in sources() {
        let tests = name.ends_with("tests.rs") || name.contains("/tests/");
        let Some(part) = STRANGERS.iter().find(|part| name.starts_with(**part)) else {
            continue;
        };
        if !tests {
            let own = name == *part || name == format!("{part}mod.rs");
            let all = attributes(&code(&text));
            assert!(!own || all.contains(&denied), "{name}: {all:?}");
            parts += usize::from(own);
            let other = |it: &&String| it.contains("clippy::") && !(own && **it == denied);
            assert_eq!(all.iter().find(other), None, "{name}");
        }
    }
    assert_eq!(parts, STRANGERS.len());
}

/// Attributes of some code, without white space and the comma before a bracket.
fn attributes(code: &str) -> Vec<String> {
    let dense: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let starts = dense.match_indices('#').map(|(at, _)| &dense[at..]);
    let starts = starts.filter(|it| it.starts_with("#[") || it.starts_with("#!["));
    let whole = starts.filter_map(|it| {
        let mut depth = 0;
        let end = it.find(|c| {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            c == ']' && depth == 0
        });
        Some(it[..=end?].replace(",)", ")").replace(",]", "]"))
    });
    whole.collect()
}

#[test]
fn exceptions_are_seen_however_they_are_written() {
    for text in [
        "#[allow(clippy::panic)]",
        "#![allow(\n    clippy::panic,\n    reason = \"[x]\"\n)]",
        "#[expect( clippy :: unwrap_used )]",
        "#[cfg_attr(test, warn(dead_code, clippy::panic))]",
    ] {
        let text = format!("fn f() {{ let a = [1]; }}\n{text}\nfn g() {{}}");
        let all = attributes(&text);
        assert!(all.iter().any(|it| it.contains("clippy::")), "{all:?}");
    }
}

/// The traits and steps of the cores stand on the map as they are.
#[test]
fn the_map_shows_the_cores_as_they_are() {
    let read = |file: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        fs::read_to_string(path).unwrap()
    };
    let map = read("ARCHITECTURE.md");
    let (_, map) = map.split_once("\n## The cores\n").unwrap();
    let (_, map) = map.split_once("```text\n").unwrap();
    let (map, _) = map.split_once("```").unwrap();
    let is = ["front", "leg"].map(|file| code(&read(&format!("protocol/{file}.rs"))));
    let is = is.join("\n");
    for opening in ["pub trait Server", "pub trait Client"] {
        let all = methods(&is, opening);
        assert!(all.len() > 5, "{opening}: {all:?}");
        assert_eq!(methods(map, opening), all, "{opening}");
    }
    for opening in ["pub enum Step ", "pub enum HostStep "] {
        let all = variants(&is, opening);
        assert!(all.len() > 5, "{opening}: {all:?}");
        assert_eq!(variants(map, opening), all, "{opening}");
    }
}

/// The names of a trait's methods, in their order.
fn methods(text: &str, opening: &str) -> Vec<String> {
    body(text, opening).split("fn ").skip(1).map(word).collect()
}

/// An enum's variants with what they hold, in their order; modules left out.
fn variants(text: &str, opening: &str) -> Vec<String> {
    let body = body(text, opening).replace("sasl::", "");
    body.split(',')
        .map(|variant| variant.trim().to_owned())
        .filter(|variant| !variant.is_empty())
        .collect()
}

/// What stands between an item's braces.
fn body<'a>(text: &'a str, opening: &str) -> &'a str {
    let (_, behind) = text.split_once(opening).unwrap();
    let (_, behind) = behind.split_once('{').unwrap();
    let mut depth = 1;
    let end = behind.find(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    behind.get(..end.unwrap()).unwrap()
}
