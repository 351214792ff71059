//! Files that are broken when they are read anew: each is refused with its line and cause, and the old
//! settings stay.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::reload::{host_of, replace, to};
use crate::support::gateway::{BINARY, Gateway, Ports, Settings};
use crate::support::need;
use crate::support::pki::Pki;
use crate::support::{BOB, Imap, Scratch, scripted};

/// What a bad file is, and how it is refused: code and line.
fn bad_files(good: &str) -> Vec<(&'static str, Bad, &'static str, u64)> {
    let lines = |n: usize| good.lines().take(n).collect::<Vec<_>>().join("\n");
    let with = |more: &str| Bad::Text(format!("{good}{more}\n"));
    let last = good.lines().count() as u64;
    let bomb = include_str!("../config/bomb.yaml").to_owned();
    vec![
        ("empty", Bad::Text(String::new()), "E013", 1),
        (
            "half-written",
            Bad::Text(lines(3) + "\n  - { bind: \"imap://127."),
            "E002",
            4,
        ),
        ("half of its lines", Bad::Text(lines(5)), "E012", 1),
        ("an unknown key", with("colour: blue"), "E010", last + 1),
        ("a key twice", with("admin: {}"), "E004", last + 1),
        ("aliases that multiply", Bad::Text(bomb), "E006", 0),
        (
            "over 16 MiB",
            with(&format!("#{}", "x".repeat(16 << 20))),
            "E001",
            0,
        ),
        ("not UTF-8", Bad::Octets(b"listeners: \xff\n"), "E001", 0),
        ("no permission", Bad::NoPermission, "E001", 0),
        ("a directory", Bad::Directory, "E001", 0),
        ("gone", Bad::Gone, "E001", 0),
    ]
}

enum Bad {
    Text(String),
    Octets(&'static [u8]),
    NoPermission,
    Directory,
    Gone,
}

#[test]
fn a_broken_file_is_refused_with_line_and_cause_and_the_old_settings_stay() {
    let a = scripted::imap_named("a");
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let ports = Ports::free();
    let good = Settings::to(to(a)).yaml(&ports, &pki);
    let file = scratch.write("proxy.yaml", &good);
    // Root may read what nobody may, unless this is taken from it.
    let mut command = Command::new(BINARY);
    let plain = match (need::is_root(), need::program("setpriv")) {
        (true, Some(setpriv)) => {
            command = Command::new(setpriv);
            command.args([
                "--bounding-set",
                "-dac_override,-dac_read_search",
                "--",
                BINARY,
            ]);
            true
        }
        (true, None) => {
            need::skip("setpriv");
            false
        }
        (false, _) => true,
    };
    command.arg("run").arg("-c").arg(&file);
    let mut gateway = Gateway::start(&command, file.clone(), ports, &scratch);
    let mut steady = Imap::logged_in(ports.imap, BOB);
    for (what, bad, code, line) in bad_files(&good) {
        let aside = scratch.join("aside");
        let _ = fs::remove_file(&file);
        match bad {
            Bad::Text(text) => fs::write(&aside, text).unwrap(),
            Bad::Octets(octets) => fs::write(&aside, octets).unwrap(),
            Bad::NoPermission if !plain => continue,
            Bad::NoPermission => {
                fs::write(&aside, &good).unwrap();
                fs::set_permissions(&aside, fs::Permissions::from_mode(0o000)).unwrap();
            }
            Bad::Directory => fs::create_dir(&aside).unwrap(),
            Bad::Gone => {}
        }
        let _ = fs::rename(&aside, &file);
        let (status, problems) = gateway.reload();
        assert_eq!(status, 422, "{what}: {problems:#}");
        let errors = problems.as_array().unwrap().iter();
        let problem = errors.clone().find(|it| it["severity"] == "error");
        let problem = problem.unwrap();
        assert_eq!(problem["code"], code, "{what}: {problem:#}");
        let at = problem["line"].as_u64().unwrap();
        assert!(
            line == 0 || at == line,
            "{what}: line {line}, not {problem:#}"
        );
        assert_eq!(host_of(&mut steady), "a");
        assert_eq!(host_of(&mut Imap::logged_in(ports.imap, BOB)), "a");
        if file.is_dir() {
            fs::remove_dir(&file).unwrap();
        }
    }
    replace(&file, &good);
    assert_eq!(gateway.reload().0, 200);
    gateway.logged(&["event=reload_problem"]);
}
