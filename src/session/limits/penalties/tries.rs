//! A login that is being tried, and what came of it: counted, or good.

use std::time::Duration;

use super::super::super::config::Limits;
use super::super::shared::Note;
use super::Penalties;

/// Longest delay of a failed login's answer.
const DELAY_MAX: Duration = Duration::from_secs(15);

/// A user who is known at an address is told of to others again after this long.
const KNOWN_TOLD: u32 = 60 * 60;

/// A login that is being tried: what it would add to the windows.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    pub(super) address: u64,
    pub(super) user: u64,
    /// The password, of this user from this address.
    pub(super) from_here: u64,
    /// The password, of this user from anywhere.
    pub(super) from_anywhere: u64,
    /// The user from this address, as known.
    pub(super) here: u64,
    pub(super) counts: Counts,
}

/// Which windows count a try that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// None: the address is exempt.
    Nowhere,
    /// The address's: the user is known there.
    AtAddress,
    /// The user's, too.
    Everywhere,
}

impl Try {
    /// The password was wrong; how long the answer is to be held back. To be said before its stake is
    /// given back, or others would be let in by the room that it takes.
    pub fn failed(self, penalties: &Penalties, limits: &Limits) -> Duration {
        let base = limits.failure_delay;
        let user = match self.counts {
            Counts::Nowhere => return base.min(DELAY_MAX),
            Counts::AtAddress => None,
            Counts::Everywhere => Some(self.user),
        };
        let now = penalties.now();
        let mut fresh = user.is_some_and(|user| {
            let rate = limits.failed_per_user;
            penalties.charge(&penalties.users, user, self.from_anywhere, rate, now)
        });
        let doublings = penalties
            .addresses
            .with(self.address, now, |counter| counter.again(now));
        let rate = limits.failed_per_ip;
        fresh |= penalties.charge(
            &penalties.addresses,
            self.address,
            self.from_here,
            rate,
            now,
        );
        if fresh {
            penalties.tell(Note::Failed {
                address: self.address,
                user,
                from_here: self.from_here,
                from_anywhere: self.from_anywhere,
            });
        }
        base.saturating_mul(1 << doublings.min(16)).min(DELAY_MAX)
    }

    /// The password was right.
    pub fn succeeded(self, penalties: &Penalties) {
        if self.counts == Counts::Nowhere {
            return;
        }
        let now = penalties.now();
        let before = penalties.known.with(self.here, now, |mark| mark.renew(now));
        if before >= KNOWN_TOLD {
            penalties.tell(Note::Known { here: self.here });
        }
        // Somebody there knows a password: only the delay starts anew, the windows stay.
        if penalties.addresses.get(self.address).is_some() {
            penalties
                .addresses
                .with(self.address, now, |counter| counter.streak = 0);
        }
    }
}
