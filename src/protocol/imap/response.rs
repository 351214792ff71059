//! Cuts what a logged-in host sends into responses (RFC 9051 §2.2.2, §4.3), without ever holding a
//! message: a literal can be streamed, kept (a short one) or skipped, as whoever reads decides.
//!
//! Below the grammar: the octets of a literal cannot be read as a response, whatever they hold. In
//! the line that is handed out, a kept literal stands as a quoted string and any other as [`MARK`].

#[cfg(test)]
mod tests;

use memchr::memchr;

use super::first::may_hold_literals;
use super::uid_set::number64;

/// Stands in a line for a literal that was streamed or skipped. NUL cannot occur in a line.
pub const MARK: u8 = 0;

/// Longest line, kept literals included. Rows of a listing have 50 octets, the longest honest lines
/// are lists of capabilities and flags; a body may come as a quoted string. Longer lists of UIDs
/// are handed out in parts.
pub const LONGEST_LINE: usize = 64 * 1024;

/// From this length on, a list of UIDs is handed out in parts.
const PART: usize = 16 * 1024;

/// Longest literal that is kept: names of mailboxes.
const LONGEST_KEPT: u64 = 4 * 1024;

/// The host's octets make no sense as IMAP: what was expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonsense(pub &'static str);

/// The next piece of a conversation.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole response without its line end. A list of UIDs too long for one line comes as several
    /// lines, each with the beginning of the response.
    Line(&'a [u8]),
    /// A literal begins; `text` is the line up to it. The reader keeps it if it is short and skips
    /// it if not, unless [`Reader::stream`] is called now.
    Literal {
        /// Its announced length.
        octets: u64,
        /// The line so far, without the announcement.
        text: &'a [u8],
    },
    /// So many octets of the input (the last ones consumed) belong to the streamed literal.
    Octets(usize),
    /// The streamed literal is complete.
    End,
}

/// Cuts responses.
#[derive(Debug, Default)]
pub struct Reader {
    /// What is there of the current line.
    line: Vec<u8>,
    /// The first part of a long list, while it is handed out.
    part: Vec<u8>,
    /// Whether `line` was handed out and is to be dropped before more is read.
    spent: Spent,
    at: At,
    /// The last octet of the literal that is streamed.
    last: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Spent {
    #[default]
    No,
    Yes,
}

/// Where the next octet falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Text,
    /// In a literal with so many octets to come.
    Literal(u64, Fate),
    /// Right behind a streamed literal, and what should not be there.
    Behind(Stray),
}

/// What stands behind a literal before its row goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stray {
    Nothing,
    Cr,
    LineEnd,
}

/// What becomes of a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Skipped,
    Streamed,
}

impl Reader {
    /// The literal just announced is to be streamed.
    pub fn stream(&mut self) {
        if let At::Literal(left, fate) = self.at {
            if fate == Fate::Kept {
                self.line.pop(); // the quote opened for it
            }
            self.at = At::Literal(left, Fate::Streamed);
            self.last = 0;
        }
    }

    /// What is still to come of a streamed literal is not of interest any more.
    pub fn skip(&mut self) {
        if let At::Literal(left, Fate::Streamed) = self.at {
            self.at = At::Literal(left, Fate::Skipped);
        }
    }

    /// Octets held.
    pub fn held(&self) -> usize {
        self.line.len()
    }

    /// Gives the memory of the line back, between responses.
    pub fn rest(&mut self) {
        if self.line.is_empty() || self.spent == Spent::Yes {
            self.line = Vec::new();
            self.spent = Spent::No;
        }
    }

