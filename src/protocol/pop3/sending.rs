//! One answer to RETR or TOP under way: which octets of the message come, which of them are shown,
//! and how they are stuffed.
//!
//! TOP asks for the message by windows from its beginning: `BODY[HEADER]` differs from the message
//! on a number of servers. A host that does not know windows sends everything; what was shown
//! already is left out then.

use super::multiline::Stuffer;
use super::top::Top;
use crate::protocol::imap::ask::Span;

/// From so many lines on, TOP asks for the whole message.
const MANY_LINES: u32 = 10_000;

/// The smallest and the largest window.
const WINDOW: (u64, u64) = (4 * 1024, 256 * 1024);

/// An answer under way.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    /// The lines that TOP was asked for.
    pub(super) lines: Option<u32>,
    /// Which octets were asked for.
    pub(super) span: Span,
    /// Which are shown.
    pub(super) shown: Shown,
    stuffer: Stuffer,
    /// Octets to be left out: they were shown before.
    skip: u64,
    /// Octets of the message up to the end of what was announced last.
    end: u64,
    window: Window,
    /// Octets announced in all, and received, of a message asked for whole.
    total: u64,
    received: u64,
    rest: Rest,
}

/// Whether what comes is the rest of a body that broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    No,
    Yes,
}

/// What came is not what was to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unlike;

/// Which octets are shown.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    /// All: RETR.
    All,
    /// Those of TOP.
    Top(Top),
}

/// What the octets under way are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    /// A window that may not be the last: as many octets as asked for.
    Full,
    /// The end of the message is in it.
    Last,
}

impl Sending {
    /// RETR.
    pub(super) fn whole() -> Self {
        Self::new(Span::Whole, Shown::All, None)
    }

    /// TOP of a message of this size.
    pub(super) fn top(lines: u32, size: u64) -> Self {
        let span = Self::span(Some(lines), size);
        Self::new(span, Shown::Top(Top::new(lines)), Some(lines))
    }

    /// What is asked for first: for TOP with so many lines, or for RETR.
    pub(super) fn span(lines: Option<u32>, size: u64) -> Span {
        let Some(lines) = lines.filter(|&lines| lines < MANY_LINES) else {
            return Span::Whole;
        };
        let length =
            (u64::from(lines).saturating_mul(80).saturating_add(4096)).clamp(WINDOW.0, WINDOW.1);
        if size > 0 && size <= length {
            return Span::Whole;
        }
        Span::Part {
            offset: 0,
            length: length as u32,
        }
    }

    fn new(span: Span, shown: Shown, lines: Option<u32>) -> Self {
        Sending {
            lines,
            span,
            shown,
            stuffer: Stuffer::new(),
            skip: 0,
            end: 0,
            window: Window::Last,
            total: 0,
            received: 0,
            rest: Rest::No,
        }
    }

    /// So many octets come, the first of them at `origin` in the message.
    pub(super) fn begin(&mut self, octets: u64, origin: u64) -> Result<(), Unlike> {
        if self.rest == Rest::Yes {
            // One octet more was asked for: had the message another length now, it would show.
            let Span::Part { offset, .. } = self.span else {
                return Err(Unlike);
            };
            let same = origin == offset && octets == self.total.saturating_sub(offset);
            let shown = self.received.saturating_sub(offset);
            self.skip = self.skip.saturating_add(shown);
            self.received = offset;
            return same.then_some(()).ok_or(Unlike);
        }
        let (offset, length) = match self.span {
            Span::Whole => (0, None),
            Span::Part { offset, length } => (offset, Some(u64::from(length))),
        };
        // What was shown ends where this window was to begin.
        let shown = self.end.max(offset);
        self.skip = shown.saturating_sub(origin);
        self.end = origin.saturating_add(octets);
        self.window = match length {
            Some(length) if origin == offset && octets >= length => Window::Full,
            _ => Window::Last,
        };
        self.total = octets;
        Ok(())
    }

    /// The connection was lost: what to ask for on another one, if the rest can be told for certain.
    /// Only of a host whose announced size was the true one: bodies that are made on demand, and may
    /// come out otherwise the next time, are rarely announced right.
    pub(super) fn resume(&mut self, size: u64) -> Option<Span> {
        let left = self.total.checked_sub(self.received)?;
        if !matches!(self.shown, Shown::All) || self.total != size {
            return None;
        }
        self.rest = Rest::Yes;
        // Where all octets came and only the end of the answer is missing, the last one is asked for
        // again: not all servers bear a start at the end.
        let again = u64::from(left == 0).min(self.received);
        self.span = Span::Part {
            offset: self.received.saturating_sub(again),
            length: u32::try_from(left.saturating_add(again).saturating_add(1)).ok()?,
        };
        Some(self.span)
    }

    /// Takes octets; what is shown of them is appended to `out`.
    pub(super) fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.received = self.received.saturating_add(octets.len() as u64);
        let skip = self.skip.min(octets.len() as u64);
        self.skip = self.skip.saturating_sub(skip);
        let mut octets = octets.get(skip as usize..).unwrap_or_default();
        if let Shown::Top(top) = &mut self.shown {
            let shown = top.push(octets);
            octets = octets.get(..shown).unwrap_or(octets);
        }
        self.stuffer.push(octets, out);
    }

    /// Whether all that is to be shown was shown, before the end of what comes.
    pub(super) fn is_over(&self) -> bool {
        matches!(&self.shown, Shown::Top(top) if top.is_over())
    }

    /// All octets that were announced have come: what to ask for next, if the message goes on.
    pub(super) fn next_window(&mut self, size: u64) -> Option<Span> {
        let Span::Part { length, .. } = self.span else {
            return None;
        };
        if self.window == Window::Last || self.is_over() {
            return None;
        }
        // A start beyond the announced size made a server crash; the size may also be a lie.
        self.span = match self.end >= size {
            true => Span::Whole,
            false => Span::Part {
                offset: self.end,
                length: (u64::from(length) * 2).min(WINDOW.1) as u32,
            },
        };
        Some(self.span)
    }

    /// The end of the answer. Returns the message's size as LIST counts it, for RETR.
    pub(super) fn finish(self, out: &mut Vec<u8>) -> u64 {
        self.stuffer.finish(out)
    }
}
