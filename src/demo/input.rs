//! Cuts what the client sends into commands: lines and literals (RFC 3501 §4.3, RFC 7888), below the
//! grammar, so that a literal's octets can never be read as a command. Holds one command at most,
//! within named bounds; a literal never allocates by its announcement.

use bytes::Bytes;

/// Longest command text, literals that are not mail included. RFC 7162 §4 asks for 8 KiB at
/// least; clients that list UIDs one by one write long ones.
pub(super) const LINE: usize = 64 * 1024;
/// Longest piece of a literal kept before the next octets have come.
const FIRST_ALLOCATION: usize = 64 * 1024;

/// A piece of a command. A text that is followed by a literal is given without its `{n}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Vec<u8>),
    Literal(Bytes),
}

/// What [`Input::frame`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Nothing whole: more octets are needed.
    More,
    /// A whole command, without its last line end.
    Command(Vec<Piece>),
    /// A literal is announced: call [`Input::keep`], [`Input::skip`] or [`Input::forget`].
    Announced { size: u64, kind: Kind },
    /// A command longer than [`LINE`]. Nothing can be read behind it.
    TooLong,
}

/// Whether the client waits for a `+` before it sends a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `{n}`
    Synchronizing,
    /// `{n+}`
    NonSynchronizing,
}

enum Filling {
    Keep { content: Vec<u8>, left: usize },
    Skip { left: u64 },
}

/// The client's octets, and the command that is being gathered.
#[derive(Default)]
pub(super) struct Input {
    buffer: Vec<u8>,
    /// Octets at the start of the buffer that were used up.
    used: usize,
    /// Octets behind them that hold no line end.
    scanned: usize,
    pieces: Vec<Piece>,
    /// Octets in `pieces` that count against [`LINE`].
    held: usize,
    filling: Option<Filling>,
}

impl Input {
    /// Takes octets from the client.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.used.min(self.buffer.len()));
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The command so far, for a decision on a literal.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// How many more octets of text the command may have.
    pub(super) fn room(&self) -> usize {
        LINE.saturating_sub(self.held)
    }

    /// The next line as it is, without literals: for SASL and IDLE. `Err` if it is too long.
    pub(super) fn line(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        let unseen = rest.get(self.scanned..).unwrap_or_default();
        let end = memchr::memchr(b'\n', unseen).map(|at| self.scanned + at);
        let length = end.unwrap_or(rest.len());
        if length > self.room() {
            return Err(TooLong);
        }
        let Some(end) = end else {
            self.scanned = rest.len();
            return Ok(None);
        };
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        self.used += end + 1;
        self.scanned = 0;
        Ok(Some(line))
    }

    /// What has come.
    pub(super) fn frame(&mut self) -> Frame {
        if !self.fill() {
            return Frame::More;
        }
        let mut line = match self.line() {
            Err(TooLong) => return Frame::TooLong,
            Ok(None) => return Frame::More,
            Ok(Some(line)) => line,
        };
        self.held += line.len();
        let announced = announcement(&line);
        if let Some((text, ..)) = announced {
            line.truncate(text);
        }
        self.pieces.push(Piece::Text(line));
        match announced {
            Some((_, size, kind)) => Frame::Announced { size, kind },
            None => {
                self.held = 0;
                Frame::Command(std::mem::take(&mut self.pieces))
            }
        }
    }

    /// Takes the literal that was announced; `counted` of its octets count against [`LINE`].
    pub(super) fn keep(&mut self, size: usize, counted: usize) {
        self.held = self.held.saturating_add(counted);
        let content = Vec::with_capacity(size.min(FIRST_ALLOCATION));
        self.filling = Some(Filling::Keep {
            content,
            left: size,
        });
    }

    /// Reads the literal that was announced and throws it away; the command goes on behind it.
    pub(super) fn skip(&mut self, size: u64) {
        self.filling = Some(Filling::Skip { left: size });
    }

    /// Throws the command away: the client waits for a `+` and will be told no.
    pub(super) fn forget(&mut self) {
        self.pieces.clear();
        self.held = 0;
    }

    /// Fills the literal that is being read; `false` while it is not whole.
    fn fill(&mut self) -> bool {
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        let (taken, done) = match &mut self.filling {
            None => return true,
            Some(Filling::Keep { content, left }) => {
                let chunk = rest.get(..*left).unwrap_or(rest);
                content.extend_from_slice(chunk);
                *left -= chunk.len();
                (chunk.len(), *left == 0)
            }
            Some(Filling::Skip { left }) => {
                let taken = usize::try_from(*left).map_or(rest.len(), |n| n.min(rest.len()));
                *left -= taken as u64;
                (taken, *left == 0)
            }
        };
        self.used += taken;
        if done {
            let content = match self.filling.take() {
                Some(Filling::Keep { content, .. }) => content.into(),
                _ => Bytes::new(),
            };
            self.pieces.push(Piece::Literal(content));
        }
        done
    }
}

