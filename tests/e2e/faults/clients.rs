//! Clients that send what they should not.

use super::host::{self, Trouble};
use super::talk::Talk;
use super::{Doors, Fault, Left, Pace, strangers};
use crate::support::imap::plain;
use crate::support::users::WRONG;

/// On which port.
#[derive(Clone, Copy)]
pub(super) enum At {
    Imap,
    Pop3,
    /// Where TLS must come first.
    ImapStrict,
    Pop3Strict,
    Imaps,
    Pop3s,
    /// Where a PROXY header must come first.
    Proxied,
}

impl At {
    pub(super) fn port(self, doors: &Doors) -> u16 {
        match self {
            At::Imap => doors.ports.imap,
            At::Pop3 => doors.ports.pop3,
            At::ImapStrict => doors.ports.imap_strict,
            At::Pop3Strict => doors.ports.pop3_strict,
            At::Imaps => doors.ports.imaps,
            At::Pop3s => doors.ports.pop3s,
            At::Proxied => doors.proxied,
        }
    }
}

/// A client that waits for the greeting, sends these octets, ends its half and listens.
pub(super) fn sends(class: &'static str, name: &str, at: At, octets: impl Into<Vec<u8>>) -> Fault {
    let octets = octets.into();
    fault(class, name, Pace::Patient, move |doors| {
        Talk::greeted(at.port(doors)).send(&octets).fin()
    })
}

/// The same where no greeting comes first.
pub(super) fn opens_with(
    class: &'static str,
    name: &str,
    at: At,
    octets: impl Into<Vec<u8>>,
) -> Fault {
    let octets = octets.into();
    fault(class, name, Pace::Patient, move |doors| {
        Talk::new(at.port(doors)).send(&octets).fin()
    })
}

pub(super) fn fault(
    class: &'static str,
    name: &str,
    pace: Pace,
    play: impl Fn(&Doors) -> Talk + Send + Sync + 'static,
) -> Fault {
    Fault {
        class,
        name: name.to_owned(),
        pace,
        left: Left::Nothing,
        backend: None,
        play: Box::new(move |doors, _| play(doors)),
    }
}

pub(super) fn all() -> Vec<Fault> {
    let mut all = before_tls();
    all.extend(too_much());
    all.extend(odd_octets());
    all.extend(sasl());
    all.extend(who_is_it());
    all.extend(strangers::all());
    all
}

fn before_tls() -> Vec<Fault> {
    let class = "Before TLS";
    vec![
        fault(
            class,
            "commands behind STARTTLS in one segment",
            Pace::Patient,
            |doors| {
                Talk::greeted(doors.ports.imap_strict)
                    .send("a STARTTLS\r\nb LOGIN good x\r\nc LOGOUT\r\n")
                    .hear()
                    .start_tls()
                    .send("d NOOP\r\n")
                    .hear()
                    .fin()
            },
        ),
        fault(
            class,
            "commands behind STLS in one segment",
            Pace::Patient,
            |doors| {
                Talk::greeted(doors.ports.pop3_strict)
                    .send("STLS\r\nUSER good\r\nPASS x\r\nQUIT\r\n")
                    .hear()
                    .start_tls()
                    .send("NOOP\r\n")
                    .hear()
                    .fin()
            },
        ),
        fault(
            class,
            "USER before STLS, PASS after it",
            Pace::Patient,
            |doors| {
                Talk::greeted(doors.ports.pop3)
                    .send("USER good\r\n")
                    .hear()
                    .send("STLS\r\n")
                    .hear()
                    .start_tls()
                    .send("PASS x\r\n")
                    .hear()
                    .fin()
            },
        ),
        sends(
            class,
            "LOGIN in clear where TLS is wanted",
            At::ImapStrict,
            format!("a LOGIN good {WRONG}\r\n"),
        ),
        sends(
            class,
            "USER in clear where TLS is wanted",
            At::Pop3Strict,
            "USER good\r\n",
        ),
        sends(
            class,
            "AUTHENTICATE in clear where TLS is wanted",
            At::ImapStrict,
            "a AUTHENTICATE PLAIN\r\n",
        ),
        sends(
            class,
            "STARTTLS, and then no handshake but text",
            At::ImapStrict,
            "a STARTTLS\r\nb NOOP\r\nc NOOP\r\n",
        ),
    ]
}

