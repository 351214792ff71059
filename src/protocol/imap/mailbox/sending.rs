//! Commands on their way: their tags, and hosts that take only one at a time.

use std::collections::VecDeque;

use super::super::tags;
use super::{Mailbox, Sent, What};

/// What a command and its answer are known by.
pub(in crate::protocol::imap) type Tag = [u8; 9];

/// How many commands may be on their way at a time.
pub(super) enum Pace {
    Together,
    /// One, for hosts that lose what comes behind a command; these wait.
    OneByOne(VecDeque<Vec<u8>>),
}

/// The last answer, where nothing has come since: the commands behind it that were under way by then.
#[derive(Debug, Default)]
pub(in crate::protocol::imap) struct Bursts(Option<std::ops::RangeInclusive<u64>>);

impl Bursts {
    /// The host says something else: it is at work.
    pub(in crate::protocol::imap) fn moved(&mut self) {
        self.0 = None;
    }
}

impl Mailbox {
    /// The commands of [`Mailbox::opening`] went out in one burst with a login that was accepted.
    pub fn sent_behind_login(&mut self) {
        self.answered(0);
    }

    /// A command was answered.
    pub(in crate::protocol::imap) fn answered(&mut self, number: u64) {
        self.bursts = Bursts(Some(number.saturating_add(1)..=self.tags));
    }

    /// Whether it looks as if the host lost commands while the mailbox was opened: it answered one of
    /// several that went together, and fell silent with later ones to be answered. A host that answers
    /// nothing is slow or gone, which says nothing about bursts.
    pub fn is_stuck_in_burst(&self) -> bool {
        let behind = |number: u64| {
            self.bursts
                .0
                .as_ref()
                .is_some_and(|it| it.contains(&number))
        };
        let stuck = |sent: &Sent| behind(sent.number);
        matches!(self.pace, Pace::Together) && self.opening.is_some() && self.sent.iter().any(stuck)
    }

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
        let number = self.tags;
        self.sent.push_back(Sent { tag, what, number });
    }

    /// The next tag, see [`tags`].
    fn tag(&mut self) -> Tag {
        self.tags = self.tags.saturating_add(1);
        let [a, b, c, d, e, f, g, h] = tags::letters(self.seed, self.tags);
        [b'g', a, b, c, d, e, f, g, h]
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
        let tags: Vec<Tag> = (0..1000).flat_map(|_| [one.tag(), two.tag()]).collect();
        let different: std::collections::HashSet<_> = tags.iter().collect();
        assert_eq!(different.len(), 2000);
        // Nor does one tell the next, of its own connection or of another one.
        for apart in [1, 2] {
            let pairs = tags.iter().zip(tags.iter().skip(apart));
            let agree = |(one, next): (&Tag, &Tag)| {
                let letters = one.iter().zip(next).skip(1);
                letters.filter(|(a, b)| a == b).count()
            };
            let agreed: usize = pairs.map(agree).sum();
            assert!(agreed < 2000, "{agreed} of 16000 letters agree");
        }
    }
}
