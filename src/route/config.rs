//! Settings of routing: the users map, and where each entry leads.

use std::path::Path;
use std::sync::Arc;

use super::lookup;
use super::rule::Template;
use super::table::Map;

/// `users:`, `users_from:`, `default_domain:` as meant.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Every entry of the map and of its files.
    pub map: Arc<Map>,
    /// Added to names without a domain.
    pub default_domain: Option<String>,
    /// The lookup services, in the order in which they are asked.
    pub lookups: Vec<lookup::Config>,
}

impl Config {
    /// A map of keys and backends, for tests and tools: panics at a key that is none.
    #[doc(hidden)]
    #[allow(clippy::expect_used, reason = "for tests, which want the panic")]
    pub fn of(entries: &[(&str, &str)]) -> Self {
        let mut map = Map::default();
        for (line, (key, backend)) in (1..).zip(entries) {
            let to = Destination::backend(*backend);
            map.insert(key, &to, &Place::default().at(line))
                .expect("a good entry");
        }
        Config {
            map: Arc::new(map),
            ..Config::default()
        }
    }
}

/// One entry of a map: a key and where it leads.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key as written: `alice@example.com`, `@example.org`, `@*.example.org`, `/regex/`, `*`;
    /// for a listener with a backend of its own, `listener NAME`; for one of its `server_names`,
    /// `server name NAME`.
    pub key: String,
    /// Where it leads.
    pub to: Destination,
    /// Where it stands.
    pub place: Place,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named; empty for a map that was not read from a file.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: u32,
}

impl Place {
    /// Another line of the same file.
    pub fn at(&self, line: u32) -> Self {
        Place {
            file: self.file.clone(),
            line,
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Place {
            file: Path::new("").into(),
            line: 0,
        }
    }
}

/// Where an entry leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// To a backend.
    Backend {
        /// Its name.
        backend: String,
        /// Another login name.
        login: Option<Template>,
        /// A fixed host of the backend.
        host: Option<String>,
    },
    /// Nowhere: this text is told before the password is checked.
    Reject(String),
}

impl Destination {
    /// To a backend, with the name as it was typed.
    pub fn backend(name: impl Into<String>) -> Self {
        Destination::Backend {
            backend: name.into(),
            login: None,
            host: None,
        }
    }
}
