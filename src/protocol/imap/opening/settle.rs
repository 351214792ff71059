//! The list is there: does it agree with what the host counts? What is missing is asked for once
//! more, and what cannot be mended is said.

use std::sync::Arc;

use super::super::ask::{Event, Opened};
use super::super::mailbox::{Mailbox, What};
use super::super::snapshot::Complete;
use super::super::uid_set::UidSet;
use super::{Opening, Stage};
use crate::protocol::Failure;

/// Most commands sent to repair a list. What they cannot name stays as it is.
const MOST_COMMANDS: usize = 64;

/// What the number of messages did since they were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol::imap) enum Number {
    Stayed,
    /// A message went whose row may have come, in place of one that is missing: as many as are listed
    /// proves nothing.
    Fell,
}

impl Opening {
    /// Whether so many rows are what the mailbox holds.
    fn agrees(&self, rows: usize, exists: u32) -> bool {
        self.number == Number::Stayed && rows == exists as usize
    }
}

impl Mailbox {
    /// All answers are there: does the list agree with EXISTS?
    pub(super) fn settle(&mut self) {
        let exists = self.facts.exists;
        let Some(opening) = &mut self.opening else {
            return;
        };
        if opening.builder.overflowed() {
            return self.refuse(Failure::HostSetup {
                cause: "the mailbox has more messages, or EMAILIDs, than a maildrop may have"
                    .into(),
            });
        }
        if opening.anomaly && !matches!(opening.stage, Stage::Compare | Stage::Missing) {
            return self.open_all();
        }
        let mut count = opening.builder.settle();
        match opening.stage {
            Stage::Resync(_) => {
                opening.vanished.normalise();
                opening.builder.remove(&opening.vanished);
                count = opening.builder.settle();
                if !opening.agrees(count, exists) {
                    return self.open_all();
                }
            }
            Stage::Left(next) => {
                // What is new was not searched for.
                self.found
                    .push(u32::try_from(next).unwrap_or(u32::MAX), u32::MAX);
                self.found.normalise();
                opening.builder.retain(&self.found);
                count = opening.builder.settle();
                if !opening.agrees(count, exists) {
                    return self.open_all();
                }
            }
            Stage::From(next) if !opening.agrees(count, exists) => {
                opening.stage = Stage::Left(next);
                opening.number = Number::Stayed;
                return self.search_left(next);
            }
            // Rows are missing, or there is one too many: the host says which UIDs there are.
            Stage::All if !opening.agrees(count, exists) => {
                opening.stage = Stage::Compare;
                opening.number = Number::Stayed;
                self.found = UidSet::new();
                self.send_opening(What::Search, |out| out.extend_from_slice(b"NOOP"));
                // The range is for a host (iCloud) that finds nothing without one.
                return self.send_opening(What::Search, |out| {
                    out.extend_from_slice(b"UID SEARCH UID 1:*");
                });
            }
            Stage::Compare => {
                let found = std::mem::take(&mut self.found);
                let missing = found.minus(&opening.builder.uids());
                if !opening.anomaly && found.count() == u64::from(self.facts.exists) {
                    opening.builder.retain(&found);
                    count = opening.builder.settle();
                }
                if !missing.is_empty() {
                    opening.stage = Stage::Missing;
                    return self.send_rows_of(&missing);
                }
            }
            _ => {}
        }
        let Some(opening) = &mut self.opening else {
            return;
        };
        let sizeless = opening.builder.sizeless();
        if !sizeless.is_empty() && !opening.sizes_asked {
            opening.sizes_asked = true;
            opening.stage = Stage::Missing;
            return self.send_rows_of(&sizeless);
        }
        let complete = match opening.agrees(count, exists) {
            true => Complete::Yes,
            false => Complete::No,
        };
        self.opened(complete);
    }

    /// Asks for some rows, in commands of bounded length and number.
    fn send_rows_of(&mut self, uids: &UidSet) {
        let mut from = 0;
        for _ in 0..MOST_COMMANDS {
            if from >= uids.ranges().len() {
                break;
            }
            let mut next = from;
            self.send_rows(|out| next = uids.write_chunk(from, out));
            from = next;
        }
    }

    fn opened(&mut self, complete: Complete) {
        let Some(opening) = self.opening.take() else {
            return;
        };
        let mut builder = opening.builder;
        builder.hide(opening.hidden);
        let uid_validity = self.facts.uid_validity.unwrap_or_default();
        // Some hosts (Courier) tell UIDNEXT to STATUS only; it came before the list.
        let counts = opening.counts;
        let of_status = counts
            .uid_next
            .filter(|_| counts.uid_validity == Some(uid_validity));
        let uid_next = self.facts.uid_next.or(of_status);
        let mut snapshot = builder.finish(uid_validity, uid_next, complete);
        snapshot.mod_seq = self.facts.mod_seq;
        self.events.push_back(Event::Opened(Opened {
            snapshot: Arc::new(snapshot),
            access: self.access(),
        }));
    }
}
