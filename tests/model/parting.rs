//! A full gateway where everybody is parting: who waits for the client to close makes room at once, so
//! the limit on connections holds.

use super::real::Real;
use super::reference::{Action, Came};

#[test]
fn who_is_parting_makes_room_at_once() {
    let wrong = "a LOGIN stranger@elsewhere.example wrong\r\n";
    for says in [
        "a LOGOUT\r\n",
        &wrong.repeat(3),
        // The time for login is over.
        "",
        &"a NONSENSE\r\n".repeat(5),
    ] {
        let mut real = Real::with_connections(2);
        for client in [0, 1] {
            assert_eq!(real.does(&Action::Connect(client)), Came::Greeted);
        }
        for client in [0, 1] {
            real.says(client, says);
        }
        for client in [0, 1] {
            real.hears(client, "* BYE ");
        }
        assert_eq!(real.connections(), 2, "nobody waits after {says:?}");
        for client in [2, 3] {
            assert_eq!(real.does(&Action::Connect(client)), Came::Greeted);
            assert_eq!(real.connections(), 2, "after {says:?}");
        }
    }
}
