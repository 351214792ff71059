//! The places that a session holds: among its user's sessions, here and over all gateways, and on its
//! host.

use crate::backend::{Host, Seat};
use crate::observe::metrics;
use crate::protocol::Failure;
use crate::session::{Session, limits};
use crate::state::Entered;

/// What a session holds as long as it lives: its place among its user's, and on the host.
pub(in crate::session) struct Places {
    _own: Own,
    host: Seat,
    _counted: Option<metrics::Counted>,
}

/// A place among a user's sessions.
pub(super) struct Own {
    _here: limits::UserSession,
    _together: Entered,
}

impl Places {
    /// The host.
    pub(in crate::session) fn host(&self) -> &Host {
        self.host.host()
    }
}

impl Session<'_> {
    /// A place among a user's sessions: asked for before the password is shown to anybody, given back at
    /// once, and held when the host has let the user in.
    pub(super) async fn place_of(&self, canonical: &str) -> Result<Own, Failure> {
        let (tables, limits) = (&self.gateway.tables, &self.gateway.limits);
        let met = |limit| Failure::TooMany { limit };
        let here = tables.log_in(limits, canonical, self.ip()).map_err(met)?;
        // The same for all replicas together, where they share a store.
        let (mut together, mut names) = (Vec::new(), Vec::new());
        if self.gateway.state.is_shared() {
            for (key, most, name) in limits::together(limits, canonical, self.ip()) {
                together.push((key, most));
                names.push(name);
            }
        }
        let entered = self.gateway.state.enter(together).await;
        let full = |full| met(names.get(full).copied().unwrap_or("per_user"));
        Ok(Own {
            _here: here,
            _together: entered.map_err(full)?,
        })
    }

    /// All that a session holds.
    pub(super) fn places(&self, own: Own, host: Seat, backend: &str) -> Places {
        let counts = self.gateway.backend_metrics.get(backend);
        Places {
            _own: own,
            host,
            _counted: counts.map(|counts| counts.session(self.front.protocol)),
        }
    }
}
