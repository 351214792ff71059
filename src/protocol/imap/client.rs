//! Our side towards an IMAP host, from its greeting until login (RFC 9051 §2.2, §3.1, §6.2).
//!
//! Logs in by what the host can do, in as few turns as it allows: one, where the greeting or an
//! earlier login says enough. Everything the host says is hostile until read: an answer that comes
//! before its question, anything behind the OK to STARTTLS, a greeting that is no OK end the
//! conversation before a credential is sent. What the host says is answered in `hear`, parsed in
//! `response`; what we say is in `command`; what is known of a host in `capability`.

mod capability;
mod command;
mod hear;
mod response;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use capability::Profile;
use capability::{Capabilities, Pipelining};
use command::{Followed, Tag, Tags, Verb, Wiped};
use memchr::memmem;
use response::{Cut, Response, sanitise};
use zeroize::Zeroizing;

use crate::protocol::sasl::{self, Relayed, relayed};
use crate::protocol::{
    self, Behind, Credentials, Failure, Goal, HostLogin, HostStep, READ_CHUNK, StartTls, Welcome,
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
    /// The words of a BYE: the connection is about to close.
    bye: Option<String>,
    secrecy: Secrecy,
    pipelining: Pipelining,
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
    turns: VecDeque<Wiped>,
    /// The exchange between client and host, where the credentials are relayed.
    relayed: Option<Relayed>,
    behind: Behind,
    burst: Burst,
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
        }
    }

    /// One that ends when it is known what the host can do.
    pub fn look(starttls: StartTls, seed: u64, remembered: Option<Profile>) -> Self {
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
        if let State::Login(attempt) = &self.state
            && attempt.stuck_in_burst()
        {
            self.pipelining = Pipelining::Lost;
        }
        let cause = match self.bye.take() {
            Some(words) => format!("it said goodbye: {words}"),
            None => format!("it closed the connection in state={}", self.state()),
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

/// What we say.
impl Client {
    /// A reply that is there before the command it could be for. Looked for before the command goes
    /// out: whoever guesses at tags does not hear a password first.
    fn unasked(&self) -> Option<Vec<u8>> {
        let mut rest = &self.inbox[..];
        while let Cut::Whole(end) = response::cut(rest) {
            let (one, behind) = rest.split_at_checked(end)?;
            if !matches!(response::parse(one), Response::Untagged(_)) {
                return Some(one.to_vec());
            }
            rest = behind;
        }
        None
    }

    fn hand_out(&mut self, due: Due) -> HostStep {
        match due {
            Due::Write(mut bytes, secrecy) => {
                self.early = self.inbox.len();
                if secrecy == Secrecy::Sent {
                    self.secrecy = Secrecy::Sent;
                }
                HostStep::Write(std::mem::take(&mut *bytes))
            }
            Due::Exchange(challenge) => HostStep::Exchange(challenge),
            Due::Done(welcome) => HostStep::Done(welcome),
            Due::Failed(failure) => HostStep::Failed(failure),
        }
    }

    fn say(&mut self, bytes: Vec<u8>) {
        self.due = Some(Due::Write(Zeroizing::new(bytes), Secrecy::Kept));
    }

    fn say_secretly(&mut self, bytes: Wiped) {
        self.due = Some(Due::Write(bytes, Secrecy::Sent));
    }

    fn ask_capabilities(&mut self) {
        let tag = self.tags.next();
        self.say(tag.line("CAPABILITY"));
        self.state = State::Capability(tag);
    }

    /// Whether several commands may go out at once. IMAP has always allowed it (RFC 9051 §5.5), but
    /// servers older than these capabilities were seen to lose what they had read when another
    /// process took the connection over at login.
    fn bears_bursts(&self, can: &Capabilities) -> bool {
        self.pipelining == Pipelining::Kept
            && ["SASL-IR", "LITERAL+", "LITERAL-", "IMAP4REV2"]
                .iter()
                .any(|it| can.has(it))
    }

    /// Capabilities are known: tells who the client is, if the host wants to hear it, and logs in.
    fn identify(&mut self, can: &Capabilities) {
        if self.goal == Goal::Look {
            self.state = State::Over;
            self.due = Some(Due::Done(Box::default()));
            return;
        }
        let origin = self.login.origin.take().filter(|_| can.has("ID"));
        let Some(origin) = origin else {
            return self.log_in(can, None);
        };
        let tag = self.tags.next();
        let id = command::id(&tag, &origin);
        if self.bears_bursts(can) {
            self.log_in(can, Some((tag, id)));
        } else {
            self.say(id);
            self.state = State::Id(tag);
        }
    }

    fn log_in(&mut self, can: &Capabilities, id: Option<(Tag, Vec<u8>)>) {
        let tag = self.tags.next();
        let followed = match !self.login.behind.is_empty() && self.bears_bursts(can) {
            true => Followed::ByCommands,
            false => Followed::ByNothing,
        };
        let (user, credentials) = (&self.login.user, &self.login.credentials);
        let attempt = match command::attempt(tag, can, user, credentials, followed) {
            Ok(attempt) => attempt,
            Err(failure) => return self.fail(failure),
        };
        // Nor would it do behind a relayed login: it would be read as the client's answer, if the host
        // had a question.
        let behind = match followed == Followed::ByCommands
            && attempt.verb == Verb::Login
            && attempt.turns.is_empty()
        {
            true => std::mem::take(&mut self.login.behind),
            false => Vec::new(),
        };
        let (id, words) = id.map_or((None, Vec::new()), |(tag, words)| (Some(tag), words));
        let mut burst = Zeroizing::new(Vec::with_capacity(
            words
                .len()
                .saturating_add(attempt.first.len())
                .saturating_add(behind.len()),
        ));
        burst.extend_from_slice(&words);
        burst.extend_from_slice(&attempt.first);
        burst.extend_from_slice(&behind);
        // The first part of a login in several turns shows no credentials yet; to count it as if it
        // did costs a retry that a host in that state hardly deserves.
        self.say_secretly(burst);
        self.state = State::Login(Attempt {
            tag: attempt.tag,
            burst: match id.is_some() || !behind.is_empty() {
                true => Burst::Several,
                false => Burst::Single,
            },
            id,
            turns: attempt.turns,
            relayed: attempt.relayed,
            behind: match behind.is_empty() {
                true => Behind::NotSent,
                false => Behind::Sent,
            },
        });
    }

    fn fail(&mut self, failure: Failure) {
        self.inbox = Vec::new();
        self.state = State::Over;
        self.due = Some(Due::Failed(failure));
    }

    fn broken(&mut self, expected: &'static str, got: &[u8]) {
        self.fail(Failure::HostProtocol {
            expected,
            got: self.words(response::chomp(got)),
        });
    }

    /// A host's words for a log or a user. Words that repeat the password (a server that quotes the
    /// command it did not understand) are withheld.
    fn words(&self, text: &[u8]) -> String {
        let (user, credentials) = (&self.login.user, &self.login.credentials);
        let first = match credentials {
            Credentials::Password(password) => command::plain(user, password),
            _ => relayed::first(user, credentials).unwrap_or_default(),
        };
        let unescaped: Wiped =
            Zeroizing::new(text.iter().copied().filter(|b| *b != b'\\').collect());
        let repeats = |secret: &[u8]| {
            !secret.is_empty()
                && [text, &unescaped]
                    .iter()
                    .any(|said| memmem::find(said, secret).is_some())
        };
        let secret = match credentials {
            Credentials::Password(password) => password.reveal(),
            Credentials::Token(token) => token.bearer(),
            Credentials::Scram(_) | Credentials::Certificate => b"",
        };
        match self.secrecy == Secrecy::Sent && (repeats(secret) || repeats(first.trim_ascii_end()))
        {
            true => "(withheld: it repeats the password)".into(),
            false => sanitise(text),
        }
    }
}
