//! Counts of one listener, one backend, one host.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use super::{AcceptError, PROTOCOLS, of};
use crate::protocol::Protocol;

/// A listener's counts.
#[derive(Clone)]
pub struct Listener {
    connections: Counter,
    accept_errors: [Counter; AcceptError::ALL.len()],
}

impl Listener {
    /// Of the listener of this name.
    pub fn new(name: &str) -> Self {
        let connections =
            metrics::counter!("gatepost_connections_total", "listener" => name.to_owned());
        connections.absolute(0);
        let accept_errors = AcceptError::ALL.map(|error| {
            let count = metrics::counter!(
                "gatepost_accept_errors_total", "listener" => name.to_owned(), "error" => error.as_str()
            );
            count.absolute(0);
            count
        });
        Listener {
            connections,
            accept_errors,
        }
    }

    /// A connection was accepted.
    pub fn connection(&self) {
        self.connections.increment(1);
    }

    /// A connection could not be accepted when it came.
    pub fn accept_failed(&self, error: AcceptError) {
        let place = AcceptError::ALL.iter().position(|known| *known == error);
        if let Some(count) = place.and_then(|place| self.accept_errors.get(place)) {
            count.increment(1);
        }
    }
}

/// A backend's counts.
#[derive(Clone)]
pub struct Backend {
    sessions: [Gauge; PROTOCOLS],
    connect: Histogram,
}

impl Backend {
    /// Of the backend of this name.
    pub fn new(name: &str) -> Self {
        let sessions = Protocol::ALL.map(|protocol| {
            let gauge = metrics::gauge!(
                "gatepost_sessions", "protocol" => protocol.as_str(), "backend" => name.to_owned()
            );
            gauge.increment(0.0);
            gauge
        });
        let connect =
            metrics::histogram!("gatepost_backend_connect_seconds", "backend" => name.to_owned());
        Backend { sessions, connect }
    }

    /// A session is logged in, until the guard is dropped.
    pub fn session(&self, protocol: Protocol) -> Counted {
        Counted::new(of(&self.sessions, protocol))
    }

    /// A connection that is logged in took so long to make.
    pub fn connected(&self, took: Duration) {
        self.connect.record(took);
    }
}

/// A host's state.
#[derive(Clone)]
pub struct Host {
    up: Gauge,
    sessions: Gauge,
    logins: Counter,
}

/// Most names of hosts of a backend that have series of their own while the process lives: a name server
/// may go on naming others. Those beyond are counted together, as [`OTHER`].
const MOST_HOSTS: usize = 1024;

/// What hosts without series of their own are called.
pub(super) const OTHER: &str = "other";

/// What all hosts that lookup services name are called: their names are what a service says.
const ANSWERED: &str = "answered";

/// Whether a host has series of its own, which then stay.
fn has_own(backend: &str, host: &str) -> bool {
    static NAMED: Mutex<BTreeMap<String, HashSet<String>>> = Mutex::new(BTreeMap::new());
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    let hosts = named.entry(backend.to_owned()).or_default();
    hosts.contains(host) || (hosts.len() < MOST_HOSTS && hosts.insert(host.to_owned()))
}

impl Host {
    /// Of this host of this backend. Whether it is up is not told before it is known to be in use.
    pub fn new(backend: &str, host: &str) -> Self {
        match has_own(backend, host) {
            true => Host {
                up: metrics::gauge!(
                    "gatepost_host_up", "backend" => backend.to_owned(), "host" => host.to_owned()
                ),
                ..Host::together(backend, host)
            },
            false => Host::together(backend, OTHER),
        }
    }

    /// Of all hosts that lookup services name: sessions and logins are counted together, and none of
    /// them is up or down by itself.
    pub fn answered(backend: &str) -> Self {
        Host::together(backend, ANSWERED)
    }

    fn together(backend: &str, host: &str) -> Self {
        let labels = [("backend", backend.to_owned()), ("host", host.to_owned())];
        let sessions = metrics::gauge!("gatepost_host_sessions", &labels);
        sessions.increment(0.0);
        let logins = metrics::counter!("gatepost_host_logins_total", &labels);
        logins.absolute(0);
        Host {
            up: Gauge::noop(),
            sessions,
            logins,
        }
    }

    /// It is up.
    pub fn up(&self) {
        self.up.set(1.0);
    }

    /// It is down.
    pub fn down(&self) {
        self.up.set(0.0);
    }

    /// It is none of the backend's any more: neither up nor down.
    pub fn gone(&self) {
        self.up.set(f64::NAN);
    }

    /// A login succeeded there: it has one session more, until the guard is dropped.
    pub fn session(&self) -> Counted {
        self.logins.increment(1);
        Counted::new(Some(&self.sessions))
    }
}

/// One in a gauge, for as long as it lives.
#[must_use = "counts only while it lives"]
pub struct Counted(Option<Gauge>);

impl Counted {
    fn new(gauge: Option<&Gauge>) -> Self {
        let gauge = gauge.cloned();
        gauge.iter().for_each(|gauge| gauge.increment(1.0));
        Counted(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.iter().for_each(|gauge| gauge.decrement(1.0));
    }
}
