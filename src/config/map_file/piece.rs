//! A piece of a map file that the fast reader leaves to YAML, and where its places are in the file.

use super::super::node::{Kind, Mark, Node};

/// Lines that are not plain, one after the other.
#[derive(Clone, Default)]
pub(super) struct Piece {
    pub(super) text: Vec<u8>,
    /// The line it begins in.
    pub(super) first: u32,
    /// Where its first line that says anything begins; looked at once a line, not the whole for each.
    pub(super) start: Start,
}

/// Where a line begins that says anything.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum Start {
    /// There was none yet: comments and blanks.
    #[default]
    Unknown,
    Flush,
    Indented,
}

impl Piece {
    /// Lines that were read already.
    pub(super) fn new(first: u32, text: Vec<u8>) -> Piece {
        let mut lines = text.split_inclusive(|c| *c == b'\n').map(Start::of);
        let start = lines.find(|it| *it != Start::Unknown).unwrap_or_default();
        Piece { text, first, start }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn push(&mut self, line: &[u8]) {
        if self.start == Start::Unknown {
            self.start = Start::of(line);
        }
        self.text.extend_from_slice(line);
    }
}

impl Start {
    fn of(line: &[u8]) -> Start {
        match (line.trim_ascii_start().first(), line.first()) {
            (None | Some(b'#'), _) => Start::Unknown,
            (_, Some(b' ' | b'\t')) => Start::Indented,
            _ => Start::Flush,
        }
    }
}

/// From places in a piece to places in the file.
#[derive(Clone, Copy)]
pub(super) struct Shift {
    /// The line of the file in which the piece begins.
    pub(super) first: u32,
    /// How many lines stand before it that are not of the file.
    pub(super) before: u32,
}

impl Shift {
    pub(super) fn mark(self, mark: Mark) -> Mark {
        let line = mark.line.saturating_sub(self.before);
        Mark {
            line: line.saturating_add(self.first).saturating_sub(1),
            ..mark
        }
    }

    pub(super) fn node(self, mut node: Node) -> Node {
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
