//! The matrix of closes: in each state of a session, each side ends it properly, breaks it, or falls
//! silent. The states are data: of clients in `clients`, of hosts in `hosts`.

mod clients;
mod hosts;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;

use super::host::{self, Then, Trouble};
use super::talk::Talk;
use super::{Doors, Fault, Left, Pace};
use crate::support::users::WRONG;

/// The host that a state needs, and where it breaks or falls silent, if it does.
#[derive(Clone, Copy)]
struct Host {
    scheme: &'static str,
    /// Capabilities of its greeting, if it speaks IMAP.
    offers: &'static str,
    /// What it is asked there, and what it still says.
    at: &'static str,
    words: &'static str,
    /// More settings of its backend.
    more: &'static str,
    /// Whether it is there in TLS.
    in_tls: bool,
}

/// One that never breaks.
const IMAP: Host = imap("never", "");
const POP3: Host = pop3("never", "");

/// None: its user is not in the map.
const NONE: Host = IMAP.by("");

/// The first half of a message, which nothing follows.
const HALF: &str = "* 1 FETCH (UID 1 BODY[] {100}\r\nhalf of it";
const HALF_OF_POP3: &str = "+OK\r\nhalf of it\r\n";

/// What a host says to a token that it does not take, which the client has to answer.
const CHALLENGE: &str = "+ e30=\r\n";

/// Where tokens are taken: the exchange is between client and host, as SCRAM's is.
const TOKENS: &str = "IMAP4rev1 SASL-IR AUTH=XOAUTH2";

const fn imap(at: &'static str, words: &'static str) -> Host {
    Host {
        scheme: "imap",
        offers: host::OFFERS,
        at,
        words,
        more: "",
        in_tls: false,
    }
}

const fn pop3(at: &'static str, words: &'static str) -> Host {
    Host {
        scheme: "pop3",
        ..imap(at, words)
    }
}

impl Host {
    const fn by(self, scheme: &'static str) -> Host {
        Host { scheme, ..self }
    }

    const fn offering(self, offers: &'static str) -> Host {
        Host { offers, ..self }
    }

    /// It speaks TLS from the first octet, as it should.
    const fn in_tls(self, scheme: &'static str) -> Host {
        Host {
            in_tls: true,
            ..self.by(scheme)
        }
    }

    const fn with(self, more: &'static str) -> Host {
        Host { more, ..self }
    }

    /// Starts it; how its backend is written, if there is one.
    fn start(self, then: Then, tls: &Arc<ServerConfig>) -> Option<String> {
        let trouble = Trouble::at(self.at, self.words, then)
            .offering(self.offers)
            .within(self.in_tls.then(|| tls.clone()));
        let (scheme, more) = (self.scheme, self.more);
        match scheme {
            "" => None,
            imap if imap.starts_with("imap") => {
                let port = host::imap(trouble);
                Some(format!("hosts: [\"{imap}://127.0.0.1:{port}\"]{more}"))
            }
            pop3 => {
                let port = host::pop3(trouble);
                let host = format!("name: h, pop3: \"{pop3}://127.0.0.1:{port}\"");
                Some(format!("hosts: [{{ {host} }}]{more}"))
            }
        }
    }
}

/// What a client does in a state.
#[derive(Clone, Copy)]
enum How {
    Fin,
    Reset,
    Silence,
}

pub(super) fn all(tls: &Arc<ServerConfig>) -> Vec<Fault> {
    let mut all = Vec::new();
    for state in clients::STATES {
        for (how, word) in [
            (How::Fin, "FIN"),
            (How::Reset, "RST"),
            (How::Silence, "silence"),
        ] {
            all.push(state.fault(how, word, tls));
        }
    }
    for point in hosts::POINTS {
        for (then, word) in [
            (Then::Closes, "FIN"),
            (Then::Cuts, "FIN without close_notify"),
            (Then::Resets, "RST"),
            (Then::Hangs, "silence"),
        ] {
            let plays = match then {
                Then::Cuts => point.host.in_tls,
                Then::Hangs => !point.is_long,
                _ => true,
            };
            if plays {
                all.push(point.fault(then, word, tls));
            }
        }
    }
    all
}

type Reach = fn(&Doors, &str) -> Talk;

fn login(user: &str) -> String {
    format!("a LOGIN {user} {WRONG}\r\n")
}

fn imap_in(doors: &Doors, user: &str) -> Talk {
    Talk::greeted(doors.ports.imap).send(login(user)).answer()
}

fn imaps_in(doors: &Doors, user: &str) -> Talk {
    Talk::tls(doors.ports.imaps).send(login(user)).answer()
}

/// As far as the password, whose answer is still to come.
fn pop3_shown(doors: &Doors, user: &str) -> Talk {
    Talk::greeted(doors.ports.pop3)
        .send(format!("USER {user}\r\nPASS {WRONG}\r\n"))
        .hear()
}

fn pop3_in(doors: &Doors, user: &str) -> Talk {
    pop3_shown(doors, user).hear()
}

fn pop3s_shown(doors: &Doors, user: &str) -> Talk {
    Talk::tls(doors.ports.pop3s)
        .send(format!("USER {user}\r\nPASS {WRONG}\r\n"))
        .hear()
}

fn pop3s_in(doors: &Doors, user: &str) -> Talk {
    pop3s_shown(doors, user).hear()
}

fn token(user: &str) -> String {
    STANDARD.encode(format!("user={user}\x01auth=Bearer x\x01\x01"))
}

fn imap_token(doors: &Doors, user: &str) -> Talk {
    let token = token(user);
    Talk::greeted(doors.ports.imap).send(format!("a AUTHENTICATE XOAUTH2 {token}\r\n"))
}

fn pop3_token(doors: &Doors, user: &str) -> Talk {
    let token = token(user);
    Talk::greeted(doors.ports.pop3).send(format!("AUTH XOAUTH2 {token}\r\n"))
}
