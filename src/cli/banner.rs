//! What a person sees when the gateway starts: where to connect, and how to try it.

use std::fmt::Write as _;

use super::reachable;
use crate::backend::config::Target;
use crate::config::Config;
use crate::demo;
use crate::listen::{self, TlsMode};
use crate::protocol::{ClearLogin, Protocol};

/// The lines, each with its end.
pub(super) fn text(config: &Config) -> String {
    let mut out = format!("gatepost {}\n", env!("CARGO_PKG_VERSION"));
    for listener in &config.listeners {
        let tls = match (listener.tls, listener.cleartext_login) {
            (TlsMode::Implicit, _) => "TLS",
            (TlsMode::Upgrade, ClearLogin::Refused) => "STARTTLS",
            (TlsMode::Upgrade, ClearLogin::Allowed) => "STARTTLS, or logins in clear",
        };
        let scheme = scheme(listener);
        let _ = writeln!(out, "  {scheme:<7} {:<24} {tls}", listener.bind.to_string());
    }
    if let Some(admin) = &config.admin {
        let at = format!("http://{}/", admin.bind);
        let _ = writeln!(out, "  {:<7} {at:<24} healthz, readyz, metrics", "admin");
    }
    if config.backends.values().any(is_demo) {
        let _ = write!(out, "{}", try_it(config));
    }
    out
}

fn is_demo(backend: &crate::backend::Config) -> bool {
    let hosts = backend.hosts.iter();
    let mut endpoints = hosts.flat_map(|host| [&host.imap, &host.pop3]).flatten();
    endpoints.any(|endpoint| endpoint.target == Target::Demo)
}

/// One curl line for each protocol that is there with TLS from the first byte.
fn try_it(config: &Config) -> String {
    let (user, password) = (demo::USER, demo::PASSWORD);
    let mut out =
        format!("  try     the built-in store has a user {user:?}, password {password:?}\n");
    for (protocol, path) in [(Protocol::Imap, "INBOX;MAILINDEX=1"), (Protocol::Pop3, "1")] {
        let found = config
            .listeners
            .iter()
            .find(|l| l.protocol == protocol && l.tls == TlsMode::Implicit);
        if let Some(listener) = found {
            let (scheme, at) = (scheme(listener), reachable(listener.bind));
            let _ = writeln!(
                out,
                "          curl -k -u {user}:{password} '{scheme}://{at}/{path}'"
            );
        }
    }
    out
}

fn scheme(listener: &listen::Config) -> &'static str {
    match (listener.protocol, listener.tls) {
        (Protocol::Imap, TlsMode::Implicit) => "imaps",
        (Protocol::Imap, TlsMode::Upgrade) => "imap",
        (Protocol::Pop3, TlsMode::Implicit) => "pop3s",
        (Protocol::Pop3, TlsMode::Upgrade) => "pop3",
    }
}
