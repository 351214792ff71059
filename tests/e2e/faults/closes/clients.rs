//! The states that a client ends in.

use std::sync::Arc;

use rustls::ServerConfig;

use super::{
    CHALLENGE, Doors, Fault, HALF, HALF_OF_POP3, Host, How, IMAP, Left, NONE, POP3, Pace, Reach,
    TOKENS, Talk, Then, imap, imap_in, imap_token, imaps_in, login, pop3, pop3_in, pop3_shown,
    pop3_token, pop3s_in, pop3s_shown,
};

/// A state of a session, and the host that is needed to get there.
pub(super) struct State {
    name: &'static str,
    host: Host,
    reach: Reach,
    /// Whether its host never answers, so that the session ends only after its timeout.
    waits: bool,
    left: Left,
}

const fn state(name: &'static str, host: Host, reach: Reach) -> State {
    State {
        name,
        host,
        reach,
        waits: false,
        left: Left::Nothing,
    }
}

const fn waits(name: &'static str, host: Host, reach: Reach) -> State {
    State {
        waits: true,
        ..state(name, host, reach)
    }
}

/// Its host is judging a password, and is heard to the end of that.
const fn judged(name: &'static str, host: Host, reach: Reach) -> State {
    State {
        left: Left::Judge,
        ..waits(name, host, reach)
    }
}

const IMAP_IN_TLS: Host = IMAP.in_tls("imaps");

/// Its host is drained, which somebody who can hear it has heard.
fn drained(doors: &Doors, user: &str, talk: Talk) -> Talk {
    let idle = imap_in(doors, user).send("b IDLE\r\n").hear();
    doors.drain_host_of(user);
    talk.beside(idle.hear())
}

