//! What a POP3 client is told: failures with their codes, and the answers both states share.
//!
//! One `match` turns a [`Failure`] into `-ERR [CODE] text (SESSION)` with the codes of RFC 2449 §8
//! and RFC 3206 §4. Every line is at most 512 octets long, printable, and never starts with a
//! bracket that we did not mean: to a client with RESP-CODES any `[` there is a code.

use crate::protocol::{Code, Failure};

/// Longest response line with its CRLF (RFC 1939 §3).
pub const LONGEST_LINE: usize = 512;

/// A response code (RFC 2449 §8.1, RFC 3206 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseCode {
    /// `[AUTH]`: the credentials are at fault.
    Auth,
    /// `[IN-USE]`: the credentials may be right, the maildrop is busy.
    InUse,
    /// `[SYS/TEMP]`: our side or the host's, likely to pass.
    SysTemp,
    /// `[SYS/PERM]`: our side or the host's, a person has to act.
    SysPerm,
}

impl ResponseCode {
    /// With its brackets.
    pub fn as_str(self) -> &'static str {
        match self {
            ResponseCode::Auth => "[AUTH]",
            ResponseCode::InUse => "[IN-USE]",
            ResponseCode::SysTemp => "[SYS/TEMP]",
            ResponseCode::SysPerm => "[SYS/PERM]",
        }
    }
}

/// What characters may be sent to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// ASCII; others become `?`.
    #[default]
    Ascii,
    /// The client said UTF8 (RFC 6856 §2).
    Utf8,
}

/// The whole line for a failed login. Unknown users, wrong passwords and missing routes read alike;
/// a host's own words are never passed on, but for an alert.
pub fn failure(failure: &Failure, session: &str, charset: Charset) -> Vec<u8> {
    use ResponseCode::{Auth, InUse, SysPerm, SysTemp};

    let (code, text) = match failure {
        Failure::Aborted => return b"-ERR aborted\r\n".to_vec(),
        // No code says this: the credentials are not at fault, and nobody has to act.
        Failure::UnsupportedMechanism { .. } => {
            return err(None, "mechanism not offered", session, charset);
        }
        Failure::Credentials | Failure::NoRoute | Failure::NotTaken { .. } => {
            (Auth, "wrong name or password")
        }
        Failure::PrivacyRequired => (Auth, "use STLS first: no login without TLS here"),
        Failure::NotAllowed { text } => (
            Auth,
            text.as_deref().unwrap_or("this account may not log in"),
        ),
        Failure::NotServed => (Auth, "this account may not log in"),
        Failure::TooMany { .. } => (InUse, "too many sessions or attempts, try again later"),
        Failure::Maintenance { text } => (SysTemp, text.as_str()),
        Failure::Held => (
            SysTemp,
            "this mailbox is being moved, try again in a few minutes",
        ),
        Failure::Declined { text, code, .. } => match code {
            Code::Unavailable => (SysTemp, text.as_str()),
            _ => (Auth, text.as_str()),
        },
        Failure::MapUnavailable { .. }
        | Failure::Left
        | Failure::Unreachable { .. }
        | Failure::TimedOut { .. } => (
            SysTemp,
            "the mail server cannot be reached, try again later",
        ),
        Failure::Unexplained => (SysTemp, "the mail server is not available, try again later"),
        Failure::HostTls { .. } | Failure::HostSetup { .. } => (
            SysPerm,
            "the mail server is not set up right, tell its administrator",
        ),
        Failure::HostProtocol { .. } | Failure::Loop => (
            SysPerm,
            "the mail server does not work right, tell its administrator",
        ),
        Failure::Refused { code, alert } => {
            let (response, text) = match code {
                Code::AuthenticationFailed => (Auth, "wrong name or password"),
                Code::AuthorizationFailed => (Auth, "this account may not log in"),
                Code::Expired => (Auth, "the password has expired"),
                Code::InUse => (InUse, "the mailbox is in use, try again later"),
                Code::Unavailable => (SysTemp, "the mail server is not available, try again later"),
                Code::Limit => (SysTemp, "the mail server is at a limit, try again later"),
                Code::ContactAdmin | Code::PrivacyRequired => (
                    SysPerm,
                    "the mail server does not let this account in, tell its administrator",
                ),
                Code::ServerBug => (
                    SysPerm,
                    "the mail server does not work right, tell its administrator",
                ),
            };
            (response, alert.as_deref().unwrap_or(text))
        }
    };
    err(Some(code), text, session, charset)
}

