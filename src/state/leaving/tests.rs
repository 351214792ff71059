//! Moves of one user that meet, step by step.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::protocol::UserName;

fn owner() -> Owner {
    Owner::new("old", &UserName::new(b"alice").unwrap())
}

fn begin(orders: &mut Orders, to: &str) -> Leaving {
    begin_wish(orders, Some((to.into(), None)))
}

fn begin_wish(orders: &mut Orders, to: Option<(String, Option<String>)>) -> Leaving {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let wish = Wish {
        owner: owner(),
        user: "alice".into(),
        to,
    };
    let (it, changes) = Leaving::begin(wish, Instant::now(), orders, number).unwrap();
    changes.into_iter().for_each(|change| orders.apply(change));
    it
}

fn step(it: &mut Leaving, sessions: Sessions, orders: &mut Orders) -> Now {
    let (now, changes) = it.step(sessions, orders, it.number + 1000);
    changes.into_iter().for_each(|change| orders.apply(change));
    now
}

fn held(orders: &Orders) -> bool {
    orders.held(&owner(), &owner())
}

fn operators() -> Change {
    Change::Hold(owner(), crate::state::tests::hold("alice"))
}

#[test]
fn of_two_moves_the_last_one_counts() {
    let mut orders = Orders::default();
    let mut one = begin(&mut orders, "b");
    let mut two = begin(&mut orders, "c");
    assert!(!one.is_quiet(&orders) && two.is_quiet(&orders));
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
fn the_last_one_counts_also_where_it_takes_a_move_back() {
    let mut orders = Orders::default();
    step(&mut begin(&mut orders, "b"), Sessions::Gone, &mut orders);
    let mut one = begin(&mut orders, "c");
    let mut back = begin_wish(&mut orders, None);
    assert_eq!(step(&mut back, Sessions::Gone, &mut orders), Now::Moved);
    assert!(!one.is_quiet(&orders));
    assert_eq!(step(&mut one, Sessions::Gone, &mut orders), Now::Overtaken);
    assert!(!held(&orders) && orders.moves().len() == 0);
}

/// Clocks of two gateways need not agree.
#[test]
fn a_move_with_a_lower_version_counts_where_it_came_later() {
    let mut orders = Orders::default();
    let mut one = begin(&mut orders, "b");
    let mut two = begin(&mut orders, "c");
    let (done, changes) = two.step(Sessions::Gone, &orders, 1);
    assert_eq!(done, Now::Moved);
    changes.into_iter().for_each(|change| orders.apply(change));
    assert_eq!(step(&mut one, Sessions::Gone, &mut orders), Now::Overtaken);
    assert_eq!(orders.moved(&owner(), &owner()).unwrap().1.backend, "c");
}

#[test]
fn who_is_released_by_an_operator_stays() {
    let mut orders = Orders::default();
    let mut one = begin(&mut orders, "b");
    orders.apply(Change::Release(owner()));
    assert!(!one.is_quiet(&orders));
    assert_eq!(step(&mut one, Sessions::Gone, &mut orders), Now::Overtaken);
    assert!(!held(&orders) && orders.moves().len() == 0);
}

#[test]
fn a_hold_that_has_ended_is_made_again() {
    let mut orders = Orders::default();
    let mut one = begin(&mut orders, "b");
    let ended = Hold {
        user: "alice".into(),
        since: 0,
        until: Some(1),
        of: Some(one.number),
    };
    one.until = ended.until;
    orders.apply(Change::Hold(owner(), ended));
    assert!(!held(&orders) && !one.is_quiet(&orders));
    assert_eq!(step(&mut one, Sessions::Gone, &mut orders), Now::Waits);
    assert!(held(&orders) && orders.moves().len() == 0);
    assert_eq!(step(&mut one, Sessions::Gone, &mut orders), Now::Moved);
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
    let stays = |orders: &Orders| {
        let hold = orders.hold(&owner()).unwrap();
        assert_eq!((hold.until, hold.of), (None, None));
    };
    orders.apply(operators());
    let mut one = begin(&mut orders, "b");
    assert!(one.is_quiet(&orders));
    assert_eq!(step(&mut one, Sessions::There, &mut orders), Now::Waits);
    assert_eq!(step(&mut one, Sessions::Gone, &mut orders), Now::Moved);
    stays(&orders);
    orders.apply(Change::Release(owner()));
    // Also one that was asked for while the user was on the way.
    let mut two = begin(&mut orders, "c");
    orders.apply(operators());
    assert!(!two.is_quiet(&orders));
    assert_eq!(step(&mut two, Sessions::Gone, &mut orders), Now::Waits);
    assert!(two.is_quiet(&orders));
    assert_eq!(step(&mut two, Sessions::Gone, &mut orders), Now::Moved);
    stays(&orders);
}

#[test]
fn of_two_moves_under_an_operators_hold_the_last_one_counts() {
    let mut orders = Orders::default();
    step(&mut begin(&mut orders, "b"), Sessions::Gone, &mut orders);
    orders.apply(operators());
    let mut one = begin(&mut orders, "c");
    // There it is still, and there it is to stay.
    let mut two = begin(&mut orders, "b");
    assert_eq!(step(&mut one, Sessions::Gone, &mut orders), Now::Overtaken);
    assert_eq!(step(&mut two, Sessions::Gone, &mut orders), Now::Moved);
    assert_eq!(orders.moved(&owner(), &owner()).unwrap().1.backend, "b");
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
