//! Rows of a FETCH answer (RFC 9051 §7.5.2), as POP3 needs them: UID, size, EMAILID, and whether a
//! body is there.
//!
//! Lenient where hosts are known to be sloppy: items in any order, more items than asked, values
//! missing, blanks doubled, numbers in scientific notation. Nothing here allocates.

use super::response::MARK;
use super::uid_set::{number, number64};

/// Longest id of a message in octets (RFC 8474 §7).
pub const OBJECT_ID_MAX: usize = 255;

/// A row, or the beginning of one up to a literal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row<'a> {
    /// The message's sequence number: only good for telling two halves of one row from two rows.
    pub sequence: u32,
    /// `UID`.
    pub uid: Uid,
    /// `RFC822.SIZE`.
    pub size: Option<u64>,
    /// `EMAILID` (RFC 8474 §5.1): at most [`OBJECT_ID_MAX`] octets.
    pub email_id: Option<&'a [u8]>,
    /// `BODY[]`.
    pub body: Option<Body<'a>>,
    /// The item a literal is about to be the value of: set only in the beginning of a row.
    pub awaits: Option<Section>,
}

/// What a row says of its message's UID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Uid {
    /// Nothing, or not yet: another half of the row may.
    #[default]
    Unsaid,
    /// This one.
    Is(u32),
    /// One that no message can have (RFC 9051 §9 `uniqueid`): 0, more than 32 bits, no number.
    Unreadable,
}

impl Uid {
    /// The UID, where there is one.
    pub fn get(self) -> Option<u32> {
        match self {
            Uid::Is(uid) => Some(uid),
            Uid::Unsaid | Uid::Unreadable => None,
        }
    }
}

/// The value of `BODY[]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// `NIL`: ambiguous (RFC 2180 §4.1.3).
    Nil,
    /// Nothing where a value should be (seen in the field).
    Missing,
    /// A literal that was streamed or skipped.
    Literal,
    /// A quoted string, escapes still in it.
    Quoted(Section, &'a [u8]),
}

/// Which octets of a message an item holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `BODY[]`: all of them.
    Whole,
    /// `BODY[]<n>`: those from n on.
    From(u64),
    /// Anything else (`BODY[HEADER]`, …): nothing that was asked for.
    Other,
}

/// Reads `* n FETCH (…`, whole or up to a literal; `None` if it is another response.
pub fn row(line: &[u8]) -> Option<Row<'_>> {
    let rest = line.strip_prefix(b"*")?.trim_ascii_start();
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (sequence, rest) = rest.split_at_checked(digits)?;
    let rest = rest.trim_ascii_start();
    let (verb, rest) = rest.split_at_checked(5)?;
    if !verb.eq_ignore_ascii_case(b"FETCH") {
        return None;
    }
    let mut row = Row {
        sequence: number(sequence)?,
        ..Row::default()
    };
    let mut rest = rest.trim_ascii_start().strip_prefix(b"(")?;
    loop {
        rest = rest.trim_ascii_start();
        let (name, tail) = rest.split_at_checked(name(rest))?;
        if name.is_empty() {
            return Some(row);
        }
        let tail = tail.trim_ascii_start();
        if tail.is_empty() {
            row.awaits = Some(section(name).unwrap_or(Section::Other));
            return Some(row);
        }
        let (value, tail) = tail.split_at_checked(value(tail))?;
        rest = tail;
        match section(name) {
            Some(Section::Other) => {}
            Some(section) if row.body.is_none() => row.body = Some(body(section, value)),
            Some(_) => {}
            None if name.eq_ignore_ascii_case(b"UID") => {
                row.uid = match row.uid {
                    Uid::Unsaid => number(value).map_or(Uid::Unreadable, Uid::Is),
                    said => said,
                };
            }
            None if name.eq_ignore_ascii_case(b"RFC822.SIZE") => row.size = size(value),
            None if name.eq_ignore_ascii_case(b"EMAILID") => {
                row.email_id = object_id(value);
            }
            None => {}
        }
    }
}

/// The octets of a quoted string, escapes undone.
pub fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b'\\' => out.extend(octets.next()),
            _ => out.push(octet),
        }
    }
    out
}

