//! DELE and QUIT (RFC 1939 §5, §6): marks, what they lead to, and what is left afterwards.

use std::sync::Arc;

use super::super::config::{Delete, MarkSeen};
use super::super::grammar::MessageNumber;
use super::super::reply::ResponseCode;
use super::{Doing, Host, Maildrop, Removed, Why};
use crate::protocol::imap::ask::{Access, Ask, Outcome, Update};
use crate::protocol::imap::snapshot::Snapshot;
use crate::protocol::imap::uid_set::UidSet;

impl Maildrop {
    /// DELE (RFC 1939 §5): `"DELE" SP msg`. Marks; only QUIT removes.
    pub(super) fn dele(&mut self, number: MessageNumber, out: &mut Vec<u8>) {
        let Some((index, _)) = self.message(number, out) else {
            return;
        };
        self.delete(index, out);
    }

    pub(super) fn delete(&mut self, index: usize, out: &mut Vec<u8>) {
        match self.access {
            Some(Access::ReadWrite) => {
                if let Some(message) = self.snapshot.get(index) {
                    self.deleted.set(index);
                    self.deleted_octets = self.deleted_octets.saturating_add(message.size);
                }
                out.extend_from_slice(b"+OK message deleted\r\n");
            }
            Some(Access::ReadOnly) => {
                self.err(ResponseCode::SysPerm, "the mailbox is read-only", out);
            }
            Some(Access::NoTrash) => {
                self.err(ResponseCode::SysPerm, "there is no \\Trash mailbox", out);
            }
            Some(Access::Lost) | None => {
                self.ahead.forget();
                self.asks.push_back(Ask::Access);
                self.doing = Doing::Deleting(index);
            }
        }
    }

    /// QUIT (RFC 1939 §6): `"QUIT"`. What is marked is removed, then the answer is given.
    pub(super) fn quit(&mut self, out: &mut Vec<u8>) {
        let marked = self.deleted.iter().filter(|&index| !self.gone.has(index));
        let delete = self.snapshot.set(marked);
        if delete.is_empty() {
            out.extend_from_slice(b"+OK bye\r\n");
            self.doing = Doing::Over(Why::Quit);
            return;
        }
        if self.host == Host::Poisoned {
            self.removed = Removed::Unclear;
            let text = "the mailbox changed, deleted messages were not removed";
            self.err(ResponseCode::SysTemp, text, out);
            self.doing = Doing::Over(Why::Poisoned);
            return;
        }
        self.doing = Doing::Quitting;
        let seen = self.take_seen();
        self.ahead.forget();
        self.asks.push_back(Ask::Update(Update { delete, seen }));
    }

    pub(super) fn updated(&mut self, outcome: Outcome, out: &mut Vec<u8>) {
        if !self.is_quitting() {
            return;
        }
        self.doing = Doing::Over(Why::Quit);
        let removed = self.deleted.count() as u64;
        self.removed = Removed::Unclear;
        let text = match outcome {
            Outcome::Done => {
                self.counts.deleted = removed;
                self.removed = match self.delete {
                    Delete::Flag => Removed::Nothing,
                    Delete::Expunge | Delete::Trash => Removed::All,
                };
                out.extend_from_slice(b"+OK bye, deleted messages removed\r\n");
                return;
            }
            Outcome::Left { left, of } => {
                self.counts.deleted = of.saturating_sub(left);
                format!("{left} of {of} deleted messages not removed")
            }
            Outcome::OthersDeleted => {
                "deleted messages not removed: the mail server would remove others with them".into()
            }
            Outcome::Unknown => {
                "the mail server was lost, some deleted messages may not be removed".into()
            }
            Outcome::NotDone => "deleted messages not removed".into(),
        };
        self.err(ResponseCode::SysTemp, &text, out);
    }

    /// The messages to be marked \Seen: retrieved and not to be removed.
    pub(super) fn take_seen(&mut self) -> UidSet {
        let read_only = self.access == Some(Access::ReadOnly);
        if self.mark_seen == MarkSeen::Never || read_only {
            return Default::default();
        }
        // Without QUIT the marks of DELE mean nothing.
        let quit = matches!(self.doing, Doing::Quitting | Doing::Over(Why::Quit));
        let (deleted, gone) = (&self.deleted, &self.gone);
        let removed = |index: usize| gone.has(index) || (quit && deleted.has(index));
        let left = self.seen.iter().filter(|&index| !removed(index));
        let set = self.snapshot.set(left);
        self.seen.clear();
        set
    }

    /// The client is gone or the session over: what is still to be done in the mailbox. Only flags;
    /// without QUIT nothing is removed.
    pub fn leave(&mut self) -> Option<Update> {
        let seen = self.take_seen();
        if seen.is_empty() || self.host == Host::Poisoned {
            return None;
        }
        Some(Update {
            seen,
            ..Update::default()
        })
    }

    /// What the mailbox holds now, as far as it is certain, for the next session.
    pub fn remainder(&self) -> Option<Arc<Snapshot>> {
        if self.host == Host::Poisoned || self.gone.count() > 0 {
            return None;
        }
        let mut left = match self.removed {
            Removed::Unclear => return None,
            Removed::Nothing => self.snapshot.clone(),
            Removed::All => {
                let gone = self.deleted.iter().filter_map(|at| self.snapshot.get(at));
                let gone = gone.map(|message| message.uid).collect();
                Arc::new(self.snapshot.without(&gone))
            }
        };
        if !self.learned.is_empty() {
            let left = Arc::make_mut(&mut left);
            left.learn(self.learned.iter().copied());
        }
        Some(left)
    }
}
