//! What is said to a host to be let in: XCLIENT, then AUTH, or USER and PASS.

use super::says::{Can, Offered};
use super::{Asked, Client, LONGEST_AUTH, Sent, Source, Talk, xclient};
use crate::protocol::line::Octets;
use crate::protocol::sasl::{self, Mechanism, Relayed, relayed};
use crate::protocol::{Behind, Failure, Goal, HostStep, Secret, StartTls};

impl Client {
    /// Asks what the host can do, unless that is known, and tells a host that wants to hear it who the
    /// client is. That offer is in the greeting only; under STLS it came in clear and is believed all
    /// the same, because nothing secret depends on it.
    pub(super) fn introduce(&mut self) {
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

    pub(super) fn log_in(&mut self) {
        if self.goal == Goal::Look {
            self.talk = Talk::Over(Some(HostStep::Done(Box::default())));
            return;
        }
        if let Some(relayed) = self.relayed {
            let mechanism = relayed.mechanism();
            return match self.can.sasl.has(mechanism) {
                true => self.auth(),
                false => {
                    let name = mechanism.name();
                    let cause = format!("it offers no SASL {name}, as this login needs");
                    self.fail(self.login.credentials.not_taken(cause));
                }
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

    pub(super) fn pass(&mut self) {
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
    pub(super) fn first_message(&mut self, line: &[u8]) {
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
    pub(super) fn challenge(&mut self, text: &[u8], line: &[u8]) {
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
    pub(super) fn say(&mut self, text: &[u8], next: Talk) {
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
}
