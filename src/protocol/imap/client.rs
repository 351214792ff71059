//! Our side towards an IMAP host, from its greeting until login (RFC 9051 §2.2, §3.1, §6.2).
//!
//! Logs in by what the host can do, in as few turns as it allows: one, where the greeting or an
//! earlier login says enough. Everything the host says is hostile until read: an answer that comes
//! before its question, anything behind the OK to STARTTLS, a greeting that is no OK end the
//! conversation before a credential is sent. What the host says is answered in `hear`, parsed in
//! `response`; what we say is in `say` and `command`; what is known of a host in `capability`.

mod capability;
mod command;
mod hear;
mod response;
mod say;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use capability::Profile;
use capability::{Belief, Capabilities, Extension, Pipelining};
use command::{Tag, Tags, Turn, Wiped};
use response::Cut;
use zeroize::Zeroizing;

use crate::protocol::sasl::{self, Relayed};
use crate::protocol::{
    self, Behind, Code, Failure, Goal, HostLogin, HostStep, READ_CHUNK, StartTls, Welcome,
};

/// Most octets a host may say before it answered the login: the promised bound of a connection
/// before login. What comes in the same chunk as the answer does not count.
const MAX_BEFORE_LOGIN: usize = 64 * 1024;

/// Most octets of untagged responses kept for the client; see [`Welcome::untagged`].
const MAX_UNTAGGED: usize = 8 * 1024;

/// Longest greeting that is remembered, to be compared with the next one.
const MAX_GREETING: usize = 1024;

/// An IMAP host's login conversation.
pub struct Client {
    login: HostLogin,
    goal: Goal,
    /// What an earlier login found out; looked at once the greeting is known.
    remembered: Option<Profile>,
    state: State,
    /// What is to be handed out by the next `step`.
    due: Option<Due>,
    inbox: Vec<u8>,
    /// How many octets of the inbox came before the last command went out: a reply that begins
    /// among them is no reply.
    early: usize,
    /// Octets received so far.
    received: usize,
    tags: Tags,
    greeting: Vec<u8>,
    capabilities: Option<Capabilities>,
    /// After login.
    after: Option<Capabilities>,
    untagged: Vec<u8>,
    alert: Option<String>,
    /// A BYE came: the connection is about to close.
    bye: Option<Bye>,
    secrecy: Secrecy,
    pipelining: Pipelining,
    /// Of what the host said it can do.
    source: Source,
    belief: Belief,
    untrue: Vec<Extension>,
}

/// Where it is known from what the host can do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It said so on this connection.
    Host,
    /// From an earlier login.
    Memory,
}

/// Where the conversation stands.
enum State {
    /// Nothing was said by either side.
    Greeting,
    /// STARTTLS was sent.
    StartTls(Tag),
    /// The TLS handshake runs: nothing may come in clear.
    Handshake,
    /// CAPABILITY was sent.
    Capability(Tag),
    /// ID was sent alone, to a host that takes one command at a time.
    Id(Tag),
    /// The login, or its first part, was sent.
    Login(Attempt),
    /// The client gave an exchange up: the host is told, nothing more is heard of it.
    Aborted,
    /// `Done` or `Failed` was handed out or is due.
    Over,
}

/// A login on its way.
struct Attempt {
    tag: Tag,
    /// An ID in the same burst that is not answered yet.
    id: Option<Tag>,
    /// What is sent after each `+`.
    turns: VecDeque<Turn>,
    /// The exchange between client and host, where the credentials are relayed.
    relayed: Option<Relayed>,
    behind: Behind,
    burst: Burst,
    /// What the host announced, and the login takes its word for.
    relies_on: Option<Extension>,
    /// The initial response, for a host that asks for it all the same.
    again: Option<Wiped>,
}

/// How many commands went out in the login's write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Burst {
    Single,
    Several,
}

impl Attempt {
    /// Whether it looks as if the host lost commands of a burst: it answered the first one and fell
    /// silent, or had something behind the login to choke on. A host that answers nothing is slow
    /// or gone, which says nothing about bursts.
    fn stuck_in_burst(&self) -> bool {
        self.burst == Burst::Several && (self.id.is_none() || self.behind == Behind::Sent)
    }
}

/// Whether credentials have been handed out to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    Kept,
    Sent,
}

/// What the host said goodbye with.
struct Bye {
    words: String,
    /// Why, if it has a code that we know.
    code: Option<Code>,
}

enum Due {
    Write(Wiped, Secrecy),
    Exchange(sasl::Message),
    Done(Box<Welcome>),
    Failed(Failure),
}

impl Client {
    /// A conversation that has not begun. `remembered` is what [`Client::learned`] gave after an
    /// earlier login on the same endpoint.
    pub fn new(login: HostLogin, remembered: Option<Profile>) -> Self {
        Client {
            tags: Tags::new(login.seed),
            pipelining: Pipelining::Kept,
            login,
            goal: Goal::LogIn,
            remembered,
            state: State::Greeting,
            due: None,
            inbox: Vec::new(),
            early: 0,
            received: 0,
            greeting: Vec::new(),
            capabilities: None,
            after: None,
            untagged: Vec::new(),
            alert: None,
            bye: None,
            secrecy: Secrecy::Kept,
            source: Source::Host,
            belief: Belief::Sure,
            untrue: Vec::new(),
        }
    }

