//! The end of a line, where it may announce a literal, however the line is cut.

use crate::protocol::imap::grammar::{Literal, announced};

/// The end of a line that is cut in two: enough for a literal's announcement of 13 digits. One with
/// more is nobody's, and is not seen however the line is cut.
#[derive(Clone, Copy, Default)]
pub(super) struct Tail {
    octets: [u8; TAIL],
    length: u8,
}

/// `{1234567890123+}` and a CR.
const TAIL: usize = 17;

impl Tail {
    /// Keeps the end of a part of a line.
    pub(super) fn keep(&mut self, part: &[u8]) {
        let (joined, length) = self.join(part);
        self.octets = [0; TAIL];
        let last = joined.get(length.saturating_sub(TAIL)..length);
        let last = last.unwrap_or_default();
        for (place, octet) in self.octets.iter_mut().zip(last) {
            *place = *octet;
        }
        self.length = last.len() as u8;
    }

    /// The literal that the line announces whose last part this is, without its LF.
    pub(super) fn literal(&mut self, part: &[u8]) -> Option<Literal> {
        let literal = match part {
            // Most lines end otherwise, and most are whole.
            [.., b'}'] | [.., b'}', b'\r'] | [] | [b'\r'] => {
                let (joined, length) = self.join(part);
                let line = joined.get(length.saturating_sub(TAIL)..length)?;
                announced(line.strip_suffix(b"\r").unwrap_or(line))
            }
            _ => None,
        };
        self.length = 0;
        literal
    }

    /// What is kept, and the last of `part` behind it.
    fn join(&self, part: &[u8]) -> ([u8; 2 * TAIL], usize) {
        let mut joined = [0; 2 * TAIL];
        let kept = self.octets.get(..usize::from(self.length));
        let last = part.get(part.len().saturating_sub(TAIL)..);
        let all = kept.into_iter().chain(last).flatten();
        let mut length = 0_usize;
        for (place, octet) in joined.iter_mut().zip(all) {
            *place = *octet;
            length = length.saturating_add(1);
        }
        (joined, length)
    }
}
