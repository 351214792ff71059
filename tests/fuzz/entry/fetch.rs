//! What an IMAP host answers to a POP3 session: the mailbox, its snapshot, bodies, QUIT's update.
//!
//! `maildrop` plays a script: a client's commands, and a host that mostly answers as it should and
//! then does not. Each body names the UID it is said to be of, so that a message taken for another
//! shows. `raw` gives the host's octets as they are, `$` being the tag of the oldest command.

use std::collections::VecDeque;

use arbitrary::{Arbitrary, Unstructured};
use gatepost::protocol::imap::ask::{Ask, Event};
use gatepost::protocol::imap::mailbox::Mailbox;
use gatepost::protocol::imap::uid_set::UidSet;
use gatepost::protocol::pop3::config::{Delete, HideDeleted, MarkSeen, Settings, Sizes};
use gatepost::protocol::pop3::maildrop::{Maildrop, Progress, ROOM, Why};

use super::{Choice, Octets, holds, several};

pub(crate) fn maildrop(octets: &[u8]) {
    let Ok(script) = Script::arbitrary(&mut Unstructured::new(octets)) else {
        return;
    };
    let commands: String = script.client.iter().map(Command::line).collect();
    let play = Play::new(script.settings, script.cut, commands.into_bytes());
    play.run(script.host.into_iter());
}

pub(crate) fn raw(octets: &[u8]) {
    const COMMANDS: &str =
        "STAT\r\nUIDL\r\nLIST\r\nRETR 1\r\nTOP 2 1\r\nRETR 3\r\nDELE 1\r\nQUIT\r\n";
    let mut choice = Choice(octets);
    let (settings, cut) = (choice.octet(), choice.octet());
    let play = Play::new(settings, cut, COMMANDS.into());
    // After each part that names a tag the gateway has its turn.
    let parts = choice.0.split_inclusive(|octet| *octet == b'$');
    play.run(parts.map(|part| Say::Octets(Octets(part.to_vec()))));
}

#[derive(Debug)]
struct Script {
    settings: u8,
    cut: u8,
    client: Vec<Command>,
    host: Vec<Say>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(script: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Script {
            settings: script.arbitrary()?,
            cut: script.arbitrary()?,
            client: several(script, 12)?,
            host: several(script, 40)?,
        })
    }
}

#[derive(Arbitrary, Debug)]
enum Command {
    Stat,
    List(Option<u8>),
    Uidl(Option<u8>),
    Retr(u8),
    Top(u8, u8),
    Dele(u8),
    Rset,
    Noop,
    Quit,
    Odd(u8),
}

impl Command {
    fn line(&self) -> String {
        let number = |n: &u8| n % 6;
        let maybe = |n: &Option<u8>| n.map_or(String::new(), |n| format!(" {}", n % 6));
        match self {
            Command::Stat => "STAT\r\n".into(),
            Command::List(n) => format!("LIST{}\r\n", maybe(n)),
            Command::Uidl(n) => format!("UIDL{}\r\n", maybe(n)),
            Command::Retr(n) => format!("RETR {}\r\n", number(n)),
            Command::Top(n, lines) => format!("TOP {} {lines}\r\n", number(n)),
            Command::Dele(n) => format!("DELE {}\r\n", number(n)),
            Command::Rset => "RSET\r\n".into(),
            Command::Noop => "NOOP\r\n".into(),
            Command::Quit => "QUIT\r\n".into(),
            Command::Odd(n) => format!("{}\r\n", char::from(n % 95 + b' ')),
        }
    }
}

/// What a host says, when it is waited for.
#[derive(Arbitrary, Debug)]
enum Say {
    /// What is right, to the oldest command; told more than once, so that scripts get somewhere.
    Right,
    RightAgain,
    RightOnceMore,
    /// To the newest command.
    RightToNewest,
    /// The right answer, broken off after so many octets and ended by `OK`.
    Cut(u8),
    /// A status without the answer.
    No,
    Bad,
    Throttled,
    Ok,
    Bye,
    Exists(u8),
    Expunge(u8),
    Vanished(u8),
    Flags(u8),
    Row {
        sequence: u8,
        uid: Option<u8>,
        size: Option<u8>,
        body: Option<Form>,
    },
    Code(u8),
    Search(u8, u8),
    Octets(Octets),
    Close,
}

/// How a body is written.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Form {
    Literal,
    Literal8,
    Quoted,
    Nil,
    Missing,
    TooLong,
    Partial(u8),
}

