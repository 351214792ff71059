//! Bodies of messages: asked for one command each, streamed as they come, believed only when the row
//! around them names the message that was asked for.
//!
//! Whether a message is gone is concluded from a question for that message alone, never from NO,
//! NIL, an empty string or missing data (RFC 2180 §4.1 lists what hosts answer; some answer so for
//! mail they merely cannot read).

mod ending;

use super::ask::{Cut, Event, Fetch, Loss, Span, When};
use super::fetch::{self, Body, End, Row, Section, Uid};
use super::mailbox::{Mailbox, What};

/// A fetch that was sent.
#[derive(Debug)]
pub(super) struct Fetching {
    pub(super) fetch: Fetch,
    pub(super) demand: Demand,
    pub(super) got: Got,
    /// The sequence number of a row that named the message without bringing its octets: the other
    /// half of the row may come without a UID.
    pub(super) sequence: Option<u32>,
}

/// Who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// The maildrop.
    Now,
    /// Nobody yet.
    Ahead,
    /// Nobody any more.
    Dropped,
}

/// What came of it so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Nothing,
    /// NIL, or no octets where some were announced.
    Empty,
    /// A row about the message, without its octets.
    RowOnly,
    /// A row about another message.
    Other,
    /// Octets whose row named no message.
    Unnamed,
    /// They came before an earlier fetch was answered, and could not wait: to be asked for again.
    OutOfTurn,
    /// A whole row with the octets of the message; the answer has not ended yet.
    Whole,
    /// All that is wanted.
    All,
}

/// A body whose row is under way.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) uid: u32,
    /// Whether the row named the message before the octets.
    pub(super) named: bool,
    pub(super) state: State,
    pub(super) start: Start,
    /// The row's sequence number.
    pub(super) sequence: u32,
    /// A body that came as a quoted string.
    pub(super) quoted: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody asked for it yet: the rest stays in the socket.
    Held,
    /// Its octets go to the maildrop.
    Flowing,
    /// They go there, and all have come.
    Complete,
    /// They are thrown away.
    Skipped,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) octets: u64,
    pub(super) origin: u64,
}

impl Fetching {
    pub(super) fn is_wanted(&self, when: When) -> bool {
        self.demand
            == match when {
                When::Now => Demand::Now,
                When::Ahead => Demand::Ahead,
            }
            && self.got != Got::All
    }

    /// Whether octets of it came, and its answer is still to show that they are the whole of it.
    fn is_under_way(&self) -> bool {
        matches!(self.got, Got::Unnamed | Got::Whole)
    }

    /// Whether nothing more comes of it that is of use.
    fn is_done(&self) -> bool {
        matches!(self.got, Got::OutOfTurn | Got::All)
    }

    /// Whether so many octets are all that were asked for, as the host itself told the message's size.
    fn has_all(&self, octets: u64) -> bool {
        octets
            == match self.fetch.span {
                Span::Whole => self.fetch.expect,
                Span::Part { length, .. } => length.into(),
            }
    }
}

impl Open {
    pub(super) fn is_held(&self) -> bool {
        self.state == State::Held
    }

    pub(super) fn is_skipped(&self) -> bool {
        self.state == State::Skipped
    }
}

impl Mailbox {
    /// A literal begins: whether it is streamed.
    pub(super) fn literal(&mut self, octets: u64, text: &[u8]) -> bool {
        let Some(row) = fetch::row(text) else {
            return false;
        };
        match row.awaits {
            Some(section) if self.open.is_none() => self.begin(&row, section, octets, None),
            _ => false,
        }
    }

