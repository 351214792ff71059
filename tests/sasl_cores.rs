//! A mail client, the gateway's front, its host leg, and a host, which is a front again: whole
//! conversations of SASL without sockets. What the one says reaches the other octet for octet, in
//! whichever protocol each side speaks.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gatepost::protocol::sasl::{Answer, Mechanism, Mechanisms, Message};
use gatepost::protocol::{
    Channel, Client, Code, Failure, FrontSettings, HostLogin, HostStep, Protocol, Server, StartTls,
    Step, Welcome, imap, pop3,
};

/// Who speaks what: the mail client, the host.
const PAIRS: [(Protocol, Protocol); 3] = [
    (Protocol::Imap, Protocol::Imap),
    (Protocol::Pop3, Protocol::Pop3),
    (Protocol::Pop3, Protocol::Imap),
];

fn front(protocol: Protocol) -> Box<dyn Server> {
    let settings = FrontSettings {
        greeting: "ready".into(),
        session: "S1".into(),
        channel: Channel::Tls,
        capabilities: None,
        mechanisms: Mechanisms::ALL,
        line: 8 * 1024,
        bad_commands: 5,
    };
    match protocol {
        Protocol::Imap => Box::new(imap::server::Server::new(settings)),
        Protocol::Pop3 => Box::new(pop3::server::Server::new(settings)),
    }
}

fn leg(protocol: Protocol, login: HostLogin) -> Box<dyn Client> {
    match protocol {
        Protocol::Imap => Box::new(imap::client::Client::new(login, None)),
        Protocol::Pop3 => Box::new(pop3::client::Client::new(login, None)),
    }
}

/// A conversation: what the client says, what the host does then, by turns.
struct Talk {
    mechanism: Mechanism,
    /// The client's messages; the host hears the same.
    client: Vec<String>,
    /// The host's challenges.
    host: Vec<String>,
    end: Result<(), Failure>,
}

