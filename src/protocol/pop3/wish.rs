//! What a client wants after login: its lines as a bounded queue of commands, so that a pipelining
//! client (RFC 2449 §6.6) is served in order and what comes next can be foreseen.

use std::collections::VecDeque;

use super::grammar::{Bad, Command, MessageNumber};
use super::reply;

/// Longest command line after login; RFC 2449 §4 asks for 255 octets.
const LONGEST_LINE: usize = 512;

/// Most commands read ahead: a client that sends more waits.
const MOST: usize = 128;

/// A command of the TRANSACTION state (RFC 1939 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// CAPA
    Capa,
    /// STAT
    Stat,
    /// LIST, of all or of one
    List(Option<MessageNumber>),
    /// UIDL, of all or of one
    Uidl(Option<MessageNumber>),
    /// RETR
    Retr(MessageNumber),
    /// TOP
    Top(MessageNumber, u32),
    /// DELE
    Dele(MessageNumber),
    /// RSET
    Rset,
    /// NOOP
    Noop,
    /// QUIT
    Quit,
    /// UTF8
    Utf8,
    /// LANG, and what it is answered
    Lang(Vec<u8>),
    /// A command that has no place after login
    Misplaced,
    /// Arguments that do not fit, and what was expected
    Bad(&'static str),
    /// Not a command
    Unknown,
    /// A line without an end; nothing behind it is read
    TooLong,
}

/// A client's octets, cut into commands.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// The beginning of a line.
    line: Vec<u8>,
    waiting: VecDeque<Wish>,
    end: End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// After QUIT or a line too long nothing is read.
    Closed,
}

impl Input {
    /// Takes octets, as many as there is room for; says how many.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while self.has_room() {
            let rest = bytes.get(used..).unwrap_or_default();
            if self.end == End::Closed || rest.is_empty() {
                return bytes.len();
            }
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if self.line.len().saturating_add(rest.len()) > LONGEST_LINE {
                    self.push(Wish::TooLong);
                } else {
                    self.line.extend_from_slice(rest);
                }
                return bytes.len();
            };
            let (line, _) = rest.split_at_checked(end).unwrap_or_default();
            used = used.saturating_add(end.saturating_add(1));
            if self.line.len().saturating_add(line.len()) > LONGEST_LINE {
                self.push(Wish::TooLong);
                continue;
            }
            let wish = if self.line.is_empty() {
                wish(line)
            } else {
                self.line.extend_from_slice(line);
                wish(&std::mem::take(&mut self.line))
            };
            self.push(wish);
        }
        used
    }

    /// Whether octets can be taken.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MOST
    }

    /// The next command.
    pub(super) fn next(&mut self) -> Option<Wish> {
        let wish = self.waiting.pop_front();
        if self.waiting.is_empty() && self.waiting.capacity() > 8 {
            self.waiting = VecDeque::new();
        }
        wish
    }

    /// The commands that wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Wish> {
        self.waiting.iter()
    }

    fn push(&mut self, wish: Wish) {
        if matches!(wish, Wish::Quit | Wish::TooLong) {
            self.end = End::Closed;
            self.line = Vec::new();
        }
        self.waiting.push_back(wish);
    }
}

fn wish(line: &[u8]) -> Wish {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match Command::parse(line) {
        Ok(command) => match command {
            Command::Capa => Wish::Capa,
            Command::Stat => Wish::Stat,
            Command::List(number) => Wish::List(number),
            Command::Uidl(number) => Wish::Uidl(number),
            Command::Retr(number) => Wish::Retr(number),
            Command::Top(number, lines) => Wish::Top(number, lines),
            Command::Dele(number) => Wish::Dele(number),
            Command::Rset => Wish::Rset,
            Command::Noop => Wish::Noop,
            Command::Quit => Wish::Quit,
            Command::Utf8 => Wish::Utf8,
            Command::Lang(tag) => Wish::Lang(reply::lang(tag)),
            Command::User(_)
            | Command::Pass(_)
            | Command::Apop
            | Command::Auth { .. }
            | Command::AuthList
            | Command::Stls
            | Command::Xclient(_)
            | Command::Last => Wish::Misplaced,
        },
        Err(Bad::Arguments(expected)) => Wish::Bad(expected),
        // A browser: nothing it sends is worth an answer.
        Err(Bad::Http) => Wish::TooLong,
        Err(Bad::Unknown) => Wish::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(bytes: &[u8], size: usize) -> Vec<Wish> {
        let mut input = Input::default();
        let mut got = Vec::new();
        for chunk in bytes.chunks(size) {
            let mut at = 0;
            while at < chunk.len() {
                at += input.receive(&chunk[at..]);
                got.extend(std::iter::from_fn(|| input.next()));
            }
        }
        got
    }

    #[test]
    fn lines_become_commands_however_they_are_cut() {
        let bytes = b"STAT\r\nnoop\nRETR\r\nXYZ\r\nPASS a\r\nCAPA\r\nQUIT\r\nSTAT\r\n";
        let want = [
            Wish::Stat,
            Wish::Noop,
            Wish::Bad("a message number"),
            Wish::Unknown,
            Wish::Misplaced,
            Wish::Capa,
            Wish::Quit,
        ];
        for size in 1..=bytes.len() {
            assert_eq!(wishes(bytes, size), want, "by {size}");
        }
    }

    #[test]
    fn nothing_is_read_behind_a_line_too_long() {
        for flood in [
            vec![b'x'; 600],
            [&[b'x'; 600][..], b"\r\nSTAT\r\n"].concat(),
        ] {
            for size in [1, 7, 5000] {
                assert_eq!(wishes(&flood, size), [Wish::TooLong], "by {size}");
            }
        }
    }

    #[test]
    fn a_client_that_sends_too_many_waits() {
        let mut input = Input::default();
        let flood = b"NOOP\r\n".repeat(1000);
        assert_eq!(input.receive(&flood), MOST * 6);
        assert!(!input.has_room());
        assert_eq!(input.receive(&flood), 0);
        assert_eq!(input.next(), Some(Wish::Noop));
        assert_eq!(input.receive(&flood), 6);
    }
}
