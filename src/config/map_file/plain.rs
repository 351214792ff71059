//! What a line of a map file is, taken by itself: plain where YAML leaves no doubt what it means.

/// A scalar in a line: its text (octets of the line), and the column its token starts in.
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

/// Most entries of a map that is read here: an entry of a users map has no more keys than that.
pub(super) const MAX_ENTRIES: usize = 4;

/// What a line is, taken by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plain {
    /// Empty, or a comment.
    Nothing,
    /// `key: value`, all of it text without doubt.
    Entry { key: Span, value: Value },
    /// `key:`, whose value is what stands below it.
    Head { key: Span },
    /// `key: value` that is indented by so many spaces: a line of such a value.
    Below {
        indent: usize,
        key: Span,
        value: Span,
    },
    /// Anything else.
    Other,
    /// There is none.
    End,
}

/// A line of a map whose keys are indented by `base` spaces.
pub(super) fn plain(line: &[u8], base: usize) -> Plain {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let Some(letters) = Letters::of(text) else {
        return Plain::Other;
    };
    let start = indentation(text);
    match text.get(start) {
        None | Some(b'#') => return Plain::Nothing,
        Some(_) if start < base => return Plain::Other,
        Some(_) => {}
    }
    let plain = match start == base {
        true => entry(text, start),
        false => below(text, start),
    };
    match (letters, plain) {
        (_, None) => Plain::Other,
        (Letters::Ascii, Some(plain)) => plain,
        (Letters::Any, Some(plain)) => plain.in_characters(text),
    }
}

/// How many spaces a line begins with.
pub(super) fn indentation(line: &[u8]) -> usize {
    line.iter().take_while(|c| **c == b' ').count()
}

/// Whether YAML sees more than one line where we see one: its lines end with a bare CR, too.
pub(super) fn has_bare_cr(line: &[u8]) -> bool {
    let text = line.strip_suffix(b"\r\n").unwrap_or(line);
    memchr::memchr(b'\r', text).is_some()
}

/// Whether there may be an anchor in it, of which others below speak.
pub(super) fn has_anchor(line: &[u8]) -> bool {
    let ands = memchr::memchr_iter(b'&', line);
    ands.into_iter()
        .any(|at| line.get(at + 1).is_some_and(|c| !c.is_ascii_whitespace()))
}

/// Whether a block scalar (`|`, `>+`) may begin at its end: where one without text stands depends on what
/// follows it.
pub(super) fn may_begin_block_scalar(line: &[u8]) -> bool {
    let mut begins = memchr::memchr2_iter(b'|', b'>', line);
    begins.any(|at| {
        let behind = line.get(at + 1..).unwrap_or_default();
        let indicators =
            |c: &u8| matches!(c, b'+' | b'-' | b'0'..=b'9' | b' ' | b'\t' | b'\r' | b'\n');
        let other = behind.iter().find(|c| !indicators(c));
        matches!(other, None | Some(b'#'))
    })
}

/// Of what a line is made.
#[derive(Clone, Copy)]
enum Letters {
    /// Every character is one octet: columns are octets.
    Ascii,
    /// Besides, letters and digits of any script, which mean nothing to YAML.
    Any,
}

impl Letters {
    /// None: there may be more in it than meets the eye.
    fn of(text: &[u8]) -> Option<Letters> {
        if text.iter().all(|c| matches!(c, b' '..=b'~')) {
            return Some(Letters::Ascii);
        }
        let means_nothing =
            |c: char| matches!(c, ' '..='~') || (!c.is_ascii() && c.is_alphanumeric());
        let text = std::str::from_utf8(text).ok()?;
        text.chars().all(means_nothing).then_some(Letters::Any)
    }
}

/// `key: value`, or `key:` alone.
fn entry(text: &[u8], start: usize) -> Option<Plain> {
    let (key, from) = key_of(text, start, of_a_key)?;
    let plain = match text.get(from) {
        None | Some(b'#') => return Some(Plain::Head { key }),
        Some(b'{') => {
            let (value, end) = flow_map(text, from)?;
            (Plain::Entry { key, value }, end)
        }
        Some(_) => {
            let (value, end) = scalar(text, from, of_a_value)?;
            let value = Value::Scalar(value);
            (Plain::Entry { key, value }, end)
        }
    };
    is_over(text, plain.1).then_some(plain.0)
}

/// `key: value` below a key.
fn below(text: &[u8], indent: usize) -> Option<Plain> {
    let (key, from) = key_of(text, indent, of_a_word)?;
    let (value, end) = scalar(text, from, of_a_value)?;
    is_over(text, end).then_some(Plain::Below { indent, key, value })
}

