//! The servers we log in to: a named set of hosts, which of them a user belongs to, and how a
//! logged-in connection is made.
//!
//! [`Backend::connect`] is the story, in `connect`: who may, which hosts in which order, one attempt after
//! the other until one says yes or there is no sense in asking on. An attempt is in `attempt`, its
//! parts in `dial`, `tls` and `login`; what is known of a host in [`host`], `known` and
//! `health`, of its users' sessions in `seat`; `probe` looks at hosts between the logins.

mod answered;
pub(crate) mod attempt;
mod backends;
pub mod balance;
pub mod config;
mod connect;
pub(crate) mod dial;
pub mod discover;
pub mod dns;
mod gate;
mod health;
pub mod host;
mod known;
mod login;
pub mod master;
mod names;
mod now;
mod polls;
mod pool;
mod preference;
mod probe;
mod request;
mod seat;
mod shown;
mod system_names;
pub(crate) mod tls;
mod trial;
mod visit;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use answered::Answered;
use arc_swap::ArcSwap;
pub use backends::Backends;
pub use config::Config;
pub use dial::{Inside, Surroundings};
pub use host::Host;
pub use now::HostNow;
pub use request::{
    ANSWER, Admission, AfterAll, Answering, Awaited, Connected, Dialogue, Nobody, Refusal, Request,
};
pub use seat::Seat;
use tokio::task::{AbortHandle, JoinSet};
pub use trial::Tried;

use self::config::HostConfig;
use self::discover::{Following, Lookup};
use self::dns::Dns;
use self::names::Names;
use self::tls::HostTls;
use crate::observe::metrics;
use crate::protocol::Protocol;
use crate::protocol::sasl::Mechanisms;
use crate::tls::Stamp;

/// A named set of interchangeable hosts.
pub struct Backend {
    config: Config,
    /// Swapped whole where they are discovered; fixed otherwise.
    hosts: ArcSwap<Vec<Arc<Host>>>,
    metrics: metrics::Backend,
    /// None: no endpoint needs it.
    tls: Option<Arc<HostTls>>,
    /// The files that `tls` was read from, as they were then.
    files: Vec<Option<Stamp>>,
    around: Surroundings,
    /// Who is asked for the addresses of hosts that were found by name, once it runs.
    names: OnceLock<Arc<Names>>,
    /// What is known of hosts that are found by name, but for the present ones themselves.
    following: Mutex<Following>,
    beside: Mutex<Beside>,
}

/// What runs beside the logins; ends with the backend.
#[derive(Default)]
struct Beside {
    tasks: JoinSet<()>,
    /// Those that look at a host, by its name.
    watches: BTreeMap<String, Vec<AbortHandle>>,
}

impl Backend {
    /// Reads the certificates that the settings name. The error is for the operator.
    pub fn new(config: Config, around: Surroundings) -> Result<Self, String> {
        // Their times first: what changes while they are read is seen to have changed.
        let files = tls_files(&config);
        let tls = match config.uses_tls() {
            true => Some(Arc::new(HostTls::new(&config.tls)?)),
            false => None,
        };
        let mut backend = Backend::of(config, around, tls, Host::new);
        backend.files = files;
        Ok(backend)
    }

    /// A host that a lookup service named, as a backend of its own, with no files.
    fn answered(config: Config, around: Surroundings, tls: Option<Arc<HostTls>>) -> Self {
        Backend::of(config, around, tls, Host::answered)
    }

    fn of(
        config: Config,
        around: Surroundings,
        tls: Option<Arc<HostTls>>,
        host: impl Fn(HostConfig, &Config) -> Host,
    ) -> Self {
        let hosts = config.hosts.iter().cloned();
        Backend {
            files: Vec::new(),
            tls,
            hosts: ArcSwap::from_pointee(
                hosts
                    .map(|settings| Arc::new(host(settings, &config)))
                    .collect(),
            ),
            metrics: metrics::Backend::new(&config.name),
            config,
            around,
            names: OnceLock::new(),
            following: Mutex::default(),
            beside: Mutex::default(),
        }
    }

    /// Starts what runs beside the logins, once: the probes of its hosts, and the search for them
    /// where they are found by name. It ends when the backend is dropped, or by
    /// [`stop`](Self::stop). To be called within a runtime.
    pub fn start(self: &Arc<Self>) {
        self.start_asking(Arc::new(Dns::system()));
    }

    /// As [`start`](Self::start), with another name server.
    pub fn start_asking(self: &Arc<Self>, lookup: Arc<dyn Lookup>) {
        self.hosts.load().iter().for_each(|host| host.begin());
        if !self.beside().tasks.is_empty() {
            return;
        }
        for host in self.hosts.load().iter() {
            self.watch(host);
        }
        if let Some(settings) = self.config.discover.clone() {
            let _ = self.names.set(Arc::new(Names::new(lookup.clone())));
            let following = discover::follow(Arc::downgrade(self), settings, lookup);
            self.beside().tasks.spawn(following);
        }
    }

    fn beside(&self) -> MutexGuard<'_, Beside> {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what runs beside the logins; those that are under way go on.
    pub fn stop(&self) {
        self.beside().tasks.abort_all();
    }

    fn succeeding(
        config: &Config,
        around: &Surroundings,
        before: Option<&Arc<Backend>>,
    ) -> Result<Arc<Self>, String> {
        let Some(before) = before else {
            return Backend::new(config.clone(), around.clone()).map(Arc::new);
        };
        let same_files = before.files == tls_files(config);
        if before.config == *config && same_files && before.around.keepalive == around.keepalive {
            return Ok(before.clone());
        }
        let mut backend = Backend::new(config.clone(), around.clone())?;
        let next = |host: HostConfig, earlier: &Host| {
            Host::succeeding(host, config, earlier, &before.config)
        };
        let hosts = if config.discover.is_some() && config.discover == before.config.discover {
            let (hosts, following) = before.followed(next);
            backend.following = Mutex::new(following);
            hosts
        } else {
            let hosts = config.hosts.iter().cloned();
            let hosts = hosts.map(|host| {
                Arc::new(match before.host(&host.name) {
                    Some(earlier) => next(host, &earlier),
                    None => Host::new(host, config),
                })
            });
            hosts.collect()
        };
        backend.hosts.store(Arc::new(hosts));
        Ok(Arc::new(backend))
    }

    /// Its name in the map.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its hosts as they are now, in the order of the settings, or by name where they are
    /// discovered.
    pub fn hosts(&self) -> Arc<Vec<Arc<Host>>> {
        self.hosts.load_full()
    }

    /// The host of this name.
    pub fn host(&self, name: &str) -> Option<Arc<Host>> {
        let hosts = self.hosts.load();
        hosts.iter().find(|host| host.name() == name).cloned()
    }

    /// What its hosts are known to be logged in to by, for a client of this protocol: what one of them
    /// has shown, and what all of them have.
    pub fn mechanisms(&self, protocol: Protocol) -> (Mechanisms, Mechanisms) {
        let hosts = self.hosts.load();
        let known = hosts.iter().map(|host| host.mechanisms(protocol));
        known.fold((Mechanisms::NONE, Mechanisms::ALL), |(any, all), host| {
            let host = host.unwrap_or_default();
            (any.or(host), all.and(host))
        })
    }
}

/// The files that a backend's `tls` names, as they are now.
fn tls_files(config: &Config) -> Vec<Option<Stamp>> {
    let client = config.tls.client.iter().flat_map(|(cert, key)| [cert, key]);
    let files = config.tls.ca.iter().chain(client);
    files.map(|file| Stamp::of(file)).collect()
}
