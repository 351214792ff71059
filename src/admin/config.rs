//! Settings of the admin port.

use std::net::SocketAddr;

use crate::protocol::Secret;

/// `admin:` as meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where it listens; off loopback only with a token.
    pub bind: SocketAddr,
    /// The bearer token, if one is set.
    pub token: Option<Secret>,
}
