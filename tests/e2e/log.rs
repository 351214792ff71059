//! The log, for whoever runs the gateway: turned over as logrotate does it, and the ids that clients are told.

use std::fs;

use crate::support::gateway::Settings;
use crate::support::imap::Way;
use crate::support::pki::Pki;
use crate::support::process::wait_for;
use crate::support::scratch::free_port;
use crate::support::wire::Conn;
use crate::support::{Imap, Scratch};

#[test]
fn a_log_is_renamed_and_opened_anew_at_a_signal() {
    // The second does nothing else.
    for signal in ["HUP", "USR1"] {
        a_log_is_opened_anew_at(signal);
    }
}

fn a_log_is_opened_anew_at(signal: &str) {
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
    gateway.signal(signal);
    wait_for("the new file", || path.exists());
    log_in();
    come(&path, 1);
    assert_eq!(logins(&rotated), 2);
}

/// The host closes first then, as RFC 9051 §6.1.3 has it; it is the client's wish all the same.
#[test]
fn a_logout_is_the_clients_end() {
    let scratch = Scratch::new();
    let gateway = Settings::to("demo://").start(&scratch, &Pki::new(&scratch));
    for behind in ["b LOGOUT\r\n", "b SELECT INBOX\r\nc logout\r\n"] {
        let mut conn = Conn::plain(gateway.ports.imap);
        conn.send(format!("a LOGIN demo demo\r\n{behind}"));
        let said = String::from_utf8(conn.rest()).unwrap();
        assert!(said.contains("* BYE"), "{said}");
    }
    wait_for("both ends", || {
        let log = gateway.log();
        log.matches("ended_by=client reason=logout state=relay")
            .count()
            == 2
    });
}

#[test]
fn who_is_turned_away_hears_an_id_that_is_in_the_log() {
    let scratch = Scratch::new();
    let mut gateway = Settings::to("demo://")
        .limits("connections: 1")
        .start(&scratch, &Pki::new(&scratch));
    let mut first = Imap::plain(gateway.ports.imap);
    first.login(Way::LoginQuoted, "demo", "demo").ok();
    let heard = String::from_utf8(Conn::plain(gateway.ports.imap).rest()).unwrap();
    let id = heard
        .rsplit_once(" (")
        .and_then(|(_, id)| id.split_once(')'));
    let (id, _) = id.expect("an id");
    gateway.logged(&[
        "event=refused",
        "limit=connections",
        &format!("session={id}"),
    ]);
}

#[test]
fn who_comes_from_where_no_client_is_allowed_has_a_line() {
    let scratch = Scratch::new();
    let port = free_port();
    let allow = "cleartext_login: true, allow: [192.0.2.0/24]";
    let mut gateway = Settings::to("demo://")
        .listener(&format!("{{ bind: \"imap://127.0.0.1:{port}\", {allow} }}"))
        .start(&scratch, &Pki::new(&scratch));
    assert_eq!(Conn::plain(port).rest(), b"");
    gateway.logged(&[
        " debug event=refused ",
        "client=127.0.0.1:",
        &format!("listener=imap://127.0.0.1:{port}"),
        "limit=allow",
    ]);
}

#[test]
fn whoever_ends_a_conversation_before_login_is_named() {
    let scratch = Scratch::new();
    let mut gateway = Settings::to("demo://").start(&scratch, &Pki::new(&scratch));
    let (imap, pop3) = (gateway.ports.imap, gateway.ports.pop3);
    let bad = ("x y\r\n".repeat(5), "xyzzy\r\n".repeat(5));
    for (protocol, port, words, end) in [
        (
            "imap",
            imap,
            "a LOGOUT\r\n",
            "ended_by=client reason=logout",
        ),
        ("pop3", pop3, "QUIT\r\n", "ended_by=client reason=logout"),
        (
            "imap",
            imap,
            "GET / HTTP/1.1\r\n",
            "ended_by=gateway reason=http",
        ),
        (
            "pop3",
            pop3,
            "GET / HTTP/1.1\r\n",
            "ended_by=gateway reason=http",
        ),
        (
            "imap",
            imap,
            &bad.0,
            "ended_by=gateway reason=\"bad commands\"",
        ),
        (
            "pop3",
            pop3,
            &bad.1,
            "ended_by=gateway reason=\"bad commands\"",
        ),
    ] {
        let mut conn = Conn::plain(port);
        conn.send(words);
        conn.rest();
        let protocol = format!("protocol={protocol}");
        gateway.logged(&["event=session_end", end, &protocol]);
    }
}

/// The id that a line of a failure ends with.
fn id_of(line: &str) -> String {
    let id = line.trim_end().rsplit_once(" (");
    let id = id.and_then(|(_, id)| id.strip_suffix(')'));
    id.unwrap_or_else(|| panic!("no id: {line}")).to_owned()
}

#[test]
fn a_protocol_that_a_backend_does_not_serve_is_the_reason_in_the_log() {
    let scratch = Scratch::new();
    let mut gateway = Settings::to("{ hosts: [\"demo://\"], protocols: [imap] }")
        .start(&scratch, &Pki::new(&scratch));
    let mut conn = Conn::plain(gateway.ports.pop3);
    conn.text();
    conn.send("USER demo\r\n");
    conn.text();
    conn.send("PASS demo\r\n");
    let heard = conn.text();
    assert!(
        heard.starts_with("-ERR [AUTH] this account may not log in ("),
        "{heard}"
    );
    let line = gateway.logged(&["event=login", &format!("session={}", id_of(&heard))]);
    assert!(line.contains("result=AUTHORIZATIONFAILED"), "{line}");
    assert!(
        line.contains("reason=\"the backend does not serve this protocol\""),
        "{line}"
    );
}

#[test]
fn a_mechanism_that_is_not_offered_is_an_attempt_in_the_log_and_no_guess() {
    let scratch = Scratch::new();
    let mut gateway = Settings::to("demo://").start(&scratch, &Pki::new(&scratch));
    let (imap, pop3) = (gateway.ports.imap, gateway.ports.pop3);
    let secret = "c4c9334bac560ecc979e58001b3e22fb";
    for (port, words, begins, named) in [
        (imap, "AUTHENTICATE cram-md5", "a NO [CANNOT] ", "CRAM-MD5"),
        (
            imap,
            &format!("AUTHENTICATE {secret}"),
            "a NO [CANNOT] ",
            "an unknown one",
        ),
        (pop3, "AUTH NTLM", "-ERR ", "NTLM"),
        (pop3, &format!("AUTH {secret}"), "-ERR ", "an unknown one"),
        (pop3, &format!("APOP bob {secret}"), "-ERR ", "APOP"),
    ] {
        let mut conn = Conn::plain(port);
        conn.text();
        let tag = if port == imap { "a " } else { "" };
        conn.send(format!("{tag}{words}\r\n"));
        let heard = conn.text();
        assert!(heard.starts_with(begins), "{heard}");
        let line = gateway.logged(&["event=login", &format!("session={}", id_of(&heard))]);
        assert!(line.contains(" result=CANNOT "), "{line}");
        assert!(
            line.contains(&format!(
                " reason=\"the mechanism is not offered: {named}\""
            )),
            "{line}"
        );
        assert!(!line.to_ascii_lowercase().contains("c4c9"), "{line}");
    }
}
