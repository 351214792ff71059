//! Sessions of Python's imaplib and poplib; the scripts beside this file say what they do.

use std::path::Path;
use std::process::Command;

use crate::support::mail::mailbox;
use crate::support::need::{DOVECOT, Need, needs};
use crate::support::process::run_ok;
use crate::support::{ALICE, Stage};

const PYTHON: Need = Need::Program("python3");

#[test]
fn imaplib() {
    needs!(DOVECOT, PYTHON);
    let stage = Stage::new();
    let ports = stage.gateway.ports;
    session(&stage, "imaplib_session.py", ports.imaps, "tls");
    session(&stage, "imaplib_session.py", ports.imap_strict, "starttls");
    session(&stage, "imaplib_session.py", ports.imap, "clear");
}

#[test]
fn poplib() {
    needs!(DOVECOT, PYTHON);
    let ports = |stage: &Stage| {
        let ports = stage.gateway.ports;
        [
            (ports.pop3s, "tls"),
            (ports.pop3_strict, "starttls"),
            (ports.pop3, "clear"),
        ]
    };
    let stage = Stage::new().delivered(ALICE, &mailbox(30));
    for (port, mode) in ports(&stage) {
        session(&stage, "poplib_session.py", port, mode);
    }
    let stage = Stage::relaying_pop3().delivered(ALICE, &mailbox(30));
    for (port, mode) in ports(&stage) {
        session(&stage, "poplib_session.py", port, mode);
    }
}

fn session(stage: &Stage, script: &str, port: u16, mode: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/e2e")
        .join(script);
    run_ok(
        Command::new("python3")
            .arg("-I")
            .arg(script)
            .args([&port.to_string(), mode])
            .arg(&stage.pki.ca)
            .args([ALICE.name, ALICE.password]),
    );
}
