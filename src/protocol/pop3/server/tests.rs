//! Properties of the front: any cut of the octets, bounds, what is held, what is never said. The
//! conversations themselves are transcripts.

use proptest::prelude::*;

use super::*;
use crate::protocol::front::checks;
use crate::protocol::{READ_CHUNK, Secret, Server as _};

fn settings(channel: Channel) -> FrontSettings {
    FrontSettings {
        mechanisms: sasl::Mechanisms::PASSWORD,
        greeting: "ready".into(),
        session: "S1".into(),
        channel,
        capabilities: None,
        line: 8 * 1024,
        bad_commands: 5,
    }
}

const CLEAR: Channel = Channel::Clear {
    starttls: StartTls::Yes,
    login: ClearLogin::Refused,
};

/// What the driver saw, in order; a login `alice` is accepted, any other rejected.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    said: Vec<u8>,
    to_host: Vec<u8>,
    logins: Vec<String>,
    ended: Option<&'static str>,
    most: usize,
}

/// Plays the octets in chunks; the handshake succeeds at once.
fn play<'a>(settings: FrontSettings, chunks: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut server = Box::new(Server::new(settings));
    let mut seen = Seen::default();
    let mut chunks = chunks.into_iter();
    loop {
        match server.step() {
            Step::Read => match chunks.next() {
                Some(chunk) => server.receive(chunk),
                None => return seen,
            },
            Step::Write(octets) => {
                assert!(!octets.is_empty());
                seen.most = seen.most.max(octets.len());
                seen.said.extend(octets);
            }
            Step::StartTls => {
                seen.said.extend(b"<TLS>\r\n");
                server.tls_started();
            }
            Step::Login(login) => {
                let secret = login.credentials.secret().map_or(&b""[..], Secret::reveal);
                let secret = String::from_utf8_lossy(secret).into_owned();
                let mechanism = login.mechanism.as_str();
                seen.logins
                    .push(format!("{mechanism} {} {secret}", login.user));
                if login.user.as_str() != "alice" {
                    server.reject(&Failure::Credentials);
                    continue;
                }
                let handover = server.accept(Welcome {
                    text: "in".into(),
                    ..Welcome::default()
                });
                seen.said.extend(handover.to_client);
                seen.to_host = handover.to_host;
                seen.to_host.extend(chunks.flatten());
                seen.ended = Some("accepted");
                return seen;
            }
            Step::Exchange(_) => panic!("an answer to no challenge"),
            Step::Close(_) => {
                seen.ended = Some("closed");
                return seen;
            }
        }
    }
}

fn said(seen: &Seen) -> String {
    String::from_utf8_lossy(&seen.said).into_owned()
}

const TALKS: [(Channel, &[u8]); 6] = [
    (Channel::Tls, b"CAPA\r\nUSER bob\r\nPASS x\r\nSTAT\r\nuser alice\nPASS  a b \r\nSTAT\r\nRETR 1\r\n"),
    (Channel::Tls, b"AUTH PLAIN\r\nAGJvYgB4\r\nAUTH LOGIN\r\nYWxpY2U=\r\nczNjcmV0\r\nLIST\r\nQU"),
    (Channel::Tls, b"AUTH\r\nAUTH PLAIN AGFsaWNlAHg=\r\n"),
    (CLEAR, b"CAPA\r\nUSER alice\r\nPASS x\r\nAUTH PLAIN AGFsaWNlAHg=\r\nUTF8\r\nSTLS\r\nQUIT\r\nNOOP\r\n"),
    (Channel::Tls, b"\r\nx\r\nTOP\r\nAUTH PLAIN\r\n***\r\nLIST x\r\nNOOP\r\n"),
    (Channel::Tls, b"NOOP\r\nGET / HTTP/1.1\r\nUSER alice\r\n"),
];

