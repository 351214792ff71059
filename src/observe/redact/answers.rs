//! What of the answers depends on the commands. POP3: which reply a message follows (RFC 1939 §5); that cannot be
//! seen from the message, which may begin as a reply does, but replies come in the order of the
//! commands (RFC 2449 §6.6). IMAP: which tags are those of commands that were shown.

use std::collections::VecDeque;

/// Commands under way that are looked after: no client has so many. Past it every `+OK` counts as the
/// start of a message: too little is shown then, but no mail.
const DUE: usize = 4096;

/// Tags that are remembered: of the oldest command beyond, the answer is hidden.
const TAGS: usize = 64;

/// The replies that are due to a client.
#[derive(Debug)]
pub(in crate::observe) struct Answers {
    /// None: they were too many to be counted.
    due: Option<VecDeque<Asked>>,
    /// Challenges whose answers the client has still to send: they are no commands.
    challenges: u32,
    /// Tags of IMAP commands that were shown and not answered.
    tags: VecDeque<Box<[u8]>>,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    /// Anything, or the greeting.
    Line,
    Message,
    Tls,
}

/// What comes behind a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::observe) enum Follows {
    /// The next one, or a list that is seen to be one.
    Reply,
    Message,
}

impl Default for Answers {
    fn default() -> Self {
        Answers {
            due: Some(VecDeque::from([Asked::Line])),
            challenges: 0,
            tags: VecDeque::new(),
        }
    }
}

impl Answers {
    /// TLS begins: what came in clear behind the command for it is never answered (RFC 2595 §4).
    pub(in crate::observe) fn secured(&mut self) {
        *self = Answers {
            due: Some(VecDeque::new()),
            ..Answers::default()
        };
    }

    /// An IMAP command is shown, with its tag.
    pub(super) fn tagged(&mut self, tag: &[u8]) {
        if self.tags.len() >= TAGS {
            self.tags.pop_front();
        }
        self.tags.push_back(tag.into());
    }

    /// Whether an answer with this tag is one to a command that was shown.
    pub(super) fn is_shown(&mut self, tag: &[u8]) -> bool {
        let at = self.tags.iter().position(|it| **it == *tag);
        at.is_some_and(|at| self.tags.remove(at).is_some())
    }

    /// The client sent a line.
    pub(super) fn asked(&mut self, line: &[u8]) {
        if self.challenges > 0 {
            self.challenges = self.challenges.saturating_sub(1);
            return;
        }
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|it| !it.is_empty());
        let verb = words.next().unwrap_or_default();
        let is = |name: &str| verb.eq_ignore_ascii_case(name.as_bytes());
        let asked = match () {
            () if is("RETR") || is("TOP") => Asked::Message,
            () if is("STLS") => Asked::Tls,
            () => Asked::Line,
        };
        match &mut self.due {
            Some(due) if due.len() < DUE => due.push_back(asked),
            due => *due = None,
        }
    }

    /// The gateway sent a reply, or a challenge.
    pub(super) fn answered(&mut self, reply: &[u8]) -> Follows {
        let Some(due) = &mut self.due else {
            return match reply.starts_with(b"+OK") {
                true => Follows::Message,
                false => Follows::Reply,
            };
        };
        if reply.starts_with(b"+ ") {
            // Its answer is the next line, which may have come already.
            if due.remove(1).is_none() {
                self.challenges = self.challenges.saturating_add(1);
            }
            return Follows::Reply;
        }
        match due.pop_front() {
            Some(Asked::Message) if reply.starts_with(b"+OK") => Follows::Message,
            Some(Asked::Tls) if reply.starts_with(b"+OK") => {
                // What came in clear behind it is never answered (RFC 2595 §4).
                due.clear();
                Follows::Reply
            }
            _ => Follows::Reply,
        }
    }
}
