//! One mailbox of a logged-in IMAP host, as a POP3 maildrop needs it (RFC 9051 §6.3, §6.4). No IO:
//! octets in, [`Event`]s and octets for the host out.
//!
//! Only UIDs are sent and kept; every command has an unpredictable tag and answers are matched by
//! tag and UID, never by order. `opening` brings the list of messages, `body` streams their octets
//! (nothing holds a message: a body that nobody wants yet stays in the socket), `update` does what
//! QUIT does.

mod sending;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;

use super::ask::{Access, Ask, Event, Loss, NoBody, Outcome, Span, When};
use super::body::{Fetching, Open};
use super::facts::{Can, Facts, Selected, Trash};
use super::name::quoted;
use super::opening::Opening;
use super::response::{Piece, Reader};
use super::snapshot::Snapshot;
use super::uid_set::UidSet;
use super::update::Updating;
use crate::protocol::Failure;
use crate::protocol::pop3::config::{Delete, HideDeleted, Settings};
use crate::protocol::pop3::unique_id::Needs;
pub(super) use sending::Tag;
use sending::{Bursts, Pace};

/// A mailbox on a connection that is logged in, or about to be.
pub struct Mailbox {
    pub(super) wanted: Wanted,
    seed: u128,
    tags: u64,
    /// To be written to the host.
    out: Vec<u8>,
    pace: Pace,
    pub(super) bursts: Bursts,
    /// Commands without their tagged answer, oldest first.
    pub(super) sent: VecDeque<Sent>,
    pub(super) events: VecDeque<Event<'static>>,
    pub(super) reader: Reader,
    pub(super) life: Life,
    pub(super) facts: Facts,
    pub(super) opening: Option<Box<Opening>>,
    /// What the last UID SEARCH found so far.
    pub(super) found: UidSet,
    /// The body under way.
    pub(super) open: Option<Open>,
    pub(super) probe: Option<Probe>,
    pub(super) updating: Option<Box<Updating>>,
    pub(super) trash: Trash,
    /// Messages that QUIT removes and that are in \Trash by now.
    pub(super) copied: UidSet,
    /// Others' messages whose marks were taken away in an update that a loss cut off.
    pub(super) spared: UidSet,
    pub(super) guard: Guard,
    /// Whether the maildrop waits for [`Event::Access`].
    access_asked: bool,
}

/// What is to be done with the mailbox: the part of the settings that concerns this side.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) mailbox: String,
    pub(super) hide_deleted: HideDeleted,
    pub(super) delete: Delete,
    pub(super) needs: Needs,
}

/// A command that was sent.
pub(super) struct Sent {
    pub(super) tag: Tag,
    pub(super) what: What,
    /// Which command of this connection it is, from 1.
    pub(super) number: u64,
}

/// What a command was for.
#[derive(Debug)]
pub(super) enum What {
    /// Its answer does not matter.
    Nothing,
    /// SELECT.
    Select,
    /// STATUS.
    Status,
    /// CAPABILITY.
    Capability,
    /// ENABLE QRESYNC.
    Enable,
    /// UID FETCH of a list: rows go to the snapshot.
    Rows,
    /// UID SEARCH of the opening.
    Search,
    /// UID SEARCH DELETED of the opening.
    Hidden,
    /// UID FETCH of a body.
    Fetch(Fetching),
    /// UID FETCH (UID) of one message: is it there?
    Probe,
    /// LIST, looking for \Trash.
    Trash(super::update::Listing),
    /// A command of QUIT.
    Update(super::update::Step),
}

/// Whether the connection can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    Dead,
}

/// Whether others' marks may be taken away for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// There is somebody who notes them first.
    Possible,
    Impossible,
}

/// A question whether a message is still there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) uid: u32,
    pub(super) seen: bool,
}

impl Mailbox {
    /// A mailbox to be opened. `seed` is unpredictable: the tags are made from it. `cached` is what
    /// was in it the last time: if nothing changed, no list is fetched.
    pub fn new(settings: &Settings, seed: u128, cached: Option<Arc<Snapshot>>) -> Self {
        Self::with(settings, seed, Opening::new(cached))
    }

    /// The same mailbox on another connection, in place of one that was lost: its messages are known.
    /// If they are others now, the first event is [`Loss::Poisoned`].
    pub fn again(settings: &Settings, seed: u128, snapshot: Arc<Snapshot>) -> Self {
        Self::with(settings, seed, Opening::again(snapshot))
    }

