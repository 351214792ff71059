//! SASL mechanisms (RFC 4422), both directions: [`Server`] towards mail clients, [`Client`] towards
//! mail hosts.
//!
//! Both speak the base64 text that IMAP (RFC 9051 §6.2.2, RFC 4959) and POP3 (RFC 5034) put on the
//! wire, without the `+ ` and the line end around it. Base64 is strict (RFC 4648 §3), since lenient
//! decoders read one text in several ways. A new exchange starts with a new value: nothing of an
//! aborted one is left.
//!
//! Passwords (PLAIN, LOGIN) are read whole, to be shown to a host in whatever way it takes. Tokens
//! ([`token`]) and SCRAM ([`scram`]) are read for their name and [`relayed`].

mod client;
pub mod relayed;
pub mod scram;
mod server;
#[cfg(test)]
mod tests;
pub mod token;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::line::Octets;
use super::login;
pub use client::{Client, Exhausted};
pub use relayed::{Answer, Message, Relayed};
pub use scram::ClientFirst;
pub use server::{Server, Turn};
pub use token::Token;

/// Longest base64 text of one message, in octets: what a [`Secret`](super::Secret) of the longest kind takes, with
/// its name beside it cut short. Tokens of 12 KiB must work.
pub const MAX_LINE: usize = 32 * 1024;

/// What is left of it in any case: tokens of 12,000 octets, with what stands before them.
const LEAST_LINE: usize = 16 * 1024;

/// The longest line where so many octets are held beside it, which take more memory than they are.
pub(super) fn longest_beside(octets: usize) -> usize {
    let taken = octets.saturating_add(octets / 2);
    MAX_LINE.saturating_sub(taken).max(LEAST_LINE)
}

/// A mechanism we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// PLAIN (RFC 4616).
    Plain,
    /// LOGIN (draft-murchison-sasl-login), for Outlook and old phones.
    Login,
    /// XOAUTH2, of Google and Microsoft.
    XOAuth2,
    /// OAUTHBEARER (RFC 7628).
    OAuthBearer,
    /// SCRAM-SHA-1 (RFC 5802).
    ScramSha1,
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
}

impl Mechanism {
    /// Every mechanism, in the order they are offered.
    pub const ALL: [Mechanism; 6] = [
        Mechanism::Plain,
        Mechanism::Login,
        Mechanism::XOAuth2,
        Mechanism::OAuthBearer,
        Mechanism::ScramSha1,
        Mechanism::ScramSha256,
    ];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::XOAuth2 => "XOAUTH2",
            Mechanism::OAuthBearer => "OAUTHBEARER",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// By its registered name, in any case.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|m| m.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// What a login by it is called.
    pub fn of_login(self) -> login::Mechanism {
        match self {
            Mechanism::Plain => login::Mechanism::SaslPlain,
            Mechanism::Login => login::Mechanism::SaslLogin,
            Mechanism::XOAuth2 => login::Mechanism::SaslXOAuth2,
            Mechanism::OAuthBearer => login::Mechanism::SaslOAuthBearer,
            Mechanism::ScramSha1 => login::Mechanism::SaslScramSha1,
            Mechanism::ScramSha256 => login::Mechanism::SaslScramSha256,
        }
    }

    /// Its own bit of [`Mechanisms`].
    fn bit(self) -> u8 {
        match self {
            Mechanism::Plain => 1,
            Mechanism::Login => 2,
            Mechanism::XOAuth2 => 4,
            Mechanism::OAuthBearer => 8,
            Mechanism::ScramSha1 => 16,
            Mechanism::ScramSha256 => 32,
        }
    }
}

/// A set of mechanisms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mechanisms(u8);

impl Mechanisms {
    /// None.
    pub const NONE: Mechanisms = Mechanisms(0);
    /// Every one we speak.
    pub const ALL: Mechanisms = Mechanisms(63);
    /// Those that show a password, which can be served whatever the host can do.
    pub const PASSWORD: Mechanisms = Mechanisms(1 | 2);
    /// Those that show a token.
    pub const TOKEN: Mechanisms = Mechanisms(4 | 8);
    /// Those that prove a password without showing it.
    pub const SCRAM: Mechanisms = Mechanisms(16 | 32);

