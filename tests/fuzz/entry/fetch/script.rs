//! The script of `maildrop`: what a client commands, and what a host says when it is waited for.

use arbitrary::{Arbitrary, Unstructured};

use super::super::{Octets, several};

#[derive(Debug)]
pub(super) struct Script {
    pub(super) settings: u8,
    pub(super) cut: u8,
    pub(super) client: Vec<Command>,
    pub(super) host: Vec<Say>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(script: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Script {
            settings: script.arbitrary()?,
            cut: script.arbitrary()?,
            client: several(script, 12)?,
            host: several(script, 40)?,
        })
    }
}

#[derive(Arbitrary, Debug)]
pub(super) enum Command {
    Stat,
    List(Option<u8>),
    Uidl(Option<u8>),
    Retr(u8),
    Top(u8, u8),
    Dele(u8),
    Rset,
    Noop,
    Quit,
    Odd(u8),
}

impl Command {
    pub(super) fn line(&self) -> String {
        let number = |n: &u8| n % 6;
        let maybe = |n: &Option<u8>| n.map_or(String::new(), |n| format!(" {}", n % 6));
        match self {
            Command::Stat => "STAT\r\n".into(),
            Command::List(n) => format!("LIST{}\r\n", maybe(n)),
            Command::Uidl(n) => format!("UIDL{}\r\n", maybe(n)),
            Command::Retr(n) => format!("RETR {}\r\n", number(n)),
            Command::Top(n, lines) => format!("TOP {} {lines}\r\n", number(n)),
            Command::Dele(n) => format!("DELE {}\r\n", number(n)),
            Command::Rset => "RSET\r\n".into(),
            Command::Noop => "NOOP\r\n".into(),
            Command::Quit => "QUIT\r\n".into(),
            Command::Odd(n) => format!("{}\r\n", char::from(n % 95 + b' ')),
        }
    }
}

/// What a host says, when it is waited for.
#[derive(Arbitrary, Debug)]
pub(super) enum Say {
    /// What is right, to the oldest command; told more than once, so that scripts get somewhere.
    Right,
    RightAgain,
    RightOnceMore,
    /// To the newest command.
    RightToNewest,
    /// The right answer, broken off after so many octets and ended by `OK`.
    Cut(u8),
    /// A status without the answer.
    No,
    Bad,
    Throttled,
    Ok,
    Bye,
    Exists(u8),
    Expunge(u8),
    Vanished(u8),
    Flags(u8),
    Row {
        sequence: u8,
        uid: Option<u8>,
        size: Option<u8>,
        body: Option<Form>,
    },
    Code(u8),
    Search(u8, u8),
    Octets(Octets),
    Close,
    /// The right answer, but the body is announced so many octets too short.
    Short(u8),
}

/// How a body is written.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Form {
    Literal,
    Literal8,
    Quoted,
    Nil,
    Missing,
    TooLong,
    Partial(u8),
}
