//! Our side of POP3 towards a mail host, from its greeting to an accepted login.
//!
//! STLS first where it is demanded (RFC 2595 §4), then CAPA (RFC 2449 §5) to learn how to log in: by
//! AUTH PLAIN with an initial response (RFC 5034), or by USER and PASS, which is also what a host that
//! knows no CAPA gets. Tokens and SCRAM go by AUTH of their own mechanism or not at all. What a host
//! can do is remembered as long as it greets in the same words. A host with `[XCLIENT]` in its greeting is told who the client is.

mod hear;
mod logging_in;
mod says;

use says::{Can, Offered, code, shown};

use super::xclient;
use crate::protocol::line::{Lines, Octets, TooLong};
use crate::protocol::sasl::{self, Relayed};
use crate::protocol::{Behind, Code, Failure, Goal, HostLogin, HostStep, StartTls, Welcome};

/// Longest line taken from a host. RFC 1939 §3 has 512; some put whole notices into one.
const LONGEST_LINE: usize = 4 * 1024;

/// Most lines of a CAPA answer: an endless list must end.
const MOST_CAPABILITIES: usize = 200;

/// Longest AUTH command with an initial response, with its CRLF (RFC 5034 §4).
const LONGEST_AUTH: usize = 255;

/// A POP3 conversation with a host up to its yes or no.
pub struct Client {
    login: HostLogin,
    goal: Goal,
    lines: Lines,
    talk: Talk,
    out: Option<Octets>,
    remembered: Option<Profile>,
    explains: Explains,
    greeting: Vec<u8>,
    can: Can,
    source: Source,
    xclient: Offered,
    /// XCLIENT, to go out before the next command in the same octets; then its answer comes first.
    introduction: Option<Vec<u8>>,
    introduced: Asked,
    /// The exchange between client and host, where the credentials are relayed.
    relayed: Option<Relayed>,
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
    /// The challenge that asks for the first message.
    Auth,
    /// The answer to AUTH, or a challenge of the exchange.
    Answered,
    /// Nothing: the client answers a challenge first.
    Exchange(Option<sasl::Message>),
    /// The client gave the exchange up: the host is told, nothing more is heard of it.
    Aborted,
    /// Over: what is handed out, once.
    Over(Option<HostStep>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    Yes,
}

/// What one login found out about a host, and the next one need not ask again. It holds for a host
/// that greets with the same line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The greeting, without a timestamp (RFC 1939 §7), which is another each time.
    greeting: Vec<u8>,
    /// None: to be asked, because a login by what was known went wrong.
    can: Option<Can>,
    explains: Explains,
}

/// Whether a host was heard to give its code for wrong credentials. That it announces to is not enough: a proxy in
/// front of it may announce what it likes, and guesses would not be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Explains {
    NotYet,
    Heard,
}

impl Profile {
    /// The greeting's line.
    pub fn greeting(&self) -> &[u8] {
        &self.greeting
    }

    /// What others heard of the same host meanwhile stands.
    pub fn heed(&mut self, others: &Profile) {
        if self.greeting == others.greeting && others.explains == Explains::Heard {
            self.explains = Explains::Heard;
        }
    }

    /// What clients may be offered to log in to the host by, if that is known.
    pub fn mechanisms(&self) -> Option<sasl::Mechanisms> {
        self.can.map(|can| can.sasl.without(can.bound))
    }
}

/// Where it is known from what the host can do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Nowhere yet.
    Nothing,
    /// From an earlier login.
    Memory,
    /// It was asked.
    Host,
    /// It is not to be believed any more.
    Doubtful,
}

/// Whether credentials were handed out to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Credentials,
}

impl Client {
    /// Before the host's greeting.
    /// `remembered` is what [`Client::learned`] gave after an earlier login on the same endpoint.
    pub fn new(login: HostLogin, remembered: Option<Profile>) -> Self {
        Client {
            relayed: Relayed::new(&login.credentials),
            explains: (remembered.as_ref()).map_or(Explains::NotYet, |it| it.explains),
            remembered,
            greeting: Vec::new(),
            source: Source::Nothing,
            introduction: None,
            introduced: Asked::No,
            login,
            goal: Goal::LogIn,
            lines: Lines::new(LONGEST_LINE),
            talk: Talk::Greeting,
            out: None,
            can: Can::NOTHING,
            xclient: Offered::No,
            sent: Sent::Nothing,
            behind: Behind::NotSent,
        }
    }

    /// One that ends when it is known what the host can do.
    pub fn look(starttls: StartTls, seed: u128, remembered: Option<Profile>) -> Self {
        Client {
            goal: Goal::Look,
            ..Client::new(HostLogin::nobody(starttls, seed), remembered)
        }
    }

