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
