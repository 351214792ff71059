//! Reading ahead: which messages will probably be asked for next, so that their octets are on the
//! way when they are. They wait in the socket, so this costs no memory, only octets that a client
//! which asks for something else makes the host send in vain: those are bounded.

use std::collections::VecDeque;

use crate::protocol::imap::ask::Span;

/// Most fetches on the way.
const MOST: usize = 128;

/// Which part of those on the way is asked for at a time.
const BATCH: usize = 8;

/// Most places of a maildrop that are looked at for what follows in order: messages that were deleted stand
/// between, and an owner of many can have all of them gone through.
const LOOKED_AT: usize = 1024;

/// A run of so many in order is taken for a download.
const DOWNLOAD: u32 = 5;

/// What was asked for ahead.
#[derive(Clone, Debug)]
pub(super) struct Ahead {
    /// Most octets on the way.
    limit: u64,
    /// On the way, in the order of asking, with their announced octets.
    asked: VecDeque<(usize, Span, u64)>,
    octets: u64,
    /// How many were on the way when asking stopped last.
    full: usize,
    /// The message asked for last and with how many lines of TOP, if any; and how many were asked for
    /// in order up to it.
    last: Option<(usize, Option<u32>)>,
    run: u32,
    rest: Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    No,
    /// The host is at a limit: nothing is asked ahead any more.
    Yes,
}

impl Ahead {
    /// Nothing yet; at most `limit` octets at a time.
    pub(super) fn new(limit: u64) -> Self {
        Ahead {
            limit,
            asked: VecDeque::new(),
            octets: 0,
            full: 0,
            last: None,
            run: 0,
            rest: Rest::No,
        }
    }

    /// The client asks for this now, by RETR or by TOP with so many lines.
    pub(super) fn asked(&mut self, index: usize, span: Span, lines: Option<u32>) {
        let found = self
            .asked
            .iter()
            .position(|&(at, what, _)| (at, what) == (index, span));
        let upto = found.map_or(self.asked.len(), |at| at.saturating_add(1));
        for (.., octets) in self.asked.drain(..upto) {
            self.octets = self.octets.saturating_sub(octets);
        }
        self.run = match self.last {
            Some((last, before))
                if before == lines
                    && last < index
                    && (found.is_some() || last.saturating_add(1) == index) =>
            {
                self.run.saturating_add(1)
            }
            _ => 1,
        };
        self.last = Some((index, lines));
    }

    /// Asks for what comes next: first what the client said already, else what follows in order, `place` by
    /// place, behind message `index`.
    pub(super) fn plan(
        &mut self,
        index: usize,
        said: impl Iterator<Item = (usize, Span)>,
        place: impl Fn(usize) -> Option<Span>,
        size: impl Fn(usize) -> u64,
        mut ask: impl FnMut(usize, Span),
    ) {
        if self.limit == 0 || self.rest == Rest::Yes {
            return;
        }
        // In the middle of a download several are asked for at a time: one by one, each would cost a
        // write of ours and wake the host. Those that are on the way keep it busy meanwhile.
        let some_fewer = self.full.saturating_sub(self.full / BATCH);
        if self.run >= DOWNLOAD && self.asked.len() > some_fewer {
            return;
        }
        // In order once: a few. The longer the run, the further.
        let count = match self.run {
            0 | 1 => 0,
            run => 4usize
                .saturating_pow(run.min(DOWNLOAD).saturating_sub(1))
                .min(MOST),
        };
        let said: Vec<_> = said.take(MOST).collect();
        let beyond = said.iter().map(|said| said.0).fold(index, usize::max);
        let after = (beyond.saturating_add(1)..)
            .take(LOOKED_AT)
            .filter_map(|index| Some((index, place(index)?)))
            .take(count);
        for (at, (index, span)) in said.into_iter().chain(after).enumerate() {
            if let Some(&(known, what, _)) = self.asked.get(at) {
                if (known, what) != (index, span) {
                    // The client does otherwise than was thought: first it must show how.
                    return;
                }
                continue;
            }
            let octets = match span {
                Span::Whole => size(index),
                Span::Part { length, .. } => u64::from(length).min(size(index)),
            };
            let full = self.octets.saturating_add(octets) > self.limit;
            if full || self.asked.len() >= MOST {
                break;
            }
            self.octets = self.octets.saturating_add(octets);
            self.asked.push_back((index, span, octets));
            ask(index, span);
        }
        self.full = self.asked.len();
    }

    /// Nothing is on the way any more.
    pub(super) fn forget(&mut self) {
        self.asked = VecDeque::new();
        self.octets = 0;
    }

    /// The host is at a limit.
    pub(super) fn rest(&mut self) {
        self.rest = Rest::Yes;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::protocol::imap::ask::Opened;
    use crate::protocol::imap::snapshot::{Builder, Complete};
    use crate::protocol::pop3::config::Settings;
    use crate::protocol::pop3::maildrop::Maildrop;

    /// A download under way in a maildrop of 100,000: how many places are looked at to plan what follows.
    fn looked_at(said: &[usize], is_there: impl Fn(usize) -> bool) -> usize {
        let mut ahead = Ahead::new(u64::MAX);
        (0..8).for_each(|index| ahead.asked(index, Span::Whole, None));
        let looked = Cell::new(0);
        let said = said.iter().map(|&index| (index, Span::Whole));
        let place = |index: usize| {
            looked.set(looked.get() + 1);
            (index < 100_000 && is_there(index)).then_some(Span::Whole)
        };
        ahead.plan(7, said, place, |_| 1, |_, _| {});
        looked.get()
    }

    #[test]
    fn planning_does_not_go_through_the_maildrop() {
        assert_eq!(looked_at(&[], |_| true), MOST);
        assert_eq!(looked_at(&[50_000], |_| true), MOST);
        // The last one is on its way, all others are deleted.
        assert!(looked_at(&[99_999], |_| true) < 2000);
        assert!(looked_at(&[], |index| index == 99_999) < 2000);
    }

    /// What flows meanwhile is no reason to plan again.
    #[test]
    fn planning_waits_for_something_new() {
        let mut builder = Builder::default();
        (1..=9).for_each(|uid| builder.push(uid, Some(1), None));
        let opened = Opened {
            snapshot: builder.finish(1, None, Complete::Yes).into(),
            access: None,
        };
        let mut maildrop = Maildrop::new(&Settings::default(), String::new(), opened);
        maildrop.receive(b"RETR 1\r\nRETR 2\r\n");
        maildrop.step(&mut Vec::new());
        assert_eq!(std::iter::from_fn(|| maildrop.next_ask()).count(), 2);
        // Whatever is planned would be asked for anew.
        maildrop.ahead.forget();
        maildrop.receive(b"");
        assert_eq!(maildrop.next_ask(), None);
        maildrop.receive(b"NOOP\r\n");
        assert_ne!(maildrop.next_ask(), None);
    }
}