/// The body that a message with this UID has, dots and all.
fn body(uid: u32) -> String {
    format!("Subject: {uid}\r\n\r\n.uid={uid}\r\n..\r\n.\r\nuid={uid}\r\n")
}

struct Play {
    mailbox: Mailbox,
    settings: Settings,
    maildrop: Option<Maildrop>,
    client: Vec<u8>,
    /// Octets of the client that were taken.
    taken: usize,
    cut: usize,
    out: Vec<u8>,
    read: Vec<u8>,
    /// What the host said and nobody read yet.
    host: VecDeque<u8>,
    /// Commands without an answer: tag and the rest.
    asked: VecDeque<(String, String)>,
    /// UIDs of the mailbox.
    uids: Vec<u32>,
    /// Whether a body may be anything.
    lied: bool,
    guard: Option<UidSet>,
    over: Option<Why>,
    said: usize,
}

impl Play {
    fn new(bits: u8, cut: u8, client: Vec<u8>) -> Play {
        let yes = |bit| Choice::bit(bits, bit);
        let settings = Settings {
            mark_seen: if yes(0) {
                MarkSeen::Never
            } else {
                MarkSeen::Quit
            },
            delete: match bits >> 1 & 3 {
                0 | 1 => Delete::Expunge,
                2 => Delete::Trash,
                _ => Delete::Flag,
            },
            hide_deleted: if yes(3) {
                HideDeleted::Yes
            } else {
                HideDeleted::No
            },
            sizes: if yes(4) { Sizes::Trust } else { Sizes::Learn },
            prefetch: if yes(5) { 0 } else { 4096 },
            ..Settings::default()
        };
        let mut mailbox = Mailbox::new(&settings, 7, None);
        if yes(6) {
            mailbox.guarded();
        }
        if yes(7) {
            mailbox.can(&["IMAP4REV1".into(), "UIDPLUS".into(), "MOVE".into()]);
        }
        let commands = mailbox.opening();
        let mut play = Play {
            mailbox,
            settings,
            maildrop: None,
            client,
            taken: 0,
            cut: usize::from(cut).max(1),
            out: Vec::new(),
            read: Vec::new(),
            host: VecDeque::new(),
            asked: VecDeque::new(),
            uids: vec![1, 5, 9],
            lied: false,
            guard: None,
            over: None,
            said: 0,
        };
        play.hear(&commands);
        play
    }

    fn run(mut self, mut host: impl Iterator<Item = Say>) {
        for _ in 0..2000 {
            while self.turn() {
                self.said += 1;
                assert!(self.said < 200_000, "it goes on for ever");
            }
            if self.over.is_some() || self.mailbox.is_dead() {
                break;
            }
            match host.next() {
                Some(Say::Close) | None => self.mailbox.closed(),
                Some(say) => self.say(say),
            }
        }
        // A dead host leaves nobody waiting for ever.
        while self.turn() {}
        if let Some(maildrop) = &mut self.maildrop {
            let update = maildrop.leave();
            assert!(
                update.is_none_or(|it| it.delete.is_empty()),
                "removed without QUIT"
            );
        }
        self.understood();
    }

    /// One round as `session::translate` plays it; false when nothing moved.
    fn turn(&mut self) -> bool {
        let mut moved = false;
        if let Some(maildrop) = &mut self.maildrop {
            let rest = &self.client[self.taken..];
            let used = maildrop.receive(&rest[..rest.len().min(self.cut)]);
            self.taken += used;
            moved |= used > 0;
            let before = self.out.len();
            let progress = maildrop.step(&mut self.out);
            moved |= self.out.len() > before;
            while let Some(ask) = maildrop.next_ask() {
                self.mailbox.ask(ask);
                moved = true;
            }
            assert!(self.out.len() < ROOM + 128 * 1024, "out of bounds");
            if !self.out.is_empty() || progress == Progress::Room {
                self.read.append(&mut self.out);
                let _ = maildrop.flushed();
                moved |= progress == Progress::Room;
            }
            if let Progress::Over(why) = progress {
                self.over = Some(why);
                return false;
            }
        }
        let commands = std::mem::take(self.mailbox.output());
        moved |= !commands.is_empty();
        self.hear(&commands);
        let most = match self.mailbox.wants_input() {
            true => self.host.len().min(self.cut * 16),
            false => 0,
        };
        let octets: Vec<u8> = self.host.iter().take(most).copied().collect();
        let (used, event) = self.mailbox.receive(&octets);
        assert!(used <= octets.len() || self.mailbox.is_dead());
        moved |= used > 0 || event.is_some();
        self.host.drain(..used.min(octets.len()));
        match event {
            Some(Event::Opened(opened)) => {
                assert!(self.maildrop.is_none(), "opened twice");
                self.maildrop = Some(Maildrop::new(&self.settings, "S1".into(), opened));
            }
            Some(Event::Refused(_)) => {
                assert!(self.maildrop.is_none(), "refused when it was open");
                self.over = Some(Why::Poisoned);
                return false;
            }
            Some(Event::Guard { marks, .. }) => {
                self.guard = Some(marks.clone());
                self.mailbox.ask(Ask::Guarded(Some(marks)));
            }
            Some(event) => {
                if let Some(maildrop) = &mut self.maildrop {
                    maildrop.event(event, &mut self.out);
                }
            }
            None => {}
        }
        moved
    }

