//! What the host says, response by response, and what follows from it in each state.

use super::capability::{Belief, Capabilities, Extension, Pipelining};
use super::command::{self, Turn};
use super::response::{self, Kind, Response, Status, is, sanitise, status, word};
use super::{Attempt, Burst, Bye, Client, Due, MAX_GREETING, MAX_UNTAGGED, Source, State};
use crate::protocol::sasl::Relayed;
use crate::protocol::{Code, Failure, Goal, StartTls, Welcome};

impl Client {
    /// Takes one whole response; `early`: it began before our last command went out.
    pub(super) fn take(&mut self, response: &[u8], early: bool) {
        let parsed = response::parse(response);
        if early && !matches!(parsed, Response::Untagged(_)) {
            return self.broken("no reply before the command", response);
        }
        let state = std::mem::replace(&mut self.state, State::Over);
        match (state, parsed) {
            (State::Greeting, parsed) => self.greeted(response, parsed),
            (state, Response::Untagged(data)) => {
                self.state = state;
                self.note(response, data);
            }
            (State::StartTls(tag), Response::Tagged(word, rest)) if tag.is(word) => {
                self.starttls_answered(rest);
            }
            (State::Capability(tag), Response::Tagged(word, rest)) if tag.is(word) => {
                self.capability_answered(rest);
            }
            (State::Id(tag), Response::Tagged(word, _)) if tag.is(word) => {
                let can = self.capabilities.clone().unwrap_or_default();
                self.log_in(&can, None);
            }
            (State::Login(mut attempt), Response::Tagged(word, _))
                if attempt.id.as_ref().is_some_and(|id| id.is(word)) =>
            {
                // Whether the host liked the ID or not is all the same.
                attempt.id = None;
                self.state = State::Login(attempt);
            }
            (State::Login(attempt), Response::Tagged(word, rest))
                if attempt.tag.is(word) && attempt.id.is_none() =>
            {
                self.login_answered(attempt, response, rest);
            }
            (State::Login(attempt), Response::Continue(text)) if attempt.id.is_none() => {
                self.login_goes_on(attempt, response, text);
            }
            (State::Login(_), Response::Continue(_)) => self.broken("a tagged reply", response),
            _ => self.broken("the reply to our command", response),
        }
    }

    /// A `+`: for the next part of the login, for the client, or from a host that does not do what it
    /// announced.
    fn login_goes_on(&mut self, mut attempt: Attempt, response: &[u8], text: &[u8]) {
        if let Some(turn) = attempt.turns.pop_front() {
            let (user, credentials) = (&self.login.user, &self.login.credentials);
            self.say_secretly(match turn {
                Turn::Octets(octets) => octets,
                Turn::Response => command::response(user, credentials).unwrap_or_default(),
            });
        } else if let Some(again) = attempt.again.take_if(|_| text.trim_ascii().is_empty()) {
            // It did not read the initial response (RFC 4959 §3 is younger than AUTHENTICATE).
            self.found_untrue(Extension::InitialResponse);
            self.say_secretly(again);
        } else if let Some(relayed) = &mut attempt.relayed {
            attempt.again = None;
            match relayed.challenge(text) {
                Some(challenge) => self.due = Some(Due::Exchange(challenge)),
                None => return self.broken("a challenge of the mechanism", response),
            }
        } else if attempt.relies_on == Some(Extension::Literals) {
            // It asks for a literal that is on its way already.
            self.found_untrue(Extension::Literals);
        } else if let Some(extension) = attempt.relies_on {
            self.found_untrue(extension);
            return self.broken("a tagged reply", response);
        } else {
            return self.broken("a tagged reply", response);
        }
        self.state = State::Login(attempt);
    }

    /// The host announces something that it does not do.
    fn found_untrue(&mut self, extension: Extension) {
        if !self.untrue.contains(&extension) {
            self.untrue.push(extension);
        }
    }

