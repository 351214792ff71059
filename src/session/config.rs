//! Settings of sessions: limits and timeouts.

use std::time::Duration;

use ipnet::IpNet;

/// `limits:` as meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address (IPv6: one /64).
    pub per_ip: u32,
    /// Sessions of one user.
    pub per_user: u32,
    /// Sessions of one user from one address.
    pub per_user_ip: u32,
    /// Exempt from `per_ip` and from penalties.
    pub trusted: Vec<IpNet>,
    /// Failed logins of one address.
    pub failed_per_ip: Rate,
    /// Failed logins of one user, distinct passwords.
    pub failed_per_user: Rate,
    /// How long a failure's answer is held back; doubled for each repeated failure from the
    /// address, up to 15 s.
    pub failure_delay: Duration,
    /// Failed logins before the connection is closed.
    pub logins_per_session: u32,
    /// Bad commands before login until the connection is closed.
    pub bad_commands: u32,
    /// Longest command before login in octets, literals included.
    pub line: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 20_000,
            per_ip: 100,
            per_user: 50,
            per_user_ip: 20,
            trusted: Vec::new(),
            failed_per_ip: Rate {
                count: 100,
                per: Duration::from_secs(600),
            },
            failed_per_user: Rate {
                count: 10,
                per: Duration::from_secs(600),
            },
            failure_delay: Duration::from_secs(2),
            logins_per_session: 3,
            bad_commands: 5,
            line: 8 * 1024,
        }
    }
}

/// So many in such a time: `100/10m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In which time.
    pub per: Duration,
}

/// `timeouts:` as meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeouts {
    /// For the PROXY header.
    pub proxy_header: Duration,
    /// For the TLS handshake.
    pub tls_handshake: Duration,
    /// Accept to login in all; progress does not extend it.
    pub login: Duration,
    /// IMAP: no byte either way.
    pub idle: Duration,
    /// POP3: no command.
    pub pop3_idle: Duration,
    /// TCP keepalive on both legs.
    pub keepalive: Duration,
    /// After SIGTERM: not ready, but connections are still accepted.
    pub drain_delay: Duration,
    /// How long sessions may finish.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            proxy_header: Duration::from_secs(5),
            tls_handshake: Duration::from_secs(10),
            login: Duration::from_secs(60),
            idle: Duration::from_secs(31 * 60),
            pop3_idle: Duration::from_secs(600),
            keepalive: Duration::from_secs(60),
            drain_delay: Duration::ZERO,
            drain: Duration::from_secs(30),
        }
    }
}
