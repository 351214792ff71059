//! Which literals of a client's are skipped, and which are read as lines, too.
//!
//! A host that is known to have no UNAUTHENTICATE (RFC 8437) has nothing to hide: its word is taken. Another
//! is not trusted to read as RFC 9051 has it, for what it does with an error is its own. Of a line that it
//! refuses, one swallows the literals and one takes their octets for commands, and one drops whatever it has
//! read at once and begins anew, in the middle of a line. So UNAUTHENTICATE is looked for wherever it may
//! stand, and only one literal is skipped: the mail of an APPEND that is [`plain`](super::plain) to every
//! host, with nothing before it unanswered, no BAD heard and no IDLE out of its place.
//!
//! To read that mail both ways as well would make all this needless, at the price that none with the word in
//! it could be stored: a client that copies a folder would fail at it for ever. So that is only where a
//! session is odd. A command that is plain may still be refused: its mailbox is not there, its date none of
//! the calendar. RFC 7888 §4 has the host read the octets then, or close, and those that are known to
//! have UNAUTHENTICATE do: they read a plain line to its end before they look at what it means. What they
//! say before the literal is whole makes the rest of it doubtful.

use super::asking::{Body, Breadth};
use super::{Compress, Counted, Framing};
use crate::protocol::imap::grammar::{Literal, LiteralKind};

/// The longest mail of whose length every host makes the same number.
const SURE: u64 = i32::MAX as u64;

impl Framing {
    /// The client's line in `head` has its end. Between commands it may be blank.
    pub(super) fn client_line(&mut self, literal: Option<Literal>) {
        if !self.client.within {
            // To some this is a command, and a bad one.
            self.client.next_command();
            if self.breadth() == Breadth::Words {
                self.doubt();
            }
            return;
        }
        match literal {
            Some(literal) => {
                let octets = literal.octets as u64;
                self.client.body = match (literal.kind, self.breadth()) {
                    (LiteralKind::Synchronizing, _) => Body::Awaited(octets),
                    (LiteralKind::NonSynchronizing, _) if !self.offers.literals.take(octets) => {
                        Body::Doubtful(octets)
                    }
                    (LiteralKind::NonSynchronizing, Breadth::Verbs) if self.nothing_asks() => {
                        Body::Literal(octets)
                    }
                    (LiteralKind::NonSynchronizing, Breadth::Words) if self.open.is_none() => {
                        self.watched(octets)
                    }
                    (LiteralKind::NonSynchronizing, _) => Body::Doubtful(octets),
                };
            }
            None => self.client_command(),
        }
    }

    /// A literal that a host has said to take which may have UNAUTHENTICATE.
    fn watched(&self, octets: u64) -> Body {
        let sure = self.nothing_asks()
            && self.outstanding == 0
            && self.client.plain.announces()
            && octets <= SURE;
        match sure {
            true => Body::Literal(octets),
            false => Body::Watched(octets),
        }
    }

    /// Where in what the client says commands that must not pass are looked for.
    pub(super) fn breadth(&self) -> Breadth {
        match self.offers.compress {
            Compress::Passes => Breadth::Verbs,
            Compress::Refused | Compress::Unknown => Breadth::Words,
        }
    }

    /// The host may read otherwise than we do from here on.
    pub(super) fn doubt(&mut self) {
        self.counted = Counted::Perhaps;
        if let Body::Literal(left) = self.client.body {
            self.client.body = Body::Watched(left);
        }
    }

    /// `+`: the host wants more. That it wants *this* literal is certain only while no other command
    /// could have asked.
    pub(super) fn continuation(&mut self) {
        if let Body::Awaited(octets) = self.client.body {
            self.client.body = if self.outstanding == 0 && self.nothing_asks() {
                match self.breadth() {
                    Breadth::Verbs => Body::Literal(octets),
                    Breadth::Words => self.watched(octets),
                }
            } else {
                Body::Doubtful(octets)
            };
        }
    }

    /// Whether no command is under way that takes lines which are no commands.
    fn nothing_asks(&self) -> bool {
        self.open.is_none() && self.counted == Counted::All
    }
}
