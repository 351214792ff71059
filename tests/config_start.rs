//! What a start would fail with, `gatepost check` says before: at its place, with its code, exit code 2.
//! And what it warns of.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory with two pairs that do not belong together, and files that hold what they should not.
fn data(copy: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(copy);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    for name in ["a", "b"] {
        let pair = rcgen::generate_simple_self_signed([format!("{name}.test")]).unwrap();
        fs::write(dir.join(format!("{name}.crt")), pair.cert.pem()).unwrap();
        let key = pair.signing_key.serialize_pem();
        fs::write(dir.join(format!("{name}.key")), key).unwrap();
    }
    // PEM around what is no certificate.
    let broken = "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n";
    fs::write(dir.join("broken.crt"), broken).unwrap();
    fs::write(dir.join("short"), "12345678").unwrap();
    fs::write(dir.join("long"), "0123456789abcdef0123456789abcdef").unwrap();
    for name in ["empty", "garbage", "locked", "noted"] {
        let content = if name == "garbage" { "{\"x\": 1}" } else { "" };
        match name {
            "locked" => fs::create_dir(dir.join("locked.lock")).unwrap(),
            "noted" => fs::write(dir.join("noted.journal"), content).unwrap(),
            _ => fs::write(dir.join(name), content).unwrap(),
        }
    }
    dir
}

/// The exit code of a command with these settings, and what it says on standard error.
fn gatepost(dir: &Path, command: &str, settings: &str) -> (i32, String) {
    fs::write(dir.join("proxy.yaml"), settings).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .arg(command)
        .current_dir(dir)
        .env_remove("GATEPOST_CONFIG")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said)
}

/// Whether the settings are fine, and all that is said of them.
fn check(dir: &Path, settings: &str) -> (bool, String) {
    match gatepost(dir, "check", settings) {
        (0, said) => (true, said),
        (2, said) => (false, said),
        (other, said) => panic!("exit code {other}: {said}"),
    }
}

/// Settings with a backend and one line more, the fourth.
fn with(backend: &str, line: &str) -> String {
    format!("listeners: [imap://127.0.0.1:1143]\nusers: {{ \"*\": b }}\n{backend}\n{line}\n")
}

const PLAIN: &str = "backends: { b: imap://10.0.0.5 }";

fn secured(tls: &str) -> String {
    format!("backends: {{ b: {{ hosts: [imaps://10.0.0.5], tls: {{ verify: false, {tls} }} }} }}")
}

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
        let (place, settings) = marked(&settings);
        let (fine, told) = check(&dir, &settings);
        assert!(!fine, "{settings}\n{told}");
        let errors: Vec<_> = told
            .split("\n\n")
            .filter(|it| it.starts_with("error["))
            .collect();
        assert_eq!(errors.len(), 1, "{settings}\n{told}");
        assert!(errors[0].contains(&place), "{place}\n{told}");
        assert!(errors[0].contains(said), "{settings}\n{told}");
    }
}

/// Where `«` stands, and the settings without it and its like.
fn marked(settings: &str) -> (String, String) {
    let before = settings.split('«').next().unwrap();
    let line = before.split('\n').next_back().unwrap();
    let place = format!("proxy.yaml:{}:{}\n", before.lines().count(), line.len() + 1);
    (place, settings.replace(['«', '»'], ""))
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

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "proxy.yaml").collect();
    names.sort();
    names
}

/// Settings that would do nothing, or the opposite of what they say.
#[test]
fn what_has_no_effect_is_told() {
    let dir = data("start-effect");
    let listener = |more: &str| {
        let map = format!("{{ bind: {more} }}");
        with(PLAIN, "").replace("imap://127.0.0.1:1143", &map)
    };
    for (settings, code) in [
        (
            with(&secured("ca: a.crt, name: a.test"), "").replace("imaps://", "imap://"),
            "warning[W005]",
        ),
        (listener("imap://127.0.0.1:1, allow: «[]»"), "error[E015]"),
        (
            listener("imaps://127.0.0.1:1, cleartext_login: «true»"),
            "error[E016]",
        ),
        (
            listener("pop3s://127.0.0.1:1, cleartext_login: «true»"),
            "error[E016]",
        ),
        (
            with(PLAIN, "limits: { failed_logins: { per_user: «0/10m» } }"),
            "error[E023]",
        ),
        (
            with(PLAIN, "limits: { failed_logins: { per_ip: «0/10m» } }"),
            "error[E023]",
        ),
    ] {
        let (place, settings) = marked(&settings);
        let (fine, told) = check(&dir, &settings);
        assert_eq!(fine, code.starts_with("warning"), "{settings}\n{told}");
        let mut each = told.split("\n\n").filter(|it| it.starts_with(code));
        let one = each.next().unwrap_or_else(|| panic!("{settings}\n{told}"));
        assert!(fine || one.contains(&place), "{place}\n{told}");
        assert!(each.next().is_none() && !told.contains("W001"), "{told}");
    }
    let (fine, told) = check(&dir, &with(&secured("ca: a.crt"), ""));
    assert!(
        fine && told.contains("W001") && !told.contains("W005"),
        "{told}"
    );
    // Who knows a host by its key is not fooled on the way.
    let pins = format!("pins: [\"sha256/{}=\"]", "A".repeat(43));
    let (fine, told) = check(&dir, &with(&secured(&pins), ""));
    assert!(fine && told.contains("W001"), "{told}");
    assert!(
        told.contains("by `pins` alone") && !told.contains("anybody on the way"),
        "{told}"
    );
    for taken in [
        "imap://127.0.0.1:1, cleartext_login: true",
        "imaps://127.0.0.1:1, cleartext_login: false",
    ] {
        let (fine, told) = check(&dir, &listener(taken));
        assert!(fine, "{told}");
    }
}

