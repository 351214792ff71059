//! A map file as a stream of entries: plain lines by themselves, everything else by the YAML reader.
//!
//! A file of a million users is nearly all lines like `alice@example.com: store`. Such a line, where
//! YAML leaves no doubt what it means, is read here, an order of magnitude faster than YAML is. Lines
//! that are more than that go to the YAML reader in small pieces, and from the first piece on that
//! cannot stand alone, the whole rest of the file does: entries, places and faults are those of YAML
//! (a test compares them).

use std::io::{BufRead, BufReader, Chain, Cursor, Read};

use super::node::{Kind, Mark, Node, show};
use super::yaml::{self, Fault, MAX_MAP_FILE};

/// What is read at a time.
const BUFFER: usize = 256 * 1024;

/// Longest line that is looked at here, in octets; longer ones are YAML's to refuse or to read.
const MAX_LINE: usize = 16 * 1024;

/// Largest piece in octets that is tried by itself.
const MAX_PIECE: usize = 1024 * 1024;

/// Reads the entries of a map file in order. Interpolation is off: map files are taken as they stand.
///
/// # Errors
/// Where it stops being a map, and why. Entries before that have been given.
pub(super) fn read(reader: impl Read, mut each: impl FnMut(Node, Node)) -> Result<(), Fault> {
    let mut lines = Lines {
        reader: BufReader::with_capacity(BUFFER, reader.take(MAX_MAP_FILE + 1)),
        line: Vec::new(),
        number: 0,
    };
    // The last plain line: a line that is indented may still belong to it.
    let mut pending: Option<Pending> = None;
    // What is not plain, as far as it was read, and whether there was an entry before it.
    let mut piece = Piece::default();
    let mut given = Given::Nothing;
    loop {
        let more = lines.next();
        let plain = match more {
            More::Line => plain(&lines.line),
            More::TooLong | More::Unreadable => Plain::Other,
            More::End => Plain::End,
        };
        match (plain, pending.take(), piece.text.is_empty()) {
            // Nothing that says anything: it may stand between the parts of a value.
            (Plain::Nothing, before, empty) => {
                pending = before;
                if !empty {
                    piece.push(&lines.line);
                } else if let Some(mut before) = pending.take() {
                    before.behind.extend_from_slice(&lines.line);
                    if before.behind.len() > MAX_PIECE {
                        before.unread(&mut piece);
                        return rest(piece, lines.reader, given, each);
                    }
                    pending = Some(before);
                }
            }
            (Plain::Entry { key, value }, before, empty) => {
                if let Some(before) = before {
                    before.give(&mut each);
                    given = Given::Something;
                }
                if !empty {
                    let whole = std::mem::take(&mut piece);
                    match whole.entries(given) {
                        Some(entries) => entries.into_iter().for_each(|(k, v)| each(k, v)),
                        None => {
                            piece = whole;
                            piece.push(&lines.line);
                            return rest(piece, lines.reader, given, each);
                        }
                    }
                    given = Given::Something;
                }
                pending = Some(Pending::new(lines.number, &lines.line, key, value));
            }
            (Plain::Other, before, empty) => {
                if empty {
                    piece.first = lines.number;
                }
                if let Some(before) = before {
                    if lines.line.starts_with(b" ") || lines.line.starts_with(b"\t") {
                        // It was the first line of something larger.
                        before.unread(&mut piece);
                    } else {
                        before.give(&mut each);
                        given = Given::Something;
                    }
                }
                piece.push(&lines.line);
                let marker = [&b"---"[..], b"...", b"%", b"\xEF\xBB\xBF"];
                // A map that is indented as a whole: what its next line means depends on this one.
                let indented = given == Given::Nothing
                    && (piece.text.starts_with(b" ") || piece.text.starts_with(b"\t"));
                let alone = !indented
                    && !marker.iter().any(|it| lines.line.starts_with(it))
                    && !has_bare_cr(&lines.line);
                if !alone || more != More::Line || piece.text.len() > MAX_PIECE {
                    return rest(piece, lines.reader, given, each);
                }
            }
            (Plain::End, before, _) => {
                if let Some(before) = before {
                    before.give(&mut each);
                    given = Given::Something;
                }
                return match piece.text.is_empty() {
                    true => Ok(()),
                    false => rest(piece, lines.reader, given, each),
                };
            }
        }
    }
}

