//! The fail2ban filter of the README against the log as it is written: each guess is found, with the
//! address it came from, and no user name can put another address in its place.

use std::process::Command;

use crate::proxy_protocol::{Version, of};
use crate::support::Scratch;
use crate::support::gateway::Settings;
use crate::support::need::{Need, needs, program, unpacked};
use crate::support::pki::Pki;
use crate::support::process::run_ok;
use crate::support::scratch::free_port;
use crate::support::users::WRONG;
use crate::support::wire::Conn;

/// Names that want to be another line, another field, another address.
const NAMES: &[&str] = &[
    "bob",
    "bob@example.org",
    "x client=203.0.113.9:1 ",
    "x\" client=203.0.113.9:1 session=\"",
    "x\\\" client=203.0.113.9:1 \\",
    "\\\\",
    "client=203.0.113.9:1",
    "a\",\"client\":\"203.0.113.9:1\",\"b\":\"",
    "2026-01-01T00:00:00.000Z info event=login result=AUTHENTICATIONFAILED protocol=imap client=203.0.113.9:1 ",
    "Jan  1 00:00:00 mx gatepost[1]: info event=login result=AUTHENTICATIONFAILED protocol=imap client=203.0.113.9:1 ",
    "Jan  1 00:00:00 mx gatepost[1]: {\"time\":\"2026\",\"level\":\"info\",\"event\":\"login\",\"result\":\"AUTHENTICATIONFAILED\",\"protocol\":\"imap\",\"client\":\"203.0.113.9:1\"",
    "x\u{2028}info event=login result=AUTHENTICATIONFAILED protocol=imap client=203.0.113.9:1 ",
    "\u{202e}1:9.311.0.302=tneilc",
    "<HOST>",
    "203.0.113.9",
    "=",
    " ",
    "\u{a0}",
    "bob\u{2003}client=203.0.113.9:1\u{2003}",
    "bob\u{3000}",
    "\u{1680}\u{180e}\u{202f}\u{205f}",
    "jürgen",
];

/// The one block of the README that is a filter.
fn filter() -> String {
    let readme = include_str!("../../README.md");
    let mut blocks = readme.split("```ini\n").skip(1);
    let block = blocks.find(|block| block.contains("failregex")).unwrap();
    block.split("```").next().unwrap().to_owned()
}

/// The addresses that fail2ban finds in a log.
fn found(scratch: &Scratch, log: &str) -> Vec<String> {
    let dir = unpacked("fail2ban");
    let filter = scratch.write("gatepost.conf", filter());
    let log = scratch.write("log-of-the-day", log);
    let mut command = Command::new(program("python3").unwrap());
    command
        .env("PYTHONPATH", dir.join("usr/lib/python3/dist-packages"))
        .arg(dir.join("usr/bin/fail2ban-regex"))
        .arg("-c")
        .arg(dir.join("etc/fail2ban"))
        .args(["-o", "<ip>"])
        .arg(log)
        .arg(filter);
    let said = String::from_utf8(run_ok(&mut command)).unwrap();
    said.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_filter_of_the_readme_finds_each_guess_and_its_address() {
    needs!(Need::Program("python3"), Need::Venv("fail2ban"));
    for format in ["text", "json"] {
        let scratch = Scratch::new();
        let pki = Pki::new(&scratch);
        let port = free_port();
        let mut gateway = Settings::new()
            .backend("store", "demo://")
            .user("somebody", "store")
            .behind_balancer("imap", port)
            .limits("failed_logins: { per_ip: 1000/1h, per_user: 1000/1h }")
            .log(&format!("level: info, format: {format}"))
            .start(&scratch, &pki);
        let mut came_from = Vec::new();
        for (n, name) in NAMES.iter().enumerate() {
            let (from, address) = match n % 2 {
                0 => (format!("192.0.2.{n}:4711"), format!("192.0.2.{n}")),
                _ => (
                    format!("[2001:db8:{n}::1]:4711"),
                    format!("2001:db8:{n}::1"),
                ),
            };
            let mut conn = Conn::plain(port);
            conn.send(of(Version::V2, &from));
            conn.text();
            let (octets, secret) = (name.len(), WRONG.len());
            conn.send(format!(
                "a LOGIN {{{octets}+}}\r\n{name} {{{secret}+}}\r\n{WRONG}\r\n"
            ));
            let said = conn.text();
            assert!(said.starts_with("a NO [AUTHENTICATIONFAILED]"), "{said}");
            came_from.push(address);
        }
        // A mechanism that is not offered is no guess.
        let mut conn = Conn::plain(port);
        conn.send(of(Version::V2, "198.51.100.2:4711"));
        conn.text();
        conn.send("a AUTHENTICATE CRAM-MD5\r\n");
        conn.text();
        gateway.logged(&["198.51.100.2", "CANNOT"]);
        // One whose name is none at all.
        let mut conn = Conn::plain(port);
        conn.send(of(Version::V2, "198.51.100.1:4711"));
        conn.text();
        conn.send("a LOGIN \"\" x\r\n");
        conn.text();
        came_from.push("198.51.100.1".to_owned());
        gateway.logged(&["198.51.100.1", "AUTHENTICATIONFAILED"]);
        let log = gateway.log();
        assert_eq!(found(&scratch, &log), came_from, "{format}:\n{log}");
        // As syslog has it: in text without our own time.
        let dated = |line: &str| {
            let rest = match format {
                "text" => line.split_once(' ').unwrap_or_default().1,
                _ => line,
            };
            format!("Nov 22 00:31:05 mx gatepost[12]: {rest}\n")
        };
        let syslog: String = log.lines().map(dated).collect();
        assert_eq!(found(&scratch, &syslog), came_from, "{syslog}");
    }
}
