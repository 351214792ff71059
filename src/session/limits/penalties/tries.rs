//! A login that is being tried, and what came of it: counted, forgiven, or good.

use std::time::Duration;

use super::super::super::config::Limits;
use super::super::shared::Note;
use super::Penalties;
use super::windows::{Counter, Mark};

/// Longest delay of a failed login's answer.
const DELAY_MAX: Duration = Duration::from_secs(15);

/// A user who is known at an address is told of to others again after this long.
const KNOWN_TOLD: u32 = 60 * 60;

/// A login that is being tried: what it would add to the windows.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    /// Exempt from penalties.
    pub(super) trusted: bool,
    pub(super) address: u64,
    pub(super) user: u64,
    /// The password, of this user from this address.
    pub(super) from_here: u64,
    /// The password, of this user from anywhere.
    pub(super) from_anywhere: u64,
    /// The user from this address, as known.
    pub(super) here: u64,
    pub(super) charged: Charged,
}

/// Whether a try is in the user's window already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charged {
    /// It is: so that many tries at once are not judged as one.
    Now,
    /// It was there before: this password is known to be wrong, or another try is under way with it.
    Before,
    /// It comes in when it has failed: what cannot be compared would add up for one user's own
    /// devices.
    Later,
    /// Never: the user is known at this address.
    Never,
}

impl Try {
    /// The password was wrong; how long the answer is to be held back.
    pub fn failed(self, penalties: &Penalties, limits: &Limits) -> Duration {
        let base = limits.failure_delay;
        if self.trusted {
            return base.min(DELAY_MAX);
        }
        let now = penalties.now();
        // `Before`: the other try with it may have been forgiven meanwhile.
        let mut fresh = self.charged == Charged::Now;
        if matches!(self.charged, Charged::Before | Charged::Later) {
            let rate = limits.failed_per_user;
            fresh = penalties.charge(&penalties.users, self.user, self.from_anywhere, rate, now);
        }
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
                user: (self.charged != Charged::Never).then_some(self.user),
                from_here: self.from_here,
                from_anywhere: self.from_anywhere,
            });
        }
        base.saturating_mul(1 << doublings.min(16)).min(DELAY_MAX)
    }

    /// It is not known whether the password is wrong: the host was down, a limit was met.
    pub fn forgiven(self, penalties: &Penalties) {
        if self.charged == Charged::Now {
            let now = penalties.now();
            penalties.tried.with(self.from_anywhere, now, Mark::forget);
            penalties.users.with(self.user, now, Counter::uncount);
        }
    }

    /// The password was right.
    pub fn succeeded(self, penalties: &Penalties) {
        self.forgiven(penalties);
        if self.trusted {
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