    /// With one more.
    #[must_use]
    pub fn with(self, mechanism: Mechanism) -> Self {
        Mechanisms(self.0 | mechanism.bit())
    }

    /// Those of either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Mechanisms(self.0 | other.0)
    }

    /// Those that are not of the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Mechanisms(self.0 & !other.0)
    }

    /// Those of which names name the kind that is bound to the channel: SCRAM whose `-PLUS` is there, too.
    /// Such a host's are not offered to clients: one that could bind, and finds no `-PLUS` here, says so
    /// (`y`), and the host must take that for somebody in the middle (RFC 5802 §6) and tells a wrong password.
    pub fn bound<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let bare = |name: &'a [u8]| {
            let (bare, plus) = name.split_at_checked(name.len().checked_sub(5)?)?;
            let plus = plus.eq_ignore_ascii_case(b"-PLUS");
            plus.then(|| Mechanism::from_name(bare)).flatten()
        };
        names.filter_map(bare).collect()
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Mechanisms(self.0 & other.0)
    }

    /// Whether it is one of them.
    pub fn has(self, mechanism: Mechanism) -> bool {
        self.0 & mechanism.bit() != 0
    }

    /// Each of them, in the order they are offered.
    pub fn iter(self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL
            .into_iter()
            .filter(move |mechanism| self.has(*mechanism))
    }
}

impl FromIterator<Mechanism> for Mechanisms {
    fn from_iter<T: IntoIterator<Item = Mechanism>>(all: T) -> Self {
        all.into_iter().fold(Self::default(), Self::with)
    }
}

/// The registered name of EXTERNAL (RFC 4422 appendix A): the client's certificate says who it is.
/// Offered only to a client that has shown one, so it is none of [`Mechanism::ALL`].
pub const EXTERNAL: &str = "EXTERNAL";

/// `saslname = 1*(value-safe-char / "=2C" / "=3D")` (RFC 5801 §4), decoded: a comma and an equals sign
/// stand for nothing else.
fn of_saslname(name: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        plain.push(match octet {
            b',' => return None,
            b'=' => {
                let (code, tail) = tail.split_at_checked(2)?;
                rest = tail;
                match code {
                    b"2C" | b"2c" => b',',
                    b"3D" | b"3d" => b'=',
                    _ => return None,
                }
            }
            other => other,
        });
    }
    Some(plain)
}

/// The other way around.
fn to_saslname(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// Mechanisms that mail clients try and that are not among [ours](Mechanism): of IANA's registry, and POP3's own.
const OTHERS: [&str; 15] = [
    "ANONYMOUS",
    "APOP",
    "CRAM-MD5",
    "DIGEST-MD5",
    EXTERNAL,
    "GS2-KRB5",
    "GSS-SPNEGO",
    "GSSAPI",
    "KERBEROS_V4",
    "KERBEROS_V5",
    "NTLM",
    "OTP",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-512",
];

/// A mechanism's name for the log. A client's own words do not go there: what stands in the place of a
/// name may be a password.
pub fn known_name(name: &[u8]) -> &'static str {
    let ours = Mechanism::ALL.map(Mechanism::name);
    let mut known = ours.into_iter().chain(OTHERS);
    let found = known.find(|known| known.as_bytes().eq_ignore_ascii_case(name));
    found.unwrap_or("an unknown one")
}

fn decode(text: &[u8]) -> Option<Octets> {
    if text.len() > MAX_LINE {
        return None;
    }
    // The buffer is made here, so that it is wiped whatever comes of it.
    let mut octets = Octets::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let length = BASE64.decode_slice(text, &mut octets).ok()?;
    octets.truncate(length);
    Some(octets)
}

fn encode(octets: &[u8]) -> Octets {
    let length = base64::encoded_len(octets.len(), true).unwrap_or(0);
    let mut text = Octets::new(vec![0; length]);
    // Fails only for a buffer that is too short, which this one is not.
    let written = BASE64.encode_slice(octets, &mut text).unwrap_or(0);
    text.truncate(written);
    text
}
