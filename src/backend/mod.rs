//! The servers we log in to: a named set of hosts, which of them a user belongs to, and how a
//! logged-in connection is made.

pub mod balance;
pub mod config;

pub use config::Config;

use crate::net::Stream;
use crate::protocol::{Credentials, Failure, Origin, Protocol, UserName, Welcome};

/// A login to be made on a host of a backend.
#[derive(Debug)]
pub struct Request<'a> {
    /// What the client speaks. A POP3 client of a host without a POP3 endpoint gets an IMAP
    /// connection: see [`Connected::speaks`].
    pub protocol: Protocol,
    /// The name to log in with.
    pub user: &'a UserName,
    /// What proves it.
    pub credentials: &'a Credentials,
    /// A fixed host, by name.
    pub host: Option<&'a str>,
    /// Who the client is, to be told to the host.
    pub origin: Option<Origin>,
    /// Commands for an IMAP host of a POP3 client, to be sent behind the login where the host bears
    /// it. Not used for connections that are relayed.
    pub behind: &'a [u8],
}

/// A connection that is logged in.
pub struct Connected {
    /// The host's stream.
    pub stream: Stream,
    /// What the host speaks: the client's protocol, or IMAP for a POP3 session to be translated.
    pub speaks: Protocol,
    /// The host's yes, with the bytes already read.
    pub welcome: Welcome,
    /// The host's name.
    pub host: String,
}

/// A login that failed, and on which host, if one was chosen.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub failure: Failure,
    /// The last host that was tried.
    pub host: Option<String>,
}
