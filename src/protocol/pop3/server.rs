//! Our side of POP3 towards a mail client: the AUTHORIZATION state (RFC 1939 §4, RFC 2449 §5).
//!
//! Greeting, CAPA, STLS, USER and PASS, AUTH (RFC 5034), UTF8 and LANG (RFC 6856), QUIT. Commands are
//! answered strictly in order; what a client pipelines behind its credentials is held, for the host
//! if they are good, else answered here. What comes after the login is the relay's or the maildrop's.

mod commands;

use super::observer::Pop3Observer;
use super::reply::{self, Charset, ResponseCode};
use crate::protocol::line::{Lines, Octets, TooLong};
use crate::protocol::sasl;
use crate::protocol::{
    Channel, ClearLogin, Closing, Failure, Farewell, FrontSettings, Handover, Login, Observer as _,
    Refused, StartTls, Step, UserName, Welcome,
};

/// Longest command line that bears no credentials. RFC 2449 §4 asks for 255; nothing needs more.
const LONGEST_COMMAND: usize = 512;

/// What a server must take at least (RFC 2449 §4), whatever `limits.line` says.
const SHORTEST_LIMIT: usize = 255;

/// Answers are handed out when there is this much of them: a client that pipelines small commands
/// with long answers and does not read must not make us keep them all.
const ANSWERS: usize = 4 * 1024;

/// A POP3 conversation up to login.
pub struct Server {
    settings: FrontSettings,
    lines: Lines,
    out: Vec<u8>,
    talk: Talk,
    charset: Charset,
    bad: u32,
    /// The name in the client's certificate.
    certificate: Option<UserName>,
    /// Longest line of AUTH, and of a SASL answer.
    long_line: usize,
    /// Whether the client may be a gateway, to be offered XCLIENT.
    sender: Sender,
    /// What a gateway in front of us said by XCLIENT.
    ttl: Option<u8>,
    /// A login attempt that was refused here, until it was told.
    refused: Option<Refused>,
}

/// Where the conversation stands.
enum Talk {
    /// Nothing is said yet.
    Greeting,
    /// A command is expected.
    Command,
    /// USER was taken: PASS is expected, and directly.
    Password(UserName),
    /// A client's message of a SASL exchange is expected.
    Sasl(sasl::Server),
    /// STLS was accepted; what is still received was sent in clear and is dropped.
    Tls(Asked),
    /// Credentials are with whoever drives us.
    Login(Option<Login>),
    /// As `Login`, but the client answers a challenge of the host's first.
    Challenged,
    /// Its answer is there, to be handed out.
    Answer(sasl::Answer),
    /// Over.
    Closed(Closing),
}

/// Whether the driver knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    Yes,
}

/// Who is at the other end, by its address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    Anybody,
    /// One that may be a gateway.
    Trusted,
}

impl Server {
    /// At the start of a connection.
    pub fn new(settings: FrontSettings) -> Self {
        Server {
            lines: Lines::new(LONGEST_COMMAND),
            out: Vec::new(),
            talk: Talk::Greeting,
            charset: Charset::Ascii,
            bad: 0,
            refused: None,
            certificate: None,
            long_line: sasl::MAX_LINE,
            sender: Sender::Anybody,
            ttl: None,
            settings,
        }
    }

    /// The greeting (RFC 1939 §4): `+OK text`. Angle brackets would make clients try APOP with what
    /// stands between them.
    fn greet(&mut self) {
        let text = self.settings.greeting.replace('<', "(").replace('>', ")");
        self.out = reply::ok(&text, Charset::Ascii);
        if self.sender == Sender::Trusted {
            // There is no other way to know of a circle of gateways: they tell their TTL by it.
            let status = "+OK".len().min(self.out.len());
            self.out.splice(status..status, *b" [XCLIENT]");
        }
        self.talk = Talk::Command;
    }

    fn next_line(&mut self) -> Result<Option<Octets>, TooLong> {
        let limit = match self.talk {
            Talk::Sasl(_) | Talk::Challenged => self.long_line,
            _ => self.limit(self.lines.peek()),
        };
        self.lines.set_limit(limit);
        self.lines.line()
    }

