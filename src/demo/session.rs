//! One client's conversation: octets in, steps out; no IO and no waiting. Reads the commands one
//! after the other, keeps the state (RFC 3501 §3), and answers what needs no selected mailbox;
//! `login` and
//! `selected` have the rest.

use std::sync::Arc;

use bytes::Bytes;

use super::account::Full;
use super::command::Needs;
use super::grammar;
use super::input::{Frame, Input, Kind, Piece, TooLong};
use super::job::Job;
use super::output::Output;
use super::parse::{Bad, Cursor};
use super::store::{MESSAGE, QUOTA, Room, Store};
use super::view::{Expunges, View};

/// Answers are handed out when so much has gathered, so that a client that sends many commands
/// at once cannot fill the memory.
const GATHER: usize = 64 * 1024;

/// What is offered before login.
pub(super) const BEFORE_LOGIN: &str = "IMAP4rev1 SASL-IR LITERAL+ ID ENABLE AUTH=PLAIN";
/// What is offered after login.
pub(super) const AFTER_LOGIN: &str = "IMAP4rev1 LITERAL+ ID ENABLE NAMESPACE IDLE UNSELECT CHILDREN \
    SPECIAL-USE UIDPLUS MOVE ESEARCH STATUS=SIZE APPENDLIMIT=8388608";
const _: () = assert!(MESSAGE == 8_388_608);

/// What the session wants done next.
#[derive(Debug)]
pub(super) enum Step {
    /// Octets from the client are needed.
    Read,
    /// Octets from the client, or a change of the store: then [`Session::wake`].
    Idle,
    /// Write these.
    Write(Vec<Bytes>),
    /// A long search goes on: others may have their turn first.
    Again,
    /// It is over.
    Close,
}

/// A conversation with one client.
pub(super) struct Session {
    pub(super) store: Arc<Store>,
    pub(super) out: Output,
    pub(super) state: State,
    input: Input,
    pub(super) mode: Mode,
    job: Option<Job>,
    /// Room for the message that is on its way in.
    room: Option<Room>,
    /// What is answered to a command whose literal was thrown away.
    refused: Option<&'static str>,
}

/// RFC 3501 §3.
pub(super) enum State {
    NotAuthenticated,
    Authenticated,
    Selected(View),
    Logout,
}

/// How the client's next octets are to be read.
pub(super) enum Mode {
    Commands,
    /// A line of SASL for the command of that tag.
    Sasl(String),
    /// `DONE` for the IDLE of that tag.
    Idle(String),
}

impl Session {
    /// A conversation that starts with the greeting.
    pub(super) fn new(store: Arc<Store>) -> Self {
        let mut out = Output::default();
        let ready = "the built-in demo store is ready: user demo, password demo";
        out.line(format_args!("* OK [CAPABILITY {BEFORE_LOGIN}] {ready}"));
        Session {
            store,
            out,
            state: State::NotAuthenticated,
            input: Input::default(),
            mode: Mode::Commands,
            job: None,
            room: None,
            refused: None,
        }
    }

