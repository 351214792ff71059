//! What a client's command is made of before login: tag, verb, strings, literals (RFC 9051 §9).
//!
//! Two layers. [`announced`] looks at a line's end only, so that [`server`](super::server) can cut a
//! command out of the stream, literals and all, before anybody reads its words. [`Tokens`] then reads
//! the words of one whole command: flat, without recursion, over octets that were bounded when they
//! came in. A literal is never believed by its announcement, only by the octets that are there.

use crate::protocol::line::Octets;

/// A literal that a line's end announces (RFC 9051 §4.3, RFC 7888 §3):
/// `literal = "{" number64 ["+"] "}" CRLF *CHAR8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Literal {
    /// Its length in octets; what does not fit is `usize::MAX`.
    pub octets: usize,
    /// Whether the client waits for our word before it sends them.
    pub kind: LiteralKind,
}

/// The two kinds of literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralKind {
    /// `{n}`: the client waits for a continuation request.
    Synchronizing,
    /// `{n+}`: the octets follow whatever we say.
    NonSynchronizing,
}

/// The literal that a line (without its line end) announces, if it does.
pub fn announced(line: &[u8]) -> Option<Literal> {
    let inner = line.strip_suffix(b"}")?;
    let (inner, kind) = match inner.strip_suffix(b"+") {
        Some(inner) => (inner, LiteralKind::NonSynchronizing),
        None => (inner, LiteralKind::Synchronizing),
    };
    let open = memchr::memrchr(b'{', inner)?;
    let digits = inner.get(open.saturating_add(1)..)?;
    Some(Literal {
        octets: number(digits)?,
        kind,
    })
}

/// Digits as a number that stops at `usize::MAX`.
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0usize, |n, digit| {
        n.saturating_mul(10)
            .saturating_add(usize::from(digit.saturating_sub(b'0')))
    }))
}

/// A command's tag that may be echoed: 1 to 64 of `ASTRING-CHAR` without `+`, and without the octets
/// markup is made of: a page that makes a browser talk to us gets none of it back (ALPACA,
/// CVE-2021-3618), and no mail client uses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(Box<str>);

impl Tag {
    /// Longest tag. RFC 9051 sets none; what is longer is no client's.
    pub const MAX: usize = 64;

    /// The tag, if these octets are one.
    pub fn new(word: &[u8]) -> Option<Self> {
        let fits = (1..=Self::MAX).contains(&word.len());
        let plain = |&c: &u8| !b"+<>&'".contains(&c) && is_astring_char(c);
        if !fits || !word.iter().all(plain) {
            return None;
        }
        Some(Tag(std::str::from_utf8(word).ok()?.into()))
    }

    /// The tag as text, printable ASCII.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `ASTRING-CHAR = ATOM-CHAR / resp-specials`
pub(super) fn is_astring_char(c: u8) -> bool {
    matches!(c, 0x21..=0x7e) && !matches!(c, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\')
}

/// What an unquoted argument may hold: more than `ASTRING-CHAR`, since scripts send passwords as they
/// are. Nothing that starts a token of its own.
fn is_lenient_char(c: u8) -> bool {
    c > b' ' && c != 0x7f && !matches!(c, b'(' | b')' | b'{' | b'"')
}

/// Why a command cannot be read: for the client, never with its own octets in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad(pub &'static str);

/// Reads the words of one command: its lines with their literals, without the last line end.
#[derive(Clone)]
pub struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    /// Over a whole command, or the part of it that is there.
    pub fn new(command: &'a [u8]) -> Self {
        Tokens { rest: command }
    }

    /// What follows up to the next space or line end, whatever it is; may be empty.
    pub fn word(&mut self) -> &'a [u8] {
        self.run(|c| !matches!(c, b' ' | b'\r' | b'\n'))
    }

    /// `tag SP`. `None`: not a tag, or nothing behind it.
    pub fn tag(&mut self) -> Option<Tag> {
        Tag::new(self.word())
    }

    /// At least one space; several are taken as one for who types by hand.
    pub fn space(&mut self) -> Result<(), Bad> {
        match self.run(|c| c == b' ') {
            [] => Err(Bad("expected a space")),
            _ => Ok(()),
        }
    }

    /// Nothing more but spaces, which some clients leave at a line's end.
    pub fn end(mut self) -> Result<(), Bad> {
        self.run(|c| c == b' ');
        match self.rest {
            [] => Ok(()),
            _ => Err(Bad("unexpected argument")),
        }
    }

