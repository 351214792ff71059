//! The metrics of a running gateway: every series that is promised is there and moves, no client can make a
//! new one, and Prometheus' own tool takes the exposition.
//!
//! `GATEPOST_NAMES=100000` tries that many names instead of a few hundred.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::gateway::{Settings, admin_get};
use crate::support::imap::Way;
use crate::support::need::{Need, needs, unpacked};
use crate::support::pki::Pki;
use crate::support::scratch::free_port;
use crate::support::wire::Conn;
use crate::support::{Gateway, Imap, Pop3, Scratch, pop3};

/// Values by series, labels included.
type Series = BTreeMap<String, f64>;

fn exposition(gateway: &Gateway) -> String {
    let (status, text) = admin_get(gateway.ports.admin, "/metrics").unwrap();
    assert_eq!(status, 200);
    text
}

fn series(gateway: &Gateway) -> Series {
    let text = exposition(gateway);
    let lines = text
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

fn start(scratch: &Scratch) -> Gateway {
    let pki = Pki::new(scratch);
    let nobody = free_port();
    Settings::new()
        .backend("store", "demo://")
        .backend(
            "dead",
            format!("{{ hosts: [\"imap://127.0.0.1:{nobody}\"], retry_for: 0s }}"),
        )
        .user("\"@dead.example\"", "dead")
        .user("\"*\"", "store")
        .log("level: warn")
        .start(scratch, &pki)
}

#[test]
fn every_series_that_is_promised_moves() {
    let scratch = Scratch::new();
    let gateway = start(&scratch);
    let ports = gateway.ports;
    let before = series(&gateway);

    let mut imap = Imap::tls(ports.imaps);
    imap.login(Way::LoginQuoted, "demo", "wrong")
        .no("AUTHENTICATIONFAILED");
    imap.login(Way::LoginQuoted, "demo", "demo").ok();
    imap.command("SELECT INBOX").ok();
    let during = series(&gateway);
    imap.command("LOGOUT").ok();
    let mut dead = Imap::tls(ports.imaps);
    for _ in 0..3 {
        dead.login(Way::LoginQuoted, "x@dead.example", "x")
            .no("UNAVAILABLE");
    }
    let mut pop3 = Pop3::tls(ports.pop3s);
    pop3.login(pop3::WAYS[0], "demo", "demo");
    pop3.multi("RETR 1");
    pop3.multi("TOP 2 0");
    pop3.ok("DELE 1");
    let retrieved = series(&gateway);
    pop3.ok("QUIT");
    let mut nonsense = Conn::plain(ports.imaps);
    nonsense.send("a1 LOGIN demo demo\r\n");
    nonsense.rest();

    let moved = |label: &str, from: &Series, to: &Series| {
        let at = |series: &Series| {
            *series
                .get(label)
                .unwrap_or_else(|| panic!("no {label} in {series:#?}"))
        };
        let (from, to) = (at(from), at(to));
        assert!((from - to).abs() > f64::EPSILON, "{label} stays at {from}");
    };
    for label in [
        "gatepost_sessions{protocol=\"imap\",backend=\"store\"}",
        "gatepost_host_sessions{backend=\"store\",host=\"demo\"}",
        "gatepost_host_logins_total{backend=\"store\",host=\"demo\"}",
        "gatepost_logins_total{protocol=\"imap\",result=\"ok\"}",
        "gatepost_login_seconds_count{protocol=\"imap\"}",
        "gatepost_login_seconds_sum{protocol=\"imap\"}",
        "gatepost_backend_connect_seconds_count{backend=\"store\"}",
        "gatepost_bytes_total{protocol=\"imap\",direction=\"in\"}",
        "gatepost_bytes_total{protocol=\"imap\",direction=\"out\"}",
    ] {
        moved(label, &before, &during);
    }
    // While the session lives, not at its end.
    for direction in ["in", "out"] {
        let label = format!("gatepost_bytes_total{{protocol=\"pop3\",direction=\"{direction}\"}}");
        moved(&label, &during, &retrieved);
    }
    let connections = format!(
        "gatepost_connections_total{{listener=\"imaps://127.0.0.1:{}\"}}",
        ports.imaps
    );
    let host_up = before
        .keys()
        .find(|name| name.starts_with("gatepost_host_up{backend=\"dead\""))
        .unwrap();
    let labels = [
        connections.as_str(),
        host_up,
        "gatepost_logins_total{protocol=\"imap\",result=\"AUTHENTICATIONFAILED\"}",
        "gatepost_logins_total{protocol=\"imap\",result=\"UNAVAILABLE\"}",
        "gatepost_logins_total{protocol=\"pop3\",result=\"ok\"}",
        "gatepost_bytes_total{protocol=\"imap\",direction=\"in\"}",
        "gatepost_bytes_total{protocol=\"imap\",direction=\"out\"}",
        "gatepost_bytes_total{protocol=\"pop3\",direction=\"out\"}",
        "gatepost_refused_total{reason=\"tls_handshake\"}",
        "gatepost_pop3_messages_total{action=\"retr\"}",
        "gatepost_pop3_messages_total{action=\"top\"}",
        "gatepost_pop3_messages_total{action=\"delete\"}",
    ];
    // What is counted at a session's end may come a moment after the client has gone.
    for _ in 0..600 {
        let now = series(&gateway);
        if labels
            .iter()
            .all(|label| (now[*label] - before[*label]).abs() > f64::EPSILON)
        {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let after = series(&gateway);
    for label in labels {
        moved(label, &before, &after);
    }
    assert!((after[host_up]).abs() < f64::EPSILON, "{host_up}");
    let expiry = after
        .iter()
        .find(|(name, _)| name.starts_with("gatepost_certificate_expiry_timestamp_seconds{name="));
    assert!(expiry.is_some_and(|(_, at)| *at > 1.7e9), "{expiry:?}");
    // New settings, and some that are refused.
    assert_eq!(gateway.reload().0, 200);
    std::fs::write(&gateway.config, "listeners: [").unwrap();
    assert_eq!(gateway.reload().0, 422);
    let last = series(&gateway);
    for label in [
        "gatepost_reloads_total{result=\"ok\"}",
        "gatepost_reloads_total{result=\"failed\"}",
    ] {
        moved(label, &before, &last);
    }
    // Nothing of what is promised has another label, or none.
    for (name, labels) in PROMISED {
        let found: Vec<_> = { last.keys() }
            .filter(|series| family(series) == *name)
            .collect();
        assert!(!found.is_empty(), "no {name}");
        for series in found {
            assert_eq!(labels_of(series), *labels, "{series}");
        }
    }
}

/// The series that users hold on to, with their labels.
const PROMISED: &[(&str, &[&str])] = &[
    ("gatepost_connections_total", &["listener"]),
    ("gatepost_sessions", &["protocol", "backend"]),
    ("gatepost_logins_total", &["protocol", "result"]),
    ("gatepost_login_seconds", &["protocol"]),
    ("gatepost_backend_connect_seconds", &["backend"]),
    ("gatepost_host_up", &["backend", "host"]),
    ("gatepost_host_sessions", &["backend", "host"]),
    ("gatepost_bytes_total", &["protocol", "direction"]),
    ("gatepost_refused_total", &["reason"]),
    ("gatepost_certificate_expiry_timestamp_seconds", &["name"]),
    ("gatepost_reloads_total", &["result"]),
    ("gatepost_pop3_messages_total", &["action"]),
];

/// The name of a series without what a histogram adds.
fn family(series: &str) -> &str {
    let name = series.split('{').next().unwrap_or_default();
    let suffix = ["_bucket", "_sum", "_count"];
    let of_histogram = suffix.iter().find_map(|it| name.strip_suffix(it));
    of_histogram.unwrap_or(name)
}

/// The names of its labels, but for a bucket's bound.
fn labels_of(series: &str) -> Vec<&str> {
    let inner = series.split_once('{').map_or("", |(_, rest)| rest);
    let parts = inner.trim_end_matches('}').split("\",");
    let names = parts.filter_map(|part| part.split_once("=\"").map(|(name, _)| name));
    names.filter(|name| *name != "le").collect()
}

#[test]
fn no_client_makes_a_series() {
    let names: u32 = std::env::var("GATEPOST_NAMES").map_or(300, |n| n.parse().unwrap());
    let scratch = Scratch::new();
    let gateway = start(&scratch);
    let ports = gateway.ports;
    // Each path once, so that every bucket there can be is there.
    attempt(ports.imaps, 1);
    attempt(ports.imaps, 2);
    let before: Vec<String> = series(&gateway).into_keys().collect();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            scope.spawn(move || {
                (3 + worker..3 + names)
                    .step_by(8)
                    .for_each(|n| attempt(ports.imaps, n))
            });
        }
    });
    let after: Vec<String> = series(&gateway).into_keys().collect();
    assert_eq!(before, after);
    let text = exposition(&gateway);
    for typed in ["sni-", "user-", "n7.example", "127.0.0.9"] {
        assert!(!text.contains(typed), "{typed} is in a label");
    }
    eprintln!("{names} names, {} series", after.len());
}

/// A login with a name, an SNI name and an address that no other has; every second one succeeds.
fn attempt(port: u16, n: u32) {
    let [_, b, c, d] = n.to_be_bytes();
    let conn = Conn::tls_from([127, b, c, d.max(1)], port, &format!("sni-{n}.example"));
    let mut imap = Imap::new(conn);
    match n % 2 {
        0 => imap
            .login(Way::LoginQuoted, &format!("user-{n}"), "wrong")
            .no("AUTHENTICATIONFAILED"),
        _ => imap
            .login(Way::LoginQuoted, &format!("demo@n{n}.example"), "demo")
            .ok(),
    };
}

#[test]
fn prometheus_takes_the_exposition() {
    needs!(Need::Venv("promtool"));
    let scratch = Scratch::new();
    let gateway = start(&scratch);
    Imap::tls(gateway.ports.imaps)
        .login(Way::LoginQuoted, "demo", "demo")
        .ok();
    let mut promtool = Command::new(unpacked("promtool").join("promtool"));
    promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = promtool.spawn().unwrap();
    running
        .stdin
        .take()
        .unwrap()
        .write_all(exposition(&gateway).as_bytes())
        .unwrap();
    let output = running.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success() && said.is_empty(), "{said}");
}
