//! Our side of POP3 towards a mail host, from its greeting to an accepted login.
//!
//! STLS first where it is demanded (RFC 2595 §4), then CAPA (RFC 2449 §5) to learn how to log in: by
//! AUTH PLAIN with an initial response (RFC 5034), or by USER and PASS, which is also what a host that
//! knows no CAPA gets. Tokens and SCRAM go by AUTH of their own mechanism or not at all. What a host
//! can do is remembered as long as it greets in the same words. A host with `[XCLIENT]` in its greeting is told who the client is.

mod says;

use says::{Can, Offered, Status, code, shown};

use super::xclient;
use crate::protocol::line::{Lines, Octets, TooLong};
use crate::protocol::sasl::{self, Mechanism, Relayed, relayed};
use crate::protocol::{
    Behind, Code, Failure, Goal, HostLogin, HostStep, Secret, StartTls, Welcome,
};

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
}

impl Profile {
    /// What the host can be logged in to by, if that is known.
    pub fn mechanisms(&self) -> Option<sasl::Mechanisms> {
        self.can.map(|can| can.sasl)
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
    /// It was remembered, and is not to be believed any more.
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
    pub fn look(starttls: StartTls, seed: u64, remembered: Option<Profile>) -> Self {
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
            can: match self.source {
                Source::Memory | Source::Host => Some(self.can),
                Source::Nothing | Source::Doubtful => None,
            },
        })
    }

    fn line(&mut self, line: &[u8]) {
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

    /// Asks what the host can do, unless that is known, and tells a host that wants to hear it who the
    /// client is. That offer is in the greeting only; under STLS it came in clear and is believed all
    /// the same, because nothing secret depends on it.
    fn introduce(&mut self) {
        if self.xclient == Offered::Yes {
            self.introduction = self.login.origin.as_ref().map(xclient::command);
        }
        match self.known().filter(|_| self.goal == Goal::LogIn) {
            Some(can) => {
                self.can = can;
                self.source = Source::Memory;
                self.log_in();
            }
            None => self.say(b"CAPA\r\n", Talk::Capa),
        }
    }

    /// What is remembered of this host, if it serves. Under STLS it is not: whoever sits on the line
    /// in clear writes the greeting.
    fn known(&self) -> Option<Can> {
        let profile = self.remembered.as_ref()?;
        let can = profile.can?;
        // A mechanism that is not among them may have come since.
        let serves = self.relayed.is_none_or(|it| can.sasl.has(it.mechanism()));
        let burst = self.introduction.is_none() || can.pipelining == Offered::Yes;
        let clear = self.login.starttls == StartTls::No;
        (profile.greeting == self.greeting && serves && burst && clear).then_some(can)
    }

    fn log_in(&mut self) {
        if self.goal == Goal::Look {
            self.talk = Talk::Over(Some(HostStep::Done(Box::default())));
            return;
        }
        if let Some(relayed) = self.relayed {
            let mechanism = relayed.mechanism();
            return match self.can.sasl.has(mechanism) {
                true => self.auth(),
                false => self.fail(Failure::HostSetup {
                    cause: format!(
                        "it offers no SASL {}, as this login needs",
                        mechanism.name()
                    ),
                }),
            };
        }
        if self.secret().is_none() {
            return self.fail(Failure::HostSetup {
                cause: "a login by certificate shows nothing that a host could check".into(),
            });
        }
        match (
            self.can.sasl.has(Mechanism::Plain),
            self.can.user,
            self.can.stls,
        ) {
            (true, _, _) => self.auth(),
            // Such a host wants TLS first and would call every password wrong.
            (false, Offered::No, Offered::Yes) => self.fail(Failure::HostSetup {
                cause: "the host takes a login only after STLS".into(),
            }),
            (false, _, _) => {
                let user = self.login.user.as_str();
                let text = Octets::new(format!("USER {user}\r\n").into_bytes());
                self.say(&text, Talk::User);
            }
        }
    }

    fn pass(&mut self) {
        let mut text = Octets::new(Vec::new());
        let secret = self.secret().map_or(&[][..], Secret::reveal);
        text.reserve_exact(
            "PASS \r\n"
                .len()
                .saturating_add(secret.len())
                .saturating_add(self.login.behind.len()),
        );
        text.extend_from_slice(b"PASS ");
        text.extend_from_slice(secret);
        text.extend_from_slice(b"\r\n");
        self.say_last(text, Talk::Pass);
    }

    /// AUTH. The initial response saves a round trip where the line may be so long.
    fn auth(&mut self) {
        let Some(message) = self.message() else {
            return;
        };
        let mechanism = self.relayed.map_or(Mechanism::Plain, Relayed::mechanism);
        let start = format!("AUTH {}", mechanism.name());
        if start
            .len()
            .saturating_add(1)
            .saturating_add(message.len())
            .saturating_add(2)
            > LONGEST_AUTH
        {
            return self.say(format!("{start}\r\n").as_bytes(), Talk::Auth);
        }
        let mut text = Octets::new(Vec::with_capacity(
            LONGEST_AUTH.saturating_add(self.login.behind.len()),
        ));
        text.extend_from_slice(start.as_bytes());
        text.push(b' ');
        text.extend_from_slice(&message);
        text.extend_from_slice(b"\r\n");
        self.say_last(text, Talk::AuthInitial);
    }

    /// A challenge asks for the first message; its own text means nothing.
    fn first_message(&mut self, line: &[u8]) {
        let Some(message) = self.message() else {
            return self.broken("an end of the exchange", line);
        };
        let length = message
            .len()
            .saturating_add(2)
            .saturating_add(self.login.behind.len());
        let mut text = Octets::new(Vec::with_capacity(length));
        text.extend_from_slice(&message);
        text.extend_from_slice(b"\r\n");
        self.say_last(text, Talk::Answered);
    }

    /// A challenge behind the first message: for the client, if it has anything to say to one.
    fn challenge(&mut self, text: &[u8], line: &[u8]) {
        let challenge = self.relayed.as_mut().and_then(|it| it.challenge(text));
        match challenge {
            Some(challenge) => self.talk = Talk::Exchange(Some(challenge)),
            None => self.broken("an end of the exchange", line),
        }
    }

    /// The first message, as base64 text.
    fn message(&self) -> Option<Octets> {
        let (user, credentials) = (&self.login.user, &self.login.credentials);
        match credentials.secret() {
            Some(secret) => sasl::Client::plain().message(user, secret).ok(),
            None => relayed::first(user, credentials),
        }
    }

    fn secret(&self) -> Option<&Secret> {
        self.login.credentials.secret()
    }

    /// The last line of the login, and what is to follow it in the same burst. What follows a relayed
    /// login would be read as the client's answer, if the host had a question.
    fn say_last(&mut self, mut text: Octets, next: Talk) {
        if self.can.pipelining == Offered::Yes
            && self.relayed.is_none()
            && !self.login.behind.is_empty()
        {
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
        let mut out = Octets::new(Vec::new());
        let introduction = self.introduction.take();
        if introduction.is_some() {
            self.introduced = Asked::Yes;
        }
        let introduction = introduction.unwrap_or_default();
        out.reserve_exact(introduction.len().saturating_add(text.len()));
        out.extend_from_slice(&introduction);
        out.extend_from_slice(text);
        self.out = Some(out);
        self.talk = next;
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
    /// can tell.
    fn refused(&mut self, text: &[u8]) {
        let code = code(text);
        // It may be the mechanism that is refused, not the credentials: ask anew next time.
        if code.is_none() && self.source == Source::Memory {
            self.source = Source::Doubtful;
        }
        self.fail(Failure::Refused {
            code: code.unwrap_or(Code::AuthenticationFailed),
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
            Talk::Tls(_) | Talk::Aborted | Talk::Over(_) => {}
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
