//! The server's side of SASL: a mail client's messages are read for who it is (RFC 4616, RFC 4422
//! appendix A, draft-murchison-sasl-login). An authzid that is not the client's own name is refused.

use super::{ClientFirst, Mechanism, Token, decode};
use crate::protocol::line::Octets;
use crate::protocol::{Credentials, Login, Secret, UserName, login};

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

    /// An exchange of EXTERNAL with a client whose certificate bears this name.
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
                    mechanism: mechanism.of_login(),
                    credentials: Credentials::Token(token),
                }),
                None => Turn::Failed,
            },
            Expects::ClientFirst(mechanism) => match ClientFirst::parse(mechanism, message) {
                Some(first) => Turn::Login(Login {
                    user: first.user().clone(),
                    mechanism: mechanism.of_login(),
                    credentials: Credentials::Scram(first),
                }),
                None => Turn::Failed,
            },
            Expects::Nothing => Turn::Failed,
        }
    }
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
