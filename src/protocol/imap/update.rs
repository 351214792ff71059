//! What QUIT does to a mailbox (RFC 1939 §6): exactly the messages that were meant are removed, and
//! "done" is only said of what the host said is done.
//!
//! With UIDPLUS: UID STORE and UID EXPUNGE (RFC 4315 §2.1), pipelined, in commands that old servers
//! can read. Without: a plain EXPUNGE, and only while no other message carries \Deleted (RFC 4549
//! §4.2.4); others' marks are taken away before and put back behind, if somebody notes them first
//! where it outlives a crash. Never CLOSE. Where the host refused a step, or told of other than as many messages gone
//! as were meant, a search tells what is left: Dovecot 2.3 answers OK to a UID EXPUNGE behind a UID
//! STORE and removes nothing, if new mail came since it was last asked.

use super::ask::{Event, Outcome, Update};
use super::facts::Trash;
use super::mailbox::{Guard, Life, Mailbox, What};
use super::name::quoted;
use super::status::{Said, Status};
use super::uid_set::UidSet;
use crate::protocol::pop3::config::Delete;

/// Most commands under way at a time: bounds what is written ahead, not what is done.
const IN_FLIGHT: usize = 16;

/// An update under way.
pub(super) struct Updating {
    delete: UidSet,
    messages: u64,
    seen: UidSet,
    stage: Stage,
    /// The next range of the set the stage works on.
    next: usize,
    in_flight: usize,
    trouble: Trouble,
    /// Messages that were copied to \Trash, of those to be removed.
    copied: UidSet,
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
    /// Messages that went since then, by `* n EXPUNGE`: ours, and others' at the same time.
    gone: u64,
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
    /// CAPABILITY was asked.
    Asking,
    /// \Seen is being set.
    Seen,
    /// UID MOVE.
    Moving,
    /// UID COPY, where there is no MOVE.
    Copying,
    /// UID STORE and UID EXPUNGE.
    Removing,
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
    /// What is left?
    Verifying,
}

/// What follows when others' marks are back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Messages were removed: were they all?
    Finish,
    /// Nothing was removed, because of others' marks.
    GiveUp,
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

/// How \Trash is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// `LIST (SPECIAL-USE)` (RFC 6154 §5.2).
    SpecialUse,
    /// A plain LIST, which may bring the attribute too (RFC 6154 §5.1).
    Plain,
}

impl Updating {
    /// Whether nothing was sent yet that removes messages.
    pub(super) fn is_harmless(&self) -> bool {
        !self.acted
    }

    /// These went, as the host tells: of others' it is known that they are not ours.
    pub(super) fn vanished(&mut self, set: &UidSet) {
        let others = set.minus(&self.delete).count();
        let ours = set.count().saturating_sub(others);
        if self.acted {
            self.gone = self.gone.saturating_add(ours);
        }
    }

    /// A message went, as the host tells.
    pub(super) fn expunged(&mut self) {
        self.gone = self.gone.saturating_add(u64::from(self.acted));
    }
}

impl Mailbox {
    pub(super) fn begin_update(&mut self, update: Update) {
        if self.life == Life::Dead {
            self.events.push_back(Event::Updated(Outcome::NotDone));
            return;
        }
        let Update {
            delete,
            messages,
            seen,
        } = update;
        if delete.is_empty() && seen.is_empty() {
            self.events.push_back(Event::Updated(Outcome::Done));
            return;
        }
        self.select();
        let known = delete.is_empty() || self.facts.can.is_some();
        let stage = match known {
            true => Stage::Seen,
            false => Stage::Asking,
        };
        self.updating = Some(Box::new(Updating::new(delete, messages, seen, stage)));
        match known {
            true => self.advance_update(),
            false => self.send(What::Capability, |out| out.extend_from_slice(b"CAPABILITY")),
        }
    }

    /// Puts marks back that a session before could not.
    pub(super) fn begin_restore(&mut self, marks: UidSet) {
        if self.life == Life::Dead {
            self.events.push_back(Event::Updated(Outcome::NotDone));
            return;
        }
        let none = UidSet::new;
        let mut up = Updating::new(none(), 0, none(), Stage::Restoring);
        up.spared = marks;
        up.then = Then::Done;
        self.updating = Some(Box::new(up));
        self.advance_update();
    }

