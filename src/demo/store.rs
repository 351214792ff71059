//! The store that all sessions share: one account under one lock that is never held while anything
//! waits, how much mail there may be, and who is told of changes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::account::Account;
use super::date::DateTime;
use super::seed;

/// Octets of mail in all, with literals on their way in: it lives in memory.
pub(super) const QUOTA: usize = 64 * 1024 * 1024;
/// Longest message.
pub(super) const MESSAGE: usize = 8 * 1024 * 1024;
/// What a message costs besides its octets; bounds how many there are.
const OVERHEAD: usize = 1024;

/// An in-memory mail store with one user.
pub struct Store {
    account: Mutex<Account>,
    changed: watch::Sender<u64>,
    used: Arc<AtomicUsize>,
    clock: Clock,
}

/// Seconds since 1970-01-01T00:00:00Z.
type Clock = fn() -> i64;

impl Store {
    /// A store with its first mail, dated by the system's clock.
    pub fn new() -> Self {
        Store::with_clock(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.ok()
                .and_then(|now| now.as_secs().try_into().ok())
                .unwrap_or(0)
        })
    }

    /// A store with its first mail, dated by `clock`: seconds since 1970-01-01T00:00:00Z.
    pub fn with_clock(clock: fn() -> i64) -> Self {
        let store = Store {
            account: Mutex::new(Account::default()),
            changed: watch::Sender::new(0),
            used: Arc::default(),
            clock,
        };
        seed::fill(&store);
        store
    }

    /// Now.
    pub(super) fn now(&self) -> DateTime {
        DateTime::utc((self.clock)())
    }

    /// Works on the account; wakes idle sessions if something changed.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Account) -> T) -> T {
        // A panic elsewhere ends that session only: the account is still whole enough to read.
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let before = account.ticks();
        let answer = work(&mut account);
        let after = account.ticks();
        drop(account);
        if after != before {
            self.changed.send_replace(after);
        }
        answer
    }

    /// Tells of changes.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Room for a message of `size` octets, or `None`: the store is full.
    pub(super) fn reserve(&self, size: usize) -> Option<Room> {
        Room::take(&self.used, size)
    }
}

impl Default for Store {
    fn default() -> Self {
        Store::new()
    }
}

/// A share of the store's [`QUOTA`]; given back when dropped.
pub(super) struct Room {
    used: Arc<AtomicUsize>,
    octets: usize,
}

impl Room {
    fn take(used: &Arc<AtomicUsize>, size: usize) -> Option<Room> {
        let octets = size.checked_add(OVERHEAD)?;
        let grow = |used: usize| used.checked_add(octets).filter(|&used| used <= QUOTA);
        let taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow);
        taken.ok().map(|_| Room {
            used: Arc::clone(used),
            octets,
        })
    }

    /// As much again, for a copy.
    pub(super) fn again(&self) -> Option<Room> {
        Room::take(&self.used, self.octets.saturating_sub(OVERHEAD))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.fetch_sub(self.octets, Ordering::Relaxed);
    }
}
