//! Settings of the shared state: where it is kept.

use std::path::PathBuf;

use crate::protocol::Secret;

/// `state:` as meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Config {
    /// In the process: a restart forgets it.
    #[default]
    Memory,
    /// In a file of this gateway's own.
    File(PathBuf),
    /// On a Redis that several gateways share.
    Redis(Redis),
}

/// A Redis.
#[derive(Clone, Debug, PartialEq)]
pub struct Redis {
    /// `redis://user@host:6379/0`, or `rediss://` with TLS. May hold a password: not to be logged.
    pub url: Secret,
    /// The password, where it is not in the URL.
    pub password: Option<Secret>,
    /// What every key begins with.
    pub prefix: String,
}

impl Redis {
    /// What keys begin with unless the settings say otherwise.
    pub const PREFIX: &'static str = "gatepost";
}

/// Whether a URL is one of a Redis that can be asked; nothing is asked.
pub fn is_redis(url: &str) -> bool {
    let Ok(url) = Secret::new(url.as_bytes()) else {
        return false;
    };
    super::redis::Redis::new(&Redis {
        url,
        password: None,
        prefix: Redis::PREFIX.to_owned(),
    })
    .is_ok()
}
