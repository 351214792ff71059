//! Our side of IMAP towards a mail client, from greeting to login (RFC 9051 §6.1, §6.2).
//!
//! Commands are cut out of the stream whole, literals and all, before a word of them is read; one is
//! answered at a time, so that a burst of small commands cannot make a heap of answers. What comes
//! behind a LOGIN or AUTHENTICATE stays in the buffer until the login is decided: accepted, it goes
//! to the host; rejected, it is answered here like anything else.

mod conversation;
mod intake;
#[cfg(test)]
mod tests;

use self::intake::verb;
use super::grammar::{Bad, Tag, Tokens};
use super::reply;
use crate::protocol::line::{Lines, Octets};
use crate::protocol::sasl::{self, Mechanism, Mechanisms, Turn};
use crate::protocol::{
    self, Channel, ClearLogin, Closing, Credentials, Failure, FrontSettings, Login, Secret,
    StartTls, UserName,
};

/// RFC 2971 §3.3: at most 30 pairs, fields of 30 octets, values of 1024.
const ID_PAIRS: usize = 30;
const ID_FIELD: usize = 30;
const ID_VALUE: usize = 1024;

/// What an HTTP request starts with. A browser made to speak to us (cross-protocol attack) is cut
/// off before anything of its request is answered.
const HTTP_VERBS: [&[u8]; 10] = [
    b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE", b"PATCH", b"PRI",
];

/// The IMAP front: a [`protocol::Server`].
pub struct Server {
    settings: FrontSettings,
    state: State,
    lines: Lines,
    /// The command that is being read: its lines and literals up to here, line ends included.
    command: Octets,
    /// Octets of a literal still to come into `command`.
    literal: Option<usize>,
    /// To be written before anything else is done.
    out: Vec<u8>,
    /// Whether the client asked for capabilities by command: then it is told the new ones.
    capability: Asked,
    bad_commands: u32,
    /// The name in the client's certificate.
    certificate: Option<UserName>,
    /// What a gateway in front of us said by ID.
    ttl: Option<u8>,
    /// A login attempt that was refused here, until it was told.
    refused: Option<Failure>,
}

enum State {
    /// Nothing was said yet.
    Greeting,
    /// Not authenticated: reads commands.
    Ready,
    /// Inside AUTHENTICATE: reads the client's answers.
    Sasl(Tag, sasl::Server),
    /// Credentials are there, to be handed out.
    LoginDue(Tag, Login),
    /// Credentials were handed out.
    Deciding(Tag),
    /// As `Deciding`, but the client answers a challenge of the host's first.
    Challenged(Tag),
    /// Its answer is there, to be handed out.
    AnswerDue(Tag, sasl::Answer),
    /// STARTTLS was answered; the handshake is to be handed out.
    TlsDue,
    /// Nothing more is read or said.
    Closed(Closing),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    Yes,
}

impl Server {
    /// A conversation that has not begun.
    pub fn new(settings: FrontSettings) -> Self {
        Server {
            lines: Lines::new(settings.line),
            settings,
            state: State::Greeting,
            command: Octets::default(),
            literal: None,
            out: Vec::new(),
            capability: Asked::No,
            bad_commands: 0,
            refused: None,
            certificate: None,
            ttl: None,
        }
    }

    /// The greeting (RFC 9051 §7.1.1): `* OK [CAPABILITY …] text`.
    fn greet(&mut self) {
        let text = reply::text(&self.settings.greeting, "ready");
        self.say(format_args!("* OK [{}] {text}", self.capabilities()));
        self.state = State::Ready;
    }

    /// CAPABILITY (RFC 9051 §6.1.1)
    fn capability(&mut self, tag: &Tag, args: Tokens) -> Result<(), Bad> {
        args.end()?;
        self.capability = Asked::Yes;
        self.say(format_args!("* {}", self.capabilities()));
        self.ok(tag, "CAPABILITY completed");
        Ok(())
    }