    fn with(settings: &Settings, seed: u128, opening: Opening) -> Self {
        let wanted = Wanted {
            mailbox: settings.mailbox.clone(),
            hide_deleted: settings.hide_deleted,
            delete: settings.delete,
            needs: settings.uidl.needs(),
        };
        Mailbox {
            wanted,
            seed,
            tags: 0,
            out: Vec::new(),
            pace: Pace::Together,
            bursts: Bursts::default(),
            sent: VecDeque::new(),
            events: VecDeque::new(),
            reader: Reader::default(),
            life: Life::Alive,
            facts: Facts::default(),
            opening: Some(Box::new(opening)),
            found: UidSet::new(),
            copied: UidSet::new(),
            spared: UidSet::new(),
            open: None,
            probe: None,
            updating: None,
            trash: Trash::Unasked,
            guard: Guard::Impossible,
            access_asked: false,
        }
    }

    /// What was in it the last time was told by another host. To be said before any answer came.
    pub fn forget(&mut self) {
        if let Some(opening) = &mut self.opening {
            opening.forget();
        }
    }

    /// What was copied to \Trash on the connection that was lost is not copied again, and the marks that
    /// were taken away there are put back here.
    pub fn goes_on_from(&mut self, lost: &mut Self) {
        self.copied = std::mem::take(&mut lost.copied);
        self.spared = std::mem::take(&mut lost.spared);
    }

    /// There is somebody who answers [`Event::Guard`].
    pub fn guarded(&mut self) {
        self.guard = Guard::Possible;
    }

    /// Whether the host removes by a plain EXPUNGE only, as far as is known.
    pub fn expunges_plainly(&self) -> bool {
        self.facts.can.is_none_or(|can| !can.uid_plus)
    }

    /// The commands that open the mailbox. They may be sent behind the login in the same burst. To
    /// be called once, first.
    pub fn opening(&mut self) -> Vec<u8> {
        self.open_burst();
        std::mem::take(&mut self.out)
    }

    /// What the host said it can do when it accepted the login.
    pub fn can(&mut self, capabilities: &[String]) {
        self.facts.can = Some(Can::of(capabilities.iter().map(|word| word.as_bytes())));
    }

