//! A map file as a stream of entries: plain lines by themselves, everything else by the YAML reader.
//!
//! A file of a million users is nearly all lines like `alice@example.com: store`, or a key with two or
//! three such lines below it. What YAML leaves no doubt about is read here, an order of magnitude faster
//! than YAML is. Lines that are more than that go to the YAML reader in small pieces, and from the first piece on that
//! cannot stand alone, the whole rest of the file does: entries, places and faults are those of YAML
//! (a test compares them).

mod pending;
mod piece;
mod plain;

use std::io::{BufRead, BufReader, Cursor, Read};

use self::pending::{Block, Held, Pending};
use self::piece::{Piece, Shift, Start};
use self::plain::{Plain, has_anchor, has_bare_cr, indentation, may_begin_block_scalar, plain};
use super::node::{Kind, Node, show};
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
    let mut so_far = SoFar::default();
    // The last plain line: what is indented below may still belong to it.
    let mut pending: Option<Pending> = None;
    // What is not plain, as far as it was read.
    let mut piece = Piece::default();
    loop {
        let more = lines.next();
        let line = match more {
            More::Line => plain(&lines.line, so_far.base(&lines.line, &pending, &piece)),
            More::TooLong | More::Unreadable => Plain::Other,
            More::End => Plain::End,
        };
        if let (Plain::Below { indent, key, value }, Some(block)) = (line, &mut pending)
            && block.take((lines.number, &lines.line), indent, key, value)
        {
            continue;
        }
        let (key, value) = match (line, pending.take()) {
            // Nothing that says anything: it may stand between the parts of a value.
            (Plain::Nothing, before) => {
                let kept = match (before, piece.is_empty()) {
                    (_, false) => {
                        piece.push(&lines.line);
                        continue;
                    }
                    (Some(before), true) => &mut pending.insert(before).text,
                    (None, true) => &mut so_far.head,
                };
                kept.extend_from_slice(&lines.line);
                if kept.len() > MAX_PIECE {
                    if let Some(before) = pending {
                        before.unread(&mut piece);
                    }
                    return so_far.rest(piece, lines.reader, each);
                }
                continue;
            }
            (Plain::Below { .. } | Plain::Other, before) => {
                if so_far.begins(&lines.line, &before, &piece) {
                    so_far.head.extend_from_slice(&lines.line);
                    continue;
                }
                if piece.is_empty() {
                    piece.first = lines.number;
                }
                if let Some(before) = before {
                    // It may have been the first line of something larger.
                    let blank = |c: &&u8| matches!(**c, b' ' | b'\t');
                    let mut blanks = lines.line.iter().take_while(blank);
                    let inside = blanks.any(|c| *c == b'\t')
                        || lines.line.get(so_far.indent) == Some(&b' ')
                        || has_bare_cr(&lines.line);
                    match inside || before.is_block() {
                        true => before.unread(&mut piece),
                        false => so_far.give(before, &mut each),
                    }
                }
                piece.push(&lines.line);
                // What begins or ends a document, or is all of it: a map in braces, a tagged one.
                let marker = [&b"---"[..], b"...", b"%", b"\xEF\xBB\xBF", b"{", b"!"];
                // A map that is indented as a whole: what its next line means depends on this one.
                let indented = so_far.given == Given::Nothing && piece.start == Start::Indented;
                let alone = !indented
                    && !has_anchor(&lines.line)
                    && !may_begin_block_scalar(&lines.line)
                    && !marker.iter().any(|it| lines.line.starts_with(it))
                    && !has_bare_cr(&lines.line);
                if !alone || more != More::Line || piece.text.len() > MAX_PIECE {
                    return so_far.rest(piece, lines.reader, each);
                }
                continue;
            }
            (Plain::End, before) => {
                match before {
                    Some(before) if before.is_open() => before.unread(&mut piece),
                    Some(before) => so_far.give(before, &mut each),
                    None => {}
                }
                // A document of comments only is YAML's to judge.
                let head = so_far.given == Given::Nothing && !so_far.head.is_empty();
                return match piece.is_empty() && !head {
                    true => Ok(()),
                    false => so_far.rest(piece, lines.reader, each),
                };
            }
            (Plain::Entry { key, value }, before) => {
                so_far.end(before, &mut piece, &mut each);
                (key, Held::Line(value))
            }
            (Plain::Head { key }, before) => {
                so_far.end(before, &mut piece, &mut each);
                (key, Held::Block(Block::default()))
            }
        };
        if !piece.is_empty() {
            let whole = std::mem::take(&mut piece);
            match so_far.entries(&whole) {
                Some(entries) => entries.into_iter().for_each(|(k, v)| each(k, v)),
                None => {
                    piece = whole;
                    piece.push(&lines.line);
                    return so_far.rest(piece, lines.reader, each);
                }
            }
            so_far.given = Given::Something;
        }
        pending = Some(Pending {
            text: so_far.room(&lines.line),
            number: lines.number,
            key,
            value,
        });
        so_far.indent = indentation(&lines.line);
    }
}