    /// Takes octets from the client.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.input.receive(bytes);
    }

    /// The store may have changed: an idling client is told (RFC 2177).
    pub(super) fn wake(&mut self) {
        if matches!(self.mode, Mode::Idle(_)) {
            self.sync(Expunges::Told);
        }
    }

    /// What to do next.
    pub(super) fn step(&mut self) -> Step {
        loop {
            if self.out.len() >= GATHER {
                return Step::Write(self.out.take());
            }
            if let Some(job) = self.job.take() {
                self.job = job.advance(self);
                if matches!(self.job, Some(Job::Search(_))) {
                    return Step::Again;
                }
                continue;
            }
            let more = match self.state {
                State::Logout => Some(Step::Close),
                _ => self.next(),
            };
            match more {
                None => {}
                Some(_) if self.out.len() > 0 => return Step::Write(self.out.take()),
                Some(step) => return step,
            }
        }
    }

    /// Deals with one thing the client sent; or says what is needed first.
    fn next(&mut self) -> Option<Step> {
        if let Mode::Commands = self.mode {
            match self.input.frame() {
                Frame::More => return Some(Step::Read),
                Frame::Command(pieces) => self.command(&pieces),
                Frame::Announced { size, kind } => self.literal(size, kind),
                Frame::TooLong => self.bye("a command may have 64 KiB"),
            }
            return None;
        }
        let line = match self.input.line() {
            Err(TooLong) => {
                self.bye("a line may have 64 KiB");
                return None;
            }
            Ok(line) => line,
        };
        match (std::mem::replace(&mut self.mode, Mode::Commands), line) {
            (Mode::Commands, _) => None,
            (Mode::Sasl(tag), Some(line)) => {
                self.sasl(&tag, &line);
                None
            }
            (Mode::Idle(tag), Some(line)) => {
                match line.eq_ignore_ascii_case(b"DONE") {
                    true => self.finish(&tag, "OK IDLE done"),
                    false => self.finish(&tag, "BAD expected DONE"),
                }
                None
            }
            (mode @ Mode::Sasl(_), None) => {
                self.mode = mode;
                Some(Step::Read)
            }
            (mode @ Mode::Idle(_), None) => {
                self.mode = mode;
                Some(Step::Idle)
            }
        }
    }

    /// Decides on a literal before it is sent (RFC 3501 §4.3, RFC 7888).
    fn literal(&mut self, size: u64, kind: Kind) {
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        let logged_in = !matches!(self.state, State::NotAuthenticated);
        let refusal = if logged_in && grammar::awaits_message(self.input.pieces()) {
            self.room = None;
            if length > MESSAGE {
                "NO [TOOBIG] a message may have 8 MiB here"
            } else if let Some(room) = self.store.reserve(length) {
                self.room = Some(room);
                return self.take_literal(length, 0, kind);
            } else {
                refusal(Full::Quota)
            }
        } else if length <= self.input.room() {
            return self.take_literal(length, length, kind);
        } else {
            "BAD a command may have 64 KiB"
        };
        match kind {
            Kind::Synchronizing => {
                let tag = grammar::tag(&mut Cursor::new(self.input.pieces()));
                self.input.forget();
                self.refused = None;
                match tag {
                    Some(tag) => self.finish(&tag, refusal),
                    None => self.bad_tag(),
                }
            }
            // It is on its way: it must be read before the answer, or it would be taken for
            // commands.
            Kind::NonSynchronizing if length <= QUOTA => {
                self.refused.get_or_insert(refusal);
                self.input.skip(size);
            }
            Kind::NonSynchronizing => self.bye("the literal is too long"),
        }
    }

    fn take_literal(&mut self, length: usize, counted: usize, kind: Kind) {
        self.input.keep(length, counted);
        if kind == Kind::Synchronizing {
            self.out.bytes(b"+ go ahead\r\n");
        }
    }

    fn command(&mut self, pieces: &[Piece]) {
        let refused = self.refused.take();
        let room = self.room.take();
        let Some((tag, command)) = grammar::parse(pieces) else {
            return self.bad_tag();
        };
        let command = match (refused, command) {
            (Some(refused), _) => return self.finish(&tag, refused),
            (None, Err(Bad(text))) => return self.finish(&tag, &format!("BAD {text}")),
            (None, Ok(command)) => command,
        };
        let wrong = match (command.needs(), &self.state) {
            (Needs::NoLogin, State::Authenticated | State::Selected(_)) => "BAD logged in already",
            (Needs::Login | Needs::Mailbox, State::NotAuthenticated) => "BAD log in first",
            (Needs::Mailbox, State::Authenticated) => "BAD select a mailbox first",
            _ => return self.execute(&tag, command, room),
        };
        self.finish(&tag, wrong);
    }

    /// Starts something that takes more than one step.
    pub(super) fn begin(&mut self, job: Job) {
        self.job = Some(job);
    }

    /// Tells the client what others did to its mailbox.
    pub(super) fn sync(&mut self, expunges: Expunges) {
        if let State::Selected(view) = &mut self.state {
            let out = &mut self.out;
            self.store.with(|account| view.sync(account, expunges, out));
        }
    }

    /// Ends a command: what others did, then the tagged reply.
    pub(super) fn finish(&mut self, tag: &str, reply: &str) {
        self.sync(Expunges::Told);
        self.reply(tag, reply);
    }

    /// The tagged reply.
    pub(super) fn reply(&mut self, tag: &str, reply: &str) {
        self.out.line(format_args!("{tag} {reply}"));
    }

    /// A tag that is none is not repeated.
    fn bad_tag(&mut self) {
        self.out
            .line(format_args!("* BAD expected a tag and a command"));
    }

    fn bye(&mut self, why: &str) {
        self.out.line(format_args!("* BYE {why}"));
        self.state = State::Logout;
    }
}

/// The reply to a command there is no room for.
pub(super) fn refusal(full: Full) -> &'static str {
    match full {
        Full::Quota => "NO [OVERQUOTA] the demo store is full: it holds 64 MiB in all",
        Full::Keywords => "NO [LIMIT] the demo store has no room for another keyword",
        Full::Uids => "NO [LIMIT] the mailbox has used up its UIDs",
    }
}