/// A key with its colon, and where its value begins: behind a space, or at the end of the line.
fn key_of(text: &[u8], start: usize, fits: fn(u8) -> bool) -> Option<(Span, usize)> {
    let (key, at) = scalar(text, start, fits)?;
    let behind = text.get(at..)?.strip_prefix(b":")?;
    let spaces = indentation(behind);
    (spaces > 0 || behind.is_empty()).then_some((key, at + 1 + spaces))
}

/// Whether nothing follows but a comment.
fn is_over(text: &[u8], end: usize) -> bool {
    let rest = text.get(end..).unwrap_or_default();
    let blank = indentation(rest);
    match rest.get(blank) {
        None => true,
        Some(c) => *c == b'#' && blank > 0,
    }
}

fn of_a_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-')
}

fn of_a_key(c: u8) -> bool {
    of_a_word(c) || matches!(c, b'+' | b'=' | b'/' | b'@' | b'\x80'..)
}

/// Values may be of several words.
fn of_a_value(c: u8) -> bool {
    of_a_key(c) || c == b' '
}

/// A map in braces whose keys and values are such scalars, and where it ends.
fn flow_map(line: &[u8], from: usize) -> Option<(Value, usize)> {
    let skip = |at: usize| -> Option<usize> { Some(at + indentation(line.get(at..)?)) };
    let mut entries = [None; MAX_ENTRIES];
    let mut at = skip(from + 1)?;
    for entry in &mut entries {
        let (key, behind) = scalar(line, at, of_a_word)?;
        let value_at = skip(behind + 1)?;
        if line.get(behind) != Some(&b':') || value_at == behind + 1 {
            return None;
        }
        let (value, behind) = scalar(line, value_at, of_a_value)?;
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

/// A scalar that is text in any YAML: quoted without escapes, or words of these characters that start
/// with a letter and are none of YAML's own, or with a digit and have an `@`, or are an address. Also
/// where it ends.
fn scalar(line: &[u8], from: usize, fits: fn(u8) -> bool) -> Option<(Span, usize)> {
    let rest = line.get(from..)?;
    if let Some(quote @ (b'"' | b'\'')) = rest.first().copied() {
        let inside = rest.get(1..)?;
        let length = memchr::memchr(quote, inside)?;
        let whole =
            !inside.get(..length)?.contains(&b'\\') && inside.get(length + 1) != Some(&quote);
        let span = Span {
            text: (from + 1, from + 1 + length),
            column: from + 1,
        };
        return (whole && length > 0).then_some((span, from + length + 2));
    }
    let length = rest.iter().take_while(|c| fits(**c)).count();
    let word = rest.get(..length)?.trim_ascii_end();
    let length = word.len();
    let first = *word.first()?;
    let text = match first {
        // Three dots are an address: no number has them.
        b'0'..=b'9' => {
            word.contains(&b'@')
                || (word.iter().all(|c| c.is_ascii_digit() || *c == b'.')
                    && word.iter().filter(|c| **c == b'.').count() == 3
                    && word.last().is_some_and(u8::is_ascii_digit))
        }
        b'a'..=b'z' | b'A'..=b'Z' => !is_yamls(word),
        b'\x80'.. => true,
        _ => false,
    };
    let span = Span {
        text: (from, from + length),
        column: from + 1,
    };
    text.then_some((span, from + length))
}

/// The words that YAML has for itself. YAML 1.1's are no booleans here, but whoever wrote them may hear
/// so from its reader.
fn is_yamls(word: &[u8]) -> bool {
    const WORDS: [&[u8]; 11] = [
        b"null", b"true", b"false", b"yes", b"no", b"on", b"off", b"y", b"n", b"nan", b"inf",
    ];
    word.len() <= 5 && WORDS.iter().any(|it| word.eq_ignore_ascii_case(it))
}

impl Plain {
    /// With columns counted in characters, as YAML counts them.
    fn in_characters(self, text: &[u8]) -> Self {
        let column = |octet: usize| {
            let before = text.get(..octet.saturating_sub(1)).unwrap_or_default();
            // Octets that begin a character.
            1 + before.iter().filter(|c| **c & 0xC0 != 0x80).count()
        };
        let span = |span: Span| Span {
            column: column(span.column),
            ..span
        };
        match self {
            Plain::Entry { key, value } => Plain::Entry {
                key: span(key),
                value: match value {
                    Value::Scalar(value) => Value::Scalar(span(value)),
                    Value::Map {
                        column: at,
                        entries,
                    } => Value::Map {
                        column: column(at),
                        entries: entries.map(|it| it.map(|(k, v)| (span(k), span(v)))),
                    },
                },
            },
            Plain::Head { key } => Plain::Head { key: span(key) },
            Plain::Below { indent, key, value } => Plain::Below {
                indent,
                key: span(key),
                value: span(value),
            },
            other => other,
        }
    }
}
