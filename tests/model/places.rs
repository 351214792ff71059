//! Places among a user's sessions are for those who have the password: nobody else fills them. That they
//! are full says nothing about a password.

use std::time::Duration;

use super::real::Real;
use super::reference::{Action, Came, Mood};

fn logs_in(real: &mut Real, client: usize, right: bool) -> Came {
    real.does(&Action::Connect(client));
    real.does(&Action::LogIn {
        client,
        user: Some(0),
        right,
    })
}

#[test]
fn strangers_who_wait_for_the_host_take_no_place() {
    let mut real = Real::new();
    real.does(&Action::Mood(0, Mood::Stuck));
    for client in [0, 1] {
        real.does(&Action::Connect(client));
        real.says(client, "a LOGIN User0@Model.example wrong\r\n");
    }
    assert_eq!(real.sessions(0), (2, 0), "they are at the host");
    real.does(&Action::Mood(0, Mood::Well));
    assert_eq!(logs_in(&mut real, 2, true), Came::In(0));
    assert_eq!(real.sessions(0), (3, 1));
    for client in [0, 1] {
        real.hears(client, "a NO [UNAVAILABLE] ");
    }
    assert_eq!(real.sessions(0), (1, 1));
}

#[test]
fn the_last_place_is_for_one() {
    let mut real = Real::new();
    assert_eq!(logs_in(&mut real, 0, true), Came::In(0));
    for client in [1, 2] {
        real.does(&Action::Connect(client));
    }
    for client in [1, 2] {
        real.says(client, "a LOGIN User0@Model.example secret-of-0-\r\n");
    }
    let said = [1, 2].map(|client| real.hears(client, "a "));
    let count = |begins: &str| said.iter().filter(|it| it.starts_with(begins)).count();
    assert_eq!((count("a OK "), count("a NO [LIMIT] ")), (1, 1), "{said:?}");
    assert_eq!(real.sessions(0), (2, 2), "its seat is given back");
    // The wrong password hears what the right one would.
    let full = Came::No {
        code: "LIMIT",
        after: Duration::ZERO,
        closed: false,
    };
    assert_eq!(logs_in(&mut real, 3, false), full);
    real.does(&Action::Leave(0));
    real.does(&Action::Leave(3));
    assert_eq!(logs_in(&mut real, 3, true), Came::In(0));
    assert_eq!(real.sessions(0), (2, 2));
}