    /// One that ends when it is known what the host can do.
    pub fn look(starttls: StartTls, seed: u128, remembered: Option<Profile>) -> Self {
        Client {
            goal: Goal::Look,
            ..Client::new(HostLogin::nobody(starttls, seed), remembered)
        }
    }

    /// How many octets the host has said.
    pub fn heard(&self) -> usize {
        self.received
    }

    /// What this conversation found out about the host, for the next one; also when it failed or was
    /// given up. None: not even a greeting came.
    pub fn learned(&self) -> Option<Profile> {
        if self.greeting.is_empty() {
            return None;
        }
        let known = self.known();
        Some(Profile {
            greeting: self.greeting.clone(),
            before: self.capabilities.clone(),
            belief: match self.state {
                // Given up in the middle, because it took too long.
                State::Login(_) => Belief::Doubtful,
                _ => self.belief,
            },
            untrue: self.untrue.clone(),
            after: (self.after.clone()).or_else(|| known?.after.clone()),
            pipelining: match &self.state {
                State::Login(attempt) if attempt.stuck_in_burst() => Pipelining::Lost,
                _ => self.pipelining,
            },
        })
    }

    /// What was remembered, if the host is still the one it was learned from.
    fn known(&self) -> Option<&Profile> {
        self.remembered
            .as_ref()
            .filter(|profile| profile.greeting == self.greeting)
    }
}

impl protocol::Client for Client {
    fn receive(&mut self, bytes: &[u8]) {
        self.received = self.received.saturating_add(bytes.len());
        match self.state {
            State::Over | State::Aborted => {}
            State::Handshake => self.broken("TLS handshake", bytes),
            _ if self.received > MAX_BEFORE_LOGIN + READ_CHUNK => {
                self.broken("an answer to the login within 64 KiB", b"more");
            }
            _ => self.inbox.extend_from_slice(bytes),
        }
    }

    fn closed(&mut self) {
        if matches!(self.state, State::Over) {
            return;
        }
        if let State::Login(attempt) = &self.state {
            self.belief = Belief::Doubtful;
            if attempt.stuck_in_burst() {
                self.pipelining = Pipelining::Lost;
            }
        }
        let cause = match (self.bye.take(), self.secrecy) {
            // As good an answer to the login as any.
            (
                Some(Bye {
                    code: Some(code), ..
                }),
                Secrecy::Sent,
            ) => return self.refused(code),
            (Some(Bye { words, .. }), _) => format!("it said goodbye: {words}"),
            (None, _) => format!("it closed the connection in state={}", self.state()),
        };
        self.fail(Failure::Unreachable { cause });
    }

    fn step(&mut self) -> HostStep {
        loop {
            if let Some(due) = self.due.take() {
                if let (Due::Write(..), Some(unasked)) = (&due, self.unasked()) {
                    self.broken("no reply before the command", &unasked);
                    continue;
                }
                return self.hand_out(due);
            }
            match self.state {
                State::Handshake => return HostStep::StartTls,
                State::Over => return HostStep::Read,
                State::Aborted => {
                    self.fail(Failure::Aborted);
                    continue;
                }
                _ => {}
            }
            match response::cut(&self.inbox) {
                Cut::More => return HostStep::Read,
                Cut::TooLong => {
                    let got = std::mem::take(&mut self.inbox);
                    self.broken("a response of at most 16 KiB", &got);
                }
                Cut::Whole(end) => {
                    let rest = self.inbox.split_off(end.min(self.inbox.len()));
                    let response = std::mem::replace(&mut self.inbox, rest);
                    let early = self.early > 0;
                    self.early = self.early.saturating_sub(response.len());
                    self.take(&response, early);
                }
            }
        }
    }

    fn tls_started(&mut self) {
        // Whatever came in clear may have been said by anyone (RFC 9051 §6.2.1): nothing of it stays.
        self.inbox.clear();
        self.early = 0;
        self.untagged.clear();
        self.alert = None;
        self.bye = None;
        self.capabilities = None;
        self.ask_capabilities();
    }

    fn answer(&mut self, answer: sasl::Answer) {
        if !matches!(self.state, State::Login(_)) {
            return;
        }
        match answer {
            sasl::Answer::Message(message) => {
                let text = message.to_base64();
                let mut line = Zeroizing::new(Vec::with_capacity(text.len().saturating_add(2)));
                line.extend_from_slice(&text);
                line.extend_from_slice(b"\r\n");
                self.say_secretly(line);
            }
            sasl::Answer::Abort => {
                self.say(b"*\r\n".to_vec());
                self.state = State::Aborted;
            }
        }
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Greeting => "greeting",
            State::StartTls(_) => "starttls",
            State::Handshake => "tls",
            State::Capability(_) => "capability",
            State::Id(_) => "id",
            State::Login(_) | State::Aborted => "login",
            State::Over => "over",
        }
    }

    fn credentials_sent(&self) -> bool {
        self.secrecy == Secrecy::Sent
    }
}
