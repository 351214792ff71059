//! The client's side of SASL: a password, shown to a host.

use super::encode;
use crate::protocol::line::Octets;
use crate::protocol::{Secret, UserName};

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
