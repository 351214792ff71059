//! Multi-line responses (RFC 1939 §3): dot-stuffing on the way out, finding the end on the way by.
//!
//! [`Stuffer`] turns a message as a store holds it into the lines of a response, whatever the edges
//! of the chunks it arrives in: every line ends in CRLF, a line that starts with a dot gets a second
//! one, also the very first line. [`EndFinder`] watches a response that is passed on unchanged. Both
//! keep a few bits of state and never a line.

use memchr::{memchr, memchr_iter};

/// The line that ends a multi-line response.
pub const TERMINATOR: &[u8] = b".\r\n";

/// Where in a line the next octet falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the beginning of a line, the first one included: a dot here is doubled.
    LineStart,
    /// Behind a CR: an LF here completes the line end and is not given another CR.
    AfterCr,
    /// Anywhere else.
    Middle,
}

/// Stuffs the octets of one message, in chunks of any size.
///
/// A bare LF becomes CRLF: clients that end the data at a dot between two bare LFs would otherwise
/// take the rest of a message for responses. A bare CR is passed on as it is; it starts no line.
#[derive(Clone, Debug)]
pub struct Stuffer {
    at: At,
    octets: u64,
}

impl Default for Stuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Stuffer {
    /// At the beginning of a message.
    pub fn new() -> Self {
        Stuffer {
            at: At::LineStart,
            octets: 0,
        }
    }

    /// Appends `chunk`, stuffed, to `out`: at most twice its length.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let Some(last) = chunk.last() else { return };
        let before = out.len();
        let mut dots = 0u64;
        out.reserve(
            chunk
                .len()
                .saturating_add(chunk.len() / 32)
                .saturating_add(2),
        );
        if self.at == At::LineStart && chunk.first() == Some(&b'.') {
            out.push(b'.');
            dots = dots.saturating_add(1);
        }
        // Runs that need nothing are copied whole: `copied` is how much of the chunk is in `out`.
        let mut copied = 0;
        for lf in memchr_iter(b'\n', chunk) {
            let has_cr = match lf.checked_sub(1) {
                Some(previous) => chunk.get(previous) == Some(&b'\r'),
                None => self.at == At::AfterCr,
            };
            if !has_cr {
                out.extend_from_slice(chunk.get(copied..lf).unwrap_or_default());
                out.push(b'\r');
                copied = lf;
            }
            if chunk.get(lf.saturating_add(1)) == Some(&b'.') {
                out.extend_from_slice(chunk.get(copied..=lf).unwrap_or_default());
                out.push(b'.');
                dots = dots.saturating_add(1);
                copied = lf.saturating_add(1);
            }
        }
        out.extend_from_slice(chunk.get(copied..).unwrap_or_default());
        self.at = match last {
            b'\n' => At::LineStart,
            b'\r' => At::AfterCr,
            _ => At::Middle,
        };
        let written = out.len().saturating_sub(before) as u64;
        self.octets = self.octets.saturating_add(written.saturating_sub(dots));
    }

    /// Appends the end of the response: a line end if the last line has none, then the terminator.
    /// Returns the message's size as LIST counts it: every octet given out, without the stuffing
    /// dots and the terminator (RFC 1939 §11).
    pub fn finish(mut self, out: &mut Vec<u8>) -> u64 {
        if self.at != At::LineStart {
            out.extend_from_slice(b"\r\n");
            self.octets = self.octets.saturating_add(2);
        }
        out.extend_from_slice(TERMINATOR);
        self.octets
    }

    /// Octets given out so far, without the stuffing dots.
    pub fn octets(&self) -> u64 {
        self.octets
    }
}

/// Finds the end of a multi-line response in octets that are passed on.
///
/// Only CRLF `.` CRLF (or `.` CRLF at the very start) ends it. A host that sends bare LFs may mean a
/// dot between two of them as content or as the end; as nothing may ever be written into a message,
/// it counts as content.
#[derive(Clone, Debug)]
pub struct EndFinder {
    seen: Seen,
}

/// How much of `CRLF . CRLF` the last octets were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Cr,
    CrLf,
    Dot,
    DotCr,
}

impl Default for EndFinder {
    fn default() -> Self {
        Self::new()
    }
}

impl EndFinder {
    /// Right behind the CRLF of the response's first line (`+OK …`).
    pub fn new() -> Self {
        EndFinder { seen: Seen::CrLf }
    }

