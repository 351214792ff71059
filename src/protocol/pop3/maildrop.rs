//! A maildrop served from a mailbox: the TRANSACTION and UPDATE states (RFC 1939 §5, §6). No IO:
//! commands in, answers and [`Ask`]s out.
//!
//! Everything but the octets of messages is answered from the snapshot of the opening. `+OK` to RETR
//! or TOP is not said before the host began to send; after that, the only way to tell a failure is
//! to close without the final dot. Answers are written into a buffer that is given: when it is full
//! ([`ROOM`]), nothing more is made until it was emptied.

mod bodies;
mod commands;
mod update;

use std::collections::VecDeque;
use std::sync::Arc;

use super::ahead::Ahead;
use super::config::{Delete, MarkSeen, Settings, Sizes, UidlFormat};
use super::marks::Marks;
use super::reply::ResponseCode;
use super::sending::{Sending, Shown};
use super::wish::{Input, Wish};
use crate::protocol::Farewell;
use crate::protocol::imap::ask::{Access, Ask, Event, Loss, Opened};
use crate::protocol::imap::snapshot::Snapshot;

/// How full the buffer for answers may be for more to be written into it.
pub const ROOM: usize = 64 * 1024;

/// Bad commands until the session ends: clients in a loop must get out of it.
const BAD_COMMANDS: u32 = 20;

/// A maildrop in use.
pub struct Maildrop {
    snapshot: Arc<Snapshot>,
    uidl: UidlFormat,
    mark_seen: MarkSeen,
    /// What QUIT does to the marked messages.
    delete: Delete,
    sizes: Sizes,
    session: String,
    access: Option<Access>,
    deleted: Marks,
    deleted_octets: u64,
    /// Retrieved whole.
    seen: Marks,
    /// Known not to be there any more.
    gone: Marks,
    input: Input,
    doing: Doing,
    asks: VecDeque<Ask>,
    pub(super) ahead: Ahead,
    host: Host,
    bad: u32,
    /// Answer the next command with a goodbye.
    stopping: Option<Farewell>,
    /// Retrieved, but not yet written out whole.
    unflushed: Vec<usize>,
    learned: Vec<(u32, u64)>,
    counts: Counts,
    removed: Removed,
}

/// What was done, for logs and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages retrieved whole.
    pub retrieved: u64,
    /// Messages whose head was looked at.
    pub topped: u64,
    /// Messages removed.
    pub deleted: u64,
}

/// Whether the mailbox now holds the snapshot without the deleted messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removed {
    Nothing,
    All,
    Unclear,
}

/// What is going on.
enum Doing {
    /// The next command may be carried out.
    Nothing,
    /// LIST or UIDL, from this place on.
    Listing(Listing, usize),
    /// RETR or TOP, before the octets begin.
    Waiting(usize, Sending),
    /// RETR or TOP.
    Sending(usize, Sending),
    /// DELE of a message, while it is asked whether it may be.
    Deleting(usize),
    /// QUIT, with so many messages to be removed.
    Quitting,
    /// Nothing more is said.
    Over(Why),
}

#[derive(Clone, Copy)]
enum Listing {
    Sizes,
    UniqueIds,
}

/// How the connection to the host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    Fine,
    Lost,
    /// Its UIDs mean other messages now.
    Poisoned,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// QUIT was answered.
    Quit,
    /// A body could not be sent to its end: closed without the final dot.
    Truncated,
    /// The UIDs of the mailbox changed their meaning.
    Poisoned,
    /// Too many bad commands, or a line without an end.
    BadCommands,
    /// A goodbye of ours.
    Farewell(Farewell),
}

/// What a maildrop waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Commands.
    Input,
    /// The buffer to be emptied.
    Room,
    /// The host.
    Host,
    /// Nothing: the answers are to be written, then the connection closed.
    Over(Why),
}

impl Maildrop {
    /// A maildrop for a mailbox that was opened. `session` is the session's id, for failure texts.
    pub fn new(settings: &Settings, session: String, opened: Opened) -> Self {
        let Opened { snapshot, access } = opened;
        Maildrop {
            deleted: Marks::new(snapshot.len()),
            seen: Marks::new(snapshot.len()),
            gone: Marks::new(snapshot.len()),
            snapshot,
            uidl: settings.uidl.clone(),
            mark_seen: settings.mark_seen,
            delete: settings.delete,
            sizes: settings.sizes,
            session,
            access,
            deleted_octets: 0,
            input: Input::default(),
            doing: Doing::Nothing,
            asks: VecDeque::new(),
            ahead: Ahead::new(settings.prefetch),
            host: Host::Fine,
            bad: 0,
            stopping: None,
            unflushed: Vec::new(),
            learned: Vec::new(),
            counts: Counts::default(),
            removed: Removed::Nothing,
        }
    }

