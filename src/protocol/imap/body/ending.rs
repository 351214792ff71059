//! How a fetch of a body ends: by the tagged answer, by a question whether the message is there, or with
//! the connection.

use std::io::Write as _;

use super::super::ask::{Cut, Event, Loss, NoBody};
use super::super::mailbox::{Mailbox, Probe, What};
use super::super::status::{Said, Status};
use super::{Demand, Fetching, Got, State};

impl Mailbox {
    /// The end of a fetch.
    pub(in crate::protocol::imap) fn fetched(&mut self, fetching: Fetching, said: &Said<'_>) {
        if fetching.demand != Demand::Now || fetching.got == Got::All {
            return;
        }
        let uid = fetching.fetch.uid;
        match (fetching.got, said.status) {
            (Got::Whole, _) => self.events.push_back(Event::BodyEnd),
            // A host that ends its answers backwards would do so again.
            (Got::OutOfTurn, _) if self.is_behind_body() => {
                self.events.push_back(Event::NoBody(NoBody::Unreadable));
            }
            (Got::OutOfTurn, _) => {
                self.send_fetch(Fetching::new(fetching.fetch, Demand::Now));
            }
            (Got::Unnamed, _) => {
                self.events.push_back(Event::BodyBroken(Cut::Wrong));
                self.die(Loss::Protocol("a UID in the row of a body"));
            }
            (_, Status::Bad) => {
                // Seen as the end of a session that the host has given up on.
                self.events.push_back(Event::NoBody(NoBody::Unreadable));
                self.die(Loss::Protocol("OK or NO to UID FETCH"));
            }
            (_, Status::No) if said.throttles() => {
                self.events.push_back(Event::NoBody(NoBody::Throttled));
            }
            (Got::RowOnly | Got::Other, _) => {
                self.events.push_back(Event::NoBody(NoBody::Unreadable));
            }
            (Got::Nothing | Got::Empty | Got::All, _) => self.ask_whether_there(uid),
        }
    }

    /// Whether octets of a message came and the answer they are in has not ended: nothing but responses
    /// may stand there.
    pub(in crate::protocol::imap) fn is_behind_body(&self) -> bool {
        let mut sent = self.sent.iter();
        sent.any(|sent| matches!(&sent.what, What::Fetch(fetching) if fetching.is_under_way()))
    }

    /// `NOOP`, `UID FETCH u (UID)`: the only evidence that a message is gone.
    fn ask_whether_there(&mut self, uid: u32) {
        self.drop_ahead();
        self.probe = Some(Probe { uid, seen: false });
        self.send(What::Nothing, |out| out.extend_from_slice(b"NOOP"));
        self.send(What::Probe, |out| {
            let _ = write!(out, "UID FETCH {uid} (UID)");
        });
    }

    /// The answer to that.
    pub(in crate::protocol::imap) fn probed(&mut self, said: &Said<'_>) {
        let Some(probe) = self.probe.take() else {
            return;
        };
        let gone = said.status == Status::Ok && !probe.seen;
        self.events.push_back(Event::NoBody(match gone {
            true => NoBody::Gone,
            false => NoBody::Unreadable,
        }));
    }

    /// What the end of the connection means for the body under way.
    pub(in crate::protocol::imap) fn body_lost(&mut self, loss: &Loss) -> Option<Event<'static>> {
        let open = self.open.take();
        let whole = self.now().is_some_and(|now| now.got == Got::Whole);
        let named = match open {
            Some(open) if matches!(open.state, State::Flowing | State::Complete) => {
                self.finish_fetch(open.uid, Got::All);
                open.named
            }
            _ if whole => true,
            _ => return None,
        };
        // The message was named: what came of it is its beginning, or all. Not so where the row, or what
        // stands behind it, is not as it should be: the length may have been wrong.
        Some(match (loss, named) {
            (Loss::Closed, true) => Event::BodyBroken(Cut::Lost),
            _ => Event::BodyBroken(Cut::Wrong),
        })
    }
}