fn too_much() -> Vec<Fault> {
    let class = "Too much before login";
    let long = |n: usize| "x".repeat(n);
    vec![
        sends(
            class,
            "a line of 50 KB",
            At::Imap,
            format!("a NOOP {}\r\n", long(50_000)),
        ),
        sends(class, "a line that never ends", At::Imap, long(50_000)),
        sends(class, "a POP3 line that never ends", At::Pop3, long(50_000)),
        sends(
            class,
            "a literal of 4 GiB",
            At::Imap,
            "a LOGIN {4294967296}\r\n",
        ),
        sends(
            class,
            "a literal of 4 GiB that is not waited for",
            At::Imap,
            "a LOGIN {4294967296+}\r\nb LOGIN good x\r\n",
        ),
        sends(
            class,
            "a literal of 2^64",
            At::Imap,
            "a LOGIN {18446744073709551616}\r\n",
        ),
        sends(
            class,
            "a literal of less than nothing",
            At::Imap,
            "a LOGIN {-1}\r\n",
        ),
        sends(
            class,
            "literals whose sum is too long",
            At::Imap,
            format!(
                "a LOGIN {{5000+}}\r\n{} {{5000+}}\r\n{}\r\n",
                long(5000),
                long(5000)
            ),
        ),
        sends(
            class,
            "parentheses 10,000 deep",
            At::Imap,
            format!("a ID {}\r\n", "(".repeat(10_000)),
        ),
        sends(
            class,
            "an ID of 40 KB",
            At::Imap,
            format!("a ID (\"name\" \"{}\")\r\n", long(40_000)),
        ),
        sends(
            class,
            "six bad commands, good ones between",
            At::Imap,
            "a X\r\nb NOOP\r\nc X\r\nd NOOP\r\ne X\r\nf X\r\ng X\r\nh LOGIN good x\r\n",
        ),
        sends(
            class,
            "bad POP3 commands",
            At::Pop3,
            "X\r\nX\r\nX\r\nX\r\nX\r\nUSER good\r\nPASS x\r\n",
        ),
        sends(
            class,
            "an AUTH answer of 50 KB",
            At::Pop3,
            format!("AUTH PLAIN\r\n{}\r\n", long(50_000)),
        ),
        fault(class, "a thousand NOOPs at once", Pace::Patient, |doors| {
            let mut talk = Talk::greeted(doors.ports.imap).send("a NOOP\r\n".repeat(1000));
            for _ in 0..1000 {
                talk = talk.hear();
            }
            talk.only(3).fin()
        }),
    ]
}

fn odd_octets() -> Vec<Fault> {
    let class = "Odd octets";
    let quoted = |user: &str| format!("a LOGIN \"{user}\" x\r\n");
    vec![
        sends(class, "NUL in a name", At::Imap, quoted("go\0od")),
        sends(class, "CR in a name", At::Imap, quoted("go\rod")),
        sends(
            class,
            "CRLF in a literal name",
            At::Imap,
            "a LOGIN {8+}\r\ngood\r\nXY x\r\n",
        ),
        sends(
            class,
            "CRLF in a literal password",
            At::Imap,
            "a LOGIN good {9+}\r\nx\r\nb NOOP\r\n",
        ),
        sends(
            class,
            "a name that is not UTF-8",
            At::Imap,
            b"a LOGIN \"\xff\xfe\" x\r\n".to_vec(),
        ),
        sends(class, "C1 controls in a name", At::Imap, quoted("a\u{85}b")),
        sends(class, "an empty name", At::Imap, quoted("")),
        sends(
            class,
            "a name of 600 octets",
            At::Imap,
            quoted(&"n".repeat(600)),
        ),
        sends(
            class,
            "a quoted string without an end",
            At::Imap,
            "a LOGIN \"good x\r\n",
        ),
        sends(
            class,
            "a format in a name",
            At::Imap,
            quoted("%n%s{user}${HOME}"),
        ),
        sends(
            class,
            "a POP3 name with NUL",
            At::Pop3,
            "USER go\0od\r\nPASS x\r\n",
        ),
        sends(
            class,
            "lines that end with LF only",
            At::Imap,
            "a NOOP\nb NOOP\n",
        ),
        sends(
            class,
            "POP3 lines that end with LF only",
            At::Pop3,
            "NOOP\nCAPA\n",
        ),
        sends(class, "a tag that is no tag", At::Imap, "+ NOOP\r\n"),
        sends(class, "a tag with markup in it", At::Imap, "<b> NOOP\r\n"),
        sends(class, "an empty line", At::Imap, "\r\n"),
    ]
}