/// A line, or a command, is longer than [`LINE`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// A line's `{n}` or `{n+}`: where it starts, the size, the kind. More than 18 digits are no
/// number anybody means: the grammar will refuse them.
fn announcement(line: &[u8]) -> Option<(usize, u64, Kind)> {
    let inner = line.strip_suffix(b"}")?;
    let (inner, kind) = match inner.strip_suffix(b"+") {
        Some(inner) => (inner, Kind::NonSynchronizing),
        None => (inner, Kind::Synchronizing),
    };
    let digits = inner.iter().rev().take_while(|b| b.is_ascii_digit());
    let start = inner.len().checked_sub(digits.count())?;
    let (before, digits) = inner.split_at_checked(start)?;
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let text = before.strip_suffix(b"{")?.len();
    let size = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((text, size, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.as_bytes().to_vec())
    }

    fn literal(content: &'static str) -> Piece {
        Piece::Literal(content.into())
    }

    /// Every command in the octets, literals kept, cut at every `step` octets.
    fn commands(octets: &[u8], step: usize) -> Vec<Vec<Piece>> {
        let mut input = Input::default();
        let mut found = Vec::new();
        for chunk in octets.chunks(step) {
            input.receive(chunk);
            loop {
                match input.frame() {
                    Frame::More => break,
                    Frame::Command(pieces) => found.push(pieces),
                    Frame::Announced { size, .. } => input.keep(size as usize, size as usize),
                    Frame::TooLong => panic!("too long"),
                }
            }
        }
        found
    }

    #[test]
    fn however_it_is_cut() {
        let octets = b"a NOOP\r\nb LOGIN {4}\r\nde\nm {4+}\r\n}{1}\r\nc X {0}\r\n\nd Y \"{3}\"\r\n";
        let expected = vec![
            vec![text("a NOOP")],
            vec![
                text("b LOGIN "),
                literal("de\nm"),
                text(" "),
                literal("}{1}"),
                text(""),
            ],
            vec![text("c X "), literal(""), text("")],
            vec![text("d Y \"{3}\"")],
        ];
        for step in 1..octets.len() {
            assert_eq!(commands(octets, step), expected, "cut at {step}");
        }
    }

    #[test]
    fn announcements() {
        use Kind::{NonSynchronizing, Synchronizing};
        for (line, found) in [
            ("a {5}", Some((2, 5, Synchronizing))),
            ("a {5+}", Some((2, 5, NonSynchronizing))),
            ("{4294967296}", Some((0, 4_294_967_296, Synchronizing))),
            ("a {}", None),
            ("a {+}", None),
            ("a 5}", None),
            ("a {-5}", None),
            ("a {5 }", None),
            ("a {9999999999999999999}", None),
            ("}", None),
            ("", None),
        ] {
            assert_eq!(announcement(line.as_bytes()), found, "{line}");
        }
    }

    #[test]
    fn a_line_has_an_end() {
        let mut input = Input::default();
        for _ in 0..LINE / 1024 {
            input.receive(&[b'a'; 1024]);
            assert_eq!(input.frame(), Frame::More);
        }
        input.receive(b"a");
        assert_eq!(input.frame(), Frame::TooLong);
    }

    #[test]
    fn literals_count_too() {
        let mut input = Input::default();
        input.receive(b"a {65000+}\r\n");
        assert!(matches!(input.frame(), Frame::Announced { .. }));
        input.keep(65000, 65000);
        input.receive(&[b'x'; 65000]);
        input.receive(&[b'y'; 600]);
        assert_eq!(input.frame(), Frame::TooLong);
    }

    #[test]
    fn what_is_skipped_leaves_no_trace() {
        let mut input = Input::default();
        input.receive(b"a APPEND x {6+}\r\nA NOOP\r\nb NOOP\r\n");
        assert!(matches!(input.frame(), Frame::Announced { size: 6, .. }));
        input.skip(6);
        assert!(matches!(input.frame(), Frame::Command(c) if c.len() == 3));
        assert_eq!(input.frame(), Frame::Command(vec![text("b NOOP")]));
    }
}
