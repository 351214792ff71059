//! A session's place: on a host, and among its user's sessions.
//!
//! A user's sessions belong together: mail stores cache, lock and notify within one host. So while a
//! user has live sessions, new ones go where those are, whatever hash, weights or load say since;
//! [`State`](crate::state::State) knows where that is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::host::Host;
use crate::observe::metrics;
use crate::protocol::{Failure, Limit};
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

/// How many are on a host.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Sessions, and logins on their way to be one: what balances.
    all: AtomicU32,
    /// Sessions: what is limited. Logins have a limit of their own, and strangers can begin them.
    settled: AtomicU32,
}

impl Counts {
    /// Sessions, and logins on their way to be one.
    pub(super) fn all(&self) -> u32 {
        self.all.load(Ordering::Relaxed)
    }

    /// Whether there are as many sessions as may be; 0: any number may.
    pub(super) fn are_full(&self, most: u32) -> bool {
        most > 0 && self.settled.load(Ordering::Relaxed) >= most
    }

    /// A login begins, unless there is no room already for what it is to be.
    pub(super) fn enter(&self, most: u32) -> Result<(), Failure> {
        if self.are_full(most) {
            return Err(FULL);
        }
        self.all.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// A login becomes a session, if there is room.
    pub(super) fn settle(&self, most: u32) -> Result<(), Failure> {
        let free = |taken: u32| match most {
            0 => taken.checked_add(1),
            most => taken.checked_add(1).filter(|sessions| *sessions <= most),
        };
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        let settled = self.settled.fetch_update(set, fetch, free);
        settled.map(drop).map_err(|_| FULL)
    }

    /// A session is over.
    pub(super) fn unsettle(&self) {
        self.settled.fetch_sub(1, Ordering::Relaxed);
    }

    /// A place is given back.
    pub(super) fn leave(&self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

const FULL: Failure = Failure::TooMany {
    limit: Limit::MaxSessions,
};

#[cfg(test)]
mod tests {
    use super::super::host::tests::host;
    use super::*;

    #[test]
    fn seats_are_counted_and_given_back() {
        let host = host("a", 2);
        let [mut one, mut two, mut three] = [(); 3].map(|()| host.sit().unwrap());
        one.settle().unwrap();
        two.settle().unwrap();
        assert!(matches!(host.sit(), Err(Failure::TooMany { .. })));
        assert!(matches!(three.settle(), Err(Failure::TooMany { .. })));
        // A part of a session needs no room of its own.
        let mut beside = two.beside(&host).unwrap();
        beside.settle().unwrap();
        drop(beside);
        assert_eq!(host.sessions(), 3);
        drop(one);
        assert_eq!(host.sessions(), 2);
        three.settle().unwrap();
        assert!(host.is_full());
        drop((two, three));
        assert_eq!(host.sessions(), 0);
        assert!(!host.is_full());
    }
}
