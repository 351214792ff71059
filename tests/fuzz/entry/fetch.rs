//! What an IMAP host answers to a POP3 session: the mailbox, its snapshot, bodies, QUIT's update.
//!
//! `maildrop` plays a script: a client's commands, and a host that mostly answers as it should and
//! then does not. Each body names the UID it is said to be of, so that a message taken for another
//! shows. `raw` gives the host's octets as they are, `$` being the tag of the oldest command.

mod host;
mod script;

use std::collections::VecDeque;

use arbitrary::{Arbitrary, Unstructured};
use gatepost::protocol::imap::ask::{Ask, Event};
use gatepost::protocol::imap::mailbox::Mailbox;
use gatepost::protocol::imap::uid_set::UidSet;
use gatepost::protocol::pop3::config::{Delete, HideDeleted, MarkSeen, Settings, Sizes};
use gatepost::protocol::pop3::maildrop::{Maildrop, Progress, ROOM, Why};

use super::{Choice, Octets, holds};
use script::{Command, Say, Script};

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
    /// UIDs of the mailbox, and those that carry \\Deleted.
    uids: Vec<u32>,
    marked: Vec<u32>,
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
            marked: Vec::new(),
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
        // Number 11 is written in every mail, and TOP may end there.
        for uid in 0..11 {
            let line = format!("uid={uid}\r\n.\r\n");
            assert!(
                !holds(&self.read, line.as_bytes()) || known.contains(&uid),
                "UID {uid} is none of {known:?}"
            );
        }
        for message in retrieved(&self.read) {
            let right = |uid: &u32| stuffed(&host::body(*uid)) == message;
            assert!(known.iter().any(right), "{message} is no message");
        }
        let done = text.ends_with("+OK bye, deleted messages removed\r\n");
        if let (true, Some(left)) = (
            done && self.settings.delete != Delete::Flag,
            maildrop.remainder(),
        ) {
            let left: Vec<u32> = left.iter().map(|message| message.uid).collect();
            for uid in &self.uids {
                assert!(
                    left.contains(uid) || !known.contains(uid),
                    "UID {uid} is still there"
                );
            }
        }
    }
}

/// The messages that were retrieved to their end, as they were written.
fn retrieved(read: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(read);
    let mut all = Vec::new();
    let mut message: Option<String> = None;
    for line in text.split_inclusive("\r\n") {
        match &mut message {
            Some(_) if line == ".\r\n" => all.extend(message.take()),
            Some(message) => message.push_str(line),
            None => {
                let octets = line
                    .strip_prefix("+OK ")
                    .and_then(|it| it.strip_suffix(" octets\r\n"));
                let begins = octets.is_some_and(|it| it.parse::<u64>().is_ok());
                message = begins.then(String::new);
            }
        }
    }
    all
}

/// A message as it is written to a client.
fn stuffed(body: &str) -> String {
    let lines = body.split_inclusive("\r\n");
    let dot = |line: &str| if line.starts_with('.') { "." } else { "" };
    lines.map(|line| format!("{}{line}", dot(line))).collect()
}
