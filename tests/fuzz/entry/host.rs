//! What mail hosts say from their greeting to their answer to a login, IMAP and POP3.
//!
//! The host knows no tag before it has seen it: a `$` in what it says is the tag of the last command,
//! as far as there was one. The highest bit of the second octet asks for a second login by what was
//! learned from the first.

use gatepost::protocol::imap::client as imap_client;
use gatepost::protocol::pop3::client as pop3_client;
use gatepost::protocol::sasl::Mechanism;
use gatepost::protocol::sasl::{Answer, Message, Server, Turn};
use gatepost::protocol::{
    Client, Credentials, HostLogin, HostStep, Origin, READ_CHUNK, Secret, StartTls, Transport,
    UserName, Welcome,
};

use super::{Choice, holds};

const PASSWORD: &[u8] = b"hunter2 is it";
/// PLAIN of alice and that, in base64, without its first and last octets: they may be cut.
const IN_BASE64: &[u8] = b"aHVudGVyMiBpcyBpd";

pub(crate) fn imap(octets: &[u8]) {
    let mut choice = Choice(octets);
    let (settings, cut) = (choice.octet(), choice.octet());
    let look = settings & 0xe0 == 0xe0;
    let mut client = match look {
        true => imap_client::Client::look(starttls(settings), 7, None),
        false => imap_client::Client::new(login(settings), None),
    };
    let first = play(&mut client, settings, cut, choice.0);
    // A second login by what was learned from the first.
    let learned = client.learned();
    if let (Some(profile), false) = (learned, look) {
        assert!(first.greeted, "learned from nobody");
        if Choice::bit(cut, 7) {
            let mut client = imap_client::Client::new(login(settings), Some(profile));
            play(&mut client, settings, cut, choice.0);
        }
    }
}

pub(crate) fn pop3(octets: &[u8]) {
    let mut choice = Choice(octets);
    let (settings, cut) = (choice.octet(), choice.octet());
    let look = settings & 0xe0 == 0xe0;
    let mut client = match look {
        true => pop3_client::Client::look(starttls(settings), 7, None),
        false => pop3_client::Client::new(login(settings), None),
    };
    play(&mut client, settings, cut, choice.0);
    if let (Some(profile), false, true) = (client.learned(), look, Choice::bit(cut, 7)) {
        let mut client = pop3_client::Client::new(login(settings), Some(profile));
        play(&mut client, settings, cut, choice.0);
    }
}

fn starttls(settings: u8) -> StartTls {
    match Choice::bit(settings, 0) {
        true => StartTls::Yes,
        false => StartTls::No,
    }
}

fn login(settings: u8) -> HostLogin {
    let yes = |bit| Choice::bit(settings, bit);
    let credentials = match settings >> 4 & 3 {
        0 | 1 => Credentials::Password(Secret::new(PASSWORD).unwrap()),
        2 => by_sasl(
            Mechanism::XOAuth2,
            b"dXNlcj1hbGljZQFhdXRoPUJlYXJlciBodW50ZXIyIGlzIGl0AQE=",
        ),
        _ => by_sasl(Mechanism::ScramSha256, b"biwsbj1hbGljZSxyPWFiY2RlZmdo"),
    };
    HostLogin {
        user: UserName::new(b"alice").unwrap(),
        credentials,
        starttls: starttls(settings),
        seed: 7,
        origin: yes(1).then(|| Origin {
            client: "192.0.2.7:5000".parse().unwrap(),
            connected: "192.0.2.1:995".parse().unwrap(),
            session: "S1".into(),
            ttl: 4,
            transport: Transport::Tls,
        }),
        behind: match yes(2) {
            true => b"x SELECT \"INBOX\"\r\n".to_vec(),
            false => Vec::new(),
        },
    }
}

/// Credentials as a client shows them to us.
fn by_sasl(mechanism: Mechanism, message: &[u8]) -> Credentials {
    match Server::new(mechanism).start(Some(message)) {
        Turn::Login(login) => login.credentials,
        _ => Credentials::Password(Secret::new(PASSWORD).unwrap()),
    }
}

/// What was seen of a conversation.
pub(crate) struct Seen {
    pub(crate) greeted: bool,
}