    /// Takes the next octets. Returns how many of them belong to the response, if it ends here.
    pub fn push(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&octet) = chunk.get(at) {
            at = at.saturating_add(1);
            self.seen = match (self.seen, octet) {
                (Seen::DotCr, b'\n') => return Some(at),
                (Seen::Cr, b'\n') => Seen::CrLf,
                (Seen::CrLf, b'.') => Seen::Dot,
                (Seen::Dot, b'\r') => Seen::DotCr,
                (_, b'\r') => Seen::Cr,
                _ => {
                    // Nothing can end before the next CR.
                    match memchr(b'\r', chunk.get(at..).unwrap_or_default()) {
                        Some(skip) => at = at.saturating_add(skip),
                        None => at = chunk.len(),
                    }
                    Seen::Nothing
                }
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stuff(chunks: &[&[u8]]) -> (Vec<u8>, u64) {
        let mut stuffer = Stuffer::new();
        let mut out = Vec::new();
        for chunk in chunks {
            stuffer.push(chunk, &mut out);
        }
        let octets = stuffer.finish(&mut out);
        (out, octets)
    }

    /// What a client makes of a response: lines until the terminator, one leading dot removed.
    fn unstuff(response: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        let mut rest = response;
        loop {
            let end = memchr::memmem::find(rest, b"\r\n").expect("a line") + 2;
            let (line, tail) = rest.split_at(end);
            rest = tail;
            if line == TERMINATOR {
                assert_eq!(rest, b"", "octets behind the terminator");
                return message;
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
    }

    /// The message with every line ended by CRLF, written without looking at the code above.
    fn normalised(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (i, &octet) in message.iter().enumerate() {
            if octet == b'\n' && (i == 0 || message[i - 1] != b'\r') {
                out.push(b'\r');
            }
            out.push(octet);
        }
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    #[test]
    fn known_answers() {
        for (message, want, octets) in [
            (&b""[..], &b".\r\n"[..], 0),
            (b"a", b"a\r\n.\r\n", 3),
            (b"a\r\n", b"a\r\n.\r\n", 3),
            (b".", b"..\r\n.\r\n", 3),
            (b".\r\n", b"..\r\n.\r\n", 3),
            (b".\r\nSubject: x\r\n", b"..\r\nSubject: x\r\n.\r\n", 15),
            (b"\n.\n", b"\r\n..\r\n.\r\n", 5),
            (b"a\r\n.\r\nb", b"a\r\n..\r\nb\r\n.\r\n", 9),
            (b"..\r\n", b"...\r\n.\r\n", 4),
            (b"a\r.b", b"a\r.b\r\n.\r\n", 6),
            (b"a\r", b"a\r\r\n.\r\n", 4),
            (b"\r", b"\r\r\n.\r\n", 3),
            (b"\r\n", b"\r\n.\r\n", 2),
            (b"\n", b"\r\n.\r\n", 2),
            (b"\n\n", b"\r\n\r\n.\r\n", 4),
            (b"a\0\xff\n", b"a\0\xff\r\n.\r\n", 5),
        ] {
            let got = stuff(&[message]);
            assert_eq!(
                (got.0.as_slice(), got.1),
                (want, octets),
                "{}",
                message.escape_ascii()
            );
        }
    }

    #[test]
    fn every_single_cut_of_every_short_message() {
        // All messages of up to six octets over the four that matter, each cut at every place.
        for length in 0..=6u32 {
            for mut code in 0..4u32.pow(length) {
                let mut message = Vec::new();
                for _ in 0..length {
                    message.push(b"\r\n.a"[(code % 4) as usize]);
                    code /= 4;
                }
                let whole = stuff(&[&message]);
                let plain = normalised(&message);
                assert_eq!(unstuff(&whole.0), plain);
                assert_eq!(whole.1, plain.len() as u64);
                let mut finder = EndFinder::new();
                assert_eq!(finder.push(&whole.0), Some(whole.0.len()));
                for cut in 0..=message.len() {
                    let (head, tail) = message.split_at(cut);
                    assert_eq!(stuff(&[head, tail]), whole, "{}", message.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn the_end_is_only_where_it_is() {
        for (response, want) in [
            (&b".\r\n"[..], Some(3)),
            (b".\r\n+OK", Some(3)),
            (b"1 2\r\n.\r\n", Some(8)),
            (b"..\r\n.\r\n", Some(7)),
            (b".\n", None),
            (b"a\n.\n", None),
            (b"a\n.\r\n", None),
            (b"a\r\n.\n", None),
            (b"a\r.\r\n", None),
            (b"\r\r\n.\r\n", Some(6)),
            (b".\r.\r\n", None),
            (b".\r\r\n", None),
            (b"a.\r\n", None),
            (b"\r\n\r\n.\r\n", Some(7)),
        ] {
            let mut whole = EndFinder::new();
            assert_eq!(whole.push(response), want, "{}", response.escape_ascii());
            let mut finder = EndFinder::new();
            let mut end = None;
            for (i, octet) in response.iter().enumerate() {
                if finder.push(&[*octet]).is_some() {
                    end = Some(i + 1);
                    break;
                }
            }
            assert_eq!(end, want, "octet by octet: {}", response.escape_ascii());
        }
    }

    fn octets() -> impl Strategy<Value = Vec<u8>> {
        let octet = prop_oneof![
            3 => Just(b'\r'),
            3 => Just(b'\n'),
            3 => Just(b'.'),
            4 => any::<u8>(),
        ];
        proptest::collection::vec(octet, 0..400)
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_response(message in octets(), sizes in proptest::collection::vec(1..40usize, 1..40)) {
            let whole = stuff(&[&message]);
            let mut chunks = Vec::new();
            let mut rest = message.as_slice();
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (head, tail) = rest.split_at((*size).min(rest.len()));
                chunks.push(head);
                rest = tail;
            }
            prop_assert_eq!(&stuff(&chunks), &whole);
            let plain = normalised(&message);
            prop_assert_eq!(unstuff(&whole.0), plain.clone());
            prop_assert_eq!(whole.1, plain.len() as u64);

            let mut finder = EndFinder::new();
            let mut response = whole.0.clone();
            response.extend_from_slice(b"+OK next\r\n.\r\n");
            let (mut at, mut end) = (0, None);
            for size in sizes.iter().cycle() {
                let chunk = &response[at..(at + size).min(response.len())];
                if let Some(n) = finder.push(chunk) {
                    end = Some(at + n);
                    break;
                }
                at += chunk.len();
            }
            prop_assert_eq!(end, Some(whole.0.len()));
        }
    }
}
