//! The points that a host ends at.

use std::sync::Arc;

use rustls::ServerConfig;

use super::{
    CHALLENGE, Fault, HALF, HALF_OF_POP3, Host, Left, Pace, Reach, TOKENS, Talk, Then, imap,
    imap_in, imap_token, pop3, pop3_in,
};
use crate::support::ALICE;

/// Where a host ends, and what its client does that leads there.
pub(super) struct Point {
    name: &'static str,
    pub(super) host: Host,
    play: Reach,
    left: Left,
    /// Whether a silence takes longer than is waited for here.
    pub(super) is_long: bool,
}

const fn point(name: &'static str, host: Host, play: Reach) -> Point {
    Point {
        name,
        host,
        play,
        left: Left::Nothing,
        is_long: false,
    }
}

/// A host that loses the session again and again, and is logged in to anew as often as can be.
const fn losing(name: &'static str, host: Host, play: Reach) -> Point {
    Point {
        left: Left::ForPolls,
        ..point(name, host, play)
    }
}

/// A host that removes messages is given five minutes: `tests/translate/losses.rs` plays its silence.
const fn removing(name: &'static str, host: Host) -> Point {
    Point {
        is_long: true,
        ..losing(name, host, |doors, user| {
            let talk = pop3_in(doors, user).send("DELE 1\r\n").hear();
            talk.send("QUIT\r\n").end()
        })
    }
}

/// The beginning of a record with a ServerHello.
const HALF_A_HANDSHAKE: &str = "\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03";

/// Clients that do not come in: they are told, and leave.
const IMAP_OUT: Reach = |doors, user| imap_in(doors, user).fin();
const POP3_OUT: Reach = |doors, user| pop3_in(doors, user).fin();

const RETRIEVES: Reach = |doors, user| pop3_in(doors, user).send("RETR 1\r\n").end();

const STARTTLS: &str = "IMAP4rev1 STARTTLS LITERAL+";