/// Plays it to its end, whatever the host says.
fn play(client: &mut dyn Client, settings: u8, cut: u8, said: &[u8]) -> Seen {
    let wants_tls = starttls(settings) == StartTls::Yes;
    let mut host = Host {
        said,
        most: usize::from(cut & 0x7f).max(1),
        tag: Vec::new(),
    };
    let (mut tls, mut shown, mut greeted) = (false, false, false);
    let mut closed = false;
    for _ in 0..20 * said.len() + 200 {
        match client.step() {
            HostStep::Read if closed => panic!("it reads from a closed connection"),
            HostStep::Read => match host.next() {
                Some(octets) => {
                    greeted = true;
                    octets
                        .chunks(READ_CHUNK)
                        .for_each(|part| client.receive(part));
                }
                None => {
                    closed = true;
                    client.closed();
                }
            },
            HostStep::Write(octets) => {
                assert!(greeted, "it speaks before the host does");
                assert!(octets.len() <= 64 * 1024);
                let secret = holds(&octets, PASSWORD) || holds(&octets, IN_BASE64);
                assert!(!secret || tls || !wants_tls, "a password in clear");
                assert!(
                    !secret || client.credentials_sent(),
                    "it denies the password"
                );
                assert!(client.credentials_sent() || !shown);
                shown |= client.credentials_sent();
                host.hear(&octets);
            }
            HostStep::StartTls => {
                assert!(wants_tls && !tls, "TLS that was not asked for");
                assert!(!shown, "credentials went before TLS");
                tls = true;
                client.tls_started();
            }
            HostStep::Exchange(_) => {
                assert!(shown, "an exchange without a login");
                client.answer(match Choice::bit(settings, 3) {
                    true => Answer::Message(Message::from_base64(b"bj1hbGljZQ==").unwrap()),
                    false => Answer::Abort,
                });
            }
            HostStep::Done(welcome) => {
                assert!(tls || !wants_tls, "logged in without TLS");
                assert!(
                    shown || settings & 0xe0 == 0xe0,
                    "logged in without credentials"
                );
                welcomed(&welcome);
                return Seen { greeted };
            }
            HostStep::Failed(failure) => {
                let text = failure.to_string();
                assert!(!text.chars().any(char::is_control), "{text:?}");
                assert!(text.len() < 4096, "a failure of {} octets", text.len());
                return Seen { greeted };
            }
        }
    }
    panic!("it goes on for ever in {}", client.state());
}

/// Nothing of a host's words that a client must not see, and not too many of them.
pub(crate) fn welcomed(welcome: &Welcome) {
    assert!(welcome.text.len() <= 200);
    assert!(
        welcome
            .text
            .bytes()
            .all(|octet| matches!(octet, b' '..=b'~'))
    );
    assert!(welcome.untagged.len() <= 8 * 1024);
    assert!(welcome.untagged.is_empty() || welcome.untagged.ends_with(b"\r\n"));
    for atom in welcome.capabilities.iter().flatten() {
        assert!(!atom.starts_with("AUTH=") && atom != "STARTTLS" && atom != "UNAUTHENTICATE");
        assert!(atom.bytes().all(|octet| octet.is_ascii_graphic()));
    }
}

/// The scripted host.
struct Host<'a> {
    said: &'a [u8],
    most: usize,
    tag: Vec<u8>,
}

impl Host<'_> {
    /// The next octets, tags put in.
    fn next(&mut self) -> Option<Vec<u8>> {
        if self.said.is_empty() {
            return None;
        }
        let (now, rest) = self.said.split_at(self.most.min(self.said.len()));
        self.said = rest;
        let mut octets = Vec::new();
        for octet in now {
            match octet {
                b'$' => octets.extend_from_slice(&self.tag),
                octet => octets.push(*octet),
            }
        }
        Some(octets)
    }

    /// Remembers the tag of the last command.
    fn hear(&mut self, octets: &[u8]) {
        let mut lines = octets.split(|octet| *octet == b'\n');
        if let Some(line) = lines.rfind(|line| holds(line, b" ")) {
            let word = line
                .split(|octet| *octet == b' ')
                .next()
                .unwrap_or_default();
            self.tag = word.to_vec();
        }
    }
}