    /// How long a line that starts like this may be: tokens come in AUTH, long passwords in PASS.
    fn limit(&self, line: &[u8]) -> usize {
        let starts = |keyword: &[u8]| {
            let start = line.get(..keyword.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(keyword))
        };
        if starts(b"AUTH ") {
            self.long_line
        } else if starts(b"PASS ") || starts(b"USER ") {
            self.settings.line.max(SHORTEST_LIMIT)
        } else {
            self.settings.line.clamp(SHORTEST_LIMIT, LONGEST_COMMAND)
        }
    }

    fn line(&mut self, line: &[u8]) {
        match std::mem::replace(&mut self.talk, Talk::Command) {
            Talk::Sasl(mut exchange) => {
                let turn = exchange.answer(line);
                self.turn(exchange, turn);
            }
            // What is no answer gives the exchange up: the host is told, and then the client is.
            Talk::Challenged => {
                self.talk = Talk::Answer(match sasl::Message::from_base64(line) {
                    Some(message) => sasl::Answer::Message(message),
                    None => sasl::Answer::Abort,
                });
            }
            Talk::Password(user) => self.command(line, Some(user)),
            _ => self.command(line, None),
        }
    }

    fn may_log_in(&self) -> bool {
        !matches!(
            self.settings.channel,
            Channel::Clear {
                login: ClearLogin::Refused,
                ..
            }
        )
    }

    fn offers_stls(&self) -> bool {
        matches!(
            self.settings.channel,
            Channel::Clear {
                starttls: StartTls::Yes,
                ..
            }
        )
    }

