//! Whole sessions: a mail client and a mail host, both scripted, and the gateway's cores between them,
//! from the greeting over login and TLS to the relay's end.
//!
//! What must hold whatever either says: no octet of the client but its login reaches the host before
//! it is logged in, no password before TLS where TLS is due, and from then on every octet of either
//! side reaches the other once and in order.

use arbitrary::{Arbitrary, Unstructured};
use gatepost::protocol::{
    Client, Failure, Farewell, Handover, HostLogin, HostStep, Login, Protocol, READ_CHUNK, Server,
    StartTls, Step, Verdict, imap, pop3,
};

use super::{Choice, front, holds, host, sasl};
use script::{Script, Turn};

mod script;

pub(crate) fn whole(octets: &[u8]) {
    let Ok(script) = Script::arbitrary(&mut Unstructured::new(octets)) else {
        return;
    };
    Play::new(&script).run(&script.turns);
}

struct Play {
    protocol: Protocol,
    cut: usize,
    leg_tls: StartTls,
    state: State,
    tag: String,
    /// What each side said and the gateway did not read yet.
    from_client: Vec<u8>,
    from_host: Vec<u8>,
    /// What each side read since the login.
    to_client: Vec<u8>,
    to_host: Vec<u8>,
    /// Octets given to the front since it last had nothing.
    given: Vec<u8>,
}

/// A login on its way: both cores, and what it asks for.
struct Visit {
    server: Box<dyn Server>,
    leg: Box<dyn Client>,
    login: Login,
    /// Whether the host's side is in TLS.
    tls: bool,
    /// Whether the client owes the host a message.
    asks: bool,
}

enum State {
    /// The front talks to the client.
    Front(Box<dyn Server>),
    /// A login is on its way.
    Login(Visit),
    Relay {
        handover: Handover,
        ended: bool,
    },
    Over,
}

impl Play {
    fn new(script: &Script) -> Self {
        let settings = front::settings_of(script.front);
        let (protocol, server): (_, Box<dyn Server>) = match Choice::bit(script.front, 7) {
            false => (
                Protocol::Imap,
                Box::new(imap::server::Server::new(settings)),
            ),
            true => (
                Protocol::Pop3,
                Box::new(pop3::server::Server::new(settings)),
            ),
        };
        Play {
            protocol,
            cut: usize::from(script.cut).max(1),
            leg_tls: if Choice::bit(script.leg, 0) {
                StartTls::Yes
            } else {
                StartTls::No
            },
            state: State::Front(server),
            tag: "x".into(),
            from_client: Vec::new(),
            from_host: Vec::new(),
            to_client: Vec::new(),
            to_host: Vec::new(),
            given: Vec::new(),
        }
    }

    fn run(mut self, turns: &[Turn]) {
        self.work();
        for turn in turns.iter().take(64) {
            match turn {
                Turn::Client(says) | Turn::ClientAgain(says) => {
                    self.from_client.extend(says.octets(self.protocol));
                }
                Turn::Host(answers) | Turn::HostAgain(answers) => {
                    let octets = answers.octets(self.protocol, &self.tag);
                    // A host is there only while it is talked to.
                    if matches!(self.state, State::Login(_) | State::Relay { .. }) {
                        self.from_host.extend(octets);
                    }
                }
                Turn::HostLeaves => {
                    if let State::Login(visit) = &mut self.state {
                        visit.leg.closed();
                    }
                }
                Turn::ClientLeaves => return,
                Turn::Goodbye => match &mut self.state {
                    State::Front(server) | State::Login(Visit { server, .. }) => {
                        let words = server.farewell(Farewell::Shutdown);
                        assert!(words.is_empty() || words.ends_with(b"\r\n"));
                        return;
                    }
                    State::Relay { handover, .. } => {
                        let words = handover.observer.goodbye(Farewell::Kicked);
                        assert!(words.is_none_or(|it| it.is_empty() || it.ends_with(b"\r\n")));
                    }
                    State::Over => return,
                },
            }
            self.work();
        }
    }

