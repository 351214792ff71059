//! What the admin port sees and may do.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::App;
use super::reload::By;
use crate::admin::{self, HostState, Readiness};
use crate::backend::host::State;
use crate::backend::{Backend, Host};
use crate::protocol::{Protocol, UserName};
use crate::route::explain;
use crate::session::{Gateway, Registry};
use crate::state::{Lane, Pass};

impl admin::Gateway for App {
    fn readiness(&self) -> Readiness {
        *self
            .readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn metrics(&self) -> String {
        let gateway = self.current.load().gateway.clone();
        self.lasting.registry.report(&gateway.metrics);
        self.metrics.render()
    }

    fn sessions(&self) -> Arc<Registry> {
        self.lasting.registry.clone()
    }

    fn backends(&self) -> Vec<admin::Backend> {
        let gateway = self.current.load().gateway.clone();
        let backends = gateway.backends.iter().map(|backend| admin::Backend {
            name: backend.name().to_owned(),
            hosts: backend
                .hosts()
                .iter()
                .map(|host| shown(backend, host))
                .collect(),
        });
        backends.collect()
    }

    fn reload(&self) -> Pin<Box<dyn Future<Output = Result<Value, Value>> + Send + '_>> {
        Box::pin(self.wishes.reload(By::Admin))
    }

    fn serving(&self) -> Option<Arc<Gateway>> {
        Some(self.current.load().gateway.clone())
    }

    fn explain(
        &self,
        user: UserName,
        protocol: Protocol,
    ) -> Pin<Box<dyn Future<Output = Result<Value, Value>> + Send + '_>> {
        let built = self.built.load_full();
        Box::pin(async move {
            let gateway = built.current.gateway.clone();
            let ask = match built.config.ask(&user, protocol) {
                Ok(ask) => ask,
                Err(told) => return Ok(serde_json::to_value(&told).unwrap_or_default()),
            };
            let (owner, named) = gateway.router.decide(ask).owners();
            let pass = Pass {
                owner,
                named,
                moved: 0,
                lane: Lane::Whole,
            };
            let places = gateway.state.places(&pass).await;
            let orders = gateway.state.orders().clone();
            let known = explain::Known {
                orders: &orders,
                pinned: &|pass| places.of(pass),
                hosts: &|backend, protocol| {
                    let found = gateway.backends.get(&backend.name);
                    found.map_or_else(Vec::new, |it| it.hosts_now(protocol))
                },
            };
            let told = explain::explain(&gateway.router, &built.config.backends, ask, &known);
            let value = serde_json::to_value(&told).unwrap_or_default();
            match told.matched() {
                true => Ok(value),
                false => Err(value),
            }
        })
    }

    fn upgrade(&self) -> Pin<Box<dyn Future<Output = Result<u32, String>> + Send + '_>> {
        Box::pin(App::upgrade(self))
    }
}

impl App {
    /// Lets a new process take over; the log says what came of it.
    pub(super) async fn upgrade(&self) -> Result<u32, String> {
        let leaving = async {
            while admin::Gateway::readiness(self) != Readiness::Draining {
                tokio::time::sleep(LOOK).await;
            }
        };
        let outcome = self.upgrades.upgrade(&self.turn, leaving).await;
        if let Err(why) = &outcome {
            tracing::error!(event = "upgrade", why, "this process goes on");
        }
        outcome
    }
}

/// How often an upgrade under way looks whether the process ends.
const LOOK: Duration = Duration::from_millis(100);

/// A host, as the admin API tells it.
fn shown(backend: &Backend, host: &Host) -> admin::Host {
    admin::Host {
        name: host.name().to_owned(),
        state: match (backend.drain_of(host), host.state()) {
            (Some(_), _) => HostState::Drain,
            (None, State::Up) => HostState::Up,
            (None, State::Down) => HostState::Down,
        },
        weight: backend.weight_of(host),
        sessions: host.sessions().into(),
    }
}