/// The length of an item's name; a section in brackets belongs to it, blanks and all.
fn name(text: &[u8]) -> usize {
    let mut brackets = 0usize;
    for (at, &octet) in text.iter().enumerate() {
        match octet {
            b'[' => brackets = brackets.saturating_add(1),
            b']' => brackets = brackets.saturating_sub(1),
            b' ' | b')' | b'(' | b'"' | MARK if brackets == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// The length of a value: a string, a list with what is in it, or an atom. Zero: none is there.
fn value(text: &[u8]) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (at, &octet) in text.iter().enumerate() {
        if quoted {
            match octet {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    quoted = false;
                    if depth == 0 {
                        return at.saturating_add(1);
                    }
                }
                _ => {}
            }
            continue;
        }
        match octet {
            b'"' => quoted = true,
            b'(' => depth = depth.saturating_add(1),
            b')' if depth == 0 => return at,
            b')' if depth == 1 => return at.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            b' ' if depth == 0 => return at,
            MARK if depth == 0 => return at.saturating_add(1),
            _ => {}
        }
    }
    text.len()
}

fn section(name: &[u8]) -> Option<Section> {
    let (head, tail) = name.split_at_checked(5)?;
    if !head.eq_ignore_ascii_case(b"BODY[") {
        return None;
    }
    Some(match tail.strip_prefix(b"]") {
        Some(b"") => Section::Whole,
        Some(origin) => origin
            .strip_prefix(b"<")
            .and_then(|origin| origin.strip_suffix(b">"))
            .and_then(number64)
            .map_or(Section::Other, Section::From),
        None => Section::Other,
    })
}

fn body(section: Section, value: &[u8]) -> Body<'_> {
    match value {
        [] => Body::Missing,
        [MARK] => Body::Literal,
        [b'"', text @ .., b'"'] => Body::Quoted(section, text),
        _ => Body::Nil,
    }
}

/// The id in `"(" objectid ")"`, where `objectid = 1*255(ALPHA / DIGIT / "_" / "-")` (RFC 8474 §7).
/// What is none is as if it were not there: a line has room for ids that nobody has.
fn object_id(value: &[u8]) -> Option<&[u8]> {
    let id = value.strip_prefix(b"(")?.strip_suffix(b")")?.trim_ascii();
    let may = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-');
    ((1..=OBJECT_ID_MAX).contains(&id.len()) && id.iter().all(may)).then_some(id)
}

