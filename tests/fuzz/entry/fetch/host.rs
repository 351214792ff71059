//! The host of a script: it hears commands, and what it says of them is mostly right.

use gatepost::protocol::imap::uid_set::UidSet;

use super::Play;
use super::script::{Form, Say};

/// The body that a message with this UID has, dots and all. It holds what looks like the end of a row,
/// and like another message: one with a UID that there is not.
pub(super) fn body(uid: u32) -> String {
    format!(
        "Subject: {uid}\r\n\r\n.uid={uid}\r\n..\r\n.\r\n UID {uid})\r\n\
         * 5 FETCH (UID 5 BODY[] {{8}}\r\nuid=11\r\n)\r\n* 2 EXPUNGE\r\n(a)\r\nuid={uid}\r\n"
    )
}

impl Play {
    /// The host reads commands: whole lines, each with a tag of its own.
    pub(super) fn hear(&mut self, commands: &[u8]) {
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

    pub(super) fn say(&mut self, say: Say) {
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
            Say::Short(by) => {
                if let Some((tag, command)) = self.asked.pop_front() {
                    let answer = shortened(self.right(&command), by.into());
                    self.put(&format!("{answer}{tag} OK done\r\n"));
                }
            }
            Say::No => self.tagged("NO not now"),
            Say::Bad => self.tagged("BAD what"),
            Say::Throttled => self.tagged("NO [THROTTLED] slowly"),
            Say::Ok => {
                // Nothing found, where something is.
                let command = self.asked.front();
                self.lied |= command.is_some_and(|asked| asked.1.contains("SEARCH"));
                self.tagged("OK fine");
            }
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
            ["UID", "STORE", set, flags, "(\\Deleted)"] => {
                let set = read(set);
                self.marked.retain(|uid| !set.contains(*uid));
                if flags.starts_with('+') {
                    let uids = self.uids.iter().copied();
                    self.marked.extend(uids.filter(|uid| set.contains(*uid)));
                }
                String::new()
            }
            ["EXPUNGE"] => self.remove(|play, uid| play.marked.contains(&uid)),
            ["UID", "EXPUNGE", set] => {
                let set = read(set);
                self.remove(|play, uid| play.marked.contains(&uid) && set.contains(uid))
            }
            ["UID", "MOVE", set, ..] => {
                let set = read(set);
                self.remove(|_, uid| set.contains(uid))
            }
            _ => String::new(),
        }
    }

    fn remove(&mut self, which: impl Fn(&Play, u32) -> bool) -> String {
        let mut told = String::new();
        let mut left = Vec::new();
        for &uid in &self.uids {
            match which(self, uid) {
                true => told += &format!("* {} EXPUNGE\r\n", left.len() + 1),
                false => left.push(uid),
            }
        }
        self.uids = left;
        told
    }
}

fn read(set: &str) -> UidSet {
    let mut uids = UidSet::new();
    uids.read(set.as_bytes());
    uids.normalise();
    uids
}

/// An answer whose first literal is announced so many octets too short.
fn shortened(answer: String, by: usize) -> String {
    let announced = answer.split_once('{').and_then(|(before, rest)| {
        let (octets, behind) = rest.split_once('}')?;
        let octets: usize = octets.parse().ok()?;
        Some(format!("{before}{{{}}}{behind}", octets.saturating_sub(by)))
    });
    announced.unwrap_or(answer)
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
