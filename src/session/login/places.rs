//! The places that a session holds: among its user's sessions, here and over all gateways, and on its
//! host.

use crate::backend::Seat;
use crate::observe::metrics;
use crate::protocol::{Failure, Limit};
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
    _together: Option<Entered>,
}

impl Places {
    /// That on the host.
    pub(in crate::session) fn seat(&self) -> &Seat {
        &self.host
    }
}

impl Session<'_> {
    /// Whether there is a place among a user's sessions: asked before the password is shown to anybody. It
    /// is not held yet, or strangers could fill them.
    pub(super) async fn room_for(&self, canonical: &str) -> Result<(), Failure> {
        let (tables, limits) = (&self.gateway.tables, &self.gateway.limits);
        tables.room(limits, canonical, self.ip()).map_err(met)?;
        self.together(canonical).await.map(drop)
    }

    /// That place, when the host has let the user in.
    pub(super) async fn place_of(&self, canonical: &str) -> Result<Own, Failure> {
        let (tables, limits) = (&self.gateway.tables, &self.gateway.limits);
        Ok(Own {
            _here: tables.log_in(limits, canonical, self.ip()).map_err(met)?,
            _together: self.together(canonical).await?,
        })
    }

    /// The same for all replicas together; none where they share no store.
    async fn together(&self, canonical: &str) -> Result<Option<Entered>, Failure> {
        if !self.gateway.state.is_shared() {
            return Ok(None);
        }
        let (mut together, mut which) = (Vec::new(), Vec::new());
        for (key, most, limit) in limits::together(&self.gateway.limits, canonical, self.ip()) {
            together.push((key, most));
            which.push(limit);
        }
        let entered = self.gateway.state.enter(together).await.map(Some);
        entered.map_err(|full| met(which.get(full).copied().unwrap_or(Limit::PerUser)))
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

fn met(limit: Limit) -> Failure {
    Failure::TooMany { limit }
}
