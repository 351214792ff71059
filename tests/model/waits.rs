//! How long a login may take in all, and whose time is whose: the gateway's own waits (a hold, a queue)
//! are no part of what a host takes to refuse a password.

use std::time::Duration;

use tokio::time::Instant;

use super::real::Real;
use super::reference::{Action, Came, Mood, SLOW};

const RIGHT: &str = "a LOGIN User0@Model.example secret-of-0-\r\n";

/// One login at a time, at a host that may take longer than all of a login may.
fn narrow() -> Real {
    Real::with_settings(|settings| {
        let b0 = "b0: { logins_in_flight: 1, hosts";
        let settings = settings.replace("b0: { hosts", b0);
        let settings = settings.replace("login_timeout: 10s", "login_timeout: 30s");
        settings.replace("login: 60s", "login: 20s")
    })
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// How many seconds there were between the two; what looking costs is less than one.
fn between(begun: Instant, at: Instant) -> u64 {
    at.duration_since(begun).as_secs()
}

/// Waits for a tagged NO that blames nobody's password, then for the end; when that was.
fn is_put_off(real: &mut Real, client: usize) -> Instant {
    let said = real.hears(client, "a ");
    assert!(said.starts_with("a NO [UNAVAILABLE] "), "{said}");
    let at = real.now();
    real.hears(client, "* BYE ");
    assert_eq!(between(at, real.now()), 0, "no further try");
    at
}

#[test]
fn a_login_ends_with_its_time_wherever_it_is() {
    let mut real = narrow();
    real.does(&Action::Mood(0, Mood::Stuck));
    let begun = real.now();
    real.does(&Action::Connect(0));
    real.says(0, RIGHT);
    real.pass(seconds(5));
    real.does(&Action::Connect(1));
    real.says(1, RIGHT);
    assert_eq!(
        real.sessions(0),
        (2, 0),
        "one at the host, one in its queue"
    );
    assert_eq!(between(begun, is_put_off(&mut real, 1)), 25);
    // Who has been shown a password has the time that is its own.
    assert_eq!(between(begun, is_put_off(&mut real, 0)), 30);
    assert_eq!(real.sessions(0), (0, 0));
    for client in [0, 1] {
        real.does(&Action::Leave(client));
    }
    assert_eq!(real.connections(), 0);
    // Nor is a turn lost, a place, or the user's good name.
    real.does(&Action::Mood(0, Mood::Well));
    for client in [0, 1] {
        real.does(&Action::Connect(client));
        let came = real.does(&Action::LogIn {
            client,
            user: Some(0),
            right: true,
        });
        assert_eq!(came, Came::In(0));
    }
}

#[test]
fn a_login_in_a_queue_ends_when_it_is_told_to() {
    let mut real = narrow();
    real.does(&Action::Mood(0, Mood::Stuck));
    let begun = real.now();
    for client in [0, 1] {
        real.does(&Action::Connect(client));
        real.says(client, RIGHT);
    }
    assert_eq!(real.sessions(0), (2, 0));
    real.kick_all();
    assert_eq!(between(begun, is_put_off(&mut real, 1)), 0);
    assert_eq!(real.sessions(0), (1, 0), "the other one is at the host");
    assert_eq!(between(begun, is_put_off(&mut real, 0)), 30);
    assert_eq!(real.sessions(0), (0, 0));
}

#[test]
fn a_hold_is_no_part_of_the_time() {
    let mut real = narrow();
    let begun = real.now();
    real.hold(0);
    real.does(&Action::Connect(0));
    real.says(0, RIGHT);
    real.pass(seconds(100));
    real.release(0);
    real.hears(0, "a OK ");
    real.does(&Action::Leave(0));
    // What is left of it begins behind the hold.
    real.hold(0);
    real.does(&Action::Connect(0));
    real.says(0, RIGHT);
    real.pass(seconds(50));
    real.does(&Action::Mood(0, Mood::Stuck));
    real.release(0);
    assert_eq!(between(begun, is_put_off(&mut real, 0)), 180);
}

/// Who is held for ever is told, and has the time that was left before the hold for a further try.
#[test]
fn who_was_held_too_long_has_the_rest_of_the_time() {
    let mut real = narrow();
    let begun = real.now();
    real.hold(0);
    real.does(&Action::Connect(0));
    real.pass(seconds(5));
    real.says(0, RIGHT);
    real.pass(seconds(60));
    let said = real.hears(0, "a ");
    assert!(said.starts_with("a NO [UNAVAILABLE] "), "{said}");
    assert_eq!(between(begun, real.now()), 125);
    assert_eq!(real.does(&Action::Noop(0)), Came::AnsweredByUs);
    real.hears(0, "* BYE ");
    assert_eq!(between(begun, real.now()), 140);
}

#[test]
fn who_is_told_to_go_while_held_hears_why() {
    let mut real = narrow();
    real.hold(0);
    real.does(&Action::Connect(0));
    real.says(0, RIGHT);
    real.pass(seconds(60));
    real.kick_all();
    let said = real.hears(0, "a ");
    assert!(said.starts_with("a NO [UNAVAILABLE] "), "{said}");
    let said = real.hears(0, "* BYE ");
    assert!(said.contains("ended by the administrator"), "{said}");
}

/// What is shown in the last moment is judged to the end, and counts as what it is: nobody guesses for
/// nothing, and users are not told from strangers, whose answers are only delayed.
#[test]
fn the_last_moment_tells_nobody_from_a_stranger() {
    let mut said = Vec::new();
    for (who, mood, took) in [
        ("User0@Model.example", Mood::Well, 2),
        ("stranger@elsewhere.example", Mood::Well, 2),
        ("User0@Model.example", Mood::Slow, SLOW.as_secs()),
    ] {
        let mut real = narrow();
        real.does(&Action::Mood(0, mood));
        let begun = real.now();
        real.does(&Action::Connect(0));
        real.pass(seconds(19));
        real.says(0, &format!("a LOGIN {who} wrong-of-0-\r\n"));
        let answer = real.hears(0, "a ");
        assert_eq!(between(begun, real.now()), 19 + took, "{who} {mood:?}");
        real.hears(0, "* BYE ");
        assert_eq!(between(begun, real.now()), 19 + took, "no further try");
        let (words, _id) = answer.rsplit_once(" (").unwrap();
        said.push(words.to_owned());
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("a NO [AUTHENTICATIONFAILED] "),
        "{said:?}"
    );
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

/// A POP3 client of a mailbox is let in when that is open, and by then `login_timeout` is over at the latest;
/// a host that let it in with the last of that has a moment more.
#[test]
fn a_mailbox_is_open_in_the_time_that_a_login_has() {
    let millis = Duration::from_millis;
    for (takes, answered, suspected) in [
        (millis(8000), millis(10_000), false),
        (millis(9900), millis(10_900), false),
        // Silence tells that a host loses commands where it had time to break it.
        (millis(1000), millis(10_000), true),
    ] {
        let mut real = Real::with_pop3_clients();
        real.does(&Action::Mood(0, Mood::Drowsy(takes)));
        real.does(&Action::Connect(0));
        let begun = real.now();
        real.says(0, "USER User0@Model.example\r\nPASS secret-of-0-\r\n");
        real.hears(0, "-ERR [SYS/TEMP] ");
        let took = real.now() - begun;
        assert!(
            (answered..answered + millis(100)).contains(&took),
            "{takes:?}: {took:?}"
        );
        assert_eq!(real.loses_bursts(0), suspected, "{takes:?}");
        assert_eq!(real.sessions(0), (0, 0));
    }
}

/// Of two guesses at once where one is left the second is heard when the first is decided: as late, whether there
/// is such a user or not.
#[test]
fn who_waits_behind_a_guess_cannot_tell_users_from_strangers() {
    for who in ["User0@Model.example", "stranger@elsewhere.example"] {
        let mut real = Real::with_settings(|settings| {
            settings.replace("per_user: 10000/1h", "per_user: 1/1h")
        });
        for host in [0, 1] {
            real.does(&Action::Mood(host, Mood::Slow));
        }
        for client in [0, 1, 2] {
            real.does(&Action::Connect(client));
        }
        real.says(2, "a LOGIN User1@Model.example wrong-of-1-\r\n");
        real.hears(2, "a NO [AUTHENTICATIONFAILED] ");
        let begun = real.now();
        for client in [0, 1] {
            real.says(client, &format!("a LOGIN {who} wrong-of-0-{client}\r\n"));
        }
        for (client, said) in [(1, "a NO [LIMIT] "), (0, "a NO [AUTHENTICATIONFAILED] ")] {
            real.hears(client, said);
            assert_eq!(between(begun, real.now()), SLOW.as_secs(), "{who}");
        }
    }
}
