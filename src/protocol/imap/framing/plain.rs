//! Whether a client's command is an APPEND that no host can read in two ways, as far as it has come: then
//! the literal that it announces is mail, and nothing else is.

use crate::protocol::imap::grammar::is_astring_char;

/// Reads a command from its first octet on: `tag SP "APPEND" SP mailbox [SP flag-list] [SP date-time] SP
/// literal` (RFC 9051 §9), with no literal before that one, none behind it (MULTIAPPEND) and no extension:
/// whatever leaves this is only read otherwise than mail is, which costs a little time.
#[derive(Clone, Copy, Default)]
pub(super) struct Plain {
    at: At,
    length: u16,
}

/// The longest line that is plain, for hosts have limits: some of them skip no literal behind one.
const LINE: u16 = 1024;

/// The longest tag that is.
const TAG: u16 = 64;

/// Where in the command.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Tag,
    /// So many octets of it are read.
    Verb(u8),
    Mailbox,
    Atom,
    Quoted,
    Escaped,
    /// Behind the mailbox, its space not read.
    Named,
    /// Flags, a date or the literal.
    Flags,
    Flag,
    Flagged,
    /// A date or the literal.
    Date,
    /// So many octets of it are read.
    Day(u8),
    Dated,
    Literal,
    Size,
    Digits,
    Plus,
    Brace,
    LineEnd,
    /// The line is at its end.
    Announced,
    /// Nothing that we know for sure.
    Other,
}

const VERB: &[u8] = b"APPEND ";

/// A `date-time` behind its first quote: a digit for `9`, a letter for `A`, a sign for `+`, a digit or a
/// space for `?`.
const DATE: &[u8] = b"?9-AAA-9999 99:99:99 +9999\"";

impl Plain {
    pub(super) fn read(&mut self, octets: &[u8]) {
        for &octet in octets {
            if self.at == At::Other {
                return;
            }
            self.at = match self.length {
                LINE => At::Other,
                _ => self.at.behind(octet, self.length),
            };
            self.length = self.length.saturating_add(1);
        }
    }

    /// Whether the line that is at its end announces the mail.
    pub(super) fn announces(&self) -> bool {
        self.at == At::Announced
    }
}

impl At {
    /// Behind one more octet, the first so many of the command being read.
    fn behind(self, octet: u8, length: u16) -> At {
        match (self, octet) {
            (At::Tag, b' ') if (1..=TAG).contains(&length) => At::Verb(0),
            (At::Tag, b'+') => At::Other,
            (At::Tag, _) if is_astring_char(octet) => At::Tag,
            (At::Verb(read), _) => match VERB.get(usize::from(read)..) {
                Some([want]) if octet == *want => At::Mailbox,
                Some([want, ..]) if octet.eq_ignore_ascii_case(want) => {
                    At::Verb(read.saturating_add(1))
                }
                _ => At::Other,
            },
            (At::Mailbox, b'"') => At::Quoted,
            (At::Mailbox | At::Atom, _) if is_astring_char(octet) => At::Atom,
            (At::Quoted, b'"') => At::Named,
            (At::Quoted, b'\\') => At::Escaped,
            (At::Escaped, b'"' | b'\\') => At::Quoted,
            (At::Quoted, b' '..=b'~' | 0x80..) => At::Quoted,
            (At::Atom | At::Named, b' ') => At::Flags,
            (At::Flags, b'(') => At::Flag,
            (At::Flag, b')') => At::Flagged,
            (At::Flag, b'\\' | b' ') => At::Flag,
            (At::Flag, _) if is_astring_char(octet) => At::Flag,
            (At::Flagged, b' ') => At::Date,
            (At::Flags | At::Date, b'"') => At::Day(0),
            (At::Day(read), _) => At::date_behind(read, octet),
            (At::Dated, b' ') => At::Literal,
            (At::Flags | At::Date | At::Literal, b'{') => At::Size,
            // Some count the zeros before a number, too.
            (At::Size, b'1'..=b'9') | (At::Digits, b'0'..=b'9') => At::Digits,
            (At::Digits, b'+') => At::Plus,
            (At::Digits | At::Plus, b'}') => At::Brace,
            // Some take no other line end for one.
            (At::Brace, b'\r') => At::LineEnd,
            (At::LineEnd, b'\n') => At::Announced,
            _ => At::Other,
        }
    }

    fn date_behind(read: u8, octet: u8) -> At {
        let Some((want, rest)) = DATE.get(usize::from(read)..).and_then(<[u8]>::split_first) else {
            return At::Other;
        };
        let fits = match want {
            b'?' => octet == b' ' || octet.is_ascii_digit(),
            b'9' => octet.is_ascii_digit(),
            b'A' => octet.is_ascii_alphabetic(),
            b'+' => matches!(octet, b'+' | b'-'),
            want => octet == *want,
        };
        match (fits, rest) {
            (false, _) => At::Other,
            (true, []) => At::Dated,
            (true, _) => At::Day(read.saturating_add(1)),
        }
    }
}