    /// The octets of a body begin: whether they are to be streamed.
    fn begin(
        &mut self,
        row: &Row<'_>,
        section: Section,
        octets: u64,
        quoted: Option<Vec<u8>>,
    ) -> bool {
        let Some((at, origin)) = self.target(row, section) else {
            return false;
        };
        // Somebody waits for the octets of an earlier fetch, and these cannot wait behind them. Or it
        // was not answered to its end: what looks like another message may be a part of that one.
        let early = self.sent.iter().take(at).any(|sent| match &sent.what {
            What::Fetch(earlier) => {
                (earlier.demand != Demand::Dropped && !earlier.is_done()) || earlier.is_under_way()
            }
            _ => false,
        });
        let Some(What::Fetch(fetching)) = self.sent.get_mut(at).map(|sent| &mut sent.what) else {
            return false;
        };
        if octets == 0 && origin == 0 && fetching.fetch.expect > 0 {
            fetching.got = Got::Empty;
            fetching.sequence = Some(row.sequence);
            return false;
        }
        if early {
            fetching.got = Got::OutOfTurn;
            return false;
        }
        let state = match fetching.demand {
            Demand::Now => State::Flowing,
            Demand::Ahead => State::Held,
            Demand::Dropped => State::Skipped,
        };
        let named = row.uid != Uid::Unsaid || fetching.sequence == Some(row.sequence);
        self.open = Some(Open {
            uid: fetching.fetch.uid,
            named,
            state,
            start: Start { octets, origin },
            sequence: row.sequence,
            quoted,
        });
        if state == State::Flowing {
            self.events.push_back(Event::BodyStart { octets, origin });
        }
        true
    }

    /// Which fetch a body belongs to, and the origin it has then.
    fn target(&self, row: &Row<'_>, section: Section) -> Option<(usize, u64)> {
        let origin = |fetching: &Fetching| match (fetching.fetch.span, section) {
            (_, Section::Whole) => Some(0),
            (Span::Part { offset, .. }, Section::From(origin)) if offset == origin => Some(origin),
            _ => None,
        };
        let open = self
            .sent
            .iter()
            .enumerate()
            .filter_map(|(at, sent)| match &sent.what {
                What::Fetch(fetching) if !fetching.is_under_way() && !fetching.is_done() => {
                    Some((at, fetching))
                }
                _ => None,
            });
        let mut open = open.peekable();
        let first = open.peek().map(|(at, _)| *at);
        let found = match row.uid {
            Uid::Is(uid) => open.find(|(_, fetching)| fetching.fetch.uid == uid),
            Uid::Unreadable => None,
            // No name yet: the other half of a row, or the first body still to come.
            Uid::Unsaid => {
                let mut all: Vec<_> = open.collect();
                let half = all
                    .iter()
                    .position(|(_, fetching)| fetching.sequence == Some(row.sequence));
                let at = half.or_else(|| all.iter().position(|(at, _)| Some(*at) == first))?;
                Some(all.swap_remove(at))
            }
        };
        let (at, fetching) = found?;
        Some((at, origin(fetching)?))
    }

    /// Octets of the streamed literal: whether the maildrop wants them.
    pub(super) fn body_octets(&mut self, octets: usize) -> bool {
        octets > 0
            && self
                .open
                .as_ref()
                .is_some_and(|open| open.state == State::Flowing)
    }

    /// The streamed literal is complete; its row is not yet.
    pub(super) fn literal_end(&mut self) {
        if let Some(open) = &mut self.open
            && open.state == State::Flowing
        {
            open.state = State::Complete;
        }
    }

    /// A whole row.
    pub(super) fn row(&mut self, row: &Row<'_>) {
        if self.opening.is_some() {
            return self.opening_row(row);
        }
        if row.end == End::Torn {
            return self.die(Loss::Protocol("the rest of a row"));
        }
        if let Some(probe) = &mut self.probe {
            // A row that may be any message's is no evidence that this one is gone.
            probe.seen |= row.uid == Uid::Is(probe.uid) || row.uid == Uid::Unreadable;
        }
        if let Some(Body::Quoted(section, text)) = row.body {
            let octets = fetch::unquoted(text);
            if self.begin(row, section, octets.len() as u64, Some(octets)) {
                return self.quoted_body();
            }
        }
        self.row_without(row);
    }

    /// The line around a body that was streamed.
    pub(super) fn line_of_body(&mut self, line: &[u8]) {
        let row =
            fetch::row(line).filter(|row| row.body == Some(Body::Literal) && row.end == End::Shut);
        let Some(row) = row else {
            return self.die(Loss::Protocol("the rest of a row"));
        };
        let Some(open) = self.open.take() else {
            return;
        };
        if row.uid != Uid::Unsaid && row.uid != Uid::Is(open.uid) {
            // Another message's octets, or a literal of a wrong length.
            if matches!(open.state, State::Flowing | State::Complete) {
                self.finish_fetch(open.uid, Got::All);
                self.events.push_back(Event::BodyBroken(Cut::Wrong));
            }
            return self.die(Loss::Protocol("the UID that was asked for"));
        }
        match row.uid == Uid::Is(open.uid) || open.named {
            true => self.body_came(&open),
            false => self.unnamed(open.uid, row.sequence),
        }
    }

