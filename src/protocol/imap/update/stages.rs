//! The stages of an update, one after the other: what each sends, what it waits for, and which comes
//! next.

use super::super::ask::Event;
use super::super::ask::Outcome;
use super::super::facts::Trash;
use super::super::mailbox::Mailbox;
use super::super::uid_set::UidSet;
use super::{Round, Search, Stage, Step, Then, Trouble, Turn, Updating, text_of};
use crate::protocol::pop3::config::Delete;

impl Mailbox {
    /// One step: what the stage sends next, or the stage that follows.
    pub(super) fn advance(&mut self, up: &mut Updating) -> Turn {
        match up.stage {
            Stage::Asking => {
                let asks = self.facts.can.is_none() || self.misses_trash();
                match asks && !up.delete.is_empty() {
                    true => Turn::Wait,
                    false => up.go(Stage::Seen),
                }
            }
            Stage::Seen => self.seen(up),
            Stage::Moving => self.moving(up),
            Stage::Copying => self.copying(up),
            Stage::Removing => self.removing(up),
            Stage::Searching | Stage::SearchingAgain if up.next == 0 => {
                up.next = 1;
                up.search = Search::Good;
                self.found = UidSet::new();
                self.send_step(up, Step::Search, &[b"UID SEARCH UID 1:* DELETED"]);
                Turn::Wait
            }
            Stage::Searching | Stage::SearchingAgain if up.in_flight > 0 => Turn::Wait,
            Stage::Searching => self.searched(up),
            Stage::Claiming | Stage::Guarding => Turn::Wait,
            Stage::Sparing => self.sparing(up),
            Stage::Restoring => self.restoring(up),
            Stage::Marking => self.marking(up),
            Stage::SearchingAgain => self.searched_again(up),
            Stage::Unmarking => self.unmarking(up),
            Stage::Expunging if up.next == 0 => {
                up.next = 1;
                self.send_step(up, Step::Needed, &[b"EXPUNGE"]);
                Turn::More
            }
            Stage::Expunging if up.spared.is_empty() => up.go(Stage::Looking),
            Stage::Expunging if up.in_flight > 0 => Turn::Wait,
            Stage::Expunging => {
                up.then = Then::Finish;
                up.go(Stage::Restoring)
            }
            Stage::Looking => self.looking(up),
            Stage::Verifying => self.verifying(up),
        }
    }

    /// Marks what was read; where something is to be removed, the way that is done is chosen behind it.
    fn seen(&mut self, up: &mut Updating) -> Turn {
        let can = self.facts.can.unwrap_or_default();
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
        if self.wanted.delete == Delete::Trash && self.trash == Trash::None {
            return match up.in_flight {
                0 => Turn::Over(Outcome::NotDone),
                _ => Turn::Wait,
            };
        }
        up.acted = true;
        up.uncopied = up.delete.minus(&self.copied);
        match (self.wanted.delete, can.moves, can.uid_plus) {
            (Delete::Trash, true, _) => up.go(Stage::Moving),
            (Delete::Trash, false, _) => up.go(Stage::Copying),
            (Delete::Flag, ..) => up.go(Stage::Marking),
            (Delete::Expunge, _, true) => up.go(Stage::Removing),
            (Delete::Expunge, _, false) => self.claim(up),
        }
    }

    /// To \Trash, where the host can move.
    fn moving(&mut self, up: &mut Updating) -> Turn {
        let Some(set) = up.chunk(|up| &up.delete) else {
            return up.go(Stage::Looking);
        };
        let Trash::At(name) = &self.trash else {
            return Turn::Over(Outcome::NotDone);
        };
        let name = name.clone();
        self.send_step(up, Step::Needed, &[b"UID MOVE ", &set.0, b" ", &name]);
        Turn::More
    }

