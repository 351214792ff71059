//! A maildrop served from a mailbox: the TRANSACTION and UPDATE states (RFC 1939 §5, §6). No IO:
//! commands in, answers and [`Ask`]s out.
//!
//! Everything but the octets of messages is answered from the snapshot of the opening. `+OK` to RETR
//! or TOP is not said before the host began to send; after that, the only way to tell a failure is
//! to close without the final dot. Answers are written into a buffer that is given: when it is full
//! ([`ROOM`]), nothing more is made until it was emptied.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;

use super::ahead::Ahead;
use super::config::{MarkSeen, Settings, Sizes, UidlFormat};
use super::grammar::MessageNumber;
use super::marks::Marks;
use super::reply::{self, Charset, ResponseCode};
use super::sending::{Sending, Shown, Unlike};
use super::unique_id::Source;
use super::wish::{Input, Wish};
use crate::protocol::Farewell;
use crate::protocol::imap::ask::{
    Access, Ask, Cut, Event, Fetch, Loss, NoBody, Opened, Outcome, Span, Update, When,
};
use crate::protocol::imap::snapshot::{Message, Snapshot};

/// How full the buffer for answers may be for more to be written into it.
pub const ROOM: usize = 32 * 1024;

/// Bad commands until the session ends: clients in a loop must get out of it.
const BAD_COMMANDS: u32 = 20;