    /// NOOP (RFC 9051 §6.1.2)
    fn noop(&mut self, tag: &Tag, args: Tokens) -> Result<(), Bad> {
        args.end()?;
        self.ok(tag, "NOOP completed");
        Ok(())
    }

    /// LOGOUT (RFC 9051 §6.1.3): BYE first, then the tagged OK.
    fn logout(&mut self, tag: &Tag, args: Tokens) -> Result<(), Bad> {
        args.end()?;
        self.say(format_args!("* BYE logging out"));
        self.ok(tag, "LOGOUT completed");
        self.close(Closing::Logout);
        Ok(())
    }

    /// STARTTLS (RFC 9051 §6.2.1). This is the one switch to TLS: whatever came in the same burst
    /// came from anybody, and is dropped here, before a handshake can make it look trusted.
    fn starttls(&mut self, tag: &Tag, args: Tokens) -> Result<(), Bad> {
        args.end()?;
        match self.settings.channel {
            Channel::Tls => return Err(Bad("TLS is on already")),
            Channel::Clear {
                starttls: StartTls::No,
                ..
            } => {
                return Err(Bad("STARTTLS is not offered here"));
            }
            Channel::Clear { .. } => {}
        }
        self.ok(tag, "begin TLS now");
        self.forget();
        self.state = State::TlsDue;
        Ok(())
    }

    /// ID (RFC 2971 §3.1): `id = "ID" SP id_params_list`. What the client says is checked and
    /// forgotten; a field is a claim, not a fact. But a gateway's TTL is believed of anybody: it can
    /// only shorten the way.
    fn id(&mut self, tag: &Tag, mut args: Tokens) -> Result<(), Bad> {
        args.space()?;
        let told = match args.nil() {
            true => None,
            false => id_params(&mut args)?,
        };
        args.end()?;
        self.ttl = protocol::login::lowest(self.ttl, told);
        self.say(format_args!("* ID (\"name\" \"Gatepost\")"));
        self.ok(tag, "ID completed");
        Ok(())
    }

    /// ENABLE (RFC 9051 §6.3.1): `enable = "ENABLE" 1*(SP capability)`. We enable nothing; a client
    /// that wants more asks again after login, where the RFC has it.
    fn enable(&mut self, tag: &Tag, mut args: Tokens) -> Result<(), Bad> {
        args.space()?;
        args.atom()?;
        while !args.at_end() {
            args.space()?;
            args.atom()?;
        }
        self.say(format_args!("* ENABLED"));
        self.ok(tag, "ENABLE completed");
        Ok(())
    }

    /// LOGIN (RFC 9051 §6.2.3): `login = "LOGIN" SP userid SP password`
    fn login(&mut self, tag: &Tag, mut args: Tokens) -> Result<(), Bad> {
        args.space()?;
        let name = args.astring()?;
        args.space()?;
        let password = args.astring()?;
        args.end()?;
        if !self.may_log_in() {
            self.refuse(tag, Failure::PrivacyRequired);
            return Ok(());
        }
        match (UserName::new(&name), Secret::new(&password)) {
            (Ok(user), Ok(secret)) => {
                let login = Login {
                    user,
                    credentials: Credentials::Password(secret),
                    mechanism: protocol::Mechanism::Login,
                };
                self.state = State::LoginDue(tag.clone(), login);
            }
            _ => self.failed_here(tag, Failure::Credentials),
        }
        Ok(())
    }

