//! Users that a move has told to leave: whose hold keeps them out meanwhile, and what comes next for each
//! by what is ordered now.
//!
//! A move's hold is known by the move's number. So of two moves of a user the one that was asked for
//! last goes on, under its own hold, and the other stands back; also where they are of different
//! gateways, or the first one's gateway is dead. An operator's release ends a move, too.

use tokio::time::Instant;

use super::mover::{LEAVE_WAIT, Wish};
use super::orders::{keys_of, now};
use super::{Change, Hold, Move, Orders, Owner};

/// A hold of a move ends by itself after this many seconds, should whoever moves be gone.
pub(super) const HOLD: u64 = 120;

// Whoever moves has given up well before, also where each of its orders is slow.
const _: () = assert!(HOLD > 2 * LEAVE_WAIT.as_secs());

/// A user that was told to leave.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    pub(super) wish: Wish,
    /// Sessions are waited for till then.
    pub(super) by: Instant,
    /// By which its hold is known.
    number: u64,
    /// When that ends (seconds of Unix time); none: it is an operator's, and does not.
    until: Option<u64>,
    /// The version of the move that stood when this one began.
    begun_at: Option<u64>,
}

/// Whether a user's sessions have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sessions {
    Gone,
    There,
}

/// What has become of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Now {
    Moved,
    Waits,
    /// Another order of the user came in between: that one counts.
    Overtaken,
}

/// For whose move a user is kept out.
enum Holder {
    /// For none.
    Operator,
    This,
    Other,
    /// This move did, and was released.
    Released,
    Nobody,
}

impl Leaving {
    /// A move that begins, and its hold; none where the user was moved there before: then nobody is
    /// disturbed. `number` is no other move's of this user.
    pub(super) fn begin(
        wish: Wish,
        by: Instant,
        orders: &Orders,
        number: u64,
    ) -> Option<(Self, Vec<Change>)> {
        let mut it = Leaving {
            begun_at: version(orders, &wish.owner),
            until: None,
            number,
            wish,
            by,
        };
        let mut changes = Vec::new();
        match it.holder(orders) {
            Holder::Nobody | Holder::Operator if it.is_there(orders) => return None,
            _ => changes.push(it.hold(orders)),
        }
        Some((it, changes))
    }

    /// A move of which nobody knows whether it has begun, to be given up.
    pub(super) fn unsure(wish: Wish, number: u64) -> Self {
        Leaving {
            begun_at: None,
            until: None,
            by: Instant::now(),
            number,
            wish,
        }
    }

    /// Every key under which sessions of the user may stand.
    pub(super) fn keys(&self) -> Vec<Owner> {
        keys_of(&self.wish.owner, &self.wish.user)
    }

    /// Whether anything is to be ordered while its sessions are still there.
    pub(super) fn is_quiet(&self, orders: &Orders) -> bool {
        match self.holder(orders) {
            Holder::This => !self.is_elsewhere(orders),
            Holder::Operator | Holder::Other | Holder::Released | Holder::Nobody => false,
        }
    }

    /// Whether the user was moved since.
    fn is_elsewhere(&self, orders: &Orders) -> bool {
        version(orders, &self.wish.owner) != self.begun_at
    }

    /// The next step, and what is to be ordered for it; `version` is of the move, should it be made.
    pub(super) fn step(
        &mut self,
        sessions: Sessions,
        orders: &Orders,
        version: u64,
    ) -> (Now, Vec<Change>) {
        if self.is_elsewhere(orders) {
            return (Now::Overtaken, self.give_up(orders));
        }
        match (self.holder(orders), sessions) {
            (Holder::Other | Holder::Released, _) => (Now::Overtaken, Vec::new()),
            // An operator's hold was released, or this one's has ended: whoever came in meanwhile has
            // to leave first. Or an operator has taken the user over: this move goes on under that hold.
            (Holder::Nobody | Holder::Operator, _) => (Now::Waits, vec![self.hold(orders)]),
            (Holder::This, Sessions::Gone) => {
                let mut changes = vec![self.change(version)];
                changes.extend(self.give_up(orders));
                (Now::Moved, changes)
            }
            (Holder::This, Sessions::There) => (Now::Waits, Vec::new()),
        }
    }

    /// What ends the hold of this move, and no other. An operator's stays.
    pub(super) fn give_up(&self, orders: &Orders) -> Vec<Change> {
        let owner = || self.wish.owner.clone();
        match (self.holder(orders), orders.hold(&self.wish.owner)) {
            (Holder::This, Some(hold)) if hold.until.is_none() => {
                vec![Change::Hold(
                    owner(),
                    Hold {
                        of: None,
                        ..hold.clone()
                    },
                )]
            }
            (Holder::This, _) => vec![Change::Release(owner())],
            _ => Vec::new(),
        }
    }

    fn holder(&self, orders: &Orders) -> Holder {
        match orders.hold(&self.wish.owner) {
            None if self.until.is_some_and(|until| now() < until) => Holder::Released,
            None => Holder::Nobody,
            Some(hold) => match hold.of {
                Some(of) if of == self.number => Holder::This,
                Some(_) => Holder::Other,
                None => Holder::Operator,
            },
        }
    }

    /// The hold by which this move is known: its own, or an operator's, which stays what it is.
    fn hold(&mut self, orders: &Orders) -> Change {
        let owner = self.wish.owner.clone();
        let operators = orders.hold(&owner).filter(|hold| hold.until.is_none());
        let hold = match operators {
            Some(hold) => {
                self.until = None;
                hold.clone()
            }
            None => {
                self.until = Some(now().saturating_add(HOLD));
                Hold {
                    user: self.wish.user.clone(),
                    since: now(),
                    until: self.until,
                    of: None,
                }
            }
        };
        let of = Some(self.number);
        Change::Hold(owner, Hold { of, ..hold })
    }

    fn is_there(&self, orders: &Orders) -> bool {
        let owner = &self.wish.owner;
        match (&self.wish.to, orders.standing(owner)) {
            (Some((backend, host)), Some(moved)) => {
                (backend, host) == (&moved.backend, &moved.host)
            }
            (None, None) => true,
            _ => false,
        }
    }

    fn change(&self, version: u64) -> Change {
        let owner = self.wish.owner.clone();
        match self.wish.to.clone() {
            Some((backend, host)) => {
                let moved = Move {
                    user: self.wish.user.clone(),
                    backend,
                    host,
                    since: now(),
                    version,
                };
                Change::Move(owner, moved)
            }
            None => Change::Unmove(owner),
        }
    }
}

fn version(orders: &Orders, owner: &Owner) -> Option<u64> {
    orders.standing(owner).map(|moved| moved.version)
}

#[cfg(test)]
mod tests;
