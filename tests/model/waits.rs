//! Whose time is whose: the gateway's own waits (a hold, a queue) are no part of what a host takes to
//! refuse a password.

use std::time::Duration;

use tokio::time::Instant;

use super::real::Real;
use super::reference::{Action, Came, Mood, SLOW};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// How many seconds there were between the two; what looking costs is less than one.
fn between(begun: Instant, at: Instant) -> u64 {
    at.duration_since(begun).as_secs()
}

/// Strangers are told as late as users of the host that refused last, and no later.
#[test]
fn what_strangers_wait_for_is_the_hosts_own_time() {
    let wrong = |n: u32| format!("a LOGIN User0@Model.example wrong-of-0-{n}\r\n");
    let stranger_waits = |real: &mut Real| {
        real.does(&Action::Connect(3));
        let came = real.does(&Action::LogIn {
            client: 3,
            user: None,
            right: false,
        });
        real.does(&Action::Leave(3));
        let Came::No { after, .. } = came else {
            panic!("{came:?}")
        };
        after
    };
    let mut real = Real::with_settings(|settings| {
        settings.replace("b0: { hosts", "b0: { logins_in_flight: 1, hosts")
    });
    assert_eq!(stranger_waits(&mut real), seconds(2), "failure_delay");
    // In turn, as the host takes one at a time.
    real.does(&Action::Mood(0, Mood::Slow));
    let begun = real.now();
    for client in [0, 1, 2] {
        real.does(&Action::Connect(client));
    }
    real.says(0, &wrong(0));
    real.hears(0, "a NO [AUTHENTICATIONFAILED] ");
    assert_eq!(between(begun, real.now()), SLOW.as_secs());
    assert_eq!(stranger_waits(&mut real), SLOW);
    let begun = real.now();
    for client in [1, 2] {
        real.says(client, &wrong(1));
    }
    for client in [1, 2] {
        real.hears(client, "a NO [AUTHENTICATIONFAILED] ");
    }
    let both = 2 * SLOW.as_secs();
    assert_eq!(between(begun, real.now()), both, "one waited for the other");
    assert_eq!(stranger_waits(&mut real), SLOW);
    // Behind a hold.
    real.hold(0);
    real.says(0, &wrong(2));
    real.pass(seconds(30));
    real.release(0);
    real.hears(0, "a NO [AUTHENTICATIONFAILED] ");
    assert_eq!(stranger_waits(&mut real), SLOW);
}
