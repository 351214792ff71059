//! What a test needs from the machine, and what happens where it is not there.

use std::path::{Path, PathBuf};

/// A server or a client that may not be installed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    /// A program on the path (or in sbin).
    Program(&'static str),
    /// A server unpacked by `.ci/servers`, which runs in a namespace of its own.
    Unpacked(&'static str),
    /// A mount and pid namespace of its own; that takes root.
    Namespace,
    /// A server in a Python environment made by `.ci/servers`.
    Venv(&'static str),
}

/// Leaves the test where something is missing, with a word about it.
macro_rules! needs {
    ($($need:expr),+ $(,)?) => {
        if !crate::support::need::all_there(&[$($need),+]) {
            return;
        }
    };
}
pub(crate) use needs;

pub(crate) const DOVECOT: Need = Need::Program("dovecot");

/// Whether everything is there. Says what is not; fails the test if the run requires it.
pub(crate) fn all_there(needs: &[Need]) -> bool {
    let missing: Vec<String> = needs.iter().filter_map(|need| need.missing()).collect();
    if missing.is_empty() {
        return true;
    }
    skip(&missing.join(", "));
    false
}

/// Says what a test is left for, and fails it if the run requires it.
pub(crate) fn skip(missing: &str) {
    assert!(
        std::env::var_os("GATEPOST_E2E").is_none_or(|value| value != "required"),
        "GATEPOST_E2E=required, but this is missing: {missing}; .ci/run installs what it can"
    );
    eprintln!("skipped: {missing} missing");
}

impl Need {
    fn missing(self) -> Option<String> {
        match self {
            Need::Program(name) => program(name)
                .is_none()
                .then(|| format!("program {name} (Debian has it)")),
            Need::Unpacked(name) if unpacked(name).exists() => Need::Namespace.missing(),
            Need::Venv(name) if unpacked(name).exists() => None,
            Need::Unpacked(name) | Need::Venv(name) => {
                Some(format!("{name} (.ci/servers unpacks it)"))
            }
            Need::Namespace if !is_root() => Some("root, for a namespace".to_owned()),
            Need::Namespace => Need::Program("unshare").missing(),
        }
    }
}

/// Where a program is. Debian keeps servers in sbin, which is not on everyone's path.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Where `.ci/servers` puts a server.
pub(crate) fn unpacked(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("e2e-servers")
        .join(name)
}

/// Whether the tests run as root: servers then drop to another user, as they are made to.
pub(crate) fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}
