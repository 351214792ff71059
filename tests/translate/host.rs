//! A scripted IMAP host: a small model of a mailbox, and rules that put other answers in the place of
//! the model's. Everything after the login.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

/// A message of the model.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) octets: Vec<u8>,
    /// What RFC822.SIZE says; the truth if none.
    pub(crate) size: Option<u64>,
    pub(crate) deleted: bool,
    pub(crate) seen: bool,
}

/// A mailbox while no host has it.
pub(crate) type Shared = Arc<Mutex<Option<BTreeMap<u32, Mail>>>>;

/// The host.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) mail: BTreeMap<u32, Mail>,
    pub(crate) uid_validity: u64,
    pub(crate) uid_next: u32,
    /// Whether UID EXPUNGE is known.
    pub(crate) uid_plus: bool,
    /// Whether UID MOVE is known; what was moved is in `trash`.
    pub(crate) moves: bool,
    pub(crate) esearch: bool,
    /// Whether QRESYNC is offered; whether it was enabled on this connection. The model has no
    /// memory: all UIDs that are not there have vanished (RFC 7162 §3.2.5.1 lets it say too much).
    pub(crate) qresync: bool,
    pub(crate) enabled: bool,
    pub(crate) trash: Vec<u32>,
    /// In the place of the model's answer: the beginning of a command, and the answer. `$T` is the
    /// tag, `$U` that of the last command that had no answer, `$CLOSE` at the end closes, `$MODEL` is the model's answer. The last rule of those with
    /// the same beginning is used again and again, others once.
    pub(crate) rules: Vec<(String, String)>,
    /// The tag of the last command that had no answer.
    pub(crate) unanswered: String,
    /// The beginning of a command at which another client removes a message, and its UID: once.
    pub(crate) removed_by_others: Vec<(String, u32)>,
    /// How long an answer is on its way; commands that come meanwhile are answered as well.
    pub(crate) delay: Duration,
    /// Changes an octet here and there, always the same ones for one number; 0: none.
    pub(crate) damage: u64,
    /// Octets a write; 0: all at once.
    pub(crate) cut: usize,
    /// How many fetches of bodies are answered before the tags of them, while more are there to be answered, as
    /// Dovecot does; 0: each has its tag at once.
    pub(crate) tags_wait: usize,
    /// Those that wait.
    pub(crate) tags: Vec<Vec<u8>>,
    /// Dies after so many octets of answers.
    pub(crate) dies_after: Option<usize>,
    /// The mailbox, where several hosts have it one after the other: taken when a host begins, put
    /// back when it is gone.
    pub(crate) shared: Option<Shared>,
    /// Loses every command that came before the answer to the last one.
    pub(crate) forgetful: bool,
    /// Every command, without its tag.
    pub(crate) log: Vec<String>,
}

impl Host {
    /// Messages with these octets, UIDs from 1 on.
    pub(crate) fn with(mails: &[&[u8]]) -> Host {
        let mail = mails.iter().zip(1..).map(|(octets, uid)| {
            let mail = Mail {
                octets: octets.to_vec(),
                size: None,
                deleted: false,
                seen: false,
            };
            (uid, mail)
        });
        Host {
            mail: mail.collect(),
            uid_validity: 0x6553_f100,
            uid_next: mails.len() as u32 + 1,
            uid_plus: true,
            moves: false,
            esearch: false,
            qresync: false,
            enabled: false,
            trash: Vec::new(),
            rules: Vec::new(),
            unanswered: String::new(),
            removed_by_others: Vec::new(),
            delay: Duration::ZERO,
            damage: 0,
            cut: 0,
            tags_wait: 0,
            tags: Vec::new(),
            dies_after: None,
            shared: None,
            forgetful: false,
            log: Vec::new(),
        }
    }

    pub(crate) fn rule(mut self, command: &str, answer: &str) -> Host {
        self.rules.push((command.into(), answer.into()));
        self
    }

