//! The matrix of closes: in each state of a session, each side ends it properly, breaks it, or falls
//! silent.

use super::host::{self, Then, Trouble};
use super::talk::Talk;
use super::{Doors, Fault, Pace};
use crate::support::users::WRONG;

/// A state of a session, and the host that is needed to get there.
struct State {
    name: &'static str,
    host: Host,
    reach: fn(&Doors, &str) -> Talk,
    /// Whether its host never answers, so that the session ends only after its timeout.
    waits: bool,
}

#[derive(Clone, Copy)]
enum Host {
    /// The host speaks IMAP.
    Imap(&'static str),
    /// POP3.
    Pop3,
}

/// What a client does in a state.
#[derive(Clone, Copy)]
enum How {
    Fin,
    Reset,
    Silence,
}

pub(super) fn all() -> Vec<Fault> {
    let mut all = Vec::new();
    for state in STATES {
        for (how, word) in [
            (How::Fin, "FIN"),
            (How::Reset, "RST"),
            (How::Silence, "silence"),
        ] {
            // As below: the host's silence is waited for.
            if matches!((state.name, how), (TRANSLATED_MESSAGE, How::Silence)) {
                continue;
            }
            all.push(by_client(state, how, word));
        }
    }
    for (at, protocol) in POINTS {
        for (then, word) in [
            (Then::Closes, "FIN"),
            (Then::Resets, "RST"),
            (Then::Hangs, "silence"),
        ] {
            // A translated message may take a minute to go on: the translation's own tests have
            // virtual time for it.
            if matches!(
                (at.0, protocol, then),
                ("BODY", Spoken::Translated, Then::Hangs)
            ) {
                continue;
            }
            all.push(by_host(*at, *protocol, then, word));
        }
    }
    all
}

fn imap_in(doors: &Doors, user: &str) -> Talk {
    Talk::greeted(doors.ports.imap)
        .send(format!("a LOGIN {user} {WRONG}\r\n"))
        .answer()
}

fn pop3_in(doors: &Doors, user: &str) -> Talk {
    Talk::greeted(doors.ports.pop3)
        .send(format!("USER {user}\r\nPASS {WRONG}\r\n"))
        .hear()
        .hear()
}

const TRANSLATED_MESSAGE: &str = "POP3 from IMAP, while a message comes";

const STATES: &[State] = &[
    State {
        name: "IMAP, greeted",
        host: Host::Imap("never"),
        reach: |doors, _| Talk::greeted(doors.ports.imap),
        waits: false,
    },
    State {
        name: "IMAP, in a line",
        host: Host::Imap("never"),
        reach: |doors, _| Talk::greeted(doors.ports.imap).send("a LOGIN go"),
        waits: false,
    },
    State {
        name: "IMAP, in a literal",
        host: Host::Imap("never"),
        reach: |doors, _| {
            Talk::greeted(doors.ports.imap)
                .send("a LOGIN {10}\r\n")
                .hear()
                .send("good")
        },
        waits: false,
    },
    State {
        name: "IMAP, at a challenge",
        host: Host::Imap("never"),
        reach: |doors, _| {
            Talk::greeted(doors.ports.imap)
                .send("a AUTHENTICATE PLAIN\r\n")
                .hear()
        },
        waits: false,
    },
    State {
        name: "IMAP, behind STARTTLS",
        host: Host::Imap("never"),
        reach: |doors, _| {
            Talk::greeted(doors.ports.imap_strict)
                .send("a STARTTLS\r\n")
                .hear()
        },
        waits: false,
    },
    State {
        name: "TLS, before its handshake",
        host: Host::Imap("never"),
        reach: |doors, _| Talk::new(doors.ports.imaps),
        waits: false,
    },
    State {
        name: "TLS, greeted",
        host: Host::Imap("never"),
        reach: |doors, _| Talk::tls(doors.ports.imaps),
        waits: false,
    },
    State {
        name: "PROXY, before its header",
        host: Host::Imap("never"),
        reach: |doors, _| Talk::new(doors.proxied),
        waits: false,
    },
    State {
        name: "IMAP, while the host decides",
        host: Host::Imap("LOGIN"),
        reach: |doors, user| {
            Talk::greeted(doors.ports.imap).send(format!("a LOGIN {user} {WRONG}\r\n"))
        },
        waits: true,
    },
    State {
        name: "IMAP, logged in",
        host: Host::Imap("never"),
        reach: imap_in,
        waits: false,
    },
    State {
        name: "IMAP, in an APPEND",
        host: Host::Imap("never"),
        reach: |doors, user| imap_in(doors, user).send("b APPEND x {1000+}\r\nhalf of it"),
        waits: false,
    },
    State {
        name: "IMAP, while a FETCH comes",
        host: Host::Imap("BODY"),
        reach: |doors, user| imap_in(doors, user).send("b UID FETCH 1 BODY[]\r\n").hear(),
        waits: true,
    },
    State {
        name: "IMAP over TLS, logged in",
        host: Host::Imap("never"),
        reach: |doors, user| {
            Talk::tls(doors.ports.imaps)
                .send(format!("a LOGIN {user} {WRONG}\r\n"))
                .answer()
        },
        waits: false,
    },
    State {
        name: "POP3, greeted",
        host: Host::Imap("never"),
        reach: |doors, _| Talk::greeted(doors.ports.pop3),
        waits: false,
    },
    State {
        name: "POP3, at a challenge",
        host: Host::Imap("never"),
        reach: |doors, _| {
            Talk::greeted(doors.ports.pop3)
                .send("AUTH PLAIN\r\n")
                .hear()
        },
        waits: false,
    },
    State {
        name: "POP3, behind STLS",
        host: Host::Imap("never"),
        reach: |doors, _| {
            Talk::greeted(doors.ports.pop3_strict)
                .send("STLS\r\n")
                .hear()
        },
        waits: false,
    },
    State {
        name: "POP3, while the host decides",
        host: Host::Imap("LOGIN"),
        reach: |doors, user| {
            Talk::greeted(doors.ports.pop3)
                .send(format!("USER {user}\r\nPASS {WRONG}\r\n"))
                .hear()
        },
        waits: true,
    },
    State {
        name: "POP3 from IMAP, while the mailbox opens",
        host: Host::Imap("SELECT"),
        reach: |doors, user| {
            Talk::greeted(doors.ports.pop3)
                .send(format!("USER {user}\r\nPASS {WRONG}\r\n"))
                .hear()
        },
        waits: true,
    },
    State {
        name: TRANSLATED_MESSAGE,
        host: Host::Imap("BODY"),
        reach: |doors, user| pop3_in(doors, user).send("RETR 1\r\n").hear(),
        waits: true,
    },
    State {
        name: "POP3, USER given",
        host: Host::Imap("never"),
        reach: |doors, user| {
            Talk::greeted(doors.ports.pop3)
                .send(format!("USER {user}\r\n"))
                .hear()
        },
        waits: false,
    },
    State {
        name: "POP3 from IMAP, logged in, a message marked",
        host: Host::Imap("never"),
        reach: |doors, user| pop3_in(doors, user).send("DELE 1\r\n").hear(),
        waits: false,
    },
    State {
        name: "POP3 relayed, logged in",
        host: Host::Pop3,
        reach: |doors, user| pop3_in(doors, user).send("STAT\r\n").hear(),
        waits: false,
    },
];

fn by_client(state: &'static State, how: How, word: &str) -> Fault {
    let backend = match state.host {
        Host::Imap(at) => {
            // It hangs where it is told to, after the first octets of an answer.
            let words = match at {
                "BODY" => "* 1 FETCH (UID 1 BODY[] {100}\r\nhalf of it",
                _ => "",
            };
            let port = host::imap(Trouble::at(at, words, Then::Hangs));
            format!("hosts: [\"imap://127.0.0.1:{port}\"]")
        }
        Host::Pop3 => {
            let port = host::pop3(Trouble::none());
            format!("hosts: [{{ name: h, pop3: \"pop3://127.0.0.1:{port}\" }}]")
        }
    };
    let pace = match (how, state.waits) {
        (How::Silence, _) | (_, true) => Pace::Hasty,
        _ => Pace::Patient,
    };
    Fault {
        class: "A client that ends: state and how",
        name: format!("{}: {word}", state.name),
        pace,
        backend: Some(backend),
        play: Box::new(move |doors, user| {
            let talk = (state.reach)(doors, user);
            match how {
                How::Fin => talk.fin(),
                How::Reset => talk.reset(),
                How::Silence => talk.end(),
            }
        }),
    }
}

/// Where a host ends: what it was asked, what it still says, and the client's protocol.
const POINTS: &[((&str, &str), Spoken)] = &[
    (("connect", ""), Spoken::Imap),
    (("connect", "* OK he"), Spoken::Imap),
    (("LOGIN", ""), Spoken::Imap),
    (("LOGIN", "$T O"), Spoken::Imap),
    (("NOOP", ""), Spoken::Imap),
    (("NOOP", "* 1 EXISTS\r\n"), Spoken::Imap),
    (
        ("BODY", "* 1 FETCH (UID 1 BODY[] {100}\r\nhalf of it"),
        Spoken::Imap,
    ),
    (("LOGIN", ""), Spoken::Translated),
    (("SELECT", "* 1 EXISTS\r\n"), Spoken::Translated),
    (
        ("BODY", "* 1 FETCH (UID 1 BODY[] {100}\r\nhalf of it"),
        Spoken::Translated,
    ),
    (("connect", ""), Spoken::Relayed),
    (("PASS", ""), Spoken::Relayed),
    (("RETR", "+OK\r\nhalf of it\r\n"), Spoken::Relayed),
];

/// Between client and host.
#[derive(Clone, Copy)]
enum Spoken {
    Imap,
    /// POP3 with the client, IMAP with the host.
    Translated,
    /// POP3.
    Relayed,
}

fn by_host(
    (at, words): (&'static str, &'static str),
    spoken: Spoken,
    then: Then,
    word: &str,
) -> Fault {
    let trouble = Trouble::at(at, words, then);
    let (protocol, backend) = match spoken {
        Spoken::Imap | Spoken::Translated => {
            let port = host::imap(trouble);
            let protocol = match spoken {
                Spoken::Imap => "IMAP",
                _ => "POP3 from IMAP",
            };
            (protocol, format!("hosts: [\"imap://127.0.0.1:{port}\"]"))
        }
        Spoken::Relayed => {
            let port = host::pop3(trouble);
            (
                "POP3 relayed",
                format!("hosts: [{{ name: h, pop3: \"pop3://127.0.0.1:{port}\" }}]"),
            )
        }
    };
    let state = match (at, words.is_empty()) {
        ("connect", true) => "before its greeting".to_owned(),
        ("connect", false) => "in its greeting".to_owned(),
        ("BODY" | "RETR", _) => "in a message".to_owned(),
        (at, true) => format!("at {at}"),
        (at, false) => format!("in its answer to {at}"),
    };
    Fault {
        class: "A host that ends: state and how",
        name: format!("{protocol}, {state}: {word}"),
        pace: match then {
            Then::Hangs => Pace::Hasty,
            _ => Pace::Patient,
        },
        backend: Some(backend),
        play: Box::new(move |doors, user| match spoken {
            Spoken::Imap => {
                let talk = imap_in(doors, user);
                let talk = match at {
                    "NOOP" => talk.send("b NOOP\r\n"),
                    "BODY" => talk.send("b UID FETCH 1 BODY[]\r\n"),
                    _ => return talk.fin(),
                };
                talk.end()
            }
            Spoken::Translated | Spoken::Relayed => {
                let talk = pop3_in(doors, user);
                match at {
                    "BODY" | "RETR" => talk.send("RETR 1\r\n").end(),
                    _ => talk.fin(),
                }
            }
        }),
    }
}
