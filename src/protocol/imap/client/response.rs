//! What a host says before login: whole responses out of a stream of bytes (RFC 9051 §2.2.2, §7).
//!
//! Tolerant where old servers need it (a bare LF ends a line, `+` without a space), strict about
//! lengths. Nothing here decides anything; positions never come from what the host announced without
//! a bound.

use memchr::memchr;

use crate::protocol::imap::first::may_hold_literals;

/// Longest response before login in octets, literals included. The longest capability list in the
/// field is under 2 KiB; a response that does not end within this is an attack or no IMAP.
pub(super) const MAX_RESPONSE: usize = 16 * 1024;

/// How much of a host's words is kept for a log or a user: RFC 9051 asks that ALERT texts be shown,
/// nothing needs more of them.
pub(super) const MAX_TEXT: usize = 200;

/// One look at the bytes that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// No whole response yet.
    More,
    /// The first so many octets are one response with its line ending.
    Whole(usize),
    /// Longer than [`MAX_RESPONSE`].
    TooLong,
}

/// Finds the end of the first response. A literal counts only where one may stand.
pub(super) fn cut(bytes: &[u8]) -> Cut {
    let mut from = 0;
    loop {
        let unread = bytes.get(from..).unwrap_or_default();
        let Some(lf) = memchr(b'\n', unread) else {
            return match bytes.len() > MAX_RESPONSE {
                true => Cut::TooLong,
                false => Cut::More,
            };
        };
        let end = from.saturating_add(lf).saturating_add(1);
        if end > MAX_RESPONSE {
            return Cut::TooLong;
        }
        let line = chomp(bytes.get(from..end).unwrap_or_default());
        let first = chomp(bytes.get(..end).unwrap_or_default());
        match literal(line).filter(|_| may_hold_literals(first)) {
            None => return Cut::Whole(end),
            Some(octets) => match usize::try_from(octets)
                .ok()
                .and_then(|n| end.checked_add(n))
            {
                Some(next) if next <= MAX_RESPONSE => {
                    if bytes.len() < next {
                        return Cut::More;
                    }
                    from = next;
                }
                _ => return Cut::TooLong,
            },
        }
    }
}

/// A line without its ending.
pub(super) fn chomp(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// `{n}` at the end of a line: that many octets follow.
fn literal(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|&b| b == b'{')?;
    let digits = std::str::from_utf8(inner.get(open.saturating_add(1)..)?).ok()?;
    match digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty() {
        true => Some(digits.parse().unwrap_or(u64::MAX)),
        false => None,
    }
}

/// A response by its first word.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Response<'a> {
    /// `+`: go on. What follows is a challenge in some mechanisms, decoration in all else. A `+`
    /// without a space behind it is accepted.
    Continue(&'a [u8]),
    /// `* …`
    Untagged(&'a [u8]),
    /// `tag …`
    Tagged(&'a [u8], &'a [u8]),
}

/// Takes a whole response, with or without its line ending.
pub(super) fn parse(response: &[u8]) -> Response<'_> {
    let line = chomp(response);
    if let Some(text) = line.strip_prefix(b"+") {
        return Response::Continue(text.strip_prefix(b" ").unwrap_or(text));
    }
    let (first, rest) = word(line);
    match first {
        b"*" => Response::Untagged(rest),
        tag => Response::Tagged(tag, rest),
    }
}

/// A status response (RFC 9051 §7.1): `OK [CODE …] text`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Status<'a> {
    pub(super) kind: Kind,
    /// What stands in brackets.
    pub(super) code: Option<&'a [u8]>,
    pub(super) text: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ok,
    No,
    Bad,
    Preauth,
    Bye,
}

/// Reads what follows `*` or the tag; none: it is no status response.
pub(super) fn status(rest: &[u8]) -> Option<Status<'_>> {
    let (first, rest) = word(rest);
    let kind = [
        ("OK", Kind::Ok),
        ("NO", Kind::No),
        ("BAD", Kind::Bad),
        ("PREAUTH", Kind::Preauth),
        ("BYE", Kind::Bye),
    ]
    .into_iter()
    .find(|(name, _)| is(first, name))?
    .1;
    let code = rest
        .strip_prefix(b"[")
        .and_then(|inner| Some((inner, memchr(b']', inner)?)))
        .and_then(|(inner, close)| inner.split_at_checked(close));
    Some(match code {
        Some((code, text)) => Status {
            kind,
            code: Some(code),
            text: text.strip_prefix(b"]").unwrap_or(text).trim_ascii_start(),
        },
        None => Status {
            kind,
            code: None,
            text: rest,
        },
    })
}

