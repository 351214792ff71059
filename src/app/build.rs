//! Every part, built from the settings: at the start, and again for a reload.
//!
//! Building changes nothing of what runs. What lives longer than settings is taken over from what was
//! built before: counts, sessions, what was learned about hosts, tickets, whatever is as it was.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::backend::{Answered, Backends, Surroundings};
use crate::config::Config;
use crate::listen::{self, Current, Terms, TlsMode};
use crate::observe::SessionIds;
use crate::observe::metrics::{self, Present};
use crate::protocol::Protocol;
use crate::route::lookup;
use crate::session::{Authenticator, Certificates, Front, Gateway, Registry, Upgrade, limits};
use crate::state::State;
use crate::tls::{self, Stamp};

/// Why the gateway did not start, or new settings cannot be used.
#[derive(Debug)]
pub(super) struct StartError {
    /// What was attempted: `listen on imaps://0.0.0.0:993`.
    doing: String,
    /// What went wrong.
    cause: String,
    /// Where in proxy.yaml it stands, as [`Places`](crate::config::Places) knows it.
    pub(super) place: Option<String>,
}

impl StartError {
    pub(super) fn new(doing: impl Into<String>, cause: impl ToString) -> Self {
        StartError {
            doing: doing.into(),
            cause: cause.to_string(),
            place: None,
        }
    }

    /// The same, of a place in proxy.yaml.
    pub(super) fn at(self, place: impl Into<String>) -> Self {
        StartError {
            place: Some(place.into()),
            ..self
        }
    }

    /// Several, told as one.
    pub(super) fn all(mut errors: Vec<StartError>) -> Self {
        if errors.len() == 1
            && let Some(only) = errors.pop()
        {
            return only;
        }
        let each: Vec<String> = errors.iter().map(ToString::to_string).collect();
        StartError::new("start", each.join("; "))
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.doing, self.cause)
    }
}

/// What one version of the settings makes.
pub(super) struct Built {
    pub(super) config: Config,
    pub(super) tls: Arc<tls::Front>,
    /// TLS as listeners have it; equal ones share it.
    handshakes: BTreeMap<(Protocol, Option<PathBuf>), Handshake>,
    pub(super) current: Arc<Current>,
}

/// A listener's side of a handshake, and the file of authorities as it was read.
struct Handshake {
    config: Arc<rustls::ServerConfig>,
    client_ca: Option<Stamp>,
}

/// What is shared by all versions of the settings.
#[derive(Clone)]
pub(super) struct Lasting {
    /// Where the gateway listens now.
    pub(super) listens: Arc<ArcSwap<Vec<SocketAddr>>>,
    pub(super) registry: Arc<Registry>,
}

impl Built {
    /// Builds all parts. The errors are all of one kind of part. Blocks on the file system.
    pub(super) fn new(
        config: Config,
        lasting: &Lasting,
        before: Option<&Built>,
    ) -> Result<Built, Vec<StartError>> {
        let tls = front_of(&config, before)?;
        let gateway = Arc::new(gateway_of(&config, lasting, before)?);
        let mut handshakes = BTreeMap::new();
        let mut terms = HashMap::new();
        let mut errors = Vec::new();
        for listener in &config.listeners {
            let key = (listener.protocol, listener.client_ca.clone());
            let settings = match handshakes.get(&key) {
                Some(Handshake { config, .. }) => Ok(config.clone()),
                None => handshake(&key, &tls, before).map(|made| {
                    let settings = made.config.clone();
                    handshakes.insert(key, made);
                    settings
                }),
            };
            match settings {
                Ok(settings) => {
                    let made = terms_of(listener, settings, &config);
                    terms.insert(listener.place(), Arc::new(made));
                }
                Err(problem) => {
                    let doing = format!("set up tls for {}", listener.name);
                    let place = format!("listener {}", listener.name);
                    errors.push(StartError::new(doing, problem).at(place));
                }
            }
        }
        match errors.is_empty() {
            true => Ok(Built {
                config,
                tls,
                handshakes,
                current: Arc::new(Current { gateway, terms }),
            }),
            false => Err(errors),
        }
    }

    /// The names that may stand in metrics.
    pub(super) fn present(&self) -> Present {
        let gateway = &self.current.gateway;
        let hosts = self.config.backends.values().flat_map(|backend| {
            let names = backend.hosts.iter().map(|host| host.name.clone());
            names.map(|host| (backend.name.clone(), host))
        });
        Present {
            listeners: { self.config.listeners.iter() }
                .map(|listener| listener.name.clone())
                .collect(),
            backends: gateway.backend_metrics.keys().cloned().collect(),
            hosts: hosts.collect(),
            certificates: { self.tls.expiries().into_iter() }
                .map(|expiry| expiry.name)
                .collect(),
        }
    }
}

/// The TLS side: as it was, or with what it knows handed on.
fn front_of(config: &Config, before: Option<&Built>) -> Result<Arc<tls::Front>, Vec<StartError>> {
    let made = match before {
        Some(before) if before.config.tls == config.tls => return Ok(before.tls.clone()),
        Some(before) => before.tls.successor(config.tls.clone()),
        None => tls::Front::new(config.tls.clone()),
    };
    let told = |problem: &tls::Problem| StartError::new("set up tls", problem).at("tls");
    made.map(Arc::new)
        .map_err(|problems| problems.iter().map(told).collect())
}

