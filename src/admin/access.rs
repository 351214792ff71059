//! Who may ask: whoever shows the token; without one, only this machine's own programs and pages.
//!
//! Without a token the port is on loopback, and what must be kept out is a web page in a browser on
//! this machine. It can send requests here, but not without telling an `Origin` of its own, or a
//! `Host` of its own where it rebinds its name to our address.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::{constant_time, digest};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use hyper::{StatusCode, Uri};

use super::http::Reply;
use crate::protocol::Secret;

/// The admin port's door. Whoever may pass can change while it is open: each request is judged by
/// the token of its moment.
#[derive(Debug)]
pub struct Door(ArcSwap<Access>);

impl Door {
    /// With this token; without one, for this machine only.
    pub fn new(token: Option<Secret>) -> Self {
        Door(ArcSwap::from_pointee(Access::new(token)))
    }

    /// Another token from now on.
    pub fn set_token(&self, token: Option<Secret>) {
        self.0.store(Arc::new(Access::new(token)));
    }

    pub(super) fn access(&self) -> Arc<Access> {
        self.0.load_full()
    }
}

/// What a request must show.
#[derive(Debug)]
pub(super) enum Access {
    /// The token with this SHA-256: hashed, so that comparing tells nothing of its length.
    Token([u8; 32]),
    /// Nothing, but it must come from here.
    Local,
}

impl Access {
    pub(super) fn new(token: Option<Secret>) -> Self {
        match token {
            Some(token) => Access::Token(sha256(token.reveal())),
            None => Access::Local,
        }
    }

    /// Whether a token is asked for.
    pub(super) fn is_by_token(&self) -> bool {
        matches!(self, Access::Token(_))
    }

    /// For what is open to all who reach the port, like `/healthz`.
    pub(super) fn check_open(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Reply> {
        match self {
            Access::Token(_) => Ok(()),
            Access::Local => local(uri, headers),
        }
    }

    /// For everything else.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Reply> {
        match self {
            Access::Token(want) => bearer(want, headers),
            Access::Local => local(uri, headers),
        }
    }
}

fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut all = [0; 32];
    all.copy_from_slice(digest::digest(&digest::SHA256, octets).as_ref());
    all
}

/// `Authorization: Bearer TOKEN` (RFC 6750 §2.1), exactly once.
fn bearer(want: &[u8; 32], headers: &HeaderMap) -> Result<(), Reply> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let shown = match (fields.next(), fields.next()) {
        (Some(field), None) => field.as_bytes(),
        _ => return Err(unauthorized("expected `Authorization: Bearer TOKEN`")),
    };
    let token = match shown.split_first_chunk::<7>() {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token,
        _ => return Err(unauthorized("expected `Authorization: Bearer TOKEN`")),
    };
    let shown = sha256(token.trim_ascii());
    constant_time::verify_slices_are_equal(&shown, want)
        .map_err(|_| unauthorized("the token is not the one of admin.token"))
}

fn unauthorized(text: &str) -> Reply {
    Reply::error(StatusCode::UNAUTHORIZED, text).with("www-authenticate", "Bearer")
}

fn local(uri: &Uri, headers: &HeaderMap) -> Result<(), Reply> {
    let mut fields = headers.get_all(HOST).iter();
    let host = match (fields.next(), fields.next()) {
        (Some(field), None) => field.to_str().unwrap_or_default(),
        _ => return Err(forbidden("expected one Host header")),
    };
    if !is_loopback(host) || uri.authority().is_some_and(|to| !is_loopback(to.as_str())) {
        return Err(forbidden(
            "without a token only localhost is served; set admin.token or ask for 127.0.0.1",
        ));
    }
    for origin in headers.get_all(ORIGIN) {
        let own = origin.to_str().ok().and_then(|o| o.strip_prefix("http://"));
        if !own.is_some_and(|own| own.eq_ignore_ascii_case(host)) {
            return Err(forbidden(
                "a page of another origin may not ask without a token",
            ));
        }
    }
    Ok(())
}

fn forbidden(text: &str) -> Reply {
    Reply::error(StatusCode::FORBIDDEN, text)
}

/// Whether a `Host` (RFC 9110 §7.2: `uri-host [ ":" port ]`) names this machine's loopback.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if is_port(port) => name,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    match name.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() && ip.is_ipv6() == host.starts_with('['),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':');
    text.is_empty() || digits.is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names() {
        for (host, want) in [
            ("localhost", true),
            ("LOCALHOST:9090", true),
            ("127.0.0.1", true),
            ("127.9.9.9:1", true),
            ("[::1]", true),
            ("[::1]:9090", true),
            ("", false),
            ("::1", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[127.0.0.1]", false),
            ("localhost.evil.example", false),
            ("evil.example:127.0.0.1", false),
            ("localhost@evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1:90:90", false),
            ("0.0.0.0", false),
            ("10.0.0.1:9090", false),
        ] {
            assert_eq!(is_loopback(host), want, "{host:?}");
        }
    }
}
