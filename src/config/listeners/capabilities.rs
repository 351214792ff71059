//! `capabilities:` of a listener: whether the gateway can keep what is promised, and whether anybody could
//! log in by it.

use super::cleartext_login;
use crate::config::check::Report;
use crate::config::problem::{Code, quoted};
use crate::config::raw::Raw;
use crate::config::value::Wrong;
use crate::listen::TlsMode;
use crate::protocol::{ClearLogin, Protocol, sasl};

/// How a client of a listener may log in: what its capabilities depend on.
pub(super) struct Login {
    tls: TlsMode,
    /// Whether it may without TLS.
    clear: ClearLogin,
    certificate: Certificate,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Certificate {
    Asked,
    Unasked,
}

impl Login {
    pub(super) fn of(listener: Raw<'_>, tls: TlsMode) -> Self {
        Login {
            tls,
            clear: cleartext_login(listener),
            certificate: match listener.get("client_ca").is_there() {
                true => Certificate::Asked,
                false => Certificate::Unasked,
            },
        }
    }
}

/// A list shown instead of ours: each item must be one the gateway can keep before login.
pub(super) fn capabilities(
    listener: Raw<'_>,
    login: Login,
    protocol: Protocol,
    report: &mut Report<'_>,
) -> Option<Vec<String>> {
    let raw = listener.get("capabilities");
    raw.node()?;
    let mut items = Vec::new();
    for item in raw.items() {
        let Some(text) = item.text() else { continue };
        if let Err(expected) = capability(text, protocol, &login) {
            let message = format!("{} cannot be promised here", quoted(text));
            report.say(item.mark(), Code::E034, message, expected);
        }
        items.push(text.to_owned());
    }
    let base = |item: &String| {
        item.eq_ignore_ascii_case("IMAP4rev1") || item.eq_ignore_ascii_case("IMAP4rev2")
    };
    if protocol == Protocol::Imap && !items.iter().any(base) {
        let message = "no IMAP4rev1 among the capabilities";
        let expected = "expected `IMAP4rev1` or `IMAP4rev2` (RFC 9051 §6.1.1)";
        report.say(raw.mark(), Code::E034, message, expected);
    }
    let (upgrade, rfc) = match protocol {
        Protocol::Imap => ("STARTTLS", "RFC 9051 §6.2.1"),
        Protocol::Pop3 => ("STLS", "RFC 2595 §4"),
    };
    let offered = items.iter().any(|item| item.eq_ignore_ascii_case(upgrade));
    if login.tls == TlsMode::Upgrade && login.clear == ClearLogin::Refused && !offered {
        let message = format!("no {upgrade} among the capabilities");
        let wrong = Wrong::new(
            Code::W008,
            format!("clients that look for `{upgrade}` ({rfc}) will not log in here"),
        );
        report.add(raw.mark(), Code::W008, message, wrong);
    }
    Some(items)
}

fn capability(text: &str, protocol: Protocol, login: &Login) -> Result<(), &'static str> {
    if !text.bytes().all(|c| c.is_ascii_graphic() || c == b' ') {
        return Err("expected printable ASCII");
    }
    let upper = text.to_ascii_uppercase();
    match protocol {
        Protocol::Imap => match upper.as_str() {
            _ if upper.contains([' ', '(', ')', '{', '"', '\\', '%', '*', ']']) => {
                Err("expected one atom an element (RFC 9051 §9)")
            }
            "STARTTLS" | "LOGINDISABLED" if login.tls == TlsMode::Implicit => {
                Err("TLS is on from the first byte here")
            }
            word => match word.strip_prefix("AUTH=") {
                Some(mechanism) => mechanisms([mechanism], login),
                None if word.starts_with("COMPRESS=") => Err("nothing is compressed before login"),
                None => Ok(()),
            },
        },
        Protocol::Pop3 => {
            let mut words = upper.split(' ');
            match words.next() {
                Some("") | None => Err("expected a capability (RFC 2449 §5)"),
                Some("STLS") if login.tls == TlsMode::Implicit => {
                    Err("TLS is on from the first byte here")
                }
                Some("SASL") => mechanisms(words, login),
                Some("APOP") => Err("the gateway cannot do APOP"),
                _ => Ok(()),
            }
        }
    }
}

/// What is said of a mechanism that is none of ours.
const MECHANISMS: &str = "the gateway can do PLAIN, LOGIN, XOAUTH2, OAUTHBEARER, EXTERNAL, SCRAM-SHA-1 and SCRAM-SHA-256; \
     of these it shows those that can be served";

/// Whether mechanisms may be promised: they are shown where they can be served.
fn mechanisms<'a>(
    names: impl IntoIterator<Item = &'a str>,
    login: &Login,
) -> Result<(), &'static str> {
    for name in names {
        match sasl::Mechanism::from_name(name.as_bytes()) {
            _ if name == sasl::EXTERNAL && login.certificate == Certificate::Unasked => {
                return Err("a login by certificate needs `client_ca`");
            }
            None if name != sasl::EXTERNAL => return Err(MECHANISMS),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_those_the_gateway_keeps() {
        use Protocol::{Imap, Pop3};
        use TlsMode::{Implicit, Upgrade};
        for (text, protocol, tls, fine) in [
            ("IMAP4rev1", Imap, Implicit, true),
            ("AUTH=PLAIN", Imap, Implicit, true),
            ("AUTH=CRAM-MD5", Imap, Implicit, false),
            ("auth=xoauth2", Imap, Implicit, true),
            ("AUTH=SCRAM-SHA-256", Imap, Implicit, true),
            ("AUTH=SCRAM-SHA-256-PLUS", Imap, Implicit, false),
            ("AUTH=EXTERNAL", Imap, Implicit, false),
            ("SASL PLAIN EXTERNAL", Pop3, Upgrade, false),
            ("SASL PLAIN OAUTHBEARER SCRAM-SHA-1", Pop3, Upgrade, true),
            ("STARTTLS", Imap, Upgrade, true),
            ("starttls", Imap, Implicit, false),
            ("A B", Imap, Upgrade, false),
            ("COMPRESS=DEFLATE", Imap, Upgrade, false),
            ("SASL PLAIN", Pop3, Upgrade, true),
            ("SASL CRAM-MD5", Pop3, Upgrade, false),
            ("EXPIRE NEVER", Pop3, Implicit, true),
            ("STLS", Pop3, Implicit, false),
            ("APOP", Pop3, Implicit, false),
        ] {
            let mut login = Login {
                tls,
                clear: ClearLogin::Refused,
                certificate: Certificate::Unasked,
            };
            assert_eq!(capability(text, protocol, &login).is_ok(), fine, "{text}");
            login.certificate = Certificate::Asked;
            let fine = fine || text.ends_with("EXTERNAL");
            assert_eq!(capability(text, protocol, &login).is_ok(), fine, "{text}");
        }
    }
}
