//! A map file as a stream of entries: plain lines by themselves, everything else by the YAML reader.
//!
//! A file of a million users is nearly all lines like `alice@example.com: store`. Such a line, where
//! YAML leaves no doubt what it means, is read here, an order of magnitude faster than YAML is. Lines
//! that are more than that go to the YAML reader in small pieces, and from the first piece on that
//! cannot stand alone, the whole rest of the file does: entries, places and faults are those of YAML
//! (a test compares them).

mod plain;

use std::io::{BufRead, BufReader, Chain, Cursor, Read};

use self::plain::{Plain, Span, Value, has_bare_cr, plain};
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
mod tests;