/// nginx adds what begins TLS to its list; here the list is taken as it is.
#[test]
fn a_list_of_capabilities_by_which_few_could_log_in_is_told() {
    let dir = data("start-capabilities");
    let listener = |more: &str| {
        let map = format!("{{ bind: {more} }}");
        with(PLAIN, "users_from: [{ http: http://l }]").replace("imap://127.0.0.1:1143", &map)
    };
    for (wanting, code, said) in [
        (
            "imap://127.0.0.1:1, capabilities: «[IMAP4rev1, UIDPLUS]»",
            "warning[W008]",
            "no STARTTLS among the capabilities",
        ),
        (
            "imap://127.0.0.1:1, cleartext_login: false, capabilities: «[IMAP4rev1, AUTH=PLAIN]»",
            "warning[W008]",
            "no STARTTLS among the capabilities",
        ),
        (
            "pop3://127.0.0.1:1, capabilities: «[TOP, UIDL, USER]»",
            "warning[W008]",
            "no STLS among the capabilities",
        ),
        (
            "pop3://127.0.0.1:1, capabilities: «[TOP, STARTTLS]»",
            "warning[W008]",
            "no STLS among the capabilities",
        ),
        (
            "imaps://127.0.0.1:1, capabilities: [IMAP4rev1, «auth=External»]",
            "error[E034]",
            "`auth=External` cannot be promised here",
        ),
        (
            "pop3s://127.0.0.1:1, capabilities: [TOP, «SASL PLAIN EXTERNAL»]",
            "error[E034]",
            "`SASL PLAIN EXTERNAL` cannot be promised here",
        ),
    ] {
        let (place, settings) = marked(&listener(wanting));
        let (fine, told) = check(&dir, &settings);
        assert_eq!(fine, code.starts_with('w'), "{settings}\n{told}");
        let mut all = told.split("\n\n").filter(|it| it.starts_with(code));
        let one = all.next().unwrap_or_else(|| panic!("{code}\n{told}"));
        assert!(one.contains(&place), "{place}\n{told}");
        assert!(one.contains(said), "{told}");
        assert!(all.next().is_none(), "{told}");
    }
    for taken in [
        "imap://127.0.0.1:1, capabilities: [IMAP4rev1, starttls]",
        "imap://127.0.0.1:1, cleartext_login: true, capabilities: [IMAP4rev1]",
        "imaps://127.0.0.1:1, capabilities: [IMAP4rev1]",
        "imaps://127.0.0.1:1, client_ca: a.crt, capabilities: [IMAP4rev1, AUTH=EXTERNAL]",
        "pop3://127.0.0.1:1, capabilities: [TOP, STLS]",
        "pop3s://127.0.0.1:1, client_ca: a.crt, capabilities: [SASL PLAIN EXTERNAL]",
    ] {
        let (fine, told) = check(&dir, &listener(taken));
        assert!(fine && !told.contains("W008"), "{taken}\n{told}");
    }
}

/// Descriptors run out first then, and the oldest connection without a login does not make room.
#[test]
fn more_connections_than_open_files_allow_are_warned_of() {
    let dir = data("start-files");
    let check = |connections: &str| {
        let limits = format!("limits: {{ connections: {connections} }}");
        fs::write(dir.join("proxy.yaml"), with(PLAIN, &limits)).unwrap();
        let script = format!(
            "ulimit -n 1024 && exec {} check",
            env!("CARGO_BIN_EXE_gatepost")
        );
        let mut command = Command::new("sh");
        let command = command.args(["-c", &script]).current_dir(&dir);
        let output = command.env_remove("GATEPOST_CONFIG").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    };
    let said = check("385");
    for part in [
        "warning[W006]",
        "proxy.yaml:4:24\n",
        "is enough for 384",
        "`LimitNOFILE=1026`",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(!check("384").contains("W006"));
    let said = check("10000000");
    assert!(said.contains("LimitNOFILE=20000256"), "{said}");
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

#[test]
fn tls_without_a_certificate_is_warned_of() {
    let dir = data("start-warned");
    for tls in [
        "min_version: TLSv1.3",
        "certificates: []",
        "ticket_key_file: long",
    ] {
        let (fine, told) = check(&dir, &with(PLAIN, &format!("tls: {{ {tls} }}")));
        assert!(fine && told.contains("warning[W002]"), "{tls}: {told}");
        assert!(told.contains("proxy.yaml:4:6\n"), "{tls}: {told}");
    }
    let (fine, told) = check(&dir, &with(PLAIN, "tls: { cert: a.crt, key: a.key }"));
    assert!(fine && !told.contains("W002"), "{told}");
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
