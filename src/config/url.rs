//! The URLs and addresses of proxy.yaml: listeners, hosts, lookup services, the admin port.
//!
//! Each function takes the text of one scalar; what it refuses says what was expected.

use std::net::{IpAddr, SocketAddr};

use super::problem::{Code, did_you_mean};
use super::value::{Wrong, digits};
use crate::backend::config::{Endpoint, Security, Target};
use crate::listen::TlsMode;
use crate::protocol::Protocol;

/// `127.0.0.1:9090`
pub(super) fn address(text: &str) -> Result<SocketAddr, Wrong> {
    let expected = "expected an address and a port, like `127.0.0.1:9090` or `[::1]:9090`";
    let address: SocketAddr = text.parse().map_err(|_| {
        let wrong = Wrong::new(Code::E020, expected);
        let port = text.strip_prefix("localhost:").or(text.strip_prefix(':'));
        match port.filter(|port| !port.is_empty() && digits(port).is_some()) {
            Some(port) => wrong.help(format!("write `127.0.0.1:{port}`")),
            None if text.matches(':').count() > 1 && !text.contains('[') => {
                wrong.help("an IPv6 address stands in brackets, the port behind them")
            }
            None => wrong,
        }
    })?;
    not_mapped(address.ip())?;
    Ok(address)
}

/// What a listener's URL says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenUrl {
    /// A protocol that is spoken.
    Mail {
        /// Which.
        protocol: Protocol,
        /// How TLS comes in.
        tls: TlsMode,
        /// Where.
        bind: SocketAddr,
    },
    /// `submission`, `submissions`.
    Submission,
}

/// `imaps://0.0.0.0:993`; the port may be left out.
pub(super) fn listen_url(text: &str) -> Result<ListenUrl, Wrong> {
    const SCHEMES: [&str; 6] = [
        "imap",
        "imaps",
        "pop3",
        "pop3s",
        "submission",
        "submissions",
    ];
    let expected = "expected a URL, like `imaps://0.0.0.0:993`";
    let (scheme, authority) = split_url(text, expected)?;
    let (protocol, tls, port) = match scheme {
        "imap" => (Protocol::Imap, TlsMode::Upgrade, 143),
        "imaps" => (Protocol::Imap, TlsMode::Implicit, 993),
        "pop3" => (Protocol::Pop3, TlsMode::Upgrade, 110),
        "pop3s" => (Protocol::Pop3, TlsMode::Implicit, 995),
        "submission" | "submissions" => return Ok(ListenUrl::Submission),
        other => return Err(unknown_scheme(other, &SCHEMES)),
    };
    let (host, port) = split_authority(authority, port, expected)?;
    let ip: IpAddr = host.parse().map_err(|_| {
        let wrong = Wrong::new(
            Code::E020,
            "expected an address to listen on: `0.0.0.0` (all of IPv4), `[::]` (all), `127.0.0.1`",
        );
        match host {
            "localhost" => wrong.help("write `127.0.0.1` or `[::1]`"),
            "" | "*" => wrong.help("write `[::]` or `0.0.0.0`"),
            _ => wrong,
        }
    })?;
    Ok(ListenUrl::Mail {
        protocol,
        tls,
        bind: SocketAddr::new(not_mapped(ip)?, port),
    })
}

/// Nothing can listen on an address of IPv4 that is written in IPv6's way.
fn not_mapped(ip: IpAddr) -> Result<IpAddr, Wrong> {
    match ip.to_canonical() {
        other if other != ip => {
            let expected = "expected an address of IPv4 as IPv4 writes it";
            Err(Wrong::new(Code::E020, expected).help(format!("write `{other}`")))
        }
        _ => Ok(ip),
    }
}

/// What a host's URL says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum HostUrl {
    /// An endpoint, and the name the host has by it: the authority without the default port.
    Mail(Endpoint, String),
    /// `submission`, `submission+starttls`, `submissions`; and the name.
    Submission(String),
}