/// What is known of the map from what was read of it.
#[derive(Default)]
struct SoFar {
    given: Given,
    /// How far its keys are indented; of no meaning before the first.
    indent: usize,
    /// What stands before the first entry: comments, and the line of dashes that begins a document.
    head: Vec<u8>,
    /// A buffer that is free.
    spare: Vec<u8>,
}

/// Whether an entry was given already: then what follows stands in the middle of a map.
#[derive(Clone, Copy, Default, PartialEq)]
enum Given {
    #[default]
    Nothing,
    Something,
}

/// Stands for the entries that were given, so that the YAML reader is where the file is.
const BEFORE: &str = "x: y\n";

impl SoFar {
    /// How far the keys are indented, if this line is one.
    fn base(&self, line: &[u8], pending: &Option<Pending>, piece: &Piece) -> usize {
        match self.given == Given::Nothing && pending.is_none() && piece.is_empty() {
            true => indentation(line),
            false => self.indent,
        }
    }

    /// Whether this is the line that begins the document.
    fn begins(&self, line: &[u8], pending: &Option<Pending>, piece: &Piece) -> bool {
        let first = self.given == Given::Nothing && pending.is_none() && piece.is_empty();
        let dashes = |line: &[u8]| line == b"---\n" || line == b"---\r\n";
        first && dashes(line) && !self.head.split_inclusive(|c| *c == b'\n').any(dashes)
    }

    /// The entry that was pending is at its end.
    fn end(
        &mut self,
        pending: Option<Pending>,
        piece: &mut Piece,
        each: &mut impl FnMut(Node, Node),
    ) {
        match pending {
            // A key without a value.
            Some(before) if before.is_open() => before.unread(piece),
            Some(before) => self.give(before, each),
            None => {}
        }
    }

    fn give(&mut self, pending: Pending, each: &mut impl FnMut(Node, Node)) {
        self.spare = pending.give(each);
        self.given = Given::Something;
    }

    /// A line in a buffer of its own.
    fn room(&mut self, line: &[u8]) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.spare);
        text.clear();
        text.extend_from_slice(line);
        text
    }

    /// The entries of a piece, if it can stand alone.
    fn entries(&self, piece: &Piece) -> Option<Vec<(Node, Node)>> {
        let mut entries = Vec::new();
        // What is empty stands where the next key does.
        let next = vec![b' '; self.indent];
        let read = self.rest(piece.clone(), Cursor::new(next), |key, value| {
            entries.push((key, value));
        });
        read.ok().map(|()| entries)
    }

    /// Reads everything from a piece on by YAML.
    fn rest(
        &self,
        piece: Piece,
        reader: impl Read,
        mut each: impl FnMut(Node, Node),
    ) -> Result<(), Fault> {
        let (before, mut skip, shift) = match self.given {
            Given::Something => {
                let mut before = vec![b' '; self.indent];
                before.extend_from_slice(BEFORE.as_bytes());
                (
                    before,
                    1,
                    Shift {
                        first: piece.first,
                        before: 1,
                    },
                )
            }
            Given::Nothing => (
                self.head.clone(),
                0,
                Shift {
                    first: 1,
                    before: 0,
                },
            ),
        };
        let head = Cursor::new(before).chain(Cursor::new(piece.text));
        let read = yaml::stream_map(head.chain(reader), |key, value| match skip {
            0 => each(shift.node(key), shift.node(value)),
            _ => skip = 0,
        });
        read.map_err(|fault| Fault {
            mark: fault.mark.map(|mark| shift.mark(mark)),
            ..fault
        })
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

/// What the reader of proxy.yaml makes of it, which has the whole text before it; none where that is no
/// map, or more than a file of settings may be.
pub fn as_settings(text: &[u8]) -> Option<Vec<String>> {
    let tree = yaml::parse(std::str::from_utf8(text).ok()?).ok()?;
    let entries = matches!(tree.kind, Kind::Map(_)).then(|| tree.entries())?;
    Some(entries.iter().map(shown).collect())
}

fn shown((key, value): &(Node, Node)) -> String {
    format!("{} = {}", show(key), show(value))
}

fn told(read: impl FnOnce(&mut dyn FnMut(Node, Node)) -> Result<(), Fault>) -> Told {
    let mut entries = Vec::new();
    let ended = read(&mut |key, value| {
        entries.push(shown(&(key, value)));
    });
    let ended = ended.map_err(|fault| {
        let at = fault.mark.map(|mark| (mark.line, mark.column));
        (format!("{:?} {}", fault.kind, fault.message), at)
    });
    Told { entries, ended }
}

#[cfg(test)]
mod tests;
