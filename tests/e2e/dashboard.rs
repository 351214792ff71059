//! The dashboard in a real browser: what an operator sees and does, by mouse and by keyboard, in light and
//! dark, on a phone; axe-core looks for what would keep people out.
//!
//! `GATEPOST_SCREENSHOTS=DIR` keeps pictures of what was seen.

use std::path::Path;
use std::process::Command;

use crate::support::gateway::Settings;
use crate::support::need::{Need, needs, program, unpacked};
use crate::support::pki::Pki;
use crate::support::process::run_ok;
use crate::support::{Scratch, scratch::free_port};

const TOKEN: &str = "an-admin-token";

#[test]
fn in_a_browser() {
    needs!(
        Need::Program("node"),
        Need::Program("chromium"),
        Need::Venv("browser")
    );
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let nobody = free_port();
    let mut gateway = Settings::new()
        .backend(
            "cluster",
            "{ hosts: [{ name: store-1, imap: \"demo://\" }, { name: store-2, imap: \"demo://\", weight: 2 }, \
             { name: store-3, imap: \"demo://\" }] }",
        )
        .backend(
            "legacy",
            format!("{{ hosts: [\"imap://127.0.0.1:{nobody}\"], retry_for: 0s }}"),
        )
        .user("\"@legacy.example\"", "legacy")
        .user("\"*\"", "{ backend: cluster, login: \"demo@{local}\" }")
        .limits("per_user: 1000, per_user_ip: 1000, per_ip: 1000")
        .token(TOKEN)
        .start(&scratch, &pki);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/dashboard.js");
    let mut command = Command::new("node");
    command.arg(script).arg(unpacked("browser"));
    command.arg(program("chromium").unwrap());
    command.arg(format!("http://127.0.0.1:{}/", gateway.ports.admin));
    command.arg(gateway.ports.imap.to_string());
    command.arg(TOKEN);
    command.env("HOME", scratch.path());
    command.env(
        "GATEPOST_SCREENSHOTS",
        std::env::var_os("GATEPOST_SCREENSHOTS").unwrap_or_default(),
    );
    run_ok(&mut command);
    assert!(gateway.stop().success());
}
