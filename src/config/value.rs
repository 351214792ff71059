//! The words of proxy.yaml: durations, sizes, rates, networks, URLs and the like, from text.
//!
//! Each function takes the text of one scalar; what it refuses says what was expected.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use ipnet::IpNet;

use super::problem::{Code, did_you_mean};
use crate::backend::config::{Endpoint, Security, Target};
use crate::listen::TlsMode;
use crate::protocol::Protocol;
use crate::protocol::pop3::config::UidlFormat;
use crate::protocol::pop3::unique_id::BadFormat;
use crate::session::Rate;

/// Why a text is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The code.
    pub code: Code,
    /// What was expected.
    pub expected: String,
    /// What to do.
    pub help: Option<String>,
}

impl Wrong {
    /// Expected this.
    pub(super) fn new(code: Code, expected: impl Into<String>) -> Self {
        Wrong {
            code,
            expected: expected.into(),
            help: None,
        }
    }

    /// With a next step.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// `250ms`, `30s`, `5m`, `1h`; at most a year.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = || {
        Wrong::new(
            Code::E021,
            "expected a number and a unit, like `250ms`, `30s`, `5m`, `1h`",
        )
    };
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => return Err(wrong().help(format!("write `{text}s` for seconds"))),
        _ => return Err(wrong()),
    };
    const YEAR: u64 = 366 * 24 * 3_600_000;
    number
        .checked_mul(millis)
        .filter(|total| *total <= YEAR)
        .map(Duration::from_millis)
        .ok_or_else(|| Wrong::new(Code::E021, "expected at most a year"))
}

/// `64KiB`, `1MiB`, `1GiB`, or octets as a bare number.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let wrong = || Wrong::new(Code::E022, "expected a size, like `64KiB` or `1MiB`");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let factor: u64 = match unit {
        "" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        "GiB" => 1024 * 1024 * 1024,
        other => {
            let help = did_you_mean(other, ["KiB", "MiB", "GiB"]);
            return Err(Wrong { help, ..wrong() });
        }
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

/// `100/10m`
pub(super) fn rate(text: &str) -> Result<Rate, Wrong> {
    let wrong = || {
        Wrong::new(
            Code::E023,
            "expected so many in such a time, like `100/10m`",
        )
    };
    let (count, per) = text.split_once('/').ok_or_else(wrong)?;
    let count = digits(count).and_then(|n| u32::try_from(n).ok());
    let per = duration(per).map_err(|_| wrong())?;
    match count {
        Some(count) if !per.is_zero() => Ok(Rate { count, per }),
        _ => Err(wrong()),
    }
}

/// `10.0.0.0/8`, `2001:db8::/32`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(ip));
    }
    let net: IpNet = text.parse().map_err(|_| {
        Wrong::new(
            Code::E024,
            "expected a network or an address, like `10.0.0.0/8` or `2001:db8::1`",
        )
    })?;
    match net.trunc() {
        whole if whole == net => Ok(net),
        whole => Err(Wrong::new(
            Code::E024,
            "expected the network's first address before the slash",
        )
        .help(format!("did you mean `{whole}`?"))),
    }
}

/// `127.0.0.1:9090`
pub(super) fn address(text: &str) -> Result<SocketAddr, Wrong> {
    let expected = "expected an address and a port, like `127.0.0.1:9090` or `[::1]:9090`";
    text.parse().map_err(|_| {
        let wrong = Wrong::new(Code::E020, expected);
        match text.strip_prefix("localhost:").or(text.strip_prefix(':')) {
            Some(port) => wrong.help(format!("write `127.0.0.1:{port}`")),
            None => wrong,
        }
    })
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
        bind: SocketAddr::new(ip, port),
    })
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
        Some(("redis" | "rediss", rest)) if !rest.is_empty() => Ok(false),
        _ => Err(Wrong {
            help: did_you_mean(text, ["memory"]),
            ..wrong()
        }),
    }
}

/// `sha256/` and the base64 of a SHA-256.
pub(super) fn pin(text: &str) -> Result<[u8; 32], Wrong> {
    text.strip_prefix("sha256/")
        .and_then(|hash| base64::engine::general_purpose::STANDARD.decode(hash).ok())
        .and_then(|hash| hash.try_into().ok())
        .ok_or_else(|| {
            Wrong::new(
                Code::E031,
                "expected `sha256/` and the base64 of a public key's SHA-256",
            )
        })
}

/// A preset's name, or a template.
pub(super) fn uidl(text: &str) -> Result<UidlFormat, Wrong> {
    UidlFormat::parse(text).map_err(|bad| Wrong {
        help: match bad {
            BadFormat::UnknownPreset(_) => did_you_mean(text, UidlFormat::PRESETS),
            _ => None,
        },
        ..Wrong::new(Code::E030, bad.to_string())
    })
}

/// A domain name, without a leading `@`.
pub(super) fn domain(text: &str) -> Result<&str, Wrong> {
    let fine = !text.is_empty()
        && text.len() <= 253
        && !text.starts_with('.')
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    match (fine, text.strip_prefix('@')) {
        (true, _) => Ok(text),
        (false, Some(bare)) => Err(
            Wrong::new(Code::E032, "expected a domain, like `example.org`")
                .help(format!("write it without the `@`: `{bare}`")),
        ),
        (false, None) => Err(Wrong::new(
            Code::E032,
            "expected a domain, like `example.org`",
        )),
    }
}

