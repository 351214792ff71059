//! Whose conversations are written down, and what of them.

use std::sync::Mutex;

use super::*;

fn heard(wanted: &Transcript, client: &str, act: impl FnOnce(&mut Recorder)) -> Vec<String> {
    heard_in(Protocol::Imap, wanted, client, act)
}

fn heard_in(
    protocol: Protocol,
    wanted: &Transcript,
    client: &str,
    act: impl FnOnce(&mut Recorder),
) -> Vec<String> {
    static LOCK: Mutex<()> = Mutex::new(());
    static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let _alone = LOCK.lock().unwrap();
    HEARD.lock().unwrap().clear();
    let write: Write = &|from, text, session| {
        HEARD
            .lock()
            .unwrap()
            .push(format!("{session} {from}: {text}"));
    };
    let client = client.parse().unwrap();
    if let Some(mut recorder) = Recorder::new(wanted, protocol, client, "s1".into(), write) {
        act(&mut recorder);
    }
    HEARD.lock().unwrap().clone()
}

fn talk(name: &'static str) -> impl FnOnce(&mut Recorder) {
    move |recorder| {
        recorder.sent(b"* OK ready\r\n");
        recorder.received(b"a LOGIN x S3CRET\r\n");
        recorder.named(name);
        recorder.sent(b"a OK in\r\n");
    }
}

const ALL: [&str; 3] = [
    "s1 gateway: * OK ready",
    "s1 client: a LOGIN [hidden]",
    "s1 gateway: a OK in",
];

#[test]
fn one_user_or_one_address_is_heard() {
    let user = |user: &str| Transcript {
        user: Some(user.into()),
        ip: None,
    };
    let ip = |ip: &str| Transcript {
        user: None,
        ip: Some(ip.parse().unwrap()),
    };
    assert_eq!(
        heard(
            &user("Alice@example.com"),
            "192.0.2.1",
            talk("alice@EXAMPLE.com")
        ),
        ALL
    );
    assert_eq!(heard(&user("bob"), "192.0.2.1", talk("alice")), [""; 0]);
    assert_eq!(heard(&ip("192.0.2.1/32"), "192.0.2.1", talk("bob")), ALL);
    assert_eq!(
        heard(&ip("192.0.2.0/24"), "::ffff:192.0.2.9", talk("bob")),
        ALL
    );
    assert_eq!(
        heard(&ip("192.0.2.1/32"), "192.0.2.2", talk("bob")),
        [""; 0]
    );
    let both = Transcript {
        user: Some("bob".into()),
        ..ip("2001:db8::/32")
    };
    assert_eq!(heard(&both, "2001:db8::1", talk("bob")), ALL);
    assert_eq!(heard(&both, "2001:db8::1", talk("eve")), [""; 0]);
}

/// A connection may say several names before one of them is let in: each part of it is of the one that
/// it ends in the name of.
#[test]
fn each_name_is_judged_anew() {
    let wanted = Transcript {
        user: Some("alice".into()),
        ip: None,
    };
    let try_as = |recorder: &mut Recorder, name: &str, answer: &str| {
        recorder.received(format!("a LOGIN {name} S3CRET\r\n").as_bytes());
        recorder.named(name);
        recorder.sent(format!("a {answer} {name}\r\n").as_bytes());
    };
    let both = |first: &'static str, second: &'static str| {
        heard(&wanted, "::1", |recorder| {
            recorder.sent(b"* OK ready\r\n");
            try_as(recorder, first, "NO");
            recorder.received(b"b NOOP\r\nb LO");
            recorder.received(b"GIN {5}\r\n");
            recorder.received(b"other {6}\r\nS3CRET\r\n");
            try_as(recorder, second, "OK");
            recorder.received(b"c SELECT mail-of-");
            recorder.received(second.as_bytes());
            recorder.received(b"\r\n");
        })
    };
    assert_eq!(
        both("alice", "bob"),
        [
            "s1 gateway: * OK ready",
            "s1 client: a LOGIN [hidden]",
            "s1 gateway: a NO alice",
            "s1 client: b NOOP",
            "s1 client: b LOGIN [hidden] [literal of 5 octets]",
            // What came before its name was said, and bears no secret.
            "s1 client: a LOGIN [hidden]",
        ]
    );
    assert_eq!(
        both("bob", "alice"),
        [
            "s1 gateway: a NO bob",
            "s1 client: b NOOP",
            "s1 client: b LOGIN [hidden] [literal of 5 octets]",
            "s1 client: a LOGIN [hidden]",
            "s1 gateway: a OK alice",
            "s1 client: c SELECT mail-of-alice",
        ]
    );
    assert_eq!(both("bob", "eve"), [""; 0]);
    let mut stay = Vec::new();
    heard(&wanted, "::1", |recorder| {
        for name in ["bob", "alice", "eve"] {
            recorder.named(name);
            stay.push(recorder.stays());
        }
    });
    assert_eq!(stay, [false, true, false]);
    assert_eq!(both("alice", "ALICE").len(), 8);
}

#[test]
fn who_never_says_a_name_fills_no_memory() {
    let wanted = Transcript {
        user: Some("bob".into()),
        ip: None,
    };
    let heard = heard(&wanted, "::1", |recorder| {
        for _ in 0..1000 {
            recorder.received(b"a NOOP\r\n");
        }
        recorder.named("bob");
    });
    assert_eq!(heard.len(), WAITING);
}
