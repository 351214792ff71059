//! Our side of POP3 towards a mail host, from its greeting to an accepted login.
//!
//! STLS first where it is demanded (RFC 2595 §4), then CAPA (RFC 2449 §5) to learn how to log in: by
//! AUTH PLAIN with an initial response (RFC 5034), or by USER and PASS, which is also what a host that
//! knows no CAPA gets. A host with `[XCLIENT]` in its greeting is told who the client is.

mod says;

use says::{Can, Offered, Status, code, shown};

use super::xclient;
use crate::protocol::line::{Lines, Octets, TooLong};
use crate::protocol::sasl::{self, Mechanism};
use crate::protocol::{Behind, Code, Failure, HostLogin, HostStep, Secret, StartTls, Welcome};

/// Longest line taken from a host. RFC 1939 §3 has 512; some put whole notices into one.
const LONGEST_LINE: usize = 4 * 1024;

/// Most lines of a CAPA answer: an endless list must end.
const MOST_CAPABILITIES: usize = 200;

/// Longest AUTH command with an initial response, with its CRLF (RFC 5034 §4).
const LONGEST_AUTH: usize = 255;

/// A POP3 conversation with a host up to its yes or no.
pub struct Client {
    login: HostLogin,
    lines: Lines,
    talk: Talk,
    out: Option<Octets>,
    can: Can,
    xclient: Offered,
    sent: Sent,
    behind: Behind,
}

/// What is awaited from the host, or said next.
enum Talk {
    Greeting,
    /// The answer to STLS.
    Stls,
    /// The handshake: asked for once.
    Tls(Asked),
    /// The answer to XCLIENT; CAPA is on its way behind it.
    Xclient,
    /// The answer to CAPA.
    Capa,
    /// The lines of that answer.
    CapaLines {
        seen: usize,
    },
    /// The answer to USER.
    User,
    /// The answer to PASS.
    Pass,
    /// The answer to AUTH with an initial response.
    AuthInitial,
    /// A challenge or the answer to AUTH.
    Auth(sasl::Client),
    /// Over: what is handed out, once.
    Over(Option<HostStep>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    Yes,
}

/// Whether credentials were handed out to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Credentials,
}

impl Client {
    /// Before the host's greeting.
    pub fn new(login: HostLogin) -> Self {
        Client {
            login,
            lines: Lines::new(LONGEST_LINE),
            talk: Talk::Greeting,
            out: None,
            can: Can::NOTHING,
            xclient: Offered::No,
            sent: Sent::Nothing,
            behind: Behind::NotSent,
        }
    }

    fn line(&mut self, line: &[u8]) {
        let talk = std::mem::replace(&mut self.talk, Talk::Over(None));
        match talk {
            Talk::Greeting => self.greeting(line),
            Talk::Stls => self.stls(line),
            Talk::Xclient => match Status::of(line) {
                // Whether the host believes us is its business; the login goes on either way.
                Some(Status::Ok(_) | Status::Err(_)) => self.talk = Talk::Capa,
                _ => self.broken("an answer to XCLIENT", line),
            },
            Talk::Capa => match Status::of(line) {
                Some(Status::Ok(_)) => self.talk = Talk::CapaLines { seen: 0 },
                Some(Status::Err(text)) => match code(text) {
                    Some(code) => self.fail(Failure::Refused { code, alert: None }),
                    // A host of the time before RFC 2449.
                    None => self.log_in(),
                },
                _ => self.broken("an answer to CAPA", line),
            },
            Talk::CapaLines { .. } if line == b"." => self.log_in(),
            Talk::CapaLines { seen } if seen < MOST_CAPABILITIES => {
                self.can.learn(line);
                self.talk = Talk::CapaLines { seen: seen + 1 };
            }
            Talk::CapaLines { .. } => self.broken("the end of the capabilities", line),
            Talk::User => match Status::of(line) {
                Some(Status::Ok(_)) => self.pass(),
                Some(Status::Err(text)) => self.refused(text),
                _ => self.broken("an answer to USER", line),
            },
            Talk::Pass => match Status::of(line) {
                Some(Status::Ok(text)) => self.welcome(text),
                Some(Status::Err(text)) => self.refused(text),
                _ => self.broken("an answer to PASS", line),
            },
            Talk::AuthInitial => match Status::of(line) {
                Some(Status::Ok(text)) => self.welcome(text),
                Some(Status::Err(text)) => self.refused(text),
                // The initial response went unnoticed: RFC 1734 had none. What followed it in the
                // same burst, if anything did, has been read in its stead.
                Some(Status::Challenge) if self.behind == Behind::NotSent => {
                    self.answer(sasl::Client::new(Mechanism::Plain), line);
                }
                _ => self.broken("an answer to AUTH", line),
            },
            Talk::Auth(exchange) => match Status::of(line) {
                Some(Status::Ok(text)) => self.welcome(text),
                Some(Status::Err(text)) => self.refused(text),
                Some(Status::Challenge) => self.answer(exchange, line),
                None => self.broken("an answer to AUTH", line),
            },
            // Nothing is read in these.
            over @ (Talk::Tls(_) | Talk::Over(_)) => self.talk = over,
        }
    }

