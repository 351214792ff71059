//! What a client and a host say to each other in turns, made of the fuzzer's octets.

use arbitrary::{Arbitrary, Unstructured};
use gatepost::protocol::Protocol;

use crate::entry::{Choice, Octets, several};

#[derive(Debug)]
pub(super) struct Script {
    pub(super) front: u8,
    pub(super) leg: u8,
    pub(super) cut: u8,
    pub(super) turns: Vec<Turn>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(script: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Script {
            front: script.arbitrary()?,
            leg: script.arbitrary()?,
            cut: script.arbitrary()?,
            turns: several(script, 48)?,
        })
    }
}

#[derive(Arbitrary, Debug)]
pub(super) enum Turn {
    Client(Says),
    ClientAgain(Says),
    Host(Answers),
    HostAgain(Answers),
    ClientLeaves,
    HostLeaves,
    Goodbye,
}

/// What a client says, in the words of its protocol.
#[derive(Arbitrary, Debug)]
pub(super) enum Says {
    Login(u8),
    LoginLiteral(u8),
    Plain(u8),
    Token,
    StartTls,
    Capability,
    Id,
    Noop,
    Idle,
    Done,
    Unauthenticate,
    Abort,
    Leave,
    Octets(Octets),
}

/// What a host says.
#[derive(Arbitrary, Debug)]
pub(super) enum Answers {
    Greeting(u8),
    Yes,
    No(u8),
    Bad,
    More,
    Capabilities(u8),
    Untagged(u8),
    Literal(u8),
    Octets(Octets),
}

/// The password of a user, which stands in nothing else.
pub(super) fn password(user: u8) -> String {
    format!("pw-of-{}-xyzzy", user % 4)
}

impl Says {
    pub(super) fn octets(&self, protocol: Protocol) -> Vec<u8> {
        let imap = protocol == Protocol::Imap;
        let name = |user: &u8| format!("user{}", user % 4);
        let text = match self {
            Says::Login(user) if imap => format!("a LOGIN {} {}\r\n", name(user), password(*user)),
            Says::Login(user) => format!("USER {}\r\nPASS {}\r\n", name(user), password(*user)),
            Says::LoginLiteral(user) => {
                let (name, word) = (name(user), password(*user));
                format!(
                    "b LOGIN {{{}+}}\r\n{name} {{{}+}}\r\n{word}\r\n",
                    name.len(),
                    word.len()
                )
            }
            Says::Plain(user) => {
                let message = format!("\0{}\0{}", name(user), password(*user));
                let text = base64(message.as_bytes());
                match imap {
                    true => format!("c AUTHENTICATE PLAIN {text}\r\n"),
                    false => format!("AUTH PLAIN {text}\r\n"),
                }
            }
            Says::Token => {
                let text = base64(b"user=user1\x01auth=Bearer pw-of-1-xyzzy\x01\x01");
                match imap {
                    true => format!("c AUTHENTICATE XOAUTH2 {text}\r\n"),
                    false => format!("AUTH XOAUTH2 {text}\r\n"),
                }
            }
            Says::StartTls if imap => "d STARTTLS\r\n".into(),
            Says::StartTls => "STLS\r\n".into(),
            Says::Capability if imap => "e CAPABILITY\r\n".into(),
            Says::Capability => "CAPA\r\n".into(),
            Says::Id => "f ID (\"name\" \"x\" \"x-proxy-ttl\" \"3\")\r\n".into(),
            Says::Noop if imap => "g NOOP\r\n".into(),
            Says::Noop => "NOOP\r\n".into(),
            Says::Idle => "h IDLE\r\n".into(),
            Says::Done => "DONE\r\n".into(),
            Says::Unauthenticate => "i UNAUTHENTICATE\r\n".into(),
            Says::Abort => "*\r\n".into(),
            Says::Leave if imap => "j LOGOUT\r\n".into(),
            Says::Leave => "QUIT\r\n".into(),
            Says::Octets(octets) => return octets.0.clone(),
        };
        text.into_bytes()
    }
}

impl Answers {
    pub(super) fn octets(&self, protocol: Protocol, tag: &str) -> Vec<u8> {
        let imap = protocol == Protocol::Imap;
        let list = |bits: u8| {
            let words = [
                "SASL-IR",
                "LITERAL+",
                "STARTTLS",
                "ID",
                "AUTH=PLAIN",
                "AUTH=XOAUTH2",
                "UNAUTHENTICATE",
                "LOGINDISABLED",
            ];
            let words = words.iter().zip(0..).filter(|it| Choice::bit(bits, it.1));
            words.fold("IMAP4rev1".to_owned(), |list, it| list + " " + it.0)
        };
        let text = match self {
            Answers::Greeting(bits) if imap => match bits % 5 {
                0 => "* OK hello\r\n".into(),
                1 => "* PREAUTH hello\r\n".into(),
                2 => "* BYE no\r\n".into(),
                _ => format!("* OK [CAPABILITY {}] hello\r\n", list(*bits)),
            },
            Answers::Greeting(_) => "+OK hello\r\n".into(),
            Answers::Yes if imap => format!("{tag} OK yes\r\n"),
            Answers::Yes => "+OK yes\r\n".into(),
            Answers::No(code) if imap => {
                let codes = [
                    "",
                    "[UNAVAILABLE] ",
                    "[AUTHENTICATIONFAILED] ",
                    "[LIMIT] ",
                    "[REFERRAL imap://x] ",
                ];
                format!("{tag} NO {}no\r\n", codes[usize::from(code % 5)])
            }
            Answers::No(code) => {
                let codes = ["", "[SYS/TEMP] ", "[AUTH] ", "[IN-USE] "];
                format!("-ERR {}no\r\n", codes[usize::from(code % 4)])
            }
            Answers::Bad if imap => format!("{tag} BAD what\r\n"),
            Answers::Bad => "-ERR what\r\n".into(),
            Answers::More => "+ \r\n".into(),
            Answers::Capabilities(bits) if imap => format!("* CAPABILITY {}\r\n", list(*bits)),
            Answers::Capabilities(bits) => match bits % 3 {
                0 => "+OK\r\nUSER\r\nSTLS\r\n.\r\n".into(),
                1 => "+OK\r\nSASL PLAIN XOAUTH2\r\n.\r\n".into(),
                _ => "+OK\r\nUSER\r\nXCLIENT ADDR PORT\r\n.\r\n".into(),
            },
            Answers::Untagged(n) => format!("* {n} EXISTS\r\n"),
            Answers::Literal(n) => {
                let body = "x".repeat(usize::from(*n));
                format!("* 1 FETCH (BODY[] {{{n}}}\r\n{body})\r\n")
            }
            Answers::Octets(octets) => return octets.0.clone(),
        };
        text.into_bytes()
    }
}

pub(super) fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in octets.chunks(3) {
        let bits = group
            .iter()
            .chain([&0, &0])
            .take(3)
            .fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet));
        for n in 0..4 {
            match n <= group.len() {
                true => text.push(char::from(LETTERS[(bits >> (18 - 6 * n) & 63) as usize])),
                false => text.push('='),
            }
        }
    }
    text
}
