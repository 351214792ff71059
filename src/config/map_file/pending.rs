//! An entry of a map file that was read, while what stands below it may still belong to it.

use super::super::node::{Kind, Mark, Node};
use super::MAX_PIECE;
use super::piece::Piece;
use super::plain::{MAX_ENTRIES, Span, Value};

/// An entry that may have a continuation.
pub(super) struct Pending {
    /// Its lines, and those behind that say nothing.
    pub(super) text: Vec<u8>,
    /// The first of them.
    pub(super) number: u32,
    pub(super) key: Span,
    pub(super) value: Held,
}

/// The value of an entry that is pending.
pub(super) enum Held {
    /// Of the key's own line.
    Line(Value),
    /// Of the lines below.
    Block(Block),
}

/// The lines `key: value` below a key.
#[derive(Default)]
pub(super) struct Block {
    indent: usize,
    entries: [Option<(u32, Span, Span)>; MAX_ENTRIES],
}

impl Pending {
    pub(super) fn is_block(&self) -> bool {
        matches!(self.value, Held::Block(_))
    }

    /// Whether it has no value yet.
    pub(super) fn is_open(&self) -> bool {
        matches!(&self.value, Held::Block(block) if block.entries[0].is_none())
    }

    /// Takes the line that was read, if it goes on with the block that is there.
    pub(super) fn take(
        &mut self,
        (number, line): (u32, &[u8]),
        indent: usize,
        key: Span,
        value: Span,
    ) -> bool {
        let Held::Block(block) = &mut self.value else {
            return false;
        };
        let first = block.entries[0].is_none();
        let Some(room) = block.entries.iter_mut().find(|it| it.is_none()) else {
            return false;
        };
        if (!first && block.indent != indent) || self.text.len() > MAX_PIECE {
            return false;
        }
        block.indent = indent;
        let from = self.text.len();
        let moved = |span: Span| Span {
            text: (span.text.0 + from, span.text.1 + from),
            ..span
        };
        *room = Some((number, moved(key), moved(value)));
        self.text.extend_from_slice(line);
        true
    }

    /// Gives the entry away; its buffer comes back.
    pub(super) fn give(self, each: &mut impl FnMut(Node, Node)) -> Vec<u8> {
        let mark = |line: u32, column: usize| Mark {
            line,
            column: u32::try_from(column).unwrap_or(u32::MAX),
            ..Mark::default()
        };
        let node = |line: u32, span: Span| {
            let text = self.text.get(span.text.0..span.text.1).unwrap_or_default();
            // What is not UTF-8 is not plain.
            let text = std::str::from_utf8(text).unwrap_or_default();
            Node {
                mark: mark(line, span.column),
                kind: Kind::Text(text.into()),
            }
        };
        let number = self.number;
        let value = match &self.value {
            Held::Line(Value::Scalar(span)) => node(number, *span),
            Held::Line(Value::Map { column, entries }) => {
                let entries = entries.iter().flatten();
                let entries =
                    entries.map(|(key, value)| (node(number, *key), node(number, *value)));
                Node {
                    mark: mark(number, *column),
                    kind: Kind::Map(entries.collect()),
                }
            }
            Held::Block(block) => {
                let entries = || block.entries.iter().flatten();
                let first = entries().next();
                let both = |(line, key, value): &(u32, Span, Span)| {
                    (node(*line, *key), node(*line, *value))
                };
                Node {
                    mark: first.map_or(Mark::default(), |(line, key, _)| mark(*line, key.column)),
                    kind: Kind::Map(entries().map(both).collect()),
                }
            }
        };
        each(node(number, self.key), value);
        self.text
    }

    /// Puts it at the head of a piece.
    pub(super) fn unread(self, piece: &mut Piece) {
        *piece = Piece::new(self.number, self.text);
    }
}
