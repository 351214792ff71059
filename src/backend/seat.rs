//! A session's place: on a host, and among its user's sessions.
//!
//! A user's sessions belong together: mail stores cache, lock and notify within one host. So while a
//! user has live sessions, new ones go where those are, whatever hash, weights or load say since;
//! [`State`](crate::state::State) knows where that is.

use std::fmt;
use std::sync::Arc;

use super::host::Host;
use crate::observe::metrics;
use crate::protocol::Failure;
use crate::state::{Ask, Claim};

/// A session's place on a host, given back when dropped: close the connection to the host before.
/// While a user has one, new sessions of that user go to the same host.
pub struct Seat {
    host: Arc<Host>,
    claim: Option<Claim>,
    count: Count,
}

/// How a place counts on its host.
enum Count {
    /// As a login.
    Login,
    /// As a session.
    Session(#[allow(dead_code, reason = "counts as long as it lives")] metrics::Counted),
    /// With the session that it is a part of.
    WithAnother,
}

impl Seat {
    /// A place that was counted already.
    pub(super) fn taken(host: Arc<Host>) -> Self {
        Seat {
            host,
            claim: None,
            count: Count::Login,
        }
    }

    /// A place for another connection of the session that has this one, which has to outlive it; none
    /// where that session counts on another host.
    pub(super) fn beside(&self, host: &Arc<Host>) -> Option<Self> {
        self.host.counts_with(host).then(|| Seat {
            host: host.clone(),
            claim: None,
            count: Count::WithAnother,
        })
    }

    /// The host.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The user has no session elsewhere, and gets none until this is over.
    pub(super) fn claimed(&mut self, claim: Claim) {
        self.claim = Some(claim);
    }

    /// The login succeeded. It is a session now, if the host has room for one more.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        if let Count::Login = self.count {
            self.host.settle()?;
            self.count = Count::Session(self.host.metrics.session());
        }
        Ok(())
    }

    /// How the session is asked to leave, because its user goes to another host; it is at once, if it
    /// was to already.
    pub fn on_leave(&self, ask: Ask) {
        if let Some(claim) = &self.claim {
            claim.on_leave(ask);
        }
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seat").field(&self.host.name()).finish()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        match self.count {
            Count::Login => {}
            Count::Session(_) => self.host.unsettle(),
            Count::WithAnother => return,
        }
        self.host.leave();
    }
}
