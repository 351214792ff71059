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

pub mod relayed;
pub mod scram;
pub mod token;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::line::Octets;
use super::{Credentials, Login, Secret, UserName, login};
pub use relayed::{Answer, Message, Relayed};
pub use scram::ClientFirst;
pub use token::Token;

/// Longest base64 text of one message, in octets: what a [`Secret`] of the longest kind takes, with
/// its name beside it cut short. Tokens of 12 KiB must work.
pub const MAX_LINE: usize = 32 * 1024;

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

/// The server's side of one exchange.
pub struct Server(Expects);

/// What the client's next message is.
enum Expects {
    Plain,
    LoginName,
    /// The name was shown; one that cannot be a name fails when the password is there too.
    LoginPassword(Option<UserName>),
    /// The name in the client's certificate.
    External(UserName),
    /// XOAUTH2, OAUTHBEARER.
    Token(Mechanism),
    /// SCRAM's first message; the others are between the client and the host.
    ClientFirst(Mechanism),
    Nothing,
}

/// What follows from a client's message.
#[derive(Debug)]
pub enum Turn {
    /// Send this base64 text as the next challenge; it may be empty.
    Challenge(&'static str),
    /// The client showed credentials: the exchange is over for us.
    Login(Login),
    /// They cannot be valid (empty, control characters, another's identity asked for): a failed
    /// login without asking anybody. The exchange is over.
    Failed,
    /// The client sent `*`. The exchange is over.
    Aborted,
    /// The message is not base64. The exchange is over.
    NotBase64,
}

/// `Username:` and `Password:` in base64, as the clients of old expect them.
const LOGIN_NAME: &str = "VXNlcm5hbWU6";
const LOGIN_PASSWORD: &str = "UGFzc3dvcmQ6";

impl Server {
    /// An exchange that nothing was said in yet.
    pub fn new(mechanism: Mechanism) -> Self {
        Server(match mechanism {
            Mechanism::Plain => Expects::Plain,
            Mechanism::Login => Expects::LoginName,
            Mechanism::XOAuth2 | Mechanism::OAuthBearer => Expects::Token(mechanism),
            Mechanism::ScramSha1 | Mechanism::ScramSha256 => Expects::ClientFirst(mechanism),
        })
    }

    /// An exchange of [`EXTERNAL`] with a client whose certificate bears this name.
    pub fn external(name: UserName) -> Self {
        Server(Expects::External(name))
    }

    /// Opens the exchange. `initial` is the initial response as it stood on the command's line, if
    /// there was one; `=` is an empty one (RFC 4959 §3).
    pub fn start(&mut self, initial: Option<&[u8]>) -> Turn {
        match (initial, &self.0) {
            (Some(b"="), _) => self.message(Octets::default()),
            (Some(text), _) => self.answer(text),
            (None, Expects::LoginName) => Turn::Challenge(LOGIN_NAME),
            (None, _) => Turn::Challenge(""),
        }
    }

    /// Takes the client's answer to a challenge: one line, without its line end.
    pub fn answer(&mut self, line: &[u8]) -> Turn {
        if line == b"*" {
            self.0 = Expects::Nothing;
            return Turn::Aborted;
        }
        match decode(line) {
            Some(message) => self.message(message),
            None => {
                self.0 = Expects::Nothing;
                Turn::NotBase64
            }
        }
    }

