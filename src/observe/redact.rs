//! What of a mail conversation may be written down: its lines, with everything hidden that could be a
//! credential, and without the mail.
//!
//! The rule is what is known, not what is forbidden: a command that is known to bear no secret is
//! shown, of all others the name at most. Continuations, literals and answers to challenges are never shown,
//! nor is what follows a literal in its command: a client and a server that disagree about where a
//! literal ends cannot bring a password into sight.

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
    /// POP3 lines that are a message or a list.
    body: u64,
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
            body: 0,
        }
    }

    /// Takes what passes by, in pieces as they come; tells what may be shown.
    pub(super) fn take(&mut self, octets: &[u8], tell: &mut dyn FnMut(String)) {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.literal > 0 {
                let here = usize::try_from(self.literal).map_or(rest.len(), |n| n.min(rest.len()));
                self.literal -= here as u64;
                rest = rest.get(here..).unwrap_or_default();
                continue;
            }
            let end = memchr::memchr(b'\n', rest);
            let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let room = LINE.saturating_sub(self.line.len()).min(piece.len());
            self.line.extend(piece.get(..room).unwrap_or_default());
            self.over += piece.len() - room;
            if let Some(end) = end {
                self.end(tell);
                rest = rest.get(end + 1..).unwrap_or_default();
            } else {
                return;
            }
        }
    }

    fn end(&mut self, tell: &mut dyn FnMut(String)) {
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
            (Language::Imap, Side::Client) => Some(imap_command(&line)),
            (Language::Imap, Side::Gateway) => Some(imap_response(&line)),
            (Language::Pop3, Side::Client) => Some(pop3_command(&line)),
            (Language::Pop3, Side::Gateway) => {
                let status = [&b"+OK"[..], b"-ERR", b"+ "]
                    .iter()
                    .any(|s| line.starts_with(s));
                if !status {
                    self.body += 1;
                    return;
                }
                Some(pop3_reply(&line))
            }
        };
        if self.body > 0 {
            let lines = std::mem::take(&mut self.body);
            tell(format!("[{lines} lines]"));
        }
        if let Some(told) = told {
            match literal {
                Some(octets) => tell(format!("{told} [literal of {octets} octets]")),
                None => tell(told),
            }
        }
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
        n.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    Some(number.unwrap_or(u64::MAX))
}

fn imap_command(line: &[u8]) -> String {
    if line.eq_ignore_ascii_case(b"DONE") {
        return "DONE".into();
    }
    let mut words = line.split(|b| *b == b' ');
    let (Some(tag), Some(verb)) = (words.next(), words.next()) else {
        return hidden(line);
    };
    let is_tag = !tag.is_empty() && tag.len() <= 32 && tag.iter().all(u8::is_ascii_alphanumeric);
    if !is_tag {
        return hidden(line);
    }
    match known(verb, IMAP) {
        // RFC 5464's and RFC 4467's kin are not in the list; ID is, and its values are the client's name.
        Some(_) => shown(line),
        None => match known(verb, SECRET) {
            Some(verb) => format!("{} {verb} [hidden]", String::from_utf8_lossy(tag)),
            None => hidden(line),
        },
    }
}

