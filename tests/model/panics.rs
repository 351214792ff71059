//! A panic ends the session that it is in, and no other.

use super::real::Real;
use super::reference::{Action, Came, Mood};

#[test]
fn a_panic_in_one_session_ends_that_session_only() {
    let logs_in = |client, user| Action::LogIn {
        client,
        user: Some(user),
        right: true,
    };
    let mut real = Real::new();
    for client in [0, 1] {
        real.does(&Action::Connect(client));
    }
    assert_eq!(real.does(&logs_in(0, 0)), Came::In(0));
    real.does(&Action::Mood(2, Mood::Panics));
    real.says(1, "a LOGIN User2@Two.example secret-of-2-\r\n");
    real.hears_the_end(1);
    assert_eq!((real.sessions(2), real.connections()), ((0, 0), 1));
    real.says(0, "b NOOP\r\n");
    real.hears(0, "b OK");
    // Who comes next finds everything as it was.
    real.does(&Action::Mood(2, Mood::Well));
    real.does(&Action::Connect(2));
    assert_eq!(real.does(&logs_in(2, 2)), Came::In(2));
    real.looks_right();
}
