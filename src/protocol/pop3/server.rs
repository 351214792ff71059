//! Our side of POP3 towards a mail client: the AUTHORIZATION state (RFC 1939 §4, RFC 2449 §5).
//!
//! Greeting, CAPA, STLS, USER and PASS, AUTH (RFC 5034), UTF8 and LANG (RFC 6856), QUIT. Commands are
//! answered strictly in order; what a client pipelines behind its credentials is held, for the host
//! if they are good, else answered here. What comes after the login is the relay's or the maildrop's.

use super::grammar::{Bad, Command};
use super::observer::Pop3Observer;
use super::reply::{self, Charset, ResponseCode};
use crate::protocol::line::{Lines, Octets, TooLong};
use crate::protocol::login;
use crate::protocol::sasl::{self, Turn};
use crate::protocol::{
    Channel, ClearLogin, Credentials, Failure, Farewell, FrontSettings, Handover, Login, Mechanism,
    Observer as _, Secret, StartTls, Step, UserName, Welcome,
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
    /// Whether the client may be a gateway, to be offered XCLIENT.
    sender: Sender,
    /// What a gateway in front of us said by XCLIENT.
    ttl: Option<u8>,
    /// A login attempt that was refused here, until it was told.
    refused: Option<Failure>,
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
    Closed,
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
            Talk::Sasl(_) | Talk::Challenged => sasl::MAX_LINE,
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
            sasl::MAX_LINE
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

    /// One command. `user` is there if the command before was an accepted USER.
    fn command(&mut self, line: &[u8], user: Option<UserName>) {
        match Command::parse(line) {
            Ok(Command::Capa) => self.capa(),
            Ok(Command::Stls) => self.stls(),
            Ok(Command::User(name)) => self.user(name),
            Ok(Command::Pass(password)) => self.pass(user, password),
            Ok(Command::Auth { mechanism, initial }) => self.auth(mechanism, initial),
            Ok(Command::AuthList) => self.auth_list(),
            Ok(Command::Apop) => self.say("-ERR APOP is not offered"),
            Ok(Command::Utf8) => {
                self.charset = Charset::Utf8;
                self.say("+OK UTF-8 it is");
            }
            Ok(Command::Lang(tag)) => self.out.extend(reply::lang(tag)),
            Ok(Command::Xclient(pairs)) => self.xclient(pairs),
            Ok(Command::Noop) => self.say("+OK"),
            Ok(Command::Quit) => {
                self.say("+OK bye");
                self.talk = Talk::Closed;
            }
            // Commands of the other state are what comes behind a failed PASS when a whole session
            // is pipelined: refused, but no sign of a client gone wrong.
            Ok(
                Command::Stat
                | Command::List(_)
                | Command::Uidl(_)
                | Command::Retr(_)
                | Command::Top(..)
                | Command::Dele(_)
                | Command::Rset
                | Command::Last,
            ) => self.say("-ERR log in first"),
            Err(Bad::Unknown) => self.bad("unknown command"),
            Err(Bad::Arguments(expected)) => self.bad(&format!("expected {expected}")),
            // A browser was made to talk to us: nothing it sent may act, nothing is reflected.
            Err(Bad::Http) => self.talk = Talk::Closed,
        }
    }

    /// CAPA (RFC 2449 §5). What the channel decides is left out of a configured list too: STLS under
    /// TLS, and means to show a password where none is taken.
    fn capa(&mut self) {
        let login = self.may_log_in();
        let stls = self.offers_stls();
        let list = match &self.settings.capabilities {
            Some(list) => {
                let mechanisms = self.mechanisms();
                let list = list.iter().filter_map(|line| {
                    let mut words = line.split(' ');
                    let fits = match words.next() {
                        Some(tag) if tag.eq_ignore_ascii_case("STLS") => stls,
                        Some(tag) if tag.eq_ignore_ascii_case("USER") => login,
                        Some(tag) if tag.eq_ignore_ascii_case("SASL") => {
                            let listed = |word: &&str| {
                                (mechanisms.iter()).any(|it| it.eq_ignore_ascii_case(word))
                            };
                            let words: Vec<&str> = words.filter(listed).collect();
                            return (!words.is_empty())
                                .then(|| format!("{tag} {}", words.join(" ")));
                        }
                        _ => true,
                    };
                    fits.then(|| line.clone())
                });
                let list: Vec<String> = list.collect();
                reply::list("capabilities follow", list.iter().map(String::as_str))
            }
            None => {
                let mut list = reply::CAPABILITIES.to_vec();
                let sasl = format!("SASL {}", self.mechanisms().join(" "));
                if login {
                    list.extend([reply::LOGIN_CAPABILITIES[0], &sasl]);
                }
                if stls {
                    list.push("STLS");
                }
                reply::list("capabilities follow", list)
            }
        };
        self.out.extend(list);
    }

    /// STLS (RFC 2595 §4). After an accepted UTF8 it is refused, as RFC 6856 §2.1 allows: the client
    /// must not send it then. Whatever stands behind it in clear is never acted on.
    fn stls(&mut self) {
        if self.settings.channel == Channel::Tls {
            self.say("-ERR TLS is active already");
        } else if !self.offers_stls() {
            self.say("-ERR STLS is not offered here");
        } else if self.charset == Charset::Utf8 {
            self.say("-ERR not after UTF8");
        } else {
            self.say("+OK begin TLS");
            self.lines.clear();
            self.talk = Talk::Tls(Asked::No);
        }
    }

    /// USER (RFC 1939 §7): accepted for every name there could be, since a refusal would tell which
    /// there are.
    fn user(&mut self, name: &[u8]) {
        if !self.may_log_in() {
            return self.refuse(Failure::PrivacyRequired);
        }
        match UserName::new(name) {
            Ok(name) => {
                self.say("+OK");
                self.talk = Talk::Password(name);
            }
            Err(_) => self.bad("not a name"),
        }
    }

    /// PASS (RFC 1939 §7): only directly behind an accepted USER.
    fn pass(&mut self, user: Option<UserName>, password: &[u8]) {
        if !self.may_log_in() {
            return self.refuse(Failure::PrivacyRequired);
        }
        let Some(user) = user else {
            return self.say("-ERR USER first");
        };
        match Secret::new(password) {
            Ok(secret) => {
                self.talk = Talk::Login(Some(Login {
                    user,
                    credentials: Credentials::Password(secret),
                    mechanism: Mechanism::UserPass,
                }));
            }
            Err(_) => self.failed_here(),
        }
    }

    /// XCLIENT: addresses are told by PROXY headers only, but a gateway's TTL is believed of anybody:
    /// it can only shorten the way.
    fn xclient(&mut self, pairs: &[u8]) {
        let told = pairs
            .split(|octet| *octet == b' ')
            .filter(|pair| {
                pair.get(..4)
                    .is_some_and(|key| key.eq_ignore_ascii_case(b"TTL="))
            })
            .filter_map(|pair| login::ttl(pair.get(4..)?));
        self.ttl = login::lowest(self.ttl, told.min());
        self.say("+OK addresses are ignored here");
    }

    /// AUTH (RFC 5034 §4): `AUTH mechanism [initial-response]`.
    fn auth(&mut self, mechanism: &[u8], initial: Option<&[u8]>) {
        if !self.may_log_in() {
            return self.refuse(Failure::PrivacyRequired);
        }
        let exchange = match (&self.certificate, sasl::Mechanism::from_name(mechanism)) {
            // A token goes to whatever host the user has, listed here or not: only that one knows.
            (_, Some(mechanism))
                if (self.settings.mechanisms.or(sasl::Mechanisms::TOKEN)).has(mechanism) =>
            {
                Some(sasl::Server::new(mechanism))
            }
            (Some(shown), None) if mechanism.eq_ignore_ascii_case(sasl::EXTERNAL.as_bytes()) => {
                Some(sasl::Server::external(shown.clone()))
            }
            _ => None,
        };
        let Some(mut exchange) = exchange else {
            return self.say("-ERR mechanism not offered");
        };
        let turn = exchange.start(initial);
        self.turn(exchange, turn);
    }

    /// AUTH alone lists the mechanisms: no RFC has it, Outlook asks so.
    fn auth_list(&mut self) {
        let list = reply::list("mechanisms follow", self.mechanisms());
        self.out.extend(list);
    }

    /// The names of what is served here and now.
    fn mechanisms(&self) -> Vec<&'static str> {
        if !self.may_log_in() {
            return Vec::new();
        }
        let served = self.settings.mechanisms.iter();
        let names = served.map(sasl::Mechanism::name);
        names.chain(self.external()).collect()
    }

    fn turn(&mut self, exchange: sasl::Server, turn: Turn) {
        match turn {
            Turn::Challenge(text) => {
                self.say(&format!("+ {text}"));
                self.talk = Talk::Sasl(exchange);
            }
            Turn::Login(login) => self.talk = Talk::Login(Some(login)),
            Turn::Failed => self.failed_here(),
            Turn::Aborted => self.say("-ERR aborted"),
            Turn::NotBase64 => self.bad("expected base64"),
        }
    }

    /// EXTERNAL's name, for a client that has shown a certificate.
    fn external(&self) -> Option<&'static str> {
        self.certificate.as_ref().map(|_| sasl::EXTERNAL)
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
    fn refuse(&mut self, failure: Failure) {
        self.fail(&failure);
        self.refused = Some(failure);
    }

    fn fail(&mut self, failure: &Failure) {
        let line = reply::failure(failure, &self.settings.session, self.charset);
        self.out.extend(line);
    }

    /// Credentials that nobody can have: a failed login without asking the host. Counted as a bad
    /// command, since no other count sees it.
    fn failed_here(&mut self) {
        if self.count_bad() {
            self.refuse(Failure::Credentials);
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
        self.close("too many bad commands", None);
        false
    }

    fn close(&mut self, text: &str, code: Option<ResponseCode>) {
        let line = reply::err(code, text, &self.settings.session, self.charset);
        self.out.extend(line);
        self.talk = Talk::Closed;
    }
}

impl crate::protocol::Server for Server {
    fn receive(&mut self, bytes: &[u8]) {
        match self.talk {
            Talk::Tls(_) | Talk::Closed => {}
            _ => self.lines.push(bytes),
        }
    }

    fn step(&mut self) -> Step {
        loop {
            match &mut self.talk {
                _ if self.out.len() >= ANSWERS => {}
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
                            self.close("line too long", None);
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
                        Some(login) => Step::Login(login),
                        None => Step::Read,
                    };
                }
                Talk::Answer(answer) => {
                    let answer = std::mem::replace(answer, sasl::Answer::Abort);
                    self.talk = Talk::Login(None);
                    return Step::Exchange(answer);
                }
                Talk::Tls(Asked::Yes) => return Step::Read,
                Talk::Closed => return Step::Close,
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
        if matches!(self.talk, Talk::Closed) {
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
        self.talk = Talk::Closed;
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
        self.close(text, Some(code));
        std::mem::take(&mut self.out)
    }

    fn refused(&mut self) -> Option<Failure> {
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
            Talk::Closed => "closed",
        }
    }
}

#[cfg(test)]
mod tests;
