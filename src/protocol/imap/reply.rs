//! What an IMAP client is told: failures (RFC 9051 §7.1, codes of RFC 5530 §3) and goodbyes.
//!
//! One `match` for each. A wrong password, an unknown user and a user without a route read the same;
//! what a host said is never in here, but for an alert its user must see. Every text ends with the
//! session's id, by which an operator finds the whole story in the log.

use super::grammar::Tag;
use crate::protocol::{Code, Failure, Farewell};

/// Longest human text that is passed on, in octets.
const TEXT: usize = 200;

/// The answer to a failed login, with its line end; an alert stands untagged before it.
pub fn failure(tag: &Tag, failure: &Failure, session: &str) -> Vec<u8> {
    let mut lines = String::new();
    if let Failure::Aborted = failure {
        // RFC 9051 §6.2.2.
        return format!("{} BAD AUTHENTICATE aborted\r\n", tag.as_str()).into_bytes();
    }
    if let Failure::Refused {
        alert: Some(alert), ..
    } = failure
    {
        lines.push_str(&format!(
            "* NO [ALERT] {}\r\n",
            text(alert, "see your provider")
        ));
    }
    lines.push_str(&format!(
        "{} NO [{}] {} ({session})\r\n",
        tag.as_str(),
        code(failure),
        words(failure)
    ));
    lines.into_bytes()
}

/// What stands in brackets. TLS that a host misses is missing on the gateway's leg, never on the client's.
fn code(failure: &Failure) -> &'static str {
    match failure {
        Failure::Refused {
            code: Code::PrivacyRequired,
            ..
        } => Code::ContactAdmin.as_str(),
        _ => failure.code(),
    }
}

fn words(failure: &Failure) -> String {
    let words = match failure {
        Failure::Credentials | Failure::Aborted | Failure::NoRoute | Failure::NotTaken { .. } => {
            code_words(Code::AuthenticationFailed)
        }
        Failure::PrivacyRequired => code_words(Code::PrivacyRequired),
        Failure::UnsupportedMechanism { .. } => "unsupported authentication mechanism",
        Failure::NotAllowed { text: own } => {
            let default = code_words(Code::AuthorizationFailed);
            return own
                .as_deref()
                .map_or(default.into(), |own| text(own, default));
        }
        Failure::NotServed => code_words(Code::AuthorizationFailed),
        Failure::Held => "this mailbox is being moved, try again in a few minutes",
        Failure::Maintenance { text: own } => return text(own, code_words(Code::Unavailable)),
        Failure::Declined {
            text: own, code, ..
        } => return text(own, code_words(*code)),
        Failure::TooMany { .. } => code_words(Code::Limit),
        Failure::MapUnavailable { .. }
        | Failure::Left
        | Failure::Unreachable { .. }
        | Failure::TimedOut { .. }
        | Failure::Unexplained => code_words(Code::Unavailable),
        Failure::HostTls { .. } | Failure::HostSetup { .. } => code_words(Code::ContactAdmin),
        Failure::HostProtocol { .. } | Failure::Loop => code_words(Code::ServerBug),
        Failure::Refused {
            code: Code::PrivacyRequired,
            ..
        } => code_words(Code::ContactAdmin),
        Failure::Refused { code, .. } => code_words(*code),
    };
    words.into()
}

/// Our words for a code, whoever gave it.
fn code_words(code: Code) -> &'static str {
    match code {
        Code::AuthenticationFailed => "wrong name or password",
        Code::AuthorizationFailed => "this account may not log in here",
        Code::Unavailable => "mail is not available for the moment, try again later",
        Code::Limit => "too many connections or failed logins, try again later",
        Code::Expired => "the password has expired",
        Code::ContactAdmin => "the mail server needs its administrator, please tell them",
        Code::PrivacyRequired => "a login needs TLS first",
        Code::InUse => "the mailbox is in use, try again later",
        Code::ServerBug => "the mail server made an error, please tell its administrator",
    }
}

/// BYE (RFC 9051 §7.1.5): why we end it, with its line end.
pub fn farewell(reason: Farewell, session: &str) -> Vec<u8> {
    let words = match reason {
        Farewell::Timeout => "idle for too long",
        Farewell::Shutdown => "the server is going down, please connect again",
        Farewell::TooMany => "[LIMIT] too many connections, try again later",
        Farewell::TooManyFailures => "too many failed logins",
        Farewell::Kicked => "the session was ended by the administrator, please connect again",
    };
    format!("* BYE {words} ({session})\r\n").into_bytes()
}