    /// The greeting (RFC 9051 §7.1.5). PREAUTH would log every user in as whom the host pleases, and
    /// in clear it keeps STARTTLS from being said (NO STARTTLS, USENIX Security 2021).
    fn greeted(&mut self, response: &[u8], parsed: Response<'_>) {
        let Response::Untagged(data) = parsed else {
            return self.broken("a greeting", response);
        };
        match status(data) {
            Some(Status {
                kind: Kind::Ok,
                code,
                text,
            }) => {
                let line = response::chomp(response);
                self.greeting = line.get(..MAX_GREETING).unwrap_or(line).to_vec();
                self.capabilities = code.and_then(Capabilities::of);
                self.note_alert(code, text);
            }
            Some(Status {
                kind: Kind::Bye,
                text,
                ..
            }) => {
                let cause = format!("it greeted with BYE: {}", sanitise(text));
                return self.fail(Failure::Unreachable { cause });
            }
            _ => return self.broken("a greeting of OK", response),
        }
        if let Some(known) = self.known() {
            let pipelining = match known.pipelining {
                Pipelining::Kept => Pipelining::Kept,
                Pipelining::Lost | Pipelining::Avoided => Pipelining::Avoided,
            };
            (self.pipelining, self.untrue) = (pipelining, known.untrue.clone());
        } else {
            self.pipelining = Pipelining::default();
        }
        if self.login.starttls == StartTls::Yes {
            let tag = self.tags.next();
            self.say(tag.line("STARTTLS"));
            self.state = State::StartTls(tag);
            return;
        }
        if self.capabilities.is_none() && self.goal == Goal::LogIn {
            let known = self.known().filter(|it| it.belief == Belief::Sure);
            let known = known.and_then(|profile| profile.before.clone());
            // A mechanism that is not among them may have come since.
            let needed = self.login.credentials.relayed();
            let serves = |can: &Capabilities| needed.is_none_or(|it| can.mechanisms().has(it));
            self.capabilities = known.filter(serves);
            if self.capabilities.is_some() {
                self.source = Source::Memory;
            }
        }
        match self.capabilities.clone() {
            Some(can) => self.identify(&can),
            None => self.ask_capabilities(),
        }
    }

    fn starttls_answered(&mut self, rest: &[u8]) {
        match status(rest).map(|status| status.kind) {
            Some(Kind::Ok) if self.inbox.is_empty() => self.state = State::Handshake,
            Some(Kind::Ok) => {
                let got = std::mem::take(&mut self.inbox);
                self.broken("nothing behind the OK to STARTTLS", &got);
            }
            Some(Kind::No | Kind::Bad) => self.fail(Failure::HostTls {
                cause: format!("STARTTLS refused: {}", sanitise(rest)),
            }),
            _ => self.broken("OK to STARTTLS", rest),
        }
    }

    /// A host that does not know CAPABILITY is older than it: it can LOGIN.
    fn capability_answered(&mut self, rest: &[u8]) {
        let Some(status) = status(rest) else {
            return self.broken("OK to CAPABILITY", rest);
        };
        if let (Kind::Ok, Some(can)) = (status.kind, status.code.and_then(Capabilities::of)) {
            self.capabilities = Some(can);
        }
        let can = self.capabilities.get_or_insert_default().clone();
        self.identify(&can);
    }

