//! `listeners:` from the checked tree.

mod capabilities;

use self::capabilities::{Login, capabilities};
use super::check::Report;
use super::node::Mark;
use super::problem::{Code, quoted};
use super::raw::Raw;
use super::rest;
use super::url::{self, ListenUrl};
use super::value::Wrong;
use crate::backend;
use crate::listen::{self, TlsMode};
use crate::protocol::ClearLogin;
use crate::tls;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A listener with the places that later checks point at.
pub(super) struct Listener {
    /// As meant.
    pub config: listen::Config,
    /// Where its URL stands.
    pub mark: Mark,
}

/// Reads all listeners; those without a usable URL are left out.
pub(super) fn read(root: Raw<'_>, report: &mut Report<'_>) -> Vec<Listener> {
    let mut names: HashMap<String, u32> = HashMap::new();
    let mut listeners = Vec::new();
    for raw in root.get("listeners").items() {
        let url = if raw.is_map() { raw.get("bind") } else { raw };
        let Some(text) = url.text() else { continue };
        let Ok(ListenUrl::Mail {
            protocol,
            tls,
            bind,
        }) = url::listen_url(text)
        else {
            continue;
        };
        let name = raw.get("name").text().unwrap_or(text).to_owned();
        if let Some(line) = names.insert(name.clone(), url.mark().line) {
            let message = format!("two listeners are named {}", quoted(&name));
            let expected = format!("the first is in line {line}");
            report.say(url.mark(), Code::E051, message, &expected);
        }
        let cleartext_login = cleartext_login(raw);
        let mark = raw.get("cleartext_login").mark();
        match (cleartext_login, tls) {
            (ClearLogin::Allowed, TlsMode::Implicit) => {
                let message = "`cleartext_login` where TLS is on from the first byte";
                let expected = "no login is in clear text here: leave it out";
                report.say(mark, Code::E016, message, expected);
            }
            (ClearLogin::Allowed, TlsMode::Upgrade) if !bind.ip().is_loopback() => {
                let wrong = Wrong::new(Code::W004, "anybody on the way can read these passwords");
                let message = "passwords may be sent in clear text";
                report.add(mark, Code::W004, message, wrong);
            }
            _ => {}
        }
        let config = listen::Config {
            name,
            bind,
            protocol,
            tls,
            cleartext_login,
            proxy_protocol: raw.get("proxy_protocol").networks(),
            client_ca: client_ca(raw.get("client_ca"), report),
            backend: raw.get("backend").text().map(Into::into),
            server_names: server_names(raw, report),
            allow: raw.get("allow").networks(),
            capabilities: capabilities(raw, Login::of(raw, tls), protocol, report),
            greeting: greeting(raw.get("greeting"), report),
        };
        listeners.push(Listener {
            config,
            mark: url.mark(),
        });
    }
    listeners
}

fn cleartext_login(listener: Raw<'_>) -> ClearLogin {
    match listener.get("cleartext_login").bool() {
        Some(true) => ClearLogin::Allowed,
        _ => ClearLogin::Refused,
    }
}

/// Authorities are tried once, as at a start: what is PEM may still be no certificate.
fn client_ca(raw: Raw<'_>, report: &mut Report<'_>) -> Option<PathBuf> {
    let file = raw.path(report.base)?;
    if !rest::has_errors_at(report, &[raw.mark()])
        && let Err(problem) = tls::try_authorities(&file)
    {
        let message = format!(
            "{} {}",
            quoted(raw.text().unwrap_or_default()),
            problem.text
        );
        let expected = "expected certificates of authorities";
        report.say(raw.mark(), Code::E041, message, expected);
    }
    Some(file)
}

/// Two sockets on one address and port, the admin port among them. A wildcard takes the port of every
/// address; `[::]` is dual-stack. Port 0 is any free one.
pub(super) fn clashes(
    listeners: &[Listener],
    admin: Option<(SocketAddr, Mark)>,
    report: &mut Report<'_>,
) {
    let mut taken: Vec<(SocketAddr, u32)> = Vec::new();
    let sockets = listeners.iter().map(|l| (l.config.bind, l.mark));
    for (bind, mark) in sockets.chain(admin) {
        if let Some((other, line)) = taken.iter().find(|(other, _)| clash(*other, bind)) {
            let message = format!("`{bind}` is taken");
            let expected = format!("line {line} listens on `{other}`");
            report.say(mark, Code::E050, message, &expected);
        }
        taken.push((bind, mark.line));
    }
}

fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |wide: SocketAddr, other: SocketAddr| {
        wide.ip().is_unspecified() && (wide.is_ipv6() || other.is_ipv4())
    };
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || covers(a, b) || covers(b, a))
}

