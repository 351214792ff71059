//! The manual's examples are proxy.yaml that `gatepost check` takes, but for files that are not here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use gatepost::config::{Code, Config, Severity};
use gatepost::manual::Topic;

/// What a part of a file leaves out.
const REST: &[(&str, &str)] = &[
    ("listeners", "listeners: [\"imap://127.0.0.1:1143\"]\n"),
    (
        "backends",
        "backends: { old: \"imap://10.0.0.5\", new: \"imap://10.0.0.6\" }\n",
    ),
    ("users", "users: { \"*\": old }\n"),
];

/// Blocks of the manual with this word behind their fence.
fn blocks(text: &str, word: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(tag) = line.strip_prefix("```") {
            let inner: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            if tag == word {
                blocks.push(inner.join("\n") + "\n");
            }
        }
    }
    blocks
}

#[test]
fn every_example_is_read_as_settings() {
    let mut examples = 0;
    for topic in Topic::all() {
        for block in blocks(topic.text, "yaml") {
            examples += 1;
            let mut text = block.clone();
            for (key, rest) in REST {
                if !block
                    .lines()
                    .any(|line| line.starts_with(&format!("{key}:")))
                {
                    text.push_str(rest);
                }
            }
            let read = Config::parse(Path::new("proxy.yaml"), &text, Path::new(""), &|_| None);
            let problems = read.map_or_else(|problems| problems.0, |(_, warnings)| warnings);
            let wrong: Vec<_> = problems
                .iter()
                .filter(|p| p.code.severity() == Severity::Error && p.code != Code::E040)
                // Of features that are described before they are there.
                .filter(|p| p.code != Code::E060)
                .map(ToString::to_string)
                .collect();
            assert!(wrong.is_empty(), "{}: {wrong:#?} in\n{text}", topic.name);
        }
    }
    assert!(examples >= 15, "{examples}");
}

#[test]
fn fences_have_a_word() {
    for topic in Topic::all() {
        let fences = topic.text.lines().filter(|line| line.starts_with("```"));
        for (n, fence) in fences.enumerate() {
            assert_eq!(fence != "```", n % 2 == 0, "{}: {fence}", topic.name);
        }
    }
}
