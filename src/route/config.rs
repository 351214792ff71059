//! Settings of routing: the users map and its sources, as parsed.

use std::path::PathBuf;

/// `users:`, `users_from:`, `default_domain:` as meant.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Every entry of the map and of its files, in file order.
    pub entries: Vec<Entry>,
    /// Added to names without a domain.
    pub default_domain: Option<String>,
}

/// One entry of a map: a key and where it leads.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key as written: `alice@example.com`, `@example.org`, `@*.example.org`, `/regex/`, `*`.
    pub key: String,
    /// Where it leads.
    pub to: Destination,
    /// Where it stands.
    pub place: Place,
}

/// A place in a file, 1-based.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Place {
    /// The file as it was named; empty for a map that was not read from a file.
    pub file: PathBuf,
    /// The line.
    pub line: u32,
}

/// Where an entry leads.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    /// To a backend.
    Backend {
        /// Its name.
        backend: String,
        /// Another login name; may use `{user}`, `{local}`, `{domain}` and named groups.
        login: Option<String>,
        /// A fixed host of the backend.
        host: Option<String>,
    },
    /// Nowhere: this text is told before the password is checked.
    Reject(String),
}
