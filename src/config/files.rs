//! Files that proxy.yaml names: whether they can be read and hold what they should, or be written.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::Access;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::problem::Code;
use super::schema::Holds;
use super::value::Wrong;
use crate::protocol::Secret;
use crate::session::authenticate;

/// Largest file of secrets or certificates in octets; a bundle of all public authorities has 250 KiB.
const MAX_SMALL_FILE: u64 = 4 * 1024 * 1024;

/// Opens and looks at a file.
pub(super) fn check(path: &Path, holds: Holds) -> Result<(), Wrong> {
    match holds {
        Holds::Anything => open(path).map(drop),
        Holds::Secret => secret(path).map(drop),
        Holds::Passwords => {
            open(path)?;
            let found = authenticate::look(path);
            found.map_err(|wrong| unfit(&wrong.join("; ")))
        }
        Holds::Certificates => {
            let octets = read(path)?;
            let mut certificates = CertificateDer::pem_slice_iter(&octets).peekable();
            if certificates.peek().is_none() {
                return Err(unfit(
                    "expected a certificate in it: `-----BEGIN CERTIFICATE-----`",
                ));
            }
            match certificates.find_map(Result::err) {
                Some(_) => Err(unfit("expected PEM certificates, one of these is damaged")),
                None => Ok(()),
            }
        }
        Holds::Key => match PrivateKeyDer::from_pem_slice(&Zeroizing::new(read(path)?)) {
            Ok(_) => Ok(()),
            Err(PemError::NoItemsFound) => Err(unfit(
                "expected a private key in it, not encrypted: `-----BEGIN PRIVATE KEY-----`",
            )),
            Err(_) => Err(unfit("expected a PEM private key, this one is damaged")),
        },
    }
}

/// Whether a file can be written, or made where it is not there. Nothing is written or made.
pub(super) fn writable(path: &Path) -> Result<(), Wrong> {
    match path.metadata() {
        Ok(meta) if meta.is_dir() => Err(unwritable("it is a directory")),
        Ok(_) => may(path, Access::WRITE_OK),
        Err(error) if error.kind() == io::ErrorKind::NotFound => directory_of(path),
        Err(error) => Err(unwritable(&reason(&error))),
    }
}

/// Whether files can be made beside this one, as a file that is replaced whole needs it.
pub(super) fn replaceable(path: &Path) -> Result<(), Wrong> {
    writable(path)?;
    directory_of(path)
}

/// Whether files can be made and listed in a directory, or it can be made where it is not there.
/// Nothing is made.
pub(super) fn directory(path: &Path) -> Result<(), Wrong> {
    match path.metadata() {
        Ok(meta) if meta.is_dir() => {
            may(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
        }
        Ok(_) => Err(unwritable(&format!("{} is no directory", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => directory_of(path),
        Err(error) => Err(unwritable(&format!(
            "{}: {}",
            path.display(),
            reason(&error)
        ))),
    }
}

fn directory_of(path: &Path) -> Result<(), Wrong> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let shown = directory.display();
    match directory.metadata() {
        Ok(meta) if meta.is_dir() => may(directory, Access::WRITE_OK | Access::EXEC_OK),
        Ok(_) => Err(unwritable(&format!("{shown} is no directory"))),
        Err(error) => Err(unwritable(&format!("{shown}: {}", reason(&error)))),
    }
}

fn may(path: &Path, access: Access) -> Result<(), Wrong> {
    rustix::fs::access(path, access).map_err(|error| {
        let reason = reason(&io::Error::from(error));
        unwritable(&format!("{}: {reason}", path.display()))
    })
}

fn unwritable(reason: &str) -> Wrong {
    Wrong::new(
        Code::E042,
        format!("expected a file that can be written: {reason}"),
    )
}

/// Reads a secret from a file; one line end at its end is not part of it.
pub(super) fn secret(path: &Path) -> Result<Secret, Wrong> {
    let octets = Zeroizing::new(read(path)?);
    let text = octets.strip_suffix(b"\n").unwrap_or(&octets);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    Secret::new(text)
        .map_err(|_| unfit("expected one line that is not empty and has no control characters"))
}

/// Whether others than owner and group may read it.
pub(super) fn is_open_to_all(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().is_ok_and(|meta| meta.mode() & 0o004 != 0)
}

/// What the system says, without its number: `no such file or directory`.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

fn open(path: &Path) -> Result<File, Wrong> {
    let file = File::open(path).map_err(|error| unreadable(&reason(&error)))?;
    match file.metadata() {
        Ok(meta) if meta.is_dir() => Err(unreadable("it is a directory")),
        _ => Ok(file),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Wrong> {
    let mut octets = Vec::new();
    open(path)?
        .take(MAX_SMALL_FILE + 1)
        .read_to_end(&mut octets)
        .map_err(|error| unreadable(&reason(&error)))?;
    match octets.len() as u64 > MAX_SMALL_FILE {
        true => Err(unfit("expected a file of at most 4 MiB")),
        false => Ok(octets),
    }
}

fn unreadable(reason: &str) -> Wrong {
    Wrong::new(
        Code::E040,
        format!("expected a file that can be read: {reason}"),
    )
}

fn unfit(expected: &str) -> Wrong {
    Wrong::new(Code::E041, expected)
}
