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

/// What a client asked for says what is mail: a message may begin as an answer does.
#[test]
fn a_message_is_left_out_however_it_begins() {
    const MESSAGE: &str = "+OK\r\n+OK S3CRET\r\n-ERR S3CRET\r\n+ S3CRET\r\nS3CRET\r\n.\r\n";
    let lines = |said: &[(Side, &str)], piece: usize| {
        heard_in(Protocol::Pop3, &Transcript::default(), "::1", |recorder| {
            recorder.sent(b"+OK ready\r\n");
            for (side, text) in said {
                for octets in text.as_bytes().chunks(piece) {
                    recorder.hear(*side, octets);
                }
            }
        })
    };
    let client = |text| (Side::Client, text);
    let gateway = |text| (Side::Gateway, text);
    type Case<'a> = (&'a [(Side, &'a str)], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (
            &[
                client("RETR 1\r\n"),
                gateway(MESSAGE),
                gateway("-ERR no\r\n"),
            ],
            &[
                "client: RETR 1",
                "gateway: +OK",
                "gateway: [5 lines]",
                "gateway: -ERR no",
            ],
        ),
        // Many at once, some of them refused.
        (
            &[
                client("NOOP\r\nretr 1\r\nDELE 1\r\nTOP 2 0\r\nRETR 3\r\nQUIT\r\n"),
                gateway("+OK\r\n-ERR none\r\n+OK del\r\n"),
                gateway(MESSAGE),
                gateway(MESSAGE),
                gateway("+OK bye\r\n"),
            ],
            &[
                "client: NOOP",
                "client: retr 1",
                "client: DELE 1",
                "client: TOP 2 0",
                "client: RETR 3",
                "client: QUIT",
                "gateway: +OK",
                "gateway: -ERR none",
                "gateway: +OK del",
                "gateway: +OK",
                "gateway: [5 lines]",
                "gateway: +OK",
                "gateway: [5 lines]",
                "gateway: +OK bye",
            ],
        ),
        // The answers to challenges are no commands, whether they are waited for or not.
        (
            &[
                client("AUTH LOGIN\r\n"),
                gateway("+ S3CRET\r\n"),
                client("S3CRET\r\n"),
                gateway("+ S3CRET\r\n"),
                client("S3CRET\r\n"),
                gateway("+OK in\r\n"),
                client("RETR 1\r\n"),
                gateway(MESSAGE),
            ],
            &[
                "client: AUTH [hidden]",
                "gateway: + [hidden]",
                "client: [hidden, 6 octets]",
                "gateway: + [hidden]",
                "client: [hidden, 6 octets]",
                "gateway: +OK in",
                "client: RETR 1",
                "gateway: +OK",
                "gateway: [5 lines]",
            ],
        ),
        (
            &[
                client("AUTH LOGIN\r\nS3CRET\r\nS3CRET\r\nRETR 1\r\nSTAT\r\n"),
                gateway("+ S3CRET\r\n+ S3CRET\r\n+OK in\r\n"),
                gateway(MESSAGE),
                gateway("+OK 1 1\r\n"),
            ],
            &[
                "client: AUTH [hidden]",
                "client: [hidden, 6 octets]",
                "client: [hidden, 6 octets]",
                "client: RETR 1",
                "client: STAT",
                "gateway: + [hidden]",
                "gateway: + [hidden]",
                "gateway: +OK in",
                "gateway: +OK",
                "gateway: [5 lines]",
                "gateway: +OK 1 1",
            ],
        ),
        // What comes in clear behind STLS is never answered (RFC 2595 section 4).
        (
            &[
                client("STLS\r\nNOOP\r\n"),
                gateway("+OK\r\n"),
                client("RETR 1\r\n"),
                gateway(MESSAGE),
            ],
            &[
                "client: STLS",
                "client: NOOP",
                "gateway: +OK",
                "client: RETR 1",
                "gateway: +OK",
                "gateway: [5 lines]",
            ],
        ),
    ];
    for (said, want) in cases {
        for piece in [1, 5, 1000] {
            let lines = lines(said, piece);
            let want: Vec<_> = want.iter().map(|line| format!("s1 {line}")).collect();
            assert_eq!(lines[1..], want, "in pieces of {piece}");
            assert!(!lines.concat().contains("S3CRET"));
        }
    }
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

/// Half a line that somebody has put into the clear part is not the start of what comes in TLS.
#[test]
fn what_was_said_in_clear_begins_no_line_of_tls() {
    for (protocol, clear, login) in [
        (
            Protocol::Imap,
            "a STARTTLS\r\nx NOOP ",
            "b LOGIN bob S3CRET\r\n",
        ),
        (
            Protocol::Imap,
            "a STARTTLS\r\nx APPEND i {9+}\r\n",
            "b LOGIN bob S3CRET\r\n",
        ),
        (Protocol::Pop3, "STLS\r\nNOOP ", "PASS S3CRET\r\n"),
    ] {
        let told = heard_in(protocol, &Transcript::default(), "::1", |recorder| {
            recorder.hear(Side::Client, clear.as_bytes());
            recorder.secured();
            recorder.hear(Side::Client, login.as_bytes());
        });
        assert!(told.iter().all(|line| !line.contains("S3CRET")), "{told:?}");
        let last = told.last().unwrap();
        assert!(last.contains("LOGIN") || last.contains("PASS"), "{told:?}");
    }
}
