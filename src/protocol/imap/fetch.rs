//! Rows of a FETCH answer (RFC 9051 §7.5.2), as POP3 needs them: UID, size, EMAILID, and whether a
//! body is there.
//!
//! Lenient where hosts are known to be sloppy: items in any order, more items than asked, values
//! missing, blanks doubled, numbers in scientific notation. Not so behind the octets of a message: what
//! stands there may be the rest of them, where they were announced too short. Reading a row allocates nothing.

#[cfg(test)]
mod tests;

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
    /// How it ends.
    pub end: End,
}

/// How a row ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Anyhow: it is cut off, or something stands behind it, but there are no octets of a message in it.
    #[default]
    Open,
    /// By `)` and nothing behind it.
    Shut,
    /// Behind octets of a message it does not go on as a row does: they may be others, or more, than
    /// was announced.
    Torn,
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
    let mut before = Before::Facts;
    loop {
        if before == Before::Octets && !matches!(rest.first(), Some(b' ' | b')')) {
            row.end = End::Torn;
        }
        rest = rest.trim_ascii_start();
        let (name, tail) = rest.split_at_checked(name(rest))?;
        if name.is_empty() {
            row.end = match (row.end, rest, before) {
                (End::Open, b")", _) => End::Shut,
                (_, _, Before::Octets) => End::Torn,
                (end, ..) => end,
            };
            return Some(row);
        }
        let tail = tail.trim_ascii_start();
        if tail.is_empty() {
            row.awaits = Some(section(name).unwrap_or(Section::Other));
            if before == Before::Octets {
                row.end = End::Torn;
            }
            return Some(row);
        }
        let (value, tail) = tail.split_at_checked(value(tail))?;
        rest = tail;
        if before == Before::Octets && !is_item(name, value) {
            row.end = End::Torn;
        }
        if value.contains(&MARK) || (section(name).is_some() && value.starts_with(b"\"")) {
            before = Before::Octets;
        }
        match section(name) {
            Some(Section::Other) => {}
            Some(section) if row.body.is_none() => row.body = Some(body(section, value)),
            Some(_) => {}
            None if name.eq_ignore_ascii_case(b"UID") => {
                let said = number(value).map_or(Uid::Unreadable, Uid::Is);
                row.uid = match row.uid {
                    Uid::Unsaid => said,
                    before if before == said => said,
                    // Whose octets these are is anybody's guess.
                    _ => Uid::Unreadable,
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

/// What has been read of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// What the host knows of a message.
    Facts,
    /// Octets of one, which its sender chose.
    Octets,
}

/// Whether this is an item that hosts are known to send, or looks like one of an extension (RFC 9051
/// §9 `msg-att-static`, `msg-att-dynamic`): a sentence does not.
fn is_item(name: &[u8], value: &[u8]) -> bool {
    let one_of = |names: &[&str]| {
        let mut names = names.iter();
        names.any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    let nil = value.eq_ignore_ascii_case(b"NIL");
    let list = matches!(value, [b'(', .., b')']);
    let string = matches!(value, [MARK] | [b'"', .., b'"']);
    let in_number = |octet: &u8| octet.is_ascii_digit() || b"+-.eE".contains(octet);
    let number = value.iter().all(in_number) && value.iter().any(u8::is_ascii_digit);
    if one_of(&["UID", "RFC822.SIZE"]) {
        return number;
    }
    if one_of(&["FLAGS", "ENVELOPE", "BODY", "BODYSTRUCTURE"]) {
        return list || nil;
    }
    if section(name).is_some() || one_of(&["RFC822", "RFC822.HEADER", "RFC822.TEXT"]) {
        return string || nil;
    }
    let letter = |octet: &u8| !octet.is_ascii_lowercase() && octet.is_ascii_graphic();
    let extension = name.first().is_some_and(u8::is_ascii_uppercase) && name.iter().all(letter);
    let known = [
        "INTERNALDATE",
        "MODSEQ",
        "EMAILID",
        "THREADID",
        "SAVEDATE",
        "PREVIEW",
    ];
    let may_be = extension
        || one_of(&known)
        || name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case(b"X-"))
        || name
            .get(..6)
            .is_some_and(|it| it.eq_ignore_ascii_case(b"BINARY"));
    may_be && (list || string || number || nil)
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
