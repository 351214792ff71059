//! Asking for bodies, now or ahead, and no longer wanting them. A body that was asked for ahead waits in
//! the socket until somebody wants it; what nobody wants is drained.

use std::borrow::Cow;

use super::ask::{Event, Fetch, NoBody, When};
use super::body::{Demand, Fetching, Got, Start, State};
use super::mailbox::{Life, Mailbox, What};

impl Mailbox {
    /// Asks for octets, or for those asked for ahead.
    pub(super) fn fetch(&mut self, fetch: Fetch, when: When) {
        if self.life == Life::Dead {
            if when == When::Now {
                self.events.push_back(Event::NoBody(NoBody::Lost));
            }
            return;
        }
        if when == When::Ahead {
            self.select();
            return self.send_fetch(Fetching::new(fetch, Demand::Ahead));
        }
        let found = self.sent.iter().position(|sent| match &sent.what {
            What::Fetch(sent) => {
                sent.fetch == fetch && sent.demand == Demand::Ahead && sent.got != Got::OutOfTurn
            }
            _ => false,
        });
        // What was asked for before it is not wanted any more; without a match, neither is the rest.
        self.drop_before(found.unwrap_or(self.sent.len()));
        // A row already held is the one before all others.
        let held = match &self.open {
            Some(open) if open.is_held() => Some(open.uid),
            _ => None,
        };
        match found {
            Some(at) => {
                if let Some(sent) = self.sent.get_mut(at)
                    && let What::Fetch(fetching) = &mut sent.what
                {
                    fetching.demand = Demand::Now;
                }
                if held == Some(fetch.uid) {
                    self.release();
                }
            }
            None => {
                self.select();
                self.send_fetch(Fetching::new(fetch, Demand::Now));
            }
        }
    }

    /// The body that is held is wanted now.
    pub(super) fn release(&mut self) {
        let Some(open) = &mut self.open else { return };
        open.state = State::Flowing;
        let Start { octets, origin } = open.start;
        self.events.push_back(Event::BodyStart { octets, origin });
        if let Some(octets) = open.quoted.take() {
            let (uid, named, sequence) = (open.uid, open.named, open.sequence);
            self.open = None;
            self.events.push_back(Event::Body(Cow::Owned(octets)));
            match named {
                true => self.body_whole(uid),
                false => self.unnamed(uid, sequence),
            }
        }
    }

    /// Nothing that was asked for ahead is wanted any more: it is drained.
    pub(super) fn drop_ahead(&mut self) {
        self.drop_before(self.sent.len());
    }

    pub(super) fn drop_before(&mut self, end: usize) {
        let held = match &self.open {
            Some(open) if open.is_held() => Some(open.uid),
            _ => None,
        };
        let mut dropped = false;
        for sent in self.sent.iter_mut().take(end) {
            if let What::Fetch(fetching) = &mut sent.what
                && fetching.demand == Demand::Ahead
            {
                fetching.demand = Demand::Dropped;
                dropped |= held == Some(fetching.fetch.uid);
            }
        }
        let Some(open) = self.open.as_mut().filter(|_| dropped) else {
            return;
        };
        if open.quoted.take().is_some() {
            let uid = open.uid;
            self.open = None;
            self.finish_fetch(uid, Got::All);
        } else {
            open.state = State::Skipped;
            self.reader.skip();
        }
    }

    /// What is still to come of the body under way is not needed.
    pub(super) fn enough(&mut self) {
        if let Some(open) = &mut self.open
            && matches!(open.state, State::Flowing | State::Complete)
        {
            open.state = State::Skipped;
            self.reader.skip();
        }
        // Nothing of it may be taken for an answer to what is asked next.
        self.events.retain(|event| {
            !matches!(
                event,
                Event::BodyStart { .. } | Event::Body(_) | Event::BodyEnd
            )
        });
        for sent in &mut self.sent {
            if let What::Fetch(fetching) = &mut sent.what
                && fetching.demand == Demand::Now
            {
                fetching.demand = Demand::Dropped;
            }
        }
    }
}
