//! The other servers: Courier, Cyrus, GNU Mailutils, popa3d and pymap.
//!
//! Debian's packages of them exclude one another, so `.ci/servers` unpacks them side by side, and
//! each runs in a mount namespace where its files lie over the machine's (`servers/*.sh`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::need::{self, Need};
use super::process::Running;
use super::scratch::{MAIL_UID, free_port};
use super::users::{ALICE, AWKWARD};
use super::{Imap, Scratch};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Courier,
    Cyrus,
    Mailutils,
    Popa3d,
    Pymap,
}

/// A server that runs until this is dropped. A port is zero where it does not speak the protocol.
pub(crate) struct Legacy {
    _running: Running,
    pub(crate) imap: u16,
    pub(crate) pop3: u16,
}

impl Kind {
    /// What must be there to run it.
    pub(crate) fn needs(self) -> &'static [Need] {
        match self {
            Kind::Courier => &[Need::Unpacked("courier")],
            Kind::Cyrus => &[Need::Unpacked("cyrus")],
            Kind::Mailutils => &[
                Need::Program("imap4d"),
                Need::Program("pop3d"),
                Need::Namespace,
            ],
            Kind::Popa3d => &[Need::Unpacked("popa3d"), Need::Unpacked("courier")],
            Kind::Pymap => &[Need::Venv("pymap")],
        }
    }

    /// Starts it with private settings. All users are known, but to pymap, which has only Alice.
    pub(crate) fn start(self, scratch: &Scratch) -> Legacy {
        let mut users = String::new();
        for user in AWKWARD {
            writeln!(users, "{}\t{}", user.name, user.password).unwrap();
        }
        scratch.write_private("passwords", users);
        let (imap, pop3) = (free_port(), free_port());
        match self {
            Kind::Courier => private(scratch, "courier", imap, pop3, &["courier"]),
            Kind::Cyrus => private(scratch, "cyrus", imap, pop3, &["cyrus"]),
            Kind::Mailutils => private(scratch, "mailutils", imap, pop3, &[]),
            Kind::Popa3d => private(scratch, "popa3d", 0, pop3, &["courier", "popa3d"]),
            Kind::Pymap => pymap(scratch, imap),
        }
    }
}

impl Legacy {
    /// Puts messages into Alice's INBOX by IMAP.
    pub(crate) fn deliver(&self, messages: &[Vec<u8>]) {
        for message in messages {
            // One session each: GNU Mailutils loses the second of two.
            let mut imap = Imap::logged_in(self.imap, ALICE);
            imap.command_with_literal("APPEND INBOX", message).ok();
            imap.command("LOGOUT").ok();
            imap.conn.rest();
        }
    }
}

fn private(scratch: &Scratch, name: &str, imap: u16, pop3: u16, trees: &[&str]) -> Legacy {
    let mut command = Command::new(need::program("unshare").unwrap());
    command
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg("bash")
        .arg(script(name))
        .arg(scratch.path())
        .arg(MAIL_UID.to_string())
        .args([imap.to_string(), pop3.to_string()])
        .args(trees.iter().map(|tree| need::unpacked(tree)));
    let log = scratch.join(&format!("{name}.log"));
    let mut running = Running::start(name, &command, &log).ended_by_kill();
    for port in [imap, pop3] {
        if port != 0 {
            running.wait_for_port(port);
        }
    }
    Legacy {
        _running: running,
        imap,
        pop3,
    }
}

fn pymap(scratch: &Scratch, port: u16) -> Legacy {
    let mut command = Command::new(need::unpacked("pymap").join("bin/pymap"));
    command
        .args([
            "--host",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--no-tls",
        ])
        .args(["--no-service", "managesieve", "dict"])
        .args(["--demo-data", "--demo-user", ALICE.name])
        .args(["--demo-password", ALICE.password]);
    let mut running = Running::start("pymap", &command, &scratch.join("pymap.log"));
    running.wait_for_port(port);
    Legacy {
        _running: running,
        imap: port,
        pop3: 0,
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/e2e/servers")
        .join(format!("{name}.sh"))
}
