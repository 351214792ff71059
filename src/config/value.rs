//! The words of proxy.yaml: durations, sizes, rates, networks, names and the like, from text.
//!
//! Each function takes the text of one scalar; what it refuses says what was expected.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use ipnet::IpNet;

use super::problem::{Code, did_you_mean};
use crate::protocol::pop3::config::UidlFormat;
use crate::protocol::pop3::unique_id::BadFormat;
use crate::session::Rate;
use crate::state::times::{self, BadDuration};

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
    times::duration(text).map_err(|bad| match bad {
        BadDuration::Form => wrong(),
        BadDuration::NoUnit => wrong().help(format!("write `{text}s` for seconds")),
        BadDuration::TooLong => Wrong::new(Code::E021, "expected at most a year"),
    })
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
        // None at all would be too many the first time.
        Some(0) => Err(Wrong::new(
            Code::E023,
            "expected at least one, like `1/10m`",
        )),
        Some(count) if !per.is_zero() => Ok(Rate { count, per }),
        _ => Err(wrong()),
    }
}

/// `10.0.0.0/8`, `2001:db8::/32`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let wrong = || {
        Wrong::new(
            Code::E024,
            "expected a network or an address, like `10.0.0.0/8` or `2001:db8::1`",
        )
    };
    if let Ok(ip) = text.parse::<IpAddr>() {
        return match ip.to_canonical() {
            // Clients that come by IPv4 are known by it.
            other if other != ip => Err(wrong().help(format!("write `{other}`"))),
            _ => Ok(IpNet::from(ip)),
        };
    }
    let net: IpNet = text.parse().map_err(|_| wrong())?;
    if let Some(other) = of_ipv4(net) {
        return Err(wrong().help(format!("write `{other}`")));
    }
    match net.trunc() {
        whole if whole == net => Ok(net),
        whole => Err(Wrong::new(
            Code::E024,
            "expected the network's first address before the slash",
        )
        .help(format!("did you mean `{whole}`?"))),
    }
}

/// The network of IPv4 that is written in IPv6's way (RFC 4291 §2.5.5.2).
fn of_ipv4(net: IpNet) -> Option<IpNet> {
    let mapped = match net.addr() {
        IpAddr::V6(ip) => ip.to_ipv4_mapped()?,
        IpAddr::V4(_) => return None,
    };
    let length = net.prefix_len().checked_sub(96)?;
    Some(IpNet::new(mapped.into(), length).ok()?.trunc())
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

/// `stderr`, `syslog`, or a path; what looks like another of the process's own ends is no file.
pub(super) fn output(text: &str) -> Result<(), Wrong> {
    let misspelt = |word: &&str| text.eq_ignore_ascii_case(word) && text != *word;
    let other = ["stderr", "syslog"].into_iter().find(misspelt);
    let is_other = other.is_some() || text == "-" || text.eq_ignore_ascii_case("stdout");
    if !is_other {
        return Ok(());
    }
    let expected = "expected `stderr`, `syslog` or a path";
    let file = format!("a file of that name is written `./{text}`");
    Err(Wrong::new(Code::E014, expected).help(match other {
        Some(word) => format!("write `{word}`; {file}"),
        None => file,
    }))
}

/// A number of digits alone: no sign.
pub(super) fn digits(text: &str) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_duration_is_told_what_it_lacks() {
        assert_eq!(duration("250ms").ok(), Some(Duration::from_millis(250)));
        for (text, expected, help) in [
            ("1d", "a number and a unit", None),
            ("30", "a number and a unit", Some("write `30s` for seconds")),
            ("8785h", "at most a year", None),
        ] {
            let wrong = duration(text).err().unwrap();
            assert!(
                wrong.expected.contains(expected),
                "{text}: {}",
                wrong.expected
            );
            assert_eq!(wrong.help.as_deref(), help, "{text}");
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
            ("0/10m", None),
            ("1/10m", Some(1)),
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

    /// Clients that come by IPv4 are known by it: such a network would match nobody.
    #[test]
    fn networks_of_ipv4_are_not_written_in_ipv6s_way() {
        for (text, want) in [
            ("::ffff:127.0.0.0/104", "write `127.0.0.0/8`"),
            ("::ffff:7f00:1/104", "write `127.0.0.0/8`"),
            ("::ffff:0:0/96", "write `0.0.0.0/0`"),
            ("::ffff:10.0.0.1", "write `10.0.0.1`"),
            ("::ffff:10.0.0.1/128", "write `10.0.0.1/32`"),
        ] {
            let wrong = network(text).unwrap_err();
            assert_eq!(
                (wrong.code, wrong.help.as_deref()),
                (Code::E024, Some(want))
            );
        }
        for fine in ["::/0", "::/64", "::127.0.0.1", "64:ff9b::/96"] {
            assert!(network(fine).is_ok(), "{fine}");
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