    /// The greeting (RFC 1939 §4). A host that turns us away says so here, perhaps with a code.
    fn greeting(&mut self, line: &[u8]) {
        match Status::of(line) {
            Some(Status::Ok(text)) => {
                if text.starts_with(b"[XCLIENT]") {
                    self.xclient = Offered::Yes;
                }
                match self.login.starttls {
                    StartTls::Yes => self.say(b"STLS\r\n", Talk::Stls),
                    StartTls::No => self.introduce(),
                }
            }
            Some(Status::Err(text)) => match code(text) {
                Some(code) => self.fail(Failure::Refused { code, alert: None }),
                None => self.fail(Failure::Unreachable {
                    cause: format!("greeted with -ERR {}", shown(text)),
                }),
            },
            _ => self.broken("a greeting", line),
        }
    }

    /// Only behind a `+OK` with nothing after it: what came in clear with it would be read as said
    /// under TLS.
    fn stls(&mut self, line: &[u8]) {
        match Status::of(line) {
            Some(Status::Ok(_)) if self.lines.is_empty() => self.talk = Talk::Tls(Asked::No),
            Some(Status::Ok(_)) => {
                let behind = shown(self.lines.peek());
                self.fail(Failure::HostProtocol {
                    expected: "nothing behind the answer to STLS",
                    got: behind,
                });
            }
            Some(Status::Err(text)) => match code(text) {
                Some(code @ Code::Unavailable) => {
                    self.fail(Failure::Refused { code, alert: None });
                }
                _ => self.fail(Failure::HostTls {
                    cause: format!("STLS refused: {}", shown(text)),
                }),
            },
            _ => self.broken("an answer to STLS", line),
        }
    }

    /// Asks what the host can do, and tells a host that wants to hear it who the client is. That offer
    /// is in the greeting only; under STLS it came in clear and is believed all the same, because
    /// nothing secret depends on it.
    fn introduce(&mut self) {
        let origin = match self.xclient {
            Offered::Yes => self.login.origin.as_ref(),
            Offered::No => None,
        };
        let (mut text, next) = match origin {
            Some(origin) => (xclient::command(origin), Talk::Xclient),
            None => (Vec::new(), Talk::Capa),
        };
        text.extend_from_slice(b"CAPA\r\n");
        self.say(&text, next);
    }

    fn log_in(&mut self) {
        if self.secret().is_none() {
            return self.fail(Failure::HostSetup {
                cause: "a login by certificate shows nothing that a host could check".into(),
            });
        }
        match (self.can.plain, self.can.user, self.can.stls) {
            (Offered::Yes, _, _) => self.auth(),
            // Such a host wants TLS first and would call every password wrong.
            (Offered::No, Offered::No, Offered::Yes) => self.fail(Failure::HostSetup {
                cause: "the host takes a login only after STLS".into(),
            }),
            (Offered::No, _, _) => {
                let user = self.login.user.as_str();
                let text = Octets::new(format!("USER {user}\r\n").into_bytes());
                self.say(&text, Talk::User);
            }
        }
    }

    fn pass(&mut self) {
        let mut text = Octets::new(Vec::new());
        let secret = self.secret().map_or(&[][..], Secret::reveal);
        text.reserve_exact("PASS \r\n".len() + secret.len() + self.login.behind.len());
        text.extend_from_slice(b"PASS ");
        text.extend_from_slice(secret);
        text.extend_from_slice(b"\r\n");
        self.say_last(text, Talk::Pass);
    }

    /// AUTH PLAIN. The initial response saves a round trip where the line may be so long.
    fn auth(&mut self) {
        let mut exchange = sasl::Client::new(Mechanism::Plain);
        let Ok(message) = self.message(&mut exchange) else {
            return;
        };
        let start = b"AUTH PLAIN ";
        if start.len() + message.len() + 2 > LONGEST_AUTH {
            return self.say(
                b"AUTH PLAIN\r\n",
                Talk::Auth(sasl::Client::new(Mechanism::Plain)),
            );
        }
        let mut text = Octets::new(Vec::with_capacity(LONGEST_AUTH + self.login.behind.len()));
        text.extend_from_slice(start);
        text.extend_from_slice(&message);
        text.extend_from_slice(b"\r\n");
        self.say_last(text, Talk::AuthInitial);
    }

