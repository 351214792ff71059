//! SASL exchanges: what clients send us, and what hosts challenge them with.

use gatepost::protocol::sasl::{Client, Mechanism, Message, Relayed, Server, Turn, relayed};
use gatepost::protocol::{Credentials, Login, Secret, UserName};

use super::Choice;

/// Lines of a client against each mechanism; then what was shown is shown to a host.
pub(crate) fn exchange(octets: &[u8]) {
    let mut choice = Choice(octets);
    let settings = choice.octet();
    let mechanism = Mechanism::ALL[usize::from(settings & 15) % Mechanism::ALL.len()];
    let mut server = match settings & 0xc0 {
        0xc0 => Server::external(UserName::new(b"carol").unwrap()),
        _ => Server::new(mechanism),
    };
    let mut lines = choice.0.split(|octet| *octet == b'\n');
    let initial = match Choice::bit(settings, 4) {
        true => lines.next(),
        false => None,
    };
    let mut turn = server.start(initial);
    let mut turns = 0;
    let login = loop {
        turns += 1;
        match turn {
            Turn::Challenge(text) => {
                assert!(turns <= 2, "no mechanism of ours asks a third time");
                assert!(text.is_ascii());
                let Some(line) = lines.next() else { return };
                turn = server.answer(line);
            }
            Turn::Login(login) => break login,
            Turn::Failed | Turn::Aborted | Turn::NotBase64 => {
                // An exchange that is over stays so.
                for line in [&b"AGEAYg=="[..], b"*", b""] {
                    assert!(!matches!(server.answer(line), Turn::Login(_)));
                }
                return;
            }
        }
    };
    shown(&login);
    host(&login, lines);
}

/// Nothing a name or a secret may not hold, and both print as they should.
pub(crate) fn shown(login: &Login) {
    let name = login.user.as_str();
    assert!(!name.is_empty() && name.len() <= UserName::MAX);
    assert!(!name.chars().any(char::is_control), "a control character");
    let printed = format!("{:?}", login.credentials);
    match &login.credentials {
        Credentials::Password(secret) => {
            let secret = secret.reveal();
            assert!(!secret.is_empty() && secret.len() <= Secret::MAX);
            assert!(!secret.iter().any(u8::is_ascii_control));
            assert_eq!(printed, "Password(Secret(***))");
            through(&login.user, secret);
        }
        Credentials::Token(token) => {
            let text = String::from_utf8_lossy(token.bearer());
            assert!(
                text.len() < 8 || !printed.contains(&*text),
                "a token printed"
            );
        }
        Credentials::Scram(_) | Credentials::Certificate => {}
    }
}

/// What we would show a host is what the client showed us.
fn through(user: &UserName, secret: &[u8]) {
    for (mut client, mechanism) in [
        (Client::plain(), Mechanism::Plain),
        (Client::login(), Mechanism::Login),
    ] {
        let mut server = Server::new(mechanism);
        let mut turn = server.start(None);
        let password = Secret::new(secret).unwrap();
        let login = loop {
            match turn {
                Turn::Challenge(_) => {
                    let line = client.message(user, &password).expect("another message");
                    turn = server.answer(&line);
                }
                Turn::Login(login) => break login,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(&login.user, user);
        assert_eq!(login.credentials.secret().unwrap().reveal(), secret);
    }
}

/// The host's challenges: few, and passed on octet by octet.
fn host<'a>(login: &Login, lines: impl Iterator<Item = &'a [u8]>) {
    let Some(mut exchange) = Relayed::new(&login.credentials) else {
        return;
    };
    assert!(relayed::first(&login.user, &login.credentials).is_some());
    let mut passed = 0;
    for line in lines {
        if let Some(message) = exchange.challenge(line) {
            passed += 1;
            assert_eq!(message, Message::from_base64(&message.to_base64()).unwrap());
            assert_eq!(&message.to_base64()[..], line);
        }
    }
    assert!(passed <= 2, "an exchange without an end");
}