fn handshake(
    (protocol, client_ca): &(Protocol, Option<PathBuf>),
    tls: &Arc<tls::Front>,
    before: Option<&Built>,
) -> Result<Handshake, tls::Problem> {
    let stamp = client_ca.as_deref().and_then(Stamp::of);
    let earlier = before
        .filter(|before| Arc::ptr_eq(&before.tls, tls))
        .and_then(|before| before.handshakes.get(&(*protocol, client_ca.clone())))
        .filter(|earlier| earlier.client_ca == stamp);
    Ok(Handshake {
        config: match earlier {
            Some(earlier) => earlier.config.clone(),
            None => tls.server_config(*protocol, client_ca.as_deref())?,
        },
        client_ca: stamp,
    })
}

fn gateway_of(
    config: &Config,
    lasting: &Lasting,
    before: Option<&Built>,
) -> Result<Gateway, Vec<StartError>> {
    let earlier = before.map(|before| &before.current.gateway);
    let state = match earlier {
        // Another one is opened at the next start.
        Some(earlier) => earlier.state.clone(),
        None => State::open(&config.state)
            .map_err(|error| vec![StartError::new("open the state", error).at("state")])?,
    };
    let around = Surroundings {
        state: state.clone(),
        listens: lasting.listens.clone(),
        keepalive: config.timeouts.keepalive,
        inside: None,
    };
    let same_keepalive =
        before.is_some_and(|it| it.config.timeouts.keepalive == config.timeouts.keepalive);
    let of_backends = |problems: Vec<String>| -> Vec<StartError> {
        let each = problems.iter().map(|problem| {
            // They begin with `backend NAME: `.
            let place = problem.split(": ").next().unwrap_or_default();
            StartError::new("set up the backends", problem).at(place)
        });
        each.collect()
    };
    let backends = match earlier {
        Some(earlier) => (earlier.backends).succeeding(config.backends.values(), &around),
        None => Backends::new(config.backends.values(), &around),
    };
    let backends = backends.map_err(of_backends)?;
    // The file of passwords is watched: with the same name it is the same.
    let same = before.filter(|before| before.config.authenticate == config.authenticate);
    let authenticate = match (same, &config.authenticate) {
        (Some(before), _) => before.current.gateway.authenticate.clone(),
        (None, None) => None,
        (None, Some(wanted)) => {
            let made = Authenticator::new(wanted.clone());
            let told = |problem: &String| {
                StartError::new("read the passwords", problem).at("authenticate")
            };
            let made = made.map_err(|all| all.iter().map(told).collect::<Vec<_>>());
            Some(Arc::new(made?))
        }
    };
    let lookups = config.routes.lookups.iter().map(lookup::Config::name);
    let names = config.backends.keys().cloned().chain(lookups);
    let router = config.router();
    Ok(Gateway {
        router: match earlier {
            Some(earlier) => router.after(&earlier.router),
            None => router,
        },
        backends,
        answered: match earlier.filter(|_| same_keepalive) {
            Some(earlier) => earlier.answered.clone(),
            None => Arc::new(Answered::new(around)),
        },
        authenticate,
        limits: config.limits.clone(),
        timeouts: config.timeouts.clone(),
        tables: earlier.map_or_else(Arc::<limits::Tables>::default, |it| it.tables.clone()),
        registry: lasting.registry.clone(),
        maildrops: earlier.map_or_else(Arc::default, |it| it.maildrops.clone()),
        state,
        ids: earlier.map_or_else(|| Arc::new(SessionIds::new()), |it| it.ids.clone()),
        metrics: earlier.map_or_else(Arc::default, |it| it.metrics.clone()),
        backend_metrics: names
            .map(|name| (name.clone(), metrics::Backend::new(&name)))
            .collect(),
    })
}

fn terms_of(listener: &listen::Config, settings: Arc<rustls::ServerConfig>, all: &Config) -> Terms {
    let upgrade = Upgrade {
        config: settings,
        timeout: all.timeouts.tls_handshake,
    };
    Terms {
        metrics: metrics::Listener::new(&listener.name),
        front: Arc::new(front(listener, &upgrade)),
        tls: upgrade,
        config: listener.clone(),
    }
}

/// A listener as its sessions see it.
fn front(listener: &listen::Config, upgrade: &Upgrade) -> Front {
    Front {
        name: listener.name.clone(),
        protocol: listener.protocol,
        greeting: listener.greeting.clone(),
        capabilities: listener.capabilities.clone(),
        clear_login: listener.cleartext_login,
        upgrade: match listener.tls {
            TlsMode::Upgrade => Some(upgrade.clone()),
            TlsMode::Implicit => None,
        },
        certificates: match listener.client_ca {
            Some(_) => Certificates::Asked,
            None => Certificates::NotAsked,
        },
    }
}
