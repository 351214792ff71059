//! The question to a lookup service: nginx's `auth_http` request headers, and what we add to them.
//!
//! Names, order and escaping are nginx's (`ngx_mail_auth_http_module`), so that a service written for
//! nginx need not know whom it answers. Pure: a login in, headers out.

use std::fmt::Write as _;
use std::net::IpAddr;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::net::TlsFacts;
use crate::protocol::sasl;
use crate::protocol::{Credentials, Protocol, UserName};
use crate::tls::{self, words};

/// Who comes to log in: what a source that is asked over the network hears besides the name.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// What proves the name.
    pub credentials: &'a Credentials,
    /// The client's address.
    pub client: IpAddr,
    /// Which attempt of the connection it is, from 1.
    pub attempt: u32,
    /// The session's id, for the log.
    pub session: &'a str,
    /// The client's TLS, if it is on.
    pub tls: Option<VisitTls<'a>>,
}

/// The TLS of a client.
#[derive(Clone, Copy, Debug)]
pub struct VisitTls<'a> {
    /// Version and cipher suite.
    pub facts: TlsFacts,
    /// Its certificate.
    pub certificate: Certificate<'a>,
}

/// A client's certificate.
#[derive(Clone, Copy, Debug)]
pub enum Certificate<'a> {
    /// Nobody asked for one.
    NotAsked,
    /// It was asked for one and has shown none.
    None,
    /// It was verified.
    Verified(&'a tls::Shown),
}

/// The headers of one question; `Host` and those of the settings are not among them. An error is for
/// the log.
pub(super) fn headers(
    user: &UserName,
    protocol: Protocol,
    visit: &Visit<'_>,
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let mut add = |name: &'static str, value: &[u8]| {
        let fit = HeaderValue::from_bytes(value);
        let mut value = fit.map_err(|_| format!("{name} cannot be sent in a header"))?;
        value.set_sensitive(name == "auth-pass");
        headers.append(HeaderName::from_static(name), value);
        Ok::<_, String>(())
    };
    let (method, proof) = shown(visit.credentials);
    add("auth-method", method.as_bytes())?;
    add("auth-user", &escaped(user.as_str().as_bytes()))?;
    add("auth-pass", &escaped(proof))?;
    add("auth-protocol", protocol.as_str().as_bytes())?;
    add("auth-login-attempt", visit.attempt.to_string().as_bytes())?;
    add("client-ip", visit.client.to_string().as_bytes())?;
    let Some(tls) = visit.tls else {
        return Ok(headers);
    };
    add("auth-ssl", b"on")?;
    add("auth-ssl-protocol", tls.facts.version.as_bytes())?;
    if let Some(cipher) = tls.facts.cipher.and_then(words::cipher) {
        add("auth-ssl-cipher", cipher.as_bytes())?;
    }
    match tls.certificate {
        Certificate::NotAsked => {}
        Certificate::None => add("auth-ssl-verify", b"NONE")?,
        Certificate::Verified(shown) => {
            add("auth-ssl-verify", b"SUCCESS")?;
            if let Some(about) = &shown.about {
                for (header, name) in [
                    ("auth-ssl-subject", &about.subject),
                    ("auth-ssl-issuer", &about.issuer),
                ] {
                    if !name.is_empty() {
                        add(header, name.as_bytes())?;
                    }
                }
                add("auth-ssl-serial", about.serial.as_bytes())?;
                add("auth-ssl-fingerprint", about.fingerprint.as_bytes())?;
            }
        }
    }
    Ok(headers)
}

/// `Auth-Method` and `Auth-Pass`. Later nginx knows tokens by these names too; SCRAM has nothing that
/// could be shown to anybody but the host.
pub(super) fn shown(credentials: &Credentials) -> (&'static str, &[u8]) {
    match credentials {
        Credentials::Password(password) => ("plain", password.reveal()),
        Credentials::Certificate => ("external", b""),
        Credentials::Token(token) => match token.mechanism() {
            sasl::Mechanism::XOAuth2 => ("xoauth2", token.bearer()),
            _ => ("oauthbearer", token.bearer()),
        },
        Credentials::Scram(_) => ("scram", b""),
    }
}

/// As nginx escapes names and passwords (`NGX_ESCAPE_MAIL_AUTH`): a space, `%` and control characters
/// as `%XX`; whatever has its eighth bit set stays.
pub(super) fn escaped(octets: &[u8]) -> Vec<u8> {
    let mut out = String::new();
    let mut escaped = Vec::with_capacity(octets.len().saturating_add(8));
    for octet in octets {
        match octet {
            0..=b' ' | b'%' | 0x7F => {
                out.clear();
                let _ = write!(out, "%{octet:02X}");
                escaped.extend_from_slice(out.as_bytes());
            }
            _ => escaped.push(*octet),
        }
    }
    escaped
}

/// A header of the settings.
///
/// # Errors
/// What was expected.
pub fn own_header(name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue), &'static str> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| "expected a header's name: letters, digits and `-`")?;
    let ours = ["host", "connection", "content-length", "transfer-encoding"];
    if ours.contains(&name.as_str()) {
        return Err("expected a header that the connection itself does not use");
    }
    let mut value =
        HeaderValue::from_bytes(value).map_err(|_| "expected a header's value: one line")?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Secret;

    #[test]
    fn a_login_is_told_as_nginx_tells_it() {
        let user = UserName::new("al ice%é@example.org".as_bytes()).unwrap();
        let password = Secret::new(b"wrong x%\xC3\xA9+\xFF").unwrap();
        let credentials = Credentials::Password(password);
        let visit = Visit {
            credentials: &credentials,
            client: "2001:db8::1".parse().unwrap(),
            attempt: 2,
            session: "s1",
            tls: None,
        };
        let told = headers(&user, Protocol::Pop3, &visit).unwrap();
        let told: Vec<(&str, &[u8])> = told
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        assert_eq!(
            told,
            [
                ("auth-method", &b"plain"[..]),
                ("auth-user", "al%20ice%25é@example.org".as_bytes()),
                ("auth-pass", b"wrong%20x%25\xC3\xA9+\xFF"),
                ("auth-protocol", b"pop3"),
                ("auth-login-attempt", b"2"),
                ("client-ip", b"2001:db8::1"),
            ]
        );
    }

    #[test]
    fn nothing_of_a_password_is_printed() {
        let user = UserName::new(b"bob").unwrap();
        let credentials = Credentials::Password(Secret::new(b"hunter2").unwrap());
        let visit = Visit {
            credentials: &credentials,
            client: "192.0.2.1".parse().unwrap(),
            attempt: 1,
            session: "s1",
            tls: None,
        };
        let told = headers(&user, Protocol::Imap, &visit).unwrap();
        let printed = format!("{told:?} {visit:?}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn headers_of_the_settings() {
        assert!(own_header("X-Key", b"a b").is_ok());
        for (name, value) in [
            ("X Key", "a"),
            ("X-Key", "a\r\nb"),
            ("Host", "a"),
            ("", "a"),
        ] {
            assert!(
                own_header(name, value.as_bytes()).is_err(),
                "{name:?}: {value:?}"
            );
        }
    }
}
