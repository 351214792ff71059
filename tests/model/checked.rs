//! A gateway that checks passwords itself: that costs much by intent, so each login pays for it once.

use std::time::Duration;

use super::real::Real;
use super::reference::{Action, Came, Mood};

/// Of `secret-of-0-`.
const HASH: &str = "{SHA512-CRYPT}$6$saltsalt$8zyOdSYWb.ZM5EfNeEhPO8CizMo/iEGKXmANx2TQyyzXMY/G9zC23eDfEFe2IaqjH9UkaeXcY.41d8Vu2IiUx/";

fn passwords(lines: &str) -> std::path::PathBuf {
    let name = format!("gatepost-model-{}.passwords", std::process::id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, lines).unwrap();
    file
}

/// One login at a time at the user's host, and time enough for those that wait.
fn narrow() -> Real {
    Real::with_settings(|settings| {
        let b0 = "b0: { logins_in_flight: 1, hosts";
        settings.replace("b0: { hosts", b0)
    })
}

#[test]
fn a_login_that_finds_another_way_is_not_checked_again() {
    let mut real = narrow();
    let file = passwords(&format!("user0@model.example:{HASH}\n"));
    real.checks_passwords(&file);
    std::fs::remove_file(file).unwrap();
    real.does(&Action::Mood(0, Mood::Stuck));
    for client in [0, 1] {
        real.does(&Action::Connect(client));
        real.says(client, "a LOGIN User0@Model.example secret-of-0-\r\n");
        real.pass(Duration::from_secs(3));
    }
    assert_eq!(real.sessions(0), (2, 0), "one waits for the other");
    real.hold(0);
    real.hears(0, "a NO [UNAVAILABLE] ");
    assert_eq!(real.sessions(0), (0, 0), "the other was sent back");
    real.does(&Action::Mood(0, Mood::Well));
    let _nothing = real.can_check_nothing();
    real.release(0);
    assert_eq!(real.sessions(0), (1, 1));
    real.hears(1, "a OK ");
    assert_eq!(real.does(&Action::Noop(1)), Came::Answered(0));
}
