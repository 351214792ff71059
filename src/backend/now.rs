//! Hosts as they are at the moment, for whoever asks and logs nobody in.

use super::config::{Config, HostConfig};
use super::{Backend, Host};
use crate::protocol::Protocol;
use crate::state::{Drain, Orders, Place};

/// A host as it is at the moment, for clients of one protocol.
#[derive(Clone, Debug)]
pub struct HostNow {
    /// Its settings.
    pub config: HostConfig,
    /// `up`, `down`, `drain`.
    pub state: &'static str,
    /// Why it is down for this protocol, if it is.
    pub down: Option<String>,
    /// Whether it takes no new users.
    pub drained: bool,
    /// Whether those that are still there are to go.
    pub drain_over: bool,
    /// Whether it has all the sessions it may have.
    pub full: bool,
    /// Its share of the users: the settings' or an operator's.
    pub weight: u32,
    /// Sessions for its weight, comparable.
    pub load: u64,
}

impl HostNow {
    /// A host of which no more is known than settings and orders: it counts as up.
    pub fn of(config: &HostConfig, backend: &str, orders: &Orders) -> Self {
        let place = Place::new(backend, &config.name);
        let weight = orders.weight(&place).unwrap_or(config.weight);
        let now = HostNow {
            config: config.clone(),
            state: "up",
            down: None,
            drained: false,
            drain_over: false,
            full: false,
            weight,
            load: 0,
        };
        now.drained(orders.drain(&place))
    }

    fn drained(mut self, drain: Option<Drain>) -> Self {
        if let Some(drain) = drain {
            self.state = "drain";
            self.drained = true;
            self.drain_over = drain.is_over();
        }
        self
    }
}

impl Config {
    /// The hosts of the settings, by what was ordered.
    pub fn hosts_by(&self, orders: &Orders) -> Vec<HostNow> {
        let hosts = self.hosts.iter();
        hosts
            .map(|host| HostNow::of(host, &self.name, orders))
            .collect()
    }
}

impl Backend {
    /// Its hosts as they are at the moment, for clients of a protocol.
    pub fn hosts_now(&self, protocol: Protocol) -> Vec<HostNow> {
        let hosts = self.hosts();
        hosts.iter().map(|host| self.now(host, protocol)).collect()
    }

    fn now(&self, host: &Host, protocol: Protocol) -> HostNow {
        // A POP3 client of a host with IMAP only is translated.
        let endpoint = match (protocol, &host.config.pop3) {
            (Protocol::Pop3, None) => Protocol::Imap,
            (other, _) => other,
        };
        let down = host.health.failure_of(endpoint);
        let weight = self.weight_of(host);
        let now = HostNow {
            config: host.config.clone(),
            state: if down.is_some() { "down" } else { "up" },
            down: down.map(|why| why.to_string()),
            drained: false,
            drain_over: false,
            full: host.is_full(),
            weight,
            load: host.load(weight),
        };
        now.drained(self.drain_of(host))
    }
}
