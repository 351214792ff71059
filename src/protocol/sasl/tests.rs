//! Both sides of the mechanisms that show a password, and what is refused.

use super::*;
use crate::protocol::{Secret, UserName};

fn told(turn: Turn) -> String {
    match turn {
        Turn::Challenge(text) => format!("+ {text}"),
        Turn::Login(login) => {
            let secret = login.credentials.secret().map_or(&b""[..], Secret::reveal);
            format!(
                "{} {} {}",
                login.mechanism.as_str(),
                login.user,
                String::from_utf8_lossy(secret)
            )
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn plain_messages() {
    for (message, want) in [
        // RFC 4616 §4, both examples; the second asks for another's identity.
        (
            &b"\0tim\0tanstaaftanstaaf"[..],
            "PLAIN tim tanstaaftanstaaf",
        ),
        (b"Ursel\0Kurt\0xipj3plmq", "Failed"),
        (b"tim\0tim\0a b\"\\c", "PLAIN tim a b\"\\c"),
        ("\0jürgen\0pässwörd".as_bytes(), "PLAIN jürgen pässwörd"),
        (b"\0tim\0", "Failed"),
        (b"\0\0secret", "Failed"),
        (b"\0tim\0a\0b", "Failed"),
        (b"tim\0secret", "Failed"),
        (b"", "Failed"),
        (b"\0tim\0a\r\nb", "Failed"),
        (b"\0t\x01m\0ab", "Failed"),
        (b"TIM\0tim\0secret", "Failed"),
    ] {
        let text = BASE64.encode(message);
        let mut late = Server::new(Mechanism::Plain);
        assert_eq!(told(late.start(None)), "+ ");
        assert_eq!(told(late.answer(text.as_bytes())), want);
        if !message.is_empty() {
            let mut early = Server::new(Mechanism::Plain);
            assert_eq!(told(early.start(Some(text.as_bytes()))), want);
        }
    }
}

#[test]
fn login_in_two_steps_or_one() {
    let mut server = Server::new(Mechanism::Login);
    assert_eq!(told(server.start(None)), "+ VXNlcm5hbWU6");
    assert_eq!(told(server.answer(b"dGlt")), "+ UGFzc3dvcmQ6");
    assert_eq!(told(server.answer(b"c2VjcmV0")), "SASL-LOGIN tim secret");
    assert_eq!(told(server.answer(b"c2VjcmV0")), "Failed", "it is over");

    let mut server = Server::new(Mechanism::Login);
    assert_eq!(told(server.start(Some(b"dGlt"))), "+ UGFzc3dvcmQ6");
    assert_eq!(told(server.answer(b"")), "Failed");

    let mut server = Server::new(Mechanism::Login);
    assert_eq!(told(server.start(Some(b"="))), "+ UGFzc3dvcmQ6");
    assert_eq!(told(server.answer(b"c2VjcmV0")), "Failed");
}

#[test]
fn external_is_the_certificate_and_nobody_else() {
    let certificate = UserName::new(b"tim@example.org").unwrap();
    for (authzid, want) in [
        ("", "EXTERNAL tim@example.org "),
        ("tim@example.org", "EXTERNAL tim@example.org "),
        ("TIM@example.org", "Failed"),
        ("tim@example.org\0", "Failed"),
        ("ann@example.org", "Failed"),
    ] {
        let text = BASE64.encode(authzid);
        let mut late = Server::external(certificate.clone());
        assert_eq!(told(late.start(None)), "+ ");
        assert_eq!(told(late.answer(text.as_bytes())), want);
        let mut early = Server::external(certificate.clone());
        let initial = match authzid {
            "" => "=",
            _ => &text,
        };
        assert_eq!(told(early.start(Some(initial.as_bytes()))), want);
    }
    assert_eq!(Mechanism::from_name(EXTERNAL.as_bytes()), None);
}

#[test]
fn base64_is_strict() {
    for (text, want) in [
        (&b"*"[..], "Aborted"),
        (b"AHRpbQBzZWNyZXQ=", "PLAIN tim secret"),
        (b"AHRpbQBzZWNyZXQ", "NotBase64"),
        (b"AHRpbQBzZWNyZXR=", "NotBase64"),
        (b"AHRpbQBzZWNyZXQ= ", "NotBase64"),
        (b"AHRp bQBzZWNyZXQ=", "NotBase64"),
        (b"AHRpbQBzZWNyZXQ=AHRpbQBzZWNyZXQ=", "NotBase64"),
        (b"**", "NotBase64"),
        (b"=", "NotBase64"),
        (b"\xff\xff\xff\xff", "NotBase64"),
    ] {
        let mut server = Server::new(Mechanism::Plain);
        server.start(None);
        assert_eq!(told(server.answer(text)), want);
    }
    assert!(decode(&vec![b'A'; MAX_LINE + 4]).is_none());
}

#[test]
fn tokens_of_12_kib_work() {
    let user = UserName::new(b"tim").unwrap();
    let token = Secret::new(&[b'x'; 12 * 1024]).unwrap();
    let text = Client::plain().message(&user, &token).unwrap();
    let Turn::Login(login) = Server::new(Mechanism::Plain).start(Some(&text)) else {
        panic!("no login");
    };
    assert_eq!(login.credentials.secret(), Some(&token));
}

#[test]
fn our_client_logs_in_to_our_server() {
    let user = UserName::new("jürgen@example.org".as_bytes()).unwrap();
    let password = Secret::new(b"a \"b\" \\ \xfc").unwrap();
    for (mechanism, mut client) in [
        (Mechanism::Plain, Client::plain()),
        (Mechanism::Login, Client::login()),
    ] {
        let mut server = Server::new(mechanism);
        let mut turn = server.start(None);
        while let Turn::Challenge(_) = turn {
            turn = server.answer(&client.message(&user, &password).unwrap());
        }
        let Turn::Login(login) = turn else {
            panic!("no login by {}", mechanism.name());
        };
        assert_eq!(login.credentials.secret(), Some(&password));
        assert_eq!(login.user, user);
        assert_eq!(client.message(&user, &password), Err(Exhausted));
    }
}

#[test]
fn long_tokens_and_first_messages_are_read() {
    let user = UserName::new(b"tim@example.org").unwrap();
    let long = "t".repeat(12 * 1024);
    for (mechanism, message) in [
        (
            Mechanism::XOAuth2,
            format!("user={user}\x01auth=Bearer {long}\x01\x01"),
        ),
        (
            Mechanism::OAuthBearer,
            format!("n,a={user},\x01host=h\x01auth=Bearer {long}\x01\x01"),
        ),
        (Mechanism::ScramSha1, format!("n,,n={user},r=nonce")),
        (Mechanism::ScramSha256, format!("n,,n={user},r=nonce")),
    ] {
        let text = BASE64.encode(&message);
        let mut late = Server::new(mechanism);
        assert_eq!(told(late.start(None)), "+ ");
        for turn in [
            late.answer(text.as_bytes()),
            Server::new(mechanism).start(Some(text.as_bytes())),
        ] {
            let Turn::Login(login) = turn else {
                panic!("no login by {}", mechanism.name());
            };
            assert_eq!(login.mechanism.as_str(), mechanism.name());
            assert_eq!(login.user, user);
            assert_eq!(login.credentials.relayed(), Some(mechanism));
            let first = relayed::first(&user, &login.credentials).unwrap();
            assert_eq!(&first[..], text.as_bytes());
            let shown = format!("{login:?}");
            assert!(
                !shown.contains("ttt") && !shown.contains("nonce"),
                "{shown}"
            );
        }
        assert_eq!(told(Server::new(mechanism).start(Some(b"="))), "Failed");
        assert_eq!(told(Server::new(mechanism).start(Some(b"AQ=="))), "Failed");
    }
}

#[test]
fn sets() {
    let all: Mechanisms = Mechanism::ALL.into_iter().collect();
    let three = Mechanisms::PASSWORD
        .or(Mechanisms::TOKEN)
        .or(Mechanisms::SCRAM);
    assert_eq!((all, all), (three, Mechanisms::ALL));
    assert!(all.iter().eq(Mechanism::ALL));
    assert_eq!(all.and(Mechanisms::TOKEN), Mechanisms::TOKEN);
    assert!(!Mechanisms::TOKEN.has(Mechanism::Plain));
}

#[test]
fn names_are_found_in_any_case() {
    assert_eq!(Mechanism::from_name(b"plain"), Some(Mechanism::Plain));
    assert_eq!(Mechanism::from_name(b"Login"), Some(Mechanism::Login));
    assert_eq!(Mechanism::from_name(b"CRAM-MD5"), None);
}

#[test]
fn scram_that_could_be_bound_is_told_apart() {
    let named = |list: &str| Mechanisms::bound(list.split(' ').map(str::as_bytes));
    let scram = |mechanism| Mechanisms::NONE.with(mechanism);
    for (list, want) in [
        ("PLAIN SCRAM-SHA-256 SCRAM-SHA-1", Mechanisms::NONE),
        (
            "SCRAM-SHA-256 scram-sha-256-plus SCRAM-SHA-1",
            scram(Mechanism::ScramSha256),
        ),
        (
            "SCRAM-SHA-1-PLUS -PLUS PLUS X-PLUS",
            scram(Mechanism::ScramSha1),
        ),
        ("", Mechanisms::NONE),
    ] {
        assert_eq!(named(list), want, "{list}");
    }
}
