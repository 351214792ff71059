//! Who goes where: the users map and the answer it gives.

pub mod config;

use std::sync::Arc;

pub use config::{Config, Destination, Entry, Place};

use crate::protocol::UserName;

/// The answer to "where does this user go": a backend, the login to use there, and which entry of
/// the map said so.
#[derive(Clone, Debug)]
pub struct Route {
    /// The backend's name.
    pub backend: String,
    /// The name to log in with; its [`UserName::canonical`] form is the key of hash, pins and limits.
    pub login: UserName,
    /// A fixed host of the backend.
    pub host: Option<String>,
    /// The entry that matched.
    pub entry: Arc<Entry>,
}