/// Somebody's words as `text` of the grammar: printable ASCII, at most 200 octets, and not read as a
/// response code. `default` if nothing is left.
pub fn text(words: &str, default: &str) -> String {
    let printable = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    let clean: String = words.trim().chars().map(printable).take(TEXT).collect();
    match clean.strip_prefix('[') {
        Some(rest) => format!("({rest}"),
        None if clean.is_empty() => default.into(),
        None => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Limit;

    fn said(failure: &Failure) -> String {
        let tag = Tag::new(b"a1").unwrap();
        String::from_utf8(super::failure(&tag, failure, "S1")).unwrap()
    }

    fn declined(code: Code) -> Failure {
        Failure::Declined {
            text: "call 555-0100".into(),
            code,
            wait: None,
        }
    }

    #[test]
    fn a_lookup_service_speaks_to_the_user() {
        let said = said(&declined(Code::AuthenticationFailed));
        assert_eq!(said, "a1 NO [AUTHENTICATIONFAILED] call 555-0100 (S1)\r\n");
    }

    #[test]
    fn each_failure_has_its_code() {
        let cause = String::new;
        for (failure, code) in [
            (Failure::Credentials, "AUTHENTICATIONFAILED"),
            (Failure::NoRoute, "AUTHENTICATIONFAILED"),
            (Failure::PrivacyRequired, "PRIVACYREQUIRED"),
            (Failure::UnsupportedMechanism { name: "APOP" }, "CANNOT"),
            (Failure::NotAllowed { text: None }, "AUTHORIZATIONFAILED"),
            (Failure::NotServed, "AUTHORIZATIONFAILED"),
            (Failure::Held, "UNAVAILABLE"),
            (Failure::Left, "UNAVAILABLE"),
            (
                Failure::TooMany {
                    limit: Limit::PerUser,
                },
                "LIMIT",
            ),
            (Failure::MapUnavailable { cause: cause() }, "UNAVAILABLE"),
            (Failure::Unreachable { cause: cause() }, "UNAVAILABLE"),
            (Failure::TimedOut { state: "greeting" }, "UNAVAILABLE"),
            (Failure::HostTls { cause: cause() }, "CONTACTADMIN"),
            (Failure::HostSetup { cause: cause() }, "CONTACTADMIN"),
            (Failure::Loop, "SERVERBUG"),
            (Failure::Unexplained, "UNAVAILABLE"),
            (declined(Code::AuthenticationFailed), "AUTHENTICATIONFAILED"),
            (declined(Code::Unavailable), "UNAVAILABLE"),
            (
                Failure::HostProtocol {
                    expected: "a greeting",
                    got: "secret words".into(),
                },
                "SERVERBUG",
            ),
        ] {
            let said = said(&failure);
            assert!(said.starts_with(&format!("a1 NO [{code}] ")), "{said}");
            assert!(said.ends_with(" (S1)\r\n"), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn strangers_and_wrong_passwords_read_the_same() {
        let refused = Failure::Refused {
            code: Code::AuthenticationFailed,
            alert: None,
        };
        assert_eq!(said(&Failure::Credentials), said(&Failure::NoRoute));
        assert_eq!(said(&Failure::Credentials), said(&refused));
        let cause = "it offers no AUTH=XOAUTH2".into();
        assert_eq!(
            said(&Failure::Credentials),
            said(&Failure::NotTaken { cause })
        );
    }

    #[test]
    fn others_words_cannot_break_out() {
        let text = "back\r\na1 OK at 6 \u{fc}".to_owned() + &"x".repeat(300);
        let said = said(&Failure::Maintenance { text });
        assert!(said.starts_with("a1 NO [UNAVAILABLE] back??a1 OK at 6 ?xxx"));
        assert!(said.len() < 240 && said.matches("\r\n").count() == 1);
        assert_eq!(super::text("[ALERT] x", "-"), "(ALERT] x");
        assert_eq!(super::text(" \r\n", "-"), "-");
    }

    #[test]
    fn an_alert_reaches_its_user() {
        let refused = Failure::Refused {
            code: Code::ContactAdmin,
            alert: Some("use the\nweb".into()),
        };
        assert_eq!(
            said(&refused),
            "* NO [ALERT] use the?web\r\n\
             a1 NO [CONTACTADMIN] the mail server needs its administrator, please tell them (S1)\r\n"
        );
    }
}
