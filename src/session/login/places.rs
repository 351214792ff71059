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
        if !self.gateway.state.is_shared() {
            return Ok(());
        }
        let (keys, limits) = self.keys(canonical);
        let room = self.gateway.state.room(&keys).await;
        room.map_err(|full| limit_of(&limits, full))
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
        let (keys, limits) = self.keys(canonical);
        let entered = self.gateway.state.enter(keys).await.map(Some);
        entered.map_err(|full| limit_of(&limits, full))
    }

    /// What is counted over all replicas, with the most there may be, and the limits that are met where one is full.
    fn keys(&self, canonical: &str) -> (Vec<(String, u32)>, Vec<Limit>) {
        let keys = limits::together(&self.gateway.limits, canonical, self.ip());
        let keys = keys.into_iter();
        keys.map(|(key, most, limit)| ((key, most), limit)).unzip()
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

/// The limit that is met where the place of this number is full.
fn limit_of(limits: &[Limit], full: usize) -> Failure {
    met(limits.get(full).copied().unwrap_or(Limit::PerUser))
}

fn met(limit: Limit) -> Failure {
    Failure::TooMany { limit }
}
