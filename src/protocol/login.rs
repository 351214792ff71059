//! What a client shows when it logs in: names and secrets that cannot break a line.
//!
//! [`UserName`] and [`Secret`] hold no control characters by construction, so nothing a client
//! typed can end a command towards a host, a log line, a cache key or an HTTP header early. Parse
//! once here; everything below can rely on it.

use std::fmt;
use std::sync::Arc;

use memchr::memmem;

use super::Failure;
use super::line::Octets;
use super::sasl::{self, ClientFirst, Token};

/// Stands for somebody's words that hold a [proof](Credentials::proof).
pub const WITHHELD: &str = "(withheld: it repeats the password)";

/// A login attempt, as a client made it.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name as typed.
    pub user: UserName,
    /// What proves it.
    pub credentials: Credentials,
    /// How it was shown.
    pub mechanism: Mechanism,
}

/// What a client proves its name with.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A password, to be sent to the host by whatever login the host can do.
    Password(Secret),
    /// The certificate of its TLS connection, verified already: nothing that could be shown to a
    /// host.
    Certificate,
    /// An OAuth token, for a host that takes one. It goes there as it came.
    Token(Token),
    /// The first message of SCRAM: the proof that follows is for the host alone.
    Scram(ClientFirst),
}

impl Credentials {
    /// A password, if it is one: it can be shown to a host in whatever way that takes.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Credentials::Password(secret) => Some(secret),
            Credentials::Certificate | Credentials::Token(_) | Credentials::Scram(_) => None,
        }
    }

    /// What must not be seen by anybody but who judges it; empty: nothing.
    pub fn proof(&self) -> &[u8] {
        match self {
            Credentials::Password(secret) => secret.reveal(),
            Credentials::Token(token) => token.bearer(),
            Credentials::Certificate | Credentials::Scram(_) => b"",
        }
    }

    /// Whether somebody's words hold the proof, as it is or with backslashes before some of its octets: then
    /// nobody is to read them.
    pub fn is_repeated_by(&self, words: &[u8]) -> bool {
        let repeats = |words: &[u8], secret: &[u8]| {
            !secret.is_empty() && memmem::find(words, secret).is_some()
        };
        let bare = |octets: &[u8]| -> Octets {
            Octets::new(octets.iter().copied().filter(|b| *b != b'\\').collect())
        };
        repeats(words, self.proof()) || repeats(&bare(words), &bare(self.proof()))
    }

    /// The one mechanism that a host must know for them, where they cannot be shown in any other way.
    pub fn relayed(&self) -> Option<sasl::Mechanism> {
        match self {
            Credentials::Password(_) | Credentials::Certificate => None,
            Credentials::Token(token) => Some(token.mechanism()),
            Credentials::Scram(first) => Some(first.mechanism()),
        }
    }

    /// Why a login with them fails where they are of no use, for this cause. Tokens are taken of whoever shows
    /// one: what comes of it is not to tell strangers whether there is a host for the user.
    pub fn not_taken(&self, cause: String) -> Failure {
        match self {
            Credentials::Token(_) => Failure::NotTaken { cause },
            _ => Failure::HostSetup { cause },
        }
    }

    /// How many octets they hold.
    pub fn size(&self) -> usize {
        match self {
            Credentials::Password(secret) => secret.reveal().len(),
            Credentials::Certificate => 0,
            Credentials::Token(token) => token.size(),
            Credentials::Scram(first) => first.message().len(),
        }
    }
}

/// How credentials were shown, for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// IMAP LOGIN (RFC 9051 §6.2.3).
    Login,
    /// POP3 USER and PASS (RFC 1939 §7).
    UserPass,
    /// SASL PLAIN (RFC 4616).
    SaslPlain,
    /// SASL LOGIN (draft-murchison-sasl-login).
    SaslLogin,
    /// SASL EXTERNAL (RFC 4422 appendix A): the client's certificate.
    SaslExternal,
    /// SASL XOAUTH2.
    SaslXOAuth2,
    /// SASL OAUTHBEARER (RFC 7628).
    SaslOAuthBearer,
    /// SASL SCRAM-SHA-1 (RFC 5802).
    SaslScramSha1,
    /// SASL SCRAM-SHA-256 (RFC 7677).
    SaslScramSha256,
}

impl Mechanism {
    /// The word of the log: `LOGIN`, `USER`, `SASL-LOGIN`, else SASL's own name.
    pub fn as_str(self) -> &'static str {
        match self {
            Mechanism::Login => "LOGIN",
            Mechanism::UserPass => "USER",
            Mechanism::SaslPlain => "PLAIN",
            Mechanism::SaslLogin => "SASL-LOGIN",
            Mechanism::SaslExternal => "EXTERNAL",
            Mechanism::SaslXOAuth2 => "XOAUTH2",
            Mechanism::SaslOAuthBearer => "OAUTHBEARER",
            Mechanism::SaslScramSha1 => "SCRAM-SHA-1",
            Mechanism::SaslScramSha256 => "SCRAM-SHA-256",
        }
    }
}

/// Why octets are no [`UserName`] or [`Secret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Nothing there.
    Empty,
    /// A control character (C0, DEL; for names also C1).
    Control,
    /// A name that is not UTF-8.
    NotUtf8,
    /// Longer than [`UserName::MAX`] or [`Secret::MAX`].
    TooLong,
}

