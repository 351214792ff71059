//! FETCH and SEARCH while they go on: message by message, so that neither the memory nor the time of
//! others is taken by a large mailbox.

use super::account::Account;
use super::fetch::{self, Item, Seen};
use super::output::Output;
use super::parse::SEEN;
use super::search::{self, Answer, Key};
use super::selected::GONE;
use super::session::{Session, State};
use super::set::Ranges;
use super::view::{Access, By, Named, View, flag_list};

/// Octets of mail a search looks at before others have their turn.
const SEARCH_STEP: usize = 1024 * 1024;

/// A command that takes more than one step.
pub(super) enum Job {
    Fetch(FetchJob),
    Search(SearchJob),
}

/// A FETCH under way.
pub(super) struct FetchJob {
    pub(super) tag: String,
    pub(super) by: By,
    pub(super) items: Vec<Item>,
    pub(super) left: std::vec::IntoIter<Named>,
    /// Messages that others have expunged.
    pub(super) gone: usize,
}

/// A SEARCH under way.
pub(super) struct SearchJob {
    pub(super) tag: String,
    pub(super) by: By,
    pub(super) answer: Answer,
    pub(super) key: Key<Ranges>,
    pub(super) left: std::vec::IntoIter<Named>,
    pub(super) found: Vec<u32>,
}

impl Job {
    /// One step; what is left of the job.
    pub(super) fn advance(self, session: &mut Session) -> Option<Job> {
        match self {
            Job::Fetch(job) => job.advance(session).map(Job::Fetch),
            Job::Search(job) => job.advance(session).map(Job::Search),
        }
    }
}

impl FetchJob {
    fn advance(mut self, session: &mut Session) -> Option<FetchJob> {
        let State::Selected(view) = &mut session.state else {
            return None;
        };
        let Some(named) = self.left.next() else {
            session.sync(self.by.expunges());
            match (self.by, self.gone) {
                (By::Number, 1..) => session.reply(&self.tag, GONE),
                _ => session.reply(&self.tag, "OK done"),
            }
            return None;
        };
        let out = &mut session.out;
        let found = session
            .store
            .with(|account| self.look(account, view, named, out));
        match found {
            None => self.gone += 1,
            Some((subject, Shown::AsAsked)) => fetch::write(&subject, &self.items, out),
            // The client learns of the \Seen that its FETCH has set.
            Some((subject, Shown::WithFlags)) => {
                let items = [&self.items[..], &[Item::Flags]].concat();
                fetch::write(&subject, &items, out);
            }
        }
        Some(self)
    }

    fn look(
        &self,
        account: &mut Account,
        view: &mut View,
        named: Named,
        out: &mut Output,
    ) -> Option<(fetch::Subject, Shown)> {
        let sets_seen = view.access == Access::ReadWrite
            && self
                .items
                .iter()
                .any(|item| matches!(item, Item::Content(section) if section.seen == Seen::Set));
        let asked = self.items.contains(&Item::Flags);
        let flags = account.mailbox(view.mailbox)?.message(named.uid)?.flags;
        let newly_seen = sets_seen && flags & SEEN == 0;
        if newly_seen {
            let tick = account.tick();
            account
                .mailbox(view.mailbox)?
                .set_flags(named.uid, flags | SEEN, tick)?;
        }
        let message = account.mailbox(view.mailbox)?.message(named.uid)?;
        let (flags, date, raw) = (message.flags, message.date, message.raw.clone());
        if asked || newly_seen {
            view.told(named, message.changed);
            view.tell_keywords(account, out);
        }
        let subject = fetch::Subject {
            number: named.number,
            uid: named.uid,
            flags: flag_list(account, flags, view.is_recent(named)),
            date,
            raw,
        };
        let shown = match newly_seen && !asked {
            true => Shown::WithFlags,
            false => Shown::AsAsked,
        };
        Some((subject, shown))
    }
}

enum Shown {
    AsAsked,
    WithFlags,
}

impl SearchJob {
    fn advance(mut self, session: &mut Session) -> Option<SearchJob> {
        let State::Selected(view) = &session.state else {
            return None;
        };
        let done = session.store.with(|account| self.look(account, view));
        if !done {
            return Some(self);
        }
        search::write(
            &self.answer,
            &self.tag,
            self.by,
            &self.found,
            &mut session.out,
        );
        session.sync(self.by.expunges());
        session.reply(&self.tag, "OK done");
        None
    }

    /// Looks at some messages; whether that was the last.
    fn look(&mut self, account: &mut Account, view: &View) -> bool {
        let account: &Account = account;
        let mut octets = 0;
        while octets < SEARCH_STEP {
            let Some(named) = self.left.next() else {
                return true;
            };
            let mailbox = account.mailbox_ref(view.mailbox);
            let Some(message) = mailbox.and_then(|mailbox| mailbox.message(named.uid)) else {
                continue;
            };
            octets += message.raw.len();
            let recent = view.is_recent(named);
            let subject = search::Subject::new(account, message, named, recent);
            if subject.matches(&self.key) {
                self.found.push(match self.by {
                    By::Number => named.number,
                    By::Uid => named.uid,
                });
            }
        }
        false
    }
}