/// A size: a host was seen to send `9.3736e+06`, others -1.
fn size(value: &[u8]) -> Option<u64> {
    if let Some(size) = number64(value) {
        return Some(size);
    }
    let size: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    // Up to here every whole number is exact.
    (0.0..=9_007_199_254_740_992.0)
        .contains(&size)
        .then_some(size as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let base = Row {
            sequence: 3,
            ..Row::default()
        };
        let uid = Row {
            uid: Uid::Is(7),
            ..base
        };
        let unreadable = Row {
            uid: Uid::Unreadable,
            ..base
        };
        for (line, want) in [
            (
                "* 3 FETCH (UID 7 RFC822.SIZE 12)",
                Some(Row {
                    size: Some(12),
                    ..uid
                }),
            ),
            (
                "* 3 fetch (rfc822.size 12 uid 7)",
                Some(Row {
                    size: Some(12),
                    ..uid
                }),
            ),
            (
                "*  3  FETCH  ( UID  7  RFC822.SIZE  12 )",
                Some(Row {
                    size: Some(12),
                    ..uid
                }),
            ),
            (
                "* 3 FETCH (FLAGS (\\Seen $x) ENVELOPE (\"a)\\\"\" NIL (\"(\")) UID 7)",
                Some(uid),
            ),
            ("* 3 FETCH (UID 7 )", Some(uid)),
            ("* 3 FETCH (UID 7", Some(uid)),
            ("* 3 FETCH (UID 7 RFC822.SIZE)", Some(uid)),
            (
                "* 3 FETCH (UID 7 RFC822.SIZE 9.3736e+06)",
                Some(Row {
                    size: Some(9_373_600),
                    ..uid
                }),
            ),
            ("* 3 FETCH (UID 7 RFC822.SIZE -1)", Some(uid)),
            (
                "* 3 FETCH (UID 0 RFC822.SIZE 1)",
                Some(Row {
                    size: Some(1),
                    ..unreadable
                }),
            ),
            ("* 3 FETCH (UID 4294967296)", Some(unreadable)),
            ("* 3 FETCH (UID 0 UID 7)", Some(unreadable)),
            (
                "* 3 FETCH (UID 7 MODSEQ (5) EMAILID (M1))",
                Some(Row {
                    email_id: Some(b"M1"),
                    ..uid
                }),
            ),
            ("* 3 FETCH (UID 7 EMAILID NIL)", Some(uid)),
            (
                "* 3 FETCH (UID 7 BODY[] NIL)",
                Some(Row {
                    body: Some(Body::Nil),
                    ..uid
                }),
            ),
            (
                "* 3 FETCH (BODY[] UID 7)",
                Some(Row {
                    body: Some(Body::Nil),
                    ..base
                }),
            ),
            (
                "* 3 FETCH (UID 7 BODY[])",
                Some(Row {
                    body: Some(Body::Missing),
                    ..uid
                }),
            ),
            (
                "* 3 FETCH (UID 7 BODY[] \"\")",
                Some(Row {
                    body: Some(Body::Quoted(Section::Whole, b"")),
                    ..uid
                }),
            ),
            (
                "* 3 FETCH (BODY[]<0> \"a\\\"b) \" UID 7)",
                Some(Row {
                    body: Some(Body::Quoted(Section::From(0), b"a\\\"b) ")),
                    ..uid
                }),
            ),
            (
                "* 3 FETCH (BODY[] \0 UID 7)",
                Some(Row {
                    body: Some(Body::Literal),
                    ..uid
                }),
            ),
            (
                "* 3 FETCH (BODY[HEADER.FIELDS (A B)] \"x\" UID 7 BODY[] ",
                Some(Row {
                    awaits: Some(Section::Whole),
                    ..uid
                }),
            ),
            (
                "* 3 FETCH (BODY[]<4096> ",
                Some(Row {
                    awaits: Some(Section::From(4096)),
                    ..base
                }),
            ),
            (
                "* 3 FETCH (BODY[HEADER] ",
                Some(Row {
                    awaits: Some(Section::Other),
                    ..base
                }),
            ),
            (
                "* 3 FETCH (X-FOO ",
                Some(Row {
                    awaits: Some(Section::Other),
                    ..base
                }),
            ),
            (
                "* 3 FETCH (UID 7 BODY[TEXT] \0 BODY[] ",
                Some(Row {
                    awaits: Some(Section::Whole),
                    ..uid
                }),
            ),
            ("* 3 EXISTS", None),
            ("* FETCH (UID 7)", None),
            ("* 0 FETCH (UID 7)", None),
            ("* 3 FETCH", None),
            ("* 3 FETCHED (UID 7)", None),
            ("* 3 FETCH UID 7", None),
            ("", None),
        ] {
            assert_eq!(row(line.as_bytes()), want, "{line:?}");
        }
        assert_eq!(unquoted(b"a\\\"\\\\b\\"), b"a\"\\b");
    }

    #[test]
    fn ids_are_those_of_the_grammar() {
        let longest = "x".repeat(255);
        let longer = "x".repeat(256);
        for (value, want) in [
            ("(M1)", Some("M1")),
            ("( M1 )", Some("M1")),
            ("(-az_AZ09)", Some("-az_AZ09")),
            (&format!("({longest})"), Some(&longest[..])),
            (&format!("({longer})"), None),
            (&format!("({})", "x".repeat(60_000)), None),
            ("()", None),
            ("( )", None),
            ("(M1 M2)", None),
            ("(M.1)", None),
            ("(M\u{fc})", None),
            ("((M1))", None),
            ("(\"M1\")", None),
            ("M1", None),
            ("NIL", None),
            ("(M1", None),
        ] {
            let line = format!("* 3 FETCH (EMAILID {value} UID 7)");
            let got = row(line.as_bytes()).unwrap();
            assert_eq!(got.email_id, want.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn any_octets_are_borne() {
        let line = b"* 3 FETCH (UID 7 BODY[X (a\"] \"b\\\"\" FLAGS ((())) BODY[]<0> \0 E \"a";
        for end in 0..line.len() {
            let _ = row(&line[..end]);
            for octet in [b'(', b')', b'"', b'[', b']', b'\\', b' ', MARK, b'<'] {
                let mut changed = line.to_vec();
                changed[end] = octet;
                let _ = row(&changed);
            }
        }
    }
}