    /// Does what a maildrop asks.
    pub fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Fetch(fetch, when) => self.fetch(fetch, when),
            Ask::Enough => self.enough(),
            Ask::Access if self.life == Life::Dead => {
                self.events.push_back(Event::Access(Access::Lost));
            }
            Ask::Access => {
                self.access_asked = true;
                self.drop_ahead();
                self.select();
                if self.misses_trash() {
                    self.find_trash();
                }
                self.tell_access();
            }
            Ask::Update(update) => {
                self.drop_ahead();
                self.begin_update(update);
            }
            Ask::Guarded(marks) => self.guard_answer(marks),
            Ask::Restore(marks) => self.begin_restore(marks),
        }
    }

    /// Says goodbye; the answer need not be waited for.
    pub fn logout(&mut self) {
        if self.life == Life::Alive {
            self.send(What::Nothing, |out| out.extend_from_slice(b"LOGOUT"));
        }
    }

    /// Octets to be written to the host: to be taken from the front.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Whether octets of the host are wanted now. Not while a body that nobody asked for yet is
    /// next.
    pub fn wants_input(&self) -> bool {
        self.life == Life::Alive && !self.open.as_ref().is_some_and(Open::is_held)
    }

    /// Whether an answer is outstanding that somebody waits for.
    pub fn busy(&self) -> bool {
        self.life == Life::Alive
            && (self.opening.is_some()
                || self.probe.is_some()
                || self.updating.is_some()
                || self.access_asked
                || self.open.as_ref().is_some_and(|open| !open.is_held())
                || self.now().is_some())
    }

    /// Whether the connection is of no more use.
    pub fn is_dead(&self) -> bool {
        self.life == Life::Dead
    }

    /// Takes octets of the host: how many were consumed, and the first event they brought. To be
    /// called again with the rest (be it empty) until there is no event.
    pub fn receive<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Event<'a>>) {
        let mut used = 0;
        loop {
            if let Some(event) = self.events.pop_front() {
                return (used, Some(event));
            }
            if self.life == Life::Dead {
                return (input.len(), None);
            }
            if self.open.as_ref().is_some_and(Open::is_held) {
                return (used, None);
            }
            let rest = input.get(used..).unwrap_or_default();
            // Taken out so that a line of its buffer can be looked at by all of us.
            let mut reader = std::mem::take(&mut self.reader);
            let (octets, piece) = reader.next(rest);
            used = used.saturating_add(octets);
            let mut stream = false;
            let mut body = None;
            let mut needs_more = false;
            match piece {
                Ok(None) => needs_more = true,
                Ok(Some(Piece::Line(line))) => self.line(line),
                Ok(Some(Piece::Literal { octets, text })) => {
                    stream = self.literal(octets, text);
                }
                Ok(Some(Piece::Octets(octets))) => body = Some(octets),
                Ok(Some(Piece::End)) => self.literal_end(),
                Err(nonsense) => self.die(Loss::Protocol(nonsense.0)),
            }
            if stream {
                reader.stream();
                if self.open.as_ref().is_some_and(Open::is_skipped) {
                    reader.skip();
                }
            }
            if needs_more && self.sent.is_empty() {
                reader.rest();
            }
            self.reader = reader;
            if let Some(octets) = body
                && self.body_octets(octets)
            {
                let from = used.saturating_sub(octets);
                let octets = input.get(from..used).unwrap_or_default();
                return (used, Some(Event::Body(Cow::Borrowed(octets))));
            }
            if needs_more && self.events.is_empty() {
                return (used, None);
            }
        }
    }

    /// The host closed the connection. [`Mailbox::receive`] with nothing tells what that means.
    pub fn closed(&mut self) {
        self.die(Loss::Closed);
    }

    /// Selects the mailbox, unless it is.
    pub(super) fn select(&mut self) {
        self.select_with("");
    }

    /// The same with parameters (RFC 4466 §2.1), a blank before them.
    pub(super) fn select_with(&mut self, parameters: &str) {
        if self.facts.selected != Selected::No {
            return;
        }
        self.facts.selected = Selected::Asked;
        let name = quoted(&self.wanted.mailbox);
        self.send(What::Select, |out| {
            out.extend_from_slice(b"SELECT ");
            out.extend_from_slice(&name);
            out.extend_from_slice(parameters.as_bytes());
        });
    }

    /// Tells whether messages may be deleted, once it is known.
    pub(super) fn tell_access(&mut self) {
        if !self.access_asked || self.facts.selected != Selected::Yes {
            return;
        }
        let Some(access) = self.access() else { return };
        self.access_asked = false;
        self.events.push_back(Event::Access(access));
    }

    /// Whether messages may be deleted, if that is known.
    pub(super) fn access(&self) -> Option<Access> {
        if self.facts.selected != Selected::Yes {
            return None;
        }
        if self.facts.read_only || self.facts.permanent_deleted == Some(false) {
            return Some(Access::ReadOnly);
        }
        match (self.wanted.delete, &self.trash) {
            (Delete::Trash, Trash::Unasked) => None,
            (Delete::Trash, Trash::None) => Some(Access::NoTrash),
            _ => Some(Access::ReadWrite),
        }
    }

    /// The mailbox cannot be opened.
    pub(super) fn refuse(&mut self, failure: Failure) {
        self.opening = None;
        self.life = Life::Dead;
        self.events.push_back(Event::Refused(failure));
    }

    /// The connection is of no more use: whoever waits is told.
    pub(super) fn die(&mut self, loss: Loss) {
        if self.life == Life::Dead {
            return;
        }
        self.life = Life::Dead;
        if self.opening.take().is_some() {
            let failure = match loss {
                Loss::Protocol(expected) => Failure::HostProtocol {
                    expected,
                    got: String::new(),
                },
                _ => Failure::Unreachable {
                    cause: "connection lost while the mailbox was opened".into(),
                },
            };
            self.events.push_back(Event::Refused(failure));
            return;
        }
        // First what is so from now on, then what it means for what was asked.
        self.events.push_back(Event::Lost(loss.clone()));
        if let Some(event) = self.body_lost(&loss) {
            self.events.push_back(event);
        } else if self.probe.take().is_some() || self.now().is_some() {
            self.events.push_back(Event::NoBody(NoBody::Lost));
        }
        if std::mem::take(&mut self.access_asked) {
            self.events.push_back(Event::Access(Access::Lost));
        }
        if let Some(updating) = self.updating.take() {
            let outcome = match updating.is_harmless() {
                true => Outcome::NotDone,
                false => Outcome::Unknown,
            };
            self.spared = updating.into_spared();
            self.events.push_back(Event::Updated(outcome));
        }
        self.sent.clear();
        self.out.clear();
    }

    /// The fetch that the maildrop waits for.
    pub(super) fn now(&self) -> Option<&Fetching> {
        self.sent.iter().find_map(|sent| match &sent.what {
            What::Fetch(fetching) if fetching.is_wanted(When::Now) => Some(fetching),
            _ => None,
        })
    }

    /// `UID FETCH u (UID BODY.PEEK[]…)`
    pub(super) fn send_fetch(&mut self, fetching: Fetching) {
        let (uid, span) = (fetching.fetch.uid, fetching.fetch.span);
        self.send(What::Fetch(fetching), |out| {
            let _ = match span {
                Span::Whole => write!(out, "UID FETCH {uid} (UID BODY.PEEK[])"),
                Span::Part { offset, length } => {
                    write!(out, "UID FETCH {uid} (UID BODY.PEEK[]<{offset}.{length}>)")
                }
            };
        });
    }
}
