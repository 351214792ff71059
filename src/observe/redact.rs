//! What of a mail conversation may be written down: its lines, with everything hidden that could be a
//! credential, and without the mail.
//!
//! The rule is what is known, not what is forbidden: a command that is known to bear no secret is
//! shown, of all others the name at most. Continuations, literals and answers to challenges are never shown,
//! nor is what follows a literal in its command: a client and a server that disagree about where a
//! literal ends cannot bring a password into sight.
//!
//! What is read here are octets of strangers: the lints of `protocol` hold here, too.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::panic,
        clippy::unreachable
    )
)]

mod answers;

pub(super) use answers::{Answers, Follows};

/// Octets of a line that are looked at; longer ones are told by their length.
const LINE: usize = 1024;

/// Octets of a line that are shown.
const SHOWN: usize = 512;

/// IMAP commands whose arguments hold no secret (RFC 9051 §6, and extensions).
const IMAP: &[&str] = &[
    "CAPABILITY",
    "NOOP",
    "LOGOUT",
    "STARTTLS",
    "ID",
    "ENABLE",
    "SELECT",
    "EXAMINE",
    "CREATE",
    "DELETE",
    "RENAME",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST",
    "LSUB",
    "XLIST",
    "NAMESPACE",
    "STATUS",
    "APPEND",
    "IDLE",
    "CLOSE",
    "UNSELECT",
    "EXPUNGE",
    "SEARCH",
    "FETCH",
    "STORE",
    "COPY",
    "MOVE",
    "UID",
    "CHECK",
    "SORT",
    "THREAD",
    "GETQUOTA",
    "GETQUOTAROOT",
    "GETACL",
    "MYRIGHTS",
    "LISTRIGHTS",
    "NOTIFY",
    "COMPRESS",
];

/// IMAP commands that bear a secret, and POP3's: their names are shown.
const SECRET: &[&str] = &["LOGIN", "AUTHENTICATE", "PASS", "USER", "APOP", "AUTH"];

/// POP3 commands whose arguments hold no secret (RFC 1939, RFC 2449, RFC 6856).
const POP3: &[&str] = &[
    "CAPA", "STLS", "STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "RSET", "NOOP", "QUIT", "UTF8",
    "LANG",
];

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// IMAP.
    Imap,
    /// POP3.
    Pop3,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The mail client.
    Client,
    /// The gateway, or the host through it.
    Gateway,
}

/// One direction of a conversation, cut into lines that may be shown.
#[derive(Debug)]
pub(super) struct Lines {
    language: Language,
    side: Side,
    line: Vec<u8>,
    /// Octets of the line that were too many to keep.
    over: usize,
    /// Octets of a literal still to come.
    literal: u64,
    /// The line goes on with a command whose start was another line.
    rest: bool,
    /// POP3 lines so far of a message or a list; none: a reply is next.
    body: Option<u64>,
}

impl Lines {
    pub(super) fn new(language: Language, side: Side) -> Self {
        Lines {
            language,
            side,
            line: Vec::new(),
            over: 0,
            literal: 0,
            rest: false,
            body: None,
        }
    }

    /// What comes next begins a line and a command, whatever was before.
    pub(super) fn forget(&mut self) {
        *self = Lines::new(self.language, self.side);
    }

    /// Takes what passes by, in pieces as they come; tells what may be shown. Both directions share
    /// `answers`.
    pub(super) fn take(
        &mut self,
        octets: &[u8],
        answers: &mut Answers,
        tell: &mut dyn FnMut(String),
    ) {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.literal > 0 {
                let here = usize::try_from(self.literal).map_or(rest.len(), |n| n.min(rest.len()));
                self.literal = self.literal.saturating_sub(here as u64);
                rest = rest.get(here..).unwrap_or_default();
                continue;
            }
            let end = memchr::memchr(b'\n', rest);
            let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let room = LINE.saturating_sub(self.line.len()).min(piece.len());
            self.line.extend(piece.get(..room).unwrap_or_default());
            let over = piece.len().saturating_sub(room);
            self.over = self.over.saturating_add(over);
            if let Some(end) = end {
                self.end(answers, tell);
                rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
            } else {
                return;
            }
        }
    }

    fn end(&mut self, answers: &mut Answers, tell: &mut dyn FnMut(String)) {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let over = std::mem::take(&mut self.over);
        let was_rest = self.rest;
        // What is too long to be seen whole may end in a literal's announcement that is not seen: such a
        // line is cut off before its end, and hides what comes as the rest of itself.
        let literal = match self.language {
            Language::Imap if over == 0 => announced(&line),
            _ => None,
        };
        self.rest = literal.is_some() || (over > 0 && self.language == Language::Imap);
        self.literal = literal.unwrap_or(0);
        let told = match (self.language, self.side) {
            _ if was_rest => None,
            (Language::Imap, Side::Client) => Some(imap_command(&line, answers)),
            (Language::Imap, Side::Gateway) => Some(imap_response(&line, answers)),
            (Language::Pop3, Side::Client) => {
                answers.asked(&line);
                Some(pop3_command(&line))
            }
            (Language::Pop3, Side::Gateway) => self.pop3_line(&line, answers),
        };
        if let Some(told) = told {
            match literal {
                Some(octets) => tell(format!("{told} [literal of {octets} octets]")),
                None => tell(told),
            }
        }
    }
}