    /// Whether others' marks were noted.
    pub(super) fn guard_answer(&mut self, marks: Option<UidSet>) {
        let Some(up) = &mut self.updating else { return };
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
                Turn::Over(outcome) => {
                    self.events.push_back(Event::Updated(outcome));
                    return;
                }
            }
        }
        self.updating = Some(updating);
    }

    fn advance(&mut self, up: &mut Updating) -> Turn {
        let can = self.facts.can.unwrap_or_default();
        match up.stage {
            Stage::Asking => up.go(Stage::Seen),
            Stage::Seen => {
                let seen = std::mem::take(&mut up.seen);
                let step = self.store(up, &seen, " +FLAGS.SILENT (\\Seen)", Step::Optional);
                up.seen = seen;
                if step == Turn::More {
                    return Turn::More;
                }
                if up.delete.is_empty() {
                    return match up.in_flight {
                        0 => Turn::Over(Outcome::Done),
                        _ => Turn::Wait,
                    };
                }
                up.acted = true;
                up.go(match (self.wanted.delete, can.moves, can.uid_plus) {
                    (Delete::Trash, true, _) => Stage::Moving,
                    (Delete::Trash, false, _) => Stage::Copying,
                    (Delete::Flag, ..) => Stage::Marking,
                    (Delete::Expunge, _, true) => Stage::Removing,
                    (Delete::Expunge, _, false) => Stage::Searching,
                })
            }
            Stage::Moving => {
                let Some(set) = up.chunk(|up| &up.delete) else {
                    return up.finished();
                };
                let Trash::At(name) = &self.trash else {
                    return Turn::Over(Outcome::NotDone);
                };
                let name = name.clone();
                self.send_step(up, Step::Needed, &[b"UID MOVE ", &set.0, b" ", &name]);
                Turn::More
            }
            Stage::Copying => {
                let Some(set) = up.chunk(|up| &up.delete) else {
                    if up.in_flight > 0 {
                        return Turn::Wait;
                    }
                    // Only what is safe in \Trash is removed here.
                    if up.copied != up.delete {
                        up.trouble = Trouble::Yes;
                    }
                    return match can.uid_plus {
                        true => up.go(Stage::Removing),
                        false => up.go(Stage::Searching),
                    };
                };
                let Trash::At(name) = &self.trash else {
                    return Turn::Over(Outcome::NotDone);
                };
                let name = name.clone();
                let step = Step::Copy(set.1);
                self.send_step(up, step, &[b"UID COPY ", &set.0, b" ", &name]);
                Turn::More
            }
            Stage::Removing => {
                let copying = self.copies();
                let Some((set, _)) = up.chunk(|up| up.doomed(copying)) else {
                    return up.finished();
                };
                let flags = b" +FLAGS.SILENT (\\Deleted)";
                self.send_step(up, Step::Needed, &[b"UID STORE ", &set, flags]);
                self.send_step(up, Step::Needed, &[b"UID EXPUNGE ", &set]);
                Turn::More
            }
            Stage::Searching | Stage::SearchingAgain if up.next == 0 => {
                up.next = 1;
                up.search = Search::Good;
                self.found = UidSet::new();
                self.send_step(up, Step::Search, &[b"UID SEARCH UID 1:* DELETED"]);
                Turn::Wait
            }
            Stage::Searching | Stage::SearchingAgain if up.in_flight > 0 => Turn::Wait,
            Stage::Searching => {
                self.found.normalise();
                let found = std::mem::take(&mut self.found);
                if up.search == Search::Refused {
                    return Turn::Over(Outcome::NotDone);
                }
                let others = found.minus(up.doomed(self.copies()));
                up.marked_before = found.minus(&others);
                if others.is_empty() {
                    return up.go(Stage::Marking);
                }
                match self.guard(up, others) {
                    true => Turn::Wait,
                    false => Turn::Over(Outcome::OthersDeleted),
                }
            }
            Stage::Guarding => Turn::Wait,
            Stage::Sparing => {
                let spared = up.spared.clone();
                let flags = " -FLAGS.SILENT (\\Deleted)";
                if self.store(up, &spared, flags, Step::Mark) == Turn::More {
                    return Turn::More;
                }
                match (up.in_flight, up.kept_marks) {
                    (0, Trouble::No) => up.go(Stage::Marking),
                    (0, Trouble::Yes) => up.go(Stage::Unmarking),
                    _ => Turn::Wait,
                }
            }
            Stage::Restoring => {
                if up.next == 0 {
                    up.kept_marks = Trouble::No;
                }
                let spared = up.spared.clone();
                let flags = " +FLAGS.SILENT (\\Deleted)";
                if self.store(up, &spared, flags, Step::Mark) == Turn::More {
                    return Turn::More;
                }
                if up.in_flight > 0 {
                    return Turn::Wait;
                }
                let restored = up.kept_marks == Trouble::No;
                if restored && !up.spared.is_empty() {
                    self.events.push_back(Event::Released);
                }
                up.spared = UidSet::new();
                match (up.then, restored) {
                    (Then::Finish, _) => up.finished(),
                    (Then::GiveUp, _) => Turn::Over(Outcome::OthersDeleted),
                    (Then::Done, true) => Turn::Over(Outcome::Done),
                    (Then::Done, false) => Turn::Over(Outcome::NotDone),
                }
            }
            Stage::Marking => {
                let doomed = up.doomed(self.copies()).clone();
                let flags = " +FLAGS.SILENT (\\Deleted)";
                if self.store(up, &doomed, flags, Step::Needed) == Turn::More {
                    return Turn::More;
                }
                if up.in_flight > 0 {
                    return Turn::Wait;
                }
                match self.wanted.delete {
                    Delete::Flag => Turn::Over(match up.trouble {
                        Trouble::No => Outcome::Done,
                        Trouble::Yes => Outcome::NotDone,
                    }),
                    _ => up.go(Stage::SearchingAgain),
                }
            }
            Stage::SearchingAgain => {
                self.found.normalise();
                let found = std::mem::take(&mut self.found);
                if up.search == Search::Refused {
                    return up.go(Stage::Unmarking);
                }
                let others = found.minus(up.doomed(self.copies()));
                if others.is_empty() {
                    up.go(Stage::Expunging)
                } else if self.guard(up, others) {
                    Turn::Wait
                } else {
                    up.go(Stage::Unmarking)
                }
            }
            Stage::Unmarking => {
                let ours = up.doomed(self.copies()).minus(&up.marked_before);
                let flags = " -FLAGS.SILENT (\\Deleted)";
                if self.store(up, &ours, flags, Step::Optional) == Turn::More {
                    return Turn::More;
                }
                if up.in_flight > 0 {
                    return Turn::Wait;
                }
                up.then = Then::GiveUp;
                up.go(Stage::Restoring)
            }
            Stage::Expunging if up.next == 0 => {
                up.next = 1;
                self.send_step(up, Step::Needed, &[b"EXPUNGE"]);
                Turn::Wait
            }
            Stage::Expunging if up.spared.is_empty() => up.finished(),
            Stage::Expunging if up.in_flight > 0 => Turn::Wait,
            Stage::Expunging => {
                up.then = Then::Finish;
                up.go(Stage::Restoring)
            }
            Stage::Verifying => {
                if up.next == 0 {
                    self.found = UidSet::new();
                    up.search = Search::Good;
                    self.send_step(up, Step::Optional, &[b"NOOP"]);
                }
                if let Some((set, _)) = up.chunk(|up| &up.delete) {
                    self.send_step(up, Step::Search, &[b"UID SEARCH UID ", &set]);
                    return Turn::More;
                }
                if up.in_flight > 0 {
                    return Turn::Wait;
                }
                self.found.normalise();
                let found = std::mem::take(&mut self.found);
                let of = up.messages;
                // What a host names besides what was asked for is not ours.
                let left = up
                    .delete
                    .count()
                    .saturating_sub(up.delete.minus(&found).count());
                let again = (up.search, up.trouble, up.round)
                    == (Search::Good, Trouble::No, Round::First)
                    && can.uid_plus
                    && self.wanted.delete == Delete::Expunge;
                if left > 0 && again {
                    up.round = Round::Second;
                    return up.go(Stage::Removing);
                }
                Turn::Over(match (up.search, left) {
                    (Search::Refused, _) => Outcome::Unknown,
                    (Search::Good, 0) => Outcome::Done,
                    (Search::Good, left) => Outcome::Left { left, of },
                })
            }
        }
    }

    /// Whether messages are removed after they were copied.
    fn copies(&self) -> Copies {
        let can = self.facts.can.unwrap_or_default();
        match self.wanted.delete == Delete::Trash && !can.moves {
            true => Copies::Yes,
            false => Copies::No,
        }
    }

    fn store(&mut self, up: &mut Updating, set: &UidSet, flags: &str, step: Step) -> Turn {
        if up.next >= set.ranges().len() {
            return Turn::Wait;
        }
        let mut text = Vec::new();
        up.next = set.write_chunk(up.next, &mut text);
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
                    up.copied.push(first, last);
                }
                up.copied.normalise();
            }
            (Step::Needed | Step::Copy(_), _) => up.trouble = Trouble::Yes,
        }
        self.advance_update();
    }

    /// Looks for \Trash.
    pub(super) fn find_trash(&mut self) {
        self.send(What::Trash(Listing::SpecialUse), |out| {
            out.extend_from_slice(b"LIST (SPECIAL-USE) \"\" \"*\"");
        });
    }

    /// `* LIST (attributes) delimiter name`
    pub(super) fn listed(&mut self, text: &[u8]) {
        let Some(end) = memchr::memchr(b')', text) else {
            return;
        };
        let (attributes, rest) = text
            .split_at_checked(end.saturating_add(1))
            .unwrap_or_default();
        let is_trash = attributes
            .split(|&b| matches!(b, b' ' | b'(' | b')'))
            .any(|attribute| attribute.eq_ignore_ascii_case(b"\\Trash"));
        if !is_trash || matches!(self.trash, Trash::At(_)) {
            return;
        }
        let rest = rest.trim_ascii_start();
        let name = match rest.strip_prefix(b"NIL ") {
            Some(name) => name,
            None => rest
                .strip_prefix(b"\"")
                .and_then(|rest| {
                    memchr::memmem::find(rest, b"\" ").map(|at| rest.get(at.saturating_add(2)..))
                })
                .flatten()
                .unwrap_or_default(),
        };
        // As it stands it can be sent back: an atom or a quoted string.
        let fits = !name.is_empty()
            && name.len() <= 1000
            && !name.iter().any(|b| b.is_ascii_control())
            && (name.starts_with(b"\"") == name.ends_with(b"\""))
            && (name.starts_with(b"\"") || !name.contains(&b' '));
        // Mail that is deleted in \Trash itself goes for good.
        let here = quoted(&self.wanted.mailbox);
        let bare = here
            .get(1..here.len().saturating_sub(1))
            .unwrap_or_default();
        if name == here || name == bare {
            self.wanted.delete = Delete::Expunge;
        }
        if fits {
            self.trash = Trash::At(name.to_vec());
        }
    }

    /// The end of a LIST.
    pub(super) fn trash_listed(&mut self, listing: Listing, said: &Said<'_>) {
        let found = matches!(self.trash, Trash::At(_));
        match listing {
            Listing::SpecialUse if !found => {
                // Old hosts call the selection option bad syntax.
                self.send(What::Trash(Listing::Plain), |out| {
                    out.extend_from_slice(b"LIST \"\" \"*\"");
                });
                return;
            }
            Listing::Plain if !found && said.status != Status::Bad => self.trash = Trash::None,
            _ if !found => self.trash = Trash::None,
            _ => {}
        }
        self.tell_access();
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
    fn new(delete: UidSet, messages: u64, seen: UidSet, stage: Stage) -> Self {
        Updating {
            delete,
            messages,
            seen,
            stage,
            next: 0,
            in_flight: 0,
            trouble: Trouble::No,
            copied: UidSet::new(),
            marked_before: UidSet::new(),
            spared: UidSet::new(),
            guarded: 0,
            kept_marks: Trouble::No,
            then: Then::Finish,
            acted: false,
            gone: 0,
            round: Round::First,
            search: Search::Good,
        }
    }

    fn go(&mut self, stage: Stage) -> Turn {
        self.stage = stage;
        self.next = 0;
        Turn::More
    }

    /// The next part of a set, as text and as a set.
    fn chunk(&mut self, of: impl Fn(&Self) -> &UidSet) -> Option<(Vec<u8>, UidSet)> {
        let set = of(self);
        if self.next >= set.ranges().len() {
            return None;
        }
        let mut text = Vec::new();
        let next = set.write_chunk(self.next, &mut text);
        let part = set.part(self.next, next);
        self.next = next;
        Some((text, part))
    }

    /// What is removed here.
    fn doomed(&self, copies: Copies) -> &UidSet {
        match copies {
            Copies::Yes => &self.copied,
            Copies::No => &self.delete,
        }
    }

    /// All commands of a stage that removes were sent.
    fn finished(&mut self) -> Turn {
        let all_gone = self.gone == self.messages;
        match (self.in_flight, self.trouble) {
            (0, Trouble::No) if all_gone => Turn::Over(Outcome::Done),
            (0, _) => self.go(Stage::Verifying),
            _ => Turn::Wait,
        }
    }
}