    /// Takes octets: how many were consumed, and the piece they completed. `None`: all were
    /// consumed, more are needed.
    pub fn next<'a>(&'a mut self, input: &'a [u8]) -> (usize, Result<Option<Piece<'a>>, Nonsense>) {
        if self.spent == Spent::Yes {
            self.line.clear();
            self.spent = Spent::No;
        }
        if !self.part.is_empty() {
            self.part = Vec::new();
        }
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            match self.at {
                At::Literal(0, Fate::Streamed) => {
                    self.line.push(MARK);
                    self.at = At::Behind(Stray::Nothing);
                    return (used, Ok(Some(Piece::End)));
                }
                At::Literal(0, Fate::Kept) => {
                    self.line.push(b'"');
                    self.at = At::Text;
                }
                At::Literal(0, Fate::Skipped) => {
                    self.line.push(MARK);
                    self.at = At::Text;
                }
                At::Literal(left, fate) => {
                    let here = left.min(rest.len() as u64) as usize;
                    if here == 0 {
                        return (used, Ok(None));
                    }
                    self.at = At::Literal(left.saturating_sub(here as u64), fate);
                    used = used.saturating_add(here);
                    match fate {
                        Fate::Streamed => {
                            let last = rest.get(..here).and_then(<[u8]>::last);
                            self.last = last.copied().unwrap_or_default();
                            return (used, Ok(Some(Piece::Octets(here))));
                        }
                        Fate::Skipped => {}
                        Fate::Kept => self.quote(rest.get(..here).unwrap_or_default()),
                    }
                }
                At::Behind(stray) => {
                    let next = match (stray, rest.first()) {
                        (_, None) => return (used, Ok(None)),
                        (Stray::Nothing | Stray::LineEnd, Some(b')' | b' ')) => {
                            self.at = At::Text;
                            continue;
                        }
                        // A literal announced one line end short (seen in the field): its end stands
                        // where the list should go on. Not half of one.
                        (Stray::Nothing, Some(b'\r')) => Stray::Cr,
                        (Stray::Nothing, Some(b'\n')) if self.last != b'\r' => Stray::LineEnd,
                        (Stray::Cr, Some(b'\n')) => Stray::LineEnd,
                        _ => return (used, Err(Nonsense("')' behind a literal"))),
                    };
                    used = used.saturating_add(1);
                    self.at = At::Behind(next);
                }
                At::Text => {
                    let end = memchr(b'\n', rest);
                    // The common case copies nothing: a whole line within the input.
                    if let (Some(end), true) = (end, self.line.is_empty()) {
                        let here = without_cr(rest.get(..end).unwrap_or_default());
                        if here.last() != Some(&b'}') {
                            return (
                                used.saturating_add(end).saturating_add(1),
                                Ok(Some(Piece::Line(here))),
                            );
                        }
                    }
                    let room = LONGEST_LINE.saturating_sub(self.line.len().min(LONGEST_LINE));
                    let Some(end) = end.filter(|&end| end <= room) else {
                        let here = rest.get(..room).unwrap_or(rest);
                        self.line.extend_from_slice(here);
                        used = used.saturating_add(here.len());
                        if let Some(cut) = long_list(&self.line) {
                            return (used, Ok(Some(self.part(cut))));
                        }
                        if self.line.len() >= LONGEST_LINE {
                            return (used, Err(Nonsense("a line of at most 64 KiB")));
                        }
                        return (used, Ok(None));
                    };
                    used = used.saturating_add(end.saturating_add(1));
                    self.line
                        .extend_from_slice(rest.get(..end).unwrap_or_default());
                    if self.line.last() == Some(&b'\r') {
                        self.line.pop();
                    }
                    match announced(&self.line) {
                        Err(nonsense) => return (used, Err(nonsense)),
                        Ok(None) => {
                            self.spent = Spent::Yes;
                            return (used, Ok(Some(Piece::Line(&self.line))));
                        }
                        Ok(Some((start, octets))) => {
                            self.line.truncate(start);
                            let room = (LONGEST_LINE.saturating_sub(self.line.len())) as u64 / 2;
                            let fate = match octets <= LONGEST_KEPT.min(room) {
                                true => Fate::Kept,
                                false => Fate::Skipped,
                            };
                            self.at = At::Literal(octets, fate);
                            if fate == Fate::Kept {
                                self.line.push(b'"');
                            }
                            let text = self.line.get(..start).unwrap_or_default();
                            return (used, Ok(Some(Piece::Literal { octets, text })));
                        }
                    }
                }
            }
        }
    }

    fn quote(&mut self, octets: &[u8]) {
        for &octet in octets {
            match octet {
                b'"' | b'\\' => self.line.extend_from_slice(&[b'\\', octet]),
                // Nothing in a line may look like its end or like a mark.
                b'\r' | b'\n' | MARK => self.line.push(b'?'),
                _ => self.line.push(octet),
            }
        }
    }

    /// Hands out the line up to `cut`; what stands behind it becomes a line with the same beginning.
    fn part(&mut self, cut: usize) -> Piece<'_> {
        let tail = self.line.split_off(cut);
        let beginning = match self.line.starts_with(SEARCH) {
            true => SEARCH,
            false => match memchr::memrchr(b' ', &self.line) {
                Some(space) => self.line.get(..=space).unwrap_or_default(),
                None => &[],
            },
        };
        let mut next = Vec::with_capacity(PART * 2);
        next.extend_from_slice(beginning);
        next.extend_from_slice(tail.get(1..).unwrap_or_default());
        self.part = std::mem::replace(&mut self.line, next);
        Piece::Line(&self.part)
    }
}

const SEARCH: &[u8] = b"* SEARCH ";

/// Where a list of UIDs can be cut, if the line is one.
fn long_list(line: &[u8]) -> Option<usize> {
    if line.len() < PART {
        return None;
    }
    let separator = if line.starts_with(SEARCH) {
        b' '
    } else if line.starts_with(b"* ESEARCH ") || line.starts_with(b"* VANISHED ") {
        b','
    } else {
        return None;
    };
    memchr::memrchr(separator, line).filter(|&cut| cut > PART / 2)
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Where the announcement of a literal starts in a line that ends with one, and its length.
fn announced(line: &[u8]) -> Result<Option<(usize, u64)>, Nonsense> {
    let Some(text) = line.strip_suffix(b"}") else {
        return Ok(None);
    };
    let Some(open) = memchr::memrchr(b'{', text) else {
        return Ok(None);
    };
    if !may_hold_literals(line) {
        return Ok(None);
    }
    let digits = text.get(open.saturating_add(1)..).unwrap_or_default();
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    let start = match open.checked_sub(1) {
        Some(before) if line.get(before) == Some(&b'~') => before,
        _ => open,
    };
    match number64(digits) {
        Some(octets) => Ok(Some((start, octets))),
        // The length of a literal is never guessed (seen: negative ones).
        None if line.get(2).is_some_and(u8::is_ascii_digit) => {
            Err(Nonsense("the length of a literal"))
        }
        None => Ok(None),
    }
}
