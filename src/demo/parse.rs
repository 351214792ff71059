//! Reads the words of a command (RFC 3501 §9): atoms, strings, numbers, sets, flags, dates. What a
//! command is made of is `command`'s business.

use bytes::Bytes;

use super::date::{self, DateTime};
use super::input::Piece;
use super::set::Set;

/// Longest flag name; longer keywords serve nobody.
const FLAG: usize = 64;

/// Why a command cannot be read: `expected …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bad(pub(super) &'static str);

/// A value, or why it is not there.
pub(super) type Parsed<T> = Result<T, Bad>;

/// A flag as the client wrote it (RFC 3501 §2.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FlagName {
    /// `\Answered` and its kin, by their bit.
    System(u64),
    Keyword(String),
}

/// The flags the RFC defines and a client may set, with their bits.
pub(super) const SYSTEM_FLAGS: [(&str, u64); 5] = [
    ("\\Answered", ANSWERED),
    ("\\Flagged", FLAGGED),
    ("\\Deleted", DELETED),
    ("\\Seen", SEEN),
    ("\\Draft", DRAFT),
];
pub(super) const ANSWERED: u64 = 1;
pub(super) const FLAGGED: u64 = 2;
pub(super) const DELETED: u64 = 4;
pub(super) const SEEN: u64 = 8;
pub(super) const DRAFT: u64 = 16;

/// A place in a command.
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    behind: &'a [Piece],
}

impl<'a> Cursor<'a> {
    /// The start of a command.
    pub(super) fn new(pieces: &'a [Piece]) -> Self {
        match pieces.split_first() {
            Some((Piece::Text(text), behind)) => Cursor { text, behind },
            _ => Cursor {
                text: b"",
                behind: pieces,
            },
        }
    }