    /// To \Trash, where it cannot.
    fn copying(&mut self, up: &mut Updating) -> Turn {
        let can = self.facts.can.unwrap_or_default();
        let Some(set) = up.chunk(|up| &up.uncopied) else {
            if up.in_flight > 0 {
                return Turn::Wait;
            }
            // Only what is safe in \Trash is removed here.
            if !up.delete.minus(&self.copied).is_empty() {
                up.trouble = Trouble::Yes;
            }
            return match can.uid_plus {
                true => up.go(Stage::Removing),
                false => self.claim(up),
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

    /// By UID: no other message goes along.
    fn removing(&mut self, up: &mut Updating) -> Turn {
        let Some((set, next)) = text_of(self.doomed(up), up.next) else {
            return up.go(Stage::Looking);
        };
        up.next = next;
        let flags = b" +FLAGS.SILENT (\\Deleted)";
        self.send_step(up, Step::Needed, &[b"UID STORE ", &set, flags]);
        self.send_step(up, Step::Needed, &[b"UID EXPUNGE ", &set]);
        Turn::More
    }

    /// Whose messages carry \Deleted before ours do: others' are guarded first, or nothing is removed.
    fn searched(&mut self, up: &mut Updating) -> Turn {
        self.found.normalise();
        let found = std::mem::take(&mut self.found);
        if up.search == Search::Refused {
            return Turn::Over(Outcome::NotDone);
        }
        let others = found.minus(self.doomed(up));
        up.marked_before = found.minus(&others);
        if others.is_empty() {
            return up.go(Stage::Marking);
        }
        match self.guard(up, others) {
            true => Turn::Wait,
            false => Turn::Over(Outcome::OthersDeleted),
        }
    }

    /// Takes others' marks away; where one stays, ours go as well and nothing is removed.
    fn sparing(&mut self, up: &mut Updating) -> Turn {
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

    /// Puts others' marks back; what follows was chosen before.
    fn restoring(&mut self, up: &mut Updating) -> Turn {
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
            (Then::Finish, _) => up.go(Stage::Looking),
            (Then::Over(outcome), _) => Turn::Over(outcome),
            (Then::Done, true) => Turn::Over(Outcome::Done),
            (Then::Done, false) => Turn::Over(Outcome::NotDone),
        }
    }

    /// Marks ours; where that is all that is wanted, it is over.
    fn marking(&mut self, up: &mut Updating) -> Turn {
        let doomed = self.doomed(up).clone();
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

    /// Whose messages carry \Deleted now: those that were marked meanwhile are in the way of a plain EXPUNGE.
    fn searched_again(&mut self, up: &mut Updating) -> Turn {
        self.found.normalise();
        let found = std::mem::take(&mut self.found);
        if up.search == Search::Refused {
            return up.go(Stage::Unmarking);
        }
        let others = found.minus(self.doomed(up));
        if others.is_empty() {
            up.go(Stage::Expunging)
        } else if self.guard(up, others) {
            Turn::Wait
        } else {
            up.go(Stage::Unmarking)
        }
    }

    /// Takes our marks back.
    fn unmarking(&mut self, up: &mut Updating) -> Turn {
        let ours = self.doomed(up).minus(&up.marked_before);
        let flags = " -FLAGS.SILENT (\\Deleted)";
        if self.store(up, &ours, flags, Step::Optional) == Turn::More {
            return Turn::More;
        }
        if up.in_flight > 0 {
            return Turn::Wait;
        }
        up.give_back(Outcome::OthersDeleted)
    }

    /// Asks what is left in the burst that removes: where that is nothing, it is proved without an
    /// exchange of its own. Hosts that search before they tell of what they removed, as Dovecot does, are
    /// asked once more.
    fn looking(&mut self, up: &mut Updating) -> Turn {
        if let Some(turn) = self.search(up) {
            return turn;
        }
        match (up.search, up.left(&self.found)) {
            (Search::Good, 0) => Turn::Over(Outcome::Done),
            _ => up.go(Stage::Verifying),
        }
    }

    /// Asks which of those that were to be removed are there. None: it is answered, by `found` and `search`.
    fn search(&mut self, up: &mut Updating) -> Option<Turn> {
        if up.next == 0 {
            self.found = UidSet::new();
            up.search = Search::Good;
        }
        if let Some((set, _)) = up.chunk(|up| &up.delete) {
            self.send_step(up, Step::Search, &[b"UID SEARCH UID ", &set]);
            return Some(Turn::More);
        }
        if up.in_flight > 0 {
            return Some(Turn::Wait);
        }
        self.found.normalise();
        None
    }

    /// Asks what is left of what was to be removed; once, that is removed again.
    fn verifying(&mut self, up: &mut Updating) -> Turn {
        let can = self.facts.can.unwrap_or_default();
        if up.next == 0 {
            self.send_step(up, Step::Optional, &[b"NOOP"]);
        }
        if let Some(turn) = self.search(up) {
            return turn;
        }
        let found = std::mem::take(&mut self.found);
        let of = up.delete.count();
        let left = up.left(&found);
        let again = (up.search, up.trouble, up.round) == (Search::Good, Trouble::No, Round::First)
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
