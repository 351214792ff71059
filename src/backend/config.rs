//! Settings of backends: a backend is a named set of interchangeable hosts.

use std::path::PathBuf;
use std::time::Duration;

use super::master::Master;
use crate::protocol::{Protocol, Secret, pop3};

/// One backend as meant (defaults filled in, everything checked).
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Its name in the map.
    pub name: String,
    /// At least one, names unique; none where they are found by name.
    pub hosts: Vec<HostConfig>,
    /// By which name hosts are found, if they are.
    pub discover: Option<Discover>,
    /// TLS towards the hosts.
    pub tls: TlsConfig,
    /// How a host is chosen.
    pub balance: Balance,
    /// Whether users leave a host that is down for their next one.
    pub failover: Failover,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the greeting.
    pub greeting_timeout: Duration,
    /// From the greeting to the accepted login.
    pub login_timeout: Duration,
    /// How long a login is tried again, before credentials were sent. Zero: one try each host.
    pub retry_for: Duration,
    /// How hosts are probed; none: not at all.
    pub health: Option<Health>,
    /// Most sessions on one host; 0: no limit.
    pub max_sessions: u32,
    /// Most logins in flight on one host; more wait their turn.
    pub logins_in_flight: u32,
    /// What users of this backend may use.
    pub protocols: Vec<Protocol>,
    /// If set, logins are answered with this text.
    pub maintenance: Option<String>,
    /// How hosts learn who the client is.
    pub forward_client: ForwardClient,
    /// Who logs in to the hosts; none: the client, with what it showed.
    pub login_as: Option<Master>,
    /// POP3 from IMAP.
    pub pop3: pop3::Settings,
}

impl Config {
    /// A backend with every default, as `name: URL` means it.
    pub fn new(name: impl Into<String>, hosts: Vec<HostConfig>) -> Self {
        Config {
            name: name.into(),
            hosts,
            discover: None,
            tls: TlsConfig::default(),
            balance: Balance::Sticky,
            failover: Failover::Yes,
            connect_timeout: Duration::from_secs(5),
            greeting_timeout: Duration::from_secs(5),
            login_timeout: Duration::from_secs(30),
            retry_for: Duration::from_secs(5),
            health: Some(Health::default()),
            max_sessions: 0,
            logins_in_flight: 200,
            protocols: Protocol::ALL.to_vec(),
            maintenance: None,
            forward_client: ForwardClient::Auto,
            login_as: None,
            pop3: pop3::Settings::default(),
        }
    }

    /// Whether TLS is spoken with any host.
    pub fn uses_tls(&self) -> bool {
        let hosts = self.hosts.iter();
        let endpoints = hosts.flat_map(|host| [&host.imap, &host.pop3]).flatten();
        endpoints
            .map(|endpoint| endpoint.security)
            .chain(self.discover.as_ref().map(|it| it.security))
            .any(|security| security != Security::Clear)
    }
}

/// A name by which hosts are found: its SRV records, or else its addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Discover {
    /// What the hosts speak.
    pub protocol: Protocol,
    /// Clear, upgraded, or TLS from the first byte.
    pub security: Security,
    /// The name. It is also what certificates must bear: a name server is not believed on that.
    pub name: String,
    /// The scheme's own port: SRV records are asked for first. Another: addresses, with this port.
    pub port: u16,
}

/// How hosts are probed. A host counts as up until shown otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Between two probes of a host.
    pub interval: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Good probes in a row until a host is up.
    pub rise: u32,
    /// Bad probes in a row until a host is down.
    pub fall: u32,
    /// A user to log in as; without one the greeting is enough.
    pub login: Option<(String, Secret)>,
}

impl Default for Health {
    fn default() -> Self {
        Health {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            rise: 2,
            fall: 3,
            login: None,
        }
    }
}

/// Largest weight of a host, by the settings and by an operator's word: whatever is a weight.
pub const MAX_WEIGHT: u32 = u32::MAX;

/// One mail server with an endpoint for each protocol it speaks.
#[derive(Clone, Debug, PartialEq)]
pub struct HostConfig {
    /// `name:`, or the authority without the scheme's default port. The key of the hash.
    pub name: String,
    /// Where it speaks IMAP.
    pub imap: Option<Endpoint>,
    /// Where it speaks POP3.
    pub pop3: Option<Endpoint>,
    /// Its share of the users, relative to the others.
    pub weight: u32,
}

impl HostConfig {
    /// The endpoint of a protocol.
    pub fn endpoint(&self, protocol: Protocol) -> Option<&Endpoint> {
        match protocol {
            Protocol::Imap => self.imap.as_ref(),
            Protocol::Pop3 => self.pop3.as_ref(),
        }
    }
}

/// Where and how a host is reached for one protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// What is spoken.
    pub protocol: Protocol,
    /// Clear, upgraded, or TLS from the first byte.
    pub security: Security,
    /// Where.
    pub target: Target,
}

/// The security of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// `imap`, `pop3`: clear text.
    Clear,
    /// `imap+starttls`, `pop3+starttls`: upgraded first, never back to clear text.
    StartTls,
    /// `imaps`, `pop3s`: TLS from the first byte.
    Implicit,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A name or address (without brackets) and a port.
    Network {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// `demo://`: the built-in store.
    Demo,
}

/// TLS towards hosts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsConfig {
    /// CA file; the system's roots without it.
    pub ca: Option<PathBuf>,
    /// The name the certificate must bear, instead of the host's.
    pub name: Option<String>,
    /// Whether the certificate is verified.
    pub verify: Verify,
    /// SHA-256 of public keys (SPKI); one of them must match.
    pub pins: Vec<[u8; 32]>,
    /// Our own certificate and key, for hosts that ask for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Whether a host's certificate is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// The default.
    #[default]
    Yes,
    /// `verify: false`, which warns at every start.
    No,
}

/// How a host is chosen among those of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Weighted rendezvous hashing of the canonical user name.
    Sticky,
    /// The host with the fewest sessions for its weight.
    LeastSessions,
}

/// Whether users leave a host that cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failover {
    /// The next host by the hash takes them.
    Yes,
    /// They wait for their host.
    No,
}

/// How hosts learn who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardClient {
    /// ID or XCLIENT, where the host offers it.
    Auto,
    /// IMAP ID.
    Id,
    /// POP3 XCLIENT.
    Xclient,
    /// PROXY protocol version 1.
    ProxyV1,
    /// PROXY protocol version 2.
    ProxyV2,
    /// Not at all.
    None,
}
