//! What orders come to, and how they are written.

use super::*;
use crate::protocol::UserName;
use crate::state::tests::{hold, moved};

fn user(name: &str) -> UserName {
    UserName::new(name.as_bytes()).unwrap()
}

#[test]
fn a_move_is_found_by_owner_and_by_name() {
    let mut orders = Orders::default();
    let old = Owner::new("old", &user("Alice"));
    let typed = Owner::named(&user("ALICE@example.com"));
    orders.apply(Change::Move(
        old.clone(),
        moved("alice@example.com", "new", 1),
    ));
    let alias = Owner::named(&user("a.smith@example.com"));
    let other = Owner::new("other", &user("alice"));
    assert!(orders.moved(&old, &alias).is_some());
    assert!(orders.moved(&other, &typed).is_some());
    assert!(orders.moved(&other, &alias).is_none());
    orders.apply(Change::Move(
        old.clone(),
        moved("a.smith@example.com", "new", 2),
    ));
    assert!(orders.moved(&other, &typed).is_none());
    orders.apply(Change::Unmove(old.clone()));
    assert_eq!(orders, Orders::default());
}

#[test]
fn what_is_written_is_read_again() {
    let mut orders = Orders::default();
    let (alice, bob) = (user("alice"), user("jürgen \"x\"/y"));
    let place = Place::new("old", "[::1]:143");
    let drain = Drain {
        since: 1,
        end: Some(5),
    };
    let hold = |until| Hold {
        until,
        ..hold("alice")
    };
    for change in [
        Change::Move(Owner::new("old", &alice), moved("alice", "new", 9)),
        Change::Drain(place.clone(), drain),
        Change::Weight(place.clone(), 0),
        Change::Hold(Owner::named(&bob), hold(None)),
    ] {
        orders.apply(change);
    }
    let text = orders.write();
    assert_eq!(Orders::read(&text).unwrap(), orders);
    orders.apply(Change::Hold(
        Owner::new("x", &alice),
        hold(Some(now() + 60)),
    ));
    assert_eq!(orders.write(), text);
    for end in 0..text.len() - 1 {
        assert!(Orders::read(&text[..end]).is_err(), "cut at {end}");
    }
    assert!(Orders::read(b"{}").is_err());
    let newer = String::from_utf8(text)
        .unwrap()
        .replace("state\":1", "state\":2");
    assert!(
        Orders::read(newer.as_bytes())
            .unwrap_err()
            .contains("format 2")
    );
}

/// Moves of one name, which the map led to one owner and then to another.
#[test]
fn which_move_a_name_means_is_read_again() {
    let mut orders = Orders::default();
    let typed = Owner::named(&user("alice"));
    let owner = |backend: &str| Owner::new(backend, &user("alice"));
    let read_again = |orders: &Orders| {
        let text = orders.write();
        let again = Orders::read(&text).unwrap();
        assert_eq!(&again, orders);
        assert_eq!(again.write(), text);
        String::from_utf8(text).unwrap()
    };
    let found = |orders: &Orders| {
        let found = orders.moved(&owner("elsewhere"), &typed);
        found.map(|(_, moved)| moved.version)
    };
    for (from, version) in [("old", 40), ("new", 50), ("most", 60)] {
        orders.apply(Change::Move(owner(from), moved("alice", "spare", version)));
        assert_eq!(found(&orders), Some(version));
        let text = read_again(&orders);
        assert!(!text.contains("by_map"), "{text}");
    }
    // The name goes by the map again, the others keep their moves.
    orders.apply(Change::Unmove(owner("most")));
    assert_eq!((found(&orders), orders.moves().len()), (None, 2));
    read_again(&orders);
    orders.apply(Change::Move(
        Owner::new("old", &user("bob")),
        moved("bob", "new", 70),
    ));
    read_again(&orders);
    // By the name all of them can be undone that are listed under it.
    let by_name = |orders: &Orders| {
        let found = orders.moved_by(&owner("elsewhere"), &typed);
        found.map(|(owner, _)| owner.clone())
    };
    for from in ["new", "old"] {
        assert_eq!(by_name(&orders), Some(owner(from)));
        orders.apply(Change::Unmove(owner(from)));
    }
    assert_eq!(by_name(&orders), None);
    let text = read_again(&orders);
    assert!(!text.contains("by_map"), "{text}");
}

#[test]
fn a_hold_of_the_move_that_is_followed_counts() {
    let mut orders = Orders::default();
    let typed = Owner::named(&user("alice"));
    let [old, new] = ["old", "new"].map(|backend| Owner::new(backend, &user("alice")));
    orders.apply(Change::Hold(old.clone(), hold("alice")));
    assert!(!orders.held(&new, &typed));
    orders.apply(Change::Move(old.clone(), moved("alice", "spare", 1)));
    assert!(orders.held(&new, &typed));
    // Who has a move of its own follows that.
    orders.apply(Change::Move(new.clone(), moved("a.smith", "spare", 2)));
    assert!(!orders.held(&new, &typed));
    orders.apply(Change::Unmove(new.clone()));
    orders.apply(Change::Unmove(old));
    assert!(!orders.held(&new, &typed));
}

#[test]
fn holds_of_moves_end_by_themselves() {
    let mut orders = Orders::default();
    let owner = Owner::named(&user("alice"));
    let hold = |until| Hold {
        until,
        ..hold("alice")
    };
    for (until, want) in [(None, true), (Some(now() + 60), true), (Some(now()), false)] {
        orders.apply(Change::Hold(owner.clone(), hold(until)));
        assert_eq!(orders.held(&owner, &owner), want);
    }
    assert!(
        Drain {
            since: 0,
            end: Some(1)
        }
        .is_over()
    );
    assert!(
        !Drain {
            since: 0,
            end: None
        }
        .is_over()
    );
}