/// A name of a backend, a host or a listener: what fits into a log line, a metric's label and the
/// path of an admin request.
pub(super) fn name(text: &str) -> Result<&str, Wrong> {
    let fine = !text.is_empty()
        && text.len() <= 255
        && !text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == '"');
    match fine {
        true => Ok(text),
        false => Err(Wrong::new(
            Code::E026,
            "expected a name: no spaces, quotes or control characters, at most 255 octets",
        )),
    }
}

/// A text that is sent in one line.
pub(super) fn line(text: &str) -> Result<&str, Wrong> {
    let fine = !text.is_empty() && text.len() <= 400 && !text.chars().any(char::is_control);
    match fine {
        true => Ok(text),
        false => Err(Wrong::new(
            Code::E026,
            "expected one line of text: not empty, no control characters, at most 400 octets",
        )),
    }
}

/// A whole number within bounds.
pub(super) fn count(text: &str, least: u64, most: u64) -> Result<u64, Wrong> {
    digits(text)
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| {
            Wrong::new(
                Code::E025,
                format!("expected a whole number from {least} to {most}"),
            )
        })
}

/// One of some words.
pub(super) fn word(text: &str, words: &[&str]) -> Result<(), Wrong> {
    if words.contains(&text) {
        return Ok(());
    }
    let list: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let expected = match list.as_slice() {
        [one] => format!("expected {one}"),
        [first @ .., last] => format!("expected {} or {last}", first.join(", ")),
        [] => String::new(),
    };
    Err(Wrong {
        help: did_you_mean(text, words.iter().copied()),
        ..Wrong::new(Code::E014, expected)
    })
}

fn digits(text: &str) -> Option<u64> {
    match text.bytes().all(|c| c.is_ascii_digit()) {
        true => text.parse().ok(),
        false => None,
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
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
    fn durations() {
        for (text, want) in [
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("0s", Some(0)),
            ("8784h", Some(8784 * 3_600_000)),
            ("8785h", None),
            ("", None),
            ("5", None),
            ("s", None),
            ("-5s", None),
            ("5 s", None),
            ("1.5s", None),
            ("1d", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            let got = duration(text).ok();
            assert_eq!(got, want.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes_and_rates() {
        for (text, want) in [
            ("64KiB", Some(65_536)),
            ("1MiB", Some(1 << 20)),
            ("2GiB", Some(2 << 30)),
            ("0", Some(0)),
            ("512", Some(512)),
            ("64KB", None),
            ("64kib", None),
            ("KiB", None),
            ("99999999999999GiB", None),
        ] {
            assert_eq!(size(text).ok(), want, "{text}");
        }
        assert_eq!(
            size("1Mib").unwrap_err().help.as_deref(),
            Some("did you mean `MiB`?")
        );
        let ten_minutes = Duration::from_secs(600);
        for (text, want) in [
            ("100/10m", Some(100)),
            ("0/10m", Some(0)),
            ("100", None),
            ("100/0s", None),
            ("/10m", None),
            ("100/10", None),
        ] {
            let want = want.map(|count| Rate {
                count,
                per: ten_minutes,
            });
            assert_eq!(rate(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn networks() {
        for (text, want) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.0.0.1", Some("10.0.0.1/32")),
            ("::1", Some("::1/128")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("10.0.0.1/8", None),
            ("10.0.0.0/33", None),
            ("ten", None),
        ] {
            let got = network(text).ok().map(|net| net.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
        let help = network("10.0.0.1/8").unwrap_err().help;
        assert_eq!(help.as_deref(), Some("did you mean `10.0.0.0/8`?"));
    }

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
    fn other_words() {
        assert!(pin("sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=").is_ok());
        assert!(pin("sha256/47DEQpj8HBSa").is_err());
        assert!(pin("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=").is_err());
        for (text, fine) in [
            ("dovecot", true),
            ("uw", true),
            ("dovecott", false),
            ("{uid:hex8}{uidvalidity:hex8}", true),
            ("{emailid}", true),
            ("{uidvalidity}", false),
            ("{uid", false),
            ("{uid}}", false),
            ("{uid} x", false),
            ("{id}", false),
        ] {
            assert_eq!(uidl(text).is_ok(), fine, "{text}");
        }
        assert!(domain("example.org").is_ok());
        assert!(domain("@example.org").unwrap_err().help.is_some());
        assert!(http_url("https://a.b/c?d=e").is_ok());
        assert!(http_url("http://[::1]:80/").is_ok());
        assert!(http_url("ftp://a").is_err());
        assert!(http_url("https://").is_err());
        assert_eq!(state_url("memory"), Ok(true));
        assert_eq!(state_url("redis://a:6379/0"), Ok(false));
        assert!(state_url("file:relative").is_err());
        assert_eq!(
            word("stiky", &["sticky", "least-sessions"]).unwrap_err(),
            Wrong::new(Code::E014, "expected `sticky` or `least-sessions`")
                .help("did you mean `sticky`?")
        );
        assert!(count("5", 1, 5).is_ok());
        assert!(count("+5", 1, 5).is_err());
        assert!(count("6", 1, 5).is_err());
    }
}
