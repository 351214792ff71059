//! What QUIT does to a mailbox (RFC 1939 §6): exactly the messages that were meant are removed, and
//! "done" is only said of what the host said is done.
//!
//! With UIDPLUS: UID STORE and UID EXPUNGE (RFC 4315 §2.1), pipelined, in commands that old servers
//! can read. Without: a plain EXPUNGE, and only while no other message carries \Deleted (RFC 4549
//! §4.2.4); others' marks are taken away before and put back behind, if somebody notes them first
//! where it outlives a crash. Never CLOSE. What is left is told by a search in the same burst, never by
//! the EXPUNGE responses: they name no message by its UID, and another client's removals are told by
//! them too. Where something is left, the host is asked once more: Dovecot 2.3 answers OK to a UID
//! EXPUNGE behind a UID STORE and removes nothing, if new mail came since it was last asked.
//!
//! Here is what an update is; `stages` is what it does in turn, `trash` finds where mail goes that
//! is not to be removed for good.

mod stages;
mod trash;

pub(super) use trash::Listing;

use super::ask::{Event, Outcome, Update};
use super::mailbox::{Guard, Life, Mailbox, What};
use super::status::{Said, Status};
use super::uid_set::UidSet;
use crate::protocol::pop3::config::Delete;

/// Most commands under way at a time: bounds what is written ahead, not what is done.
const IN_FLIGHT: usize = 16;

/// An update under way.
pub(super) struct Updating {
    delete: UidSet,
    seen: UidSet,
    stage: Stage,
    /// The next range of the set the stage works on.
    next: usize,
    in_flight: usize,
    trouble: Trouble,
    /// Of those to be removed, the messages to be copied to \Trash: none that was before.
    uncopied: UidSet,
    /// Messages that carried \Deleted before we marked ours.
    marked_before: UidSet,
    /// Others' messages, whose marks were taken away, or are about to be.
    spared: UidSet,
    /// How often that was done.
    guarded: u32,
    /// Whether a mark could not be taken away or put back.
    kept_marks: Trouble,
    /// What follows when the marks are back.
    then: Then,
    /// Whether something that removes messages was sent.
    acted: bool,
    round: Round,
    search: Search,
}

/// Whether a search can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    Good,
    /// It was refused: nothing is known.
    Refused,
}

/// Which time messages are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    First,
    /// The host said OK and left some.
    Second,
}

/// Whether a step that matters was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    No,
    Yes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// CAPABILITY was asked, or where \Trash is.
    Asking,
    /// \Seen is being set.
    Seen,
    /// UID MOVE.
    Moving,
    /// UID COPY, where there is no MOVE.
    Copying,
    /// UID STORE and UID EXPUNGE.
    Removing,
    /// Other sessions are told to leave the mailbox's marks alone.
    Claiming,
    /// Which messages carry \Deleted, before ours are marked.
    Searching,
    /// UID STORE, without more.
    Marking,
    /// Which messages carry \Deleted now.
    SearchingAgain,
    /// Our marks are taken back.
    Unmarking,
    /// Others' marks are being noted.
    Guarding,
    /// Others' marks are taken away.
    Sparing,
    /// Others' marks are put back.
    Restoring,
    /// EXPUNGE.
    Expunging,
    /// What is left, as far as the host has looked?
    Looking,
    /// What is left, now that it has looked again?
    Verifying,
}

/// What follows when others' marks are back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Messages were removed: were they all?
    Finish,
    /// This is what became of it.
    Over(Outcome),
    /// Nothing else was wanted.
    Done,
}

/// How often marks that appear meanwhile are taken away as well.
const ROUNDS: u32 = 3;

/// A command of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Its failure changes nothing.
    Optional,
    /// Its failure means that something may be left.
    Needed,
    /// Its failure means that a mark is not as it should be.
    Mark,
    /// UID COPY of these.
    Copy(UidSet),
    /// A search.
    Search,
}

impl Updating {
    /// Whether nothing was sent yet that removes messages.
    pub(super) fn is_harmless(&self) -> bool {
        !self.acted
    }

