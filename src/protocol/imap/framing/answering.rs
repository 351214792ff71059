//! The host's side of a relayed session: where in a response it is, and whose answer that is.

use super::tail::Tail;
use super::{HASH, Hash, hash};

/// The host's side: where in a response it is.
#[derive(Default)]
pub(super) struct Answering {
    pub(super) said: Said,
    /// Octets of a literal still to come.
    pub(super) literal: u64,
    pub(super) tail: Tail,
}

/// What a response is, as far as it was read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Said {
    /// Between responses.
    #[default]
    Nothing,
    Untagged,
    Continue,
    /// Inside the tag.
    Tag(Hash),
    Tagged(Hash, Status),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Unread,
    Ok,
    /// NO or BAD.
    Other,
}

impl Answering {
    /// Reads a response's first words; of most it is one octet.
    pub(super) fn look(&mut self, line: &[u8]) {
        for &octet in line {
            self.said = match (self.said, octet) {
                // An empty line, or a stray CR before a response: as if it were not there.
                (Said::Nothing, b'\r' | b'\n') => Said::Nothing,
                (Said::Nothing, b'*') => Said::Untagged,
                (Said::Nothing, b'+') => Said::Continue,
                (Said::Nothing, _) => Said::Tag(hash(HASH, octet)),
                (Said::Tag(tag), b' ' | b'\r' | b'\n') => Said::Tagged(tag, Status::Unread),
                (Said::Tag(tag), _) => Said::Tag(hash(tag, octet)),
                (Said::Tagged(tag, Status::Unread), b'O' | b'o') => Said::Tagged(tag, Status::Ok),
                (Said::Tagged(tag, Status::Unread), _) => Said::Tagged(tag, Status::Other),
                (Said::Untagged | Said::Continue | Said::Tagged(..), _) => return,
            };
        }
    }
}
