//! The capabilities a host tells a relayed client: UNAUTHENTICATE (RFC 8437) is never among them, nor
//! COMPRESS (RFC 4978) where it could hide that command.
//!
//! What passes is not held back and keeps its length: a name that is not for the client becomes one
//! that means nothing to anybody, by its last octet. Only what answers a CAPABILITY is changed: a list
//! that nobody asked for may as well stand in a mail.

use super::answering::Said;
use crate::protocol::imap::first::First;

/// Where in a response of the host's we are, if it may hold a list of capabilities: an untagged
/// CAPABILITY (RFC 9051 §7.2.2), or the code of a status response (§7.1).
#[derive(Clone, Copy, Default)]
pub(super) struct Listing {
    at: At,
    word: Word,
    /// How many octets of the word were read.
    length: u8,
    found: Found,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// The tag, or `*`.
    #[default]
    Tag,
    /// `CAPABILITY`, or what a response is else.
    Kind,
    /// `[`, if a code stands here.
    Bracket,
    /// What code it is.
    Code,
    List,
    /// Nothing more of this response matters.
    Rest,
}

/// What the word may still turn out to be.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Word {
    #[default]
    Any,
    Capability,
    Unauthenticate,
    Compress,
    Other,
}

/// What is taken out of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing: nobody asked for a list, or it may be none.
    Nothing,
    Unauthenticate,
    Both,
}

/// What a response told.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Found {
    /// No list.
    #[default]
    Nothing,
    /// One without UNAUTHENTICATE.
    List,
    /// One with it.
    Unauthenticate,
}

impl Word {
    fn name(self) -> &'static [u8] {
        match self {
            Word::Capability => b"CAPABILITY",
            Word::Unauthenticate => b"UNAUTHENTICATE",
            Word::Compress => b"COMPRESS=",
            Word::Any | Word::Other => b"",
        }
    }
}

impl Listing {
    /// Reads on in a response, which is what was `said` with this line, and takes out what is not for
    /// the client.
    pub(super) fn read(&mut self, line: &mut [u8], said: Said, takes: Takes) {
        for octet in line {
            match (self.at, *octet) {
                (At::Rest, _) => return,
                (At::List, b']') => self.at = At::Rest,
                (_, ..=b' ') => self.word_ends(said),
                (At::Tag, _) => self.length = 1,
                (At::Bracket, b'[') if said.is_status() => self.at = At::Code,
                (At::Bracket, _) => self.at = At::Rest,
                (At::Kind | At::Code, octet) => {
                    self.word_goes_on(octet, Word::Capability);
                }
                (At::List, first) => {
                    let word = match first {
                        b'U' | b'u' => Word::Unauthenticate,
                        b'C' | b'c' => Word::Compress,
                        _ => Word::Other,
                    };
                    let complete = self.word_goes_on(first, word);
                    if complete == Word::Unauthenticate {
                        self.found = Found::Unauthenticate;
                    }
                    match (complete, takes) {
                        (Word::Unauthenticate, Takes::Unauthenticate | Takes::Both) => {
                            *octet = b'X';
                        }
                        (Word::Compress, Takes::Both) => *octet = b'-',
                        _ => {}
                    }
                }
            }
        }
    }

    /// The response is at its end.
    pub(super) fn end(&mut self) -> Found {
        std::mem::take(self).found
    }

    /// One more octet of a word, which may be `first` if this is its first; says what is complete.
    fn word_goes_on(&mut self, octet: u8, first: Word) -> Word {
        if self.word == Word::Any {
            self.word = first;
        }
        let name = self.word.name();
        let fits = name
            .get(usize::from(self.length))
            .is_some_and(|want| octet.eq_ignore_ascii_case(want));
        if !fits {
            self.word = Word::Other;
        }
        self.length = self.length.saturating_add(1);
        match usize::from(self.length) == name.len() {
            true => self.word,
            false => Word::Other,
        }
    }

    fn word_ends(&mut self, said: Said) {
        if self.length == 0 {
            return;
        }
        let is_list = self.word == Word::Capability
            && usize::from(self.length) == Word::Capability.name().len();
        self.at = match self.at {
            At::Tag => At::Kind,
            At::Kind if is_list && said == Said::Untagged(First::Data) => {
                self.found = Found::List;
                At::List
            }
            At::Code if is_list => {
                self.found = Found::List;
                At::List
            }
            At::Kind => At::Bracket,
            At::Bracket => At::Bracket,
            At::List => At::List,
            At::Code | At::Rest => At::Rest,
        };
        self.word = Word::Any;
        self.length = 0;
    }
}