    /// What others' marks are still to be put back on, where it was this update that took them away. Those that were
    /// noted before stay noted.
    pub(super) fn into_spared(self) -> UidSet {
        match self.then {
            Then::Done => UidSet::new(),
            Then::Finish | Then::Over(_) => self.spared,
        }
    }
}

impl Mailbox {
    pub(super) fn begin_update(&mut self, update: Update) {
        if self.life == Life::Dead {
            self.events.push_back(Event::Updated(Outcome::NotDone));
            return;
        }
        let Update { delete, seen } = update;
        if delete.is_empty() && seen.is_empty() {
            self.events.push_back(Event::Updated(Outcome::Done));
            return;
        }
        self.select();
        if !delete.is_empty() && self.facts.can.is_none() {
            self.send(What::Capability, |out| out.extend_from_slice(b"CAPABILITY"));
        }
        // DELE has asked already; but perhaps on a connection that was lost since.
        let asking = self
            .sent
            .iter()
            .any(|sent| matches!(sent.what, What::Trash(_)));
        if !delete.is_empty() && self.misses_trash() && !asking {
            self.find_trash();
        }
        let mut asking = Box::new(Updating::new(delete, seen, Stage::Asking));
        asking.spared = std::mem::take(&mut self.spared);
        self.updating = Some(asking);
        self.advance_update();
    }

    /// Puts marks back that a session before could not.
    pub(super) fn begin_restore(&mut self, marks: UidSet) {
        if self.life == Life::Dead {
            self.events.push_back(Event::Updated(Outcome::NotDone));
            return;
        }
        let none = UidSet::new;
        let mut up = Updating::new(none(), none(), Stage::Restoring);
        up.spared = marks;
        up.then = Then::Done;
        self.updating = Some(Box::new(up));
        self.advance_update();
    }

    /// Whether others' marks were noted, or the mailbox is ours alone for now.
    pub(super) fn guard_answer(&mut self, marks: Option<UidSet>) {
        let Some(up) = &mut self.updating else { return };
        if up.stage == Stage::Claiming {
            match marks {
                Some(_) => up.go(Stage::Searching),
                None => up.give_back(Outcome::OthersDeleted),
            };
            return self.advance_update();
        }
        if up.stage != Stage::Guarding {
            return;
        }
        up.next = 0;
        up.stage = match marks {
            Some(marks) => {
                up.spared = marks;
                up.guarded = up.guarded.saturating_add(1);
                Stage::Sparing
            }
            // Ours are marked already if it is not the first time.
            None => Stage::Unmarking,
        };
        self.advance_update();
    }

    /// A plain EXPUNGE is to come: from the first look at \Deleted to its answer no other session may take
    /// marks away and put them back, where there is one that would.
    fn claim(&mut self, up: &mut Updating) -> Turn {
        if self.guard == Guard::Impossible {
            return up.go(Stage::Searching);
        }
        self.events.push_back(Event::Guard {
            uid_validity: self.facts.uid_validity.unwrap_or_default(),
            marks: UidSet::new(),
        });
        up.go(Stage::Claiming);
        Turn::Wait
    }

    /// Others' messages carry \Deleted: EXPUNGE would remove them. Whether their marks may be taken
    /// away.
    fn guard(&mut self, up: &mut Updating, others: UidSet) -> bool {
        if self.guard == Guard::Impossible || up.guarded >= ROUNDS {
            return false;
        }
        let Some(uid_validity) = self.facts.uid_validity else {
            return false;
        };
        let mut marks = others;
        for &(first, last) in up.spared.ranges() {
            marks.push(first, last);
        }
        marks.normalise();
        up.go(Stage::Guarding);
        self.events.push_back(Event::Guard {
            uid_validity,
            marks,
        });
        true
    }

    /// Sends what may be sent now, and goes on to the next stage when one is finished.
    pub(super) fn advance_update(&mut self) {
        let Some(mut updating) = self.updating.take() else {
            return;
        };
        while updating.in_flight < IN_FLIGHT {
            match self.advance(&mut updating) {
                Turn::More => {}
                Turn::Wait => break,
                // Whatever became of it, on this connection or on one before.
                Turn::Over(outcome) if !updating.spared.is_empty() => {
                    updating.give_back(outcome);
                }
                Turn::Over(outcome) => {
                    self.events.push_back(Event::Updated(outcome));
                    return;
                }
            }
        }
        self.updating = Some(updating);
    }