    fn message(&mut self, message: Octets) -> Turn {
        match std::mem::replace(&mut self.0, Expects::Nothing) {
            Expects::Plain => plain(&message),
            Expects::LoginName => {
                self.0 = Expects::LoginPassword(UserName::new(&message).ok());
                Turn::Challenge(LOGIN_PASSWORD)
            }
            Expects::External(name) => external(name, &message),
            Expects::LoginPassword(name) => shown(name, &message, login::Mechanism::SaslLogin),
            Expects::Token(mechanism) => match Token::parse(mechanism, message) {
                Some(token) => Turn::Login(Login {
                    user: token.user().clone(),
                    mechanism: match mechanism {
                        Mechanism::XOAuth2 => login::Mechanism::SaslXOAuth2,
                        _ => login::Mechanism::SaslOAuthBearer,
                    },
                    credentials: Credentials::Token(token),
                }),
                None => Turn::Failed,
            },
            Expects::ClientFirst(mechanism) => match ClientFirst::parse(mechanism, message) {
                Some(first) => Turn::Login(Login {
                    user: first.user().clone(),
                    mechanism: match mechanism {
                        Mechanism::ScramSha1 => login::Mechanism::SaslScramSha1,
                        _ => login::Mechanism::SaslScramSha256,
                    },
                    credentials: Credentials::Scram(first),
                }),
                None => Turn::Failed,
            },
            Expects::Nothing => Turn::Failed,
        }
    }
}

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

/// `message = [authzid] UTF8NUL authcid UTF8NUL passwd` (RFC 4616 §2). An authzid that is another's
/// name would log in as somebody the routing never saw: refused.
fn plain(message: &[u8]) -> Turn {
    let mut parts = message.split(|&octet| octet == 0);
    let (Some(authzid), Some(authcid), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Turn::Failed;
    };
    if !authzid.is_empty() && authzid != authcid {
        return Turn::Failed;
    }
    shown(
        UserName::new(authcid).ok(),
        password,
        login::Mechanism::SaslPlain,
    )
}

/// `initial-response = *( UTF8-char-no-nul )`: an authzid. One that is not the certificate's own name
/// would log in as somebody the certificate does not speak for: refused.
fn external(name: UserName, authzid: &[u8]) -> Turn {
    if !authzid.is_empty() && authzid != name.as_str().as_bytes() {
        return Turn::Failed;
    }
    Turn::Login(Login {
        user: name,
        credentials: Credentials::Certificate,
        mechanism: login::Mechanism::SaslExternal,
    })
}

fn shown(user: Option<UserName>, password: &[u8], mechanism: login::Mechanism) -> Turn {
    match (user, Secret::new(password)) {
        (Some(user), Ok(secret)) => Turn::Login(Login {
            user,
            credentials: Credentials::Password(secret),
            mechanism,
        }),
        _ => Turn::Failed,
    }
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

/// The client's side of one exchange. What it hands out holds credentials: never log it.
pub struct Client(Sends);

/// Our next message.
#[derive(Clone, Copy)]
enum Sends {
    Plain,
    LoginName,
    LoginPassword,
    Nothing,
}

/// The server asked for more than the mechanism has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl Client {
    /// PLAIN, nothing said yet.
    pub fn plain() -> Self {
        Client(Sends::Plain)
    }

    /// LOGIN, nothing said yet.
    pub fn login() -> Self {
        Client(Sends::LoginName)
    }

    /// The next message as base64 text: an initial response where the server takes one (RFC 4959;
    /// ours are never empty, so `=` is not needed), else the answer to a challenge. What a challenge
    /// says is not looked at: in these mechanisms it is decoration, and servers word it differently.
    /// `user` and `password` are the same at every call; the exchange keeps no copy of them.
    pub fn message(&mut self, user: &UserName, password: &Secret) -> Result<Octets, Exhausted> {
        let name = user.as_str().as_bytes();
        let (text, next) = match self.0 {
            Sends::Plain => (encode(&plain_message(name, password)), Sends::Nothing),
            Sends::LoginName => (encode(name), Sends::LoginPassword),
            Sends::LoginPassword => (encode(password.reveal()), Sends::Nothing),
            Sends::Nothing => return Err(Exhausted),
        };
        self.0 = next;
        Ok(text)
    }
}

fn plain_message(name: &[u8], password: &Secret) -> Octets {
    let password = password.reveal();
    let mut message = Octets::new(Vec::with_capacity(
        name.len().saturating_add(password.len()).saturating_add(2),
    ));
    message.push(0);
    message.extend_from_slice(name);
    message.push(0);
    message.extend_from_slice(password);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(turn: Turn) -> String {
        match turn {
            Turn::Challenge(text) => format!("+ {text}"),
            Turn::Login(login) => {
                let secret = login.credentials.secret().map_or(&b""[..], Secret::reveal);
                format!(
                    "{} {} {}",
                    login.mechanism.as_str(),
                    login.user,
                    String::from_utf8_lossy(secret)
                )
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn plain_messages() {
        for (message, want) in [
            // RFC 4616 §4, both examples; the second asks for another's identity.
            (
                &b"\0tim\0tanstaaftanstaaf"[..],
                "PLAIN tim tanstaaftanstaaf",
            ),
            (b"Ursel\0Kurt\0xipj3plmq", "Failed"),
            (b"tim\0tim\0a b\"\\c", "PLAIN tim a b\"\\c"),
            ("\0jürgen\0pässwörd".as_bytes(), "PLAIN jürgen pässwörd"),
            (b"\0tim\0", "Failed"),
            (b"\0\0secret", "Failed"),
            (b"\0tim\0a\0b", "Failed"),
            (b"tim\0secret", "Failed"),
            (b"", "Failed"),
            (b"\0tim\0a\r\nb", "Failed"),
            (b"\0t\x01m\0ab", "Failed"),
            (b"TIM\0tim\0secret", "Failed"),
        ] {
            let text = BASE64.encode(message);
            let mut late = Server::new(Mechanism::Plain);
            assert_eq!(told(late.start(None)), "+ ");
            assert_eq!(told(late.answer(text.as_bytes())), want);
            if !message.is_empty() {
                let mut early = Server::new(Mechanism::Plain);
                assert_eq!(told(early.start(Some(text.as_bytes()))), want);
            }
        }
    }

    #[test]
    fn login_in_two_steps_or_one() {
        let mut server = Server::new(Mechanism::Login);
        assert_eq!(told(server.start(None)), "+ VXNlcm5hbWU6");
        assert_eq!(told(server.answer(b"dGlt")), "+ UGFzc3dvcmQ6");
        assert_eq!(told(server.answer(b"c2VjcmV0")), "SASL-LOGIN tim secret");
        assert_eq!(told(server.answer(b"c2VjcmV0")), "Failed", "it is over");

        let mut server = Server::new(Mechanism::Login);
        assert_eq!(told(server.start(Some(b"dGlt"))), "+ UGFzc3dvcmQ6");
        assert_eq!(told(server.answer(b"")), "Failed");

        let mut server = Server::new(Mechanism::Login);
        assert_eq!(told(server.start(Some(b"="))), "+ UGFzc3dvcmQ6");
        assert_eq!(told(server.answer(b"c2VjcmV0")), "Failed");
    }

    #[test]
    fn external_is_the_certificate_and_nobody_else() {
        let certificate = UserName::new(b"tim@example.org").unwrap();
        for (authzid, want) in [
            ("", "EXTERNAL tim@example.org "),
            ("tim@example.org", "EXTERNAL tim@example.org "),
            ("TIM@example.org", "Failed"),
            ("tim@example.org\0", "Failed"),
            ("ann@example.org", "Failed"),
        ] {
            let text = BASE64.encode(authzid);
            let mut late = Server::external(certificate.clone());
            assert_eq!(told(late.start(None)), "+ ");
            assert_eq!(told(late.answer(text.as_bytes())), want);
            let mut early = Server::external(certificate.clone());
            let initial = match authzid {
                "" => "=",
                _ => &text,
            };
            assert_eq!(told(early.start(Some(initial.as_bytes()))), want);
        }
        assert_eq!(Mechanism::from_name(EXTERNAL.as_bytes()), None);
    }

    #[test]
    fn base64_is_strict() {
        for (text, want) in [
            (&b"*"[..], "Aborted"),
            (b"AHRpbQBzZWNyZXQ=", "PLAIN tim secret"),
            (b"AHRpbQBzZWNyZXQ", "NotBase64"),
            (b"AHRpbQBzZWNyZXR=", "NotBase64"),
            (b"AHRpbQBzZWNyZXQ= ", "NotBase64"),
            (b"AHRp bQBzZWNyZXQ=", "NotBase64"),
            (b"AHRpbQBzZWNyZXQ=AHRpbQBzZWNyZXQ=", "NotBase64"),
            (b"**", "NotBase64"),
            (b"=", "NotBase64"),
            (b"\xff\xff\xff\xff", "NotBase64"),
        ] {
            let mut server = Server::new(Mechanism::Plain);
            server.start(None);
            assert_eq!(told(server.answer(text)), want);
        }
        assert!(decode(&vec![b'A'; MAX_LINE + 4]).is_none());
    }

    #[test]
    fn tokens_of_12_kib_work() {
        let user = UserName::new(b"tim").unwrap();
        let token = Secret::new(&[b'x'; 12 * 1024]).unwrap();
        let text = Client::plain().message(&user, &token).unwrap();
        let Turn::Login(login) = Server::new(Mechanism::Plain).start(Some(&text)) else {
            panic!("no login");
        };
        assert_eq!(login.credentials.secret(), Some(&token));
    }

    #[test]
    fn our_client_logs_in_to_our_server() {
        let user = UserName::new("jürgen@example.org".as_bytes()).unwrap();
        let password = Secret::new(b"a \"b\" \\ \xfc").unwrap();
        for (mechanism, mut client) in [
            (Mechanism::Plain, Client::plain()),
            (Mechanism::Login, Client::login()),
        ] {
            let mut server = Server::new(mechanism);
            let mut turn = server.start(None);
            while let Turn::Challenge(_) = turn {
                turn = server.answer(&client.message(&user, &password).unwrap());
            }
            let Turn::Login(login) = turn else {
                panic!("no login by {}", mechanism.name());
            };
            assert_eq!(login.credentials.secret(), Some(&password));
            assert_eq!(login.user, user);
            assert_eq!(client.message(&user, &password), Err(Exhausted));
        }
    }

    #[test]
    fn long_tokens_and_first_messages_are_read() {
        let user = UserName::new(b"tim@example.org").unwrap();
        let long = "t".repeat(12 * 1024);
        for (mechanism, message) in [
            (
                Mechanism::XOAuth2,
                format!("user={user}\x01auth=Bearer {long}\x01\x01"),
            ),
            (
                Mechanism::OAuthBearer,
                format!("n,a={user},\x01host=h\x01auth=Bearer {long}\x01\x01"),
            ),
            (Mechanism::ScramSha1, format!("n,,n={user},r=nonce")),
            (Mechanism::ScramSha256, format!("n,,n={user},r=nonce")),
        ] {
            let text = BASE64.encode(&message);
            let mut late = Server::new(mechanism);
            assert_eq!(told(late.start(None)), "+ ");
            for turn in [
                late.answer(text.as_bytes()),
                Server::new(mechanism).start(Some(text.as_bytes())),
            ] {
                let Turn::Login(login) = turn else {
                    panic!("no login by {}", mechanism.name());
                };
                assert_eq!(login.mechanism.as_str(), mechanism.name());
                assert_eq!(login.user, user);
                assert_eq!(login.credentials.relayed(), Some(mechanism));
                let first = relayed::first(&user, &login.credentials).unwrap();
                assert_eq!(&first[..], text.as_bytes());
                let shown = format!("{login:?}");
                assert!(
                    !shown.contains("ttt") && !shown.contains("nonce"),
                    "{shown}"
                );
            }
            assert_eq!(told(Server::new(mechanism).start(Some(b"="))), "Failed");
            assert_eq!(told(Server::new(mechanism).start(Some(b"AQ=="))), "Failed");
        }
    }

    #[test]
    fn sets() {
        let all: Mechanisms = Mechanism::ALL.into_iter().collect();
        let three = Mechanisms::PASSWORD
            .or(Mechanisms::TOKEN)
            .or(Mechanisms::SCRAM);
        assert_eq!((all, all), (three, Mechanisms::ALL));
        assert!(all.iter().eq(Mechanism::ALL));
        assert_eq!(all.and(Mechanisms::TOKEN), Mechanisms::TOKEN);
        assert!(!Mechanisms::TOKEN.has(Mechanism::Plain));
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(Mechanism::from_name(b"plain"), Some(Mechanism::Plain));
        assert_eq!(Mechanism::from_name(b"Login"), Some(Mechanism::Login));
        assert_eq!(Mechanism::from_name(b"CRAM-MD5"), None);
    }
}