/// Plays it, `initial` says whether the first message stands in the command's own line; gives what
/// the client read.
fn play((client, host): (Protocol, Protocol), talk: &Talk, initial: bool) -> String {
    let mut front_core = front(client);
    let mut host_core = front(host);
    let name = talk.mechanism.name();
    let mut says: Vec<String> = talk
        .client
        .iter()
        .map(|message| match message.as_str() {
            "*" => "*".into(),
            _ => BASE64.encode(message),
        })
        .collect();
    let command = match client {
        Protocol::Imap => format!("a1 AUTHENTICATE {name}"),
        Protocol::Pop3 => format!("AUTH {name}"),
    };
    match initial {
        true => says[0] = format!("{command} {}", says[0]),
        false => says.insert(0, command),
    }
    let mut says = says.into_iter();
    let mut challenges = talk.host.iter();
    let mut heard = Vec::new();
    let mut read = String::new();
    let mut refused = false;
    let mut leg_core: Option<Box<dyn Client>> = None;
    loop {
        let welcome = match front_core.step() {
            Step::Read => {
                front_core.receive(format!("{}\r\n", says.next().expect("more")).as_bytes());
                continue;
            }
            Step::Write(octets) => {
                read.push_str(&String::from_utf8(octets).unwrap());
                if refused {
                    return read;
                }
                continue;
            }
            Step::Login(login) => {
                assert_eq!(login.mechanism.as_str(), name);
                let login = HostLogin {
                    user: login.user,
                    credentials: login.credentials,
                    starttls: StartTls::No,
                    seed: 7,
                    origin: None,
                    behind: Vec::new(),
                };
                leg_core = Some(leg(host, login));
                host_turn(
                    leg_core.as_mut().unwrap().as_mut(),
                    &mut host_core,
                    &mut challenges,
                    &mut heard,
                    &talk.end,
                )
            }
            Step::Exchange(answer) => {
                let leg_core = leg_core.as_mut().unwrap();
                leg_core.answer(answer);
                host_turn(
                    leg_core.as_mut(),
                    &mut host_core,
                    &mut challenges,
                    &mut heard,
                    &talk.end,
                )
            }
            other => panic!("{other:?}"),
        };
        match welcome {
            HostStep::Exchange(challenge) => front_core.challenge(&challenge),
            HostStep::Done(welcome) => {
                let handover = front_core.accept(*welcome);
                read.push_str(&String::from_utf8(handover.to_client).unwrap());
                let want: Vec<&str> = talk.client.iter().map(String::as_str).collect();
                assert_eq!(heard, want);
                return read;
            }
            HostStep::Failed(failure) => {
                front_core.reject(&failure);
                refused = true;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn last(read: &str) -> &str {
    read.trim_end().rsplit("\r\n").next().unwrap_or_default()
}

/// Until the host asks something or has decided.
fn host_turn<'a>(
    leg: &mut dyn Client,
    host: &mut Box<dyn Server>,
    challenges: &mut impl Iterator<Item = &'a String>,
    heard: &mut Vec<String>,
    end: &Result<(), Failure>,
) -> HostStep {
    let text = |message: &Message| {
        String::from_utf8(BASE64.decode(&message.to_base64()[..]).unwrap()).unwrap()
    };
    loop {
        match leg.step() {
            HostStep::Write(octets) => host.receive(&octets),
            HostStep::Read => {}
            end => return end,
        }
        loop {
            match host.step() {
                Step::Write(octets) => leg.receive(&octets),
                Step::Read => break,
                Step::Login(login) => {
                    let first =
                        gatepost::protocol::sasl::relayed::first(&login.user, &login.credentials);
                    heard.push(text(&Message::from_base64(&first.unwrap()).unwrap()));
                    next(leg, host, challenges.next(), end);
                }
                Step::Exchange(Answer::Message(answer)) => {
                    heard.push(text(&answer));
                    next(leg, host, challenges.next(), end);
                }
                Step::Exchange(Answer::Abort) => host.reject(&Failure::Aborted),
                other => panic!("{other:?}"),
            }
            if leg.state() == "over" {
                break;
            }
        }
    }
}

/// The host's next challenge, or its word on the login.
fn next(
    leg: &mut dyn Client,
    host: &mut Box<dyn Server>,
    challenge: Option<&String>,
    end: &Result<(), Failure>,
) {
    match (challenge, end) {
        (Some(challenge), _) => {
            let text = BASE64.encode(challenge);
            host.challenge(&Message::from_base64(text.as_bytes()).unwrap());
        }
        (None, Err(failure)) => host.reject(failure),
        (None, Ok(())) => {
            let accepted = std::mem::replace(host, front(Protocol::Imap));
            let handover = accepted.accept(Welcome::default());
            leg.receive(&handover.to_client);
        }
    }
}

fn refused() -> Result<(), Failure> {
    Err(Failure::Refused {
        code: Code::AuthenticationFailed,
        alert: None,
    })
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| text.replace('^', "\x01")).collect()
}

fn talks() -> Vec<(Talk, &'static str)> {
    let bearer = "n,a=user@example.com,^host=server.example.com^port=143^auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==^^";
    let long = |head: &str| format!("{head}^auth=Bearer {}^^", "t".repeat(12 * 1024));
    let discovery = "{\"status\":\"invalid_token\",\"scope\":\"example_scope\",\"openid-configuration\":\"https://example.com/.well-known/openid-configuration\"}";
    let talk = |mechanism, client: &[&str], host: &[&str], end| Talk {
        mechanism,
        client: strings(client),
        host: strings(host),
        end,
    };
    vec![
        // RFC 5802 §5.
        (
            talk(
                Mechanism::ScramSha1,
                &[
                    "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                    "",
                ],
                &[
                    "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                    "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
                ],
                Ok(()),
            ),
            "OK",
        ),
        // RFC 7677 §3.
        (
            talk(
                Mechanism::ScramSha256,
                &[
                    "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                    "",
                ],
                &[
                    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
                ],
                Ok(()),
            ),
            "OK",
        ),
        // The proof is wrong.
        (
            talk(
                Mechanism::ScramSha256,
                &["n,,n=user,r=a", "c=biws,r=ab,p=eA=="],
                &["r=ab,s=eA==,i=4096"],
                refused(),
            ),
            "AUTH",
        ),
        (
            talk(
                Mechanism::ScramSha256,
                &["n,,n=user,r=a", "*"],
                &["r=ab,s=eA==,i=4096"],
                refused(),
            ),
            "aborted",
        ),
        // RFC 7628 §4.1, §4.3.
        (talk(Mechanism::OAuthBearer, &[bearer], &[], Ok(())), "OK"),
        (
            talk(
                Mechanism::OAuthBearer,
                &[
                    "n,a=user@example.com,^host=server.example.com^port=143^auth=^^",
                    "^",
                ],
                &[discovery],
                refused(),
            ),
            "AUTH",
        ),
        (
            talk(
                Mechanism::XOAuth2,
                &["user=someuser@example.com^auth=Bearer ya29.x^^", ""],
                &["{\"status\":\"400\"}"],
                refused(),
            ),
            "AUTH",
        ),
        (
            talk(Mechanism::XOAuth2, &[&long("user=tim")], &[], Ok(())),
            "OK",
        ),
        (
            talk(Mechanism::OAuthBearer, &[&long("n,a=tim,")], &[], Ok(())),
            "OK",
        ),
    ]
}

#[test]
fn whole_conversations() {
    for pair in PAIRS {
        for (talk, want) in talks() {
            for initial in [true, false] {
                let read = play(pair, &talk, initial);
                let challenges: Vec<String> = read
                    .split("\r\n")
                    .filter_map(|line| line.strip_prefix("+ "))
                    .filter(|text| !text.is_empty())
                    .map(|text| String::from_utf8(BASE64.decode(text).unwrap()).unwrap())
                    .collect();
                assert_eq!(challenges, talk.host, "{pair:?}");
                assert!(last(&read).contains(want), "{pair:?} {want}: {read}");
            }
        }
    }
}