    /// AUTHENTICATE (RFC 9051 §6.2.2, RFC 4959 §3):
    /// `authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp] *(CRLF base64)`
    fn authenticate(&mut self, tag: &Tag, mut args: Tokens) -> Result<(), Bad> {
        args.space()?;
        let name = args.atom()?;
        let initial = if args.at_end() {
            None
        } else {
            args.space()?;
            Some(args.word())
        };
        args.end()?;
        if !self.may_log_in() {
            self.refuse(tag, Failure::PrivacyRequired);
            return Ok(());
        }
        let exchange = match (&self.certificate, Mechanism::from_name(name)) {
            (_, Some(mechanism)) if self.serves(mechanism) => Some(sasl::Server::new(mechanism)),
            (Some(shown), None) if name.eq_ignore_ascii_case(sasl::EXTERNAL.as_bytes()) => {
                Some(sasl::Server::external(shown.clone()))
            }
            _ => None,
        };
        let Some(mut exchange) = exchange else {
            let name = sasl::known_name(name);
            self.failed_here(tag, Failure::UnsupportedMechanism { name });
            return Ok(());
        };
        let turn = exchange.start(initial);
        self.sasl_turn(tag.clone(), exchange, turn);
        Ok(())
    }

    /// Whether a mechanism can be used, on the list or not: a token goes to whatever host the user has,
    /// and only that one knows.
    fn serves(&self, mechanism: Mechanism) -> bool {
        let served = self.settings.mechanisms.or(Mechanisms::TOKEN);
        served.has(mechanism)
    }

    fn sasl_turn(&mut self, tag: Tag, exchange: sasl::Server, turn: Turn) {
        self.state = State::Ready;
        match turn {
            Turn::Challenge(text) => {
                self.say(format_args!("+ {text}"));
                self.state = State::Sasl(tag, exchange);
            }
            Turn::Login(login) => self.state = State::LoginDue(tag, login),
            Turn::Failed => self.failed_here(&tag, Failure::Credentials),
            Turn::Aborted => {
                self.say(format_args!("{} BAD AUTHENTICATE aborted", tag.as_str()));
            }
            Turn::NotBase64 => self.bad(Some(&tag), "expected base64"),
        }
    }

    /// What is told before login: what we serve ourselves, and how to log in.
    fn capabilities(&self) -> String {
        let mut list = String::from("CAPABILITY");
        let mut add = |item: &str| {
            list.push(' ');
            list.push_str(item);
        };
        let (starttls, may_log_in) = (self.offers_starttls(), self.may_log_in());
        match &self.settings.capabilities {
            // The operator's list, without what would be a lie on this channel.
            Some(own) => own
                .iter()
                .filter(|item| {
                    let word = item.to_ascii_uppercase();
                    (word != "STARTTLS" || starttls)
                        && (!word.starts_with("AUTH=") || may_log_in)
                        && self.may_list(&word)
                        && word != "LOGINDISABLED"
                })
                .for_each(|item| add(item)),
            None => {
                add("IMAP4rev1 SASL-IR LITERAL+ ID ENABLE");
                if starttls {
                    add("STARTTLS");
                }
                if may_log_in {
                    for mechanism in self.settings.mechanisms.iter() {
                        add(&format!("AUTH={}", mechanism.name()));
                    }
                    if self.certificate.is_some() {
                        add("AUTH=EXTERNAL");
                    }
                }
            }
        }
        if !may_log_in {
            add("LOGINDISABLED");
        }
        list
    }

    /// Whether an item of the operator's list is no lie: a mechanism must be one that is served.
    fn may_list(&self, item: &str) -> bool {
        match item.strip_prefix("AUTH=") {
            Some(sasl::EXTERNAL) => self.certificate.is_some(),
            Some(name) => Mechanism::from_name(name.as_bytes())
                .is_some_and(|mechanism| self.settings.mechanisms.has(mechanism)),
            None => true,
        }
    }

