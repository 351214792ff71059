//! Opening a mailbox: SELECT, the list of (UID, size), and what to do when the two do not agree.
//!
//! One burst in the common case. A list that was cached needs only STATUS if UIDVALIDITY, UIDNEXT
//! and the number of messages are what they were: nothing was added (RFC 9051 §2.3.1.1), so the set
//! is a part of the cached one, and as large. Otherwise SELECT, the new rows and, if some are gone,
//! a search for those that are left. A host that keeps QRESYNC (RFC 7162 §3.2.5) says in the answer
//! to SELECT which are gone.

mod settle;

use std::io::Write as _;
use std::sync::Arc;

use super::ask::{Event, Loss, Opened};
use super::facts::{Selected, Sticky};
use super::fetch::Row;
use super::mailbox::{Mailbox, What};
use super::name::quoted;
use super::snapshot::{Builder, Complete, Snapshot};
use super::status::{Said, Status};
use super::uid_set::{UidSet, number64};
use crate::protocol::Failure;
use crate::protocol::pop3::config::{Delete, HideDeleted};
use crate::protocol::pop3::unique_id::Needs;
pub(super) use settle::Number;

/// An opening under way.
pub(super) struct Opening {
    /// What was known before.
    cached: Option<Arc<Snapshot>>,
    pub(super) builder: Builder,
    hidden: UidSet,
    /// Gone since `cached`, as the host says.
    vanished: UidSet,
    stage: Stage,
    selecting: Selecting,
    /// Commands whose answers are still to come.
    outstanding: u32,
    /// Whether the list was asked for a second time after a refusal.
    retried: bool,
    /// Whether sizes that did not come were asked for once more.
    sizes_asked: bool,
    /// Rows that contradict what was cached.
    anomaly: bool,
    pub(super) number: Number,
    pub(super) counts: Counts,
}

/// The numbers of a STATUS.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    messages: Option<u64>,
    pub(super) uid_next: Option<u64>,
    pub(super) uid_validity: Option<u64>,
}

/// How SELECT was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selecting {
    Plain,
    /// With parameters (RFC 4466 §2.1): a host that refuses them is asked without.
    Extended,
}

/// How far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// STATUS was sent.
    Status,
    /// SELECT alone: the list is known from a connection that was lost.
    Again,
    /// SELECT and the whole list.
    All,
    /// SELECT and the rows from this UID on.
    From(u64),
    /// As before, and SELECT brings those of the older ones that vanished.
    Resync(u64),
    /// As before, and a search for what is left of the older ones.
    Left(u64),
    /// The number of rows was not that of EXISTS: a search for all.
    Compare,
    /// Rows that were missing.
    Missing,
}

impl Opening {
    pub(super) fn new(cached: Option<Arc<Snapshot>>) -> Self {
        Opening {
            cached,
            builder: Builder::default(),
            hidden: UidSet::new(),
            vanished: UidSet::new(),
            stage: Stage::All,
            selecting: Selecting::Plain,
            outstanding: 0,
            retried: false,
            sizes_asked: false,
            anomaly: false,
            number: Number::Stayed,
            counts: Counts::default(),
        }
    }

    /// The list is known from a connection that was lost.
    pub(super) fn again(snapshot: Arc<Snapshot>) -> Self {
        Opening {
            stage: Stage::Again,
            ..Self::new(Some(snapshot))
        }
    }

    /// Nothing was known before, after all.
    pub(super) fn forget(&mut self) {
        self.cached = None;
    }

    /// These are gone.
    pub(super) fn vanished(&mut self, set: &UidSet) {
        for &(first, last) in set.ranges() {
            self.vanished.push(first, last);
        }
    }
}

impl Mailbox {
    pub(super) fn open_burst(&mut self) {
        let Some(opening) = &mut self.opening else {
            return;
        };
        if opening.stage == Stage::Again {
            return self.open_select();
        }
        let emailids = self.wanted.needs == Needs::EmailId;
        if emailids && !(opening.cached.as_ref()).is_some_and(|cached| cached.has_email_ids()) {
            opening.cached = None;
        }
        if self.wanted.hide_deleted == HideDeleted::No {
            // Its numbers may be those of other messages, where some are to be shown by now.
            opening.cached.take_if(|cached| !cached.shows_all());
        }
        // Flags may change without any of the three numbers; who hides by flag needs the whole way.
        if opening.cached.is_some() && self.wanted.hide_deleted == HideDeleted::No {
            opening.stage = Stage::Status;
            let name = quoted(&self.wanted.mailbox);
            self.send_opening(What::Status, |out| {
                out.extend_from_slice(b"STATUS ");
                out.extend_from_slice(&name);
                out.extend_from_slice(b" (MESSAGES UIDNEXT UIDVALIDITY)");
            });
        } else {
            self.open_all();
        }
    }

