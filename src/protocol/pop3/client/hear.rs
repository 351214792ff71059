//! What a host's line means where the conversation stands.

use super::says::{Offered, Status, code, shown};
use super::{Asked, Client, MOST_CAPABILITIES, Source, Talk, without_timestamp};
use crate::protocol::{Behind, Code, Failure, StartTls};

impl Client {
    pub(super) fn line(&mut self, line: &[u8]) {
        if self.introduced == Asked::Yes {
            self.introduced = Asked::No;
            // Whether the host believes us is its business; the login goes on either way.
            if !matches!(Status::of(line), Some(Status::Ok(_) | Status::Err(_))) {
                self.broken("an answer to XCLIENT", line);
            }
            return;
        }
        let talk = std::mem::replace(&mut self.talk, Talk::Over(None));
        match talk {
            Talk::Greeting => self.greeting(line),
            Talk::Stls => self.stls(line),
            Talk::Capa => match Status::of(line) {
                Some(Status::Ok(_)) => self.talk = Talk::CapaLines { seen: 0 },
                Some(Status::Err(text)) => match code(text) {
                    Some(code) => self.fail(Failure::Refused { code, alert: None }),
                    // A host of the time before RFC 2449.
                    None => {
                        self.source = Source::Host;
                        self.log_in();
                    }
                },
                _ => self.broken("an answer to CAPA", line),
            },
            Talk::CapaLines { .. } if line == b"." => {
                self.source = Source::Host;
                self.log_in();
            }
            Talk::CapaLines { seen } if seen < MOST_CAPABILITIES => {
                self.can.learn(line);
                self.talk = Talk::CapaLines {
                    seen: seen.saturating_add(1),
                };
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
                Some(Status::Challenge(text))
                    if self.behind == Behind::NotSent
                        && (text.is_empty() || self.relayed.is_none()) =>
                {
                    self.first_message(line);
                }
                Some(Status::Challenge(text)) if self.relayed.is_some() => {
                    self.challenge(text, line);
                }
                _ => self.broken("an answer to AUTH", line),
            },
            Talk::Auth => match Status::of(line) {
                Some(Status::Challenge(_)) => self.first_message(line),
                Some(Status::Err(text)) => self.refused(text),
                _ => self.broken("a challenge", line),
            },
            Talk::Answered => match Status::of(line) {
                Some(Status::Ok(text)) => self.welcome(text),
                Some(Status::Err(text)) => self.refused(text),
                Some(Status::Challenge(text)) => self.challenge(text, line),
                None => self.broken("an answer to AUTH", line),
            },
            // Nothing is read in these.
            over @ (Talk::Tls(_) | Talk::Exchange(_) | Talk::Aborted | Talk::Over(_)) => {
                self.talk = over;
            }
        }
    }

    /// The greeting (RFC 1939 §4). A host that turns us away says so here, perhaps with a code.
    fn greeting(&mut self, line: &[u8]) {
        match Status::of(line) {
            Some(Status::Ok(text)) => {
                self.greeting = without_timestamp(line);
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
}
