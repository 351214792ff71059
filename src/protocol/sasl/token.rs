//! OAuth bearer tokens: XOAUTH2 (Google, Microsoft) and OAUTHBEARER (RFC 7628 §3.1).
//!
//! The client's message is read once, for the name that routing needs, and goes to the host octet for
//! octet, host and port fields included; only the name in it changes, where the login is another
//! there. What a host could read in another way than we do is refused.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::Mechanism;
use crate::protocol::UserName;
use crate::protocol::line::Octets;

/// Between the fields of a message, and twice at its end (`kvsep`).
const SEPARATOR: u8 = 0x01;

/// A client's message with its name and token. `Debug` shows neither.
#[derive(Clone)]
pub struct Token {
    mechanism: Mechanism,
    /// As the client sent it; all copies share it.
    message: Arc<Octets>,
    /// The name it bears, and where that stands in it.
    user: UserName,
    place: Range<usize>,
    /// Where the token itself stands.
    bearer: Range<usize>,
}

impl Token {
    /// Reads a client's message; none: it is not one, or nobody could be found by it.
    pub(super) fn parse(mechanism: Mechanism, message: Octets) -> Option<Self> {
        let parsed = match mechanism {
            Mechanism::XOAuth2 => xoauth2(&message),
            Mechanism::OAuthBearer => oauthbearer(&message),
            _ => None,
        };
        let (user, place, bearer) = parsed?;
        Some(Token {
            mechanism,
            message: Arc::new(message),
            user,
            place,
            bearer,
        })
    }

    /// Which of the two.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The name in it.
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// How many octets the message has.
    pub fn size(&self) -> usize {
        self.message.len()
    }

    /// What a host must not repeat into a log: the token itself. Empty where the client only asked
    /// what token it should get (RFC 7628 §4.3).
    pub fn bearer(&self) -> &[u8] {
        self.message.get(self.bearer.clone()).unwrap_or_default()
    }

    /// The message for a host that knows the user by this name: the same octets, if it is the same
    /// name.
    pub fn message(&self, user: &UserName) -> Octets {
        if *user == self.user {
            return Octets::clone(&self.message);
        }
        let name = match self.mechanism {
            Mechanism::OAuthBearer => super::to_saslname(user.as_str()),
            _ => user.as_str().to_owned(),
        };
        let head = self.message.get(..self.place.start).unwrap_or_default();
        let tail = self.message.get(self.place.end..).unwrap_or_default();
        let mut message = Octets::new(Vec::with_capacity(
            head.len()
                .saturating_add(name.len())
                .saturating_add(tail.len()),
        ));
        message.extend_from_slice(head);
        message.extend_from_slice(name.as_bytes());
        message.extend_from_slice(tail);
        message
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, ***)", self.mechanism.name())
    }
}

type Parsed = (UserName, Range<usize>, Range<usize>);

/// `"user=" name kvsep "auth=Bearer " token kvsep kvsep`
fn xoauth2(message: &[u8]) -> Option<Parsed> {
    let mut fields = Fields::of(message)?;
    let (key, value, place) = fields.next()?;
    let user = match key {
        b"user" => UserName::new(value).ok()?,
        _ => return None,
    };
    let (key, value, at) = fields.next()?;
    let bearer = match key {
        b"auth" => bearer(value, at)?,
        _ => return None,
    };
    (fields.next().is_none() && fields.is_done()).then_some((user, place, bearer))
}

/// `gs2-header kvsep *kvpair kvsep`, the header with an authzid: without one only the token's issuer
/// could say who this is. Channel binding (`p=`) cannot pass a gateway.
fn oauthbearer(message: &[u8]) -> Option<Parsed> {
    let end = memchr::memchr(SEPARATOR, message)?;
    let (header, rest) = message.split_at_checked(end)?;
    let name = (header.strip_prefix(b"n,a=")).or_else(|| header.strip_prefix(b"y,a="))?;
    let name = name.strip_suffix(b",")?;
    let user = UserName::new(&super::of_saslname(name)?).ok()?;
    let place = 4..name.len().saturating_add(4);
    let mut found = None;
    let mut fields = Fields::of(rest.get(1..)?)?;
    fields.at = end.saturating_add(1);
    for (key, value, at) in fields.by_ref() {
        match key {
            // The client has none yet and wants to be told where to get one (RFC 7628 §4.3).
            b"auth" if found.is_none() && value.is_empty() => found = Some(at.start..at.start),
            b"auth" if found.is_none() => found = Some(bearer(value, at)?),
            b"auth" => return None,
            _ => {}
        }
    }
    fields.is_done().then_some((user, place, found?))
}