    /// A body that came within its row.
    fn quoted_body(&mut self) {
        let Some(open) = &self.open else { return };
        match open.state {
            State::Held => {}
            State::Skipped => {
                let uid = open.uid;
                self.open = None;
                self.finish_fetch(uid, Got::All);
            }
            // Its beginning was told; the rest is as for one that was held.
            State::Flowing | State::Complete => {
                self.events.pop_back();
                self.release();
            }
        }
    }

    /// Octets whose row named no message: another row may do so, before the command's end.
    pub(super) fn unnamed(&mut self, uid: u32, sequence: u32) {
        for sent in &mut self.sent {
            if let What::Fetch(fetching) = &mut sent.what
                && fetching.fetch.uid == uid
                && !matches!(fetching.got, Got::Whole | Got::All | Got::OutOfTurn)
            {
                fetching.got = Got::Unnamed;
                fetching.sequence = Some(sequence);
                return;
            }
        }
    }

    /// A row is at its end that brought octets of the message it names. As many as the host has told before are
    /// believed right there: hosts tag several answers together, and whoever waited for the tag could not take what
    /// follows.
    fn body_came(&mut self, open: &Open) {
        let mut sent = self.sent.iter().filter_map(|sent| match &sent.what {
            What::Fetch(fetching) => Some(fetching),
            _ => None,
        });
        let ours = sent.find(|it| it.fetch.uid == open.uid && !it.is_done() && !it.is_under_way());
        if !ours.is_some_and(|it| it.has_all(open.start.octets)) {
            return self.body_whole(open.uid);
        }
        self.finish_fetch(open.uid, Got::All);
        if open.state == State::Complete {
            self.events.push_back(Event::BodyEnd);
        }
    }

    /// All octets are there and the row named their message. That they are the whole of it is known
    /// when the answer ends: where they were announced too short, the rest stands in between, and may
    /// well begin as rows end.
    pub(super) fn body_whole(&mut self, uid: u32) {
        self.finish_fetch(uid, Got::Whole);
    }

    pub(super) fn finish_fetch(&mut self, uid: u32, got: Got) {
        for sent in &mut self.sent {
            if let What::Fetch(fetching) = &mut sent.what
                && fetching.fetch.uid == uid
                && !matches!(fetching.got, Got::Whole | Got::All | Got::OutOfTurn)
            {
                fetching.got = got;
                return;
            }
        }
    }

    /// A row that brought no octets: evidence that the message is there, if it names it.
    fn row_without(&mut self, row: &Row<'_>) {
        let fetches = self
            .sent
            .iter_mut()
            .filter_map(|sent| match &mut sent.what {
                What::Fetch(fetching) if !matches!(fetching.got, Got::Whole | Got::All) => {
                    Some(fetching)
                }
                _ => None,
            });
        let mut fetches: Vec<_> = fetches.collect();
        if row.uid == Uid::Unsaid {
            return;
        }
        let ours = fetches
            .iter_mut()
            .find(|fetching| row.uid == Uid::Is(fetching.fetch.uid));
        let Some(fetching) = ours else {
            if row.body.is_some()
                && let Some(first) = fetches.first_mut()
                && first.got == Got::Nothing
            {
                first.got = Got::Other;
            }
            return;
        };
        if fetching.got == Got::Unnamed && fetching.sequence == Some(row.sequence) {
            // The half of the row that names the octets already there.
            let uid = fetching.fetch.uid;
            return self.body_whole(uid);
        }
        fetching.sequence = Some(row.sequence);
        fetching.got = match (fetching.got, row.body) {
            (Got::Nothing | Got::Other | Got::RowOnly, Some(Body::Nil)) => Got::Empty,
            (Got::Nothing | Got::Other, _) => Got::RowOnly,
            (got, _) => got,
        };
    }
}

impl Fetching {
    pub(super) fn new(fetch: Fetch, demand: Demand) -> Self {
        Fetching {
            fetch,
            demand,
            got: Got::Nothing,
            sequence: None,
        }
    }
}