    /// The host reads commands: whole lines, each with a tag of its own.
    fn hear(&mut self, commands: &[u8]) {
        let text = std::str::from_utf8(commands).expect("commands are ASCII");
        assert!(text.is_empty() || text.ends_with("\r\n"), "half a command");
        for line in text.split_terminator("\r\n") {
            let (tag, rest) = line.split_once(' ').expect("a tag");
            assert!(!rest.contains('\r') && !rest.contains('\n'));
            assert!(self.asked.iter().all(|it| it.0 != tag), "a tag twice");
            self.asked.push_back((tag.into(), rest.into()));
        }
    }

    fn put(&mut self, text: &str) {
        self.host.extend(text.as_bytes());
    }

    fn tagged(&mut self, what: &str) {
        match self.asked.pop_front() {
            Some((tag, _)) => self.put(&format!("{tag} {what}\r\n")),
            None => self.put(&format!("x {what}\r\n")),
        }
    }

    fn say(&mut self, say: Say) {
        match say {
            Say::Right | Say::RightAgain | Say::RightOnceMore => {
                if let Some((tag, command)) = self.asked.pop_front() {
                    let answer = self.right(&command);
                    self.put(&format!("{answer}{tag} OK done\r\n"));
                }
            }
            Say::RightToNewest => {
                if let Some((tag, command)) = self.asked.pop_back() {
                    let answer = self.right(&command);
                    self.put(&format!("{answer}{tag} OK done\r\n"));
                }
            }
            Say::Cut(at) => {
                if let Some((tag, command)) = self.asked.pop_front() {
                    self.lied = true;
                    let answer = self.right(&command);
                    let part: String = answer.chars().take(at.into()).collect();
                    self.put(&format!("{part}{tag} OK done\r\n"));
                }
            }
            Say::No => self.tagged("NO not now"),
            Say::Bad => self.tagged("BAD what"),
            Say::Throttled => self.tagged("NO [THROTTLED] slowly"),
            Say::Ok => self.tagged("OK fine"),
            Say::Bye => self.put("* BYE gone\r\n"),
            Say::Exists(n) => self.put(&format!("* {n} EXISTS\r\n")),
            Say::Expunge(n) => self.put(&format!("* {} EXPUNGE\r\n", n % 6)),
            Say::Vanished(n) => self.put(&format!("* VANISHED {}:{}\r\n", n % 12, n / 12)),
            Say::Flags(n) => self.put(&format!(
                "* {} FETCH (UID {} FLAGS (\\Deleted))\r\n",
                n % 4,
                n / 4
            )),
            Say::Row {
                sequence,
                uid,
                size,
                body,
            } => self.row(sequence, uid, size, body),
            Say::Code(n) => {
                let code = [
                    "UIDVALIDITY 1",
                    "UIDVALIDITY 2",
                    "UIDNEXT 10",
                    "READ-ONLY",
                    "CLOSED",
                    "HIGHESTMODSEQ 5",
                ];
                let code = code[usize::from(n) % code.len()];
                self.put(&format!("* OK [{code}] x\r\n"));
            }
            Say::Search(a, b) => self.put(&format!("* SEARCH {} {}\r\n", a % 12, b % 12)),
            Say::Octets(octets) => {
                self.lied = true;
                for octet in octets.0 {
                    match (octet, self.asked.is_empty()) {
                        (b'$', false) => {
                            let (tag, _) = self.asked.pop_front().unwrap();
                            self.put(&tag);
                        }
                        _ => self.host.push_back(octet),
                    }
                }
            }
            Say::Close => self.mailbox.closed(),
        }
    }

