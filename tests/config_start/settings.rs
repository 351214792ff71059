//! Settings in a directory of files for them, and what `gatepost` says of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory with two pairs that do not belong together, and files that hold what they should not.
pub(crate) fn data(copy: &str) -> PathBuf {
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
pub(crate) fn gatepost(dir: &Path, command: &str, settings: &str) -> (i32, String) {
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
pub(crate) fn check(dir: &Path, settings: &str) -> (bool, String) {
    match gatepost(dir, "check", settings) {
        (0, said) => (true, said),
        (2, said) => (false, said),
        (other, said) => panic!("exit code {other}: {said}"),
    }
}

/// Settings with a backend and one line more, the fourth.
pub(crate) fn with(backend: &str, line: &str) -> String {
    format!("listeners: [imap://127.0.0.1:1143]\nusers: {{ \"*\": b }}\n{backend}\n{line}\n")
}

pub(crate) const PLAIN: &str = "backends: { b: imap://10.0.0.5 }";

pub(crate) fn secured(tls: &str) -> String {
    format!("backends: {{ b: {{ hosts: [imaps://10.0.0.5], tls: {{ verify: false, {tls} }} }} }}")
}

/// What is said of settings with a problem that begins so: once, at the place of `«`, with these words. They
/// are fine all the same where it is a warning.
pub(crate) fn told(dir: &Path, settings: &str, begins: &str, says: &str) -> String {
    let (place, settings) = marked(settings);
    let (fine, told) = check(dir, &settings);
    assert_eq!(fine, begins.starts_with("warning"), "{settings}\n{told}");
    let mut each = told.split("\n\n").filter(|it| it.starts_with(begins));
    let one = each.next().unwrap_or_else(|| panic!("{settings}\n{told}"));
    assert!(one.contains(&place), "{place}\n{told}");
    assert!(one.contains(says), "{settings}\n{told}");
    assert!(each.next().is_none(), "{settings}\n{told}");
    told
}

/// Where `«` stands, and the settings without it and its like.
fn marked(settings: &str) -> (String, String) {
    let before = settings.split('«').next().unwrap();
    let line = before.split('\n').next_back().unwrap();
    let place = format!("proxy.yaml:{}:{}\n", before.lines().count(), line.len() + 1);
    (place, settings.replace(['«', '»'], ""))
}

/// What is in a directory beside the settings.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "proxy.yaml").collect();
    names.sort();
    names
}
