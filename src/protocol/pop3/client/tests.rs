//! Conversations with hosts. `H:` is a line of the host, `G:` one of the gateway, `TLS` the handshake,
//! `EOF` the host's end of stream, `=` how it ends. `H+` is a line that comes in the same octets as
//! the one before, where the gateway would speak first. `X:` is a challenge that the client is to answer,
//! `A:` its answer, both in base64; `A*` gives up.

mod bounds;
mod known;
mod tokens;

use tokens::relayed;

use super::*;
use crate::protocol::sasl::{Mechanism, relayed};
use crate::protocol::{Client as _, Origin, Transport, UserName};
use crate::protocol::{Credentials, Secret};

fn login(starttls: StartTls, password: &[u8]) -> HostLogin {
    HostLogin {
        user: UserName::new(b"alice").unwrap(),
        credentials: Credentials::Password(Secret::new(password).unwrap()),
        starttls,
        seed: 1,
        origin: Some(Origin {
            client: "192.0.2.7:5000".parse().unwrap(),
            connected: "192.0.2.1:995".parse().unwrap(),
            session: "S1".into(),
            ttl: 4,
            transport: Transport::Tls,
        }),
        behind: Vec::new(),
    }
}

/// How the host's octets are cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Lines,
    Octets,
}

fn shown_end(step: HostStep) -> String {
    match step {
        HostStep::Done(welcome) => format!(
            "done {:?} rest {:?} {:?}",
            welcome.text,
            String::from_utf8_lossy(&welcome.rest),
            welcome.behind
        ),
        HostStep::Failed(failure) => format!("{failure:?}"),
        other => panic!("not the end: {other:?}"),
    }
}

fn play(script: &str, login: HostLogin, cut: Cut) {
    play_again(script, login, None, cut);
}

fn play_again(
    script: &str,
    login: HostLogin,
    remembered: Option<Profile>,
    cut: Cut,
) -> Option<Profile> {
    let relayed = login.credentials.relayed().is_some();
    let mut client = Client::new(login, remembered);
    let mut lines = script.lines().map(str::trim).peekable();
    let mut chunk = Vec::new();
    while let Some(line) = lines.next() {
        let context = format!("at {line:?} ({cut:?}) of\n{script}");
        if let Some(text) = line.strip_prefix("H: ").or(line.strip_prefix("H+ ")) {
            chunk.extend_from_slice(&unescape(text));
            chunk.extend_from_slice(b"\r\n");
            if lines.peek().is_some_and(|next| next.starts_with("H+")) {
                continue;
            }
            assert!(matches!(client.step(), HostStep::Read), "{context}");
            match cut {
                Cut::Lines => client.receive(&chunk),
                Cut::Octets if line.starts_with("H+") => client.receive(&chunk),
                Cut::Octets => {
                    let (last, head) = chunk.split_last().unwrap();
                    for octet in head {
                        client.receive(&[*octet]);
                        assert!(matches!(client.step(), HostStep::Read), "{context}");
                    }
                    client.receive(&[*last]);
                }
            }
            chunk.clear();
        } else if let Some(text) = line.strip_prefix("G: ").or((line == "G:").then_some("")) {
            let mut want = unescape(text);
            want.extend_from_slice(b"\r\n");
            while let Some(more) = lines.next_if(|next| next.starts_with("G: ")) {
                want.extend_from_slice(&unescape(&more[3..]));
                want.extend_from_slice(b"\r\n");
            }
            match client.step() {
                HostStep::Write(got) => assert_eq!(
                    String::from_utf8_lossy(&got),
                    String::from_utf8_lossy(&want),
                    "{context}"
                ),
                other => panic!("{other:?} {context}"),
            }
        } else if let Some(text) = line.strip_prefix("X: ") {
            match client.step() {
                HostStep::Exchange(challenge) => {
                    assert_eq!(challenge.to_base64()[..], *text.as_bytes(), "{context}");
                }
                other => panic!("{other:?} {context}"),
            }
        } else if let Some(text) = line.strip_prefix("A:") {
            let message = sasl::Message::from_base64(text.trim().as_bytes()).unwrap();
            client.answer(sasl::Answer::Message(message));
        } else if line == "A*" {
            client.answer(sasl::Answer::Abort);
        } else if line == "TLS" {
            assert!(matches!(client.step(), HostStep::StartTls), "{context}");
            assert_eq!(client.state(), "starttls");
            client.receive(b"+OK injected\r\n");
            client.tls_started();
        } else if line == "EOF" {
            client.closed();
        } else if let Some(end) = line.strip_prefix("= ") {
            assert_eq!(shown_end(client.step()), end, "{context}");
            client.closed();
            assert!(matches!(client.step(), HostStep::Read), "handed out once");
            let secret = script.contains("AUTH PLAIN ") || script.contains("G: PASS");
            assert!(relayed || client.credentials_sent() == secret, "{context}");
        } else {
            assert_eq!(line, "");
        }
    }
    client.learned()
}

