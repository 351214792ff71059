//! Mail programs and libraries with ways of their own: mutt, Python's imapclient, npm's imapflow. Each
//! logs in by every mechanism it knows and reads mail.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::mail::mailbox;
use crate::support::need::{DOVECOT, Need, needs, unpacked};
use crate::support::process::run_ok;
use crate::support::{ALICE, BOB, Stage};

#[test]
fn imapclient() {
    needs!(DOVECOT, Need::Venv("imapclient"));
    let stage = Stage::new()
        .delivered(ALICE, &mailbox(5))
        .delivered(BOB, &mailbox(5));
    let ports = stage.gateway.ports;
    for (port, mode) in [
        (ports.imaps, "tls"),
        (ports.imap_strict, "starttls"),
        (ports.imap, "clear"),
    ] {
        // Python's LOGIN takes ASCII only.
        for (way, user) in [("login", BOB), ("plain", ALICE)] {
            let mut command = Command::new(unpacked("imapclient").join("bin/python"));
            command.arg("-I").arg(script("imapclient_session.py"));
            command.args([&port.to_string(), mode]).arg(&stage.pki.ca);
            command.args([user.name, user.password, way]);
            run_ok(&mut command);
        }
    }
}

#[test]
fn imapflow() {
    needs!(DOVECOT, Need::Program("node"), Need::Venv("imapflow"));
    let stage = Stage::new().delivered(ALICE, &mailbox(5));
    let ports = stage.gateway.ports;
    for (port, mode) in [(ports.imaps, "tls"), (ports.imap_strict, "starttls")] {
        for method in ["AUTH=PLAIN", "AUTH=LOGIN", "LOGIN"] {
            let mut command = Command::new("node");
            command.arg(script("imapflow_session.js"));
            command.arg(unpacked("imapflow"));
            command.args([&port.to_string(), mode]).arg(&stage.pki.ca);
            command.args([ALICE.name, ALICE.password, method]);
            run_ok(&mut command);
        }
    }
}

#[test]
fn mutt() {
    needs!(DOVECOT, Need::Program("mutt"), Need::Program("python3"));
    let stage = Stage::new().delivered(BOB, &mailbox(5));
    let ports = stage.gateway.ports;
    for (scheme, port, how) in [
        ("imaps", ports.imaps, "plain"),
        ("imaps", ports.imaps, "login"),
        ("imap", ports.imap_strict, "plain"),
        ("pop3s", ports.pop3s, "user"),
        ("pop3s", ports.pop3s, "plain"),
    ] {
        mutt_reads(&stage, (scheme, port), how, "");
    }
}

/// Mutt logs in by one authenticator and copies five messages of Bob's; `more` are further settings.
pub(crate) fn mutt_reads(stage: &Stage, (scheme, port): (&str, u16), how: &str, more: &str) {
    let copy = stage.scratch.path().join(format!("{scheme}-{how}-{port}"));
    let (protocol, folder) = match scheme.strip_suffix('s').unwrap_or(scheme) {
        "imap" => ("imap", format!("{scheme}://localhost:{port}/INBOX")),
        _ => ("pop", format!("pops://localhost:{port}/")),
    };
    let rc = format!(
        "set ssl_force_tls=yes\nset ssl_ca_certificates_file={ca:?}\n\
         set certificate_file=\"\"\nset {protocol}_user={user:?}\nset {protocol}_pass={password:?}\n\
         set {protocol}_authenticators={how:?}\nset folder=\"/nonexistent\"\nset sendmail=/bin/true\n\
         set confirmcreate=no\nset confirmappend=no\nset mbox_type=mbox\nset delete=no\nset move=no\n\
         set header_cache=\"\"\nset wait_key=no\nset pop_delete=no\nset sleep_time=0\nset auto_tag=yes\n{more}",
        ca = stage.pki.ca,
        user = BOB.name,
        password = BOB.password,
    );
    let rc = stage.scratch.write_private("muttrc", rc);
    // Tag all, copy them to a local mbox, leave.
    let keys = format!(
        "push \"<tag-pattern>~A<enter><copy-message>{}<enter><exit>\"",
        copy.display()
    );
    // Its own terminal, with nobody at it: an end of file there would send mutt away.
    let mut command = Command::new("python3");
    command
        .env("TERM", "xterm")
        .env("HOME", stage.scratch.path());
    command.arg("-I").arg(script("in_terminal.py"));
    command.args(["60", "mutt", "-n", "-F"]).arg(&rc);
    command.args(["-f", &folder, "-e", &keys]);
    run_ok(&mut command);
    let text = std::fs::read_to_string(&copy).unwrap_or_default();
    let messages = text
        .lines()
        .filter(|line| line.starts_with("From "))
        .count();
    assert_eq!(messages, 5, "{scheme} {how}: mutt copied them all");
}

pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/e2e")
        .join(name)
}
