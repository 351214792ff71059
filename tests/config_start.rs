//! What a start would fail with, `gatepost check` says before: at its place, with its code, exit code 2.
//! And what it warns of.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "config_start/effect.rs"]
mod effect;
#[path = "config_start/settings.rs"]
mod settings;

use std::fs;

use settings::{PLAIN, check, data, gatepost, names, secured, told, with};

#[test]
fn what_a_start_refuses_check_refuses() {
    let dir = data("start-refused");
    let state = |name: &str| format!("state: «file://{}»", dir.join(name).display());
    let ca = "users_from: [{ http: http://l }]";
    let client_ca = "{ bind: imaps://127.0.0.1:1, client_ca: «broken.crt» }";
    for (settings, said) in [
        (
            with(&secured("cert: a.crt, key: «b.key»"), ""),
            "error[E041]: b.key: not the key of a.crt",
        ),
        (
            with(&secured("cert: «broken.crt», key: b.key"), ""),
            "error[E041]: broken.crt: the certificate cannot be read",
        ),
        (
            with(&secured("ca: «broken.crt»"), "").replace("verify: false, ", ""),
            "error[E041]: broken.crt: holds a bad authority",
        ),
        (
            with(&secured("name: «-x.y.»"), ""),
            "error[E032]: -x.y. cannot be in a certificate",
        ),
        (
            with(PLAIN, "tls: { ticket_key_file: «short» }"),
            "error[E041]: `short` expected at least 32 random octets",
        ),
        (with(PLAIN, &state("empty")), "the state is damaged"),
        (with(PLAIN, &state("garbage")), "the state is damaged"),
        (with(PLAIN, &state("locked")), "locked.lock"),
        (with(PLAIN, &state("noted")), "noted.journal"),
        (
            with(PLAIN, ca).replace("imap://127.0.0.1:1143", client_ca),
            "error[E041]: `broken.crt` holds a bad authority",
        ),
    ] {
        told(&dir, &settings, "error[", said);
    }
}

#[test]
fn what_a_start_takes_check_takes_and_makes_nothing() {
    let dir = data("start-taken");
    let before = names(&dir);
    for settings in [
        with(&secured("cert: a.crt, key: a.key, name: store.test"), ""),
        // No TLS is spoken with it: a start does not make it.
        with(&secured("cert: a.crt, key: b.key"), "").replace("imaps://10", "imap://10"),
        with(PLAIN, "tls: { ticket_key_file: long }"),
        with(
            PLAIN,
            &format!("state: file://{}", dir.join("new").display()),
        ),
    ] {
        let (fine, told) = check(&dir, &settings);
        assert!(fine, "{settings}\n{told}");
    }
    assert_eq!(names(&dir), before);
}

/// Whoever does what the help says is not told the next error.
#[test]
fn help_leads_to_settings_that_are_fine() {
    let dir = data("start-help");
    let quotes = |address: &str| format!("help: an IPv6 address needs quotes: `\"{address}\"`");
    let brackets = "help: an IPv6 address stands in brackets".to_owned();
    let zeros = "help: write it without leading zeros".to_owned();
    let admin = |bind: &str| with(PLAIN, &format!("admin: {{ bind: {bind} }}"));
    let limits = |per_ip: &str| {
        with(
            PLAIN,
            &format!("limits: {{ trusted: [::1], per_ip: {per_ip} }}"),
        )
    };
    let hosts = |list: &str| with(&format!("backends:\n  b:\n    hosts: [{list}]"), "");
    let listener = |url: &str| with(PLAIN, "").replace("imap://127.0.0.1:1143", url);
    for (settings, help, mended) in [
        (admin("::1"), brackets.clone(), admin("'[::1]:9090'")),
        (admin("::1:9090"), brackets, admin("'[::1]:9090'")),
        (
            admin(":9090"),
            "help: write `127.0.0.1:9090`".into(),
            admin("127.0.0.1:9090"),
        ),
        (
            admin("[::1]:9090"),
            quotes("[::1]:9090"),
            admin("\"[::1]:9090\""),
        ),
        (
            with(PLAIN, "admin:\n  bind: [::1]:9090"),
            quotes("[::1]:9090"),
            with(PLAIN, "admin:\n  bind: \"[::1]:9090\""),
        ),
        (
            hosts("imap://[::1]"),
            quotes("imap://[::1]"),
            hosts("\"imap://[::1]\""),
        ),
        (
            hosts("imap://h, imap://[2001:db8::1]:1143, imap://i"),
            quotes("imap://[2001:db8::1]:1143"),
            hosts("imap://h, \"imap://[2001:db8::1]:1143\", imap://i"),
        ),
        (
            listener("imap://[::1]:1143"),
            quotes("imap://[::1]:1143"),
            listener("\"imap://[::1]:1143\""),
        ),
        (limits("010"), zeros.clone(), limits("10")),
        (limits("\"010\""), zeros, limits("10")),
        (
            limits("\"10\""),
            "help: write it without quotes".into(),
            limits("10"),
        ),
    ] {
        let (fine, told) = check(&dir, &settings);
        assert!(!fine && told.contains(&help), "{settings}\n{told}");
        assert!(told.contains("1 error"), "{told}");
        let (fine, told) = check(&dir, &mended);
        assert!(fine, "{mended}\n{told}");
    }
    // A list of one address is no URL, and nobody is to quote it.
    let (_, told) = check(&dir, &limits("[[}"));
    assert!(
        told.contains("error[E002]") && !told.contains("IPv6"),
        "{told}"
    );
}

