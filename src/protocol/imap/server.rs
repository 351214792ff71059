//! Our side of IMAP towards a mail client, from greeting to login (RFC 9051 §6.1, §6.2).
//!
//! Commands are cut out of the stream whole, literals and all, before a word of them is read; one is
//! answered at a time, so that a burst of small commands cannot make a heap of answers. What comes
//! behind a LOGIN or AUTHENTICATE stays in the buffer until the login is decided: accepted, it goes
//! to the host; rejected, it is answered here like anything else.

mod commands;
mod conversation;
mod intake;
mod offers;
#[cfg(test)]
mod tests;

use self::intake::verb;
use super::grammar::{Bad, Tag, Tokens};
use super::reply;
use crate::protocol::line::{Lines, Octets};
use crate::protocol::sasl::{self, Turn};
use crate::protocol::{Closing, Failure, FrontSettings, Login, Refused, UserName};

/// What an HTTP request starts with. A browser made to speak to us (cross-protocol attack) is cut
/// off before anything of its request is answered.
const HTTP_VERBS: [&[u8]; 10] = [
    b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE", b"PATCH", b"PRI",
];

/// The IMAP front: a [`protocol::Server`](crate::protocol::Server).
pub struct Server {
    settings: FrontSettings,
    state: State,
    lines: Lines,
    /// The command that is being read: its lines and literals up to here, line ends included.
    command: Octets,
    /// Octets of a literal still to come into `command`.
    literal: Option<usize>,
    /// To be written before anything else is done.
    out: Vec<u8>,
    /// Whether the client asked for capabilities by command: then it is told the new ones.
    capability: Asked,
    bad_commands: u32,
    /// The name in the client's certificate.
    certificate: Option<UserName>,
    /// Longest line of ID and AUTHENTICATE, and of a SASL answer: an ID may have 30 pairs of 1 KiB, a
    /// token of 12 KiB has 16 KiB of base64.
    long_line: usize,
    /// What a gateway in front of us said by ID.
    ttl: Option<u8>,
    /// A login attempt that was refused here, until it was told.
    refused: Option<Refused>,
}

enum State {
    /// Nothing was said yet.
    Greeting,
    /// Not authenticated: reads commands.
    Ready,
    /// Inside AUTHENTICATE: reads the client's answers.
    Sasl(Tag, sasl::Server),
    /// Credentials are there, to be handed out.
    LoginDue(Tag, Login),
    /// Credentials were handed out.
    Deciding(Tag),
    /// As `Deciding`, but the client answers a challenge of the host's first.
    Challenged(Tag),
    /// Its answer is there, to be handed out.
    AnswerDue(Tag, sasl::Answer),
    /// STARTTLS was answered; the handshake is to be handed out.
    TlsDue,
    /// Nothing more is read or said.
    Closed(Closing),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    Yes,
}

impl Server {
    /// A conversation that has not begun.
    pub fn new(settings: FrontSettings) -> Self {
        Server {
            lines: Lines::new(settings.line),
            settings,
            state: State::Greeting,
            command: Octets::default(),
            literal: None,
            out: Vec::new(),
            capability: Asked::No,
            bad_commands: 0,
            refused: None,
            certificate: None,
            long_line: sasl::MAX_LINE,
            ttl: None,
        }
    }

    /// The greeting (RFC 9051 §7.1.1): `* OK [CAPABILITY …] text`.
    fn greet(&mut self) {
        let text = reply::text(&self.settings.greeting, "ready");
        self.say(format_args!("* OK [{}] {text}", self.capabilities()));
        self.state = State::Ready;
    }

    fn sasl_turn(&mut self, tag: Tag, exchange: sasl::Server, turn: Turn) {
        self.state = State::Ready;
        match turn {
            Turn::Challenge(text) => {
                self.say(format_args!("+ {text}"));
                self.state = State::Sasl(tag, exchange);
            }
            Turn::Login(login) => self.state = State::LoginDue(tag, login),
            Turn::Failed => self.failed_here(&tag, Failure::Credentials),
            Turn::Aborted => {
                self.say(format_args!("{} BAD AUTHENTICATE aborted", tag.as_str()));
            }
            Turn::NotBase64 => self.bad(Some(&tag), "expected base64"),
        }
    }

    /// Answers a whole command.
    fn answer(&mut self, command: &[u8], stray: bool) {
        let mut tokens = Tokens::new(command);
        if HTTP_VERBS.contains(&tokens.clone().word()) {
            return self.close(Closing::Http);
        }
        let Some(tag) = tokens.tag() else {
            return self.bad(None, "invalid tag");
        };
        if stray {
            return self.bad(Some(&tag), "bare CR or NUL in a command");
        }
        let done = match verb(command).as_deref() {
            Some(verb) => {
                // Both are there: `verb` has just read them.
                let _ = (tokens.space(), tokens.atom());
                match verb {
                    "CAPABILITY" => self.capability(&tag, tokens),
                    "NOOP" => self.noop(&tag, tokens),
                    "LOGOUT" => self.logout(&tag, tokens),
                    "STARTTLS" => self.starttls(&tag, tokens),
                    "ID" => self.id(&tag, tokens),
                    "ENABLE" => self.enable(&tag, tokens),
                    "LOGIN" => self.login(&tag, tokens),
                    "AUTHENTICATE" => self.authenticate(&tag, tokens),
                    _ => Err(Bad("unknown command, or one that needs a login first")),
                }
            }
            None => Err(Bad("expected a command")),
        };
        if let Err(Bad(why)) = done {
            self.bad(Some(&tag), why);
        }
    }

    fn ok(&mut self, tag: &Tag, text: &str) {
        self.say(format_args!("{} OK {text}", tag.as_str()));
    }

    fn fail(&mut self, tag: &Tag, failure: &Failure) {
        let words = reply::failure(tag, failure, &self.settings.session);
        self.out.extend_from_slice(&words);
    }

    /// A login attempt that fails here.
    fn refuse(&mut self, tag: &Tag, refused: impl Into<Refused>) {
        let refused = refused.into();
        self.fail(tag, &refused.failure);
        self.refused = Some(refused);
    }

    /// Credentials that nobody can have, or a way to show them that is not offered: a failed login without
    /// asking the host. Counted as a bad command, since no other count sees it.
    fn failed_here(&mut self, tag: &Tag, refused: impl Into<Refused>) {
        self.refuse(tag, refused);
        self.count_bad();
    }

    /// BAD, counted; a tag that is none is not echoed.
    fn bad(&mut self, tag: Option<&Tag>, why: &str) {
        let tag = tag.map_or("*", Tag::as_str);
        self.say(format_args!("{tag} BAD {why}"));
        self.count_bad();
    }

    fn count_bad(&mut self) {
        self.bad_commands = self.bad_commands.saturating_add(1);
        if self.bad_commands >= self.settings.bad_commands {
            self.end(Closing::BadCommands, "too many bad commands");
        }
    }

    fn say(&mut self, line: std::fmt::Arguments) {
        self.out.extend_from_slice(line.to_string().as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// Closes with a goodbye, unless one was said already.
    fn end(&mut self, why: Closing, words: &str) {
        if !matches!(self.state, State::Closed(_)) {
            let session = self.settings.session.clone();
            self.say(format_args!("* BYE {words} ({session})"));
            self.close(why);
        }
    }

    fn close(&mut self, why: Closing) {
        self.forget();
        self.state = State::Closed(why);
    }

    /// Drops and wipes everything the client sent.
    fn forget(&mut self) {
        self.lines.clear();
        self.command = Octets::default();
        self.literal = None;
        self.capability = Asked::No;
        self.ttl = None;
    }
}