/// The first word, and what follows the spaces behind it.
pub(super) fn word(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b' ', bytes).and_then(|space| bytes.split_at_checked(space)) {
        Some((first, rest)) => (first, rest.trim_ascii_start()),
        None => (bytes, b""),
    }
}

/// Whether a word is this one; IMAP's words know no case (RFC 9051 §9, note 1).
pub(super) fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// A host's words as they may stand in a log or be told to a user: printable ASCII, cut.
pub(super) fn sanitise(text: &[u8]) -> String {
    text.iter()
        .take(MAX_TEXT)
        .map(|&b| match b {
            b' '..=b'~' => char::from(b),
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_end_where_they_end() {
        for (bytes, want) in [
            (&b""[..], Cut::More),
            (b"* OK hi", Cut::More),
            (b"* OK hi\r\n", Cut::Whole(9)),
            (b"* OK hi\n* OK", Cut::Whole(8)),
            // A status text is no place for literals.
            (b"* OK {5}\r\nabc", Cut::Whole(10)),
            (b"x NO {5}\r\nabc", Cut::Whole(10)),
            (b"+ {5}\r\nabc", Cut::Whole(7)),
            (b"* ID (\"a\" {3}\r\nb\nc)\r\nrest", Cut::Whole(21)),
            (b"* ID (\"a\" {3}\r\nb\nc)", Cut::More),
            (b"* ID (\"a\" {3}\r\nb", Cut::More),
            (b"* ID {1}\r\n {1}\r\n.\r\n", Cut::Whole(19)),
            (b"* ID {4294967296}\r\n", Cut::TooLong),
            (b"* ID {18446744073709551616}\r\n", Cut::TooLong),
            (b"* ID {}\r\n", Cut::Whole(9)),
            (b"* ID {-1}\r\n", Cut::Whole(11)),
            (&[b'a'; MAX_RESPONSE], Cut::More),
            (&[b'a'; MAX_RESPONSE + 1], Cut::TooLong),
        ] {
            assert_eq!(cut(bytes), want, "{:?}", sanitise(bytes));
        }
    }

    #[test]
    fn first_words() {
        assert_eq!(parse(b"+\r\n"), Response::Continue(b""));
        assert_eq!(parse(b"+ \r\n"), Response::Continue(b""));
        assert_eq!(parse(b"+go on\r\n"), Response::Continue(b"go on"));
        assert_eq!(parse(b"+ eA==\r\n"), Response::Continue(b"eA=="));
        assert_eq!(parse(b"* OK hi\r\n"), Response::Untagged(b"OK hi"));
        assert_eq!(parse(b"a1 OK\n"), Response::Tagged(b"a1", b"OK"));
        assert_eq!(parse(b"\r\n"), Response::Tagged(b"", b""));
        assert_eq!(parse(b"*OK\r\n"), Response::Tagged(b"*OK", b""));
    }

    #[test]
    fn statuses() {
        for (rest, kind, code, text) in [
            ("OK", Kind::Ok, None, ""),
            ("ok  done", Kind::Ok, None, "done"),
            ("NO [LIMIT] full", Kind::No, Some("LIMIT"), "full"),
            ("NO [LIMIT]full", Kind::No, Some("LIMIT"), "full"),
            ("BAD [", Kind::Bad, None, "["),
            ("BYE [] x", Kind::Bye, Some(""), "x"),
            ("PREAUTH a [b] c", Kind::Preauth, None, "a [b] c"),
        ] {
            let want = Status {
                kind,
                code: code.map(str::as_bytes),
                text: text.as_bytes(),
            };
            assert_eq!(status(rest.as_bytes()), Some(want), "{rest}");
        }
        for none in ["", "OKAY", "FLAGS (x)", "3 EXISTS"] {
            assert_eq!(status(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn words_of_a_host_are_harmless() {
        assert_eq!(sanitise(b"a\x1b[2Jb\xc3\xbc\r\n"), "a?[2Jb????");
        assert_eq!(sanitise(&[b'x'; 900]).len(), MAX_TEXT);
    }
}
