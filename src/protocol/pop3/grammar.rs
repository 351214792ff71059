//! Command lines of POP3 (RFC 1939 §3, RFC 2449 §4): one line in, one typed command out.
//!
//! A line comes without its CRLF (or LF). Keywords are read without regard to case. What old clients
//! are known to send is tolerated: two spaces between arguments, a trailing space, leading zeros,
//! arguments behind commands that take none. A TAB is not a space. Which command may stand in which
//! state is the state's business.

/// A command of either state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// CAPA (RFC 2449 §5): what the server can do.
    Capa,
    /// USER (RFC 1939 §7): `USER name`. The rest of the line without the spaces around it.
    User(&'a [u8]),
    /// PASS (RFC 1939 §7): `PASS string`. The whole rest of the line: spaces are part of a password.
    Pass(&'a [u8]),
    /// APOP (RFC 1939 §7): `APOP name digest`.
    Apop,
    /// AUTH (RFC 5034 §4): `AUTH mechanism [initial-response]`.
    Auth {
        /// The mechanism's name as it was typed.
        mechanism: &'a [u8],
        /// The initial response, still in base64; `=` stands for an empty one.
        initial: Option<&'a [u8]>,
    },
    /// AUTH without a mechanism: old clients ask for the list this way (Outlook, with a space).
    AuthList,
    /// STLS (RFC 2595 §4).
    Stls,
    /// UTF8 (RFC 6856 §2).
    Utf8,
    /// LANG (RFC 6856 §3): without an argument the languages are listed.
    Lang(Option<&'a [u8]>),
    /// XCLIENT: who the client of a proxy is.
    Xclient(&'a [u8]),
    /// NOOP (RFC 1939 §5).
    Noop,
    /// QUIT (RFC 1939 §5, §6).
    Quit,
    /// STAT (RFC 1939 §5).
    Stat,
    /// LIST (RFC 1939 §5): `LIST [msg]`.
    List(Option<MessageNumber>),
    /// UIDL (RFC 1939 §7): `UIDL [msg]`.
    Uidl(Option<MessageNumber>),
    /// RETR (RFC 1939 §5): `RETR msg`.
    Retr(MessageNumber),
    /// TOP (RFC 1939 §7): `TOP msg n`.
    Top(MessageNumber, u32),
    /// DELE (RFC 1939 §5): `DELE msg`.
    Dele(MessageNumber),
    /// RSET (RFC 1939 §5).
    Rset,
    /// LAST (RFC 1460 §5, gone since RFC 1725).
    Last,
}

/// A message's number as a client typed it: from 1, fixed for the session (RFC 1939 §5). Numbers
/// that no maildrop can have (0, beyond 32 bits) are kept apart from real ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageNumber(u32);

impl MessageNumber {
    /// The place in a list of messages, from 0; none for a number that no message has.
    pub fn index(self) -> Option<usize> {
        match self.0 {
            0 | u32::MAX => None,
            number => usize::try_from(number.saturating_sub(1)).ok(),
        }
    }

    fn parse(word: &[u8]) -> Result<Self, Bad> {
        number(word).map(MessageNumber)
    }
}

impl std::fmt::Display for MessageNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// A keyword we do not know.
    Unknown,
    /// A keyword we know, with arguments that do not fit; what was expected.
    Arguments(&'static str),
    /// The first word is a method of HTTP: a browser was made to talk to us.
    Http,
}

/// The shape of the answer to a command, if it succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One line.
    Line,
    /// One line, then more, ended by a dot on a line of its own.
    MultiLine,
}

impl Shape {
    /// The shape of the answer to a line that another server parses, perhaps more generously.
    pub fn of(line: &[u8]) -> Shape {
        match Command::parse(line) {
            Ok(command) => command.shape(),
            Err(_) => match split_space(line).0.to_ascii_uppercase().as_slice() {
                b"RETR" | b"TOP" => Shape::MultiLine,
                _ => Shape::Line,
            },
        }
    }
}

impl<'a> Command<'a> {
    /// Parses a line, given without its line end.
    pub fn parse(line: &'a [u8]) -> Result<Command<'a>, Bad> {
        let (keyword, rest) = split_space(line);
        let mut upper = [0u8; LONGEST_KEYWORD];
        let Some(upper) = upper.get_mut(..keyword.len()) else {
            return Err(Bad::Unknown);
        };
        upper.copy_from_slice(keyword);
        upper.make_ascii_uppercase();
        let mut words = rest
            .split(|&octet| octet == b' ')
            .filter(|word| !word.is_empty());
        let mut word = || words.next();
        let command = match &*upper {
            // These take the rest of the line.
            b"PASS" => return Ok(Command::Pass(rest)),
            b"USER" => {
                return match trim_spaces(rest) {
                    b"" => Err(Bad::Arguments("a name")),
                    name => Ok(Command::User(name)),
                };
            }
            b"XCLIENT" => return Ok(Command::Xclient(rest)),
            // These take nothing; what comes behind them is not looked at.
            b"NOOP" => return Ok(Command::Noop),
            b"QUIT" => return Ok(Command::Quit),
            b"CAPA" => return Ok(Command::Capa),
            b"STAT" => return Ok(Command::Stat),
            b"RSET" => return Ok(Command::Rset),
            b"LAST" => return Ok(Command::Last),
            b"APOP" => return Ok(Command::Apop),
            // These must stand alone: RFC 2595 §4, RFC 6856 §2.
            b"STLS" => Command::Stls,
            b"UTF8" => Command::Utf8,
            b"LANG" => Command::Lang(word()),
            b"AUTH" => match word() {
                None => Command::AuthList,
                Some(mechanism) => Command::Auth {
                    mechanism,
                    initial: word(),
                },
            },
            b"LIST" => Command::List(word().map(MessageNumber::parse).transpose()?),
            b"UIDL" => Command::Uidl(word().map(MessageNumber::parse).transpose()?),
            b"RETR" => Command::Retr(message(word())?),
            b"DELE" => Command::Dele(message(word())?),
            b"TOP" => {
                let number = message(word())?;
                let lines = word().ok_or(Bad::Arguments("a message number and a line count"))?;
                Command::Top(number, self::number(lines)?)
            }
            b"GET" | b"POST" | b"HEAD" | b"PUT" | b"OPTIONS" | b"CONNECT" | b"DELETE"
            | b"TRACE" | b"PATCH" | b"PRI" => return Err(Bad::Http),
            _ => return Err(Bad::Unknown),
        };
        match words.next() {
            Some(_) => Err(Bad::Arguments("fewer arguments")),
            None => Ok(command),
        }
    }

    /// What a success looks like: with [`Shape::MultiLine`], lines follow the `+OK`.
    pub fn shape(&self) -> Shape {
        match self {
            Command::Capa
            | Command::AuthList
            | Command::Lang(None)
            | Command::List(None)
            | Command::Uidl(None)
            | Command::Retr(_)
            | Command::Top(..) => Shape::MultiLine,
            _ => Shape::Line,
        }
    }

    /// The keyword, for logs and tests: never an argument.
    pub fn keyword(&self) -> &'static str {
        match self {
            Command::Capa => "CAPA",
            Command::User(_) => "USER",
            Command::Pass(_) => "PASS",
            Command::Apop => "APOP",
            Command::Auth { .. } | Command::AuthList => "AUTH",
            Command::Stls => "STLS",
            Command::Utf8 => "UTF8",
            Command::Lang(_) => "LANG",
            Command::Xclient(_) => "XCLIENT",
            Command::Noop => "NOOP",
            Command::Quit => "QUIT",
            Command::Stat => "STAT",
            Command::List(_) => "LIST",
            Command::Uidl(_) => "UIDL",
            Command::Retr(_) => "RETR",
            Command::Top(..) => "TOP",
            Command::Dele(_) => "DELE",
            Command::Rset => "RSET",
            Command::Last => "LAST",
        }
    }
}

/// Shows no arguments: they may be a password.
impl std::fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({})", self.keyword())
    }
}