/// `-ERR [CODE] text (SESSION)`: a failure that a user may read to an operator.
pub fn err(code: Option<ResponseCode>, text: &str, session: &str, charset: Charset) -> Vec<u8> {
    let mut line = String::from("-ERR ");
    if let Some(code) = code {
        line.push_str(code.as_str());
        line.push(' ');
    }
    let end = format!(" ({session})\r\n");
    let room = LONGEST_LINE.saturating_sub(line.len().saturating_add(end.len()));
    push_text(&mut line, text, room, charset);
    line.push_str(&end);
    line.into_bytes()
}

/// `+OK text`, with text from elsewhere made fit for it.
pub fn ok(text: &str, charset: Charset) -> Vec<u8> {
    let mut line = String::from("+OK");
    let room = LONGEST_LINE.saturating_sub("+OK \r\n".len());
    let mut fit = String::from(" ");
    push_text(&mut fit, text, room, charset);
    if fit.len() > 1 {
        line.push_str(&fit);
    }
    line.push_str("\r\n");
    line.into_bytes()
}

/// Appends at most `room` octets of a text: no control characters, none outside the charset, and
/// nothing that reads as a response code.
fn push_text(line: &mut String, text: &str, room: usize, charset: Charset) {
    let mut room = room;
    for c in text.trim_start_matches(['[', ' ']).chars() {
        let c = match charset {
            _ if c.is_control() => ' ',
            Charset::Ascii if !c.is_ascii() => '?',
            _ => c,
        };
        match room.checked_sub(c.len_utf8()) {
            Some(left) => room = left,
            None => return,
        }
        line.push(c);
    }
}

/// What CAPA lists in both states, whatever the channel (RFC 2449 §5: what is there before login is
/// announced after it too). Clients decide by the list before login whether they may use UIDL.
pub const CAPABILITIES: [&str; 7] = [
    "TOP",
    "UIDL",
    "RESP-CODES",
    "PIPELINING",
    "AUTH-RESP-CODE",
    "UTF8 USER",
    "LANG",
];

/// Announced in either state wherever a login can be shown (RFC 5034 §3: after login too). Further
/// mechanisms follow where there are some.
pub const LOGIN_CAPABILITIES: [&str; 2] = ["USER", "SASL PLAIN LOGIN"];

/// A multi-line answer of short lines that need no stuffing.
pub fn list<'a>(text: &str, lines: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut answer = format!("+OK {text}\r\n");
    for line in lines {
        answer.push_str(line);
        answer.push_str("\r\n");
    }
    answer.push_str(".\r\n");
    answer.into_bytes()
}

