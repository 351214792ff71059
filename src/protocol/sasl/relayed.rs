//! An exchange that goes on between a client and its host, the gateway in between: what either says,
//! and how long it may last.

use std::fmt;

use super::{Mechanism, decode, encode};
use crate::protocol::Credentials;
use crate::protocol::UserName;
use crate::protocol::line::Octets;

/// One message of an exchange, decoded: what was not strict base64 is none. `Debug` shows nothing of
/// it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Message(Octets);

impl Message {
    /// Takes base64 text as it stands on the wire; nothing at all is an empty message.
    pub fn from_base64(text: &[u8]) -> Option<Self> {
        decode(text).map(Message)
    }

    /// What a host says to a token that it does not take (RFC 7628 §3.2.2).
    pub fn wrong_token() -> Self {
        let error = br#"{"status":"401","schemes":"bearer","scope":"mail"}"#;
        Message(Octets::new(error.to_vec()))
    }

    /// As it stands on the wire.
    pub fn to_base64(&self) -> Octets {
        encode(&self.0)
    }

    /// How many octets it has.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} octets)", self.size())
    }
}

/// A client's answer to a host's challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// For the host.
    Message(Message),
    /// The client gave the exchange up, or is gone.
    Abort,
}

/// The host's side of a relayed exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    mechanism: Mechanism,
    challenges: u8,
}

impl Relayed {
    /// For credentials that are relayed; none: a host checks these with one message.
    pub fn new(credentials: &Credentials) -> Option<Self> {
        Some(Relayed {
            mechanism: credentials.relayed()?,
            challenges: 0,
        })
    }

    /// The mechanism that the host must know.
    pub fn mechanism(self) -> Mechanism {
        self.mechanism
    }

    /// Takes a host's challenge. An error of OAuth is one; SCRAM has two, and no more may come, or an
    /// exchange would never end.
    pub fn challenge(&mut self, text: &[u8]) -> Option<Message> {
        let most = match self.mechanism {
            Mechanism::ScramSha1 | Mechanism::ScramSha256 => 2,
            _ => 1,
        };
        self.challenges = self.challenges.saturating_add(1);
        Message::from_base64(text).filter(|_| self.challenges <= most)
    }

    /// Whether the host may say yes now. In SCRAM not before it has proved that it knows the password
    /// too, which the client must have seen (RFC 5802 §5); a yes to an OAuth error is none.
    pub fn may_succeed(self) -> bool {
        self.challenges
            == match self.mechanism {
                Mechanism::ScramSha1 | Mechanism::ScramSha256 => 2,
                _ => 0,
            }
    }

    /// Whether anything was passed on to the client: then no other host can take over.
    pub fn begun(self) -> bool {
        self.challenges > 0
    }
}

/// The first message to a host, as base64 text, of credentials that are relayed.
pub fn first(user: &UserName, credentials: &Credentials) -> Option<Octets> {
    match credentials {
        Credentials::Token(token) => Some(encode(&token.message(user))),
        Credentials::Scram(first) => Some(encode(first.message())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_strict_base64() {
        for (text, size) in [("", Some(0)), ("AQ==", Some(1)), ("AQ", None), ("*", None)] {
            let message = Message::from_base64(text.as_bytes());
            assert_eq!(message.as_ref().map(Message::size), size, "{text}");
            if let Some(message) = message {
                assert_eq!(&message.to_base64()[..], text.as_bytes());
                assert!(!format!("{message:?}").contains("AQ"));
            }
        }
    }

    #[test]
    fn an_exchange_ends() {
        for (mechanism, most) in [
            (Mechanism::XOAuth2, 1),
            (Mechanism::OAuthBearer, 1),
            (Mechanism::ScramSha1, 2),
            (Mechanism::ScramSha256, 2),
        ] {
            let mut relayed = Relayed {
                mechanism,
                challenges: 0,
            };
            assert_eq!(relayed.may_succeed(), most == 1);
            for _ in 0..most {
                assert!(relayed.challenge(b"eA==").is_some());
            }
            assert_eq!(relayed.may_succeed(), most == 2);
            assert!(relayed.challenge(b"eA==").is_none());
            assert!(!relayed.may_succeed());
        }
    }
}