    fn row(&mut self, sequence: u8, uid: Option<u8>, size: Option<u8>, form: Option<Form>) {
        let mut items = Vec::new();
        if let Some(uid) = uid {
            items.push(format!("UID {}", uid % 12));
        }
        if let Some(size) = size {
            items.push(format!("RFC822.SIZE {size}"));
        }
        if let Some(form) = form {
            // Without a UID a body may be taken for the one that was asked for: that is the host's lie.
            self.lied |= uid.is_none() || !matches!(form, Form::Literal | Form::Literal8);
            let text = body(uid.map_or(0, |uid| u32::from(uid % 12)));
            items.push(match form {
                Form::Literal => format!("BODY[] {{{}}}\r\n{text}", text.len()),
                Form::Literal8 => format!("BODY[] ~{{{}}}\r\n{text}", text.len()),
                Form::Quoted => "BODY[] \"a\\\"b\"".into(),
                Form::Nil => "BODY[] NIL".into(),
                Form::Missing => "BODY[]".into(),
                Form::TooLong => format!("BODY[] {{18446744073709551615}}\r\n{text}"),
                Form::Partial(at) => format!("BODY[]<{at}> {{{}}}\r\n{text}", text.len()),
            });
        }
        self.put(&format!(
            "* {} FETCH ({})\r\n",
            sequence % 6,
            items.join(" ")
        ));
    }

    /// What a host with these messages answers.
    fn right(&mut self, command: &str) -> String {
        let count = self.uids.len();
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["SELECT", ..] => format!(
                "* {count} EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 10] x\r\n* OK [PERMANENTFLAGS (\\Deleted \\Seen)] x\r\n"
            ),
            ["STATUS", ..] => {
                format!("* STATUS \"INBOX\" (MESSAGES {count} UIDNEXT 10 UIDVALIDITY 1)\r\n")
            }
            ["CAPABILITY"] => "* CAPABILITY IMAP4rev1 UIDPLUS MOVE\r\n".into(),
            ["LIST", ..] => "* LIST (\\Trash) \"/\" Trash\r\n".into(),
            ["UID", "SEARCH", ..] if command.contains("DELETED") => "* SEARCH 11\r\n".into(),
            ["UID", "SEARCH", ..] => {
                let uids: Vec<String> = self.uids.iter().map(u32::to_string).collect();
                format!("* SEARCH {}\r\n", uids.join(" "))
            }
            ["UID", "FETCH", set, ..] => {
                let mut asked = UidSet::new();
                asked.read(set.replace('*', "4294967295").as_bytes());
                asked.normalise();
                let with_body = command.contains("BODY");
                let mut answer = String::new();
                for (sequence, uid) in (1..).zip(&self.uids) {
                    if !asked.contains(*uid) {
                        continue;
                    }
                    let text = body(*uid);
                    answer += &format!("* {sequence} FETCH (UID {uid} RFC822.SIZE {}", text.len());
                    if with_body {
                        let part = part_of(command, &text);
                        answer += &format!(" {part}");
                    }
                    answer += ")\r\n";
                }
                answer
            }
            ["EXPUNGE"] | ["UID", "EXPUNGE", ..] => String::new(),
            _ => String::new(),
        }
    }

    /// What the client read is POP3, and each message is the one of its number.
    fn understood(&self) {
        let text = String::from_utf8_lossy(&self.read);
        let whole = !matches!(self.over, Some(Why::Truncated));
        assert!(self.read.is_empty() || !whole || text.ends_with("\r\n") || self.over.is_none());
        if self.lied {
            return;
        }
        let Some(maildrop) = &self.maildrop else {
            return;
        };
        let snapshot = maildrop.snapshot();
        // A message in the talk: its own number is in it three times, or it was cut off.
        let known: Vec<u32> = snapshot.iter().map(|message| message.uid).collect();
        for uid in 0..12 {
            let line = format!("uid={uid}\r\n.\r\n");
            assert!(
                !holds(&self.read, line.as_bytes()) || known.contains(&uid),
                "UID {uid} is none of {known:?}"
            );
        }
    }
}

/// `BODY[]` or a part of it, as it was asked for.
fn part_of(command: &str, text: &str) -> String {
    let part = command
        .split_once("]<")
        .and_then(|(_, rest)| rest.split_once('>'));
    let numbers = part.and_then(|(part, _)| part.split_once('.'));
    match numbers.map(|(from, most)| (from.parse(), most.parse())) {
        Some((Ok(from), Ok(most))) => {
            let from: usize = from;
            let part: String = text.chars().skip(from).take(most).collect();
            format!("BODY[]<{from}> {{{}}}\r\n{part}", part.len())
        }
        _ => format!("BODY[] {{{}}}\r\n{text}", text.len()),
    }
}