/// LANG (RFC 6856 §3.2): our texts are English, and `i-default` must be among the languages.
pub fn lang(tag: Option<&[u8]>) -> Vec<u8> {
    let Some(tag) = tag else {
        return list("languages follow", ["i-default Default", "en English"]);
    };
    if tag == b"*" || tag.eq_ignore_ascii_case(b"i-default") {
        b"+OK i-default texts are in English\r\n".to_vec()
    } else if tag.eq_ignore_ascii_case(b"en") {
        b"+OK en texts are in English\r\n".to_vec()
    } else {
        b"-ERR no texts in that language\r\n".to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Limit;

    fn line(f: Failure) -> String {
        String::from_utf8(failure(&f, "S1", Charset::Ascii)).unwrap()
    }

    fn refused(code: Code) -> Failure {
        Failure::Refused { code, alert: None }
    }

    fn declined(code: Code) -> Failure {
        Failure::Declined {
            text: "call 555-0100".into(),
            code,
            wait: Some(3),
        }
    }

    /// The table of the architecture, row by row.
    #[test]
    fn every_failure_has_its_code() {
        let why = || "secret detail".to_owned();
        for (failure, want) in [
            (Failure::Credentials, "[AUTH]"),
            (Failure::PrivacyRequired, "[AUTH]"),
            (Failure::NotAllowed { text: None }, "[AUTH]"),
            (Failure::NotServed, "[AUTH]"),
            (Failure::Held, "[SYS/TEMP]"),
            (Failure::Left, "[SYS/TEMP]"),
            (
                Failure::TooMany {
                    limit: Limit::PerUser,
                },
                "[IN-USE]",
            ),
            (Failure::NoRoute, "[AUTH]"),
            (Failure::MapUnavailable { cause: why() }, "[SYS/TEMP]"),
            (
                Failure::Maintenance {
                    text: "back at 6".into(),
                },
                "[SYS/TEMP]",
            ),
            (Failure::Unreachable { cause: why() }, "[SYS/TEMP]"),
            (
                Failure::TimedOut {
                    state: "secret detail",
                },
                "[SYS/TEMP]",
            ),
            (Failure::HostTls { cause: why() }, "[SYS/PERM]"),
            (Failure::HostSetup { cause: why() }, "[SYS/PERM]"),
            (
                Failure::HostProtocol {
                    expected: "secret detail",
                    got: why(),
                },
                "[SYS/PERM]",
            ),
            (Failure::Loop, "[SYS/PERM]"),
            (Failure::Unexplained, "[SYS/TEMP]"),
            (declined(Code::AuthenticationFailed), "[AUTH]"),
            (declined(Code::Unavailable), "[SYS/TEMP]"),
            (refused(Code::AuthenticationFailed), "[AUTH]"),
            (refused(Code::AuthorizationFailed), "[AUTH]"),
            (refused(Code::Expired), "[AUTH]"),
            (refused(Code::Unavailable), "[SYS/TEMP]"),
            (refused(Code::Limit), "[SYS/TEMP]"),
            (refused(Code::InUse), "[IN-USE]"),
            (refused(Code::ContactAdmin), "[SYS/PERM]"),
            (refused(Code::PrivacyRequired), "[SYS/PERM]"),
            (refused(Code::ServerBug), "[SYS/PERM]"),
        ] {
            let got = line(failure.clone());
            assert!(got.starts_with(&format!("-ERR {want} ")), "{got}");
            assert!(got.ends_with(" (S1)\r\n"), "{got}");
            assert!(!got.contains("secret detail"), "{got}");
        }
    }

    #[test]
    fn who_is_unknown_reads_as_a_wrong_password() {
        let want = line(Failure::Credentials);
        assert_eq!(line(Failure::NoRoute), want);
        assert_eq!(line(refused(Code::AuthenticationFailed)), want);
        let cause = "it offers no SASL XOAUTH2".into();
        assert_eq!(line(Failure::NotTaken { cause }), want);
    }

    #[test]
    fn texts_stay_one_short_line() {
        let text = format!("[SYS/PERM] a\r\n+OK \0b é {}", "x".repeat(600));
        let rejected = Failure::NotAllowed {
            text: Some(text.clone()),
        };
        let got = line(rejected.clone());
        assert!(
            got.starts_with("-ERR [AUTH] SYS/PERM] a  +OK  b ? xxx"),
            "{got}"
        );
        assert!(got.ends_with("x (S1)\r\n"), "{got}");
        assert_eq!(got.len(), LONGEST_LINE);
        assert_eq!(got.matches('\r').count(), 1);
        let got = String::from_utf8(failure(&rejected, "S1", Charset::Utf8)).unwrap();
        assert!(got.contains(" é ") && got.len() <= LONGEST_LINE);

        assert_eq!(ok("", Charset::Ascii), b"+OK\r\n");
        assert_eq!(ok("[AUTH] hi\n", Charset::Ascii), b"+OK AUTH] hi \r\n");
        assert_eq!(ok(&"x".repeat(600), Charset::Ascii).len(), LONGEST_LINE);
    }

    #[test]
    fn an_alert_is_shown() {
        let failure = Failure::Refused {
            code: Code::Unavailable,
            alert: Some("disk full, call 555-0100".into()),
        };
        assert_eq!(
            line(failure),
            "-ERR [SYS/TEMP] disk full, call 555-0100 (S1)\r\n"
        );
    }

    #[test]
    fn the_mechanisms_announced_are_the_ones_there_are() {
        let names = crate::protocol::sasl::Mechanisms::PASSWORD.iter();
        let names: Vec<&str> = names.map(|mechanism| mechanism.name()).collect();
        assert_eq!(LOGIN_CAPABILITIES[1], format!("SASL {}", names.join(" ")));
    }

    #[test]
    fn languages() {
        for (tag, want) in [
            (Some(&b"*"[..]), "+OK i-default "),
            (Some(b"I-Default"), "+OK i-default "),
            (Some(b"EN"), "+OK en "),
            (Some(b"es"), "-ERR "),
            (
                None,
                "+OK languages follow\r\ni-default Default\r\nen English\r\n.\r\n",
            ),
        ] {
            assert!(lang(tag).starts_with(want.as_bytes()));
        }
    }
}
