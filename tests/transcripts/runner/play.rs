//! Plays a transcript against a front server, with the client's octets cut in any way.

use std::collections::VecDeque;

use gatepost::protocol::sasl::{self, relayed};
use gatepost::protocol::{
    FrontSettings, Handover, Login, Protocol, READ_CHUNK, Server, Step, Welcome, imap, pop3,
};

use crate::script::{Event, Script};

/// The front server of a protocol.
pub(crate) fn server(protocol: Protocol, settings: FrontSettings) -> Box<dyn Server> {
    match protocol {
        Protocol::Imap => Box::new(imap::server::Server::new(settings)),
        Protocol::Pop3 => Box::new(pop3::server::Server::new(settings)),
    }
}

/// How the client's octets reach the server. What a client sends without waiting is a burst.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Each burst at once.
    Whole,
    /// Octet by octet.
    Octets,
    /// One burst in two parts.
    Two { burst: usize, at: usize },
    /// Parts of random length.
    Random(u64),
}

/// How many octets of a burst are played, about: of a long one only some cuts are tried.
const MANY: usize = 150_000;

impl Cut {
    /// Every cut that is tried for a script.
    pub(crate) fn all(script: &Script) -> Vec<Cut> {
        let mut cuts = vec![Cut::Octets];
        for (burst, length) in bursts(script).into_iter().enumerate() {
            let step = (length * length).div_ceil(MANY).max(1);
            cuts.extend((1..length).step_by(step).map(|at| Cut::Two { burst, at }));
        }
        cuts.extend((0..20).map(Cut::Random));
        cuts
    }

    fn apply(self, nth: usize, burst: Vec<u8>) -> Vec<Vec<u8>> {
        match self {
            Cut::Whole => vec![burst],
            Cut::Octets => burst.iter().map(|&octet| vec![octet]).collect(),
            Cut::Two { burst: cut, at } if cut == nth => {
                let (head, tail) = burst.split_at(at);
                vec![head.to_vec(), tail.to_vec()]
            }
            Cut::Two { .. } => vec![burst],
            Cut::Random(seed) => {
                let mut random = Random(seed.wrapping_add(nth as u64));
                let mut rest = &burst[..];
                let mut parts = Vec::new();
                while !rest.is_empty() {
                    let most = if random.below(2) == 0 { 4 } else { 60 };
                    let (head, tail) = rest.split_at(rest.len().min(1 + random.below(most)));
                    parts.push(head.to_vec());
                    rest = tail;
                }
                parts
            }
        }
    }
}

/// Lengths of what the client sends in one go.
fn bursts(script: &Script) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut open = false;
    for (_, event) in &script.events {
        match event {
            Event::Client(octets) if open => *lengths.last_mut().unwrap() += octets.len(),
            Event::Client(octets) => lengths.push(octets.len()),
            _ => {}
        }
        open = matches!(event, Event::Client(_));
    }
    lengths
}

/// Numbers that look random and are the same in every run (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Plays it; the error says where it went another way.
pub(crate) fn play(script: &Script, cut: Cut) -> Result<(), String> {
    let mut talk = Talk {
        server: Some(server(script.protocol, script.settings.clone())),
        said: Vec::new(),
        queue: VecDeque::new(),
        wants: Wants::Octets,
        handover: None,
    };
    talk.pump();
    let mut burst = Vec::new();
    let mut nth = 0;
    for (at, event) in &script.events {
        let here = |error: String| format!("{}:{at}: {error}", script.name);
        if let Event::Client(octets) = event {
            burst.extend_from_slice(octets);
            continue;
        }
        if !burst.is_empty() {
            talk.quiet().map_err(here)?;
            for part in cut.apply(nth, std::mem::take(&mut burst)) {
                talk.queue
                    .extend(part.chunks(READ_CHUNK).map(<[u8]>::to_vec));
            }
            nth += 1;
            talk.pump();
        }
        talk.check(event).map_err(here)?;
    }
    talk.quiet()
        .map_err(|error| format!("{}: at the end: {error}", script.name))
}

struct Talk {
    server: Option<Box<dyn Server>>,
    /// Said and not yet expected.
    said: Vec<u8>,
    /// Sent by the client and not yet read.
    queue: VecDeque<Vec<u8>>,
    wants: Wants,
    handover: Option<Handover>,
}

enum Wants {
    Octets,
    Login(Login),
    /// The client's answer to a challenge, taken.
    Answer(sasl::Answer),
    /// Somebody's word on a login.
    Decision,
    Tls,
    Close,
}

impl Talk {
    /// Goes on until the server needs something that is not there.
    fn pump(&mut self) {
        let Some(server) = &mut self.server else {
            return;
        };
        while let Wants::Octets = self.wants {
            match server.step() {
                Step::Read => match self.queue.pop_front() {
                    Some(part) => server.receive(&part),
                    None => return,
                },
                Step::Write(octets) => {
                    assert!(!octets.is_empty(), "nothing to write");
                    self.said.extend(octets);
                }
                Step::Login(login) => self.wants = Wants::Login(login),
                Step::Exchange(answer) => self.wants = Wants::Answer(answer),
                Step::StartTls => {
                    // What came in clear and was not read yet spoils the handshake; it never acts.
                    self.queue.clear();
                    self.wants = Wants::Tls;
                }
                Step::Close(_) => self.wants = Wants::Close,
            }
        }
    }