    fn work(&mut self) {
        for _ in 0..20_000 {
            let moved = match std::mem::replace(&mut self.state, State::Over) {
                State::Front(server) => self.talk(server),
                State::Login(visit) if visit.asks => self.ask(visit),
                State::Login(visit) => self.log_in(visit),
                State::Relay { handover, ended } => self.relay(handover, ended),
                State::Over => false,
            };
            if !moved {
                return;
            }
        }
        panic!("they talk for ever");
    }

    fn part(from: &mut Vec<u8>, most: usize) -> Vec<u8> {
        let most = from.len().min(most).min(READ_CHUNK);
        from.drain(..most).collect()
    }

    fn talk(&mut self, mut server: Box<dyn Server>) -> bool {
        let step = server.step();
        let _ = server.refused();
        assert!(server.held() <= gatepost::protocol::HELD_MAX);
        let moved = match step {
            Step::Read if self.from_client.is_empty() => false,
            Step::Read => {
                let part = Self::part(&mut self.from_client, self.cut);
                self.given.extend_from_slice(&part);
                server.receive(&part);
                true
            }
            Step::Write(octets) => {
                // A line's first word is a tag, which may be anything the client likes.
                let words = |line: &[u8]| {
                    let tag = line.iter().position(|octet| *octet == b' ');
                    holds(&line[tag.unwrap_or(0)..], b"-xyzzy")
                };
                assert!(
                    !octets.split(|octet| *octet == b'\n').any(words),
                    "a password is said to the client"
                );
                true
            }
            Step::StartTls => {
                // What was sent in clear behind it never acts.
                self.from_client.clear();
                self.given.clear();
                server.tls_started();
                true
            }
            Step::Login(login) => {
                sasl::shown(&login);
                self.check_user(&login);
                let asks = HostLogin {
                    user: login.user.clone(),
                    credentials: login.credentials.clone(),
                    starttls: self.leg_tls,
                    seed: 7,
                    origin: None,
                    behind: Vec::new(),
                };
                let leg: Box<dyn Client> = match self.protocol {
                    Protocol::Imap => Box::new(imap::client::Client::new(asks, None)),
                    Protocol::Pop3 => Box::new(pop3::client::Client::new(asks, None)),
                };
                self.from_host.clear();
                self.state = State::Login(Visit {
                    server,
                    leg,
                    login,
                    tls: false,
                    asks: false,
                });
                return true;
            }
            Step::Exchange(_) => panic!("an answer that nobody asked for"),
            Step::Close(_) => return false,
        };
        self.state = State::Front(server);
        moved
    }

    /// A password comes with the name it was said with.
    fn check_user(&self, login: &Login) {
        let Some(secret) = login.credentials.secret() else {
            return;
        };
        let secret = String::from_utf8_lossy(secret.reveal());
        let name = login.user.as_str();
        if let (Some(user), Some(owner)) =
            (name.strip_prefix("user"), secret.strip_prefix("pw-of-"))
            && owner.ends_with("-xyzzy")
            && user.len() == 1
            && !holds(&self.given, b"USER user")
        {
            assert!(
                owner.starts_with(user) || !secret.starts_with("pw-of-") || self.mixed(),
                "{name} {secret}"
            );
        }
    }

    /// Whether the client's own octets may have put the two together.
    fn mixed(&self) -> bool {
        let words = self.given.split(|octet| *octet == b'\n');
        words.filter(|line| holds(line, b"user")).count() > 1
    }

    /// The client's turn, in the middle of a login.
    fn ask(&mut self, mut visit: Visit) -> bool {
        let mut moved = true;
        match visit.server.step() {
            Step::Read if self.from_client.is_empty() => moved = false,
            Step::Read => {
                let part = Self::part(&mut self.from_client, self.cut);
                self.given.extend_from_slice(&part);
                visit.server.receive(&part);
            }
            Step::Write(_) => {}
            Step::Exchange(answer) => {
                visit.asks = false;
                visit.leg.answer(answer);
            }
            Step::Close(_) => return false,
            other => panic!("{other:?}"),
        }
        self.state = State::Login(visit);
        moved
    }

