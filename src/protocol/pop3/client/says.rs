//! What a host says: the first word of a response, its code, its capabilities.

use crate::protocol::Code;
use crate::protocol::sasl::{Mechanism, Mechanisms};

/// How much of a host's text is kept, in octets.
const LONGEST_TEXT: usize = 200;

/// The first word of a response (RFC 1939 §3, RFC 5034 §4), with the text behind it.
pub(super) enum Status<'a> {
    Ok(&'a [u8]),
    Err(&'a [u8]),
    /// `+`, perhaps with a challenge.
    Challenge(&'a [u8]),
}

impl Status<'_> {
    pub(super) fn of(line: &[u8]) -> Option<Status<'_>> {
        let (word, text) = match memchr::memchr(b' ', line) {
            Some(at) => (line.get(..at)?, line.get(at.saturating_add(1)..)?),
            None => (line, &b""[..]),
        };
        match word {
            b"+OK" => Some(Status::Ok(text)),
            b"-ERR" => Some(Status::Err(text)),
            b"+" => Some(Status::Challenge(text)),
            _ => None,
        }
    }
}

/// The response code of an `-ERR` (RFC 2449 §8.1, RFC 3206 §4), if it has one that we know. Codes
/// may be refined by further levels: `[SYS/TEMP/DISK]`.
pub(super) fn code(text: &[u8]) -> Option<Code> {
    let inner = text.strip_prefix(b"[")?;
    let end = memchr::memchr(b']', inner)?;
    let word = inner.get(..end)?.to_ascii_uppercase();
    let mut levels = word.split(|&octet| octet == b'/');
    match (levels.next()?, levels.next()) {
        (b"AUTH", _) => Some(Code::AuthenticationFailed),
        (b"IN-USE", _) => Some(Code::InUse),
        (b"LOGIN-DELAY", _) => Some(Code::Limit),
        (b"SYS", Some(b"PERM")) => Some(Code::ServerBug),
        (b"SYS", _) => Some(Code::Unavailable),
        _ => None,
    }
}

/// A host's text made fit for a log: printable ASCII, cut short.
pub(super) fn shown(text: &[u8]) -> String {
    text.iter()
        .take(LONGEST_TEXT)
        .map(|&octet| match octet {
            b' '..=b'~' => char::from(octet),
            _ => '?',
        })
        .collect()
}

/// Whether a host offers something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Offered {
    No,
    Yes,
}

/// What CAPA told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Can {
    pub(super) user: Offered,
    pub(super) sasl: Mechanisms,
    /// Those of which it has the kind that is bound to the channel.
    pub(super) bound: Mechanisms,
    pub(super) stls: Offered,
    pub(super) pipelining: Offered,
    /// A code with every error of the credentials.
    pub(super) auth_resp_code: Offered,
}

impl Can {
    pub(super) const NOTHING: Can = Can {
        user: Offered::No,
        sasl: Mechanisms::NONE,
        bound: Mechanisms::NONE,
        stls: Offered::No,
        pipelining: Offered::No,
        auth_resp_code: Offered::No,
    };

    /// One line of the list (RFC 2449 §3, §6; RFC 3206 §6; RFC 5034 §3).
    pub(super) fn learn(&mut self, line: &[u8]) {
        let mut words = line.split(|&octet| octet == b' ');
        let tag = words.next().unwrap_or_default();
        if tag.eq_ignore_ascii_case(b"USER") {
            self.user = Offered::Yes;
        } else if tag.eq_ignore_ascii_case(b"STLS") {
            self.stls = Offered::Yes;
        } else if tag.eq_ignore_ascii_case(b"PIPELINING") {
            self.pipelining = Offered::Yes;
        } else if tag.eq_ignore_ascii_case(b"AUTH-RESP-CODE") {
            self.auth_resp_code = Offered::Yes;
        } else if tag.eq_ignore_ascii_case(b"SASL") {
            self.bound = self.bound.or(Mechanisms::bound(words.clone()));
            self.sasl = self
                .sasl
                .or(words.filter_map(Mechanism::from_name).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        for (text, want) in [
            (&b"[AUTH] wrong"[..], Some(Code::AuthenticationFailed)),
            (b"[auth] wrong", Some(Code::AuthenticationFailed)),
            (b"[IN-USE] busy", Some(Code::InUse)),
            (b"[LOGIN-DELAY] wait", Some(Code::Limit)),
            (b"[SYS/TEMP] later", Some(Code::Unavailable)),
            (b"[SYS/TEMP/DISK] later", Some(Code::Unavailable)),
            (b"[SYS] later", Some(Code::Unavailable)),
            (b"[SYS/PERM] call", Some(Code::ServerBug)),
            (b"[SYS/PERM]", Some(Code::ServerBug)),
            (b"[AUTHX] wrong", None),
            (b"[UTF8] what", None),
            (b"[AUTH wrong", None),
            (b"AUTH] wrong", None),
            (b"no [AUTH]", None),
            (b"", None),
        ] {
            assert_eq!(code(text), want, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn first_words() {
        let kind = |line| match Status::of(line) {
            Some(Status::Ok(text)) => format!("ok {}", shown(text)),
            Some(Status::Err(text)) => format!("err {}", shown(text)),
            Some(Status::Challenge(text)) => format!("challenge {}", shown(text)),
            None => "none".into(),
        };
        for (line, want) in [
            (&b"+OK"[..], "ok "),
            (b"+OK  hi\x07\xff", "ok  hi??"),
            (b"-ERR no", "err no"),
            (b"+", "challenge "),
            (b"+ ", "challenge "),
            (b"+ VXNlcm5hbWU6", "challenge VXNlcm5hbWU6"),
            (b"+OKAY", "none"),
            (b"-ERROR", "none"),
            (b"+ok", "none"),
            (b"* OK IMAP", "none"),
            (b"220 smtp", "none"),
            (b"", "none"),
        ] {
            assert_eq!(kind(line), want, "{}", line.escape_ascii());
        }
    }
}