/// `imap://10.0.0.5`, `imap+starttls://…`, `imaps://…`, the same for pop3 and submission; `demo://`.
pub(super) fn host_url(text: &str) -> Result<HostUrl, Wrong> {
    const SCHEMES: [&str; 10] = [
        "imap",
        "imap+starttls",
        "imaps",
        "pop3",
        "pop3+starttls",
        "pop3s",
        "submission",
        "submission+starttls",
        "submissions",
        "demo",
    ];
    let expected = "expected a URL, like `imap://10.0.0.5` or `imaps://store.example.net`";
    let (scheme, authority) = split_url(text, expected)?;
    if scheme == "demo" {
        return match authority {
            "" => Ok(HostUrl::Mail(
                Endpoint {
                    protocol: Protocol::Imap,
                    security: Security::Clear,
                    target: Target::Demo,
                },
                "demo".into(),
            )),
            _ => Err(Wrong::new(
                Code::E020,
                "expected `demo://` and nothing behind it",
            )),
        };
    }
    let (protocol, security, default) = match scheme {
        "imap" => (Some(Protocol::Imap), Security::Clear, 143),
        "imap+starttls" => (Some(Protocol::Imap), Security::StartTls, 143),
        "imaps" => (Some(Protocol::Imap), Security::Implicit, 993),
        "pop3" => (Some(Protocol::Pop3), Security::Clear, 110),
        "pop3+starttls" => (Some(Protocol::Pop3), Security::StartTls, 110),
        "pop3s" => (Some(Protocol::Pop3), Security::Implicit, 995),
        "submission" | "submission+starttls" => (None, Security::Clear, 587),
        "submissions" => (None, Security::Implicit, 465),
        other => return Err(unknown_scheme(other, &SCHEMES)),
    };
    let (host, port) = split_authority(authority, default, expected)?;
    let is_ip = host.parse::<IpAddr>().is_ok();
    if !is_ip && !is_host_name(host) {
        return Err(Wrong::new(Code::E020, "expected a host name or an address"));
    }
    if port == 0 {
        return Err(Wrong::new(Code::E020, "expected a port from 1 to 65535"));
    }
    let shown = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    let name = match port == default {
        true => shown,
        false => format!("{shown}:{port}"),
    };
    Ok(match protocol {
        None => HostUrl::Submission(name),
        Some(protocol) => {
            let target = Target::Network {
                host: host.to_owned(),
                port,
            };
            let endpoint = Endpoint {
                protocol,
                security,
                target,
            };
            HostUrl::Mail(endpoint, name)
        }
    })
}

/// `http://…` or `https://…` with a host.
pub(super) fn http_url(text: &str) -> Result<(), Wrong> {
    let expected = "expected a URL, like `https://lookup.example.net/auth`";
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or_else(|| Wrong::new(Code::E020, expected))?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if rest.chars().any(|c| c.is_whitespace() || c.is_control()) || authority.contains('@') {
        return Err(Wrong::new(Code::E020, expected));
    }
    let (host, _) = split_authority(authority, 443, expected)?;
    match host.parse::<IpAddr>().is_ok() || is_host_name(host) {
        true => Ok(()),
        false => Err(Wrong::new(Code::E020, expected)),
    }
}

/// `memory`, `file:///path`, `redis://…`, `rediss://…`: true for `memory`, the only one that needs
/// nothing beside it.
pub(super) fn state_url(text: &str) -> Result<bool, Wrong> {
    let wrong = || {
        Wrong::new(
            Code::E020,
            "expected `memory`, `file:///path`, or `redis://host:6379/0`",
        )
    };
    if text == "memory" {
        return Ok(true);
    }
    match text.split_once("://") {
        Some(("file", path)) if path.starts_with('/') => Ok(false),
        Some(("redis" | "rediss", rest))
            if !rest.is_empty() && crate::state::config::is_redis(text) =>
        {
            Ok(false)
        }
        _ => Err(Wrong {
            help: did_you_mean(text, ["memory"]),
            ..wrong()
        }),
    }
}

fn unknown_scheme(scheme: &str, schemes: &[&str]) -> Wrong {
    let list: Vec<String> = schemes.iter().map(|s| format!("`{s}`")).collect();
    Wrong {
        help: did_you_mean(scheme, schemes.iter().copied()),
        ..Wrong::new(Code::E020, format!("expected one of {}", list.join(", ")))
    }
}

fn split_url<'a>(text: &'a str, expected: &str) -> Result<(&'a str, &'a str), Wrong> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| Wrong::new(Code::E020, expected))?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        return Err(Wrong::new(Code::E020, expected).help("no user name belongs here"));
    }
    if authority.contains(['/', '?', '#']) {
        return Err(Wrong::new(Code::E020, expected).help("nothing may follow the port"));
    }
    Ok((scheme, authority))
}

/// Host without brackets, and port.
fn split_authority<'a>(
    authority: &'a str,
    default: u16,
    expected: &str,
) -> Result<(&'a str, u16), Wrong> {
    let wrong = || Wrong::new(Code::E020, expected);
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']').ok_or_else(wrong)?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(wrong());
            }
            match behind {
                "" => (host, None),
                port => (host, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
            }
        }
        None if authority.matches(':').count() > 1 => {
            return Err(wrong().help("an IPv6 address stands in brackets: `[::1]`"));
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        None => default,
        Some(port) => digits(port)
            .and_then(|n| u16::try_from(n).ok())
            .filter(|_| !port.is_empty())
            .ok_or_else(|| Wrong::new(Code::E020, "expected a port from 1 to 65535"))?,
    };
    Ok((host, port))
}