#[test]
fn any_cut_gives_the_same_conversation() {
    for (channel, octets) in TALKS {
        let whole = play(settings(channel), [octets]);
        let single = play(settings(channel), octets.chunks(1));
        assert_eq!(said(&single), said(&whole));
        assert_eq!(single.logins, whole.logins);
        assert_eq!(single.to_host, whole.to_host);
        assert_eq!(single.ended, whole.ended);
        for cut in 0..octets.len() {
            let (head, tail) = octets.split_at(cut);
            let two = play(settings(channel), [head, tail]);
            assert_eq!(said(&two), said(&whole), "cut at {cut}");
            assert_eq!(two.to_host, whole.to_host, "cut at {cut}");
        }
    }
}

#[test]
fn what_stands_behind_the_credentials_is_held() {
    let seen = play(settings(Channel::Tls), [TALKS[0].1]);
    assert_eq!(seen.logins, ["USER bob x", "USER alice  a b "]);
    assert_eq!(seen.to_host, b"STAT\r\nRETR 1\r\n");
    let said = said(&seen);
    let tail = "-ERR [AUTH] wrong name or password (S1)\r\n-ERR log in first\r\n+OK\r\n+OK in\r\n";
    assert!(said.ends_with(tail), "{said}");

    let seen = play(settings(Channel::Tls), [TALKS[1].1]);
    assert_eq!(seen.logins, ["PLAIN bob x", "SASL-LOGIN alice s3cret"]);
    assert_eq!(seen.to_host, b"LIST\r\nQU");
}

/// Octets in clear behind STLS never act, whatever they are and however they come.
#[test]
fn nothing_behind_stls_acts() {
    let behind = b"USER alice\r\nPASS x\r\nAUTH PLAIN AGFsaWNlAHg=\r\nQUIT\r\n";
    let mut octets = b"USER alice\r\nSTLS\r\n".to_vec();
    octets.extend_from_slice(behind);
    let open = Channel::Clear {
        starttls: StartTls::Yes,
        login: ClearLogin::Allowed,
    };
    let seen = play(settings(open), [&octets[..]]);
    assert_eq!(
        said(&seen),
        "+OK ready\r\n+OK\r\n+OK begin TLS\r\n<TLS>\r\n"
    );
    assert_eq!((seen.logins.len(), seen.ended), (0, None));

    // Also when they come while the answer is still to be written, and the name is forgotten too.
    let mut server = Server::new(settings(open));
    server.step();
    server.receive(b"USER alice\r\nSTLS\r\nPA");
    server.step();
    server.receive(behind);
    assert!(matches!(server.step(), Step::StartTls));
    server.receive(behind);
    assert!(matches!(server.step(), Step::Read), "asked for once");
    server.tls_started();
    server.receive(b"PASS x\r\nSTLS\r\n");
    let Step::Write(answer) = server.step() else {
        panic!("no answer");
    };
    assert_eq!(answer, b"-ERR USER first\r\n-ERR TLS is active already\r\n");
}

#[test]
fn lines_have_limits() {
    let long = |start: &str, length: usize| {
        let mut line = start.as_bytes().to_vec();
        line.resize(length, b'x');
        line.extend_from_slice(b"\r\nQUIT\r\n");
        line
    };
    for (line, want) in [
        (long("NOOP ", 512), "+OK\r\n+OK bye\r\n"),
        (long("NOOP ", 513), "-ERR line too long (S1)\r\n"),
        (long("x", 4000), "-ERR line too long (S1)\r\n"),
        (long("PASS ", 8192), "-ERR USER first\r\n+OK bye\r\n"),
        (long("PASS ", 8193), "-ERR line too long (S1)\r\n"),
        (
            long("auth ", 32 * 1024),
            "-ERR mechanism not offered (S1)\r\n+OK bye\r\n",
        ),
        (long("auth ", 32 * 1024 + 1), "-ERR line too long (S1)\r\n"),
    ] {
        for size in [READ_CHUNK, 1000] {
            let seen = play(settings(Channel::Tls), line.chunks(size));
            assert_eq!(said(&seen), format!("+OK ready\r\n{want}"));
            assert_eq!(seen.ended, Some("closed"));
        }
    }
}

