//! What the admin port sees and may do.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};

use serde_json::Value;

use super::App;
use crate::admin::{self, HostState, Readiness};
use crate::backend::Host;
use crate::backend::host::State;
use crate::protocol::{Protocol, UserName};
use crate::route::{Ask, explain};
use crate::session::Registry;

impl admin::Gateway for App {
    fn readiness(&self) -> Readiness {
        *self
            .readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn metrics(&self) -> String {
        self.metrics.render()
    }

    fn sessions(&self) -> Arc<Registry> {
        self.registry.clone()
    }

    fn backends(&self) -> Vec<admin::Backend> {
        let gateway = self.gateway.load();
        let backends = gateway.backends.iter().map(|backend| admin::Backend {
            name: backend.name().to_owned(),
            hosts: backend.hosts().iter().map(|host| shown(host)).collect(),
        });
        backends.collect()
    }

    fn explain(
        &self,
        user: UserName,
        protocol: Protocol,
    ) -> Pin<Box<dyn Future<Output = Result<Value, Value>> + Send + '_>> {
        let ask = Ask {
            user: &user,
            protocol,
            listener: None,
        };
        let gateway = self.gateway.load();
        let state = |backend: &str, host: &str| {
            let host = gateway.backends.get(backend)?.host(host)?;
            Some((host.state().as_str(), host.weight()))
        };
        let told = explain::explain(&gateway.router, &self.backends, ask, &state);
        let value = serde_json::to_value(&told).unwrap_or_default();
        let answer = if told.matched() {
            Ok(value)
        } else {
            Err(value)
        };
        Box::pin(std::future::ready(answer))
    }
}

/// A host, as the admin API tells it.
fn shown(host: &Host) -> admin::Host {
    admin::Host {
        name: host.name().to_owned(),
        state: match host.state() {
            State::Up => HostState::Up,
            State::Down => HostState::Down,
        },
        weight: host.weight(),
        sessions: host.sessions().into(),
    }
}