fn is_host_name(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 253
        && !host.starts_with(['.', '-'])
        && host
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listener_urls() {
        for (text, want) in [
            ("imap://0.0.0.0", Some("imap Upgrade 0.0.0.0:143")),
            ("imaps://[::]", Some("imap Implicit [::]:993")),
            ("pop3://127.0.0.1:1110", Some("pop3 Upgrade 127.0.0.1:1110")),
            ("pop3s://[::1]:1995/", Some("pop3 Implicit [::1]:1995")),
            ("imap://127.0.0.1:0", Some("imap Upgrade 127.0.0.1:0")),
            ("submissions://0.0.0.0", Some("submission")),
            ("imap://localhost", None),
            ("imap://", None),
            ("imap://::1", None),
            ("imap://1.2.3.4:99999", None),
            ("imap://1.2.3.4:", None),
            ("imap://1.2.3.4:+1", None),
            ("imap://u@1.2.3.4", None),
            ("imap://1.2.3.4/INBOX", None),
            ("imap+starttls://1.2.3.4", None),
            ("1.2.3.4:143", None),
            ("smtp://1.2.3.4", None),
        ] {
            let got = listen_url(text).ok().map(|url| match url {
                ListenUrl::Mail {
                    protocol,
                    tls,
                    bind,
                } => format!("{protocol} {tls:?} {bind}"),
                ListenUrl::Submission => "submission".into(),
            });
            assert_eq!(got.as_deref(), want, "{text}");
        }
        let help = listen_url("imap://[::ffff:127.0.0.1]:143")
            .unwrap_err()
            .help;
        assert_eq!(help.as_deref(), Some("write `127.0.0.1`"));
        let help = listen_url("imsp://1.2.3.4").unwrap_err().help;
        assert_eq!(help.as_deref(), Some("did you mean `imap`?"));
    }

    #[test]
    fn host_urls() {
        for (text, want) in [
            (
                "imap://10.0.0.5",
                Some(("10.0.0.5", "imap Clear 10.0.0.5 143")),
            ),
            (
                "imaps://store.example.net:1993",
                Some((
                    "store.example.net:1993",
                    "imap Implicit store.example.net 1993",
                )),
            ),
            (
                "imap+starttls://[2001:db8::1]",
                Some(("[2001:db8::1]", "imap StartTls 2001:db8::1 143")),
            ),
            ("pop3s://a:995", Some(("a", "pop3 Implicit a 995"))),
            ("demo://", Some(("demo", "imap Clear demo"))),
            ("submission://a:587", Some(("a", "submission"))),
            ("demo://x", None),
            ("imap://", None),
            ("imap://a b", None),
            ("imap://-x", None),
            ("imap://a:0", None),
            ("imap://a@b", None),
            ("imaps+starttls://a", None),
            ("a", None),
        ] {
            let got = host_url(text).ok().map(|url| match url {
                HostUrl::Submission(name) => (name, "submission".to_owned()),
                HostUrl::Mail(endpoint, name) => {
                    let target = match endpoint.target {
                        Target::Network { host, port } => format!("{host} {port}"),
                        Target::Demo => "demo".into(),
                    };
                    let words = format!("{} {:?} {target}", endpoint.protocol, endpoint.security);
                    (name, words)
                }
            });
            let got = got.as_ref().map(|(a, b)| (a.as_str(), b.as_str()));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn other_urls() {
        let help = address("[::ffff:127.0.0.1]:9090").unwrap_err().help;
        assert_eq!(help.as_deref(), Some("write `127.0.0.1`"));
        assert!(http_url("https://a.b/c?d=e").is_ok());
        assert!(http_url("http://[::1]:80/").is_ok());
        assert!(http_url("ftp://a").is_err());
        assert!(http_url("https://").is_err());
        assert_eq!(state_url("memory"), Ok(true));
        assert_eq!(state_url("redis://a:6379/0"), Ok(false));
        for good in [
            "redis://host",
            "rediss://user@host:6379/0",
            "redis://user:p%40ss@[::1]:6379/2",
        ] {
            assert_eq!(state_url(good), Ok(false), "{good}");
        }
        for bad in [
            "file:relative",
            "redis://",
            "redis://user@host:notaport/0",
            "redis://user@host:99999/0",
            "redis://host/nonumber",
            "redis:///0",
        ] {
            assert!(state_url(bad).is_err(), "{bad}");
        }
    }
}
