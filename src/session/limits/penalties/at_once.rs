//! Tries that are being judged right now. Of a window no more of them go on at once than it has room for,
//! or many at one moment would all be let in by the room that each of them saw. Nobody is refused for
//! that: a password may be right. Who finds no room waits until one of those before is decided.
//!
//! Kept is what is under way and no more: a key nobody holds or waits for is forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A window that a try would be counted in, and how many more that may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) key: u64,
    pub(super) left: u64,
}

/// What is under way, by window.
#[derive(Default)]
pub(super) struct AtOnce(Mutex<HashMap<u64, Window>>);

#[derive(Default)]
struct Window {
    judged: u64,
    waiting: u64,
    freed: Arc<Notify>,
}

/// A try's part of its windows, from before anybody judges it until what came of it is counted; given back
/// when dropped.
pub struct Stake {
    at_once: Arc<AtOnce>,
    keys: [Option<u64>; 2],
}

/// What came of a look at the windows.
pub(super) enum Taken {
    Stake(Stake),
    /// One of them has no room: after its turn to be looked at again.
    Behind(Waiter),
}

/// One that waits for a window. The first of them is woken as soon as there may be room, and wakes the next when it
/// is gone, whatever came of it: room for two may have come at once, or none that is of use to the first.
pub(super) struct Waiter {
    at_once: Arc<AtOnce>,
    key: u64,
    freed: Arc<Notify>,
}

impl AtOnce {
    /// Takes a part of all windows or of none: whoever holds one never waits for another. `look` says which they
    /// are, with nothing taken or given back meanwhile; `behind` is who has waited for one of them.
    pub(super) fn take<E>(
        self: &Arc<Self>,
        behind: Option<Waiter>,
        look: impl FnOnce() -> Result<[Option<Open>; 2], E>,
    ) -> Result<Taken, E> {
        let mut windows = self.windows();
        let open = look()?;
        for Open { key, left } in open.iter().flatten() {
            let Some(window) = windows.get_mut(key) else {
                continue;
            };
            // Newcomers do not overtake. Who has waited for one window is none at the other: were it, those who
            // are woken for either could send each other back for ever.
            let first = behind.is_some() || window.waiting == 0;
            if first && window.judged < *left {
                continue;
            }
            let waiter = match behind {
                Some(waiter) if waiter.key == *key => waiter,
                behind => {
                    window.waiting += 1;
                    let waiter = Waiter {
                        at_once: self.clone(),
                        key: *key,
                        freed: window.freed.clone(),
                    };
                    // It gives its old place back, which needs the lock.
                    drop(windows);
                    drop(behind);
                    waiter
                }
            };
            return Ok(Taken::Behind(waiter));
        }
        let keys = open.map(|it| it.map(|it| it.key));
        for key in keys.iter().flatten() {
            windows.entry(*key).or_default().judged += 1;
        }
        Ok(Taken::Stake(Stake {
            at_once: self.clone(),
            keys,
        }))
    }

    /// Somebody has no part in a window any more; the next that waits for it may look.
    fn give(&self, key: u64, part: impl FnOnce(&mut Window)) {
        let mut windows = self.windows();
        let Some(window) = windows.get_mut(&key) else {
            return;
        };
        part(window);
        match (window.judged, window.waiting) {
            (0, 0) => drop(windows.remove(&key)),
            (_, 0) => {}
            (_, _) => window.freed.notify_one(),
        }
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<u64, Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many windows are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.windows().len()
    }
}

impl Waiter {
    /// Comes back when there may be room.
    pub(super) async fn woken(&self) {
        self.freed.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let gone = |window: &mut Window| window.waiting = window.waiting.saturating_sub(1);
        self.at_once.give(self.key, gone);
    }
}

impl Drop for Stake {
    fn drop(&mut self) {
        for key in self.keys.iter().flatten() {
            let decided = |window: &mut Window| window.judged = window.judged.saturating_sub(1);
            self.at_once.give(*key, decided);
        }
    }
}
