//! Users that a move has told to leave: whose hold keeps them out meanwhile, and what comes next for each
//! by what is ordered now.
//!
//! A move's hold is known by its end, which no other hold of that user has. So of two moves of a user
//! the one that was asked for last goes on, under its own hold, and the other stands back; also where
//! they are of different gateways, or the first one's gateway is dead.

use std::time::Duration;

use tokio::time::Instant;

use super::mover::Wish;
use super::orders::{named, now};
use super::{Change, Hold, Move, Orders, Owner};

/// A hold of a move ends by itself after this long, should whoever moves be gone.
const HOLD: u64 = 120;

/// A hold that ends sooner than that is made longer while sessions are waited for.
const RENEWED: u64 = HOLD / 2;

/// How long a hold must be another's to be believed: what this gateway orders comes back to it by the
/// shared store, in order but late, so that for a few beats an older hold may seem to stand.
const DOUBT: Duration = Duration::from_secs(1);

/// A user that was told to leave.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    pub(super) wish: Wish,
    /// Sessions are waited for till then.
    pub(super) by: Instant,
    /// When the hold of this move ends, if it has one.
    until: Option<u64>,
    /// No move that was made before this one began has a higher version.
    before: u64,
    /// Since when the hold is another's.
    doubted: Option<Instant>,
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
    /// Another move of the user came in between: that one counts.
    Overtaken,
}

/// Who keeps a user out.
enum Holder {
    Operator,
    This,
    Other,
    Nobody,
}

impl Leaving {
    /// A move that begins, and its hold; none where the user was moved there before: then nobody is
    /// disturbed.
    pub(super) fn begin(
        wish: Wish,
        by: Instant,
        orders: &Orders,
        version_now: u64,
    ) -> Option<(Self, Vec<Change>)> {
        let mut it = Leaving {
            before: version(orders, &wish.owner).max(version_now),
            doubted: None,
            until: None,
            wish,
            by,
        };
        let mut changes = Vec::new();
        match it.holder(orders) {
            Holder::Nobody if it.is_there(orders) => return None,
            Holder::Operator if it.is_there(orders) => return None,
            Holder::Operator => {}
            _ => changes.push(it.hold(orders)),
        }
        Some((it, changes))
    }

    /// Every key under which sessions of the user may stand.
    pub(super) fn keys(&self) -> Vec<Owner> {
        let named = named(&self.wish.user);
        let named = named.as_ref().unwrap_or(&self.wish.owner);
        Owner::all_keys(&self.wish.owner, named)
    }

    /// Whether anything is to be ordered while its sessions are still there.
    pub(super) fn is_quiet(&self, orders: &Orders) -> bool {
        match self.holder(orders) {
            Holder::Operator => !self.is_overtaken(orders),
            Holder::This => !self.is_overtaken(orders) && !self.ends_soon(),
            Holder::Other | Holder::Nobody => false,
        }
    }

    fn is_overtaken(&self, orders: &Orders) -> bool {
        version(orders, &self.wish.owner) > self.before
    }

    /// The next step, and what is to be ordered for it; `version` is of the move, should it be made.
    pub(super) fn step(
        &mut self,
        sessions: Sessions,
        orders: &Orders,
        version_of_move: u64,
    ) -> (Now, Vec<Change>) {
        if self.is_overtaken(orders) {
            return (Now::Overtaken, self.give_up(orders));
        }
        let holder = self.holder(orders);
        let doubted = match holder {
            Holder::Other => Some(*self.doubted.get_or_insert_with(Instant::now)),
            Holder::Operator | Holder::This | Holder::Nobody => None,
        };
        self.doubted = doubted;
        match (holder, sessions) {
            (Holder::Other, _) => match doubted.is_some_and(|since| since.elapsed() >= DOUBT) {
                true => (Now::Overtaken, Vec::new()),
                false => (Now::Waits, Vec::new()),
            },
            // Released or lapsed: whoever came in meanwhile has to leave first.
            (Holder::Nobody, _) => (Now::Waits, vec![self.hold(orders)]),
            (Holder::Operator | Holder::This, Sessions::Gone) => {
                let mut changes = vec![self.change(version_of_move)];
                changes.extend(self.give_up(orders));
                (Now::Moved, changes)
            }
            (Holder::This, Sessions::There) if self.ends_soon() => {
                (Now::Waits, vec![self.hold(orders)])
            }
            (Holder::Operator | Holder::This, Sessions::There) => (Now::Waits, Vec::new()),
        }
    }

    /// What ends the hold of this move, and no other.
    pub(super) fn give_up(&self, orders: &Orders) -> Vec<Change> {
        match self.holder(orders) {
            Holder::This => vec![Change::Release(self.wish.owner.clone())],
            Holder::Operator | Holder::Other | Holder::Nobody => Vec::new(),
        }
    }

    fn holder(&self, orders: &Orders) -> Holder {
        match orders.hold(&self.wish.owner) {
            None => Holder::Nobody,
            Some(hold) => match hold.until {
                None => Holder::Operator,
                until if until == self.until => Holder::This,
                Some(_) => Holder::Other,
            },
        }
    }