/// A maildrop in use.
pub struct Maildrop {
    snapshot: Arc<Snapshot>,
    uidl: UidlFormat,
    mark_seen: MarkSeen,
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
        if matches!(self.doing, Doing::Waiting(..) | Doing::Sending(..)) {
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
                Doing::Nothing => match self.input.next() {
                    Some(wish) => self.command(wish, out),
                    None => return Progress::Input,
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
            Event::Opened(_) | Event::Refused(_) => {}
            Event::BodyStart { octets, origin } => self.body_start(octets, origin, out),
            Event::Body(octets) => self.body(&octets, out),
            Event::BodyEnd => self.body_end(out),
            Event::NoBody(why) => self.no_body(why, out),
            Event::BodyBroken(cut) => self.body_broken(cut),
            Event::Access(Access::Lost) => {
                if let Doing::Deleting(_) = self.doing {
                    self.doing = Doing::Nothing;
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

    /// Every octet given out was written to the client.
    pub fn flushed(&mut self) {
        for index in self.unflushed.drain(..) {
            self.seen.set(index);
        }
    }

    /// The next command is answered with a goodbye, QUIT excepted. A session that is kicked ends as
    /// soon as the answer under way is out.
    pub fn stop(&mut self, reason: Farewell) {
        self.stopping = Some(reason);
        if reason == Farewell::Kicked && matches!(self.doing, Doing::Nothing) {
            self.doing = Doing::Over(Why::Farewell(reason));
        }
    }

    /// The client is gone or the session over: what is still to be done in the mailbox. Only flags;
    /// without QUIT nothing is removed.
    pub fn leave(&mut self) -> Option<Update> {
        let seen = self.take_seen();
        if seen.is_empty() || self.host == Host::Poisoned {
            return None;
        }
        Some(Update {
            seen,
            ..Update::default()
        })
    }

    /// Whether QUIT is being carried out: it is finished whatever the client does.
    pub fn is_quitting(&self) -> bool {
        matches!(self.doing, Doing::Quitting)
    }

    /// What the mailbox holds now, as far as it is certain, for the next session.
    pub fn remainder(&self) -> Option<Arc<Snapshot>> {
        if self.host == Host::Poisoned || self.gone.count() > 0 {
            return None;
        }
        let mut left = match self.removed {
            Removed::Unclear => return None,
            Removed::Nothing => self.snapshot.clone(),
            Removed::All => {
                let gone = self.deleted.iter().filter_map(|at| self.snapshot.get(at));
                let gone = gone.map(|message| message.uid).collect();
                Arc::new(self.snapshot.without(&gone))
            }
        };
        if !self.learned.is_empty() {
            let left = Arc::make_mut(&mut left);
            left.learn(self.learned.iter().copied());
        }
        Some(left)
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

    fn command(&mut self, wish: Wish, out: &mut Vec<u8>) {
        if let Some(reason) = self.stopping
            && wish != Wish::Quit
        {
            let text = match reason {
                Farewell::Kicked => "the session was ended, try again later",
                _ => "the server is shutting down, try again later",
            };
            self.err(ResponseCode::SysTemp, text, out);
            self.doing = Doing::Over(Why::Farewell(reason));
            return;
        }
        match wish {
            Wish::Capa => self.capa(out),
            Wish::Stat => self.stat(out),
            Wish::List(None) => self.list(Listing::Sizes, out),
            Wish::Uidl(None) => self.list(Listing::UniqueIds, out),
            Wish::List(Some(number)) => self.list_one(Listing::Sizes, number, out),
            Wish::Uidl(Some(number)) => self.list_one(Listing::UniqueIds, number, out),
            Wish::Retr(number) => self.retr(number, out),
            Wish::Top(number, lines) => self.top(number, lines, out),
            Wish::Dele(number) => self.dele(number, out),
            Wish::Rset => self.rset(out),
            Wish::Noop => out.extend_from_slice(b"+OK\r\n"),
            Wish::Quit => self.quit(out),
            // RFC 6856 §2 has it before login only; Outlook sends it here.
            Wish::Utf8 => out.extend_from_slice(b"+OK\r\n"),
            Wish::Lang(answer) => out.extend_from_slice(&answer),
            Wish::Misplaced => out.extend_from_slice(b"-ERR not after login\r\n"),
            Wish::Bad(expected) => {
                let _ = write!(out, "-ERR expected {expected}\r\n");
                self.bad(out);
            }
            Wish::Unknown => {
                out.extend_from_slice(b"-ERR unknown command\r\n");
                self.bad(out);
            }
            Wish::TooLong => {
                out.extend_from_slice(b"-ERR line too long\r\n");
                self.doing = Doing::Over(Why::BadCommands);
            }
        }
    }

    /// CAPA (RFC 2449 §5): `"CAPA"`. The same in both states, as that section asks.
    fn capa(&mut self, out: &mut Vec<u8>) {
        let lines = reply::CAPABILITIES
            .into_iter()
            .chain(reply::LOGIN_CAPABILITIES);
        out.extend(reply::list("capabilities follow", lines));
    }

    /// STAT (RFC 1939 §5): `"STAT"`. Messages marked as deleted are not counted.
    fn stat(&mut self, out: &mut Vec<u8>) {
        let (count, octets) = self.sums();
        let _ = write!(out, "+OK {count} {octets}\r\n");
    }

    /// LIST (RFC 1939 §5), UIDL (RFC 1939 §7): `"LIST"`, `"UIDL"`.
    fn list(&mut self, listing: Listing, out: &mut Vec<u8>) {
        let (count, octets) = self.sums();
        let _ = match listing {
            Listing::Sizes => write!(out, "+OK {count} messages ({octets} octets)\r\n"),
            Listing::UniqueIds => write!(out, "+OK {count} messages\r\n"),
        };
        self.doing = Doing::Listing(listing, 0);
    }

    /// Lines of a listing, until the buffer is full: a list of a million is never held.
    fn list_on(&mut self, listing: Listing, from: usize, out: &mut Vec<u8>) {
        let mut index = from;
        while out.len() < ROOM {
            let Some(message) = self.snapshot.get(index) else {
                out.extend_from_slice(b".\r\n");
                self.doing = Doing::Nothing;
                return;
            };
            if !self.deleted.has(index) {
                self.line(listing, index, message, out);
            }
            index += 1;
        }
        self.doing = Doing::Listing(listing, index);
    }

    /// LIST and UIDL with an argument: `"LIST" SP msg`, `"UIDL" SP msg`.
    fn list_one(&mut self, listing: Listing, number: MessageNumber, out: &mut Vec<u8>) {
        let Some((index, message)) = self.message(number, out) else {
            return;
        };
        out.extend_from_slice(b"+OK ");
        self.line(listing, index, message, out);
    }

    fn line(&self, listing: Listing, index: usize, message: Message, out: &mut Vec<u8>) {
        decimal(index as u64 + 1, out);
        out.push(b' ');
        match listing {
            Listing::Sizes => decimal(message.size, out),
            Listing::UniqueIds => {
                let source = Source {
                    uid: message.uid,
                    uidvalidity: self.snapshot.uid_validity,
                    email_id: self.snapshot.email_id(index),
                };
                if self.uidl.write(source, out).is_err() {
                    // A single message without EMAILID on a host that has them.
                    let _ = UidlFormat::Cyrus.write(source, out);
                }
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// RETR (RFC 1939 §5): `"RETR" SP msg`.
    fn retr(&mut self, number: MessageNumber, out: &mut Vec<u8>) {
        let Some((index, message)) = self.message(number, out) else {
            return;
        };
        self.start(index, message, Sending::whole(), out);
    }

    /// TOP (RFC 1939 §7): `"TOP" SP msg SP n`.
    fn top(&mut self, number: MessageNumber, lines: u32, out: &mut Vec<u8>) {
        let Some((index, message)) = self.message(number, out) else {
            return;
        };
        self.start(index, message, Sending::top(lines, message.size), out);
    }

    fn start(&mut self, index: usize, message: Message, sending: Sending, out: &mut Vec<u8>) {
        if self.gone.has(index) {
            out.extend_from_slice(b"-ERR message expunged\r\n");
            return self.bad(out);
        }
        if self.host == Host::Poisoned {
            return self.poisoned(out);
        }
        let span = sending.span;
        self.asks
            .push_back(Ask::Fetch(fetch(message, span), When::Now));
        self.ahead.asked(index, span, sending.lines);
        self.doing = Doing::Waiting(index, sending);
        self.read_ahead();
    }

    /// Asks for what will probably be asked for next.
    fn read_ahead(&mut self) {
        if self.host != Host::Fine {
            return;
        }
        let (index, sending) = match &self.doing {
            Doing::Waiting(index, sending) | Doing::Sending(index, sending) => (*index, sending),
            _ => return,
        };
        let lines = sending.lines;
        let (snapshot, deleted, gone) = (&self.snapshot, &self.deleted, &self.gone);
        let there = |index: &usize| {
            let listed = snapshot.get(*index).is_some();
            listed && !deleted.has(*index) && !gone.has(*index)
        };
        let said = self.input.waiting().filter_map(|wish| {
            let (number, lines) = match wish {
                Wish::Retr(number) => (number, None),
                Wish::Top(number, lines) => (number, Some(*lines)),
                _ => return None,
            };
            let index = number.index().filter(there)?;
            let message = snapshot.get(index)?;
            Some((index, Sending::span(lines, message.size)))
        });
        let after = (index + 1..snapshot.len())
            .filter(there)
            .filter_map(|index| Some((index, Sending::span(lines, snapshot.get(index)?.size))));
        let asks = &mut self.asks;
        self.ahead.plan(
            said,
            after,
            |index| snapshot.get(index).map_or(0, |message| message.size),
            |index, span| {
                if let Some(message) = snapshot.get(index) {
                    asks.push_back(Ask::Fetch(fetch(message, span), When::Ahead));
                }
            },
        );
    }

    fn body_start(&mut self, octets: u64, origin: u64, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Waiting(index, mut sending) => {
                let _ = match sending.shown {
                    Shown::All => write!(out, "+OK {octets} octets\r\n"),
                    Shown::Top(_) => write!(out, "+OK\r\n"),
                };
                let _ = sending.begin(octets, origin);
                self.doing = Doing::Sending(index, sending);
            }
            // Another window of TOP, or the rest of a body that broke off.
            Doing::Sending(index, mut sending) => {
                self.doing = match sending.begin(octets, origin) {
                    Ok(()) => Doing::Sending(index, sending),
                    Err(Unlike) => Doing::Over(Why::Truncated),
                };
            }
            other => self.doing = other,
        }
    }

    fn body(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let Doing::Sending(_, sending) = &mut self.doing else {
            return;
        };
        sending.push(octets, out);
        if sending.is_over() {
            self.asks.push_back(Ask::Enough);
            self.sent(out);
        }
    }

    /// The rest is asked for where it is certain that it is the rest; otherwise the client must see
    /// that something is missing.
    fn body_broken(&mut self, cut: Cut) {
        let Doing::Sending(index, sending) = &mut self.doing else {
            return;
        };
        let rest = match (cut, self.snapshot.get(*index)) {
            (Cut::Lost, Some(message)) if self.host != Host::Poisoned => sending
                .resume(message.size)
                .map(|span| fetch(message, span)),
            _ => None,
        };
        match rest {
            Some(fetch) => self.asks.push_back(Ask::Fetch(fetch, When::Now)),
            None => self.doing = Doing::Over(Why::Truncated),
        }
    }

    fn body_end(&mut self, out: &mut Vec<u8>) {
        let Doing::Sending(index, sending) = &mut self.doing else {
            return;
        };
        let Some(message) = self.snapshot.get(*index) else {
            return;
        };
        match sending.next_window(message.size) {
            Some(span) => self
                .asks
                .push_back(Ask::Fetch(fetch(message, span), When::Now)),
            None => self.sent(out),
        }
    }

    /// The answer is complete: its end, in one piece.
    fn sent(&mut self, out: &mut Vec<u8>) {
        let Doing::Sending(index, sending) = std::mem::replace(&mut self.doing, Doing::Nothing)
        else {
            return;
        };
        let whole = matches!(sending.shown, Shown::All);
        let octets = sending.finish(out);
        if whole {
            self.counts.retrieved += 1;
            self.unflushed.push(index);
            if let Some(message) = self.snapshot.get(index)
                && message.size != octets
                && self.sizes != Sizes::Trust
            {
                self.learned.push((message.uid, octets));
            }
        }
    }

    fn no_body(&mut self, why: NoBody, out: &mut Vec<u8>) {
        let index = match self.doing {
            Doing::Waiting(index, _) => index,
            // A later window of TOP: the answer has begun.
            Doing::Sending(..) => {
                self.doing = Doing::Over(Why::Truncated);
                return;
            }
            _ => return,
        };
        self.doing = Doing::Nothing;
        self.ahead.forget();
        if self.host == Host::Poisoned {
            return self.poisoned(out);
        }
        let text = match why {
            NoBody::Gone => {
                self.gone.set(index);
                out.extend_from_slice(b"-ERR message expunged\r\n");
                return;
            }
            NoBody::Unreadable => "the message cannot be read now, try again later",
            NoBody::Throttled => {
                self.ahead.rest();
                "the mail server is at a limit, try again later"
            }
            NoBody::Lost => "the mail server cannot be reached, try again later",
        };
        self.err(ResponseCode::SysTemp, text, out);
    }

    /// DELE (RFC 1939 §5): `"DELE" SP msg`. Marks; only QUIT removes.
    fn dele(&mut self, number: MessageNumber, out: &mut Vec<u8>) {
        let Some((index, _)) = self.message(number, out) else {
            return;
        };
        self.delete(index, out);
    }

    fn delete(&mut self, index: usize, out: &mut Vec<u8>) {
        match self.access {
            Some(Access::ReadWrite) => {
                if let Some(message) = self.snapshot.get(index) {
                    self.deleted.set(index);
                    self.deleted_octets += message.size;
                }
                out.extend_from_slice(b"+OK message deleted\r\n");
            }
            Some(Access::ReadOnly) => {
                self.err(ResponseCode::SysPerm, "the mailbox is read-only", out);
            }
            Some(Access::NoTrash) => {
                self.err(ResponseCode::SysPerm, "there is no \\Trash mailbox", out);
            }
            Some(Access::Lost) | None => {
                self.ahead.forget();
                self.asks.push_back(Ask::Access);
                self.doing = Doing::Deleting(index);
            }
        }
    }

    /// RSET (RFC 1939 §5): `"RSET"`.
    fn rset(&mut self, out: &mut Vec<u8>) {
        self.deleted.clear();
        self.deleted_octets = 0;
        out.extend_from_slice(b"+OK\r\n");
    }

    /// QUIT (RFC 1939 §6): `"QUIT"`. What is marked is removed, then the answer is given.
    fn quit(&mut self, out: &mut Vec<u8>) {
        let marked = self.deleted.iter().filter(|&index| !self.gone.has(index));
        let mut messages = 0;
        let delete = self.snapshot.set(marked.inspect(|_| messages += 1));
        if delete.is_empty() {
            out.extend_from_slice(b"+OK bye\r\n");
            self.doing = Doing::Over(Why::Quit);
            return;
        }
        if self.host == Host::Poisoned {
            self.removed = Removed::Unclear;
            let text = "the mailbox changed, deleted messages were not removed";
            self.err(ResponseCode::SysTemp, text, out);
            self.doing = Doing::Over(Why::Poisoned);
            return;
        }
        self.doing = Doing::Quitting;
        let seen = self.take_seen();
        self.ahead.forget();
        self.asks.push_back(Ask::Update(Update {
            delete,
            messages,
            seen,
        }));
    }

    fn updated(&mut self, outcome: Outcome, out: &mut Vec<u8>) {
        if !self.is_quitting() {
            return;
        }
        self.doing = Doing::Over(Why::Quit);
        let removed = self.deleted.count() as u64;
        self.removed = Removed::Unclear;
        let text = match outcome {
            Outcome::Done => {
                self.counts.deleted = removed;
                self.removed = Removed::All;
                out.extend_from_slice(b"+OK bye, deleted messages removed\r\n");
                return;
            }
            Outcome::Left { left, of } => {
                self.counts.deleted = of.saturating_sub(left);
                format!("{left} of {of} deleted messages not removed")
            }
            Outcome::OthersDeleted => {
                "deleted messages not removed: the mail server would remove others with them".into()
            }
            Outcome::Unknown => {
                "the mail server was lost, some deleted messages may not be removed".into()
            }
            Outcome::NotDone => "deleted messages not removed".into(),
        };
        self.err(ResponseCode::SysTemp, &text, out);
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

    /// The messages to be marked \Seen: retrieved and not to be removed.
    fn take_seen(&mut self) -> crate::protocol::imap::uid_set::UidSet {
        let read_only = self.access == Some(Access::ReadOnly);
        if self.mark_seen == MarkSeen::Never || read_only {
            return Default::default();
        }
        // Without QUIT the marks of DELE mean nothing.
        let quit = matches!(self.doing, Doing::Quitting | Doing::Over(Why::Quit));
        let (deleted, gone) = (&self.deleted, &self.gone);
        let removed = |index: usize| gone.has(index) || (quit && deleted.has(index));
        let left = self.seen.iter().filter(|&index| !removed(index));
        let set = self.snapshot.set(left);
        self.seen.clear();
        set
    }

    fn sums(&self) -> (usize, u64) {
        let count = self.snapshot.len() - self.deleted.count();
        let octets = self.snapshot.total() - self.deleted_octets;
        (count, octets)
    }

    /// The message with a number, or the answer that there is none.
    fn message(&self, number: MessageNumber, out: &mut Vec<u8>) -> Option<(usize, Message)> {
        let found = number
            .index()
            .and_then(|index| Some((index, self.snapshot.get(index)?)));
        match found {
            Some((index, _)) if self.deleted.has(index) => {
                let _ = write!(out, "-ERR message {number} is deleted\r\n");
                None
            }
            Some(found) => Some(found),
            None => {
                out.extend_from_slice(b"-ERR no such message\r\n");
                None
            }
        }
    }

    fn bad(&mut self, out: &mut Vec<u8>) {
        self.bad += 1;
        if self.bad >= BAD_COMMANDS {
            out.extend_from_slice(b"-ERR too many bad commands\r\n");
            self.doing = Doing::Over(Why::BadCommands);
        }
    }

    fn err(&self, code: ResponseCode, text: &str, out: &mut Vec<u8>) {
        out.extend(reply::err(Some(code), text, &self.session, Charset::Ascii));
    }
}

fn fetch(message: Message, span: Span) -> Fetch {
    Fetch {
        uid: message.uid,
        span,
        expect: message.size,
    }
}

/// A number in decimal: listings of a million lines are made of little else.
fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        at -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}
