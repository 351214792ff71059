//! In which order this process takes what the store has numbered.
//!
//! What is ordered here counts as soon as the store has taken it; what others ordered before comes
//! with a later beat, and what they ordered behind it may have come already. Either way what the store
//! has last is what stands here, too.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::Change;

/// How far the store's orders have been heard.
#[derive(Debug, Default)]
pub(in super::super) struct Heard(Mutex<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    /// All of them up to this number.
    up_to: u64,
    /// Behind that: what was ordered here, by number.
    ahead: Vec<(u64, Vec<Change>)>,
}

impl Heard {
    /// All orders were read, up to a number; `take` goes by them.
    pub(super) fn read(&self, number: u64, take: impl FnOnce()) {
        let mut numbers = self.numbers();
        numbers.heard(number);
        take();
    }

    /// The next ones in turn: `take` gets them, and behind them what was ordered here later.
    pub(super) fn hear(&self, number: u64, changes: Vec<Change>, take: impl FnOnce(Vec<Change>)) {
        let mut numbers = self.numbers();
        numbers.heard(number);
        take(numbers.and_behind(number, changes));
    }

    /// How far they have been heard by now.
    pub(super) fn up_to(&self) -> u64 {
        self.numbers().up_to
    }

    /// What this process ordered when it had heard all up to `before` has this number: `take` gets it,
    /// unless it was heard by now.
    pub(super) fn ordered(
        &self,
        number: u64,
        before: u64,
        changes: Vec<Change>,
        take: impl FnOnce(Vec<Change>),
    ) {
        let mut numbers = self.numbers();
        if number <= before {
            // The store has come back with less than there was: it will get from here what it lacks.
            return take(changes);
        }
        if number <= numbers.up_to {
            return;
        }
        let at = numbers.ahead.partition_point(|(own, _)| *own < number);
        numbers.ahead.insert(at, (number, changes.clone()));
        // An answer may be later than that of a later order.
        take(numbers.and_behind(number, changes));
    }

    /// Nobody takes anything meanwhile. A panic elsewhere leaves the numbers whole.
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    fn heard(&mut self, number: u64) {
        self.up_to = number;
        self.ahead.retain(|(own, _)| *own > number);
    }

    /// With what was ordered here behind that number.
    fn and_behind(&self, number: u64, mut changes: Vec<Change>) -> Vec<Change> {
        let behind = self.ahead.iter().filter(|(own, _)| *own > number);
        changes.extend(behind.flat_map(|(_, own)| own.iter().cloned()));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Orders, Owner, Place};
    use super::*;
    use crate::protocol::UserName;

    /// A gateway's orders by the numbers of the store: 0 for the hosts' weights, then more.
    #[derive(Default)]
    struct Gateway {
        heard: Heard,
        orders: Mutex<Orders>,
    }

    fn weight(host: &str, weight: u32) -> Vec<Change> {
        vec![Change::Weight(Place::new("b", host), weight)]
    }

    impl Gateway {
        fn take(&self, changes: Vec<Change>) {
            let mut orders = self.orders.lock().unwrap();
            changes.into_iter().for_each(|change| orders.apply(change));
        }

        fn hear(&self, number: u64, changes: Vec<Change>) {
            self.heard
                .hear(number, changes, |changes| self.take(changes));
        }

        fn ordered(&self, number: u64, changes: Vec<Change>) {
            self.ordered_at(number, number - 1, changes);
        }

        fn ordered_at(&self, number: u64, before: u64, changes: Vec<Change>) {
            let take = |changes| self.take(changes);
            self.heard.ordered(number, before, changes, take);
        }

        fn weight(&self, host: &str) -> Option<u32> {
            self.orders.lock().unwrap().weight(&Place::new("b", host))
        }
    }

    #[test]
    fn the_last_order_of_the_store_stands() {
        let gateway = Gateway::default();
        gateway.hear(1, weight("a", 1));
        // Its own third one is answered before the second, of another, is told.
        gateway.ordered(3, weight("a", 3));
        gateway.hear(2, [weight("a", 2), weight("b", 2)].concat());
        assert_eq!(
            (gateway.weight("a"), gateway.weight("b")),
            (Some(3), Some(2))
        );
        gateway.hear(3, weight("a", 3));
        gateway.hear(4, weight("a", 4));
        assert_eq!(gateway.weight("a"), Some(4));
        // Its own fifth one is told, and another's behind it, before it is answered.
        gateway.hear(5, weight("a", 5));
        gateway.hear(6, weight("a", 6));
        gateway.ordered(5, weight("a", 5));
        assert_eq!(gateway.weight("a"), Some(6));
        // Two of its own, answered in the other order.
        gateway.ordered(8, weight("a", 8));
        gateway.ordered(7, weight("a", 7));
        assert_eq!(gateway.weight("a"), Some(8));
        gateway.hear(7, weight("a", 7));
        assert_eq!(gateway.weight("a"), Some(8));
        // The store counts anew: its numbers say nothing of what was heard.
        gateway.ordered_at(1, 8, weight("a", 9));
        assert_eq!(gateway.weight("a"), Some(9));
    }

    /// A name that the map led to one owner and then to another, moved twice.
    #[test]
    fn a_name_is_that_of_the_last_move() {
        let gateway = Gateway::default();
        let owner = |backend: &str| Owner::new(backend, &UserName::new(b"alice").unwrap());
        let moved = |from: &str, version| {
            let moved = crate::state::tests::moved("alice", "new", version);
            vec![Change::Move(owner(from), moved)]
        };
        gateway.ordered_at(5, 3, moved("two", 50));
        gateway.hear(4, moved("one", 40));
        let orders = gateway.orders.lock().unwrap();
        let named = Owner::named(&UserName::new(b"alice").unwrap());
        let found = orders.moved(&named, &named).unwrap();
        assert_eq!((found.0, found.1.version), (&owner("two"), 50));
        assert_eq!(orders.moves().len(), 2);
    }
}
