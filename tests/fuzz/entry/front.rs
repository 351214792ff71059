//! What mail clients say before login, to the IMAP and to the POP3 front.

use gatepost::protocol::sasl::{Mechanism, Mechanisms, Message};
use gatepost::protocol::{
    Channel, ClearLogin, Failure, Farewell, FrontSettings, READ_CHUNK, Server, StartTls, Step,
    UserName, Verdict, Welcome, imap, pop3,
};

use super::{Choice, Cut, holds, sasl};

/// The promise of a connection before login.
const MOST_HELD: usize = gatepost::protocol::HELD_MAX;

/// The session's id, which every failure names.
const SESSION: &str = "S7";

pub(crate) fn imap(octets: &[u8]) {
    front(octets, |settings| {
        Box::new(imap::server::Server::new(settings))
    });
}

pub(crate) fn pop3(octets: &[u8]) {
    front(octets, |settings| {
        Box::new(pop3::server::Server::new(settings))
    });
}

/// Says it in parts, and whole: the same conversation.
fn front(octets: &[u8], new: impl Fn(FrontSettings) -> Box<dyn Server>) {
    let mut choice = Choice(octets);
    let (settings, cut, verdict) = (choice.octet(), Cut::of(choice.octet()), choice.octet());
    let said = choice.0;
    let play =
        |most: usize| Play::new(new(settings_of(settings)), settings, verdict).run(said, most);
    let parts = play(cut.most());
    if let Cut::Compared(_) = cut {
        let whole = play(READ_CHUNK);
        assert_eq!(whole, parts, "the conversation depends on how it is cut");
    }
}

pub(crate) fn settings_of(octet: u8) -> FrontSettings {
    let yes = |bit| Choice::bit(octet, bit);
    FrontSettings {
        greeting: "ready".into(),
        session: SESSION.into(),
        channel: match (yes(0), yes(1)) {
            (true, true) => Channel::Tls,
            (starttls, login) => Channel::Clear {
                starttls: if starttls {
                    StartTls::Yes
                } else {
                    StartTls::No
                },
                login: if login || !starttls {
                    ClearLogin::Allowed
                } else {
                    ClearLogin::Refused
                },
            },
        },
        capabilities: None,
        mechanisms: match yes(2) {
            true => Mechanism::ALL.into_iter().collect(),
            false => Mechanisms::PASSWORD,
        },
        // Short enough to be passed by what a fuzzer says.
        line: if yes(3) { 64 } else { 8 * 1024 },
        bad_commands: if yes(4) { 2 } else { 5 },
    }
}

/// What came of a conversation.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// What the client heard.
    heard: Vec<u8>,
    /// The logins, by name.
    logins: Vec<String>,
    /// What goes to the host behind an accepted login.
    to_host: Vec<u8>,
    end: End,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Waits,
    Closes,
    Tls,
    LoggedIn,
    Refused,
}

struct Play {
    server: Box<dyn Server>,
    verdict: u8,
    outcome: Outcome,
}

impl Play {
    fn new(mut server: Box<dyn Server>, settings: u8, verdict: u8) -> Self {
        if Choice::bit(settings, 5) {
            server.certificate_shown(UserName::new(b"carol").unwrap());
        }
        if Choice::bit(settings, 6) {
            server.sender_trusted();
        }
        let outcome = Outcome {
            heard: Vec::new(),
            logins: Vec::new(),
            to_host: Vec::new(),
            end: End::Waits,
        };
        Play {
            server,
            verdict,
            outcome,
        }
    }

    /// Gives the server at most `most` octets at a time.
    fn run(mut self, said: &[u8], most: usize) -> Outcome {
        let mut parts = said.chunks(most);
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 30 * said.len() + 1000, "it goes on for ever");
            assert!(
                self.server.held() <= MOST_HELD,
                "it holds {}",
                self.server.held()
            );
            assert!(!self.server.state().is_empty());
            let step = self.server.step();
            if let Some(refused) = self.server.refused() {
                assert!(!refused.failure.code().is_empty());
            }
            match step {
                Step::Read => match parts.next() {
                    Some(part) => self.server.receive(part),
                    None => break,
                },
                Step::Write(octets) => {
                    assert!(!octets.is_empty(), "nothing to write");
                    assert!(octets.len() <= MOST_HELD, "too much said");
                    assert!(octets.ends_with(b"\r\n"), "half a line said");
                    self.outcome.heard.extend(octets);
                }
                Step::StartTls => {
                    // What came in clear is gone, whatever it was.
                    self.server.tls_started();
                    assert!(
                        matches!(self.server.step(), Step::Read),
                        "it acts on clear text"
                    );
                    assert_eq!(self.server.ttl(), None);
                    self.outcome.end = End::Tls;
                    return self.outcome;
                }
                Step::Login(login) => {
                    sasl::shown(&login);
                    self.outcome.logins.push(login.user.to_string());
                    let nth = self.outcome.logins.len() as u32;
                    if login.credentials.relayed().is_some() && self.verdict & 0x40 != 0 {
                        self.server
                            .challenge(&Message::from_base64(b"eyJzIjoiNDAwIn0=").unwrap());
                    } else if self.verdict.rotate_right(nth) & 1 == 0 {
                        self.server.reject(&Failure::Credentials);
                        self.told();
                    } else {
                        return self.accept(parts);
                    }
                }
                Step::Exchange(_) => {
                    self.server.reject(&Failure::Credentials);
                    self.told();
                }
                Step::Close(_) => {
                    self.outcome.end = End::Closes;
                    return self.outcome;
                }
            }
        }
        // Whoever is in the middle of something is told goodbye by our words only.
        let goodbye = self.server.farewell(Farewell::Timeout);
        assert!(goodbye.is_empty() || goodbye.ends_with(b"\r\n"));
        self.outcome
    }

    /// A failure is told with the session's id, in one line.
    fn told(&mut self) {
        if let Step::Write(octets) = self.server.step() {
            let line = octets
                .split(|octet| *octet == b'\n')
                .next()
                .unwrap_or_default();
            assert!(
                holds(line, b"(S7)"),
                "{:?}",
                octets.escape_ascii().to_string()
            );
            self.outcome.heard.extend(octets);
        }
    }

    /// Logged in: what the client sends from now on is the host's, octet by octet.
    fn accept<'a>(mut self, parts: impl Iterator<Item = &'a [u8]>) -> Outcome {
        let welcome = Welcome {
            text: "in".into(),
            ..Welcome::default()
        };
        let mut handover = self.server.accept(welcome);
        assert!(handover.to_client.ends_with(b"\r\n"));
        self.outcome.heard.extend(handover.to_client);
        self.outcome.to_host = handover.to_host;
        self.outcome.end = End::LoggedIn;
        for part in parts {
            match handover.observer.client_to_host(part) {
                Verdict::Pass => self.outcome.to_host.extend(part),
                Verdict::End => {
                    // Where in a burst it stood decides how much of it passes.
                    self.outcome.end = End::Refused;
                    self.outcome.to_host.clear();
                    break;
                }
            }
        }
        // One that stood in what was read with the login shows at the next octet.
        if handover.observer.client_to_host(b"x") == Verdict::End {
            self.outcome.end = End::Refused;
            self.outcome.to_host.clear();
            // Only such a one is told goodbye by the core: the relay knows whether one may stand.
            let heard = &mut self.outcome.heard;
            if let Some(before) = heard.strip_suffix(b"* BYE command not allowed here\r\n") {
                heard.truncate(before.len());
            }
        }
        self.outcome
    }
}
