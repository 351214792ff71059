//! The log as a file of its own, turned over as logrotate does it.

use std::fs;

use crate::support::gateway::Settings;
use crate::support::imap::Way;
use crate::support::pki::Pki;
use crate::support::process::wait_for;
use crate::support::{Imap, Scratch};

#[test]
fn a_log_is_renamed_and_opened_anew_at_a_signal() {
    let scratch = Scratch::new();
    let (path, rotated) = (scratch.join("own.log"), scratch.join("own.log.1"));
    let gateway = Settings::to("demo://")
        .log(&format!("output: \"{}\"", path.display()))
        .start(&scratch, &Pki::new(&scratch));
    let log_in = || {
        let mut imap = Imap::plain(gateway.ports.imap);
        imap.login(Way::LoginQuoted, "demo", "demo").ok();
    };
    let logins = |file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.matches("event=login result=ok").count()
    };
    let come = |file, count| wait_for("the lines", || logins(file) == count);
    log_in();
    come(&path, 1);
    // Whoever turns it over renames first; until the signal lines go where they went.
    fs::rename(&path, &rotated).unwrap();
    log_in();
    come(&rotated, 2);
    gateway.signal("HUP");
    wait_for("the new file", || path.exists());
    log_in();
    come(&path, 1);
    assert_eq!(logins(&rotated), 2);
}
