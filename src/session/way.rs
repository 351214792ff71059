//! What operators ordered for a user: wait while the user is held, follow a move.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Session;
use crate::protocol::Failure;
use crate::route::{Route, Server};
use crate::state::{Lane, Pass};

/// How long a login waits for a user that is held.
const HOLD_WAIT: Duration = Duration::from_secs(120);

/// A hold may also end by itself, and replicas hear of changes late: looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Where a login goes after all.
pub(super) struct Way {
    pub(super) backend: String,
    pub(super) host: Option<String>,
    /// The server that a lookup service named, where its word counts.
    pub(super) server: Option<Server>,
    /// Who the user is to the state, and what was decided.
    pub(super) pass: Pass,
}

/// How long a login may wait for its way, from the first time it has to, and how long it has.
pub(super) struct Patience {
    until: Option<Instant>,
    waited: Duration,
}

impl Patience {
    pub(super) fn new() -> Self {
        Patience {
            until: None,
            waited: Duration::ZERO,
        }
    }

    /// How long it has waited so far.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    fn until(&mut self) -> Instant {
        *self.until.get_or_insert_with(|| Instant::now() + HOLD_WAIT)
    }
}

impl Session<'_> {
    /// The way of a login that the map sends by `route`.
    pub(super) async fn way(&self, route: &Route, patience: &mut Patience) -> Result<Way, Failure> {
        let state = &self.gateway.state;
        let (owner, named) = route.owners.clone();
        let mut pass = Pass {
            owner,
            named,
            moved: 0,
            lane: Lane::Whole,
        };
        let mut changes = state.changes();
        loop {
            changes.mark_unchanged();
            {
                let orders = state.orders();
                if !orders.held(&pass.owner, &pass.named) {
                    let moved = orders.moved(&pass.owner, &pass.named);
                    let Some((_, moved)) = moved else {
                        if route.server.is_some() {
                            pass.lane = Lane::Protocol(self.front.protocol);
                        }
                        return Ok(Way {
                            backend: route.backend.clone(),
                            host: route.host.clone(),
                            server: route.server.clone(),
                            pass,
                        });
                    };
                    pass.moved = moved.version;
                    return Ok(Way {
                        backend: moved.backend.clone(),
                        host: moved.host.clone(),
                        server: None,
                        pass,
                    });
                }
            }
            self.wait_for(&mut changes, patience).await?;
        }
    }

    /// Waits until the orders have changed, or a while.
    pub(super) async fn wait_for(
        &self,
        changes: &mut tokio::sync::watch::Receiver<u64>,
        patience: &mut Patience,
    ) -> Result<(), Failure> {
        let until = patience.until();
        let now = Instant::now();
        if now >= until {
            return Err(Failure::Held);
        }
        let waited = tokio::select! {
            _ = changes.changed() => Ok(()),
            () = sleep_until(until.min(now + LOOK_AGAIN)) => Ok(()),
            _ = self.live.end_asked() => Err(Failure::Held),
        };
        patience.waited += now.elapsed();
        waited
    }
}