    fn check(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Client(_) => Ok(()),
            Event::Says(want) => match self.said.strip_prefix(&want[..]) {
                Some(rest) => {
                    self.said = rest.to_vec();
                    Ok(())
                }
                None => Err(format!("expected {} got {}", show(want), show(&self.said))),
            },
            Event::Matches(want) => {
                let line = memchr::memmem::find(&self.said, b"\r\n").map(|end| {
                    let line = String::from_utf8_lossy(&self.said[..end]).into_owned();
                    self.said.drain(..end + 2);
                    line
                });
                match line {
                    Some(line) if want.is_match(&line) => Ok(()),
                    other => Err(format!("expected /{want}/ got {other:?}")),
                }
            }
            Event::Login {
                user,
                secret,
                mechanism,
            } => {
                self.quiet()?;
                match std::mem::replace(&mut self.wants, Wants::Decision) {
                    Wants::Login(login) => {
                        let shown = match login.credentials.secret() {
                            Some(secret) => secret.reveal().to_vec(),
                            None => relayed::first(&login.user, &login.credentials)
                                .map(|text| text.to_vec())
                                .ok_or("nothing was shown")?,
                        };
                        let got = (login.user.as_str(), show(&shown), login.mechanism.as_str());
                        let want = (user.as_str(), show(secret), mechanism.as_str());
                        (got == want)
                            .then_some(())
                            .ok_or(format!("expected login {want:?} got {got:?}"))
                    }
                    other => Err(format!("expected a login, but it wants {}", other.name())),
                }
            }
            Event::Challenge(challenge) => {
                self.wanted("decision")?;
                self.answer(|server| server.challenge(challenge));
                Ok(())
            }
            Event::Answer(want) => {
                self.quiet()?;
                match std::mem::replace(&mut self.wants, Wants::Decision) {
                    Wants::Answer(got) if got == *want => Ok(()),
                    Wants::Answer(_) => Err("another answer".into()),
                    other => Err(format!("expected an answer, but it wants {}", other.name())),
                }
            }
            Event::Reject(failure) => {
                // A host may be gone while the client thinks about its challenge.
                let state = self.server.as_ref().map(|server| server.state());
                if state != Some("exchange") {
                    self.wanted("decision")?;
                }
                self.answer(|server| server.reject(failure));
                Ok(())
            }
            Event::Accept {
                text,
                untagged,
                rest,
                capabilities,
            } => {
                self.wanted("decision")?;
                let mut welcome = Welcome::default();
                welcome.text.clone_from(text);
                welcome.untagged.clone_from(untagged);
                welcome.rest.clone_from(rest);
                welcome.capabilities.clone_from(capabilities);
                let server = self.server.take().ok_or("it was accepted already")?;
                let handover = server.accept(welcome);
                self.said.extend_from_slice(&handover.to_client);
                self.handover = Some(handover);
                Ok(())
            }
            Event::StartTls => self.quiet().and_then(|()| self.wanted("tls")),
            Event::Tls => {
                self.answer(|server| server.tls_started());
                Ok(())
            }
            Event::Host(want) => {
                let handover = self.handover.as_mut().ok_or("nothing was accepted")?;
                // What was not read at the login is relayed behind it.
                let mut got = std::mem::take(&mut handover.to_host);
                got.extend(self.queue.drain(..).flatten());
                (got == *want).then_some(()).ok_or(format!(
                    "expected {} got {}",
                    show(want),
                    show(&got)
                ))
            }
            Event::State(want) => {
                let got = self.server.as_ref().map_or("accepted", |s| s.state());
                (got == want)
                    .then_some(())
                    .ok_or(format!("expected state {want} got {got}"))
            }
            Event::Farewell(reason) => {
                let server = self.server.as_mut().ok_or("it was accepted already")?;
                self.said.extend(server.farewell(*reason));
                self.wants = Wants::Close;
                Ok(())
            }
            Event::Close => self.quiet().and_then(|()| self.wanted("close")),
        }
    }

    fn answer(&mut self, answer: impl FnOnce(&mut dyn Server)) {
        if let Some(server) = &mut self.server {
            answer(server.as_mut());
        }
        self.wants = Wants::Octets;
        self.pump();
    }

    /// Everything that was said was expected.
    fn quiet(&self) -> Result<(), String> {
        match &self.said[..] {
            [] => Ok(()),
            said => Err(format!("said besides: {}", show(said))),
        }
    }

    fn wanted(&self, want: &str) -> Result<(), String> {
        let got = self.wants.name();
        (got == want)
            .then_some(())
            .ok_or(format!("expected {want}, but it wants {got}"))
    }
}

impl Wants {
    fn name(&self) -> &'static str {
        match self {
            Wants::Octets => "octets",
            Wants::Login(_) => "login",
            Wants::Answer(_) => "answer",
            Wants::Decision => "decision",
            Wants::Tls => "tls",
            Wants::Close => "close",
        }
    }
}

fn show(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}
