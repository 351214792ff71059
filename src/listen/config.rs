//! Settings of listeners.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use crate::protocol::{ClearLogin, Protocol};

/// One listener as meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Label in logs and metrics: `name:`, or the URL as written.
    pub name: String,
    /// Where it listens. `[::]` is dual-stack.
    pub bind: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// TLS from the first byte, or offered.
    pub tls: TlsMode,
    /// Whether a login is taken without TLS.
    pub cleartext_login: ClearLogin,
    /// From these networks a PROXY header is required; elsewhere one closes the connection.
    pub proxy_protocol: Vec<IpNet>,
    /// CA of client certificates.
    pub client_ca: Option<PathBuf>,
    /// Every login goes there; no map is asked.
    pub backend: Option<String>,
    /// Where those go whom the map does not name, by the server that they asked for (SNI): a name in
    /// lower case, or `*.` and what follows one label; and a backend.
    pub server_names: Vec<(String, String)>,
    /// Networks that may connect; empty where `allow` is not set: all.
    pub allow: Vec<IpNet>,
    /// List shown before login instead of ours.
    pub capabilities: Option<Vec<String>>,
    /// Text of the greeting.
    pub greeting: String,
}

/// What makes a listener the same one when settings change: where it listens. Those that ask for any
/// free port are told apart by their names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// As the settings have it.
    pub bind: SocketAddr,
    name: Option<String>,
}

impl Config {
    /// Where it listens.
    pub fn place(&self) -> Place {
        Place {
            bind: self.bind,
            name: (self.bind.port() == 0).then(|| self.name.clone()),
        }
    }

    /// Whether this sender owes us a PROXY header.
    pub fn owes_header(&self, sender: IpAddr) -> bool {
        self.proxy_protocol.iter().any(|net| net.contains(&sender))
    }

    /// Whether a client may connect; behind a load balancer it is the client's own address that
    /// counts.
    pub fn allows(&self, ip: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|net| net.contains(&ip))
    }
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// `imaps`, `pop3s`: from the first byte.
    Implicit,
    /// `imap`, `pop3`: STARTTLS or STLS is offered.
    Upgrade,
}
