//! How many logins are on their way to a host at once; more wait their turn, in the order they came.
//!
//! A host that comes back is cold: caches are empty and all of its users come at once. So it begins
//! with an eighth of its turns, and each login that is answered frees one more of those withheld:
//! the load doubles with every round of logins, as fast as the host itself bears.

use std::sync::atomic::{AtomicUsize, Ordering};

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
        }
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
        if self.most == Semaphore::MAX_PERMITS {
            return;
        }
        let target = self.most - (self.most / COLD).max(1);
        let withheld = self.withheld.load(Ordering::Relaxed);
        let taken = self.turns.forget_permits(target.saturating_sub(withheld));
        self.withheld.fetch_add(taken, Ordering::Relaxed);
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

    /// How many turns are free.
    fn free(gate: &Gate) -> usize {
        gate.turns.available_permits()
    }

    #[test]
    fn a_cold_host_warms_up() {
        let gate = Gate::new(200);
        gate.begin_cold();
        assert_eq!(free(&gate), 25);
        let mut rounds = 0;
        while free(&gate) < 200 {
            for _ in 0..free(&gate) {
                gate.answered();
            }
            rounds += 1;
        }
        assert_eq!(rounds, 3);
        gate.answered();
        assert_eq!(free(&gate), 200);
    }

    #[test]
    fn going_down_again_takes_no_more_than_there_is() {
        let gate = Gate::new(10);
        let held: Vec<_> = (0..7).map(|_| gate.try_turn()).collect();
        gate.begin_cold();
        gate.begin_cold();
        assert_eq!(free(&gate), 0);
        drop(held);
        assert_eq!(free(&gate), 7);
        gate.begin_cold();
        assert_eq!(free(&gate), 1);
        (0..20).for_each(|_| gate.answered());
        assert_eq!(free(&gate), 10);
    }

    #[test]
    fn one_turn_is_always_left() {
        for most in [1, 2, 7] {
            let gate = Gate::new(most);
            gate.begin_cold();
            assert_eq!(free(&gate), 1);
        }
        let gate = Gate::new(0);
        gate.begin_cold();
        assert_eq!(free(&gate), Semaphore::MAX_PERMITS);
    }
}