impl Lines {
    /// A line from the gateway. What no command asked for is a list or a message too, if it begins as no
    /// reply does. Nothing in either is a reply, until the line that ends it.
    fn pop3_line(&mut self, line: &[u8], answers: &mut Answers) -> Option<String> {
        let mut begins = [&b"+OK"[..], b"-ERR", b"+ "].into_iter();
        if self.body.is_none() && begins.any(|status| line.starts_with(status)) {
            if answers.answered(line) == Follows::Message {
                self.body = Some(0);
            }
            return Some(pop3_reply(line));
        }
        let lines = self.body.take().unwrap_or(0).saturating_add(1);
        if line == b"." {
            return Some(format!("[{lines} lines]"));
        }
        self.body = Some(lines);
        None
    }
}

/// The octets of a literal that a line announces at its end: `{12}`, `{12+}` (RFC 9051 §4.3, RFC 7888). More
/// digits than a number has mean more than ever comes.
fn announced(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}")?;
    let inner = inner
        .strip_suffix(b"+")
        .or(inner.strip_suffix(b"-"))
        .unwrap_or(inner);
    let digits = inner
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let (before, digits) = inner.split_at_checked(inner.len().checked_sub(digits)?)?;
    if digits.is_empty() || before.last() != Some(&b'{') {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |n, digit| {
        n.checked_mul(10)?
            .checked_add(u64::from(digit.wrapping_sub(b'0')))
    });
    Some(number.unwrap_or(u64::MAX))
}

/// The tag of a command that is shown is remembered: its answer is shown, too.
fn imap_command(line: &[u8], answers: &mut Answers) -> String {
    if line.eq_ignore_ascii_case(b"DONE") {
        return "DONE".into();
    }
    let mut words = line.split(|b| *b == b' ');
    let (Some(tag), Some(verb)) = (words.next(), words.next()) else {
        return hidden(line);
    };
    let in_tag = |octet: &u8| octet.is_ascii_alphanumeric() || b".-_:/".contains(octet);
    let is_tag = !tag.is_empty() && tag.len() <= 32 && tag.iter().all(in_tag);
    if !is_tag {
        return hidden(line);
    }
    // RFC 5464's and RFC 4467's kin are not in the list; ID is, and its values are the client's name.
    let told = match (known(verb, IMAP), known(verb, SECRET)) {
        (Some(_), _) => shown(line),
        (None, Some(verb)) => format!("{} {verb} [hidden]", String::from_utf8_lossy(tag)),
        (None, None) => return hidden(line),
    };
    answers.tagged(tag);
    told
}

fn imap_response(line: &[u8], answers: &mut Answers) -> String {
    // A challenge (RFC 9051 §7.6), and URLs that are keys to mail (RFC 4467 §7).
    if line.starts_with(b"+") {
        return "+ [hidden]".into();
    }
    // No text: compressed (RFC 4978), where a host takes that.
    let text = std::str::from_utf8(line);
    if !text.is_ok_and(|text| !text.chars().any(char::is_control)) {
        return hidden(line);
    }
    let start = line.get(..line.len().min(16)).unwrap_or_default();
    let start = start.to_ascii_uppercase();
    if start.starts_with(b"* GENURLAUTH") || start.starts_with(b"* URLFETCH") {
        return hidden(line);
    }
    let mut words = line.split(|b| *b == b' ');
    let (tag, status) = (words.next().unwrap_or_default(), words.next());
    if tag == b"*" || answers.is_shown(tag) {
        return shown(line);
    }
    // What was taken for a command may be an answer to a challenge that never came, and its tag the password.
    let status = known(status.unwrap_or_default(), &["OK", "NO", "BAD"]);
    status.map_or_else(
        || hidden(line),
        |status| format!("[hidden] {status} [hidden]"),
    )
}

fn pop3_command(line: &[u8]) -> String {
    let verb = line.split(|b| *b == b' ').next().unwrap_or_default();
    match known(verb, POP3) {
        Some(_) => shown(line),
        None => match known(verb, SECRET) {
            Some(verb) => format!("{verb} [hidden]"),
            None => hidden(line),
        },
    }
}

fn pop3_reply(line: &[u8]) -> String {
    match line.starts_with(b"+ ") {
        true => "+ [hidden]".into(),
        false => shown(line),
    }
}

fn known(verb: &[u8], list: &[&'static str]) -> Option<&'static str> {
    let fits = |known: &&&str| verb.eq_ignore_ascii_case(known.as_bytes());
    list.iter().find(fits).copied()
}

fn hidden(line: &[u8]) -> String {
    format!("[hidden, {} octets]", line.len())
}

fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line.get(..line.len().min(SHOWN)).unwrap_or_default());
    match line.len() > SHOWN {
        true => format!("{text}…"),
        false => text.into_owned(),
    }
}

#[cfg(test)]
mod tests;