    /// The next octet of text; `None` before a literal and at the end.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.first().copied()
    }

    /// Whether the command ends here.
    pub(super) fn at_end(&self) -> bool {
        self.text.is_empty() && self.behind.is_empty()
    }

    /// The command must end here. Trailing spaces are borne: old scripts send them.
    pub(super) fn end(&mut self) -> Parsed<()> {
        while self.eat(b' ') {}
        match self.at_end() {
            true => Ok(()),
            false => Err(Bad("expected the end of the command")),
        }
    }

    /// Takes an octet if it is there.
    pub(super) fn eat(&mut self, octet: u8) -> bool {
        match self.text.split_first() {
            Some((&first, rest)) if first == octet => {
                self.text = rest;
                true
            }
            _ => false,
        }
    }

    pub(super) fn open(&mut self) -> Parsed<()> {
        self.eat(b'(').then_some(()).ok_or(Bad("expected ("))
    }

    pub(super) fn space(&mut self) -> Parsed<()> {
        self.eat(b' ').then_some(()).ok_or(Bad("expected a space"))
    }

    /// Takes octets while they are wanted.
    pub(super) fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.text.iter().take_while(|&&b| wanted(b)).count();
        let (taken, rest) = self.text.split_at_checked(length).unwrap_or_default();
        self.text = rest;
        taken
    }

    /// Takes `word`, in any case, if it is there and no longer word is.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let Some((start, rest)) = self.text.split_at_checked(word.len()) else {
            return false;
        };
        let longer = rest.first().is_some_and(|&b| b.is_ascii_alphanumeric());
        let found = start.eq_ignore_ascii_case(word.as_bytes()) && !longer;
        if found {
            self.text = rest;
        }
        found
    }

    /// `atom`, upper-cased.
    pub(super) fn atom(&mut self) -> Parsed<String> {
        let atom = self.take(is_atom);
        match std::str::from_utf8(atom) {
            Ok(atom) if !atom.is_empty() => Ok(atom.to_ascii_uppercase()),
            _ => Err(Bad("expected a word")),
        }
    }

    /// `astring`: an atom (`]` allowed), a quoted string or a literal.
    pub(super) fn astring(&mut self) -> Parsed<Bytes> {
        match self.peek() {
            Some(b) if is_atom(b) || b == b']' => {
                let atom = self.take(|b| is_atom(b) || b == b']');
                Ok(Bytes::copy_from_slice(atom))
            }
            _ => self.string(),
        }
    }

    /// `string`: quoted or a literal. 8-bit octets in quotes are borne (RFC 6855's clients).
    pub(super) fn string(&mut self) -> Parsed<Bytes> {
        if self.text.is_empty() {
            return self.literal();
        }
        if !self.eat(b'"') {
            return Err(Bad("expected a string"));
        }
        let mut content = Vec::new();
        loop {
            content.extend_from_slice(self.take(|b| !b"\"\\\r\n\0".contains(&b)));
            if self.eat(b'"') {
                return Ok(content.into());
            }
            if !self.eat(b'\\') {
                return Err(Bad("expected the end of a quoted string"));
            }
            match self.peek() {
                Some(b @ (b'"' | b'\\')) => content.push(b),
                _ => return Err(Bad("expected \\\" or \\\\ in a quoted string")),
            }
            self.take_one();
        }
    }

    /// `literal`.
    pub(super) fn literal(&mut self) -> Parsed<Bytes> {
        let none = Bad("expected a string");
        if !self.text.is_empty() {
            return Err(none);
        }
        let Some((Piece::Literal(content), behind)) = self.behind.split_first() else {
            return Err(none);
        };
        if let Some((Piece::Text(text), behind)) = behind.split_first() {
            self.text = text;
            self.behind = behind;
        }
        Ok(content.clone())
    }

    /// `number`.
    pub(super) fn number(&mut self) -> Parsed<u32> {
        let digits = self.take(|b| b.is_ascii_digit());
        let number = std::str::from_utf8(digits).ok();
        let number = number.and_then(|digits| digits.parse().ok());
        number.ok_or(Bad("expected a number up to 4294967295"))
    }

    /// `nz-number`.
    pub(super) fn positive(&mut self) -> Parsed<u32> {
        match self.number()? {
            0 => Err(Bad("expected a number above 0")),
            number => Ok(number),
        }
    }

    /// `sequence-set`.
    pub(super) fn set(&mut self) -> Parsed<Set> {
        let mut ranges = Vec::new();
        loop {
            let low = self.bound()?;
            let high = match self.eat(b':') {
                true => self.bound()?,
                false => low,
            };
            ranges.push((low, high));
            if !self.eat(b',') {
                return Ok(Set(ranges));
            }
        }
    }

    fn bound(&mut self) -> Parsed<Option<u32>> {
        match self.eat(b'*') {
            true => Ok(None),
            false => self.positive().map(Some),
        }
    }

    /// A mailbox name: `INBOX` in any case; else modified UTF-7 (RFC 3501 §5.1.3), which is
    /// printable ASCII.
    pub(super) fn mailbox(&mut self) -> Parsed<String> {
        self.name(is_name)
    }

    /// `list-mailbox`: a name with `%` and `*`.
    pub(super) fn pattern(&mut self) -> Parsed<String> {
        let pattern = |b| is_atom(b) || b"]%*".contains(&b);
        match self.peek() {
            Some(b) if pattern(b) => {
                let text = self.take(pattern);
                Ok(String::from_utf8_lossy(text).into_owned())
            }
            _ => self.name(is_printable),
        }
    }

    fn name(&mut self, allowed: fn(u8) -> bool) -> Parsed<String> {
        let name = self.astring()?;
        if !name.iter().all(|&b| allowed(b)) {
            return Err(Bad("expected a mailbox name in modified UTF-7"));
        }
        let name = String::from_utf8_lossy(&name).into_owned();
        Ok(match name.split_at_checked(5) {
            Some((start, rest))
                if start.eq_ignore_ascii_case("INBOX")
                    && (rest.is_empty() || rest.starts_with('/')) =>
            {
                format!("INBOX{rest}")
            }
            _ => name,
        })
    }

    /// `flag-list`, or flags without parentheses where `STORE` allows that.
    pub(super) fn flags(&mut self) -> Parsed<Vec<FlagName>> {
        let listed = self.eat(b'(');
        let mut flags = Vec::new();
        if listed && self.eat(b')') {
            return Ok(flags);
        }
        loop {
            flags.extend(self.flag()?);
            match self.peek() {
                Some(b')') if listed => {
                    self.take_one();
                    return Ok(flags);
                }
                None if !listed => return Ok(flags),
                _ => self.space()?,
            }
        }
    }

    /// `None` for `\Recent`: it cannot be set, but clients send back the flags they were shown.
    fn flag(&mut self) -> Parsed<Option<FlagName>> {
        let system = self.eat(b'\\');
        let name = String::from_utf8_lossy(self.take(is_atom)).into_owned();
        if name.is_empty() || name.len() > FLAG {
            return Err(Bad("expected a flag of up to 64 characters"));
        }
        if !system {
            return Ok(Some(FlagName::Keyword(name)));
        }
        if name.eq_ignore_ascii_case("Recent") {
            return Ok(None);
        }
        let known = SYSTEM_FLAGS.iter().find(|(flag, _)| {
            let flag = flag.strip_prefix('\\').unwrap_or(flag);
            flag.eq_ignore_ascii_case(&name)
        });
        match known {
            Some(&(_, bit)) => Ok(Some(FlagName::System(bit))),
            None => Err(Bad("expected a flag that exists")),
        }
    }

    /// `date`, quoted or not, as days since 1970-01-01.
    pub(super) fn date(&mut self) -> Parsed<i64> {
        let text = self.astring()?;
        date::date(&text).ok_or(Bad("expected a date such as 1-Feb-1994"))
    }

    /// `date-time`, quoted.
    pub(super) fn date_time(&mut self) -> Parsed<DateTime> {
        let text = self.string()?;
        let bad = Bad("expected a date such as \"17-Jul-1996 02:44:25 -0700\"");
        date::date_time(&text).ok_or(bad)
    }

    /// A list in parentheses, `item` reading one element, elements parted by one space.
    pub(super) fn list<T>(
        &mut self,
        most: usize,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.open()?;
        let mut items = Vec::new();
        if self.eat(b')') {
            return Ok(items);
        }
        loop {
            if items.len() == most {
                return Err(Bad("expected a shorter list"));
            }
            items.push(item(self)?);
            if self.eat(b')') {
                return Ok(items);
            }
            self.space()?;
        }
    }

    pub(super) fn take_one(&mut self) {
        self.text = self.text.get(1..).unwrap_or_default();
    }
}

/// `ATOM-CHAR`.
pub(super) fn is_atom(b: u8) -> bool {
    b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b)
}

fn is_printable(b: u8) -> bool {
    (b' '..0x7f).contains(&b)
}

fn is_name(b: u8) -> bool {
    is_printable(b) && b != b'%' && b != b'*'
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
