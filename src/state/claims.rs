//! Places that sessions take: among their user's, so that one user is on one host, and in the counts of
//! all gateways together.
//!
//! What is taken is held by a guard, so whatever ends a session gives it back. First this process
//! decides, then the shared store, where there is one and it answers.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::State;
use super::owner::{Owner, Pass, Place};
use super::pins::{Ask, Denied, Presence};
use super::shared::Verdict;

impl State {
    /// Where the user's sessions are, as far as this process knows.
    pub fn pinned(&self, pass: &Pass) -> Option<Place> {
        self.pins.of(&pass.keys())
    }

    /// What the user has on a host, as far as this process knows.
    pub fn presence(&self, pass: &Pass, place: &Place) -> Presence {
        self.pins.presence(&pass.keys(), place)
    }

    /// Takes a place on a host for a login that is about to be made there.
    pub async fn claim(self: &Arc<Self>, pass: &Pass, place: &Place) -> Claimed {
        let keys = pass.keys();
        let id = self.numbers.fetch_add(1, Ordering::Relaxed);
        match self.pins.claim(&keys, place, id) {
            Err(Denied::At(place)) => return Claimed::At(place),
            Err(Denied::Leaving) => return Claimed::Leaving,
            Ok(()) => {}
        }
        // Held from here on: of what was denied here the shared store has not heard, and is told nothing.
        let claim = Claim {
            state: self.clone(),
            keys,
            id,
        };
        if let Some(redis) = &self.redis {
            match self.claim_shared(redis, pass, place, claim.id).await {
                Ok(Verdict::Here) => {}
                Ok(Verdict::At(place)) => return Claimed::At(place),
                Ok(Verdict::Leaving) => return Claimed::Leaving,
                Ok(Verdict::Changed) => return Claimed::Changed,
                // Away: what this process knows has to do.
                Err(_) => {}
            }
        }
        // Now whoever holds or moves this user sees the claim; who did before is seen here.
        match self.still(pass) {
            true => Claimed::Here(claim),
            false => Claimed::Changed,
        }
    }

    /// Whether what a login goes by is still so.
    fn still(&self, pass: &Pass) -> bool {
        let orders = self.orders();
        let moved = orders.moved(&pass.owner, &pass.named);
        !orders.held(&pass.owner, &pass.named)
            && moved.map_or(0, |(_, moved)| moved.version) == pass.moved
    }

    /// Asks the user's sessions to leave every other host, and lets new ones in at `to` only. How many
    /// are still elsewhere; call again until there is none.
    pub async fn send_to(&self, pass: &Pass, to: &Place) -> usize {
        let keys = pass.keys();
        let here = self.pins.send_all_to(&keys, to);
        match &self.redis {
            Some(redis) => self.send_shared(redis, keys, to).await.unwrap_or(here),
            None => here,
        }
    }

    /// Asks all sessions under these keys to leave. Says which still have some; call again until none
    /// has.
    pub(super) async fn clear(&self, owners: &[Owner]) -> Vec<Owner> {
        let here = self.clear_here(owners);
        let Some(redis) = &self.redis else {
            return here;
        };
        // Of a claim that was made without a link, or is to be entered again, only this process knows.
        let mut left: HashSet<Owner> = here.into_iter().collect();
        left.extend(self.clear_shared(redis, owners).await.unwrap_or_default());
        left.into_iter().collect()
    }

    pub(super) fn clear_here(&self, owners: &[Owner]) -> Vec<Owner> {
        let left = owners.iter().filter(|owner| self.pins.clear(owner) > 0);
        left.cloned().collect()
    }

    /// Whether there are places that are counted over all gateways: the one that is full, where one is. As
    /// [`enter`](Self::enter), and none is taken.
    pub async fn room(&self, keys: &[(String, u32)]) -> Result<(), usize> {
        let Some(redis) = &self.redis else {
            return Ok(());
        };
        match self.room_shared(redis, keys).await {
            Ok(Some(full)) => Err(full),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Takes places that are counted over all gateways, each key with the most it may have; the place
    /// of the one that is full, where one is. Where no store is shared, or it is away, nothing is full.
    pub async fn enter(self: &Arc<Self>, keys: Vec<(String, u32)>) -> Result<Entered, usize> {
        let entered = Entered {
            state: self.clone(),
            id: self.numbers.fetch_add(1, Ordering::Relaxed),
        };
        let Some(redis) = &self.redis else {
            return Ok(entered);
        };
        // Noted first: should the store go away now, it is entered when that comes back.
        let noted = keys.iter().map(|(key, _)| redis.count_key(key)).collect();
        lock(&self.entered).insert(entered.id, noted);
        match self.enter_shared(redis, entered.id, &keys).await {
            Ok(Some(full)) => Err(full),
            Ok(None) | Err(_) => Ok(entered),
        }
    }

    /// All places that are counted over all gateways and held here.
    pub(super) fn all_entered(&self) -> Vec<(u64, Arc<[String]>)> {
        let entered = lock(&self.entered);
        entered
            .iter()
            .map(|(id, keys)| (*id, keys.clone()))
            .collect()
    }

    /// Whether these places are held here.
    pub(super) fn is_entered(&self, id: u64) -> bool {
        lock(&self.entered).contains_key(&id)
    }
}

/// A panic elsewhere leaves the table whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Places that are counted over all gateways, given back when dropped.
pub struct Entered {
    state: Arc<State>,
    id: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let keys = lock(&self.state.entered).remove(&self.id);
        if let (Some(redis), Some(keys)) = (&self.state.redis, keys)
            && !keys.is_empty()
        {
            State::leave_shared(redis, self.id, keys.to_vec());
        }
    }
}

/// What comes of [`State::claim`].
pub enum Claimed {
    /// The place is taken until this is dropped.
    Here(Claim),
    /// The user's sessions are there: new ones go there, too, or [send](State::send_to) those away.
    At(Place),
    /// The user's sessions elsewhere were asked to leave and have not all left.
    Leaving,
    /// The user is held, or was moved: ask for the way again.
    Changed,
}

/// A session's place among its user's, given back when dropped.
pub struct Claim {
    state: Arc<State>,
    keys: Vec<Owner>,
    id: u64,
}

impl Claim {
    /// How the session is asked to leave; it is at once, if it was to already.
    pub fn on_leave(&self, ask: Ask) {
        self.state.pins.on_leave(&self.keys, self.id, &ask);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.state.pins.remove(&self.keys, self.id);
        if let Some(redis) = &self.state.redis {
            let keys = self.keys.iter();
            let keys = keys.map(|key| redis.pin_key(key.as_str())).collect();
            State::leave_shared(redis, self.id, keys);
        }
    }
}
