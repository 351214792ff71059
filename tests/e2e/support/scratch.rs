//! A folder of a test's own, and ports nobody else has.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use super::need;

/// Mail is owned by this user and group where the tests run as root.
pub(crate) const MAIL_UID: u32 = 1000;

/// A folder that goes with the test, unless the test failed: then it stays to be looked at.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// The path is short: servers put Unix sockets into it, whose names may have 107 characters.
    pub(crate) fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("gp-e2e-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => break path,
                // Of a test that was ended, whose process had the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        };
        // Servers look in as other users.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Scratch { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes a file that only its owner may read: clients refuse to take passwords from others.
    pub(crate) fn write_private(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(name, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Makes a folder, and those above it.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("left to look at: {}", self.path.display());
        } else {
            // A server that is still going down may write one more file; nothing depends on it.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Gives a tree to the mail user, where we may.
pub(crate) fn own(path: &Path) {
    if !need::is_root() {
        return;
    }
    chown(path, Some(MAIL_UID), Some(MAIL_UID)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            own(&entry.unwrap().path());
        }
    }
}

/// A listener on a port as [`free_port`] gives it.
pub(crate) fn free_listener() -> TcpListener {
    // Another process may be asking whether the same port is free, at this very moment.
    let mut listeners = (0..100).map(|_| TcpListener::bind(("127.0.0.1", free_port())));
    listeners.find_map(Result::ok).unwrap()
}

/// A port on 127.0.0.1 that is free, and stays so: it lies below the range the kernel takes ports
/// of outgoing connections from, no two calls give the same, and each process starts elsewhere: the
/// next one so far away that a test with hundreds of hosts does not come there.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id().wrapping_mul(997) % u32::from(COUNT)).unwrap();
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start + step % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
