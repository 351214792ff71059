//! The client's side of a relayed session: where in a command it is, and what that command is.

use super::plain::Plain;
use super::tail::Tail;
use super::{HASH, Hash, hash};

/// The client's side: where in a command it is.
#[derive(Default)]
pub(super) struct Asking {
    pub(super) body: Body,
    /// Whether a command has begun and is not at its end.
    pub(super) within: bool,
    /// The command's tag and verb.
    pub(super) tag: Hash,
    pub(super) verb: Verb,
    /// Whether the host has answered the command that has begun.
    pub(super) answer: Answer,
    /// Where in a line we are that may be a command's first.
    pub(super) head: Head,
    word: Word,
    /// The last octet, if it parted words, and the last word, if it was COMPRESS.
    parted: u8,
    before: Before,
    pub(super) plain: Plain,
    pub(super) tail: Tail,
}

/// The word before the one that is read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Before {
    #[default]
    Other,
    Compress,
}

/// Where commands that must not pass are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Breadth {
    /// At the beginning of a line, where they stand.
    Verbs,
    /// Wherever a host may read them: behind an error there is one that drops what it has read and takes
    /// the octets of its next read for a command, anywhere in a line; it skips tabs and CRs in a tag, and
    /// line ends and a `UID` before a verb.
    Words,
}