    /// Takes octets of the client: how many; the rest is to be given again when commands were
    /// carried out.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let used = self.input.receive(bytes);
        // Nothing else tells more of what comes next, and this is called for every chunk of a body.
        if used > 0 {
            self.read_ahead();
        }
        used
    }

    /// Whether octets of the client can be taken.
    pub fn wants_input(&self) -> bool {
        !matches!(self.doing, Doing::Over(_)) && self.input.has_room()
    }

    /// Carries out commands as far as may be.
    pub fn step(&mut self, out: &mut Vec<u8>) -> Progress {
        loop {
            match self.doing {
                Doing::Over(why) => return Progress::Over(why),
                _ if out.len() >= ROOM => return Progress::Room,
                Doing::Listing(listing, from) => self.list_on(listing, from, out),
                // Nothing is removed before what was retrieved has left: a client that is gone by
                // then may not have it.
                Doing::Nothing
                    if !self.unflushed.is_empty()
                        && self.input.waiting().next() == Some(&Wish::Quit) =>
                {
                    return Progress::Room;
                }
                Doing::Nothing => match (self.input.next(), self.stopping) {
                    (Some(wish), _) => self.command(wish, out),
                    (None, Some(reason @ Farewell::Kicked)) => {
                        self.doing = Doing::Over(Why::Farewell(reason));
                    }
                    (None, _) => return Progress::Input,
                },
                Doing::Waiting(..) | Doing::Sending(..) | Doing::Deleting(_) | Doing::Quitting => {
                    return Progress::Host;
                }
            }
        }
    }

    /// The next thing to be asked of the mailbox.
    pub fn next_ask(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    /// Takes what the mailbox tells. A chunk of a body at most doubles in `out`.
    pub fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        match event {
            // The shell's business.
            Event::Opened(_) | Event::Refused(_) | Event::Guard { .. } | Event::Released => {}
            Event::BodyStart { octets, origin } => self.body_start(octets, origin, out),
            Event::Body(octets) => self.body(&octets, out),
            Event::BodyEnd => self.body_end(out),
            Event::NoBody(why) => self.no_body(why, out),
            Event::BodyBroken(cut) => self.body_broken(cut),
            Event::Access(Access::Lost) => {
                if let Doing::Deleting(_) = self.doing {
                    self.doing = Doing::Nothing;
                    if self.host == Host::Poisoned {
                        return self.poisoned(out);
                    }
                    let text = "the mail server cannot be reached, try again later";
                    self.err(ResponseCode::SysTemp, text, out);
                }
            }
            Event::Access(access) => {
                self.access = Some(access);
                if let Doing::Deleting(index) = self.doing {
                    self.doing = Doing::Nothing;
                    self.delete(index, out);
                }
            }
            Event::Updated(outcome) => self.updated(outcome, out),
            Event::Lost(loss) => self.lost(&loss),
        }
    }

    /// A new connection to the host took the place of a lost one.
    pub fn found(&mut self) {
        if self.host == Host::Lost {
            self.host = Host::Fine;
        }
    }

    /// Every octet given out was written to the client. Whether a command waited for that: then it can
    /// be carried out now.
    pub fn flushed(&mut self) -> bool {
        let waited = !self.unflushed.is_empty();
        for index in self.unflushed.drain(..) {
            self.seen.set(index);
        }
        waited
    }

    /// The next command is answered with a goodbye, QUIT excepted. A session that is kicked ends as
    /// soon as the answer under way is out.
    pub fn stop(&mut self, reason: Farewell) {
        self.stopping = Some(reason);
    }

    /// Whether QUIT is being carried out: it is finished whatever the client does.
    pub fn is_quitting(&self) -> bool {
        matches!(self.doing, Doing::Quitting)
    }

    /// Whether QUIT was said, and may wait for its turn behind other commands.
    pub fn will_quit(&self) -> bool {
        self.is_quitting() || self.input.waiting().any(|wish| *wish == Wish::Quit)
    }

    /// Whether the UIDs of the mailbox changed their meaning.
    pub fn is_poisoned(&self) -> bool {
        self.host == Host::Poisoned
    }

    /// The messages, for a connection in place of one that was lost.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.clone()
    }

    /// What was done.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Where the session stands, for logs.
    pub fn state(&self) -> &'static str {
        match &self.doing {
            Doing::Nothing => "transaction",
            Doing::Listing(Listing::Sizes, _) => "list",
            Doing::Listing(Listing::UniqueIds, _) => "uidl",
            Doing::Waiting(_, sending) | Doing::Sending(_, sending) => match sending.shown {
                Shown::All => "retr",
                Shown::Top(_) => "top",
            },
            Doing::Deleting(_) => "dele",
            Doing::Quitting | Doing::Over(_) => "update",
        }
    }

    fn lost(&mut self, loss: &Loss) {
        self.ahead.forget();
        self.host = match loss {
            Loss::Poisoned => Host::Poisoned,
            _ => Host::Lost,
        };
    }

    fn poisoned(&mut self, out: &mut Vec<u8>) {
        self.err(
            ResponseCode::SysTemp,
            "the mailbox changed, log in again",
            out,
        );
        self.doing = Doing::Over(Why::Poisoned);
    }
}
