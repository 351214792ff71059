//! The POP3 front and the POP3 host leg play against each other, without sockets: whatever the one
//! offers the other can use.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use gatepost::protocol::pop3::{client, server};
use gatepost::protocol::sasl::Mechanisms;
use gatepost::protocol::{
    Channel, ClearLogin, Client as _, Credentials, Failure, FrontSettings, HostLogin, HostStep,
    Limit, Login, Origin, Secret, Server as _, StartTls, Step, Transport, UserName, Welcome,
};

fn front(channel: Channel, capabilities: Option<&[&str]>) -> FrontSettings {
    FrontSettings {
        mechanisms: Mechanisms::PASSWORD,
        greeting: "ready".into(),
        session: "S1".into(),
        channel,
        capabilities: capabilities.map(|list| list.iter().map(|&line| line.into()).collect()),
        line: 8 * 1024,
        bad_commands: 5,
    }
}

fn login(starttls: StartTls, password: &[u8]) -> HostLogin {
    HostLogin {
        user: UserName::new("jürgen@example.org".as_bytes()).unwrap(),
        credentials: Credentials::Password(Secret::new(password).unwrap()),
        starttls,
        seed: 7,
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

/// What came of it: the host leg's end, and the login the front saw.
fn play(settings: FrontSettings, with: HostLogin, answer: Option<Failure>) -> (HostStep, Login) {
    let mut server = Some(Box::new(server::Server::new(settings)));
    let mut client = client::Client::new(with, None);
    let mut shown = None;
    loop {
        match server.as_mut().map(|server| server.step()) {
            Some(Step::Write(octets)) => client.receive(&octets),
            Some(Step::Login(login)) => {
                shown = Some(login);
                match &answer {
                    Some(failure) => server.as_mut().unwrap().reject(failure),
                    None => {
                        let welcome = Welcome {
                            text: "in".into(),
                            ..Welcome::default()
                        };
                        let handover = server.take().unwrap().accept(welcome);
                        assert_eq!(handover.to_host, b"");
                        client.receive(&handover.to_client);
                    }
                }
            }
            Some(Step::StartTls) => {
                assert!(matches!(client.step(), HostStep::StartTls));
                client.tls_started();
                server.as_mut().unwrap().tls_started();
            }
            Some(Step::Exchange(answer)) => client.answer(answer),
            Some(Step::Close(_)) => client.closed(),
            Some(Step::Read) | None => match client.step() {
                HostStep::Write(octets) => server.as_mut().unwrap().receive(&octets),
                end @ (HostStep::Done(_) | HostStep::Failed(_)) => {
                    return (end, shown.expect("a login"));
                }
                other => panic!("both sides wait: {other:?}"),
            },
        }
    }
}

const ALLOWED: Channel = Channel::Clear {
    starttls: StartTls::No,
    login: ClearLogin::Allowed,
};
const STLS: Channel = Channel::Clear {
    starttls: StartTls::Yes,
    login: ClearLogin::Refused,
};

#[test]
fn our_host_leg_logs_in_to_our_front() {
    let long = vec![b'x'; 4000];
    for password in [&b"s3cret"[..], b" a \"b\" \\ \xfc ", &long] {
        for (channel, starttls, list, mechanism) in [
            (Channel::Tls, StartTls::No, None, "PLAIN"),
            (ALLOWED, StartTls::No, None, "PLAIN"),
            (STLS, StartTls::Yes, None, "PLAIN"),
            (ALLOWED, StartTls::No, Some(&["USER"][..]), "USER"),
            (ALLOWED, StartTls::No, Some(&["SASL LOGIN"][..]), "USER"),
        ] {
            let (end, shown) = play(front(channel, list), login(starttls, password), None);
            let HostStep::Done(welcome) = end else {
                panic!("{end:?}");
            };
            assert_eq!(welcome.text, "in");
            assert_eq!(shown.mechanism.as_str(), mechanism);
            assert_eq!(shown.user.as_str(), "jürgen@example.org");
            assert_eq!(shown.credentials.secret().unwrap().reveal(), password);
        }
    }
}

/// A gateway behind a gateway: failures keep their meaning.
#[test]
fn failures_pass_through_two_gateways() {
    let cause = || "why".to_owned();
    for (failure, want) in [
        (Failure::Credentials, "AUTHENTICATIONFAILED"),
        (Failure::NoRoute, "AUTHENTICATIONFAILED"),
        (
            Failure::TooMany {
                limit: Limit::PerUser,
            },
            "INUSE",
        ),
        (Failure::Unreachable { cause: cause() }, "UNAVAILABLE"),
        (Failure::HostTls { cause: cause() }, "SERVERBUG"),
        (Failure::Loop, "SERVERBUG"),
    ] {
        let settings = front(Channel::Tls, None);
        let (end, _) = play(settings, login(StartTls::No, b"x"), Some(failure));
        let HostStep::Failed(told) = end else {
            panic!("{end:?}");
        };
        assert_eq!(told.code(), want);
    }
}
