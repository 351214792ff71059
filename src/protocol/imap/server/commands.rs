//! The commands that a client may give before login, one method each, and what their RFCs say of them.

use super::{Asked, Server, State};
use crate::protocol::imap::grammar::{Bad, Tag, Tokens};
use crate::protocol::sasl::{self, Mechanism};
use crate::protocol::{
    self, Channel, Closing, Credentials, Failure, Login, Refused, Secret, StartTls, UserName,
};

/// RFC 2971 §3.3: at most 30 pairs, fields of 30 octets, values of 1024.
const ID_PAIRS: usize = 30;
const ID_FIELD: usize = 30;
const ID_VALUE: usize = 1024;

impl Server {
    /// CAPABILITY (RFC 9051 §6.1.1)
    pub(super) fn capability(&mut self, tag: &Tag, args: Tokens) -> Result<(), Bad> {
        args.end()?;
        self.capability = Asked::Yes;
        self.say(format_args!("* {}", self.capabilities()));
        self.ok(tag, "CAPABILITY completed");
        Ok(())
    }

    /// NOOP (RFC 9051 §6.1.2)
    pub(super) fn noop(&mut self, tag: &Tag, args: Tokens) -> Result<(), Bad> {
        args.end()?;
        self.ok(tag, "NOOP completed");
        Ok(())
    }

    /// LOGOUT (RFC 9051 §6.1.3): BYE first, then the tagged OK.
    pub(super) fn logout(&mut self, tag: &Tag, args: Tokens) -> Result<(), Bad> {
        args.end()?;
        self.say(format_args!("* BYE logging out"));
        self.ok(tag, "LOGOUT completed");
        self.close(Closing::Logout);
        Ok(())
    }

    /// STARTTLS (RFC 9051 §6.2.1). This is the one switch to TLS: whatever came in the same burst
    /// came from anybody, and is dropped here, before a handshake can make it look trusted.
    pub(super) fn starttls(&mut self, tag: &Tag, args: Tokens) -> Result<(), Bad> {
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
    pub(super) fn id(&mut self, tag: &Tag, mut args: Tokens) -> Result<(), Bad> {
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
    pub(super) fn enable(&mut self, tag: &Tag, mut args: Tokens) -> Result<(), Bad> {
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
    pub(super) fn login(&mut self, tag: &Tag, mut args: Tokens) -> Result<(), Bad> {
        args.space()?;
        let name = args.astring()?;
        args.space()?;
        let password = args.astring()?;
        args.end()?;
        let user = UserName::new(&name).ok();
        let mechanism = protocol::Mechanism::Login;
        let refused = |failure, user| Refused {
            failure,
            user,
            mechanism: Some(mechanism),
        };
        if !self.may_log_in() {
            self.refuse(tag, refused(Failure::PrivacyRequired, user));
            return Ok(());
        }
        match (user, Secret::new(&password)) {
            (Some(user), Ok(secret)) => {
                let login = Login {
                    user,
                    credentials: Credentials::Password(secret),
                    mechanism,
                };
                self.state = State::LoginDue(tag.clone(), login);
            }
            (user, _) => self.failed_here(tag, refused(Failure::Credentials, user)),
        }
        Ok(())
    }

    /// AUTHENTICATE (RFC 9051 §6.2.2, RFC 4959 §3):
    /// `authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp] *(CRLF base64)`
    pub(super) fn authenticate(&mut self, tag: &Tag, mut args: Tokens) -> Result<(), Bad> {
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
            let refused = Refused {
                failure: Failure::PrivacyRequired,
                user: None,
                mechanism: Mechanism::from_name(name).map(Mechanism::of_login),
            };
            self.refuse(tag, refused);
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