#[test]
fn tokens_of_12_kib_and_long_passwords_work() {
    use base64::Engine as _;
    let mut message = b"\0alice\0".to_vec();
    message.resize(12 * 1024, b'x');
    let token = base64::engine::general_purpose::STANDARD.encode(message);
    for talk in [
        format!("AUTH PLAIN {token}\r\n"),
        format!("AUTH PLAIN\r\n{token}\r\n"),
        format!("USER alice\r\nPASS {}\r\n", "x".repeat(8000)),
    ] {
        let seen = play(settings(Channel::Tls), talk.as_bytes().chunks(READ_CHUNK));
        assert_eq!(seen.ended, Some("accepted"));
    }
}

#[test]
fn answers_do_not_pile_up() {
    let seen = play(
        settings(Channel::Tls),
        [&b"CAPA\n".repeat(READ_CHUNK / 5)[..]],
    );
    assert!(seen.said.len() > 100 * 1024);
    assert!(seen.most < ANSWERS + 1024, "{}", seen.most);
}

#[test]
fn credentials_nobody_can_have_do_not_get_out() {
    for talk in [
        &b"USER alice\r\nPASS\r\n"[..],
        b"USER alice\r\nPASS \r\n",
        b"USER alice\r\nPASS a\0b\r\n",
        b"USER alice\r\nPASS a\rb\r\n",
        b"USER al\rice\r\nPASS b\r\n",
        b"USER al\xffice\r\nPASS b\r\n",
        b"AUTH PLAIN Ym9iAGFsaWNlAHg=\r\n",
        b"AUTH PLAIN =\r\n",
    ] {
        let seen = play(settings(Channel::Tls), [talk]);
        assert_eq!(
            (seen.logins.len(), seen.ended),
            (0, None),
            "{}",
            talk.escape_ascii()
        );
        assert!(said(&seen).contains("-ERR"));
    }
}

/// A goodbye is said only where the client waits for words.
#[test]
fn farewells() {
    let reasons = [
        Farewell::Timeout,
        Farewell::Shutdown,
        Farewell::TooMany,
        Farewell::TooManyFailures,
        Farewell::Kicked,
    ];
    for reason in reasons {
        let mut fresh = Server::new(settings(Channel::Tls));
        assert!(fresh.farewell(reason).starts_with(b"-ERR [SYS/TEMP] "));
        assert!(matches!(fresh.step(), Step::Close(_)));

        let mut idle = Server::new(settings(Channel::Tls));
        idle.step();
        idle.receive(b"NOOP\r\nUSER al");
        idle.step();
        assert_eq!(idle.farewell(reason), b"");
        assert!(matches!(idle.step(), Step::Close(_)));

        let mut waiting = Server::new(settings(Channel::Tls));
        waiting.step();
        waiting.receive(b"USER alice\r\nPASS x\r\n");
        waiting.step();
        assert!(matches!(waiting.step(), Step::Login(_)));
        let words = waiting.farewell(reason);
        assert!(words.starts_with(b"-ERR [SYS/TEMP] ") && words.ends_with(b" (S1)\r\n"));

        // What is due is said all the same.
        let mut rejected = Server::new(settings(Channel::Tls));
        rejected.step();
        rejected.receive(b"USER alice\r\nPASS x\r\n");
        rejected.step();
        rejected.step();
        rejected.reject(&Failure::Credentials);
        assert!(rejected.farewell(reason).starts_with(b"-ERR [AUTH] "));
    }
}