/// XCLIENT, OPTIONS and CONNECT.
const LONGEST_KEYWORD: usize = 7;

/// Cuts at the first space. The space itself belongs to neither side.
fn split_space(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', line).and_then(|at| line.split_at_checked(at)) {
        Some((head, tail)) => (head, tail.get(1..).unwrap_or_default()),
        None => (line, b""),
    }
}

fn trim_spaces(mut octets: &[u8]) -> &[u8] {
    while let Some(rest) = octets.strip_prefix(b" ") {
        octets = rest;
    }
    while let Some(rest) = octets.strip_suffix(b" ") {
        octets = rest;
    }
    octets
}

fn message(word: Option<&[u8]>) -> Result<MessageNumber, Bad> {
    MessageNumber::parse(word.ok_or(Bad::Arguments("a message number"))?)
}

/// Digits, of any count; what does not fit 32 bits is the largest that does.
fn number(word: &[u8]) -> Result<u32, Bad> {
    if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
        return Err(Bad::Arguments("a number"));
    }
    Ok(word.iter().fold(0u32, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u32::from(digit.saturating_sub(b'0')))
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn n(number: u32) -> MessageNumber {
        MessageNumber(number)
    }

    #[test]
    fn known_answers() {
        use Command::*;
        let auth = |mechanism, initial| Auth { mechanism, initial };
        for (line, want) in [
            (&b"CAPA"[..], Ok(Capa)),
            (b"capa", Ok(Capa)),
            (b"USER alice", Ok(User(b"alice"))),
            (b"user  alice ", Ok(User(b"alice"))),
            (b"USER alice smith", Ok(User(b"alice smith"))),
            (b"USER", Err(Bad::Arguments("a name"))),
            (b"USER ", Err(Bad::Arguments("a name"))),
            (b"PASS secret", Ok(Pass(b"secret"))),
            (b"pass  a b ", Ok(Pass(b" a b "))),
            (b"PASS", Ok(Pass(b""))),
            (b"PASS ", Ok(Pass(b""))),
            (b"PASS \xfc\x01", Ok(Pass(b"\xfc\x01"))),
            (b"APOP mrose c4c9334bac560ecc979e58001b3e22fb", Ok(Apop)),
            (b"AUTH", Ok(AuthList)),
            (b"AUTH ", Ok(AuthList)),
            (b"AUTH PLAIN", Ok(auth(b"PLAIN", None))),
            (
                b"AUTH plain AGEAYg==",
                Ok(auth(b"plain", Some(b"AGEAYg=="))),
            ),
            (b"AUTH PLAIN =", Ok(auth(b"PLAIN", Some(b"=")))),
            (b"AUTH PLAIN a b", Err(Bad::Arguments("fewer arguments"))),
            (b"STLS", Ok(Stls)),
            (b"STLS ", Ok(Stls)),
            (b"STLS x", Err(Bad::Arguments("fewer arguments"))),
            (b"UTF8", Ok(Utf8)),
            (b"UTF8 USER", Err(Bad::Arguments("fewer arguments"))),
            (b"LANG", Ok(Lang(None))),
            (b"LANG *", Ok(Lang(Some(b"*")))),
            (b"XCLIENT ADDR=192.0.2.1", Ok(Xclient(b"ADDR=192.0.2.1"))),
            (b"NOOP", Ok(Noop)),
            (b"NOOP with junk", Ok(Noop)),
            (b"QUIT", Ok(Quit)),
            (b"STAT", Ok(Stat)),
            (b"LIST", Ok(List(None))),
            (b"LIST 4", Ok(List(Some(n(4))))),
            (b"LIST 04", Ok(List(Some(n(4))))),
            (b"LIST  4", Ok(List(Some(n(4))))),
            (b"LIST 4 ", Ok(List(Some(n(4))))),
            (b"LIST\t4", Err(Bad::Unknown)),
            (b"LIST 4 5", Err(Bad::Arguments("fewer arguments"))),
            (b"LIST -1", Err(Bad::Arguments("a number"))),
            (b"LIST +1", Err(Bad::Arguments("a number"))),
            (b"LIST 4x", Err(Bad::Arguments("a number"))),
            (b"UIDL", Ok(Uidl(None))),
            (b"UIDL ", Ok(Uidl(None))),
            (b"UIDL 9", Ok(Uidl(Some(n(9))))),
            (b"RETR 1", Ok(Retr(n(1)))),
            (b"RETR", Err(Bad::Arguments("a message number"))),
            (b"RETR 99999999999999999999", Ok(Retr(n(u32::MAX)))),
            (b"TOP 1 0", Ok(Top(n(1), 0))),
            (b"TOP 1 99999999999999", Ok(Top(n(1), u32::MAX))),
            (
                b"TOP 1",
                Err(Bad::Arguments("a message number and a line count")),
            ),
            (b"TOP", Err(Bad::Arguments("a message number"))),
            (b"DELE 1", Ok(Dele(n(1)))),
            (b"RSET", Ok(Rset)),
            (b"LAST", Ok(Last)),
            (b"", Err(Bad::Unknown)),
            (b" QUIT", Err(Bad::Unknown)),
            (b"QUITS", Err(Bad::Unknown)),
            (b"XCLIENTELE", Err(Bad::Unknown)),
            (b"EHLO x", Err(Bad::Unknown)),
            (b"GET / HTTP/1.1", Err(Bad::Http)),
            (b"post /x", Err(Bad::Http)),
            (b"PRI * HTTP/2.0", Err(Bad::Http)),
        ] {
            assert!(
                Command::parse(line) == want,
                "{}: {:?}",
                line.escape_ascii(),
                Command::parse(line)
            );
        }
    }

    #[test]
    fn numbers_no_message_has() {
        assert_eq!(n(0).index(), None);
        assert_eq!(n(1).index(), Some(0));
        assert_eq!(n(u32::MAX).index(), None);
    }

    #[test]
    fn shapes() {
        for (line, want) in [
            (&b"CAPA"[..], Shape::MultiLine),
            (b"LIST", Shape::MultiLine),
            (b"LIST 1", Shape::Line),
            (b"UIDL", Shape::MultiLine),
            (b"UIDL 1", Shape::Line),
            (b"RETR 1", Shape::MultiLine),
            (b"TOP 1 1", Shape::MultiLine),
            (b"DELE 1", Shape::Line),
            (b"LANG", Shape::MultiLine),
            (b"LANG en", Shape::Line),
            (b"STAT", Shape::Line),
        ] {
            assert_eq!(Command::parse(line).map(|c| c.shape()), Ok(want));
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let shown = format!("{:?}", Command::parse(b"PASS hunter2"));
        assert_eq!(shown, "Ok(Command(PASS))");
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Command::parse(&line);
        }
    }
}