    /// Whether nothing more follows but spaces.
    pub fn at_end(&self) -> bool {
        self.clone().end().is_ok()
    }

    /// Whether every octet is read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// `1*ASTRING-CHAR`: a verb, a mechanism, a capability.
    pub fn atom(&mut self) -> Result<&'a [u8], Bad> {
        match self.run(is_astring_char) {
            [] => Err(Bad("expected an atom")),
            atom => Ok(atom),
        }
    }

    /// `astring = 1*ASTRING-CHAR / string`, unquoted ones with leniency. May be empty.
    pub fn astring(&mut self) -> Result<Octets, Bad> {
        match self.rest.first() {
            Some(b'"' | b'{') => self.string(),
            _ => match self.run(is_lenient_char) {
                [] => Err(Bad("expected a string")),
                atom => Ok(Octets::new(atom.to_vec())),
            },
        }
    }

    /// `string = quoted / literal`
    pub fn string(&mut self) -> Result<Octets, Bad> {
        match self.rest.first() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => Err(Bad("expected a quoted string or a literal")),
        }
    }

    /// `nstring = string / nil`
    pub fn nstring(&mut self) -> Result<Option<Octets>, Bad> {
        if self.nil() {
            return Ok(None);
        }
        self.string().map(Some)
    }

    /// Takes `NIL` if it comes next.
    pub fn nil(&mut self) -> bool {
        let mut ahead = self.clone();
        let is_nil = ahead.run(is_astring_char).eq_ignore_ascii_case(b"NIL");
        if is_nil {
            *self = ahead;
        }
        is_nil
    }

    /// Takes one octet if it comes next: a parenthesis.
    pub fn take(&mut self, octet: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == octet => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`. 8-bit octets pass (old clients send Latin-1), and so
    /// does a backslash before any octet: clients that forget to escape theirs exist, but which
    /// octet they mean is then settled by the RFC's rule.
    fn quoted(&mut self) -> Result<Octets, Bad> {
        let open = Bad("expected a closing quote");
        let inner = self.rest.strip_prefix(b"\"").ok_or(open)?;
        let mut octets = Octets::new(Vec::with_capacity(inner.len().min(256)));
        let mut rest = inner;
        loop {
            let (&octet, tail) = rest.split_first().ok_or(open)?;
            rest = tail;
            match octet {
                b'"' => break,
                b'\r' | b'\n' | 0 => return Err(open),
                b'\\' => {
                    let (&escaped, tail) = rest.split_first().ok_or(open)?;
                    if matches!(escaped, b'\r' | b'\n' | 0) {
                        return Err(open);
                    }
                    rest = tail;
                    push(&mut octets, escaped);
                }
                _ => push(&mut octets, octet),
            }
        }
        self.rest = rest;
        Ok(octets)
    }

    fn literal(&mut self) -> Result<Octets, Bad> {
        let bad = Bad("expected a literal");
        let line_end = memchr::memchr(b'\n', self.rest).ok_or(bad)?;
        let (line, body) = (
            self.rest.get(..line_end),
            self.rest.get(line_end.saturating_add(1)..),
        );
        let line = line.ok_or(bad)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Only the announcement may stand between here and the line end.
        let literal = announced(line).filter(|_| memchr::memrchr(b'{', line) == Some(0));
        let (octets, rest) = body
            .ok_or(bad)?
            .split_at_checked(literal.ok_or(bad)?.octets)
            .ok_or(bad)?;
        self.rest = rest;
        Ok(Octets::new(octets.to_vec()))
    }

    fn run(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self
            .rest
            .iter()
            .position(|&c| !accept(c))
            .unwrap_or(self.rest.len());
        let (run, rest) = self
            .rest
            .split_at_checked(length)
            .unwrap_or((self.rest, b""));
        self.rest = rest;
        run
    }
}

/// Appends without leaving copies of a growing secret behind.
fn push(octets: &mut Octets, octet: u8) {
    if octets.len() == octets.capacity() {
        let mut larger = Vec::with_capacity(octets.len().saturating_mul(2).max(64));
        larger.extend_from_slice(octets);
        *octets = Octets::new(larger);
    }
    octets.push(octet);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn announcements() {
        use LiteralKind::{NonSynchronizing as Non, Synchronizing as Sync};
        for (line, want) in [
            (&b"a LOGIN {5}"[..], Some((5, Sync))),
            (b"a LOGIN {5+}", Some((5, Non))),
            (b"{0}", Some((0, Sync))),
            (b"{007+}", Some((7, Non))),
            (b"{4294967296}", Some((4_294_967_296, Sync))),
            (b"{18446744073709551616}", Some((usize::MAX, Sync))),
            (
                b"{99999999999999999999999999999999+}",
                Some((usize::MAX, Non)),
            ),
            (b"{}", None),
            (b"{+}", None),
            (b"{-1}", None),
            (b"{5-}", None),
            (b"{ 5}", None),
            (b"{5} ", None),
            (b"{5+ }", None),
            (b"5}", None),
            (b"}", None),
            (b"", None),
            (b"{{5}", Some((5, Sync))),
        ] {
            let got = announced(line).map(|l| (l.octets, l.kind));
            assert_eq!(got, want, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn tags() {
        for good in ["a", "A001", "1", "a.b-c]", "x/y", &"t".repeat(64)] {
            assert_eq!(Tag::new(good.as_bytes()).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "+",
            "a+",
            "*",
            "a*",
            "a\"",
            "a(",
            "a{",
            "a\\",
            "a%",
            "é",
            "a\t",
            "a\0",
            "<b>",
            "a&lt;",
            &"t".repeat(65),
        ] {
            assert_eq!(Tag::new(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn strings() {
        for (text, want) in [
            (&b"alice rest"[..], Some((&b"alice"[..], &b" rest"[..]))),
            (b"a%*\\]b\xfc", Some((b"a%*\\]b\xfc", b""))),
            (b"\"a b\" c", Some((b"a b", b" c"))),
            (b"\"\"", Some((b"", b""))),
            (b"\"a\\\"b\\\\c\"", Some((b"a\"b\\c", b""))),
            (b"\"a\\qb\"", Some((b"aqb", b""))),
            (b"\"a\x01\xfc\"", Some((b"a\x01\xfc", b""))),
            (b"\"a", None),
            (b"\"a\\", None),
            (b"\"a\\\"", None),
            (b"\"a\rb\"", None),
            (b"\"a\0b\"", None),
            (b"{3}\r\na\"\\ x", Some((b"a\"\\", b" x"))),
            (b"{3+}\na\r\n x", Some((b"a\r\n", b" x"))),
            (b"{0}\r\n", Some((b"", b""))),
            (b"{4}\r\nabc", None),
            (b"{99999999999999999999}\r\nabc", None),
            (b"{3} \r\nabc", None),
            (b"{x{3}\r\nabc", None),
            (b"{3}", None),
            (b"(a", None),
            (b" a", None),
            (b"\x7fa", None),
            (b"", None),
        ] {
            let mut tokens = Tokens::new(text);
            let got = tokens.astring().ok();
            assert_eq!(
                got.as_ref().map(|o| (o.as_slice(), tokens.rest)),
                want,
                "{}",
                text.escape_ascii()
            );
        }
    }

    #[test]
    fn nil_is_no_prefix() {
        let mut tokens = Tokens::new(b"nil NILE");
        assert!(tokens.nil());
        tokens.space().unwrap();
        assert!(!tokens.nil());
        assert_eq!(tokens.atom(), Ok(&b"NILE"[..]));
    }

    fn quote(octets: &[u8]) -> Vec<u8> {
        let mut quoted = vec![b'"'];
        for &octet in octets {
            if matches!(octet, b'"' | b'\\') {
                quoted.push(b'\\');
            }
            quoted.push(octet);
        }
        quoted.push(b'"');
        quoted
    }

    proptest! {
        #[test]
        fn any_secret_reads_back(octets in proptest::collection::vec(1u8..=255, 0..40)) {
            let octets: Vec<u8> = octets.into_iter().filter(|o| !matches!(o, b'\r' | b'\n')).collect();
            for plus in ["", "+"] {
                let mut literal = format!("{{{}{plus}}}\r\n", octets.len()).into_bytes();
                literal.extend_from_slice(&octets);
                prop_assert_eq!(&*Tokens::new(&literal).astring().unwrap(), &octets);
            }
            prop_assert_eq!(&*Tokens::new(&quote(&octets)).astring().unwrap(), &octets);
            if !octets.is_empty() && octets.iter().all(|&c| is_astring_char(c)) {
                prop_assert_eq!(&*Tokens::new(&octets).astring().unwrap(), &octets);
            }
        }

        #[test]
        fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
            announced(&octets);
            let mut tokens = Tokens::new(&octets);
            tokens.tag();
            let _ = (tokens.space(), tokens.atom(), tokens.astring(), tokens.nstring(), tokens.end());
        }
    }
}