#[test]
fn greetings_do_not_offer_apop_or_codes() {
    for (text, want) in [
        ("Gatepost ready", "+OK Gatepost ready\r\n"),
        ("", "+OK\r\n"),
        ("hi <1.2@example.org>", "+OK hi (1.2@example.org)\r\n"),
        ("[XCLIENT] hi\r\n+OK", "+OK XCLIENT] hi  +OK\r\n"),
    ] {
        let mut with = settings(Channel::Tls);
        with.greeting = text.into();
        assert_eq!(said(&play(with, [])), want);
    }
}

#[test]
fn a_configured_list_tells_no_lie() {
    let list = ["TOP", "USER", "SASL PLAIN", "STLS", "EXPIRE NEVER"];
    for (channel, want) in [
        (CLEAR, "TOP\r\nSTLS\r\nEXPIRE NEVER\r\n"),
        (
            Channel::Tls,
            "TOP\r\nUSER\r\nSASL PLAIN\r\nEXPIRE NEVER\r\n",
        ),
    ] {
        let mut with = settings(channel);
        with.capabilities = Some(list.map(str::to_owned).to_vec());
        let got = said(&play(with, [&b"CAPA\r\n"[..]]));
        assert!(got.ends_with(&format!("follow\r\n{want}.\r\n")), "{got}");
    }
}

proptest! {
    /// Damaged input, in every state: no panic, and every line said is a response.
    #[test]
    fn damaged_input_does_no_harm(
        talk in 0..TALKS.len(),
        place in 0usize..120,
        junk in proptest::collection::vec(any::<u8>(), 0..60),
        size in 1usize..50,
    ) {
        let (channel, octets) = TALKS[talk];
        let at = place.min(octets.len());
        let damaged = [&octets[..at], &junk, &octets[at..]].concat();
        let seen = play(settings(channel), damaged.chunks(size));
        prop_assert!(seen.said.ends_with(b"\r\n"));
        for line in said(&seen).split_inclusive("\r\n") {
            prop_assert!(line.len() <= reply::LONGEST_LINE && line.is_ascii());
        }
    }
}

/// A client may send several at once, and each is a line in the log.
#[test]
fn each_attempt_that_is_refused_unasked_is_told() {
    for (channel, attempts) in [
        (
            Channel::Tls,
            ["AUTH CRAM-MD5", "APOP bob c4c9", "auth NTLM"],
        ),
        (CLEAR, ["USER bob", "PASS secret", "AUTH PLAIN"]),
    ] {
        let mut server = Server::new(settings(channel));
        assert!(matches!(server.step(), Step::Write(_)));
        server.receive(format!("{}\r\nNOOP\r\n", attempts.join("\r\n")).as_bytes());
        let (mut told, mut said) = (0, Vec::new());
        loop {
            let step = server.step();
            told += usize::from(server.refused().is_some());
            match step {
                Step::Write(octets) => said.extend(octets),
                _ => break,
            }
        }
        let said = String::from_utf8(said).unwrap();
        assert_eq!(said.matches(" (S1)\r\n").count(), attempts.len(), "{said}");
        assert_eq!(told, attempts.len(), "{attempts:?}");
    }
}

#[test]
fn a_ttl_told_in_clear_does_not_outlive_stls() {
    let mut server = Server::new(settings(CLEAR));
    assert!(matches!(server.step(), Step::Write(_)));
    checks::forgets_a_ttl_told_in_clear(
        &mut server,
        b"XCLIENT ADDR=192.0.2.1 TTL=1\r\n",
        b"STLS\r\n",
        b"XCLIENT TTL=2\r\n",
    );
}

#[test]
fn nothing_is_held_while_tls_is_asked_for() {
    let mut server = Server::new(settings(Channel::Clear {
        starttls: StartTls::Yes,
        login: ClearLogin::Allowed,
    }));
    assert!(matches!(server.step(), Step::Write(_)));
    let long = b"AUTH PLAIN\r\n";
    checks::holds_nothing_while_tls_is_asked_for(&mut server, long, b"NOOP\r\n", b"STLS\r\n");
}
