//! Where deleted mail is kept: the mailbox with the attribute \Trash (RFC 6154), looked for once.

use super::super::facts::Trash;
use super::super::mailbox::{Mailbox, What};
use super::super::name::quoted;
use super::super::status::{Said, Status};
use crate::protocol::pop3::config::Delete;

/// How \Trash is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol::imap) enum Listing {
    /// `LIST (SPECIAL-USE)` (RFC 6154 §5.2).
    SpecialUse,
    /// A plain LIST, which may bring the attribute too (RFC 6154 §5.1).
    Plain,
}

impl Mailbox {
    /// Whether deleted mail goes to \Trash, and nobody knows yet where that is.
    pub(in crate::protocol::imap) fn misses_trash(&self) -> bool {
        self.wanted.delete == Delete::Trash && self.trash == Trash::Unasked
    }

    /// Looks for \Trash.
    pub(in crate::protocol::imap) fn find_trash(&mut self) {
        self.send(What::Trash(Listing::SpecialUse), |out| {
            out.extend_from_slice(b"LIST (SPECIAL-USE) \"\" \"*\"");
        });
    }

    /// `* LIST (attributes) delimiter name`
    pub(in crate::protocol::imap) fn listed(&mut self, text: &[u8]) {
        let Some(end) = memchr::memchr(b')', text) else {
            return;
        };
        let (attributes, rest) = text
            .split_at_checked(end.saturating_add(1))
            .unwrap_or_default();
        let is_trash = attributes
            .split(|&b| matches!(b, b' ' | b'(' | b')'))
            .any(|attribute| attribute.eq_ignore_ascii_case(b"\\Trash"));
        if !is_trash || matches!(self.trash, Trash::At(_)) {
            return;
        }
        let rest = rest.trim_ascii_start();
        let name = match rest.strip_prefix(b"NIL ") {
            Some(name) => name,
            None => rest
                .strip_prefix(b"\"")
                .and_then(|rest| {
                    memchr::memmem::find(rest, b"\" ").map(|at| rest.get(at.saturating_add(2)..))
                })
                .flatten()
                .unwrap_or_default(),
        };
        // As it stands it can be sent back: an atom or a quoted string.
        let fits = !name.is_empty()
            && name.len() <= 1000
            && !name.iter().any(|b| b.is_ascii_control())
            && (name.starts_with(b"\"") == name.ends_with(b"\""))
            && (name.starts_with(b"\"") || !name.contains(&b' '));
        // Mail that is deleted in \Trash itself goes for good.
        let here = quoted(&self.wanted.mailbox);
        let bare = here
            .get(1..here.len().saturating_sub(1))
            .unwrap_or_default();
        if name == here || name == bare {
            self.wanted.delete = Delete::Expunge;
        }
        if fits {
            self.trash = Trash::At(name.to_vec());
        }
    }

    /// The end of a LIST.
    pub(in crate::protocol::imap) fn trash_listed(&mut self, listing: Listing, said: &Said<'_>) {
        let found = matches!(self.trash, Trash::At(_));
        match listing {
            Listing::SpecialUse if !found => {
                // Old hosts call the selection option bad syntax.
                self.send(What::Trash(Listing::Plain), |out| {
                    out.extend_from_slice(b"LIST \"\" \"*\"");
                });
                return;
            }
            Listing::Plain if !found && said.status != Status::Bad => self.trash = Trash::None,
            _ if !found => self.trash = Trash::None,
            _ => {}
        }
        self.tell_access();
        self.advance_update();
    }
}
