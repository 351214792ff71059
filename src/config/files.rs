//! Files that proxy.yaml names: whether they can be read and hold what they should.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::problem::{Code, quoted};
use super::schema::Holds;
use super::value::Wrong;
use crate::protocol::Secret;

/// Largest file of secrets or certificates in octets; a bundle of all public authorities has 250 KiB.
const MAX_SMALL_FILE: u64 = 4 * 1024 * 1024;

/// Opens and looks at a file.
pub(super) fn check(path: &Path, holds: Holds) -> Result<(), Wrong> {
    match holds {
        Holds::Anything => open(path).map(|_| ()),
        Holds::Secret => secret(path).map(|_| ()),
        Holds::Certificates => {
            let octets = read(path)?;
            let mut certificates = CertificateDer::pem_slice_iter(&octets).peekable();
            if certificates.peek().is_none() {
                return Err(not_pem(
                    path,
                    "a certificate in it: `-----BEGIN CERTIFICATE-----`",
                ));
            }
            match certificates.find_map(Result::err) {
                Some(_) => Err(not_pem(path, "PEM certificates, one of these is damaged")),
                None => Ok(()),
            }
        }
        Holds::Key => match PrivateKeyDer::from_pem_slice(&read(path)?) {
            Ok(_) => Ok(()),
            Err(PemError::NoItemsFound) => Err(not_pem(
                path,
                "a private key in it, not encrypted: `-----BEGIN PRIVATE KEY-----`",
            )),
            Err(_) => Err(not_pem(path, "a PEM private key, this one is damaged")),
        },
    }
}

/// Reads a secret from a file; one line end at its end is not part of it.
pub(super) fn secret(path: &Path) -> Result<Secret, Wrong> {
    let octets = zeroize::Zeroizing::new(read(path)?);
    let text = octets.strip_suffix(b"\n").unwrap_or(&octets);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    Secret::new(text).map_err(|_| not_secret(path))
}

/// Whether others than owner and group may read it.
pub(super) fn is_open_to_all(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().is_ok_and(|meta| meta.mode() & 0o004 != 0)
}

fn open(path: &Path) -> Result<File, Wrong> {
    let fail = |reason: String| {
        let shown = quoted(&path.display().to_string());
        Wrong::new(
            Code::E040,
            format!("expected a file that can be read: {reason}"),
        )
        .help(format!("looked at {shown}"))
    };
    let file = File::open(path).map_err(|error| fail(reason(&error)))?;
    match file.metadata() {
        Ok(meta) if meta.is_dir() => Err(fail("it is a directory".into())),
        _ => Ok(file),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Wrong> {
    let mut octets = Vec::new();
    let mut file = open(path)?.take(MAX_SMALL_FILE + 1);
    file.read_to_end(&mut octets).map_err(|error| {
        Wrong::new(
            Code::E040,
            format!("expected a file that can be read: {}", reason(&error)),
        )
    })?;
    match octets.len() as u64 > MAX_SMALL_FILE {
        true => Err(Wrong::new(Code::E041, "expected a file of at most 4 MiB")),
        false => Ok(octets),
    }
}

/// What the system says, without its number: `no such file or directory`.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

fn not_pem(path: &Path, expected: &str) -> Wrong {
    let shown = quoted(&path.display().to_string());
    Wrong::new(Code::E041, format!("expected {expected}")).help(format!("looked at {shown}"))
}

fn not_secret(path: &Path) -> Wrong {
    let shown = quoted(&path.display().to_string());
    Wrong::new(
        Code::E041,
        "expected one line that is not empty and has no control characters",
    )
    .help(format!("looked at {shown}"))
}