/// A login by certificate shows nothing that could be passed on: it needs a backend with a master
/// login.
pub(super) fn certificates(
    listeners: &[Listener],
    root: Raw<'_>,
    backends: &BTreeMap<String, backend::Config>,
    report: &mut Report<'_>,
) {
    let written = root.get("listeners").items().filter(|raw| raw.is_map());
    let asking = written.filter(|raw| raw.get("client_ca").is_there());
    for raw in asking {
        let own = listeners
            .iter()
            .find(|listener| listener.mark == raw.get("bind").mark())
            .and_then(|listener| listener.config.backend.as_deref());
        let somewhere = backends
            .values()
            .filter(|backend| own.is_none_or(|own| own == backend.name))
            .any(|backend| backend.login_as.is_some());
        // A `login_as` that is wrong is told at its own place.
        let tried = root
            .get("backends")
            .entries()
            .any(|(_, _, backend)| backend.get("login_as").is_there());
        // A lookup service may answer with a password for the host.
        let mut sources = root.get("users_from").items();
        let answered = own.is_none() && sources.any(|source| source.get("http").is_there());
        if !somewhere && !answered && (own.is_some() || !tried) {
            let wrong = Wrong::new(Code::E054, "expected a backend with `login_as`").help(
                "a certificate cannot be shown to a mail server; a master user logs in for the client",
            );
            let message = "a login by certificate could go nowhere";
            report.add(raw.get("client_ca").mark(), Code::E054, message, wrong);
        }
    }
}

/// Backends by the server that clients ask for.
fn server_names(listener: Raw<'_>, report: &mut Report<'_>) -> Vec<(String, String)> {
    let raw = listener.get("server_names");
    if raw.is_there() && listener.get("backend").is_there() {
        let message = "`server_names` beside `backend`";
        let expected = "every login of this listener goes to its `backend`: no server is asked for";
        report.say(raw.mark(), Code::E016, message, expected);
    }
    let mut names: Vec<(String, String)> = Vec::new();
    for (key, mark, backend) in raw.entries() {
        let name = key.to_ascii_lowercase();
        let bare = name.strip_prefix("*.").unwrap_or(&name);
        if let Err(wrong) = server_name(bare) {
            report.add(
                mark,
                wrong.code,
                format!("{} is no server's name", quoted(key)),
                wrong,
            );
        }
        // The same spelling twice is told already.
        let twin = |other: &str| other != key && other.eq_ignore_ascii_case(key);
        if raw
            .entries()
            .take_while(|it| it.1 != mark)
            .any(|it| twin(it.0))
        {
            let message = format!("{} is there twice", quoted(key));
            report.say(
                mark,
                Code::E051,
                message,
                "names compare without regard to case",
            );
        }
        names.extend(backend.text().map(|backend| (name, backend.to_owned())));
    }
    names
}

/// What a client can ask for: `HostName` of RFC 6066 §3 is ASCII and no address.
fn server_name(name: &str) -> Result<(), Wrong> {
    let wrong = || {
        Wrong::new(
            Code::E032,
            "expected a host name, like `imap.example.org` or `*.example.org`",
        )
    };
    match rustls::pki_types::DnsName::try_from(name) {
        Ok(_) if !name.ends_with('.') && name.parse::<std::net::IpAddr>().is_err() => Ok(()),
        _ => Err(wrong()),
    }
}

fn greeting(raw: Raw<'_>, report: &mut Report<'_>) -> String {
    let Some(text) = raw.text() else {
        return "Gatepost ready".into();
    };
    // RFC 9051 §9: resp-text holds 7-bit text; a `[` would read as a response code.
    if !text.is_ascii() || text.starts_with('[') {
        let expected = "expected ASCII text that does not start with `[`";
        report.say(
            raw.mark(),
            Code::E026,
            "the greeting is not well-formed",
            expected,
        );
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_clash_with_every_address() {
        for (a, b, want) in [
            ("0.0.0.0:143", "127.0.0.1:143", true),
            ("127.0.0.1:143", "[::]:143", true),
            ("0.0.0.0:143", "[::]:143", true),
            ("0.0.0.0:143", "[::1]:143", false),
            ("127.0.0.1:143", "127.0.0.2:143", false),
            ("127.0.0.1:143", "127.0.0.1:143", true),
            ("127.0.0.1:143", "127.0.0.1:144", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let got = clash(a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(got, want, "{a} {b}");
            let got = clash(b.parse().unwrap(), a.parse().unwrap());
            assert_eq!(got, want, "{b} {a}");
        }
    }
}