    /// SELECT and the whole list.
    fn open_all(&mut self) {
        if let Some(opening) = &mut self.opening {
            opening.cached = None;
            opening.anomaly = false;
            opening.number = Number::Stayed;
            opening.vanished = UidSet::new();
            opening.builder = Builder::default();
            opening.builder.expect(self.facts.exists);
            opening.stage = Stage::All;
        }
        self.open_select();
        if self.wanted.hide_deleted == HideDeleted::Yes {
            // The range is for a host (iCloud) that finds nothing without one.
            self.found = UidSet::new();
            self.send_opening(What::Hidden, |out| {
                out.extend_from_slice(b"UID SEARCH UID 1:* DELETED");
            });
        }
        self.send_rows(|out| out.extend_from_slice(b"1:*"));
        if self.wanted.delete == Delete::Trash {
            self.find_trash();
        }
    }

    /// SELECT, the rows from `next` on, and what is left of the others where one line tells it.
    fn open_delta(&mut self, cached: &Snapshot) {
        let next = cached.uid_next;
        let can = self.facts.can.unwrap_or_default();
        let resync = cached.mod_seq.filter(|_| can.qresync);
        let esearch = can.esearch && resync.is_none();
        if let Some(opening) = &mut self.opening {
            opening.builder = Builder::from(cached);
            opening.stage = match (resync, esearch) {
                (Some(_), _) => Stage::Resync(next),
                (None, true) => Stage::Left(next),
                (None, false) => Stage::From(next),
            };
        }
        if let Some(mod_seq) = resync {
            // ENABLE must come first (RFC 7162 §3.2.5).
            self.send_opening(What::Enable, |out| {
                out.extend_from_slice(b"ENABLE QRESYNC");
            });
            self.open_select_with(&format!(" (QRESYNC ({} {mod_seq}))", cached.uid_validity));
        } else if can.qresync {
            // A mailbox that changes: from now on the host keeps what tells how (RFC 7162 §3.1.8).
            self.open_select_with(" (CONDSTORE)");
        } else {
            self.open_select();
        }
        self.send_rows(|out| {
            let _ = write!(out, "{}:*", next.min(u32::MAX.into()));
        });
        if esearch && next > 1 {
            self.search_left(next);
        }
        if self.wanted.delete == Delete::Trash {
            self.find_trash();
        }
    }

    fn search_left(&mut self, next: u64) {
        let esearch = self.facts.can.is_some_and(|can| can.esearch);
        self.found = UidSet::new();
        self.send_opening(What::Search, |out| {
            let last = (next.saturating_sub(1)).clamp(1, u32::MAX.into());
            let _ = match esearch {
                true => write!(out, "UID SEARCH RETURN (ALL) UID 1:{last}"),
                false => write!(out, "UID SEARCH UID 1:{last}"),
            };
        });
    }

    fn open_select(&mut self) {
        if self.facts.selected == Selected::No {
            self.select();
            if let Some(opening) = &mut self.opening {
                opening.outstanding = opening.outstanding.saturating_add(1);
            }
        }
    }

    fn open_select_with(&mut self, parameters: &str) {
        self.select_with(parameters);
        if let Some(opening) = &mut self.opening {
            opening.selecting = Selecting::Extended;
            opening.outstanding = opening.outstanding.saturating_add(1);
        }
    }

    /// A host that offers QRESYNC and refuses it is asked as one that does not. Whether that is so.
    pub(super) fn resync_refused(&mut self) -> bool {
        let Some(opening) = &mut self.opening else {
            return false;
        };
        if opening.selecting == Selecting::Plain {
            return false;
        }
        opening.selecting = Selecting::Plain;
        self.facts.selected = Selected::No;
        opening.anomaly = true;
        opening.outstanding = opening.outstanding.saturating_sub(1);
        if opening.outstanding == 0 {
            self.settle();
        }
        true
    }

    fn send_opening(&mut self, what: What, command: impl FnOnce(&mut Vec<u8>)) {
        self.send(what, command);
        if let Some(opening) = &mut self.opening {
            opening.outstanding = opening.outstanding.saturating_add(1);
        }
    }

    fn send_rows(&mut self, set: impl FnOnce(&mut Vec<u8>)) {
        let items = match self.wanted.needs {
            Needs::UidOnly => &b" (UID RFC822.SIZE)"[..],
            Needs::EmailId => b" (UID RFC822.SIZE EMAILID)",
        };
        self.send_opening(What::Rows, |out| {
            out.extend_from_slice(b"UID FETCH ");
            set(out);
            out.extend_from_slice(items);
        });
    }

    /// A row while the mailbox is opened.
    pub(super) fn opening_row(&mut self, row: &Row<'_>) {
        let Some(opening) = &mut self.opening else {
            return;
        };
        let Some(uid) = row.uid.get() else { return };
        match opening.stage {
            // `n:*` names the last message even where that is below n (RFC 9051 §9 `seq-range`).
            Stage::From(next) | Stage::Left(next) | Stage::Resync(next)
                if u64::from(uid) < next =>
            {
                let known = opening.cached.as_ref().and_then(|cached| {
                    let at = cached.index_of(uid)?;
                    cached.get(at)
                });
                opening.anomaly |= known.is_none();
            }
            _ => {
                let wanted = self.wanted.needs == Needs::EmailId;
                let id = row.email_id.filter(|_| wanted);
                opening.builder.push(uid, row.size, id);
            }
        }
    }