fn imap_response(line: &[u8]) -> String {
    // A challenge (RFC 9051 §7.6), and URLs that are keys to mail (RFC 4467 §7).
    if line.starts_with(b"+") {
        return "+ [hidden]".into();
    }
    let start = line.get(..line.len().min(16)).unwrap_or_default();
    let start = start.to_ascii_uppercase();
    if start.starts_with(b"* GENURLAUTH") || start.starts_with(b"* URLFETCH") {
        return hidden(line);
    }
    shown(line)
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
mod tests {
    use super::*;

    fn told(language: Language, side: Side, text: &[u8], piece: usize) -> Vec<String> {
        let mut lines = Lines::new(language, side);
        let mut told = Vec::new();
        for octets in text.chunks(piece.max(1)) {
            lines.take(octets, &mut |line| told.push(line));
        }
        told
    }

    /// Both directions of conversations with `S3CRET` wherever a credential can be, and what is told.
    const CASES: &[(Language, Side, &str, &[&str])] = &[
        (
            Language::Imap,
            Side::Client,
            "a CAPABILITY\r\nb LOGIN alice S3CRET\r\nc login \"alice\" \"S3CRET\"\r\n",
            &["a CAPABILITY", "b LOGIN [hidden]", "c LOGIN [hidden]"],
        ),
        (
            Language::Imap,
            Side::Client,
            "b LOGIN {5}\r\nalice {6}\r\nS3CRET\r\nc SELECT INBOX\r\n",
            &["b LOGIN [hidden] [literal of 5 octets]", "c SELECT INBOX"],
        ),
        (
            Language::Imap,
            Side::Client,
            "b LOGIN alice {6+}\r\nS3CRET\r\nc NOOP\r\n",
            &["b LOGIN [hidden] [literal of 6 octets]", "c NOOP"],
        ),
        (
            Language::Imap,
            Side::Client,
            "b AUTHENTICATE PLAIN S3CRET=\r\nc AUTHENTICATE LOGIN\r\nS3CRET\r\nS3CRET==\r\nd IDLE\r\nDONE\r\n",
            &[
                "b AUTHENTICATE [hidden]",
                "c AUTHENTICATE [hidden]",
                "[hidden, 6 octets]",
                "[hidden, 8 octets]",
                "d IDLE",
                "DONE",
            ],
        ),
        // The host refuses the literal: what follows is no literal, and yet not shown until its line ends.
        (
            Language::Imap,
            Side::Client,
            "a SEARCH TEXT {20}\r\nb LOGIN somebody S3CRETS3CRET\r\nc NOOP\r\n",
            &["a SEARCH TEXT {20} [literal of 20 octets]", "c NOOP"],
        ),
        // A literal in the middle of what may be shown.
        (
            Language::Imap,
            Side::Client,
            "a SEARCH TEXT {6}\r\nS3CRET SUBJECT S3CRET\r\nb APPEND x {8}\r\nS3CRET\r\n\r\nc LOGOUT\r\n",
            &[
                "a SEARCH TEXT {6} [literal of 6 octets]",
                "b APPEND x {8} [literal of 8 octets]",
                "c LOGOUT",
            ],
        ),
        // Typed wrong.
        (
            Language::Imap,
            Side::Client,
            "LOGIN alice S3CRET\r\nb LOGON alice S3CRET\r\nS3CRET\r\n\r\nb  LOGIN a S3CRET\r\n",
            &[
                "[hidden, 18 octets]",
                "[hidden, 20 octets]",
                "[hidden, 6 octets]",
                "[hidden, 0 octets]",
                "[hidden, 17 octets]",
            ],
        ),
        (
            Language::Imap,
            Side::Client,
            "b GENURLAUTH \"imap://S3CRET\" INTERNAL\nc XOAUTH S3CRET\n",
            &["[hidden, 37 octets]", "[hidden, 15 octets]"],
        ),
        (
            Language::Imap,
            Side::Client,
            "a LOGIN {99999999999999999999999}\r\nS3CRET\r\nb NOOP\r\n",
            &["a LOGIN [hidden] [literal of 18446744073709551615 octets]"],
        ),
        (
            Language::Imap,
            Side::Gateway,
            "* OK ready\r\n+ S3CRET\r\n+\r\na OK done\r\n* 1 FETCH (BODY[] {8}\r\nS3CRET\r\n FLAGS ())\r\n\
             * GENURLAUTH \"S3CRET\"\r\nb OK\r\n",
            &[
                "* OK ready",
                "+ [hidden]",
                "+ [hidden]",
                "a OK done",
                "* 1 FETCH (BODY[] {8} [literal of 8 octets]",
                "[hidden, 21 octets]",
                "b OK",
            ],
        ),
        (
            Language::Pop3,
            Side::Client,
            "CAPA\r\nUSER alice\r\nPASS S3CRET word\r\nAUTH PLAIN\r\nS3CRET=\r\nauth plain S3CRET\r\n\
             APOP alice S3CRET\r\nPASSS3CRET\r\nRETR 1\r\nQUIT\r\n",
            &[
                "CAPA",
                "USER [hidden]",
                "PASS [hidden]",
                "AUTH [hidden]",
                "[hidden, 7 octets]",
                "AUTH [hidden]",
                "APOP [hidden]",
                "[hidden, 10 octets]",
                "RETR 1",
                "QUIT",
            ],
        ),
        (
            Language::Pop3,
            Side::Gateway,
            "+OK ready\r\n+ S3CRET\r\n+OK 2 lines\r\nSubject: S3CRET\r\nS3CRET\r\n.\r\n-ERR no\r\n",
            &[
                "+OK ready",
                "+ [hidden]",
                "+OK 2 lines",
                "[3 lines]",
                "-ERR no",
            ],
        ),
    ];

    #[test]
    fn credentials_are_hidden_however_the_octets_are_cut() {
        for (language, side, text, want) in CASES {
            for piece in [1, 2, 3, 7, text.len()] {
                let told = told(*language, *side, text.as_bytes(), piece);
                assert_eq!(told, *want, "{text:?} in pieces of {piece}");
                assert!(!told.concat().contains("S3CRET"));
            }
        }
    }

    #[test]
    fn no_end_of_a_line_is_taken_for_a_start() {
        // A line too long to be kept announces a literal at its end.
        let long = format!(
            "a SEARCH {} {{30}}\r\nb SEARCH S3CRET\r\nc NOOP\r\n",
            "x".repeat(3000)
        );
        let told = told(Language::Imap, Side::Client, long.as_bytes(), 100);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].len() < 600 && told[0].ends_with('…'));
        assert_eq!(told[1], "c NOOP");
        assert!(!told.concat().contains("S3CRET"));
    }

    #[test]
    fn memory_is_bounded_and_nothing_panics() {
        let mut lines = Lines::new(Language::Imap, Side::Client);
        let mut state = 1_u32;
        let alphabet = b"a LOGIN{}0123456789+\r\n\" S3\xff\0*";
        for _ in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let octet = alphabet[(state >> 16) as usize % alphabet.len()];
            lines.take(&[octet], &mut |line| assert!(line.len() < 2000));
            assert!(lines.line.len() <= LINE);
            if lines.literal > 1000 {
                lines.literal = 0;
            }
        }
    }
}
