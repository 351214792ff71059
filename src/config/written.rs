//! What stands at a place of a stream: its octets are kept until the reader of it is past them.
//!
//! YAML's reader gives a number as it understood it, and of a stream no text to look it up in. But
//! `12e3` and `12000` are two users.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

/// Octets that may be behind the reader before room is made of them.
const BEHIND: usize = 64 * 1024;

/// What may stand at the start of UTF-8 (RFC 3629 §6).
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// The octets of a stream that were read, from where its reader has come to.
#[derive(Clone, Default)]
pub(super) struct Written(Rc<RefCell<Kept>>);

#[derive(Default)]
struct Kept {
    octets: Vec<u8>,
    /// How far in them the reader is.
    at: usize,
    /// How many characters of the stream that is.
    characters: u64,
}

impl Written {
    /// The same stream, whose octets are kept as they are read.
    pub(super) fn of<R: Read>(&self, reader: R) -> impl Read + use<R> {
        Keeping {
            reader,
            kept: self.clone(),
        }
    }

    /// The reader is at this character of the stream: what is before is needed no more.
    pub(super) fn pass(&self, start: u64) {
        self.0.borrow_mut().pass(start);
    }

    /// The text of so many characters from a character on; what is before is needed no more.
    pub(super) fn text(&self, start: u64, length: u64) -> Option<Box<str>> {
        let mut kept = self.0.borrow_mut();
        kept.pass(start);
        if kept.characters != start {
            return None;
        }
        let rest = kept.octets.get(kept.at..)?;
        let text = rest.get(..behind(rest, length)?)?;
        Some(std::str::from_utf8(text).ok()?.into())
    }
}

impl Kept {
    fn pass(&mut self, start: u64) {
        // The mark of UTF-8 is no character to YAML's reader.
        if self.at == 0 && self.characters == 0 && self.octets.starts_with(MARK) {
            self.at = MARK.len();
        }
        let Some(characters) = start.checked_sub(self.characters) else {
            return;
        };
        let rest = self.octets.get(self.at..).unwrap_or_default();
        if let Some(length) = behind(rest, characters) {
            self.at += length;
            self.characters = start;
        }
    }

    fn keep(&mut self, octets: &[u8]) {
        if self.at > BEHIND && self.at > self.octets.len() / 2 {
            self.octets.drain(..self.at);
            self.at = 0;
        }
        self.octets.extend_from_slice(octets);
    }
}

/// How many octets so many characters are; none: there are fewer.
fn behind(octets: &[u8], characters: u64) -> Option<usize> {
    let characters = usize::try_from(characters).ok()?;
    // Nearly all of it is ASCII.
    if octets.get(..characters)?.is_ascii() {
        return Some(characters);
    }
    let begins = |c: &u8| *c & 0xC0 != 0x80;
    let mut starts = octets.iter().enumerate().filter(|(_, c)| begins(c));
    match starts.nth(characters) {
        Some((at, _)) => Some(at),
        None => {
            let all = octets.iter().filter(|c| begins(c)).count();
            (all == characters).then_some(octets.len())
        }
    }
}

struct Keeping<R> {
    reader: R,
    kept: Written,
}

impl<R: Read> Read for Keeping<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        let octets = buffer.get(..length).unwrap_or_default();
        self.kept.0.borrow_mut().keep(octets);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_is_let_go_and_what_is_ahead_is_found() {
        let line = "é@example.com: 12e3\n";
        let whole = line.repeat(40_000);
        let written = Written::default();
        let mut reader = written.of(whole.as_bytes());
        let mut buffer = [0; 8 * 1024];
        let (mut read, each) = (0, line.chars().count() as u64);
        for start in (0..).map(|n| n * each).take(40_000) {
            // It has read ahead, as far as it likes.
            while read < whole.len() && (read as u64) < (start + 3 * each) * 21 / 20 {
                read += reader.read(&mut buffer).unwrap();
            }
            written.pass(start);
            assert_eq!(written.text(start + 15, 4).as_deref(), Some("12e3"));
            assert_eq!(written.text(start, 1), None, "it is behind");
            assert!(written.0.borrow().octets.len() <= 4 * BEHIND);
        }
        assert_eq!(written.text(40_000 * each, 1), None, "there is no more");
        assert_eq!(written.text(40_000 * each, 0).as_deref(), Some(""));
    }
}