    fn login_answered(&mut self, attempt: Attempt, response: &[u8], rest: &[u8]) {
        let Some(Status { kind, code, text }) = status(rest) else {
            return self.broken("OK or NO to the login", response);
        };
        let relayed = attempt.relayed;
        match kind {
            Kind::Ok
                if attempt.turns.is_empty()
                    && self.bye.is_none()
                    && relayed.is_none_or(Relayed::may_succeed) =>
            {
                self.note_alert(code, text);
                if let Some(can) = code.and_then(Capabilities::of) {
                    self.after = Some(can);
                }
                let after = (self.after.as_ref()).or_else(|| self.known()?.after.as_ref());
                let welcome = Welcome {
                    text: self.words(text),
                    capabilities: after.map(Capabilities::after_login),
                    unauthenticate: after.map(Capabilities::unauthenticate).unwrap_or_default(),
                    untagged: std::mem::take(&mut self.untagged),
                    rest: std::mem::take(&mut self.inbox),
                    behind: attempt.behind,
                };
                self.due = Some(Due::Done(Box::new(welcome)));
            }
            Kind::Ok => self.broken(
                "no OK before the whole login was sent, or behind BYE",
                response,
            ),
            Kind::No => {
                self.note_alert(code, text);
                // A BYE before it that says why says it of this, too.
                let named = code.and_then(refusal);
                let named = named.or(self.bye.as_ref().and_then(|bye| bye.code));
                if named.is_none() && !attempt.turns.is_empty() {
                    return self.broken("a + for the credentials", response);
                }
                // It may be the mechanism that is refused, not the credentials.
                if named.is_none() && self.source == Source::Memory {
                    self.belief = Belief::Doubtful;
                }
                self.refused(named.unwrap_or(Code::AuthenticationFailed));
            }
            // Some have no better word for a token they have found wrong.
            Kind::Bad if relayed.is_some_and(Relayed::begun) => self.fail(Failure::Refused {
                code: Code::AuthenticationFailed,
                alert: None,
            }),
            _ => {
                // What was remembered may be what the host no longer can, what it announced what it
                // never could: ask anew next time, say it without that, and one thing at a time. A
                // BAD without any of it says that the suspicion was wrong.
                match attempt.relies_on {
                    Some(extension) => self.found_untrue(extension),
                    None => self.untrue.clear(),
                }
                if attempt.burst == Burst::Several {
                    self.pipelining = Pipelining::Lost;
                }
                self.broken("OK or NO to the login", response);
            }
        }
    }

    /// The host says no, and this is why.
    pub(super) fn refused(&mut self, code: Code) {
        let alert = self.alert.take();
        if code == Code::PrivacyRequired {
            // The leg in clear is ours: the client's may have TLS, and it could do nothing about it. Nor
            // could its user, whatever the alert says.
            let cause = "it answers a login with [PRIVACYREQUIRED]; it may want TLS first \
                         (imap+starttls:// or imaps://)";
            return self.fail(Failure::HostSetup {
                cause: cause.into(),
            });
        }
        self.fail(Failure::Refused { code, alert });
    }

    /// An untagged response before the tagged one: what we need of it, and what the client has a
    /// right to see.
    fn note(&mut self, response: &[u8], data: &[u8]) {
        let login = matches!(self.state, State::Login(_));
        match status(data) {
            Some(Status {
                kind: Kind::Bye,
                code,
                text,
            }) => {
                self.bye = Some(Bye {
                    words: self.quote(text),
                    code: code.and_then(refusal),
                });
            }
            Some(Status {
                kind: Kind::Preauth,
                ..
            }) => {
                self.broken("no PREAUTH behind the greeting", response);
            }
            Some(Status { code, text, .. }) => {
                if let Some(can) = code.and_then(Capabilities::of) {
                    self.note_capabilities(can);
                } else if code.is_some_and(|code| is(code, "ALERT")) {
                    self.note_alert(code, text);
                } else if login {
                    self.keep(response);
                }
            }
            None => {
                if let Some(can) = Capabilities::of(data) {
                    self.note_capabilities(can);
                } else if login && !is(word(data).0, "ID") {
                    self.keep(response);
                }
            }
        }
    }

    fn note_capabilities(&mut self, can: Capabilities) {
        match self.state {
            State::Capability(_) => self.capabilities = Some(can),
            State::Login(_) => self.after = Some(can),
            _ => {}
        }
    }

    /// An ALERT must be shown to the user (RFC 9051 §7.1), whichever answer it came in.
    fn note_alert(&mut self, code: Option<&[u8]>, text: &[u8]) {
        if code.is_some_and(|code| is(code, "ALERT")) {
            let words = self.words(text);
            self.keep(format!("* OK [ALERT] {words}\r\n").as_bytes());
            self.alert = Some(words);
        }
    }

    /// Keeps a response for the client; those beyond the bound are lost.
    fn keep(&mut self, response: &[u8]) {
        if self.untagged.len().saturating_add(response.len()) < MAX_UNTAGGED {
            self.untagged.extend_from_slice(response::chomp(response));
            self.untagged.extend_from_slice(b"\r\n");
        }
    }
}

/// The codes of a refusal that are passed on (RFC 5530 §3). Others say nothing a client could act
/// on; REFERRAL is not followed.
fn refusal(code: &[u8]) -> Option<Code> {
    Code::named(word(code).0)
}