    fn say(&mut self, line: &str) {
        self.out.extend_from_slice(line.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// A login attempt that fails here.
    fn refuse(&mut self, refused: impl Into<Refused>) {
        let refused = refused.into();
        self.fail(&refused.failure);
        self.refused = Some(refused);
    }

    fn fail(&mut self, failure: &Failure) {
        let line = reply::failure(failure, &self.settings.session, self.charset);
        self.out.extend(line);
    }

    /// Credentials that nobody can have, or a way to show them that is not offered: a failed login without
    /// asking the host. Counted as a bad command, since no other count sees it.
    fn failed_here(&mut self, refused: impl Into<Refused>) {
        if self.count_bad() {
            self.refuse(refused);
        }
    }

    fn bad(&mut self, text: &str) {
        if self.count_bad() {
            self.say(&format!("-ERR {text}"));
        }
    }

    /// Counts a bad command; says goodbye in its answer and returns false if it was the last.
    fn count_bad(&mut self) -> bool {
        self.bad = self.bad.saturating_add(1);
        if self.bad < self.settings.bad_commands {
            return true;
        }
        self.close(Closing::BadCommands, "too many bad commands", None);
        false
    }

    fn close(&mut self, why: Closing, text: &str, code: Option<ResponseCode>) {
        let line = reply::err(code, text, &self.settings.session, self.charset);
        self.out.extend(line);
        self.talk = Talk::Closed(why);
    }
}

impl crate::protocol::Server for Server {
    fn receive(&mut self, bytes: &[u8]) {
        match self.talk {
            Talk::Tls(_) | Talk::Closed(_) => {}
            _ => self.lines.push(bytes),
        }
    }

    fn step(&mut self) -> Step {
        loop {
            match &mut self.talk {
                _ if self.out.len() >= ANSWERS => {}
                // Each is to be heard of: the next would take its place.
                _ if self.refused.is_some() && !self.out.is_empty() => {}
                Talk::Greeting => {
                    self.greet();
                    continue;
                }
                Talk::Command | Talk::Password(_) | Talk::Sasl(_) | Talk::Challenged => {
                    match self.next_line() {
                        Ok(Some(line)) => {
                            self.line(&line);
                            continue;
                        }
                        Ok(None) if self.out.is_empty() => return Step::Read,
                        Ok(None) => {}
                        // Where the next command starts is the sender's choice now: no going on.
                        Err(TooLong) => {
                            self.close(Closing::TooLong, "line too long", None);
                            continue;
                        }
                    }
                }
                _ if !self.out.is_empty() => {}
                Talk::Tls(asked @ Asked::No) => {
                    *asked = Asked::Yes;
                    return Step::StartTls;
                }
                Talk::Login(login) => {
                    return match login.take() {
                        Some(login) => {
                            self.lines.fit();
                            Step::Login(login)
                        }
                        None => Step::Read,
                    };
                }
                Talk::Answer(answer) => {
                    let answer = std::mem::replace(answer, sasl::Answer::Abort);
                    self.talk = Talk::Login(None);
                    return Step::Exchange(answer);
                }
                Talk::Tls(Asked::Yes) => return Step::Read,
                Talk::Closed(why) => return Step::Close(*why),
            }
            return Step::Write(std::mem::take(&mut self.out));
        }
    }

    fn tls_started(&mut self) {
        self.settings.channel = Channel::Tls;
        self.lines.clear();
        self.out.clear();
        self.charset = Charset::Ascii;
        self.ttl = None;
        self.talk = Talk::Command;
    }

    fn serve(&mut self, mechanisms: sasl::Mechanisms) {
        self.settings.mechanisms = mechanisms;
    }

    fn certificate_shown(&mut self, name: UserName) {
        self.certificate = Some(name);
    }

    fn hold_less(&mut self, octets: usize) {
        self.long_line = sasl::longest_beside(octets);
    }

    fn sender_trusted(&mut self) {
        self.sender = Sender::Trusted;
    }

    fn ttl(&self) -> Option<u8> {
        self.ttl
    }

    fn challenge(&mut self, challenge: &sasl::Message) {
        self.out.extend_from_slice(b"+ ");
        self.out.extend_from_slice(&challenge.to_base64());
        self.out.extend_from_slice(b"\r\n");
        self.talk = Talk::Challenged;
    }

    fn reject(&mut self, failure: &Failure) {
        if matches!(self.talk, Talk::Closed(_)) {
            return;
        }
        self.fail(failure);
        self.talk = Talk::Command;
    }

    fn accept(mut self: Box<Self>, mut welcome: Welcome) -> Handover {
        let text = match welcome.text.as_str() {
            "" => "logged in",
            text => text,
        };
        let mut to_client = std::mem::take(&mut self.out);
        to_client.extend(reply::ok(text, self.charset));
        let to_host = self.lines.rest();
        let mut observer = Pop3Observer::new(std::mem::take(&mut self.settings.session));
        observer.host_to_client(&mut welcome.rest);
        to_client.extend_from_slice(&welcome.rest);
        observer.client_to_host(&to_host);
        Handover::new(to_client, to_host, Box::new(observer))
    }

    /// POP3 has no unasked goodbye (RFC 1939 §3: an idle timeout closes without a response). Words are
    /// said only where some are due: in place of the greeting, or of the answer to a login.
    fn farewell(&mut self, reason: Farewell) -> Vec<u8> {
        let due = match self.talk {
            Talk::Greeting | Talk::Login(_) | Talk::Challenged | Talk::Answer(_) => Asked::Yes,
            _ => Asked::No,
        };
        self.talk = Talk::Closed(Closing::Farewell);
        let (code, text) = match (due, reason) {
            (Asked::No, _) => return std::mem::take(&mut self.out),
            (Asked::Yes, Farewell::Timeout) => (ResponseCode::SysTemp, "this took too long"),
            (Asked::Yes, Farewell::Shutdown) => (
                ResponseCode::SysTemp,
                "the server is shutting down, try again later",
            ),
            (Asked::Yes, Farewell::TooMany | Farewell::TooManyFailures) => (
                ResponseCode::SysTemp,
                "too many connections, try again later",
            ),
            (Asked::Yes, Farewell::Kicked) => (
                ResponseCode::SysTemp,
                "the session was ended, try again later",
            ),
        };
        self.close(Closing::Farewell, text, Some(code));
        std::mem::take(&mut self.out)
    }

    fn refused(&mut self) -> Option<Refused> {
        self.refused.take()
    }

    fn held(&self) -> usize {
        let secret = match &self.talk {
            Talk::Login(Some(login)) => login.credentials.size(),
            Talk::Answer(sasl::Answer::Message(message)) => message.size(),
            _ => 0,
        };
        self.lines
            .capacity()
            .saturating_add(self.out.capacity())
            .saturating_add(secret)
    }

    fn state(&self) -> &'static str {
        match self.talk {
            Talk::Greeting => "greeting",
            Talk::Command => "authorization",
            Talk::Password(_) => "user",
            Talk::Sasl(_) => "sasl",
            Talk::Tls(_) => "tls",
            Talk::Login(_) => "login",
            Talk::Challenged | Talk::Answer(_) => "exchange",
            Talk::Closed(_) => "closed",
        }
    }
}

#[cfg(test)]
mod tests;
