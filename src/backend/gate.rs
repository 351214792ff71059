//! How many logins are on their way to a host at once; more wait their turn, in the order they came.
//!
//! A host that comes back is cold: caches are empty and all of its users come at once. So it begins
//! with an eighth of its turns, and each login that is answered frees one more of those withheld:
//! the load doubles with every round of logins, as fast as the host itself bears.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The part of all turns with which a host begins that was down.
const COLD: usize = 8;

/// The turns of a host.
#[derive(Debug)]
pub(super) struct Gate {
    turns: Semaphore,
    most: usize,
    /// Turns that a cold host has not yet.
    withheld: AtomicUsize,
    /// Held while turns are withheld.
    cooling: Mutex<()>,
}

impl Gate {
    /// `most`: how many at once; 0: no limit.
    pub(super) fn new(most: u32) -> Self {
        let most = match usize::try_from(most) {
            Ok(0) | Err(_) => Semaphore::MAX_PERMITS,
            Ok(n) => n.min(Semaphore::MAX_PERMITS),
        };
        Gate {
            turns: Semaphore::new(most),
            most,
            withheld: AtomicUsize::new(0),
            cooling: Mutex::default(),
        }
    }

    /// The gate of the same host under other settings: if it is cold it stays so, with as many turns.
    /// Logins that have one of the old turns are not counted.
    pub(super) fn after(most: u32, before: &Gate) -> Self {
        let gate = Gate::new(most);
        let withheld = before.withheld.load(Ordering::Relaxed);
        if withheld > 0 {
            gate.leave_open(before.most.saturating_sub(withheld));
        }
        gate
    }

    /// A turn, if one is free.
    pub(super) fn try_turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.try_acquire().ok()
    }

    /// A turn, as soon as one is free.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed: always there.
        self.turns.acquire().await.ok()
    }

    /// The host has come back: most turns are withheld.
    pub(super) fn begin_cold(&self) {
        self.leave_open(self.most / COLD);
    }

    /// Withholds all turns but so many, and one at least.
    fn leave_open(&self, turns: usize) {
        if self.most == Semaphore::MAX_PERMITS {
            return;
        }
        let target = self.most.saturating_sub(turns.max(1));
        // One after the other, or two that hear of it at once would withhold them all.
        let _alone = self.cooling.lock().unwrap_or_else(PoisonError::into_inner);
        let withheld = self.withheld.load(Ordering::Relaxed);
        let taken = self.turns.forget_permits(target.saturating_sub(withheld));
        self.withheld.fetch_add(taken, Ordering::Relaxed);
    }

    /// Turns that are free.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.turns.available_permits()
    }

    /// The host answered a login.
    pub(super) fn answered(&self) {
        let less = |withheld: usize| withheld.checked_sub(1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.withheld.fetch_update(set, fetch, less).is_ok() {
            self.turns.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cold_host_warms_up() {
        let gate = Gate::new(200);
        gate.begin_cold();
        assert_eq!(gate.free(), 25);
        let mut rounds = 0;
        while gate.free() < 200 {
            for _ in 0..gate.free() {
                gate.answered();
            }
            rounds += 1;
        }
        assert_eq!(rounds, 3);
        gate.answered();
        assert_eq!(gate.free(), 200);
    }

    #[test]
    fn going_down_again_takes_no_more_than_there_is() {
        let gate = Gate::new(10);
        let held: Vec<_> = (0..7).map(|_| gate.try_turn()).collect();
        gate.begin_cold();
        gate.begin_cold();
        assert_eq!(gate.free(), 0);
        drop(held);
        assert_eq!(gate.free(), 7);
        gate.begin_cold();
        assert_eq!(gate.free(), 1);
        (0..20).for_each(|_| gate.answered());
        assert_eq!(gate.free(), 10);
    }

    #[test]
    fn one_turn_is_always_left() {
        for most in [1, 2, 7] {
            let gate = Gate::new(most);
            gate.begin_cold();
            assert_eq!(gate.free(), 1);
        }
        let gate = Gate::new(0);
        gate.begin_cold();
        assert_eq!(gate.free(), Semaphore::MAX_PERMITS);
    }
}