/// Whether an entry was given already: then what follows stands in the middle of a map.
#[derive(Clone, Copy, PartialEq)]
enum Given {
    Nothing,
    Something,
}

/// Stands for the entries that were given, so that the YAML reader is where the file is.
const BEFORE: &str = "x: y\n";

/// Reads everything from a piece on by YAML.
fn rest(
    piece: Piece,
    reader: impl Read,
    given: Given,
    mut each: impl FnMut(Node, Node),
) -> Result<(), Fault> {
    let (before, mut skip) = match given {
        Given::Something => (BEFORE, 1),
        Given::Nothing => ("", 0),
    };
    let shift = Shift {
        first: piece.first,
        before: u32::from(given == Given::Something),
    };
    let head: Chain<Cursor<&str>, Cursor<Vec<u8>>> =
        Cursor::new(before).chain(Cursor::new(piece.text));
    let read = yaml::stream_map(head.chain(reader), |key, value| match skip {
        0 => each(shift.node(key), shift.node(value)),
        _ => skip = 0,
    });
    read.map_err(|fault| Fault {
        mark: fault.mark.map(|mark| shift.mark(mark)),
        ..fault
    })
}

/// From places in a piece to places in the file.
#[derive(Clone, Copy)]
struct Shift {
    /// The line of the file in which the piece begins.
    first: u32,
    /// How many lines stand before it that are not of the file.
    before: u32,
}

impl Shift {
    fn mark(self, mark: Mark) -> Mark {
        let line = mark.line.saturating_sub(self.before);
        Mark {
            line: line.saturating_add(self.first).saturating_sub(1),
            ..mark
        }
    }

    fn node(self, mut node: Node) -> Node {
        node.mark = self.mark(node.mark);
        match &mut node.kind {
            Kind::List(items) => {
                for item in items {
                    *item = self.node(std::mem::replace(item, nothing()));
                }
            }
            Kind::Map(entries) => {
                for (key, value) in entries {
                    *key = self.node(std::mem::replace(key, nothing()));
                    *value = self.node(std::mem::replace(value, nothing()));
                }
            }
            _ => {}
        }
        node
    }
}

fn nothing() -> Node {
    Node {
        mark: Mark::default(),
        kind: Kind::Null,
    }
}

/// Lines that are not plain, one after the other.
#[derive(Default)]
struct Piece {
    text: Vec<u8>,
    /// The line it begins in.
    first: u32,
}

impl Piece {
    fn push(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
    }

    /// Its entries, if it can stand alone.
    fn entries(&self, given: Given) -> Option<Vec<(Node, Node)>> {
        let mut entries = Vec::new();
        let piece = Piece {
            text: self.text.clone(),
            first: self.first,
        };
        let read = rest(piece, std::io::empty(), given, |key, value| {
            entries.push((key, value));
        });
        read.ok().map(|()| entries)
    }
}

/// A plain line that may have a continuation.
struct Pending {
    line: Vec<u8>,
    number: u32,
    key: Span,
    value: Value,
    /// Lines behind it that say nothing.
    behind: Vec<u8>,
}

impl Pending {
    fn new(number: u32, line: &[u8], key: Span, value: Value) -> Self {
        Pending {
            line: line.to_vec(),
            number,
            key,
            value,
            behind: Vec::new(),
        }
    }

    fn give(self, each: &mut impl FnMut(Node, Node)) {
        let mark = |column: usize| Mark {
            line: self.number,
            column: u32::try_from(column).unwrap_or(u32::MAX),
            ..Mark::default()
        };
        let node = |span: Span| {
            let text = self.line.get(span.text.0..span.text.1).unwrap_or_default();
            let text = String::from_utf8_lossy(text);
            Node {
                mark: mark(span.column),
                kind: Kind::Text(text.into()),
            }
        };
        let value = match self.value {
            Value::Scalar(span) => node(span),
            Value::Map { column, entries } => Node {
                mark: mark(column),
                kind: Kind::Map(
                    { entries.into_iter().flatten() }
                        .map(|(key, value)| (node(key), node(value)))
                        .collect(),
                ),
            },
        };
        each(node(self.key), value);
    }