#[derive(Clone, Copy, Default)]
pub(super) enum Body {
    #[default]
    Line,
    /// Announced; the host has not said whether it takes it.
    Awaited(u64),
    /// This many octets of a literal are to come.
    Literal(u64),
    /// As many, which the host has said to take, and may take for commands nevertheless.
    Watched(u64),
    /// As many, which it has not.
    Doubtful(u64),
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Answer {
    #[default]
    ToCome,
    /// Before the command's end: it will not be answered then.
    Given,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Verb {
    #[default]
    Unread,
    Other,
    Idle,
    /// Not a verb: the line that ends an IDLE.
    Done,
    Authenticate,
    Capability,
    Compress,
    Logout,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Head {
    /// Nothing but blanks yet.
    #[default]
    Start,
    Tag,
    Gap,
    Verb,
    /// Behind COMPRESS: its mechanism decides whether this is a command or a line of a mail.
    MechanismGap,
    Mechanism,
    /// Nothing more of this line matters.
    Rest,
}

/// A command that must not pass, or not everywhere, and what makes others doubtful.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Unauthenticate,
    Compress,
    /// The beginning of a TLS record (RFC 8446 §5.1).
    Tls,
    /// What only some hosts may read as we do: a line end that is none to all, another control character,
    /// or a verb after which lines are no commands, out of its place.
    Odd,
}

impl Asking {
    pub(super) fn next_command(&mut self) {
        self.within = false;
        self.verb = Verb::Unread;
        self.answer = Answer::ToCome;
        self.head = Head::Start;
        self.plain = Plain::default();
    }

    /// If a literal of this command waits for the host's word, the host has said no.
    pub(super) fn is_refused_by(&mut self, tag: Hash) -> bool {
        if self.tag != tag || !matches!(self.body, Body::Awaited(_) | Body::Doubtful(_)) {
            return false;
        }
        self.body = Body::Line;
        // What was read as lines already stays read so.
        let between = self.head == Head::Start;
        let head = self.head;
        self.next_command();
        self.head = head;
        self.within = !between;
        true
    }

    /// Whether this answers the command that has begun: a host that takes a literal may refuse what it is
    /// for before the literal is whole, and reads on to the command's end (RFC 7888 §4).
    pub(super) fn is_answered_by(&mut self, tag: Hash) -> bool {
        let known = self.within && !matches!(self.verb, Verb::Unread | Verb::Done);
        if !known || self.tag != tag || self.answer == Answer::Given {
            return false;
        }
        self.answer = Answer::Given;
        true
    }

    /// Reads on to the next command that may not pass, and gives what is behind its words. A control
    /// character or a space parts words, since nobody knows which of them each host takes for one;
    /// a bare CR starts a line for the same reason.
    pub(super) fn find<'a>(
        &mut self,
        bytes: &'a [u8],
        breadth: Breadth,
    ) -> Option<(Found, &'a [u8])> {
        let mut rest = bytes;
        loop {
            if self.head == Head::Rest && breadth == Breadth::Verbs {
                let end = memchr::memchr2(b'\r', b'\n', rest)?;
                rest = rest.get(end..)?;
            }
            let end = rest.iter().position(|&octet| octet <= b' ');
            let (word, tail) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
            if !word.is_empty() {
                self.word_goes_on(word);
                let alone = std::mem::take(&mut self.parted) == b'\r';
                if alone && breadth == Breadth::Words {
                    return Some((Found::Odd, tail));
                }
            }
            let (&octet, tail) = tail.split_first()?;
            rest = tail;
            let anywhere = match breadth {
                Breadth::Verbs => None,
                Breadth::Words => self.is_parted_by(octet),
            };
            let verb = self.word_ends(matches!(octet, b'\r' | b'\n'));
            if let Some(found) = anywhere.or(verb) {
                return Some((found, rest));
            }
        }
    }

    /// This octet stands behind a word, or between words: what that makes of them, wherever they are.
    fn is_parted_by(&mut self, octet: u8) -> Option<Found> {
        let last = std::mem::replace(&mut self.parted, octet);
        match (self.word_anywhere(), last, octet) {
            (_, 0x16, 0x03) => Some(Found::Tls),
            (found @ Some(_), _, _) => found,
            (None, b'\r', b'\n') => None,
            (None, b'\r', _) | (None, _, b'\n') => Some(Found::Odd),
            (None, _, b' ' | b'\r') => None,
            (None, _, _) => Some(Found::Odd),
        }
    }

    fn word_anywhere(&mut self) -> Option<Found> {
        let in_place = self.head == Head::Verb && self.verb == Verb::Unread;
        let before = self.before;
        // Between two words this is the word before still, or none.
        match self.word.length {
            0 => return None,
            4 | 7 | 8 | 12 | 14 => {}
            _ => {
                self.before = Before::Other;
                return None;
            }
        }
        self.before = match self.word.is(b"COMPRESS") {
            true => Before::Compress,
            false => Before::Other,
        };
        if self.word.is(b"UNAUTHENTICATE") {
            Some(Found::Unauthenticate)
        } else if before == Before::Compress && self.word.is(b"DEFLATE") {
            Some(Found::Compress)
        } else if !in_place && matches!(self.word.verb(), Verb::Idle | Verb::Authenticate) {
            Some(Found::Odd)
        } else {
            None
        }
    }

    /// Takes a part of a word.
    fn word_goes_on(&mut self, part: &[u8]) {
        let next = match self.head {
            Head::Start => {
                if !self.within {
                    self.within = true;
                    self.tag = HASH;
                }
                Head::Tag
            }
            Head::Gap => Head::Verb,
            Head::MechanismGap => Head::Mechanism,
            same => same,
        };
        if next != self.head {
            self.word.length = 0;
            self.head = next;
        }
        self.word.push(part);
        if self.head == Head::Tag && self.verb == Verb::Unread {
            self.tag = part.iter().fold(self.tag, |tag, &octet| hash(tag, octet));
        }
    }

    /// A control character or a space stands behind the word.
    fn word_ends(&mut self, line_end: bool) -> Option<Found> {
        let mut found = None;
        let verb = match self.head {
            Head::Tag | Head::Gap if line_end && self.word.is(b"DONE") => Verb::Done,
            Head::Tag | Head::Gap if line_end => Verb::Other,
            Head::Verb => self.word.verb(),
            _ => Verb::Unread,
        };
        if self.verb == Verb::Unread {
            self.verb = verb;
        }
        self.head = match self.head {
            Head::Verb if self.word.is(b"UNAUTHENTICATE") => {
                found = Some(Found::Unauthenticate);
                Head::Rest
            }
            Head::Verb if verb == Verb::Compress => Head::MechanismGap,
            Head::Mechanism if self.word.is(b"DEFLATE") => {
                found = Some(Found::Compress);
                Head::Rest
            }
            Head::Verb | Head::Mechanism => Head::Rest,
            Head::Tag => Head::Gap,
            same => same,
        };
        if self.head == Head::Rest || line_end {
            self.word.length = 0;
        }
        if line_end {
            self.head = Head::Start;
        }
        found
    }
}

/// A word of a line, cut where it is longer than any we look for.
#[derive(Clone, Copy, Default)]
struct Word {
    octets: [u8; 15],
    length: u8,
}

impl Word {
    fn push(&mut self, part: &[u8]) {
        let free = self.octets.get_mut(usize::from(self.length)..);
        for (place, octet) in free.unwrap_or_default().iter_mut().zip(part) {
            *place = *octet;
            self.length = self.length.saturating_add(1);
        }
    }

    /// In any case. Longer words differ from ours in their 15th octet.
    fn is(&self, word: &[u8]) -> bool {
        let own = self.octets.get(..usize::from(self.length));
        own.is_some_and(|own| own.eq_ignore_ascii_case(word))
    }

    fn verb(&self) -> Verb {
        if self.is(b"IDLE") {
            Verb::Idle
        } else if self.is(b"AUTHENTICATE") {
            Verb::Authenticate
        } else if self.is(b"CAPABILITY") {
            Verb::Capability
        } else if self.is(b"COMPRESS") {
            Verb::Compress
        } else if self.is(b"LOGOUT") {
            Verb::Logout
        } else {
            Verb::Other
        }
    }
}
