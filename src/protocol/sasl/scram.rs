//! SCRAM (RFC 5802, RFC 7677), relayed: the gateway reads who logs in and passes every message on.
//!
//! The proof is between client and host: a gateway can neither make nor check it, nor change a name
//! in it. So it is only for logins whose host is known before the name is. Channel binding would
//! bind to the wrong channel here: `-PLUS` is never offered, `p=` refused.

use std::fmt;
use std::sync::Arc;

use super::Mechanism;
use crate::protocol::UserName;
use crate::protocol::line::Octets;

/// A client's first message. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct ClientFirst {
    mechanism: Mechanism,
    message: Arc<Octets>,
    user: UserName,
}

impl ClientFirst {
    /// `gs2-header [reserved-mext ","] username "," nonce ["," extensions]` (RFC 5802 §7). An
    /// authzid is the name itself, as Cyrus' and GNU's libraries write it, since nobody else's identity
    /// is served; no mandatory extension, since nobody knows one.
    pub(super) fn parse(mechanism: Mechanism, message: Octets) -> Option<Self> {
        let binding = (message.strip_prefix(b"n,")).or_else(|| message.strip_prefix(b"y,"))?;
        let mut attributes = binding.split(|octet| *octet == b',');
        let authzid = attributes.next()?;
        let name = attributes.next()?.strip_prefix(b"n=")?;
        if !authzid.is_empty() && authzid.strip_prefix(b"a=") != Some(name) {
            return None;
        }
        let nonce = attributes.next()?.strip_prefix(b"r=")?;
        let printable = |octets: &[u8]| {
            !octets.is_empty() && octets.iter().all(|octet| octet.is_ascii_graphic())
        };
        // `attr-val = ALPHA "=" value`
        let extension = |octets: &[u8]| {
            matches!(octets, [key, b'=', _, ..] if key.is_ascii_alphabetic())
                && !octets.iter().any(u8::is_ascii_control)
        };
        if !printable(nonce) || !attributes.all(extension) {
            return None;
        }
        let user = UserName::new(&super::of_saslname(name)?).ok()?;
        Some(ClientFirst {
            mechanism,
            message: Arc::new(message),
            user,
        })
    }

    /// SCRAM-SHA-1 or SCRAM-SHA-256.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The name in it.
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// The message, for the host.
    pub fn message(&self) -> &Octets {
        &self.message
    }
}

impl fmt::Debug for ClientFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientFirst({}, ***)", self.mechanism.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_messages() {
        for (message, want) in [
            // RFC 5802 §5, RFC 7677 §3.
            ("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", Some("user")),
            ("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", Some("user")),
            ("y,,n=user,r=x", Some("user")),
            ("n,,n=a=2Cb=3Dc,r=x", Some("a,b=c")),
            ("n,,n=j\u{fc}rgen,r=x,a=more", Some("j\u{fc}rgen")),
            ("n,a=user,n=user,r=x", Some("user")),
            ("y,a=a=2Cb,n=a=2Cb,r=x", Some("a,b")),
            ("n,a=admin,n=user,r=x", None),
            ("n,a=USER,n=user,r=x", None),
            ("n,a=,n=user,r=x", None),
            ("n,a,n=user,r=x", None),
            ("n,user,n=user,r=x", None),
            ("p=tls-unique,,n=user,r=x", None),
            ("n,,m=ext,n=user,r=x", None),
            ("n,,n=,r=x", None),
            ("n,,n=a=b,r=x", None),
            ("n,,n=a=,r=x", None),
            ("n,,n=user,r=", None),
            ("n,,n=user", None),
            ("n,,r=x,n=user", None),
            ("n,,n=user,r=x,", None),
            ("n,,n=user,r=x,a", None),
            ("n,,n=us\r\ner,r=x", None),
            ("n,,n=us\0er,r=x", None),
            ("n,,n=user,r=x\r\ny", None),
            ("n,n=user,r=x", None),
            ("", None),
        ] {
            let octets = Octets::new(message.as_bytes().to_vec());
            let got = ClientFirst::parse(Mechanism::ScramSha256, octets);
            let name = got.as_ref().map(|got| got.user().as_str());
            assert_eq!(name, want, "{message:?}");
            if let Some(got) = got {
                assert_eq!(&got.message()[..], message.as_bytes());
                assert!(!format!("{got:?}").contains("user"));
            }
        }
    }
}