    /// Puts it at the head of a piece, with what stands behind it.
    fn unread(self, piece: &mut Piece) {
        piece.first = self.number;
        piece.text = self.line;
        piece.text.extend_from_slice(&self.behind);
    }
}

/// A scalar in a line: its text, and the column its token starts in.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    text: (usize, usize),
    column: usize,
}

/// The value of a plain line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, on the stack; a box for each line would cost more"
)]
enum Value {
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
enum Plain {
    /// Empty, or a comment.
    Nothing,
    /// `key: value`, all of it text without doubt.
    Entry { key: Span, value: Value },
    /// Anything else.
    Other,
    /// There is none.
    End,
}

fn plain(line: &[u8]) -> Plain {
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
fn has_bare_cr(line: &[u8]) -> bool {
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

/// Lines with their ends, and their numbers.
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    number: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum More {
    Line,
    /// The line goes on behind what is in `line`.
    TooLong,
    /// The reader failed; asked again it says why.
    Unreadable,
    End,
}

impl<R: Read> Lines<R> {
    fn next(&mut self) -> More {
        self.line.clear();
        self.number = self.number.saturating_add(1);
        let most = MAX_LINE as u64;
        match (&mut self.reader)
            .take(most)
            .read_until(b'\n', &mut self.line)
        {
            Ok(0) => More::End,
            Ok(_) if self.line.len() >= MAX_LINE && !self.line.ends_with(b"\n") => More::TooLong,
            Ok(_) => More::Line,
            Err(_) => More::Unreadable,
        }
    }
}

/// What a map file says, for tests that compare its readers.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// Its entries with their places, one text each.
    pub entries: Vec<String>,
    /// How it ended: what is wrong, at which line and column.
    pub ended: Result<(), (String, Option<(u32, u32)>)>,
}

/// A map file as it is read, and as YAML alone reads it: they say the same, but that YAML's reader,
/// which looks ahead, gives fewer entries before a fault than there are.
pub fn both_ways(text: &[u8]) -> (Told, Told) {
    (
        told(|each| read(text, each)),
        told(|each| yaml::stream_map(text, each)),
    )
}

fn told(read: impl FnOnce(&mut dyn FnMut(Node, Node)) -> Result<(), Fault>) -> Told {
    let mut entries = Vec::new();
    let ended = read(&mut |key, value| {
        entries.push(format!("{} = {}", show(&key), show(&value)));
    });
    let ended = ended.map_err(|fault| {
        let at = fault.mark.map(|mark| (mark.line, mark.column));
        (format!("{:?} {}", fault.kind, fault.message), at)
    });
    Told { entries, ended }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// YAML's word for it. Its reader looks ahead, and gives fewer entries before a fault than there
    /// are: those that it gives must be ours.
    fn same_as_yaml(text: &[u8]) {
        let (ours, yaml) = both_ways(text);
        let shown = String::from_utf8_lossy(text);
        assert_eq!(ours.ended, yaml.ended, "{shown}");
        match yaml.ended {
            Ok(()) => assert_eq!(ours.entries, yaml.entries, "{shown}"),
            Err(_) => assert!(
                ours.entries.starts_with(&yaml.entries),
                "{shown}\n{ours:?}\n{yaml:?}"
            ),
        }
    }

    /// Lines that mean something beside each other.
    const LINES: &[&str] = &[
        "alice@example.com: store",
        "bob: old  # why",
        "\"@example.org\": new",
        "'@*.example.org': \"new\"",
        "carol: { backend: new, login: \"{local}\" }",
        "dora: {backend: new , host: 10.0.1.2}  # why",
        "emil: { reject: 'moved, call 555-0100' }",
        "fred: {a: b,c: d}",
        "gina: {a: 5, b: 10.0, c: 1.2.3.}",
        "hugo: {a: b, }",
        "inge: {a: {b: c}}",
        "jens: { \"a\": b, a:c }",
        "kurt: {}",
        "lars: {a: b} c",
        "mike: {a: b}#c",
        "nina: {a: true, b: x:y}",
        "otto: 10.0.1.2",
        "dave: {backend: new,",
        "}",
        "  host: x }",
        "eve:",
        "  backend: new",
        "  login: \"a b\"",
        "",
        "   ",
        "# a comment",
        "  # an indented comment",
        "frank: two words",
        "  more words",
        "true: yes",
        "grace: true",
        "5: 6",
        "heidi: 0x10",
        "~: ~",
        "ivan: |\n  a block",
        "karl: >\n  folded\n\n  block",
        "judy: 'it''s'",
        "mallory: \"a\\tb\"",
        "oscar: \"not closed",
        "closed here\"",
        "peggy: é",
        "é: store",
        "quentin : store",
        "rupert:store",
        "- item",
        "? complex",
        ": value",
        "---",
        "...",
        "%YAML 1.2",
        "@unquoted: x",
        "a: b: c",
        "x: &anchor y",
        "z: *anchor",
        "\ttab: x",
        "alice@example.com: again\r",
    ];

    #[test]
    fn every_pair_of_lines_reads_as_yaml_reads_it() {
        for one in LINES {
            same_as_yaml(one.as_bytes());
            for (n, other) in LINES.iter().enumerate() {
                if n % 4 == 0 {
                    same_as_yaml(format!("{one}\n{other}\n").as_bytes());
                }
                same_as_yaml(format!("a: b\n{one}\n{other}\nc: d\n").as_bytes());
            }
        }
    }

    #[test]
    fn any_lines_in_any_order_read_as_yaml_reads_them() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        for _ in 0..800 {
            let count = 1 + next(8);
            // Mostly lines that are fine beside each other, or nothing would be read to the end.
            let lines: Vec<&str> = (0..count)
                .map(|_| {
                    LINES[if next(4) == 0 {
                        next(LINES.len())
                    } else {
                        next(15)
                    }]
                })
                .collect();
            same_as_yaml(lines.join("\n").as_bytes());
        }
    }

    #[test]
    fn long_and_broken_lines_are_yamls() {
        let long = format!("a: b\nlong: {}\nc: d\n", "x".repeat(3 * MAX_LINE));
        let pieces = format!("a: b\n{}c: d\n", "e: {f: g}\n".repeat(MAX_PIECE / 8));
        for text in [
            long.as_bytes(),
            pieces.as_bytes(),
            b"a: b\nc: \xFF\nd: e\n",
            b"\xEF\xBB\xBFa: b\nc: d\n",
            b"a: b\n\0: d\n",
            b"a: b\nc: d\n ",
            b"a: b\r\n\r\nc: d\r\n",
            b"a: b\rc: d\r",
        ] {
            same_as_yaml(text);
        }
    }

    /// Found by fuzzing: places behind a line break that is YAML's only.
    #[test]
    fn a_bare_cr_ends_a_line_as_yaml_has_it() {
        for text in [
            "a: st'ore\nb: old \r # Why\nc: new\n",
            "a: b\n# c\rd: e\nf: g\n",
            "a: b\r",
            "a: b\r\r\nc: d\n",
        ] {
            same_as_yaml(text.as_bytes());
        }
    }

    /// Found by fuzzing: where an empty block stands depends on what follows it.
    #[test]
    fn an_empty_block_is_read_as_empty() {
        same_as_yaml(b"karl: >\nhost: x\n");
        same_as_yaml(b"true: ~\nkarl: >\nhost:   foldedy\ndy\nz: *anchor\n");
    }

    #[test]
    fn plain_lines() {
        for (line, want) in [
            ("a@b: c", Some((("a@b", 1), ("c", 6)))),
            ("\"@b\":   'c d' # e", Some((("@b", 1), ("c d", 9)))),
            ("a: b#c", None),
            ("a: b #c", Some((("a", 1), ("b", 4)))),
            ("a:b", None),
            ("a: ", None),
            ("a: -", None),
            ("null: b", None),
            ("a: \"\"", None),
            ("a: 'b' c", None),
            ("1@b: c", Some((("1@b", 1), ("c", 6)))),
            ("1b: c", None),
        ] {
            let got = match plain(line.as_bytes()) {
                Plain::Entry {
                    key,
                    value: Value::Scalar(value),
                } => {
                    let text = |span: Span| (&line[span.text.0..span.text.1], span.column);
                    Some((text(key), text(value)))
                }
                _ => None,
            };
            assert_eq!(got, want, "{line}");
        }
    }
}
