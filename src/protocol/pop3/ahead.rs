//! Reading ahead: which messages will probably be asked for next, so that their octets are on the
//! way when they are. They wait in the socket, so this costs no memory, only octets that a client
//! which asks for something else makes the host send in vain: those are bounded.

use std::collections::VecDeque;

use crate::protocol::imap::ask::Span;

/// Most fetches on the way.
const MOST: usize = 128;

/// Which part of those on the way is asked for at a time.
const BATCH: usize = 8;

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

    /// Asks for what comes next: first what the client said already, else what follows in order.
    pub(super) fn plan(
        &mut self,
        said: impl Iterator<Item = (usize, Span)>,
        after: impl Iterator<Item = (usize, Span)>,
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
        let beyond = said.iter().map(|said| said.0).max();
        let after = after
            .filter(|after| beyond.is_none_or(|beyond| after.0 > beyond))
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