pub(super) const STATES: &[State] = &[
    state("IMAP, greeted", IMAP, |doors, _| {
        Talk::greeted(doors.ports.imap)
    }),
    state("IMAP, in a line", IMAP, |doors, _| {
        Talk::greeted(doors.ports.imap).send("a LOGIN go")
    }),
    state("IMAP, in a literal", IMAP, |doors, _| {
        let talk = Talk::greeted(doors.ports.imap).send("a LOGIN {10}\r\n");
        talk.hear().send("good")
    }),
    state("IMAP, at a challenge", IMAP, |doors, _| {
        let talk = Talk::greeted(doors.ports.imap);
        talk.send("a AUTHENTICATE PLAIN\r\n").hear()
    }),
    state("IMAP, behind STARTTLS", IMAP, |doors, _| {
        let talk = Talk::greeted(doors.ports.imap_strict);
        talk.send("a STARTTLS\r\n").hear()
    }),
    state("TLS, before its handshake", IMAP, |doors, _| {
        Talk::new(doors.ports.imaps)
    }),
    state("TLS, greeted", IMAP, |doors, _| {
        Talk::tls(doors.ports.imaps)
    }),
    state("PROXY, before its header", IMAP, |doors, _| {
        Talk::new(doors.proxied)
    }),
    judged(
        "IMAP, while the host decides",
        imap("LOGIN", ""),
        |doors, user| Talk::greeted(doors.ports.imap).send(login(user)),
    ),
    judged(
        "IMAP over TLS, while the host decides",
        imap("LOGIN", ""),
        |doors, user| Talk::tls(doors.ports.imaps).send(login(user)),
    ),
    judged(
        "IMAP, asked on by its host",
        imap("AUTHENTICATE", CHALLENGE).offering(TOKENS),
        |doors, user| imap_token(doors, user).hear(),
    ),
    judged(
        "IMAP, in its host's queue",
        imap("LOGIN", "").with(", logins_in_flight: 1"),
        |doors, user| {
            // Who has the one turn came first, and takes as long as its host.
            let first = Talk::greeted(doors.ports.imap).send(login(user));
            doors.asks_host_of(user);
            let talk = Talk::greeted(doors.ports.imap).send(login(user));
            talk.beside(first)
        },
    ),
    waits("IMAP, held", IMAP, |doors, user| {
        doors.hold(user);
        Talk::greeted(doors.ports.imap).send(login(user))
    }),
    waits(
        "IMAP, while a lookup service is asked",
        NONE,
        |doors, user| {
            let talk = Talk::greeted(doors.ports.imap).send(login(user));
            doors.asks_about(user);
            talk
        },
    ),
    state("IMAP, logged in", IMAP, imap_in),
    state("IMAP, in IDLE", IMAP, |doors, user| {
        imap_in(doors, user).send("b IDLE\r\n").hear()
    }),
    state("IMAP, in an APPEND", IMAP, |doors, user| {
        imap_in(doors, user).send("b APPEND x {1000+}\r\nhalf of it")
    }),
    waits(
        "IMAP, while a FETCH comes",
        imap("BODY", HALF),
        |doors, user| imap_in(doors, user).send("b UID FETCH 1 BODY[]\r\n").hear(),
    ),
    state("IMAP over TLS, logged in", IMAP, imaps_in),
    state("IMAP over TLS, in IDLE", IMAP, |doors, user| {
        imaps_in(doors, user).send("b IDLE\r\n").hear()
    }),
    state("IMAP over TLS, in an APPEND", IMAP, |doors, user| {
        imaps_in(doors, user).send("b APPEND x {1000+}\r\nhalf of it")
    }),
    waits(
        "IMAP over TLS, while a FETCH comes",
        imap("BODY", HALF),
        |doors, user| {
            let talk = imaps_in(doors, user);
            talk.send("b UID FETCH 1 BODY[]\r\n").hear()
        },
    ),
    state("IMAP, logged in behind STARTTLS", IMAP, |doors, user| {
        let talk = Talk::greeted(doors.ports.imap_strict);
        let talk = talk.send("a STARTTLS\r\n").hear().start_tls();
        talk.send(login(user)).answer()
    }),
    waits(
        "IMAP, in an APPEND, its host drained",
        IMAP,
        |doors, user| {
            let talk = imap_in(doors, user);
            drained(doors, user, talk.send("b APPEND x {1000+}\r\nhalf of it"))
        },
    ),
    waits(
        "IMAP, while a FETCH comes, its host drained",
        imap("BODY", HALF),
        |doors, user| {
            let talk = imap_in(doors, user).send("b UID FETCH 1 BODY[]\r\n");
            drained(doors, user, talk.hear())
        },
    ),
    state("IMAP, logged in to a host in TLS", IMAP_IN_TLS, imap_in),
    state(
        "IMAP, in an APPEND to a host in TLS",
        IMAP_IN_TLS,
        |doors, user| imap_in(doors, user).send("b APPEND x {1000+}\r\nhalf of it"),
    ),
    waits(
        "IMAP, while a FETCH comes from a host in TLS",
        imap("BODY", HALF).in_tls("imaps"),
        |doors, user| imap_in(doors, user).send("b UID FETCH 1 BODY[]\r\n").hear(),
    ),
    state("POP3, greeted", IMAP, |doors, _| {
        Talk::greeted(doors.ports.pop3)
    }),
    state("POP3, in a line", IMAP, |doors, _| {
        Talk::greeted(doors.ports.pop3).send("USER go")
    }),
    state("POP3, at a challenge", IMAP, |doors, _| {
        let talk = Talk::greeted(doors.ports.pop3);
        talk.send("AUTH PLAIN\r\n").hear()
    }),
    state("POP3, behind STLS", IMAP, |doors, _| {
        let talk = Talk::greeted(doors.ports.pop3_strict);
        talk.send("STLS\r\n").hear()
    }),
    state("POP3 over TLS, before its handshake", IMAP, |doors, _| {
        Talk::new(doors.ports.pop3s)
    }),
    state("POP3 over TLS, greeted", IMAP, |doors, _| {
        Talk::tls(doors.ports.pop3s)
    }),
    judged(
        "POP3, while the host decides",
        imap("LOGIN", ""),
        pop3_shown,
    ),
    judged(
        "POP3, asked on by its host",
        imap("AUTHENTICATE", CHALLENGE).offering(TOKENS),
        |doors, user| pop3_token(doors, user).hear(),
    ),
    judged(
        "POP3, in its host's queue",
        pop3("PASS", "").with(", logins_in_flight: 1"),
        |doors, user| {
            let first = pop3_shown(doors, user);
            doors.asks_host_of(user);
            pop3_shown(doors, user).beside(first)
        },
    ),
    waits(
        "POP3, while a lookup service is asked",
        NONE,
        |doors, user| {
            let talk = pop3_shown(doors, user);
            doors.asks_about(user);
            talk
        },
    ),
    waits("POP3, held", IMAP, |doors, user| {
        doors.hold(user);
        pop3_shown(doors, user)
    }),
    judged(
        "POP3 from IMAP, while the mailbox opens",
        imap("SELECT", ""),
        pop3_shown,
    ),
    waits(
        "POP3 from IMAP, while a message comes",
        imap("BODY", HALF),
        |doors, user| pop3_in(doors, user).send("RETR 1\r\n").hear(),
    ),
    state("POP3, USER given", IMAP, |doors, user| {
        let talk = Talk::greeted(doors.ports.pop3);
        talk.send(format!("USER {user}\r\n")).hear()
    }),
    state(
        "POP3 from IMAP, logged in, a message marked",
        IMAP,
        |doors, user| pop3_in(doors, user).send("DELE 1\r\n").hear(),
    ),
    state(
        "POP3 from IMAP, QUIT said, a message marked",
        IMAP,
        |doors, user| pop3_in(doors, user).send("DELE 1\r\nQUIT\r\n").hear(),
    ),
    waits(
        "POP3 from IMAP, logged in, a message marked, its host drained",
        IMAP,
        |doors, user| {
            let talk = pop3_in(doors, user).send("DELE 1\r\n").hear();
            drained(doors, user, talk)
        },
    ),
    judged(
        "POP3 from IMAP over TLS, while the host decides",
        imap("LOGIN", ""),
        pop3s_shown,
    ),
    judged(
        "POP3 from IMAP over TLS, while the mailbox opens",
        imap("SELECT", ""),
        pop3s_shown,
    ),
    state("POP3 from IMAP over TLS, logged in", IMAP, |doors, user| {
        pop3s_in(doors, user).send("STAT\r\n").hear()
    }),
    waits(
        "POP3 from IMAP over TLS, while a message comes",
        imap("BODY", HALF),
        |doors, user| pop3s_in(doors, user).send("RETR 1\r\n").hear(),
    ),
    state(
        "POP3 from IMAP over TLS, QUIT said, a message marked",
        IMAP,
        |doors, user| pop3s_in(doors, user).send("DELE 1\r\nQUIT\r\n").hear(),
    ),
    waits(
        "POP3 from IMAP, while a message comes from a host in TLS",
        imap("BODY", HALF).in_tls("imaps"),
        |doors, user| pop3_in(doors, user).send("RETR 1\r\n").hear(),
    ),
    judged(
        "POP3 relayed, while the host decides",
        pop3("PASS", ""),
        pop3_shown,
    ),
    state("POP3 relayed, logged in", POP3, |doors, user| {
        pop3_in(doors, user).send("STAT\r\n").hear()
    }),
    waits(
        "POP3 relayed, while a message comes",
        pop3("RETR", HALF_OF_POP3),
        |doors, user| pop3_in(doors, user).send("RETR 1\r\n").hear(),
    ),
    state("POP3 relayed over TLS, logged in", POP3, |doors, user| {
        pop3s_in(doors, user).send("STAT\r\n").hear()
    }),
    judged(
        "POP3 relayed over TLS, while the host decides",
        pop3("PASS", ""),
        pop3s_shown,
    ),
    waits(
        "POP3 relayed over TLS, while a message comes",
        pop3("RETR", HALF_OF_POP3),
        |doors, user| pop3s_in(doors, user).send("RETR 1\r\n").hear(),
    ),
    waits(
        "POP3 relayed over TLS, QUIT said",
        pop3("QUIT", ""),
        |doors, user| pop3s_in(doors, user).send("QUIT\r\n"),
    ),
    state(
        "POP3 relayed, logged in to a host in TLS",
        POP3.in_tls("pop3s"),
        |doors, user| pop3_in(doors, user).send("STAT\r\n").hear(),
    ),
    waits(
        "POP3 relayed, while a message comes from a host in TLS",
        pop3("RETR", HALF_OF_POP3).in_tls("pop3s"),
        |doors, user| pop3_in(doors, user).send("RETR 1\r\n").hear(),
    ),
];

impl State {
    pub(super) fn fault(&self, how: How, word: &str, tls: &Arc<ServerConfig>) -> Fault {
        let reach = self.reach;
        Fault {
            class: "A client that ends: state and how",
            name: format!("{}: {word}", self.name),
            pace: match (how, self.waits) {
                (How::Silence, _) | (_, true) => Pace::Hasty,
                _ => Pace::Patient,
            },
            left: self.left,
            backend: self.host.start(Then::Hangs, tls),
            play: Box::new(move |doors, user| {
                let talk = reach(doors, user);
                match how {
                    How::Fin => talk.fin(),
                    How::Reset => talk.reset(),
                    How::Silence => talk.end(),
                }
            }),
        }
    }
}