    /// A challenge asks for the next message; its own text means nothing in PLAIN.
    fn answer(&mut self, mut exchange: sasl::Client, line: &[u8]) {
        let Ok(message) = self.message(&mut exchange) else {
            return self.broken("an end of the exchange", line);
        };
        let length = message.len() + 2 + self.login.behind.len();
        let mut text = Octets::new(Vec::with_capacity(length));
        text.extend_from_slice(&message);
        text.extend_from_slice(b"\r\n");
        self.say_last(text, Talk::Auth(exchange));
    }

    fn message(&self, exchange: &mut sasl::Client) -> Result<Octets, sasl::Exhausted> {
        let secret = self.secret().ok_or(sasl::Exhausted)?;
        exchange.message(&self.login.user, secret)
    }

    fn secret(&self) -> Option<&Secret> {
        self.login.credentials.secret()
    }

    /// The last line of the login, and what is to follow it in the same burst.
    fn say_last(&mut self, mut text: Octets, next: Talk) {
        if self.can.pipelining == Offered::Yes && !self.login.behind.is_empty() {
            text.extend_from_slice(&std::mem::take(&mut self.login.behind));
            self.behind = Behind::Sent;
        }
        self.say(&text, next);
        if self.out.is_some() {
            self.sent = Sent::Credentials;
        }
    }

    /// Hands a command out. A host that has said something more by now answers what it was not
    /// asked: POP3 has no tags, so that answer would be taken for this command's.
    fn say(&mut self, text: &[u8], next: Talk) {
        if !self.lines.is_empty() {
            let early = self.quote(self.lines.peek());
            return self.fail(Failure::HostProtocol {
                expected: "nothing before the next command",
                got: early,
            });
        }
        self.out = Some(Octets::new(text.to_vec()));
        self.talk = next;
    }

    fn welcome(&mut self, text: &[u8]) {
        self.talk = Talk::Over(Some(HostStep::Done(Box::new(Welcome {
            text: shown(text),
            rest: self.lines.rest(),
            behind: self.behind,
            ..Welcome::default()
        }))));
    }

    /// `-ERR` to a step of the login. Without a code it is about the credentials, as far as anybody
    /// can tell.
    fn refused(&mut self, text: &[u8]) {
        self.fail(Failure::Refused {
            code: code(text).unwrap_or(Code::AuthenticationFailed),
            alert: None,
        });
    }

    fn broken(&mut self, expected: &'static str, line: &[u8]) {
        let got = self.quote(line);
        self.fail(Failure::HostProtocol { expected, got });
    }

    /// A host's line for the log. One that came after the credentials might repeat them.
    fn quote(&self, line: &[u8]) -> String {
        match self.sent {
            Sent::Nothing => shown(line),
            Sent::Credentials => format!("{} octets", line.len()),
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.lines.clear();
        self.talk = Talk::Over(Some(HostStep::Failed(failure)));
    }
}

impl crate::protocol::Client for Client {
    fn receive(&mut self, bytes: &[u8]) {
        match self.talk {
            Talk::Tls(_) | Talk::Over(_) => {}
            _ => self.lines.push(bytes),
        }
    }

    fn closed(&mut self) {
        if !matches!(self.talk, Talk::Over(_)) {
            let cause = format!("connection closed in state={}", self.state());
            self.fail(Failure::Unreachable { cause });
        }
    }

    fn step(&mut self) -> HostStep {
        loop {
            if let Some(mut text) = self.out.take() {
                return HostStep::Write(std::mem::take(&mut *text));
            }
            match &mut self.talk {
                Talk::Tls(asked @ Asked::No) => {
                    *asked = Asked::Yes;
                    return HostStep::StartTls;
                }
                Talk::Tls(Asked::Yes) => return HostStep::Read,
                Talk::Over(last) => return last.take().unwrap_or(HostStep::Read),
                _ => {}
            }
            match self.lines.line() {
                Ok(Some(line)) => self.line(&line),
                Ok(None) => return HostStep::Read,
                Err(TooLong) => {
                    let start = self.quote(self.lines.peek());
                    self.fail(Failure::HostProtocol {
                        expected: "a line of at most 4096 octets",
                        got: start,
                    });
                }
            }
        }
    }

    fn tls_started(&mut self) {
        self.lines.clear();
        self.can = Can::NOTHING;
        self.introduce();
    }

    fn state(&self) -> &'static str {
        match self.talk {
            Talk::Greeting => "greeting",
            Talk::Stls | Talk::Tls(_) => "starttls",
            Talk::Xclient => "xclient",
            Talk::Capa | Talk::CapaLines { .. } => "capability",
            Talk::User | Talk::Pass | Talk::AuthInitial | Talk::Auth(_) => "login",
            Talk::Over(_) => "over",
        }
    }

    fn credentials_sent(&self) -> bool {
        self.sent == Sent::Credentials
    }
}

#[cfg(test)]
mod tests;