fn sasl() -> Vec<Fault> {
    let class = "SASL";
    let other = "AGFsaWNlAHg=";
    let as_another = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode("boss\0good\0x")
    };
    vec![
        sends(
            class,
            "no base64",
            At::Imap,
            "a AUTHENTICATE PLAIN\r\n!!!!\r\n",
        ),
        sends(
            class,
            "base64 without its padding",
            At::Imap,
            "a AUTHENTICATE PLAIN AGdvb2QAeA\r\n",
        ),
        sends(
            class,
            "bad base64, then a good login",
            At::Imap,
            format!(
                "a AUTHENTICATE PLAIN\r\n=\r\nb AUTHENTICATE PLAIN {}\r\n",
                plain("good", WRONG)
            ),
        ),
        sends(
            class,
            "given up by the client",
            At::Imap,
            "a AUTHENTICATE PLAIN\r\n*\r\nb NOOP\r\n",
        ),
        sends(
            class,
            "given up by a POP3 client",
            At::Pop3,
            "AUTH PLAIN\r\n*\r\nCAPA\r\n",
        ),
        sends(
            class,
            "a mechanism nobody knows",
            At::Imap,
            format!("a AUTHENTICATE X-ANY {other}\r\n"),
        ),
        sends(
            class,
            "to act for somebody else",
            At::Imap,
            format!("a AUTHENTICATE PLAIN {as_another}\r\n"),
        ),
        sends(
            class,
            "NULs enough for three names",
            At::Imap,
            "a AUTHENTICATE PLAIN AAAAAAA=\r\n",
        ),
        sends(
            class,
            "EXTERNAL without a certificate",
            At::Imap,
            "a AUTHENTICATE EXTERNAL =\r\n",
        ),
        sends(
            class,
            "half of SASL LOGIN",
            At::Pop3,
            "AUTH LOGIN\r\nZ29vZA==\r\n",
        ),
    ]
}

fn who_is_it() -> Vec<Fault> {
    let class = "Logins that fail";
    let refusing = host::imap(Trouble::at(
        "LOGIN",
        "$T NO never heard of\r\n",
        host::Then::GoesOn,
    ));
    vec![
        Fault {
            class,
            name: "a wrong password".to_owned(),
            pace: Pace::Patient,
            left: Left::Nothing,
            backend: Some(format!("hosts: [\"imap://127.0.0.1:{refusing}\"]")),
            play: Box::new(|doors, user| {
                Talk::greeted(doors.ports.imap)
                    .send(format!("a LOGIN {user} {WRONG}\r\n"))
                    .answer()
                    .fin()
            }),
        },
        sends(
            class,
            "a user nobody knows",
            At::Imap,
            format!("a LOGIN nobody {WRONG}\r\n"),
        ),
        sends(
            class,
            "a POP3 user nobody knows",
            At::Pop3,
            format!("USER nobody\r\nPASS {WRONG}\r\n"),
        ),
        sends(
            class,
            "a name that carries a host",
            At::Imap,
            format!("a LOGIN good@127.0.0.1 {WRONG}\r\n"),
        ),
        sends(
            class,
            "an account that moved",
            At::Imap,
            format!("a LOGIN moved {WRONG}\r\n"),
        ),
        fault(class, "three wrong passwords", Pace::Patient, |doors| {
            let mut talk = Talk::greeted(doors.ports.imap);
            for _ in 0..3 {
                talk = talk.send(format!("a LOGIN nobody {WRONG}\r\n")).answer();
            }
            talk.end()
        }),
    ]
}
