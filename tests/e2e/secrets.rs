//! What the log says of logins, and what it never says. (That it holds no password is checked at
//! the end of every test with a gateway.)

use crate::support::gateway::{Settings, assert_clean};
use crate::support::imap::{self, Way};
use crate::support::need::{DOVECOT, needs};
use crate::support::pop3;
use crate::support::users::{AWKWARD, WRONG};
use crate::support::{ALICE, BOB, Gateway, Imap, Pop3, Scratch, Stage, pki::Pki};

#[test]
fn no_login_leaves_its_password_in_the_log() {
    needs!(DOVECOT);
    let _ = every_way_to_log_in("level: trace");
}

#[test]
fn nor_in_json() {
    needs!(DOVECOT);
    let _ = every_way_to_log_in("level: trace, format: json");
}

#[test]
fn nor_in_a_transcript() {
    needs!(DOVECOT);
    let log = every_way_to_log_in("level: trace, transcript: { ip: 127.0.0.0/8 }");
    for line in [
        "event=transcript from=gateway",
        "text=\"* OK [CAPABILITY",
        "AUTHENTICATE [hidden]\"",
        "LOGIN [hidden]\"",
        "text=\"PASS [hidden]\"",
        "text=\"+ [hidden]\"",
        "STARTTLS",
    ] {
        assert!(log.contains(line), "{line} is not in the log");
    }
}

#[test]
fn one_users_transcript_is_that_users_only() {
    needs!(DOVECOT);
    let mut stage = Stage::with(|dovecot, _| {
        let settings = Settings::to(format!("imap://127.0.0.1:{}", dovecot.imap));
        settings.log(&format!("transcript: {{ user: {:?} }}", ALICE.name))
    });
    let ports = stage.gateway.ports;
    let mut alice = Imap::tls(ports.imaps);
    alice
        .login(Way::LoginQuoted, ALICE.name, ALICE.password)
        .ok();
    alice.command("SELECT INBOX").ok();
    let mut bob = Imap::tls(ports.imaps);
    bob.login(Way::LoginQuoted, BOB.name, BOB.password).ok();
    bob.command("EXAMINE INBOX").ok();
    alice.command("LOGOUT").ok();
    bob.command("LOGOUT").ok();
    assert!(stage.gateway.stop().success());
    let log = stage.gateway.log();
    let said = |word: &str| {
        let lines = log.lines().filter(|l| l.contains("event=transcript"));
        lines.filter(|l| l.contains(word)).count()
    };
    assert_eq!((said("SELECT INBOX"), said("EXAMINE")), (1, 0), "{log}");
    assert_eq!(said("LOGIN [hidden]"), 1, "{log}");
    assert_clean(&log);
}

fn every_way_to_log_in(log: &str) -> String {
    let mut stage = Stage::with(|dovecot, _| {
        Settings::to(format!("imap://127.0.0.1:{}", dovecot.imap)).log(log)
    });
    let ports = stage.gateway.ports;
    for user in AWKWARD {
        for way in imap::WAYS {
            let mut imap = Imap::plain(ports.imap);
            imap.login(way, user.name, WRONG).no("AUTHENTICATIONFAILED");
            imap.login(way, user.name, user.password).ok();
        }
        for way in pop3::WAYS {
            let mut pop3 = Pop3::plain(ports.pop3);
            pop3.login(way, user.name, WRONG);
            pop3.login(way, user.name, user.password);
        }
    }
    // Where a password lands that was sent in the wrong place.
    let mut imap = Imap::plain(ports.imap);
    imap.command(&format!("LOGIN {}", ALICE.password));
    imap.command(&format!("{} {}", ALICE.password, ALICE.password));
    let mut pop3 = Pop3::plain(ports.pop3);
    pop3.err(&format!("PASS {}", ALICE.password));
    pop3.err(ALICE.password);
    // A login on the wrong port, and a password behind STARTTLS in clear.
    let mut imap = Imap::plain(ports.imap_strict);
    imap.login(Way::LoginQuoted, ALICE.name, ALICE.password)
        .no("PRIVACYREQUIRED");
    let mut imap = Imap::plain(ports.imap_strict);
    imap.conn
        .send(format!("a STARTTLS\r\nb LOGIN alice {}\r\n", WRONG));
    imap.answer("a").ok();
    imap.conn.start_tls();
    drop((imap, pop3));
    assert!(stage.gateway.stop().success());
    let log = stage.gateway.log();
    assert!(log.contains("AUTHENTICATIONFAILED"), "{log}");
    assert_clean(&log);
    log
}

#[test]
fn each_login_and_each_end_is_one_line() {
    needs!(DOVECOT);
    let mut stage = Stage::new();
    let mut imap = Imap::tls(stage.gateway.ports.imaps);
    imap.login(Way::PlainInitial, ALICE.name, WRONG)
        .no("AUTHENTICATIONFAILED");
    imap.login(Way::PlainInitial, ALICE.name, ALICE.password)
        .ok();
    imap.command("LOGOUT").ok();
    let failed = stage
        .gateway
        .logged(&["event=login", "result=AUTHENTICATIONFAILED"]);
    let ok = stage.gateway.logged(&["event=login", "result=ok"]);
    let end = stage.gateway.logged(&["event=session_end"]);
    for line in [&failed, &ok] {
        for field in [
            "protocol=imap",
            "user=alice",
            "client=127.0.0.1:",
            "mechanism=",
            "tls=TLSv1.3",
            "backend=store",
            "host=127.0.0.1:",
            "session=",
            "took=",
        ] {
            assert!(line.contains(field), "{field} in {line}");
        }
    }
    for field in [
        "ended_by=",
        "reason=",
        "state=",
        "protocol=imap",
        "user=alice",
        "client=127.0.0.1:",
        "backend=store",
        "host=127.0.0.1:",
        "session=",
        "seconds=",
        "bytes_in=",
        "bytes_out=",
    ] {
        assert!(end.contains(field), "{field} in {end}");
    }
}

#[test]
fn attempts_that_nobody_is_asked_about_are_logged_too() {
    let scratch = Scratch::new();
    let mut gateway = Gateway::to("demo://", &scratch, &Pki::new(&scratch));
    let mut imap = Imap::plain(gateway.ports.imap_strict);
    imap.login(Way::LoginQuoted, ALICE.name, WRONG)
        .no("PRIVACYREQUIRED");
    gateway.logged(&["event=login", "protocol=imap", "result=PRIVACYREQUIRED"]);
    let mut imap = Imap::plain(gateway.ports.imap);
    imap.command("LOGIN alice \"\"").no("AUTHENTICATIONFAILED");
    gateway.logged(&[
        "event=login",
        "protocol=imap",
        "result=AUTHENTICATIONFAILED",
    ]);
    let mut pop3 = Pop3::plain(gateway.ports.pop3_strict);
    pop3.err("USER alice");
    gateway.logged(&["event=login", "protocol=pop3", "result=PRIVACYREQUIRED"]);
}
