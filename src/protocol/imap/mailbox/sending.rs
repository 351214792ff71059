//! Commands on their way: their tags, and hosts that take only one at a time.

use std::collections::VecDeque;

use super::{Mailbox, Sent, What};

/// What a command and its answer are known by.
pub(in crate::protocol::imap) type Tag = [u8; 9];

/// How many commands may be on their way at a time.
pub(super) enum Pace {
    Together,
    /// One, for hosts that lose what comes behind a command; these wait.
    OneByOne(VecDeque<Vec<u8>>),
}

impl Mailbox {
    /// The host loses commands that come before its answer to the last one (none was sent yet;
    /// `commands` are those of [`Mailbox::opening`]).
    pub fn one_by_one(&mut self, commands: &[u8]) {
        let lines = commands.split_inclusive(|&b| b == b'\n');
        self.pace = Pace::OneByOne(lines.map(<[u8]>::to_vec).collect());
        self.next_command();
    }

    /// Whether commands wait for each other's answers.
    pub fn is_one_by_one(&self) -> bool {
        matches!(self.pace, Pace::OneByOne(_))
    }

    /// A command was answered: the next one may go.
    pub(in crate::protocol::imap) fn next_command(&mut self) {
        if let Pace::OneByOne(waiting) = &mut self.pace
            && let Some(command) = waiting.pop_front()
        {
            self.out.extend_from_slice(&command);
        }
    }

    /// Queues a command.
    pub(in crate::protocol::imap) fn send(
        &mut self,
        what: What,
        command: impl FnOnce(&mut Vec<u8>),
    ) {
        let tag = self.tag();
        let mut line = Vec::new();
        let alone = match &self.pace {
            Pace::Together => true,
            Pace::OneByOne(_) => self.sent.is_empty(),
        };
        let out = if alone { &mut self.out } else { &mut line };
        out.extend_from_slice(&tag);
        out.push(b' ');
        command(out);
        out.extend_from_slice(b"\r\n");
        if let (false, Pace::OneByOne(waiting)) = (alone, &mut self.pace) {
            waiting.push_back(line);
        }
        self.sent.push_back(Sent { tag, what });
    }

    /// An unpredictable tag: a host, or a message that a host does not quote well, cannot answer a
    /// command before it was sent.
    fn tag(&mut self) -> Tag {
        self.tags = self.tags.saturating_add(1);
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&self.tags.to_le_bytes(), self.seed);
        let mut tag = *b"g00000000";
        for (at, letter) in (0_u32..).zip(tag.iter_mut().skip(1)) {
            let five = hash.wrapping_shr(at.saturating_mul(5)) as usize & 31;
            *letter = *b"abcdefghijklmnopqrstuvwxyz234567"
                .get(five)
                .unwrap_or(&b'a');
        }
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::pop3::config::Settings;

    #[test]
    fn tags_differ_and_cannot_be_guessed() {
        let settings = Settings::default();
        let mut one = Mailbox::new(&settings, 1, None);
        let mut two = Mailbox::new(&settings, 2, None);
        let tags: std::collections::HashSet<_> =
            (0..1000).flat_map(|_| [one.tag(), two.tag()]).collect();
        assert_eq!(tags.len(), 2000);
    }
}
