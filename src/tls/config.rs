//! Settings of TLS towards clients.

use std::path::PathBuf;

/// `tls:` as meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Certificate and key files; none: a self-signed pair is made at start, with a warning.
    pub certificates: Vec<Pair>,
    /// Lowest version.
    pub min_version: Version,
    /// A key shared among replicas for session tickets.
    pub ticket_key_file: Option<PathBuf>,
}

/// A certificate chain and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// `TLSv1.2`.
    #[default]
    Tls12,
    /// `TLSv1.3`.
    Tls13,
}
