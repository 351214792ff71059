//! `gatepost check`: every problem of a file in one run, each with its place.

use std::process::Output;

use serde_json::Value;

use crate::support::gateway::cli;
use crate::support::scratch::free_port;
use crate::support::{Scratch, scripted};

#[test]
fn five_mistakes_are_five_reports() {
    let scratch = Scratch::new();
    let file = scratch.write(
        "proxy.yaml",
        "listeners:
  - imapz://127.0.0.1:1143
  - { bind: \"pop3://127.0.0.1:1110\", cleartext_logins: true }
backends:
  old: imap://10.0.0.5
users:
  alice@example.com: odl
  \"*\": old
timeouts:
  idle: 30 parsecs
limits:
  per_ip: many
",
    );
    let output = cli(&["check"], &file);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    for place in [
        "proxy.yaml:2:5",
        "proxy.yaml:3:38",
        "proxy.yaml:7:22",
        "proxy.yaml:10:9",
        "proxy.yaml:12:11",
    ] {
        assert_eq!(said.matches(place).count(), 1, "{place} in:\n{said}");
    }
    assert!(said.contains("did you mean"), "{said}");
    assert!(said.contains("5 errors"), "how many, in:\n{said}");
}

#[test]
fn a_file_without_mistakes() {
    let scratch = Scratch::new();
    let file = scratch.write(
        "proxy.yaml",
        "listeners:\n  - imap://127.0.0.1:1143\nbackends:\n  old: imap://10.0.0.5\nusers:\n  \"*\": old\n",
    );
    let output = cli(&["check"], &file);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn nothing_starts_with_a_mistake() {
    let scratch = Scratch::new();
    let file = scratch.write("proxy.yaml", "listeners: [imapp://127.0.0.1:1]\n");
    let output = cli(&["run"], &file);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("proxy.yaml:1:"));
}

#[test]
fn no_file_says_how_to_make_one() {
    let scratch = Scratch::new();
    for command in ["run", "check"] {
        let output = cli(&[command], &scratch.join("none.yaml"));
        assert_eq!(output.status.code(), Some(2), "{command}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("none.yaml"), "{said}");
        assert!(said.contains("listeners:"), "{said}");
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// What a start would fail with is told before.
#[test]
fn a_state_or_a_log_that_cannot_be_is_told() {
    let scratch = Scratch::new();
    let here = scratch.join("state");
    for (line, code) in [
        ("state: redis://user@host:notaport/0".to_owned(), "E020"),
        ("state: file:///nonexistent/dir/x".to_owned(), "E042"),
        (
            format!("state: file://{}", scratch.join("").display()),
            "E042",
        ),
        ("log: { output: /nonexistent/dir/x.log }".to_owned(), "E042"),
        ("log: { output: proxy.yaml/x.log }".to_owned(), "E042"),
        (format!("state: file://{}", here.display()), ""),
        ("log: { output: x.log }".to_owned(), ""),
        ("state: rediss://user@host:6379/0".to_owned(), ""),
    ] {
        let file = scratch.write(
            "proxy.yaml",
            format!(
                "listeners: [imap://127.0.0.1:1143]\nbackends: {{ a: imap://10.0.0.5 }}\nusers: {{ \"*\": a }}\n{line}\n"
            ),
        );
        let output = cli(&["check"], &file);
        let told = said(&output);
        match code {
            "" => assert!(output.status.success(), "{line}: {told}"),
            code => {
                assert_eq!(output.status.code(), Some(2), "{line}: {told}");
                assert!(told.contains(&format!("error[{code}]")), "{line}: {told}");
                assert!(told.contains("proxy.yaml:4:"), "{line}: {told}");
            }
        }
    }
    assert!(
        !here.exists() && !scratch.join("x.log").exists(),
        "it made a file"
    );
}

#[test]
fn with_connect_each_host_is_looked_at() {
    let scratch = Scratch::new();
    let (well, busy, dead) = (
        scripted::imap_named("store"),
        scripted::greeting("* BYE too busy"),
        free_port(),
    );
    let with = |hosts: &str| {
        scratch.write(
            "proxy.yaml",
            format!(
                "listeners: [imap://127.0.0.1:1143]\nbackends:\n  built-in: demo://\n  store: {{ hosts: [{hosts}] }}\nusers: {{ \"*\": store }}\n"
            ),
        )
    };
    let host = |port: u16| format!("imap://127.0.0.1:{port}");
    let good = with(&host(well));
    let output = cli(&["check", "--connect"], &good);
    let told = said(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let line = |told: &str, words: &str| {
        let mut lines = told.lines().map(str::to_owned);
        let found = lines.find(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("no {words} in:\n{told}"))
    };
    let of_host = line(&told, &host(well));
    assert!(
        of_host.starts_with("store ") && of_host.contains(" ok "),
        "{told}"
    );
    assert!(of_host.ends_with("here"), "{told}");
    assert!(line(&told, "demo://").contains(" ok "), "{told}");
    // One that cannot be used is one too many; each says why.
    let bad = with(&format!("{}, {}, {}", host(well), host(dead), host(busy)));
    let output = cli(&["check", "--connect"], &bad);
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for port in [dead, busy] {
        assert!(line(&told, &host(port)).contains(" failed "), "{told}");
    }
    assert!(told.contains("2 of 4 cannot be used"), "{told}");
    let output = cli(&["check", "--connect", "--json"], &bad);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let hosts = told["hosts"].as_array().unwrap();
    let well: Vec<_> = hosts.iter().map(|it| it["ok"].as_bool().unwrap()).collect();
    assert_eq!(well, [true, true, false, false], "{told:#}");
    assert_eq!(hosts[1]["greeting"], "here");
    assert_eq!(hosts[2]["endpoint"], host(dead));
    assert!(hosts[2]["error"].is_string() && hosts[2]["milliseconds"].is_number());
    // Nothing is asked where the settings are wrong.
    let wrong = with("imapp://127.0.0.1");
    let output = cli(&["check", "--connect"], &wrong);
    assert_eq!(output.status.code(), Some(2));
    let output = cli(&["check", "--connect", "--json"], &wrong);
    assert_eq!(output.status.code(), Some(2));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems = told["problems"].as_array().unwrap();
    assert!(problems.iter().any(|it| it["code"] == "E020"), "{told:#}");
}