    /// Whether messages are removed after they were copied.
    fn copies(&self) -> Copies {
        let can = self.facts.can.unwrap_or_default();
        match self.wanted.delete == Delete::Trash && !can.moves {
            true => Copies::Yes,
            false => Copies::No,
        }
    }

    /// What is removed here.
    fn doomed<'a>(&'a self, up: &'a Updating) -> &'a UidSet {
        match self.copies() {
            Copies::Yes => &self.copied,
            Copies::No => &up.delete,
        }
    }

    fn store(&mut self, up: &mut Updating, set: &UidSet, flags: &str, step: Step) -> Turn {
        let Some((text, next)) = text_of(set, up.next) else {
            return Turn::Wait;
        };
        up.next = next;
        self.send_step(up, step, &[b"UID STORE ", &text, flags.as_bytes()]);
        Turn::More
    }

    fn send_step(&mut self, up: &mut Updating, step: Step, parts: &[&[u8]]) {
        up.in_flight = up.in_flight.saturating_add(1);
        self.send(What::Update(step), |out| {
            parts.iter().for_each(|part| out.extend_from_slice(part));
        });
    }

    /// The end of a command of an update.
    pub(super) fn update_answer(&mut self, step: Step, said: &Said<'_>) {
        let Some(up) = &mut self.updating else { return };
        up.in_flight = up.in_flight.saturating_sub(1);
        match (step, said.status) {
            (Step::Optional, _) | (Step::Needed | Step::Search, Status::Ok) => {}
            (Step::Mark, Status::Ok) => {}
            (Step::Mark, _) => up.kept_marks = Trouble::Yes,
            (Step::Search, _) => up.search = Search::Refused,
            (Step::Copy(set), Status::Ok) => {
                for &(first, last) in set.ranges() {
                    self.copied.push(first, last);
                }
                self.copied.normalise();
            }
            (Step::Needed | Step::Copy(_), _) => up.trouble = Trouble::Yes,
        }
        self.advance_update();
    }
}

/// Whether removing means copying first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copies {
    Yes,
    No,
}

/// What a turn of an update led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Something was sent or a stage begun.
    More,
    /// Answers must come first.
    Wait,
    /// It is over.
    Over(Outcome),
}

impl Updating {
    fn new(delete: UidSet, seen: UidSet, stage: Stage) -> Self {
        Updating {
            delete,
            seen,
            stage,
            next: 0,
            in_flight: 0,
            trouble: Trouble::No,
            uncopied: UidSet::new(),
            marked_before: UidSet::new(),
            spared: UidSet::new(),
            guarded: 0,
            kept_marks: Trouble::No,
            then: Then::Finish,
            acted: false,
            round: Round::First,
            search: Search::Good,
        }
    }

    fn go(&mut self, stage: Stage) -> Turn {
        self.stage = stage;
        self.next = 0;
        Turn::More
    }

    /// Others' marks are put back; then it is over.
    fn give_back(&mut self, outcome: Outcome) -> Turn {
        self.then = Then::Over(outcome);
        self.go(Stage::Restoring)
    }

    /// The next part of a set, as text and as a set.
    fn chunk(&mut self, of: impl Fn(&Self) -> &UidSet) -> Option<(Vec<u8>, UidSet)> {
        let set = of(self);
        let (text, next) = text_of(set, self.next)?;
        let part = set.part(self.next, next);
        self.next = next;
        Some((text, part))
    }

    /// How many of the messages to be removed were found. What a host names besides is not ours.
    fn left(&self, found: &UidSet) -> u64 {
        let gone = self.delete.minus(found).count();
        self.delete.count().saturating_sub(gone)
    }
}

/// As many ranges of a set as one command takes, from one on; and the first behind them.
fn text_of(set: &UidSet, from: usize) -> Option<(Vec<u8>, usize)> {
    if from >= set.ranges().len() {
        return None;
    }
    let mut text = Vec::new();
    let next = set.write_chunk(from, &mut text);
    Some((text, next))
}
