//! What we say to the host, and in which words a failure is told.

use memchr::memmem;
use zeroize::Zeroizing;

use super::capability::{Belief, Capabilities, Pipelining};
use super::command::{self, Followed, Tag, Verb, Wiped};
use super::response::{self, Cut, Response, sanitise};
use super::{Attempt, Burst, Client, Due, Secrecy, State};
use crate::protocol::login::WITHHELD;
use crate::protocol::sasl::relayed;
use crate::protocol::{Behind, Credentials, Failure, Goal, HostStep};

impl Client {
    /// A reply that is there before the command it could be for. Looked for before the command goes
    /// out: whoever guesses at tags does not hear a password first.
    pub(super) fn unasked(&self) -> Option<Vec<u8>> {
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

    pub(super) fn hand_out(&mut self, due: Due) -> HostStep {
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

    pub(super) fn say(&mut self, bytes: Vec<u8>) {
        self.due = Some(Due::Write(Zeroizing::new(bytes), Secrecy::Kept));
    }

    pub(super) fn say_secretly(&mut self, bytes: Wiped) {
        self.due = Some(Due::Write(bytes, Secrecy::Sent));
    }

    pub(super) fn ask_capabilities(&mut self) {
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
    pub(super) fn identify(&mut self, can: &Capabilities) {
        let can = &can.without(&self.untrue);
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

    pub(super) fn log_in(&mut self, can: &Capabilities, id: Option<(Tag, Vec<u8>)>) {
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
            relies_on: attempt.relies_on,
            again: attempt.again,
            behind: match behind.is_empty() {
                true => Behind::NotSent,
                false => Behind::Sent,
            },
        });
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        self.inbox = Vec::new();
        self.state = State::Over;
        self.due = Some(Due::Failed(failure));
    }

    pub(super) fn broken(&mut self, expected: &'static str, got: &[u8]) {
        // What else such a host has said may be no better.
        self.belief = Belief::Doubtful;
        self.fail(Failure::HostProtocol {
            expected,
            got: self.quote(response::chomp(got)),
        });
    }

    /// What a host said in place of an answer, for the log. Behind credentials it may be their echo, cut
    /// short or spelt otherwise: then what kind of answer it was, and how long, is all that is told.
    pub(super) fn quote(&self, text: &[u8]) -> String {
        if self.secrecy == Secrecy::Kept {
            return sanitise(text);
        }
        let mut words = text.split(|octet| *octet == b' ').take(2);
        let kind = words.find_map(|word| {
            let mut kinds = ["OK", "NO", "BAD", "BYE", "PREAUTH", "+"].into_iter();
            kinds.find(|kind| word.eq_ignore_ascii_case(kind.as_bytes()))
        });
        let octets = text.len();
        kind.map_or_else(
            || format!("{octets} octets"),
            |kind| format!("{kind}, {octets} octets"),
        )
    }

    /// The words of a host's OK or ALERT, which users are to read. Words that repeat the password (a server that quotes the
    /// command it did not understand) are withheld.
    pub(super) fn words(&self, text: &[u8]) -> String {
        let (user, credentials) = (&self.login.user, &self.login.credentials);
        let first = match credentials {
            Credentials::Password(password) => command::plain(user, password),
            _ => relayed::first(user, credentials).unwrap_or_default(),
        };
        let first = first.trim_ascii_end();
        let repeats = credentials.is_repeated_by(text)
            || !first.is_empty() && memmem::find(text, first).is_some();
        match self.secrecy == Secrecy::Sent && repeats {
            true => WITHHELD.into(),
            false => sanitise(text),
        }
    }
}