    /// `* STATUS name (MESSAGES n UIDNEXT n UIDVALIDITY n)`
    pub(super) fn status(&mut self, text: &[u8]) {
        let Some(opening) = &mut self.opening else {
            return;
        };
        let list = memchr::memrchr(b'(', text)
            .and_then(|open| text.get(open.saturating_add(1)..))
            .unwrap_or_default();
        let mut words = list
            .split(|&b| matches!(b, b' ' | b')'))
            .filter(|word| !word.is_empty());
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            let is = |item: &str| name.eq_ignore_ascii_case(item.as_bytes());
            if is("MESSAGES") {
                opening.counts.messages = number64(value);
            } else if is("UIDNEXT") {
                opening.counts.uid_next = number64(value);
            } else if is("UIDVALIDITY") {
                opening.counts.uid_validity = number64(value);
            }
        }
    }

    /// The end of a command of the opening.
    pub(super) fn opening_answer(&mut self, what: &What, said: &Said<'_>) {
        let Some(opening) = &mut self.opening else {
            return;
        };
        opening.outstanding = opening.outstanding.saturating_sub(1);
        match what {
            What::Status => return self.status_answer(said),
            What::Select => {
                if self.facts.uid_sticky == Sticky::No || self.facts.uid_validity.is_none() {
                    return self.refuse(Failure::HostSetup {
                        cause: "the mailbox has no lasting UIDs (no UIDVALIDITY, or UIDNOTSTICKY)"
                            .into(),
                    });
                }
                if opening.stage == Stage::Again {
                    return self.opened_again();
                }
                if let Some(cached) = &opening.cached
                    && self.facts.uid_validity != Some(cached.uid_validity)
                {
                    // Other messages than STATUS meant: what else the burst brings is thrown away.
                    opening.anomaly = true;
                }
            }
            What::Hidden if said.status == Status::Ok => {
                self.found.normalise();
                opening.hidden = std::mem::take(&mut self.found);
            }
            What::Hidden => return self.refuse(said.failure()),
            // A host that did not mean it may leave out what vanished.
            What::Enable => opening.anomaly |= said.status != Status::Ok,
            What::Search => {
                self.found.normalise();
                if said.status != Status::Ok {
                    self.found = UidSet::new();
                    opening.anomaly = true;
                }
            }
            What::Rows if said.status != Status::Ok => {
                let empty = self.facts.exists == 0 && self.facts.selected == Selected::Yes;
                match opening.stage {
                    _ if empty => {}
                    Stage::All if self.wanted.needs == Needs::EmailId => {
                        return self.refuse(Failure::HostSetup {
                            cause: "pop3.uidl wants EMAILID, which the host does not have".into(),
                        });
                    }
                    // Some hosts lose what is pipelined behind SELECT: once more, alone.
                    Stage::All if !opening.retried && self.facts.selected == Selected::Yes => {
                        opening.retried = true;
                        opening.builder = Builder::default();
                        return self.send_rows(|out| out.extend_from_slice(b"1:*"));
                    }
                    Stage::All => return self.refuse(said.failure()),
                    _ => opening.anomaly = true,
                }
            }
            _ => {}
        }
        if opening.outstanding == 0 {
            self.settle();
        }
    }

    /// The mailbox is open on another connection: are its messages the same?
    fn opened_again(&mut self) {
        let Some(snapshot) = self.opening.take().and_then(|opening| opening.cached) else {
            return;
        };
        if self.facts.uid_validity != Some(snapshot.uid_validity) {
            return self.die(Loss::Poisoned);
        }
        self.events.push_back(Event::Opened(Opened {
            snapshot,
            access: self.access(),
        }));
    }

    /// What STATUS says decides how to go on.
    fn status_answer(&mut self, said: &Said<'_>) {
        let Some(opening) = &mut self.opening else {
            return;
        };
        let counts = opening.counts;
        let Some(cached) = opening.cached.clone() else {
            return self.open_all();
        };
        if said.status != Status::Ok
            || !cached.uid_next_told
            || counts.uid_validity != Some(cached.uid_validity)
        {
            return self.open_all();
        }
        self.facts.uid_validity = counts.uid_validity;
        self.facts.uid_next = counts.uid_next;
        let unchanged = counts.uid_next == Some(cached.uid_next)
            && counts.messages == Some(cached.len() as u64)
            && cached.complete == Complete::Yes;
        if unchanged {
            self.opening = None;
            self.events.push_back(Event::Opened(Opened {
                snapshot: cached,
                access: None,
            }));
        } else if self.wanted.needs == Needs::EmailId || cached.complete == Complete::No {
            self.open_all();
        } else {
            self.open_delta(&cached);
        }
    }
}