    /// What this conversation found out about the host, for the next one; also when it failed. None:
    /// not even a greeting came.
    pub fn learned(&self) -> Option<Profile> {
        if self.greeting.is_empty() {
            return None;
        }
        Some(Profile {
            greeting: self.greeting.clone(),
            explains: self.explains,
            can: match self.source {
                // Given up in the middle of a login, because it took too long.
                _ if self.is_logging_in() => None,
                Source::Memory | Source::Host => Some(self.can),
                Source::Nothing | Source::Doubtful => None,
            },
        })
    }

    fn welcome(&mut self, text: &[u8]) {
        if self.relayed.is_some_and(|it| !it.may_succeed()) {
            return self.broken("no +OK before the end of the exchange", text);
        }
        self.talk = Talk::Over(Some(HostStep::Done(Box::new(Welcome {
            text: shown(text),
            rest: self.lines.rest(),
            behind: self.behind,
            ..Welcome::default()
        }))));
    }

    /// `-ERR` to a step of the login. Without a code it is about the credentials, as far as anybody
    /// can tell, but not of a host that has one for them.
    fn refused(&mut self, text: &[u8]) {
        let code = code(text);
        if code == Some(Code::AuthenticationFailed) {
            self.explains = Explains::Heard;
        }
        // It may be the mechanism that is refused, not the credentials: ask anew next time.
        if code.is_none() && self.source == Source::Memory {
            self.source = Source::Doubtful;
        }
        self.fail(match (code, self.can.auth_resp_code, self.explains) {
            (None, Offered::Yes, Explains::Heard) => Failure::Unexplained,
            (code, ..) => Failure::Refused {
                code: code.unwrap_or(Code::AuthenticationFailed),
                alert: None,
            },
        });
    }

    /// Whether a part of the login waits for the host's answer.
    fn is_logging_in(&self) -> bool {
        matches!(
            self.talk,
            Talk::User | Talk::Pass | Talk::AuthInitial | Talk::Auth | Talk::Answered
        )
    }

    fn broken(&mut self, expected: &'static str, line: &[u8]) {
        // What else such a host has said may be no better.
        self.source = Source::Doubtful;
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
            Talk::Tls(_) | Talk::Aborted | Talk::Over(_) => {}
            _ => self.lines.push(bytes),
        }
    }

    fn closed(&mut self) {
        if !matches!(self.talk, Talk::Over(_)) {
            let cause = format!("connection closed in state={}", self.state());
            if self.is_logging_in() {
                self.source = Source::Doubtful;
            }
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
                Talk::Exchange(challenge) => {
                    return challenge.take().map_or(HostStep::Read, HostStep::Exchange);
                }
                Talk::Aborted => {
                    self.fail(Failure::Aborted);
                    continue;
                }
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
        self.introduced = Asked::No;
        self.introduce();
    }

    fn answer(&mut self, answer: sasl::Answer) {
        if !matches!(self.talk, Talk::Exchange(_)) {
            return;
        }
        match answer {
            sasl::Answer::Message(message) => {
                let text = message.to_base64();
                let mut line = Octets::new(Vec::with_capacity(text.len().saturating_add(2)));
                line.extend_from_slice(&text);
                line.extend_from_slice(b"\r\n");
                self.say(&line, Talk::Answered);
            }
            sasl::Answer::Abort => {
                self.out = Some(Octets::new(b"*\r\n".to_vec()));
                self.talk = Talk::Aborted;
            }
        }
    }

    fn state(&self) -> &'static str {
        if self.introduced == Asked::Yes {
            return "xclient";
        }
        match self.talk {
            Talk::Greeting => "greeting",
            Talk::Stls | Talk::Tls(_) => "starttls",
            Talk::Capa | Talk::CapaLines { .. } => "capability",
            Talk::User
            | Talk::Pass
            | Talk::Auth
            | Talk::AuthInitial
            | Talk::Answered
            | Talk::Exchange(_)
            | Talk::Aborted => "login",
            Talk::Over(_) => "over",
        }
    }

    fn credentials_sent(&self) -> bool {
        self.sent == Sent::Credentials
    }
}

/// A greeting as it is compared: the timestamp of APOP is another each time.
fn without_timestamp(line: &[u8]) -> Vec<u8> {
    let from = memchr::memchr(b'<', line).unwrap_or(line.len());
    let to = memchr::memrchr(b'>', line).filter(|to| *to > from);
    match to {
        Some(to) => {
            let mut same = line.get(..from).unwrap_or_default().to_vec();
            same.extend_from_slice(line.get(to..).unwrap_or_default());
            same
        }
        None => line.to_vec(),
    }
}

#[cfg(test)]
mod tests;