    fn log_in(&mut self, mut visit: Visit) -> bool {
        let mut moved = true;
        match visit.leg.step() {
            HostStep::Read if self.from_host.is_empty() => moved = false,
            HostStep::Read => visit
                .leg
                .receive(&Self::part(&mut self.from_host, self.cut)),
            HostStep::Write(octets) => {
                let secret = holds(&octets, b"-xyzzy");
                assert!(
                    !secret || visit.tls || self.leg_tls == StartTls::No,
                    "a password in clear"
                );
                if secret && let Some(own) = visit.login.credentials.secret() {
                    assert!(holds(&octets, own.reveal()), "somebody else's password");
                }
                let line = octets
                    .split(|octet| *octet == b'\n')
                    .rfind(|line| holds(line, b" "));
                if let Some(word) = line.and_then(|line| line.split(|octet| *octet == b' ').next())
                {
                    self.tag = String::from_utf8_lossy(word).into_owned();
                }
            }
            HostStep::StartTls => {
                assert!(!visit.tls && self.leg_tls == StartTls::Yes);
                visit.tls = true;
                self.from_host.clear();
                visit.leg.tls_started();
            }
            HostStep::Exchange(challenge) => {
                visit.asks = true;
                visit.server.challenge(&challenge);
            }
            HostStep::Done(welcome) => {
                assert!(
                    visit.leg.credentials_sent() && (visit.tls || self.leg_tls == StartTls::No)
                );
                host::welcomed(&welcome);
                let rest = welcome.rest.len();
                let handover = visit.server.accept(*welcome);
                assert!(handover.to_client.len() >= rest);
                assert!(
                    self.given.ends_with(&handover.to_host),
                    "octets the client did not send"
                );
                self.to_client = handover.to_client.clone();
                self.to_host = handover.to_host.clone();
                self.state = State::Relay {
                    handover,
                    ended: false,
                };
                return true;
            }
            HostStep::Failed(failure) => {
                visit.server.reject(&match failure {
                    Failure::Aborted => Failure::Credentials,
                    failure => failure,
                });
                self.from_host.clear();
                self.state = State::Front(visit.server);
                return true;
            }
        }
        self.state = State::Login(visit);
        moved
    }

    fn relay(&mut self, mut handover: Handover, mut ended: bool) -> bool {
        let to_host = Self::part(&mut self.from_client, self.cut);
        if !to_host.is_empty() && !ended {
            match handover.observer.client_to_host(&to_host) {
                Verdict::Pass => {
                    self.to_host.extend_from_slice(&to_host);
                    // A line is whole with its CR: nothing new can be seen before.
                    if self.protocol == Protocol::Imap && to_host.contains(&b'\r') {
                        let upper = self.to_host.to_ascii_uppercase();
                        let bare = upper.split(|octet| *octet == b'\n');
                        // The tag may be anything; a third word would make it an argument.
                        let words = |line: &[u8]| {
                            let words = line.split(|octet| *octet == b' ');
                            words.filter(|word| !word.is_empty()).count()
                        };
                        let slipped = bare
                            .filter(|line| line.ends_with(b" UNAUTHENTICATE\r") && words(line) == 2)
                            .count();
                        // Only inside a literal, or a line too long to be one.
                        assert!(
                            slipped == 0
                                || holds(&upper, b"}\r\n")
                                || holds(&upper, b"IDLE")
                                || upper.len() > 4096
                                || odd(&upper),
                            "{:?}",
                            upper.escape_ascii().to_string()
                        );
                    }
                }
                Verdict::End => ended = true,
            }
        }
        let mut to_client = Self::part(&mut self.from_host, self.cut);
        let (before, length) = (to_client.clone(), to_client.len());
        handover.observer.host_to_client(&mut to_client);
        assert_eq!(to_client.len(), length, "octets went or came");
        let upper = before.to_ascii_uppercase();
        assert!(
            to_client == before
                || upper
                    .iter()
                    .any(|octet| b"UNAUTHENTICATECOMPRESS=".contains(octet))
        );
        self.to_client.extend_from_slice(&to_client);
        self.state = State::Relay { handover, ended };
        length > 0 || (!to_host.is_empty() && !ended)
    }
}

/// Whether there are octets in it that no command has: what is a line then is the host's to say.
fn odd(octets: &[u8]) -> bool {
    octets
        .iter()
        .any(|octet| !matches!(octet, b'\r' | b'\n' | b' '..=b'~'))
}