/// A user's login name: UTF-8, not empty, no control characters, at most 512 octets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Box<str>);

impl UserName {
    /// Longest name in octets. RFC 5321 bounds an address by 254; some sites use DNs.
    pub const MAX: usize = 512;

    /// Takes octets as a client sent them.
    pub fn new(octets: &[u8]) -> Result<Self, Unfit> {
        Self::check(octets).map(|text| UserName(text.into()))
    }

    /// Whether these octets are a name: its text.
    pub fn check(octets: &[u8]) -> Result<&str, Unfit> {
        if octets.is_empty() {
            return Err(Unfit::Empty);
        }
        if octets.len() > Self::MAX {
            return Err(Unfit::TooLong);
        }
        let text = std::str::from_utf8(octets).map_err(|_| Unfit::NotUtf8)?;
        if text.chars().any(char::is_control) {
            return Err(Unfit::Control);
        }
        Ok(text)
    }

    /// Stands where no name is told.
    pub fn nobody() -> Self {
        UserName("nobody".into())
    }

    /// The name as it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the last `@`, or the whole name.
    pub fn local(&self) -> &str {
        self.0.rsplit_once('@').map_or(&*self.0, |(local, _)| local)
    }

    /// The part behind the last `@`, if there is one.
    pub fn domain(&self) -> Option<&str> {
        self.0.rsplit_once('@').map(|(_, domain)| domain)
    }

    /// The key of hash, pins, locks and limits: ASCII-lowercased.
    pub fn canonical(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A password or token: not empty, no NUL, CR, LF or other ASCII control character. Wiped from
/// memory when the last copy is dropped, which all share; `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Octets>);

impl Secret {
    /// Longest secret in octets; OAuth tokens of 12 KiB must work.
    pub const MAX: usize = 24 * 1024;

    /// Takes octets as a client sent them. They need not be UTF-8: old clients send Latin-1.
    pub fn new(octets: &[u8]) -> Result<Self, Unfit> {
        if octets.is_empty() {
            return Err(Unfit::Empty);
        }
        if octets.len() > Self::MAX {
            return Err(Unfit::TooLong);
        }
        if octets.iter().any(u8::is_ascii_control) {
            return Err(Unfit::Control);
        }
        Ok(Secret(Arc::new(Octets::new(octets.to_vec()))))
    }

    /// The octets themselves: for the host's login only.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Reads how many more gateways a login may pass, as a gateway in front of us wrote it. What is no
/// number says nothing; more than 255 is as good as 255.
pub(super) fn ttl(digits: &[u8]) -> Option<u8> {
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(u8::try_from(number).unwrap_or(u8::MAX))
}

/// The lower of two, where there are two.
pub(super) fn lowest(a: Option<u8>, b: Option<u8>) -> Option<u8> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_show_how_much_there_is_and_not_what() {
        use crate::protocol::{HostStep, Step, Welcome};
        let octets = || b"a1 LOGIN alice hunter2\r\n".to_vec();
        let welcome = Welcome {
            text: "hunter2".into(),
            untagged: octets(),
            rest: octets(),
            ..Welcome::default()
        };
        for shown in [
            format!("{:?}", Step::Write(octets())),
            format!("{:?}", HostStep::Write(octets())),
            format!("{:?}", HostStep::Done(Box::new(welcome))),
        ] {
            assert!(shown.contains("24"), "{shown}");
            for secret in ["hunter2", "104, 117, 110"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }

    #[test]
    fn names_hold_no_control_characters() {
        for (octets, want) in [
            (&b""[..], Err(Unfit::Empty)),
            (b"a\rb", Err(Unfit::Control)),
            (b"a\nb", Err(Unfit::Control)),
            (b"a\0b", Err(Unfit::Control)),
            (b"a\x7fb", Err(Unfit::Control)),
            ("a\u{85}b".as_bytes(), Err(Unfit::Control)),
            (b"a\xffb", Err(Unfit::NotUtf8)),
            (&[b'a'; 513], Err(Unfit::TooLong)),
        ] {
            assert_eq!(
                UserName::new(octets).map(|u| u.to_string()),
                want.map(|()| String::new())
            );
        }
        assert_eq!(
            UserName::new("jürgen@x".as_bytes()).unwrap().as_str(),
            "jürgen@x"
        );
    }

    #[test]
    fn names_split_at_the_last_at_sign() {
        let user = UserName::new(b"\"a@b\"@Example.ORG").unwrap();
        assert_eq!(
            (user.local(), user.domain()),
            ("\"a@b\"", Some("Example.ORG"))
        );
        assert_eq!(user.canonical(), "\"a@b\"@example.org");
        let plain = UserName::new(b"bob").unwrap();
        assert_eq!((plain.local(), plain.domain()), ("bob", None));
    }

    #[test]
    fn secrets_do_not_print() {
        let secret = Secret::new("hünter 2\"\\".as_bytes()).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert_eq!(Secret::new(b"a\r\nb"), Err(Unfit::Control));
        assert_eq!(Secret::new(b""), Err(Unfit::Empty));
        assert!(Secret::new(b"latin1 \xfc").is_ok());
    }
}
