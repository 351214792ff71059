//! `gatepost check`: every problem of a file in one run, each with its place.

use crate::support::Scratch;
use crate::support::gateway::cli;

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