/// Whoever writes it means no file of that name.
#[test]
fn an_output_that_is_no_path_is_told() {
    let dir = data("start-output");
    let before = names(&dir);
    for output in ["stdout", "STDOUT", "«-»", "Stderr", "SYSLOG"] {
        let output = output.replace(['«', '»'], "\"");
        let settings = with(PLAIN, &format!("log: {{ output: {output} }}"));
        let (fine, told) = check(&dir, &settings);
        assert!(!fine && told.contains("error[E014]"), "{output}: {told}");
        assert!(told.contains("proxy.yaml:4:16\n"), "{told}");
        let bare = output.trim_matches('"');
        assert!(told.contains(&format!("written `./{bare}`")), "{told}");
        assert!(told.ends_with("1 error, 1 warning\n"), "{told}");
    }
    for output in ["stderr", "./stdout", "./-", "stdout.log"] {
        let (fine, told) = check(&dir, &with(PLAIN, &format!("log: {{ output: {output} }}")));
        assert!(fine, "{output}: {told}");
    }
    assert_eq!(names(&dir), before);
}

#[test]
fn a_syslog_that_is_not_there_is_told() {
    let dir = data("start-syslog");
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let is_there = socket.connect("/dev/log").is_ok();
    let (fine, told) = check(&dir, &with(PLAIN, "log: { output: syslog }"));
    assert_eq!(fine, is_there, "{told}");
    assert_eq!(
        told.contains("error[E042]: `syslog` cannot be written"),
        !is_there,
        "{told}"
    );
    assert_eq!(told.contains("/dev/log"), !is_there, "{told}");
}

/// A start that fails at once, after the log was opened: its port is taken.
#[test]
fn warnings_of_a_start_are_in_its_log() {
    let dir = data("start-logged");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let run = |log: &str| {
        let settings = with(&secured("name: store.test"), log).replace("1143", &port);
        let (code, said) = gatepost(&dir, "run", &settings);
        assert_eq!(code, 1, "{said}");
        let (before, error) = said.trim_end().rsplit_once('\n').unwrap_or(("", &said));
        assert!(error.starts_with("error: cannot listen"), "{said}");
        before.to_owned()
    };
    let said = run("log: { format: json }");
    let problems = said.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let is_it = line["event"] == "start_warning" && line["level"] == "warn";
        is_it.then(|| line["problem"].as_str().unwrap().to_owned())
    });
    let problems: Vec<_> = problems.collect();
    assert_eq!(problems.len(), 2, "{said}");
    assert!(problems[1].starts_with("proxy.yaml:3:60: W001: "), "{said}");
    for (format, event) in [
        ("text", "event=start_warning"),
        ("json", "\"start_warning\""),
    ] {
        let log = format!("{format}.log");
        let said = run(&format!("log: {{ format: {format}, output: {log} }}"));
        assert_eq!(said, "");
        let logged = fs::read_to_string(dir.join(log)).unwrap();
        assert_eq!(logged.matches(event).count(), 2, "{logged}");
        assert!(logged.contains("W001"), "{logged}");
    }
    // Whoever reads the standard error sees the place as well.
    let said = run("");
    assert!(
        said.contains("warning[W001]") && said.contains("event=start_warning"),
        "{said}"
    );
}
