//! What a line of a map file is, taken by itself: plain where YAML leaves no doubt what it means.

/// A scalar in a line: its text, and the column its token starts in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) text: (usize, usize),
    pub(super) column: usize,
}

/// The value of a plain line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, on the stack; a box for each line would cost more"
)]
pub(super) enum Value {
    Scalar(Span),
    /// `{ key: value, … }`
    Map {
        column: usize,
        entries: [Option<(Span, Span)>; MAX_ENTRIES],
    },
}

/// Most entries of a map in a plain line: an entry of a users map has no more keys than that.
const MAX_ENTRIES: usize = 4;

/// What a line is, taken by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, on the stack; a box for each line would cost more"
)]
pub(super) enum Plain {
    /// Empty, or a comment.
    Nothing,
    /// `key: value`, all of it text without doubt.
    Entry { key: Span, value: Value },
    /// Anything else.
    Other,
    /// There is none.
    End,
}

pub(super) fn plain(line: &[u8]) -> Plain {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    // Where every character is one octet of ASCII, columns are octets.
    if !text.iter().all(|c| matches!(c, b' '..=b'~')) {
        return Plain::Other;
    }
    let start = text.iter().take_while(|c| **c == b' ').count();
    match text.get(start) {
        None | Some(b'#') => return Plain::Nothing,
        Some(_) if start > 0 => return Plain::Other,
        Some(_) => {}
    }
    let entry = || {
        let (key, at) = scalar(text, 0, |c| {
            c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-' | b'+' | b'=' | b'/' | b'@')
        })?;
        let behind = text.get(at..)?.strip_prefix(b":")?;
        let spaces = behind.iter().take_while(|c| **c == b' ').count();
        let from = at + 1 + spaces;
        let (value, end) = match text.get(from) {
            Some(b'{') => flow_map(text, from)?,
            _ => {
                let (span, end) = scalar(text, from, is_of_a_word)?;
                (Value::Scalar(span), end)
            }
        };
        let rest = text.get(end..)?;
        let blank = rest.iter().take_while(|c| **c == b' ').count();
        let over = match rest.get(blank) {
            None => true,
            Some(c) => *c == b'#' && blank > 0,
        };
        (spaces > 0 && over).then_some(Plain::Entry { key, value })
    };
    entry().unwrap_or(Plain::Other)
}

/// Whether YAML sees more than one line where we see one: its lines end with a bare CR, too.
pub(super) fn has_bare_cr(line: &[u8]) -> bool {
    let text = line.strip_suffix(b"\r\n").unwrap_or(line);
    memchr::memchr(b'\r', text).is_some()
}

fn is_of_a_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-')
}

/// A map in braces whose keys and values are such scalars, and where it ends.
fn flow_map(line: &[u8], from: usize) -> Option<(Value, usize)> {
    let skip = |at: usize| -> Option<usize> {
        let spaces = line.get(at..)?.iter().take_while(|c| **c == b' ');
        Some(at + spaces.count())
    };
    let mut entries = [None; MAX_ENTRIES];
    let mut at = skip(from + 1)?;
    for entry in &mut entries {
        let (key, behind) = scalar(line, at, is_of_a_word)?;
        let value_at = skip(behind + 1)?;
        if line.get(behind) != Some(&b':') || value_at == behind + 1 {
            return None;
        }
        let (value, behind) = scalar(line, value_at, is_of_a_word)?;
        *entry = Some((key, value));
        let end = skip(behind)?;
        match line.get(end)? {
            b'}' => {
                let column = from + 1;
                return Some((Value::Map { column, entries }, end + 1));
            }
            b',' => at = skip(end + 1)?,
            _ => return None,
        }
    }
    None
}

/// A scalar that is text in any YAML: quoted without escapes, or a word of these characters that starts
/// with a letter and is none of YAML's own, or with a digit and has an `@` in it, or is an address. Also
/// where it ends.
fn scalar(line: &[u8], from: usize, fits: impl Fn(u8) -> bool) -> Option<(Span, usize)> {
    let rest = line.get(from..)?;
    if let Some(quote @ (b'"' | b'\'')) = rest.first().copied() {
        let inside = rest.get(1..)?;
        let length = inside.iter().position(|c| *c == quote)?;
        let whole =
            !inside.get(..length)?.contains(&b'\\') && inside.get(length + 1) != Some(&quote);
        let span = Span {
            text: (from + 1, from + 1 + length),
            column: from + 1,
        };
        return (whole && length > 0).then_some((span, from + length + 2));
    }
    let length = rest.iter().take_while(|c| fits(**c)).count();
    let word = rest.get(..length)?;
    let own = |words: &[&[u8]]| words.iter().any(|it| word.eq_ignore_ascii_case(it));
    let letter = word.first().is_some_and(u8::is_ascii_alphabetic);
    let name = word.first().is_some_and(u8::is_ascii_digit) && word.contains(&b'@');
    // Three dots are an address: no number has them.
    let address = word.first().is_some_and(u8::is_ascii_digit)
        && word.iter().all(|c| c.is_ascii_digit() || *c == b'.')
        && word.iter().filter(|c| **c == b'.').count() == 3
        && word.last().is_some_and(u8::is_ascii_digit);
    let text = (letter || name || address)
        // YAML 1.1's are no booleans here, but whoever wrote them may hear so from its reader.
        && !own(&[b"null", b"true", b"false", b"yes", b"no", b"on", b"off", b"y", b"n", b"nan", b"inf"]);
    let span = Span {
        text: (from, from + length),
        column: from + 1,
    };
    text.then_some((span, from + length))
}