    pub(crate) fn capabilities(&self) -> Vec<String> {
        let mut all = vec!["IMAP4REV1".to_owned()];
        for (has, name) in [
            (self.uid_plus, "UIDPLUS"),
            (self.moves, "MOVE"),
            (self.esearch, "ESEARCH"),
            (self.qresync, "QRESYNC"),
        ] {
            if has {
                all.push(name.into());
            }
        }
        all
    }

    pub(crate) fn uids(&self) -> Vec<u32> {
        self.mail.keys().copied().collect()
    }

    /// Serves until the other side or a rule closes. Returns what became of the mailbox.
    pub(crate) async fn serve(mut self, mut stream: DuplexStream) -> Host {
        if self.delay > Duration::ZERO {
            stream = far(stream, self.delay);
        }
        let shared = self.shared.clone();
        if let Some(mail) = shared.as_ref().and_then(|it| it.lock().unwrap().take()) {
            self.mail = mail;
        }
        self.play(&mut stream).await;
        // Before the other side sees that this host is gone.
        if let Some(shared) = shared {
            *shared.lock().unwrap() = Some(self.mail.clone());
        }
        self
    }

    async fn play(&mut self, stream: &mut DuplexStream) {
        let mut input = Vec::new();
        loop {
            while let Some(end) = input.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = input.drain(..=end).collect();
                let line = String::from_utf8(line).expect("commands are ASCII");
                let line = line.strip_suffix("\r\n").expect("CRLF");
                let (tag, command) = line.split_once(' ').expect("a tag");
                self.log.push(command.to_owned());
                if self.forgetful {
                    // Whatever else was on its way has come by now.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    let _ = tokio::time::timeout(Duration::ZERO, stream.read_buf(&mut input)).await;
                    assert!(input.is_empty(), "lost behind {command}");
                }
                let (mut answer, close) = self.answer(tag, command);
                if self.tags_wait > 0 && !input.contains(&b'\n') {
                    // Its socket has what came while it was busy.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    let _ = tokio::time::timeout(Duration::ZERO, stream.read_buf(&mut input)).await;
                }
                self.hold_tags(command, &mut answer, input.contains(&b'\n'));
                self.spoil(&mut answer);
                let mut dies = close || command == "LOGOUT";
                if let Some(left) = &mut self.dies_after {
                    dies |= *left <= answer.len();
                    answer.truncate(*left);
                    *left -= answer.len();
                }
                let size = if self.cut == 0 {
                    answer.len().max(1)
                } else {
                    self.cut
                };
                for piece in answer.chunks(size) {
                    if stream.write_all(piece).await.is_err() {
                        return;
                    }
                    if self.cut > 0 {
                        tokio::task::yield_now().await;
                    }
                }
                if dies {
                    return;
                }
            }
            if matches!(stream.read_buf(&mut input).await, Ok(0) | Err(_)) {
                return;
            }
        }
    }

    /// Serves in exchanges: nothing is answered before all commands of an exchange are there, so who
    /// waits in the middle of one waits for ever. Returns every command when the other side closes.
    pub(crate) async fn exchange(
        mut self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        exchanges: &[&[&str]],
    ) -> Host {
        let mut exchanges = exchanges.iter();
        let mut input = Vec::new();
        let mut answers = Vec::new();
        let mut awaited = exchanges.next().copied().unwrap_or_default().iter();
        loop {
            while let Some(end) = input.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = input.drain(..=end).collect();
                let line = String::from_utf8(line).expect("commands are ASCII");
                let (tag, command) = line.trim_end().split_once(' ').expect("a tag");
                let wanted = awaited.next().expect("one command too many");
                assert!(command.starts_with(wanted), "{command}: not {wanted}");
                self.log.push(command.to_owned());
                answers.extend(self.answer(tag, command).0);
                if awaited.len() == 0 {
                    assert_eq!(input, b"", "sent before the answers");
                    // Who only says goodbye does not wait for the answer.
                    let _ = stream.write_all(&std::mem::take(&mut answers)).await;
                    awaited = exchanges.next().copied().unwrap_or_default().iter();
                }
            }
            if matches!(stream.read_buf(&mut input).await, Ok(0) | Err(_)) {
                assert_eq!(awaited.len() + exchanges.len(), 0, "{:?}", self.log);
                return self;
            }
        }
    }

    /// Keeps the tag of an answer for later, or sends those that were kept.
    fn hold_tags(&mut self, command: &str, answer: &mut Vec<u8>, more: bool) {
        if self.tags_wait == 0 {
            return;
        }
        if !command.contains("BODY") {
            let late = std::mem::take(&mut self.tags).concat();
            answer.splice(..0, late);
            return;
        }
        let rows = answer.len().saturating_sub(1);
        let rows = answer[..rows].iter().rposition(|&b| b == b'\n');
        self.tags
            .push(answer.split_off(rows.map_or(0, |at| at + 1)));
        if !more || self.tags.len() >= self.tags_wait {
            answer.extend(std::mem::take(&mut self.tags).concat());
        }
    }

    /// Damages some of an answer's octets.
    fn spoil(&mut self, answer: &mut [u8]) {
        if self.damage == 0 {
            return;
        }
        for octet in answer {
            self.damage ^= self.damage << 13;
            self.damage ^= self.damage >> 7;
            self.damage ^= self.damage << 17;
            if self.damage.is_multiple_of(97) {
                *octet = *b" ()[]{}\"\\*+0179aU\r\n\0\xff"
                    .get((self.damage >> 32) as usize % 22)
                    .unwrap_or(&b'?');
            }
        }
    }

    fn answer(&mut self, tag: &str, command: &str) -> (Vec<u8>, bool) {
        let mail = &mut self.mail;
        self.removed_by_others
            .retain(|(beginning, uid)| match command.starts_with(beginning) {
                true => mail.remove(uid).is_none(),
                false => true,
            });
        let found = self
            .rules
            .iter()
            .position(|(beginning, _)| command.starts_with(beginning.as_str()));
        let Some(at) = found else {
            return (self.model(tag, command), false);
        };
        let (beginning, answer) = self.rules[at].clone();
        if self.rules[at + 1..].iter().any(|rule| rule.0 == beginning) {
            self.rules.remove(at);
        }
        let (answer, close) = match answer.strip_suffix("$CLOSE") {
            Some(answer) => (answer.to_owned(), true),
            None => (answer, false),
        };
        if answer.is_empty() {
            self.unanswered = tag.to_owned();
        }
        let mut out = Vec::new();
        for (n, part) in answer.split("$MODEL").enumerate() {
            if n > 0 {
                out.extend(self.model(tag, command));
            }
            out.extend_from_slice(
                part.replace("$T", tag)
                    .replace("$U", &self.unanswered)
                    .as_bytes(),
            );
        }
        (out, close)
    }

    fn model(&mut self, tag: &str, command: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let words: Vec<&str> = command.split(' ').collect();
        let mut status = "OK done".to_owned();
        match words.as_slice() {
            ["SELECT", _, "(QRESYNC", ..] if !self.enabled => status = "BAD not enabled".into(),
            ["SELECT", _, since @ ..] => {
                out.extend_from_slice(
                    format!(
                        "* FLAGS (\\Seen \\Deleted)\r\n* {} EXISTS\r\n* 0 RECENT\r\n\
                         * OK [PERMANENTFLAGS (\\Seen \\Deleted \\*)] all\r\n\
                         * OK [UIDVALIDITY {}] v\r\n* OK [UIDNEXT {}] n\r\n",
                        self.mail.len(),
                        self.uid_validity,
                        self.uid_next
                    )
                    .as_bytes(),
                );
                if self.qresync {
                    out.extend_from_slice(b"* OK [HIGHESTMODSEQ 77] m\r\n");
                }
                if since.first() == Some(&"(QRESYNC") {
                    let same = format!("(QRESYNC ({} 77))", self.uid_validity);
                    let missing: Vec<u32> = (1..self.uid_next)
                        .filter(|uid| since.join(" ") == same && !self.mail.contains_key(uid))
                        .collect();
                    self.vanished("(EARLIER) ", &missing, &mut out);
                }
            }
            ["ENABLE", "QRESYNC"] if self.qresync => {
                self.enabled = true;
                out.extend_from_slice(b"* ENABLED QRESYNC\r\n");
            }
            ["STATUS", name, ..] => out.extend_from_slice(
                format!(
                    "* STATUS {name} (MESSAGES {} UIDNEXT {} UIDVALIDITY {})\r\n",
                    self.mail.len(),
                    self.uid_next,
                    self.uid_validity
                )
                .as_bytes(),
            ),
            ["NOOP"] | ["LOGOUT"] => {}
            ["ID", ..] => out.extend_from_slice(b"* ID NIL\r\n"),
            ["LOGIN" | "AUTHENTICATE", ..] => {
                status = format!("OK [CAPABILITY {}] in", self.capabilities().join(" "));
            }
            ["CAPABILITY"] => {
                let list = self.capabilities().join(" ");
                out.extend_from_slice(format!("* CAPABILITY {list}\r\n").as_bytes());
            }
            ["UID", "FETCH", set, items @ ..] => self.fetch(set, &items.join(" "), &mut out),
            ["UID", "STORE", set, action, flag] => {
                let on = action.starts_with('+');
                for uid in self.set(set) {
                    let Some(mail) = self.mail.get_mut(&uid) else {
                        continue;
                    };
                    match *flag {
                        "(\\Deleted)" => mail.deleted = on,
                        "(\\Seen)" => mail.seen = on,
                        _ => panic!("{command}"),
                    }
                }
            }
            ["UID", "EXPUNGE", set] if self.uid_plus => {
                let set = self.set(set);
                self.expunge(|uid| set.contains(&uid), &mut out);
            }
            ["EXPUNGE"] => self.expunge(|_| true, &mut out),
            ["UID", "COPY", set, ..] => {
                let set = self.set(set);
                self.trash.extend(set);
            }
            ["UID", "MOVE", set, ..] if self.moves => {
                let set = self.set(set);
                for uid in &set {
                    self.mail.get_mut(uid).expect("there").deleted = true;
                }
                self.expunge(|uid| set.contains(&uid), &mut out);
                self.trash.extend(set);
            }
            ["UID", "SEARCH", "RETURN", "(ALL)", "UID", set] if self.esearch => {
                let set = self.set(set);
                let list: Vec<String> = set.iter().map(u32::to_string).collect();
                let all = match list.is_empty() {
                    true => String::new(),
                    false => format!(" ALL {}", list.join(",")),
                };
                out.extend_from_slice(format!("* ESEARCH (TAG \"{tag}\") UID{all}\r\n").as_bytes());
            }
            ["UID", "SEARCH", "UID", set, rest @ ..] => {
                let set = self.set(set);
                let found = set
                    .into_iter()
                    .filter(|uid| rest.is_empty() || self.mail[uid].deleted)
                    .map(|uid| format!(" {uid}"));
                let list: String = found.collect();
                out.extend_from_slice(format!("* SEARCH{list}\r\n").as_bytes());
            }
            ["LIST", ..] => {
                out.extend_from_slice(b"* LIST (\\HasNoChildren) \"/\" INBOX\r\n");
            }
            _ => status = "BAD what?".into(),
        }
        out.extend_from_slice(format!("{tag} {status}\r\n").as_bytes());
        out
    }

    fn expunge(&mut self, which: impl Fn(u32) -> bool, out: &mut Vec<u8>) {
        let mut sequence = 1;
        let mut gone = Vec::new();
        for uid in self.uids() {
            if self.mail[&uid].deleted && which(uid) {
                self.mail.remove(&uid);
                if self.enabled {
                    gone.push(uid);
                    continue;
                }
                out.extend_from_slice(format!("* {sequence} EXPUNGE\r\n").as_bytes());
            } else {
                sequence += 1;
            }
        }
        self.vanished("", &gone, out);
    }

    fn vanished(&self, earlier: &str, uids: &[u32], out: &mut Vec<u8>) {
        let list: Vec<String> = uids.iter().map(u32::to_string).collect();
        if !list.is_empty() {
            let line = format!("* VANISHED {earlier}{}\r\n", list.join(","));
            out.extend_from_slice(line.as_bytes());
        }
    }

    fn fetch(&mut self, set: &str, items: &str, out: &mut Vec<u8>) {
        let all = self.uids();
        for uid in self.set(set) {
            let sequence = all.iter().position(|&u| u == uid).expect("there") + 1;
            let mail = &self.mail[&uid];
            out.extend_from_slice(format!("* {sequence} FETCH (UID {uid}").as_bytes());
            let octets = &mail.octets;
            if items.contains("RFC822.SIZE") {
                let size = mail.size.unwrap_or(octets.len() as u64);
                out.extend_from_slice(format!(" RFC822.SIZE {size}").as_bytes());
            }
            if items.contains("EMAILID") {
                out.extend_from_slice(format!(" EMAILID (M{uid})").as_bytes());
            }
            if items.contains("BODY.PEEK[]<") {
                let part = items.split(['<', '>']).nth(1).expect("a part");
                let (offset, length) = part.split_once('.').expect("two numbers");
                let (offset, length): (usize, usize) =
                    (offset.parse().unwrap(), length.parse().unwrap());
                let end = octets.len().min(offset + length);
                let part = octets.get(offset..end).unwrap_or_default();
                let start = format!(" BODY[]<{offset}> {{{}}}\r\n", part.len());
                out.extend_from_slice(start.as_bytes());
                out.extend_from_slice(part);
            } else if items.contains("BODY.PEEK[]") {
                out.extend_from_slice(format!(" BODY[] {{{}}}\r\n", octets.len()).as_bytes());
                out.extend_from_slice(octets);
            }
            out.extend_from_slice(b")\r\n");
        }
    }

    /// The UIDs of a set that exist.
    fn set(&self, set: &str) -> Vec<u32> {
        let last = self.mail.keys().last().copied().unwrap_or(self.uid_next);
        let number = |text: &str| match text {
            "*" => last,
            text => text.parse().expect("a UID"),
        };
        let mut uids = Vec::new();
        for range in set.split(',') {
            let (a, b) = range.split_once(':').unwrap_or((range, range));
            let (a, b) = (number(a), number(b));
            uids.extend(self.mail.range(a.min(b)..=a.max(b)).map(|mail| *mail.0));
        }
        uids
    }
}

/// The same stream, far away: what is written arrives `delay` later.
fn far(stream: DuplexStream, delay: Duration) -> DuplexStream {
    let (near, relay) = tokio::io::duplex(1 << 20);
    let (mut from, mut to) = tokio::io::split(stream);
    let (mut relay_from, mut relay_to) = tokio::io::split(relay);
    tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from, &mut relay_to).await;
        let _ = relay_to.shutdown().await;
    });
    let (queue, mut queued) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((due, octets)) = queued.recv().await {
            tokio::time::sleep_until(due).await;
            let octets: Vec<u8> = octets;
            if to.write_all(&octets).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    tokio::spawn(async move {
        let mut octets = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = relay_from.read(&mut octets).await {
            let due = tokio::time::Instant::now() + delay;
            if queue.send((due, octets[..read].to_vec())).is_err() {
                return;
            }
        }
    });
    near
}
