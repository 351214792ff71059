//! Status responses of a logged-in host (RFC 9051 §7.1): tagged and untagged, their codes, and what
//! a refused SELECT means to a POP3 client.

use crate::protocol::{Code, Failure};

/// How a command ended, or what an untagged status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was done.
    Ok,
    /// It was not.
    No,
    /// It was not understood.
    Bad,
}

/// A status with its code and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// How.
    pub status: Status,
    /// The code's atom, without brackets; empty if there is none.
    pub code: &'a [u8],
    /// What stands behind the atom in the brackets.
    pub argument: &'a [u8],
    /// The text for people.
    pub text: &'a [u8],
}

impl<'a> Said<'a> {
    /// Reads `OK [CODE argument] text`; `None` if it starts with another word.
    pub fn read(text: &'a [u8]) -> Option<Said<'a>> {
        let (word, rest) = split_word(text);
        let status = if word.eq_ignore_ascii_case(b"OK") {
            Status::Ok
        } else if word.eq_ignore_ascii_case(b"NO") {
            Status::No
        } else if word.eq_ignore_ascii_case(b"BAD") {
            Status::Bad
        } else {
            return None;
        };
        let bare = Said {
            status,
            code: b"",
            argument: b"",
            text: rest,
        };
        let Some(inner) = rest.strip_prefix(b"[") else {
            return Some(bare);
        };
        let Some(end) = memchr::memchr(b']', inner) else {
            return Some(bare);
        };
        let (code, text) = inner.split_at_checked(end)?;
        let (code, argument) = split_word(code);
        Some(Said {
            status,
            code,
            argument,
            text: text.get(1..).unwrap_or_default().trim_ascii_start(),
        })
    }

    /// Whether it carries this code.
    pub fn has(&self, code: &str) -> bool {
        self.code.eq_ignore_ascii_case(code.as_bytes())
    }

    /// Whether the host asks to be left alone for a while.
    pub fn throttles(&self) -> bool {
        ["LIMIT", "UNAVAILABLE", "THROTTLED", "OVERQUOTA", "INUSE"]
            .iter()
            .any(|code| self.has(code))
    }

    /// What a refused SELECT, STATUS or first list means.
    ///
    /// A bare NO is taken for a passing trouble, BAD too: some hosts answer so when the mailbox is
    /// busy, and Exchange when a user is "authenticated but not connected". Who says that the
    /// mailbox is not there or broken needs a person.
    pub fn failure(&self) -> Failure {
        let refused = |code| Failure::Refused { code, alert: None };
        if ["NOPERM", "NONEXISTENT", "CORRUPTION"]
            .iter()
            .any(|code| self.has(code))
        {
            let code = String::from_utf8_lossy(self.code).into_owned();
            return Failure::HostSetup {
                cause: format!("mailbox not opened: {code}"),
            };
        }
        if self.has("INUSE") {
            return refused(Code::InUse);
        }
        if self.has("LIMIT") {
            return refused(Code::Limit);
        }
        refused(Code::Unavailable)
    }
}

/// The first word and what stands behind the blanks after it.
pub fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', text).and_then(|at| text.split_at_checked(at)) {
        Some((word, rest)) => (word, rest.trim_ascii_start()),
        None => (text, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read() {
        for (text, want) in [
            ("OK done", Some((Status::Ok, "", "", "done"))),
            ("ok [UIDNEXT 5] x", Some((Status::Ok, "UIDNEXT", "5", "x"))),
            ("NO  [TRYCREATE]", Some((Status::No, "TRYCREATE", "", ""))),
            ("BAD", Some((Status::Bad, "", "", ""))),
            ("BAD [x", Some((Status::Bad, "", "", "[x"))),
            (
                "OK [PERMANENTFLAGS (\\Deleted \\*)] limited",
                Some((Status::Ok, "PERMANENTFLAGS", "(\\Deleted \\*)", "limited")),
            ),
            ("OKAY", None),
            ("", None),
        ] {
            let got = Said::read(text.as_bytes()).map(|said| {
                let text = |octets| std::str::from_utf8(octets).unwrap();
                (
                    said.status,
                    text(said.code),
                    text(said.argument),
                    text(said.text),
                )
            });
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn refusals_have_a_meaning() {
        for (text, want) in [
            ("NO no such mailbox", "UNAVAILABLE"),
            (
                "BAD User is authenticated but not connected.",
                "UNAVAILABLE",
            ),
            ("NO [NONEXISTENT] x", "CONTACTADMIN"),
            ("NO [NOPERM] x", "CONTACTADMIN"),
            ("NO [corruption] x", "CONTACTADMIN"),
            ("NO [INUSE] x", "INUSE"),
            ("NO [THROTTLED] x", "UNAVAILABLE"),
            ("NO [LIMIT] x", "LIMIT"),
        ] {
            let said = Said::read(text.as_bytes()).unwrap();
            assert_eq!(said.failure().code(), want, "{text}");
        }
    }
}
