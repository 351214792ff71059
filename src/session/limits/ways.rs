//! A table of fixed size over keyed hashes: small sets, and in a full set the least worthy goes.
//!
//! The hash is keyed, so nobody can choose whose set he falls into; what a slot is worth grows with
//! what its owner did, so that newcomers push out one another and not him. Memory is taken as slots
//! are used and never past the bound; an unused table costs nothing.

use std::sync::{Mutex, OnceLock, PoisonError};

/// Slots of a set: enough that a full table is used evenly, few enough to be looked through.
const WAYS: usize = 64;

/// What a table holds of one key.
pub(super) trait Slot: Copy {
    /// A new one. Its set is told by the hash's low half, so the high half must be kept.
    fn new(hash: u64) -> Self;
    /// Whether it belongs to this hash.
    fn is(&self, hash: u64) -> bool;
    /// What it is worth at a moment; the least worthy slot of a full set goes.
    fn worth(&self, now: u32) -> u64;
}

/// The table.
pub(super) struct Ways<S> {
    sets: OnceLock<Box<[Mutex<Vec<S>>]>>,
    /// How many sets there are.
    count: usize,
}

impl<S: Slot> Ways<S> {
    /// A table of at most `most` slots, rounded up to whole sets.
    pub(super) fn new(most: usize) -> Self {
        Ways {
            sets: OnceLock::new(),
            count: most.div_ceil(WAYS).max(1),
        }
    }

    /// The slot of a key, if there is one.
    pub(super) fn get(&self, hash: u64) -> Option<S> {
        let set = self.sets.get()?.get(self.index(hash))?;
        let set = set.lock().unwrap_or_else(PoisonError::into_inner);
        set.iter().find(|slot| slot.is(hash)).copied()
    }

    /// Does something to the slot of a key; one is made if there is none.
    pub(super) fn with<R>(&self, hash: u64, now: u32, act: impl FnOnce(&mut S) -> R) -> R {
        let sets = self
            .sets
            .get_or_init(|| (0..self.count).map(|_| Mutex::default()).collect());
        let mut fresh = S::new(hash);
        // Always there: the index is below the count.
        let Some(set) = sets.get(self.index(hash)) else {
            return act(&mut fresh);
        };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = set.iter_mut().find(|slot| slot.is(hash)) {
            return act(slot);
        }
        let done = act(&mut fresh);
        if set.len() < WAYS {
            set.push(fresh);
        } else if let Some(least) = set.iter_mut().min_by_key(|slot| slot.worth(now)) {
            *least = fresh;
        }
        done
    }

    /// Octets it takes now.
    #[cfg(test)]
    pub(super) fn octets(&self) -> usize {
        let Some(sets) = self.sets.get() else {
            return 0;
        };
        // What an allocator adds to each allocation.
        const HEAD: usize = 16;
        let of_set = |set: &Mutex<Vec<S>>| {
            let slots = set.lock().unwrap().capacity() * size_of::<S>();
            size_of::<Mutex<Vec<S>>>() + slots + HEAD
        };
        sets.iter().map(of_set).sum::<usize>() + HEAD
    }

    fn index(&self, hash: u64) -> usize {
        let low = usize::try_from(hash & u64::from(u32::MAX)).unwrap_or_default();
        low.checked_rem(self.count).unwrap_or_default()
    }
}
