//! The end of a line, where it may announce a literal, however the line is cut.

use crate::protocol::imap::grammar::{Literal, announced};

/// The end of a line that is cut in two: enough for a literal's announcement of 13 digits. One with a few
/// more is nobody's, and is not seen however the line is cut.
#[derive(Clone, Copy, Default)]
pub(super) struct Tail {
    octets: [u8; TAIL],
    length: u8,
}

/// What stands before it, `~{1234567890123+}` and a CR.
const TAIL: usize = 19;

/// What the end of a line of data announces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Announced {
    Nothing,
    /// A literal of so many octets.
    Literal(u64),
    /// What some take for a literal and some do not.
    Doubtful,
}

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

    /// The literal that a command's line announces whose last part this is, without its LF.
    pub(super) fn literal(&mut self, part: &[u8]) -> Option<Literal> {
        self.ending(part, announced)
    }

    /// The same of a line of a host's data.
    pub(super) fn announced(&mut self, part: &[u8]) -> Announced {
        let announced = self.ending(part, |line| Some(in_data(line)));
        announced.unwrap_or(Announced::Nothing)
    }

    /// What the line's end is read as, if it can announce anything.
    fn ending<T>(&mut self, part: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        let read = match part {
            // Most lines end otherwise, and most are whole.
            [.., b'}'] | [.., b'}', b'\r'] | [] | [b'\r'] => {
                let (joined, length) = self.join(part);
                let line = joined.get(length.saturating_sub(TAIL)..length)?;
                read(line.strip_suffix(b"\r").unwrap_or(line))
            }
            _ => None,
        };
        self.length = 0;
        read
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

/// What a host announces in data is sure as RFC 9051 §9 has it only: with nothing but digits, behind a
/// space, a parenthesis or the `~` of a `literal8`. An unquoted name may end in `{5}` as well.
fn in_data(line: &[u8]) -> Announced {
    let Some(inner) = line.strip_suffix(b"}") else {
        return Announced::Nothing;
    };
    let number = match inner {
        [number @ .., b'+' | b'-'] => number,
        number => number,
    };
    let digits = number.iter().rev().take_while(|it| it.is_ascii_digit());
    let start = number.len().saturating_sub(digits.count());
    let Some((before, digits)) = number.split_at_checked(start) else {
        return Announced::Nothing;
    };
    let sure = match (before, digits) {
        (_, []) => return Announced::Nothing,
        // Perhaps more digits than are kept.
        ([], _) => false,
        ([.., b' ' | b'(', b'{'] | [.., b' ' | b'(', b'~', b'{'], _) => number.len() == inner.len(),
        ([.., b'{'] | [.., b'{', b'-' | b'+'], _) => false,
        _ => return Announced::Nothing,
    };
    let literal = announced(line).filter(|_| sure);
    literal.map_or(Announced::Doubtful, |it| {
        Announced::Literal(it.octets as u64)
    })
}
