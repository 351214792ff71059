//! A session's place: on a host, and among its user's sessions.
//!
//! A user's sessions belong together: mail stores cache, lock and notify within one host. So while a
//! user has live sessions, new ones go where those are, whatever hash, weights or load say since;
//! [`State`](crate::state::State) knows where that is.

use std::sync::Arc;

use super::host::Host;
use crate::observe::metrics;
use crate::state::{Ask, Claim};

/// A session's place on a host, given back when dropped: close the connection to the host before.
/// While a user has one, new sessions of that user go to the same host.
pub struct Seat {
    host: Arc<Host>,
    claim: Option<Claim>,
    _counted: Option<metrics::Counted>,
}

impl Seat {
    /// A place that was counted already.
    pub(super) fn taken(host: Arc<Host>) -> Self {
        Seat {
            host,
            claim: None,
            _counted: None,
        }
    }

    /// The host.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The user has no session elsewhere, and gets none until this is over.
    pub(super) fn claimed(&mut self, claim: Claim) {
        self.claim = Some(claim);
    }

    /// The login succeeded.
    pub(super) fn settle(&mut self) {
        self._counted = Some(self.host.metrics.session());
    }

    /// How the session is asked to leave, because its user goes to another host; it is at once, if it
    /// was to already.
    pub fn on_leave(&self, ask: Ask) {
        if let Some(claim) = &self.claim {
            claim.on_leave(ask);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.host.leave();
    }
}
