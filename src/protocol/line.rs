//! Lines from strangers: bounded, cut below the grammar.
//!
//! [`Lines`] takes octets in chunks and gives them back as lines, as literals of a known length, or
//! as whatever is left. A line ends with CRLF or a bare LF; what a bare CR or a NUL inside a line
//! means is each protocol's decision, so they are left in it. Since the octets may be passwords,
//! whatever is read, moved or dropped is wiped, and nothing is ever scanned twice for its end.

use zeroize::{Zeroize, Zeroizing};

use super::READ_CHUNK;

/// Octets that may be secret: wiped when dropped.
pub type Octets = Zeroizing<Vec<u8>>;

/// A line is longer than the limit. Said again until [`Lines::clear`]: nothing of the line is lost or
/// skipped, since who skips a line whose end nobody has seen might take its middle for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Octets received and not yet read, given back in lines.
///
/// Holds at most `limit` + 2 octets without a line end, and one chunk behind them: as long as the
/// owner reads all there is before it pushes again, that is `limit + 2 + READ_CHUNK`. An owner that
/// does not is stopped at one chunk more, by [`TooLong`].
pub struct Lines {
    buffer: Octets,
    /// First unread octet.
    start: usize,
    /// How many unread octets are known to hold no LF.
    scanned: usize,
    /// Longest line in octets, without its line end.
    limit: usize,
    overflow: Overflow,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    No,
    /// Octets were pushed that found no room; nothing behind them can be trusted.
    Happened,
}

impl Lines {
    /// An empty buffer for lines of at most `limit` octets, line end not counted.
    pub fn new(limit: usize) -> Self {
        Lines {
            buffer: Octets::default(),
            start: 0,
            scanned: 0,
            limit,
            overflow: Overflow::No,
        }
    }

