//! The host's side of a relayed session: where in a response it is, and whose answer that is.

use super::tail::{Announced, Tail};
use super::{HASH, Hash, hash};
use crate::protocol::imap::first::First;

/// The host's side: where in a response it is.
#[derive(Default)]
pub(super) struct Answering {
    pub(super) said: Said,
    /// Octets of a literal still to come.
    pub(super) literal: u64,
    tail: Tail,
    pub(super) place: Place,
}

/// Whether it is known where in a response the host is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Known,
    /// Something came that is no response, or that the client may read otherwise: what looks like a line
    /// may stand in a mail. It stays so: what a mail holds can look like responses for as long as its
    /// writer likes.
    Doubtful,
}

/// What a response is, as far as it was read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Said {
    /// Between responses.
    #[default]
    Nothing,
    /// `*`, and nothing behind it yet.
    Star,
    Untagged(First),
    Continue,
    /// Inside the tag.
    Tag(Hash),
    Tagged(Hash, First),
}

impl Said {
    /// Whether it is a status response, as far as it was read.
    pub(super) fn is_status(self) -> bool {
        match self {
            Said::Untagged(first) | Said::Tagged(_, first) => first.is_status(),
            Said::Nothing | Said::Star | Said::Continue | Said::Tag(_) => false,
        }
    }

    /// Whether it says that what the client said is none.
    pub(super) fn is_bad(self) -> bool {
        matches!(
            self,
            Said::Untagged(First::Bad) | Said::Tagged(_, First::Bad)
        )
    }

    /// Whether this is a response, now that its line is at its end.
    fn is_response(self) -> bool {
        match self {
            // An empty line is as if it were not there.
            Said::Nothing | Said::Continue => true,
            Said::Untagged(first) => first == First::Data || first.is_status(),
            Said::Tagged(_, first) => matches!(first, First::Ok | First::No | First::Bad),
            Said::Star | Said::Tag(_) => false,
        }
    }
}

impl Answering {
    /// Reads a response's first words; of most it is one octet.
    pub(super) fn look(&mut self, line: &[u8]) {
        for &octet in line {
            self.said = match (self.said, octet) {
                // An empty line, or a stray CR before a response: as if it were not there.
                (Said::Nothing, b'\r' | b'\n') => Said::Nothing,
                (Said::Nothing, b'*') => Said::Star,
                (Said::Star, b' ') => Said::Untagged(First::default()),
                // No tag begins so.
                (Said::Star, _) | (Said::Nothing, b' ') => Said::Tagged(HASH, First::Data),
                (Said::Nothing, b'+') => Said::Continue,
                (Said::Nothing, _) => Said::Tag(hash(HASH, octet)),
                (Said::Tag(tag), b' ' | b'\r' | b'\n') => Said::Tagged(tag, First::default()),
                (Said::Tag(tag), _) => Said::Tag(hash(tag, octet)),
                (Said::Untagged(first), _) if first.is_open() => Said::Untagged(first.read(octet)),
                (Said::Tagged(tag, first), _) if first.is_open() => {
                    Said::Tagged(tag, first.read(octet))
                }
                (Said::Untagged(_) | Said::Continue | Said::Tagged(..), _) => return,
            };
        }
    }

    /// Keeps the end of a part of a line.
    pub(super) fn line_goes_on(&mut self, part: &[u8]) {
        self.tail.keep(part);
    }

    /// The line is at its end whose last part this is, without its LF: the literal that goes on in its
    /// stead, if one may stand there.
    pub(super) fn line_ends(&mut self, part: &[u8]) -> Option<u64> {
        let announced = self.tail.announced(part);
        let announced = match self.said {
            Said::Untagged(First::Data) => announced,
            _ => Announced::Nothing,
        };
        match announced {
            Announced::Literal(octets) => return Some(octets),
            Announced::Nothing if self.said.is_response() => {}
            Announced::Nothing | Announced::Doubtful => self.place = Place::Doubtful,
        }
        None
    }
}
