//! What is counted of an address, a user, a password: windows of failures, and marks of when something
//! was. Each fits the tables of [`Ways`](super::super::ways::Ways) and says what it is worth there.

use std::time::Duration;

use super::super::super::config::Rate;
use super::super::ways::Slot;
use crate::protocol::Limit;

/// An address's growing delay is forgotten after this long without a failure.
const STREAK_FORGOTTEN: u32 = 600;

/// How long an address from which a user logged in is exempt from the user's window.
pub(super) const KNOWN: u32 = 24 * 60 * 60;

/// How many more a window has room for, if any.
pub(super) fn judge(counter: Option<Counter>, rate: Rate, now: u32) -> Result<u64, Limit> {
    let within = counter.map_or(0, |counter| counter.within(rate, now));
    match u64::from(rate.count).saturating_sub(within) {
        0 => Err(Limit::FailedLogins),
        left => Ok(left),
    }
}

pub(super) fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).max(1)
}

/// Failures of an address or a user: of the window that is open, and of the one before, which
/// counts by the part of it that is not yet past.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter {
    key: u64,
    /// When the open window began.
    opened: u32,
    /// The last failure.
    last: u32,
    open: u16,
    before: u16,
    /// Failures one after the other, for the delay.
    pub(super) streak: u8,
}

impl Counter {
    pub(super) fn count(&mut self, rate: Rate, now: u32) {
        let per = seconds(rate.per);
        let age = now.saturating_sub(self.opened);
        if self.opened == 0 || age >= per.saturating_mul(2) {
            (self.opened, self.open, self.before) = (now, 0, 0);
        } else if age >= per {
            self.opened = self.opened.saturating_add(per);
            (self.before, self.open) = (self.open, 0);
        }
        self.open = self.open.saturating_add(1);
        self.last = now;
    }

    /// How many there were within the time, the window before taken in part.
    pub(super) fn within(&self, rate: Rate, now: u32) -> u64 {
        let per = u64::from(seconds(rate.per));
        let age = u64::from(now.saturating_sub(self.opened));
        let (open, before) = match age {
            age if age < per => (self.open, self.before),
            age if age < per * 2 => (0, self.open),
            _ => return 0,
        };
        let left = per.saturating_sub(age % per);
        u64::from(open).saturating_add((u64::from(before) * left).div_ceil(per))
    }

    /// How many failures came before this one without a good login or a long pause between.
    pub(super) fn again(&mut self, now: u32) -> u8 {
        if now.saturating_sub(self.last) >= STREAK_FORGOTTEN {
            self.streak = 0;
        }
        let before = self.streak;
        self.streak = self.streak.saturating_add(1);
        self.last = now;
        before
    }
}

impl Slot for Counter {
    fn new(hash: u64) -> Self {
        Counter {
            key: hash,
            opened: 0,
            last: 0,
            open: 0,
            before: 0,
            streak: 0,
        }
    }

    fn is(&self, hash: u64) -> bool {
        self.key == hash
    }

    /// More failures are worth more, then later ones; a day later all are worth nothing.
    fn worth(&self, now: u32) -> u64 {
        let failures = u64::from(self.open) + u64::from(self.before) + u64::from(self.streak);
        match now.saturating_sub(self.last) < KNOWN {
            true => failures << 32 | u64::from(self.last),
            false => 0,
        }
    }
}

/// That something was, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    print: u32,
    pub(super) at: u32,
}

impl Mark {
    /// How long it is ago; for ever, if it never was.
    pub(super) fn age(&self, now: u32) -> u32 {
        match self.at {
            0 => u32::MAX,
            at => now.saturating_sub(at),
        }
    }

    /// It is now; how long ago it was before.
    pub(super) fn renew(&mut self, now: u32) -> u32 {
        let age = self.age(now);
        self.at = now;
        age
    }
}

impl Slot for Mark {
    fn new(hash: u64) -> Self {
        let print = u32::try_from(hash >> 32).unwrap_or_default();
        Mark { print, at: 0 }
    }

    fn is(&self, hash: u64) -> bool {
        u64::from(self.print) == hash >> 32
    }

    fn worth(&self, _now: u32) -> u64 {
        self.at.into()
    }
}