/// `"Bearer" 1*SP b64token` (RFC 6750 §2.1), `at` is where the value stands.
fn bearer(value: &[u8], at: Range<usize>) -> Option<Range<usize>> {
    let (scheme, token) = value.split_at_checked(7)?;
    let fits = scheme.eq_ignore_ascii_case(b"Bearer ")
        && !token.is_empty()
        && token.iter().all(u8::is_ascii_graphic);
    fits.then_some(at.start.saturating_add(7)..at.end)
}

/// `*kvpair kvsep` with `kvpair = key "=" value kvsep`. Of the values only printable octets are
/// taken, though RFC 7628 has line ends in them too: nothing we know of sends those.
struct Fields<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The last separator of the message is cut off.
    fn of(message: &'a [u8]) -> Option<Self> {
        let rest = message.strip_suffix(&[SEPARATOR])?;
        Some(Fields { rest, at: 0 })
    }

    /// Whether all of it was read.
    fn is_done(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Fields<'a> {
    /// A key, its value, and where the value stands.
    type Item = (&'a [u8], &'a [u8], Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let end = memchr::memchr(SEPARATOR, self.rest)?;
        let field = self.rest.get(..end)?;
        let equals = memchr::memchr(b'=', field)?;
        let (key, value) = (field.get(..equals)?, field.get(equals.saturating_add(1)..)?);
        if key.is_empty()
            || !key.iter().all(u8::is_ascii_alphabetic)
            || value.iter().any(u8::is_ascii_control)
        {
            return None;
        }
        let start = self.at.saturating_add(equals).saturating_add(1);
        self.at = self.at.saturating_add(end.saturating_add(1));
        self.rest = self.rest.get(end.saturating_add(1)..)?;
        Some((key, value, start..start.saturating_add(value.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    fn parse(mechanism: Mechanism, message: &str) -> Option<Token> {
        let octets = message.replace('^', "\x01").into_bytes();
        Token::parse(mechanism, Octets::new(octets))
    }

    #[test]
    fn messages() {
        use Mechanism::{OAuthBearer, XOAuth2};
        for (mechanism, message, want) in [
            (
                XOAuth2,
                "user=someuser@example.com^auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg^^",
                Some((
                    "someuser@example.com",
                    "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg",
                )),
            ),
            (
                XOAuth2,
                "user=a=b,c^auth=Bearer x==^^",
                Some(("a=b,c", "x==")),
            ),
            (XOAuth2, "user=a^auth=bearer x^^", Some(("a", "x"))),
            (XOAuth2, "user=a^auth=Bearer x^", None),
            (XOAuth2, "user=a^auth=Bearer x^^^", None),
            (XOAuth2, "user=a^auth=Bearer x", None),
            (XOAuth2, "user=a^auth=Bearer ^^", None),
            (XOAuth2, "user=a^auth=Bearer  x^^", None),
            (XOAuth2, "user=a^auth=Bearer x y^^", None),
            (XOAuth2, "user=a^auth=Basic x^^", None),
            (XOAuth2, "user=a^auth=^^", None),
            (XOAuth2, "user=^auth=Bearer x^^", None),
            (XOAuth2, "user=a^user=b^auth=Bearer x^^", None),
            (XOAuth2, "user=a^auth=Bearer x^host=b^^", None),
            (XOAuth2, "auth=Bearer x^user=a^^", None),
            (XOAuth2, "user=a\r\nb^auth=Bearer x^^", None),
            (XOAuth2, "user=a^auth=Bearer x\r\ny^^", None),
            (XOAuth2, "user=a^auth=Bearer x\0y^^", None),
            (XOAuth2, "n,a=a,^auth=Bearer x^^", None),
            (XOAuth2, "", None),
            (XOAuth2, "^", None),
            // RFC 7628 §4.1.
            (
                OAuthBearer,
                "n,a=user@example.com,^host=server.example.com^port=143^auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==^^",
                Some((
                    "user@example.com",
                    "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
                )),
            ),
            // RFC 7628 §4.3: what token would do?
            (
                OAuthBearer,
                "n,a=user@example.com,^host=server.example.com^port=143^auth=^^",
                Some(("user@example.com", "")),
            ),
            (
                OAuthBearer,
                "n,a=a=2Cb=3Dc,^auth=Bearer x^^",
                Some(("a,b=c", "x")),
            ),
            (OAuthBearer, "y,a=a,^auth=Bearer x^^", Some(("a", "x"))),
            (
                OAuthBearer,
                "n,a=a,^auth=Bearer x^port=1^^",
                Some(("a", "x")),
            ),
            (OAuthBearer, "p=tls-unique,a=a,^auth=Bearer x^^", None),
            (OAuthBearer, "n,,^auth=Bearer x^^", None),
            (OAuthBearer, "n,a=,^auth=Bearer x^^", None),
            (OAuthBearer, "n,a=a=b,^auth=Bearer x^^", None),
            (OAuthBearer, "n,a=a,b,^auth=Bearer x^^", None),
            (OAuthBearer, "n,a=a^auth=Bearer x^^", None),
            (OAuthBearer, "n,a=a,^auth=Bearer x^auth=Bearer y^^", None),
            (OAuthBearer, "n,a=a,^host=b^^", None),
            (OAuthBearer, "n,a=a,^auth=Bearer x^", None),
            (OAuthBearer, "n,a=a,^auth=Bearer x^^^", None),
            (OAuthBearer, "n,a=a,^auth=Bearer x^port^^", None),
            (OAuthBearer, "n,a=a,^auth=Bearer x^=1^^", None),
            (OAuthBearer, "n,a=a,^^", None),
            (OAuthBearer, "^", None),
        ] {
            let token = parse(mechanism, message);
            let got = token.as_ref().map(|token| {
                let bearer = String::from_utf8_lossy(token.bearer());
                (token.user().to_string(), bearer.into_owned())
            });
            let want = want.map(|(user, token): (&str, &str)| (user.into(), token.into()));
            assert_eq!(got, want, "{message}");
            if let Some(token) = token {
                let same = token.message(token.user());
                assert_eq!(String::from_utf8_lossy(&same).replace('\x01', "^"), message);
            }
        }
    }

    /// The base64 of RFC 7628 §4.1 as it stands there.
    #[test]
    fn the_example_of_the_rfc() {
        let text = "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyI\
                    HZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB";
        let message = Octets::new(BASE64.decode(text).unwrap());
        let token = Token::parse(Mechanism::OAuthBearer, message).unwrap();
        assert_eq!(token.user().as_str(), "user@example.com");
        assert_eq!(BASE64.encode(&token.message(token.user())[..]), text);
    }

    #[test]
    fn only_the_name_changes() {
        let other = UserName::new(b"new,name=x").unwrap();
        for (mechanism, message, want) in [
            (
                Mechanism::XOAuth2,
                "user=old^auth=Bearer x^^",
                "user=new,name=x^auth=Bearer x^^",
            ),
            (
                Mechanism::OAuthBearer,
                "n,a=old,^host=h^port=1^auth=Bearer x^^",
                "n,a=new=2Cname=3Dx,^host=h^port=1^auth=Bearer x^^",
            ),
        ] {
            let token = parse(mechanism, message).unwrap();
            let got = String::from_utf8_lossy(&token.message(&other)).replace('\x01', "^");
            assert_eq!(got, want);
            assert!(parse(mechanism, &got).is_some_and(|token| *token.user() == other));
            assert_eq!(
                format!("{token:?}"),
                format!("Token({}, ***)", mechanism.name())
            );
        }
    }
}