    /// Changes the limit, for the next [`line`](Self::line) on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Appends a chunk of at most [`READ_CHUNK`] octets.
    pub fn push(&mut self, chunk: &[u8]) {
        let most = self.limit.saturating_add(2 + 2 * READ_CHUNK);
        let needed = self.len().saturating_add(chunk.len());
        if needed > most || self.overflow == Overflow::Happened {
            self.overflow = Overflow::Happened;
            return;
        }
        if self.buffer.len().saturating_add(chunk.len()) > self.buffer.capacity() {
            self.make_room(needed);
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// The next complete line without its line end, or `None` if there is none yet.
    pub fn line(&mut self) -> Result<Option<Octets>, TooLong> {
        let line = self.line_ref()?.map(|line| Octets::new(line.to_vec()));
        self.shrink();
        Ok(line)
    }

    /// As [`line`](Self::line), without a copy. The line counts as read.
    pub fn line_ref(&mut self) -> Result<Option<&[u8]>, TooLong> {
        if self.overflow == Overflow::Happened {
            return Err(TooLong);
        }
        let unread = self.buffer.get(self.start..).unwrap_or_default();
        let fresh = unread.get(self.scanned..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', fresh) else {
            self.scanned = unread.len();
            let open = unread.strip_suffix(b"\r").unwrap_or(unread);
            return if open.len() > self.limit {
                Err(TooLong)
            } else {
                self.rewind();
                Ok(None)
            };
        };
        let end = self.scanned.saturating_add(found);
        let line = unread.get(..end).unwrap_or_default();
        let length = line.strip_suffix(b"\r").unwrap_or(line).len();
        if length > self.limit {
            return Err(TooLong);
        }
        let from = self.start;
        self.start = self.start.saturating_add(end.saturating_add(1));
        self.scanned = 0;
        Ok(self.buffer.get(from..from.saturating_add(length)))
    }

    /// Exactly `n` octets, whatever they are, or `None` until that many are there.
    pub fn exact(&mut self, n: usize) -> Option<Octets> {
        let octets = Octets::new(self.peek().get(..n)?.to_vec());
        self.skip(n);
        self.shrink();
        Some(octets)
    }

    /// At most `n` octets, whatever they are, without a copy: for literals passed on as they come.
    pub fn up_to(&mut self, n: usize) -> &[u8] {
        let n = n.min(self.len());
        let from = self.start;
        self.skip(n);
        self.buffer
            .get(from..from.saturating_add(n))
            .unwrap_or_default()
    }

    /// Everything unread; nothing is left.
    pub fn rest(&mut self) -> Vec<u8> {
        let rest = self.peek().to_vec();
        self.clear();
        rest
    }

    /// The unread octets, left unread.
    pub fn peek(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// How many octets are unread.
    pub fn len(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    /// Whether nothing is unread.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many octets of memory are held.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Drops and wipes everything, and is as new.
    pub fn clear(&mut self) {
        self.buffer = Octets::default();
        self.start = 0;
        self.scanned = 0;
        self.overflow = Overflow::No;
    }

    fn skip(&mut self, n: usize) {
        self.start = self.start.saturating_add(n);
        self.scanned = self.scanned.saturating_sub(n);
    }

    /// Once all is read: wipes it.
    fn rewind(&mut self) {
        if self.start > 0 && self.is_empty() {
            self.shrink();
            self.buffer.as_mut_slice().zeroize();
            self.buffer.truncate(0);
            self.start = 0;
            self.scanned = 0;
        }
    }

    /// Gives a buffer back that has become larger than a chunk and need not be: a connection which
    /// once sent a long token does not hold it for ever.
    fn shrink(&mut self) {
        if self.buffer.capacity() > 2 * READ_CHUNK && self.len() <= READ_CHUNK {
            self.fit();
        }
    }

    /// Keeps no more room than the unread octets take: for an owner that waits for somebody else now.
    pub fn fit(&mut self) {
        self.buffer = Octets::new(self.peek().to_vec());
        self.start = 0;
    }

    /// Makes the unread octets the first ones, with room for `needed`. A buffer that is too small is
    /// replaced and wiped by hand: growing a `Vec` would leave a copy behind in freed memory.
    fn make_room(&mut self, needed: usize) {
        if needed > self.buffer.capacity() {
            let doubled = self.buffer.capacity().saturating_mul(2);
            let stepped = self.buffer.capacity().saturating_add(READ_CHUNK);
            let mut larger = Vec::with_capacity(needed.max(doubled.min(stepped)));
            larger.extend_from_slice(self.peek());
            self.buffer = Octets::new(larger);
        } else {
            let kept = self.len();
            self.buffer.copy_within(self.start.., 0);
            if let Some(stale) = self.buffer.get_mut(kept..) {
                stale.zeroize();
            }
            self.buffer.truncate(kept);
        }
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &mut Lines) -> Result<Option<String>, TooLong> {
        Ok(lines.line()?.map(|l| String::from_utf8_lossy(&l).into()))
    }

    #[test]
    fn lines_end_with_lf_and_lose_one_cr() {
        let mut lines = Lines::new(10);
        lines.push(b"a\r\nb\n\r\n\nc\rd\r\r\ne\0f\n");
        for want in ["a", "b", "", "", "c\rd\r", "e\0f"] {
            assert_eq!(text(&mut lines), Ok(Some(want.into())));
        }
        assert_eq!(text(&mut lines), Ok(None));
        assert!(lines.is_empty());
    }

    #[test]
    fn any_cut_gives_the_same_lines() {
        let whole = b"one\r\ntwo\n\r\nthree\r\n";
        for cut in 0..whole.len() {
            let mut lines = Lines::new(5);
            let mut got = Vec::new();
            let (head, tail) = whole.split_at(cut);
            for part in [head, tail] {
                lines.push(part);
                while let Some(line) = text(&mut lines).unwrap() {
                    got.push(line);
                }
            }
            assert_eq!(got, ["one", "two", "", "three"], "cut at {cut}");
        }
    }

    #[test]
    fn the_limit_leaves_the_line_end_out() {
        for (octets, want) in [
            (&b"12345\r\n"[..], Ok(Some("12345".into()))),
            (b"12345\n", Ok(Some("12345".into()))),
            (b"12345\r", Ok(None)),
            (b"123456", Err(TooLong)),
            (b"123456\r\n", Err(TooLong)),
            (b"12345\rx", Err(TooLong)),
        ] {
            let mut lines = Lines::new(5);
            lines.push(octets);
            assert_eq!(text(&mut lines), want, "{octets:?}");
            assert_eq!(text(&mut lines).is_err(), want.is_err(), "said again");
        }
    }

    #[test]
    fn literals_are_taken_whole_whatever_they_hold() {
        let mut lines = Lines::new(20);
        lines.push(b"a {6}\r\nx\r\n");
        assert_eq!(text(&mut lines), Ok(Some("a {6}".into())));
        assert_eq!(lines.exact(6), None);
        lines.push(b"y\0z\r\nrest\n");
        assert_eq!(lines.exact(6).as_deref(), Some(&b"x\r\ny\0z".to_vec()));
        assert_eq!(text(&mut lines), Ok(Some(String::new())));
        assert_eq!(lines.up_to(2), b"re");
        assert_eq!(lines.up_to(200), b"st\n");
        assert_eq!(lines.up_to(1), b"");
    }

    #[test]
    fn rest_and_clear_leave_nothing() {
        let mut lines = Lines::new(20);
        lines.push(b"a\r\nb\r\nc");
        assert_eq!(text(&mut lines), Ok(Some("a".into())));
        assert_eq!(lines.rest(), b"b\r\nc");
        assert!(lines.is_empty());
        lines.push(b"secret");
        lines.clear();
        lines.push(b"d\n");
        assert_eq!(text(&mut lines), Ok(Some("d".into())));
    }

    #[test]
    fn who_pushes_without_reading_is_stopped() {
        let mut lines = Lines::new(100);
        for _ in 0..100 {
            lines.push(&[b'\n'; READ_CHUNK]);
        }
        assert!(lines.len() <= 102 + 2 * READ_CHUNK);
        assert_eq!(text(&mut lines), Err(TooLong));
        lines.clear();
        lines.push(b"a\n");
        assert_eq!(text(&mut lines), Ok(Some("a".into())));
    }

    #[test]
    fn octet_by_octet_nothing_is_scanned_twice() {
        let mut lines = Lines::new(100_000);
        for n in 0..100_000 {
            lines.push(b"x");
            assert_eq!(lines.line(), Ok(None));
            assert_eq!(lines.scanned, n + 1);
        }
        lines.push(b"\n");
        assert_eq!(lines.line().unwrap().map(|l| l.len()), Some(100_000));
        assert_eq!(lines.line(), Ok(None));
        assert_eq!(lines.buffer.capacity(), 0, "given back");
    }
}