    fn hold(&mut self, orders: &Orders) -> Change {
        let before = orders.hold(&self.wish.owner).and_then(|hold| hold.until);
        let next = before.map_or(0, |before| before.saturating_add(1));
        self.until = Some(now().saturating_add(HOLD).max(next));
        let hold = Hold {
            user: self.wish.user.clone(),
            since: now(),
            until: self.until,
        };
        Change::Hold(self.wish.owner.clone(), hold)
    }

    fn ends_soon(&self) -> bool {
        self.until.is_some_and(|until| until < now() + RENEWED)
    }

    fn is_there(&self, orders: &Orders) -> bool {
        let owner = &self.wish.owner;
        match (&self.wish.to, orders.moved(owner, owner)) {
            (Some((backend, host)), Some((_, moved))) => {
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

fn version(orders: &Orders, owner: &Owner) -> u64 {
    let moved = orders.moved(owner, owner);
    moved.map_or(0, |(_, moved)| moved.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::UserName;

    const VERSION: u64 = 7;

    fn owner() -> Owner {
        Owner::new("old", &UserName::new(b"alice").unwrap())
    }

    fn begin(orders: &mut Orders, to: &str) -> Leaving {
        let wish = Wish {
            owner: owner(),
            user: "alice".into(),
            to: Some((to.into(), None)),
        };
        let (it, changes) = Leaving::begin(wish, Instant::now(), orders, 5).unwrap();
        changes.into_iter().for_each(|change| orders.apply(change));
        it
    }

    fn step(it: &mut Leaving, sessions: Sessions, orders: &mut Orders) -> Now {
        let (now, changes) = it.step(sessions, orders, VERSION);
        changes.into_iter().for_each(|change| orders.apply(change));
        now
    }

    fn held(orders: &Orders) -> bool {
        orders.held(&owner(), &owner())
    }

    fn operators() -> Change {
        let hold = Hold {
            user: "alice".into(),
            since: 0,
            until: None,
        };
        Change::Hold(owner(), hold)
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_moves_the_last_one_counts() {
        let mut orders = Orders::default();
        let mut one = begin(&mut orders, "b");
        let mut two = begin(&mut orders, "c");
        assert!(!one.is_quiet(&orders) && two.is_quiet(&orders));
        // It may be an echo of what was before.
        assert_eq!(step(&mut one, Sessions::Gone, &mut orders), Now::Waits);
        tokio::time::advance(DOUBT).await;
        let same = step(&mut one.clone(), Sessions::Gone, &mut orders);
        assert_eq!(same, Now::Overtaken);
        assert!(one.give_up(&orders).is_empty() && held(&orders));
        assert_eq!(step(&mut two, Sessions::There, &mut orders), Now::Waits);
        assert_eq!(step(&mut two, Sessions::Gone, &mut orders), Now::Moved);
        assert!(!held(&orders));
        assert_eq!(orders.moved(&owner(), &owner()).unwrap().1.backend, "c");
        // Also where it was over before the first has looked again.
        assert!(!one.is_quiet(&orders));
        assert_eq!(step(&mut one, Sessions::Gone, &mut orders), Now::Overtaken);
        assert!(!held(&orders));
    }

    #[test]
    fn a_hold_that_a_dead_mover_left_is_taken_over() {
        let mut orders = Orders::default();
        begin(&mut orders, "b");
        let mut again = begin(&mut orders, "b");
        assert_eq!(step(&mut again, Sessions::Gone, &mut orders), Now::Moved);
        assert!(!held(&orders));
        assert_eq!(orders.moves().len(), 1);
        // It died after the move of another one, which it would undo.
        begin(&mut orders, "c");
        let mut back = begin(&mut orders, "b");
        assert_eq!(step(&mut back, Sessions::Gone, &mut orders), Now::Moved);
        assert!(!held(&orders));
        assert_eq!(orders.moved(&owner(), &owner()).unwrap().1.backend, "b");
    }

    #[test]
    fn an_operators_hold_stays() {
        let mut orders = Orders::default();
        orders.apply(operators());
        let mut one = begin(&mut orders, "b");
        assert_eq!(step(&mut one, Sessions::There, &mut orders), Now::Waits);
        assert_eq!(step(&mut one, Sessions::Gone, &mut orders), Now::Moved);
        assert!(held(&orders));
        orders.apply(Change::Release(owner()));
        // Also one that was asked for while the user was on the way.
        let mut two = begin(&mut orders, "c");
        orders.apply(operators());
        assert!(two.is_quiet(&orders));
        assert_eq!(step(&mut two, Sessions::Gone, &mut orders), Now::Moved);
        assert!(held(&orders));
    }

    #[test]
    fn who_was_let_in_meanwhile_leaves_first() {
        let mut orders = Orders::default();
        orders.apply(operators());
        let mut one = begin(&mut orders, "b");
        orders.apply(Change::Release(owner()));
        assert!(!one.is_quiet(&orders));
        assert_eq!(step(&mut one, Sessions::Gone, &mut orders), Now::Waits);
        assert!(held(&orders) && orders.moves().len() == 0);
        assert_eq!(step(&mut one, Sessions::Gone, &mut orders), Now::Moved);
        assert!(!held(&orders));
    }
}