pub(super) const POINTS: &[Point] = &[
    point("IMAP, before its greeting", imap("connect", ""), IMAP_OUT),
    point(
        "IMAP, in its greeting",
        imap("connect", "* OK he"),
        IMAP_OUT,
    ),
    point(
        "IMAP over TLS, before its handshake",
        imap("connect", "").by("imaps"),
        IMAP_OUT,
    ),
    point(
        "IMAP over TLS, in its handshake",
        imap("connect", HALF_A_HANDSHAKE).by("imaps"),
        IMAP_OUT,
    ),
    point(
        "IMAP, at STARTTLS",
        imap("STARTTLS", "").by("imap+starttls").offering(STARTTLS),
        IMAP_OUT,
    ),
    point(
        "IMAP, behind its OK to STARTTLS",
        imap("STARTTLS", "$T OK go\r\n")
            .by("imap+starttls")
            .offering(STARTTLS),
        IMAP_OUT,
    ),
    point(
        "IMAP, at CAPABILITY",
        imap("CAPABILITY", "").offering(""),
        IMAP_OUT,
    ),
    point("IMAP, at LOGIN", imap("LOGIN", ""), IMAP_OUT),
    point(
        "IMAP, in its answer to LOGIN",
        imap("LOGIN", "$T O"),
        IMAP_OUT,
    ),
    point(
        "IMAP, where a literal of the login waits for its +",
        imap("LOGIN", "").offering("IMAP4rev1"),
        |doors, user| {
            let password = ALICE.password;
            let talk = Talk::greeted(doors.ports.imap);
            let login = format!("a LOGIN {user} {{{}+}}\r\n{password}\r\n", password.len());
            talk.send(login).answer().fin()
        },
    ),
    point(
        "IMAP, where AUTHENTICATE waits for its +",
        imap("AUTHENTICATE", "").offering("IMAP4rev1 AUTH=PLAIN LOGINDISABLED"),
        IMAP_OUT,
    ),
    point(
        "IMAP, behind its + to AUTHENTICATE",
        imap("AUTHENTICATE", "+ \r\n").offering("IMAP4rev1 AUTH=PLAIN LOGINDISABLED"),
        IMAP_OUT,
    ),
    point(
        "IMAP, at AUTHENTICATE XOAUTH2",
        imap("AUTHENTICATE", "").offering(TOKENS),
        |doors, user| imap_token(doors, user).answer().fin(),
    ),
    point(
        "IMAP, behind a challenge that was answered",
        imap("AUTHENTICATE", CHALLENGE).offering(TOKENS),
        |doors, user| {
            let talk = imap_token(doors, user).hear();
            talk.send("\r\n").answer().fin()
        },
    ),
    point("IMAP, at NOOP", imap("NOOP", ""), |doors, user| {
        imap_in(doors, user).send("b NOOP\r\n").end()
    }),
    point(
        "IMAP, in its answer to NOOP",
        imap("NOOP", "* 1 EXISTS\r\n"),
        |doors, user| imap_in(doors, user).send("b NOOP\r\n").end(),
    ),
    point(
        "IMAP, in IDLE",
        imap("IDLE", "+ idling\r\n"),
        |doors, user| imap_in(doors, user).send("b IDLE\r\n").end(),
    ),
    point(
        "IMAP, where a literal of an APPEND waits for its +",
        imap("APPEND", ""),
        |doors, user| imap_in(doors, user).send("b APPEND x {1000}\r\n").end(),
    ),
    point("IMAP, in a message", imap("BODY", HALF), |doors, user| {
        imap_in(doors, user).send("b UID FETCH 1 BODY[]\r\n").end()
    }),
    point("IMAP, at LOGOUT", imap("LOGOUT", ""), |doors, user| {
        imap_in(doors, user).send("b LOGOUT\r\n").end()
    }),
    point(
        "POP3 from IMAP, before its greeting",
        imap("connect", ""),
        POP3_OUT,
    ),
    point(
        "POP3 from IMAP, in its greeting",
        imap("connect", "* OK he"),
        POP3_OUT,
    ),
    point("POP3 from IMAP, at LOGIN", imap("LOGIN", ""), POP3_OUT),
    point("POP3 from IMAP, at SELECT", imap("SELECT", ""), POP3_OUT),
    point(
        "POP3 from IMAP, in its answer to SELECT",
        imap("SELECT", "* 1 EXISTS\r\n"),
        POP3_OUT,
    ),
    losing(
        "POP3 from IMAP, at a message's FETCH",
        imap("BODY", ""),
        |doors, user| pop3_in(doors, user).send("RETR 1\r\n").hear().fin(),
    ),
    point(
        "POP3 from IMAP, in a message",
        imap("BODY", HALF),
        RETRIEVES,
    ),
    removing("POP3 from IMAP, at QUIT's STORE", imap("STORE", "")),
    removing("POP3 from IMAP, at QUIT's EXPUNGE", imap("EXPUNGE", "")),
    removing(
        "POP3 from IMAP, in its answer to QUIT's EXPUNGE",
        imap("EXPUNGE", "* 1 EXPUNGE\r\n"),
    ),
    point(
        "POP3 relayed, before its greeting",
        pop3("connect", ""),
        POP3_OUT,
    ),
    point(
        "POP3 relayed, in its greeting",
        pop3("connect", "+OK he"),
        POP3_OUT,
    ),
    point(
        "POP3 relayed over TLS, before its handshake",
        pop3("connect", "").by("pop3s"),
        POP3_OUT,
    ),
    point(
        "POP3 relayed over TLS, in its handshake",
        pop3("connect", HALF_A_HANDSHAKE).by("pop3s"),
        POP3_OUT,
    ),
    point(
        "POP3 relayed, at STLS",
        pop3("STLS", "").by("pop3+starttls"),
        POP3_OUT,
    ),
    point(
        "POP3 relayed, behind its OK to STLS",
        pop3("STLS", "+OK go\r\n").by("pop3+starttls"),
        POP3_OUT,
    ),
    point("POP3 relayed, at USER", pop3("USER", ""), POP3_OUT),
    point("POP3 relayed, at PASS", pop3("PASS", ""), POP3_OUT),
    point("POP3 relayed, at RETR", pop3("RETR", ""), RETRIEVES),
    point(
        "POP3 relayed, in a message",
        pop3("RETR", HALF_OF_POP3),
        RETRIEVES,
    ),
    point("POP3 relayed, at QUIT", pop3("QUIT", ""), |doors, user| {
        pop3_in(doors, user).send("QUIT\r\n").end()
    }),
    point(
        "IMAP over TLS, at LOGIN",
        imap("LOGIN", "").in_tls("imaps"),
        IMAP_OUT,
    ),
    point(
        "IMAP over TLS, at NOOP",
        imap("NOOP", "").in_tls("imaps"),
        |doors, user| imap_in(doors, user).send("b NOOP\r\n").end(),
    ),
    point(
        "IMAP over TLS, in IDLE",
        imap("IDLE", "+ idling\r\n").in_tls("imaps"),
        |doors, user| imap_in(doors, user).send("b IDLE\r\n").end(),
    ),
    point(
        "IMAP over TLS, in a message",
        imap("BODY", HALF).in_tls("imaps"),
        |doors, user| imap_in(doors, user).send("b UID FETCH 1 BODY[]\r\n").end(),
    ),
    point(
        "IMAP over TLS, at LOGOUT",
        imap("LOGOUT", "").in_tls("imaps"),
        |doors, user| imap_in(doors, user).send("b LOGOUT\r\n").end(),
    ),
    losing(
        "POP3 from IMAP over TLS, at a message's FETCH",
        imap("BODY", "").in_tls("imaps"),
        |doors, user| pop3_in(doors, user).send("RETR 1\r\n").hear().fin(),
    ),
    point(
        "POP3 from IMAP over TLS, in a message",
        imap("BODY", HALF).in_tls("imaps"),
        RETRIEVES,
    ),
    removing(
        "POP3 from IMAP over TLS, at QUIT's EXPUNGE",
        imap("EXPUNGE", "").in_tls("imaps"),
    ),
    point(
        "POP3 relayed over TLS, at PASS",
        pop3("PASS", "").in_tls("pop3s"),
        POP3_OUT,
    ),
    point(
        "POP3 relayed over TLS, at RETR",
        pop3("RETR", "").in_tls("pop3s"),
        RETRIEVES,
    ),
    point(
        "POP3 relayed over TLS, in a message",
        pop3("RETR", HALF_OF_POP3).in_tls("pop3s"),
        RETRIEVES,
    ),
    point(
        "POP3 relayed over TLS, at QUIT",
        pop3("QUIT", "").in_tls("pop3s"),
        |doors, user| pop3_in(doors, user).send("QUIT\r\n").end(),
    ),
];

impl Point {
    pub(super) fn fault(&self, then: Then, word: &str, tls: &Arc<ServerConfig>) -> Fault {
        let play = self.play;
        Fault {
            class: "A host that ends: state and how",
            name: format!("{}: {word}", self.name),
            pace: match (then, self.left) {
                (Then::Hangs, _) | (_, Left::ForPolls) => Pace::Hasty,
                _ => Pace::Patient,
            },
            left: self.left,
            backend: self.host.start(then, tls),
            play: Box::new(play),
        }
    }
}