fn unescape(text: &str) -> Vec<u8> {
    text.replace("\\0", "\0").into_bytes()
}

#[test]
fn in_clear() {
    for script in [
        "H: +OK ready
         G: CAPA
         H: +OK here
         H: USER
         H: SASL LOGIN PLAIN
         H: .
         G: AUTH PLAIN AGFsaWNlAHMzY3JldA==
         H: +OK Logged in.
         = done \"Logged in.\" rest \"\" NotSent",
        // Old hosts.
        "H: +OK
         G: CAPA
         H: -ERR unknown command
         G: USER alice
         H: +OK
         G: PASS s3cret
         H: +OK alice has 3 messages
         = done \"alice has 3 messages\" rest \"\" NotSent",
        "H: +OK ready <1896.697170952@example.org>
         G: CAPA
         H: +OK
         H: TOP
         H: SASL CRAM-MD5
         H: USER
         H: .
         G: USER alice
         H: +OK
         G: PASS s3cret
         H: +OK
         = done \"\" rest \"\" NotSent",
        // Neither USER nor STLS is listed: an incomplete list, USER is worth a try.
        "H: +OK ready
         G: CAPA
         H: +OK
         H: UIDL
         H: .
         G: USER alice
         H: +OK
         G: PASS s3cret
         H: -ERR nope
         = Refused { code: AuthenticationFailed, alert: None }",
        // An initial response that went unnoticed.
        "H: +OK ready
         G: CAPA
         H: +OK
         H: SASL PLAIN
         H: .
         G: AUTH PLAIN AGFsaWNlAHMzY3JldA==
         H: +
         G: AGFsaWNlAHMzY3JldA==
         H: +OK
         = done \"\" rest \"\" NotSent",
        "H: +OK ready
         G: CAPA
         H: +OK
         H: SASL PLAIN
         H: .
         G: AUTH PLAIN AGFsaWNlAHMzY3JldA==
         H: +
         G: AGFsaWNlAHMzY3JldA==
         H: + more
         = HostProtocol { expected: \"an end of the exchange\", got: \"6 octets\" }",
        // Who the client is.
        "H: +OK [XCLIENT] ready
         G: XCLIENT ADDR=192.0.2.7 PORT=5000 DESTADDR=192.0.2.1 DESTPORT=995 SESSION=S1 TTL=4 CLIENT-TRANSPORT=tls
         G: CAPA
         H: +OK Updated
         H: +OK
         H: SASL PLAIN
         H: .
         G: AUTH PLAIN AGFsaWNlAHMzY3JldA==
         H: +OK
         = done \"\" rest \"\" NotSent",
        "H: +OK [XCLIENT] ready
         G: XCLIENT ADDR=192.0.2.7 PORT=5000 DESTADDR=192.0.2.1 DESTPORT=995 SESSION=S1 TTL=4 CLIENT-TRANSPORT=tls
         G: CAPA
         H: -ERR not you
         H: -ERR what
         G: USER alice
         H: -ERR [SYS/TEMP] disk
         = Refused { code: Unavailable, alert: None }",
        // Wants TLS, and was not set up for it.
        "H: +OK ready
         G: CAPA
         H: +OK
         H: STLS
         H: .
         = HostSetup { cause: \"the host takes a login only after STLS\" }",
    ] {
        for cut in [Cut::Lines, Cut::Octets] {
            play(script, login(StartTls::No, b"s3cret"), cut);
        }
    }
}

/// Up to the answer to a password by PLAIN.
const ASKED: &str = "H: +OK ready
         G: CAPA
         H: +OK
         H: SASL PLAIN
         H: .
         G: AUTH PLAIN AGFsaWNlAHMzY3JldA==\n";

#[test]
fn refusals() {
    for (script, cut_in) in [
        (
            "H: -ERR [SYS/TEMP] too busy\n= Refused { code: Unavailable, alert: None }",
            "",
        ),
        (
            "H: -ERR [SYS/PERM] closed\n= Refused { code: ServerBug, alert: None }",
            "",
        ),
        (
            "H: -ERR go away\n= Unreachable { cause: \"greeted with -ERR go away\" }",
            "",
        ),
        (
            "H: * OK IMAP4rev1\n= HostProtocol { expected: \"a greeting\", got: \"* OK IMAP4rev1\" }",
            "",
        ),
        (
            "H: 220 smtp\n= HostProtocol { expected: \"a greeting\", got: \"220 smtp\" }",
            "",
        ),
        (
            "H: +\n= HostProtocol { expected: \"a greeting\", got: \"+\" }",
            "",
        ),
        (
            "EOF\n= Unreachable { cause: \"connection closed in state=greeting\" }",
            "",
        ),
        (
            "H: -ERR [AUTH] s3cret is wrong\n= Refused { code: AuthenticationFailed, alert: None }",
            ASKED,
        ),
        (
            "H: -ERR s3cret is wrong\n= Refused { code: AuthenticationFailed, alert: None }",
            ASKED,
        ),
        (
            "H: -ERR [IN-USE] locked\n= Refused { code: InUse, alert: None }",
            ASKED,
        ),
        (
            "H: -ERR [LOGIN-DELAY] wait\n= Refused { code: Limit, alert: None }",
            ASKED,
        ),
        (
            "H: -ERR [SYS/PERM] oh\n= Refused { code: ServerBug, alert: None }",
            ASKED,
        ),
        (
            "EOF\n= Unreachable { cause: \"connection closed in state=login\" }",
            ASKED,
        ),
        // An echo of the credentials is not logged.
        (
            "H: AUTH PLAIN AGFsaWNlAHMzY3JldA==\n= HostProtocol { expected: \"an answer to AUTH\", got: \"31 octets\" }",
            ASKED,
        ),
    ] {
        for cut in [Cut::Lines, Cut::Octets] {
            play(
                &format!("{cut_in}{script}"),
                login(StartTls::No, b"s3cret"),
                cut,
            );
        }
    }
}

/// A host that announces AUTH-RESP-CODE has a code for every error of the credentials (RFC 3206 §6): what
/// has none is not theirs, once the host was heard to keep to that.
#[test]
fn without_a_code_where_codes_are_announced() {
    let wrong = "Refused { code: AuthenticationFailed, alert: None }";
    let later = "Refused { code: Unavailable, alert: None }";
    let with = || login(StartTls::No, b"s3cret");
    for (capabilities, text, fresh, want) in [
        ("AUTH-RESP-CODE", "no mailbox", wrong, "Unexplained"),
        ("auth-resp-code", "[XYZ] no mailbox", wrong, "Unexplained"),
        ("AUTH-RESP-CODE", "[AUTH] wrong", wrong, wrong),
        ("AUTH-RESP-CODE", "[SYS/TEMP] later", later, later),
        // RESP-CODES alone promises codes of other kinds only (RFC 2449 §6.4).
        ("RESP-CODES", "wrong", wrong, wrong),
    ] {
        let capa = format!("H: +OK ready\nG: CAPA\nH: +OK\nH: {capabilities}\n");
        let user = format!("{capa}H: USER\nH: .\nG: USER alice\n");
        let password = format!("{user}H: +OK\nG: PASS s3cret\n");
        let plain = format!("{capa}H: SASL PLAIN\nH: .\nG: AUTH PLAIN AGFsaWNlAHMzY3JldA==\n");
        for asked in [&user, &password, &plain] {
            for cut in [Cut::Lines, Cut::Octets] {
                let script = format!("{asked}H: -ERR {text}\n= {fresh}");
                play(&script, with(), cut);
            }
        }
        // The next login need not ask to know it.
        let heard = format!("{password}H: -ERR [AUTH] wrong\n= {wrong}");
        let learned = play_again(&heard, with(), None, Cut::Lines);
        let user = "H: +OK ready\nG: USER alice\n";
        for asked in [user, &format!("{user}H: +OK\nG: PASS s3cret\n")] {
            let again = format!("{asked}H: -ERR {text}\n= {want}");
            play_again(&again, with(), learned.clone(), Cut::Lines);
        }
    }
}

#[test]
fn stls() {
    for script in [
        "H: +OK ready
         G: STLS
         H: +OK go
         TLS
         G: CAPA
         H: +OK
         H: SASL PLAIN
         H: .
         G: AUTH PLAIN AGFsaWNlAHMzY3JldA==
         H: +OK in
         = done \"in\" rest \"\" NotSent",
        "H: +OK ready
         G: STLS
         H: -ERR unknown command
         = HostTls { cause: \"STLS refused: unknown command\" }",
        "H: +OK ready
         G: STLS
         H: -ERR [SYS/TEMP] shutting down
         = Refused { code: Unavailable, alert: None }",
        // What comes with the answer in clear would count as said under TLS.
        "H: +OK ready
         G: STLS
         H: +OK go
         H+ +OK
         = HostProtocol { expected: \"nothing behind the answer to STLS\", got: \"+OK??\" }",
    ] {
        for cut in [Cut::Lines, Cut::Octets] {
            play(script, login(StartTls::Yes, b"s3cret"), cut);
        }
    }
}

/// POP3 has no tags: an answer is known only by its place.
#[test]
fn answers_before_the_question() {
    for script in [
        "H: +OK ready
         H+ -ERR
         = HostProtocol { expected: \"nothing before the next command\", got: \"-ERR??\" }",
        "H: +OK ready
         G: CAPA
         H: -ERR
         H+ +OK
         = HostProtocol { expected: \"nothing before the next command\", got: \"+OK??\" }",
        "H: +OK ready
         G: CAPA
         H: +OK
         H: SASL PLAIN
         H: .
         H+ +OK
         = HostProtocol { expected: \"nothing before the next command\", got: \"+OK??\" }",
    ] {
        play(script, login(StartTls::No, b"s3cret"), Cut::Lines);
    }
}