    fn offers_starttls(&self) -> bool {
        matches!(
            self.settings.channel,
            Channel::Clear {
                starttls: StartTls::Yes,
                ..
            }
        )
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

    /// Answers a whole command.
    fn answer(&mut self, command: &[u8], stray: bool) {
        let mut tokens = Tokens::new(command);
        if HTTP_VERBS.contains(&tokens.clone().word()) {
            return self.close(Closing::Http);
        }
        let Some(tag) = tokens.tag() else {
            return self.bad(None, "invalid tag");
        };
        if stray {
            return self.bad(Some(&tag), "bare CR or NUL in a command");
        }
        let done = match verb(command).as_deref() {
            Some(verb) => {
                // Both are there: `verb` has just read them.
                let _ = (tokens.space(), tokens.atom());
                match verb {
                    "CAPABILITY" => self.capability(&tag, tokens),
                    "NOOP" => self.noop(&tag, tokens),
                    "LOGOUT" => self.logout(&tag, tokens),
                    "STARTTLS" => self.starttls(&tag, tokens),
                    "ID" => self.id(&tag, tokens),
                    "ENABLE" => self.enable(&tag, tokens),
                    "LOGIN" => self.login(&tag, tokens),
                    "AUTHENTICATE" => self.authenticate(&tag, tokens),
                    _ => Err(Bad("unknown command, or one that needs a login first")),
                }
            }
            None => Err(Bad("expected a command")),
        };
        if let Err(Bad(why)) = done {
            self.bad(Some(&tag), why);
        }
    }

    fn ok(&mut self, tag: &Tag, text: &str) {
        self.say(format_args!("{} OK {text}", tag.as_str()));
    }

    fn fail(&mut self, tag: &Tag, failure: &Failure) {
        let words = reply::failure(tag, failure, &self.settings.session);
        self.out.extend_from_slice(&words);
    }

    /// A login attempt that fails here.
    fn refuse(&mut self, tag: &Tag, failure: Failure) {
        self.fail(tag, &failure);
        self.refused = Some(failure);
    }

    /// Credentials that nobody can have, or a way to show them that is not offered: a failed login without
    /// asking the host. Counted as a bad command, since no other count sees it.
    fn failed_here(&mut self, tag: &Tag, failure: Failure) {
        self.refuse(tag, failure);
        self.count_bad();
    }

    /// BAD, counted; a tag that is none is not echoed.
    fn bad(&mut self, tag: Option<&Tag>, why: &str) {
        let tag = tag.map_or("*", Tag::as_str);
        self.say(format_args!("{tag} BAD {why}"));
        self.count_bad();
    }

    fn count_bad(&mut self) {
        self.bad_commands = self.bad_commands.saturating_add(1);
        if self.bad_commands >= self.settings.bad_commands {
            let goodbye = format_args!("* BYE too many bad commands");
            self.end(Closing::BadCommands, goodbye);
        }
    }

    fn say(&mut self, line: std::fmt::Arguments) {
        self.out.extend_from_slice(line.to_string().as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// Closes with a goodbye, unless one was said already.
    fn end(&mut self, why: Closing, goodbye: std::fmt::Arguments) {
        if !matches!(self.state, State::Closed(_)) {
            self.say(goodbye);
            self.close(why);
        }
    }

    fn close(&mut self, why: Closing) {
        self.forget();
        self.state = State::Closed(why);
    }

    /// Drops and wipes everything the client sent.
    fn forget(&mut self) {
        self.lines.clear();
        self.command = Octets::default();
        self.literal = None;
        self.capability = Asked::No;
        self.ttl = None;
    }
}

/// `id_params_list = "(" *(string SP nstring) ")"`, bounded. What is taken from it is the lowest
/// `x-proxy-ttl`.
fn id_params(args: &mut Tokens) -> Result<Option<u8>, Bad> {
    if !args.take(b'(') {
        return Err(Bad("expected a list or NIL"));
    }
    let mut ttl = None;
    for pair in 0..=ID_PAIRS {
        if args.take(b')') {
            return Ok(ttl);
        }
        if pair > 0 {
            args.space()?;
        }
        let field = args.string()?;
        args.space()?;
        let value = args.nstring()?;
        if field.len() > ID_FIELD || value.as_ref().is_some_and(|value| value.len() > ID_VALUE) {
            return Err(Bad("ID field or value too long"));
        }
        if field.eq_ignore_ascii_case(b"x-proxy-ttl") {
            ttl =
                protocol::login::lowest(ttl, value.and_then(|value| protocol::login::ttl(&value)));
        }
    }
    Err(Bad("too many ID fields"))
}
