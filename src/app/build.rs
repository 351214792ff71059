//! Every part, built from the settings.

use std::fmt;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

use super::App;
use super::upgrade::Upgrades;
use super::watch::tell_expiries;
use crate::admin::Readiness;
use crate::backend::{Answered, Backends, Surroundings};
use crate::config::Config;
use crate::listen::{self, Listener, TlsMode};
use crate::observe::SessionIds;
use crate::observe::metrics::{self, Metrics};
use crate::route::lookup;
use crate::session::{Authenticator, Certificates, Front, Gateway, Registry, Upgrade, limits};
use crate::state::State;
use crate::tls;

/// Why the gateway did not start.
#[derive(Debug)]
pub(super) struct StartError {
    /// What was attempted: `listen on imaps://0.0.0.0:993`.
    doing: String,
    /// What went wrong.
    cause: String,
}

impl StartError {
    pub(super) fn new(doing: impl Into<String>, cause: impl ToString) -> Self {
        StartError {
            doing: doing.into(),
            cause: cause.to_string(),
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.doing, self.cause)
    }
}

impl App {
    pub(super) fn build(
        config: &Config,
        metrics: Metrics,
        upgrades: Upgrades,
    ) -> Result<Self, StartError> {
        let said = |problems: Vec<String>| problems.join("; ");
        let tls = tls::Front::new(config.tls.clone()).map_err(|problems| {
            let problems = problems.iter().map(ToString::to_string);
            StartError::new("set up tls", said(problems.collect()))
        })?;
        let listens: Vec<_> = config.listeners.iter().map(|l| l.bind).collect();
        let state =
            State::open(&config.state).map_err(|error| StartError::new("open the state", error))?;
        let around = Surroundings {
            state: state.clone(),
            listens: Arc::new(ArcSwap::from_pointee(listens)),
            keepalive: config.timeouts.keepalive,
        };
        let backends = Backends::new(config.backends.values(), &around)
            .map_err(|problems| StartError::new("set up the backends", said(problems)))?;
        let authenticate = config.authenticate.clone().map(Authenticator::new);
        let authenticate = authenticate
            .transpose()
            .map_err(|problems| StartError::new("read the passwords", said(problems)))?;
        let registry = Arc::new(Registry::default());
        let lookups = config.routes.lookups.iter().map(lookup::Config::name);
        let names = config.backends.keys().cloned().chain(lookups);
        let gateway = Arc::new(ArcSwap::from_pointee(Gateway {
            router: config.router(),
            backends,
            answered: Arc::new(Answered::new(around)),
            authenticate: authenticate.map(Arc::new),
            limits: config.limits.clone(),
            timeouts: config.timeouts.clone(),
            tables: Arc::new(limits::Tables::default()),
            registry: registry.clone(),
            maildrops: Arc::default(),
            state,
            ids: SessionIds::new(),
            metrics: metrics::Gateway::new(),
            backend_metrics: names
                .map(|name| (name.clone(), metrics::Backend::new(&name)))
                .collect(),
        }));
        let mut listeners = Vec::new();
        for listener in &config.listeners {
            let doing = || format!("set up tls for {}", listener.name);
            let settings = tls
                .server_config(listener.protocol, listener.client_ca.as_deref())
                .map_err(|problem| StartError::new(doing(), problem))?;
            let upgrade = Upgrade {
                config: settings,
                timeout: config.timeouts.tls_handshake,
            };
            listeners.push(Arc::new(Listener {
                metrics: metrics::Listener::new(&listener.name),
                front: Arc::new(front(listener, &upgrade)),
                tls: upgrade,
                gateway: gateway.clone(),
                config: listener.clone(),
            }));
        }
        tell_expiries(&tls);
        Ok(App {
            listeners,
            gateway,
            registry,
            tls: Arc::new(tls),
            backends: config.backends.clone(),
            metrics,
            readiness: Mutex::new(Readiness::Starting),
            upgrades,
        })
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
