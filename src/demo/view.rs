//! A session's view of its selected mailbox: which message has which sequence number, and what the
//! client has been told. Others may change the mailbox at any time; the view changes only in
//! [`View::sync`], at the moments RFC 3501 §7.4.1 and §5.5 allow.

use super::account::Account;
use super::output::Output;
use super::parse::SEEN;
use super::set::{Ranges, Set};

/// Whether the client may change the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// SELECT
    ReadWrite,
    /// EXAMINE
    ReadOnly,
}

/// Whether message numbers may change now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expunges {
    /// They may.
    Told,
    /// They may not: FETCH, STORE and SEARCH (RFC 3501 §7.4.1).
    Withheld,
}

/// How a command names messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By sequence number.
    Number,
    /// By UID.
    Uid,
}

impl By {
    /// What may be told at the end of FETCH, STORE and SEARCH of this kind.
    pub(super) fn expunges(self) -> Expunges {
        match self {
            By::Number => Expunges::Withheld,
            By::Uid => Expunges::Told,
        }
    }
}

/// A selected mailbox as the client knows it.
pub(super) struct View {
    /// The mailbox, by UIDVALIDITY.
    pub(super) mailbox: u32,
    pub(super) access: Access,
    entries: Vec<Entry>,
    /// The first UID the client has not been told of.
    next_uid: u32,
    /// The mailbox's `changed` when the client had been told everything.
    synced: Option<u64>,
    /// How many keywords the client has been told of.
    keywords: usize,
}

/// A message as the client knows it.
#[derive(Clone, Copy)]
struct Entry {
    uid: u32,
    /// The message's `changed` when the client was last told of its flags.
    changed: u64,
    recent: bool,
}

/// A message that a command names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) number: u32,
    pub(super) uid: u32,
}

impl View {
    /// SELECT and EXAMINE (RFC 3501 §6.3.1): opens the mailbox and writes what must be told.
    pub(super) fn open(
        account: &mut Account,
        mailbox: u32,
        access: Access,
        out: &mut Output,
    ) -> View {
        let mut view = View {
            mailbox,
            access,
            entries: Vec::new(),
            next_uid: 1,
            synced: None,
            keywords: 0,
        };
        let (next_uid, unseen) = match account.mailbox(mailbox) {
            None => (1, None),
            Some(mailbox) => (
                mailbox.next_uid,
                mailbox.messages.iter().position(|m| m.flags & SEEN == 0),
            ),
        };
        view.tell_flags(account, out);
        view.arrivals(account);
        out.line(format_args!("* {} EXISTS", view.entries.len()));
        out.line(format_args!("* {} RECENT", view.recent()));
        if let Some(unseen) = unseen {
            out.line(format_args!("* OK [UNSEEN {}] first unseen", unseen + 1));
        }
        out.line(format_args!("* OK [UIDVALIDITY {mailbox}] UIDs valid"));
        out.line(format_args!("* OK [UIDNEXT {next_uid}] predicted next UID"));
        view.synced = account.mailbox(mailbox).map(|mailbox| mailbox.changed);
        view
    }

    /// Tells the client what others did.
    pub(super) fn sync(&mut self, account: &mut Account, expunges: Expunges, out: &mut Output) {
        self.tell_keywords(account, out);
        let changed = account.mailbox(self.mailbox).map(|mailbox| mailbox.changed);
        if changed.is_some() && changed == self.synced {
            return;
        }
        let complete = self.departures(account, expunges, out);
        if self.arrivals(account) {
            out.line(format_args!("* {} EXISTS", self.entries.len()));
            out.line(format_args!("* {} RECENT", self.recent()));
        }
        self.tell_changes(account, out);
        self.synced = changed.filter(|_| complete);
    }

    /// Tells of keywords that are new, before flags are shown that may have them.
    pub(super) fn tell_keywords(&mut self, account: &Account, out: &mut Output) {
        if self.keywords != account.keywords() {
            self.tell_flags(account, out);
        }
    }

    /// The messages of a set; `Err` names a number that no message has.
    pub(super) fn find(&self, by: By, set: &Set) -> Result<Vec<Named>, u32> {
        let last = self.last(by);
        if by == By::Number && set.largest() > last {
            return Err(set.largest());
        }
        let ranges = set.resolve(last);
        let named = self.all().filter(|named| match by {
            By::Number => ranges.contains(named.number),
            By::Uid => ranges.contains(named.uid),
        });
        Ok(named.collect())
    }

    /// What a set means here, for SEARCH.
    pub(super) fn resolve(&self, by: By, set: &Set) -> Ranges {
        set.resolve(self.last(by))
    }

    /// Every message.
    pub(super) fn all(&self) -> impl Iterator<Item = Named> {
        (1..).zip(&self.entries).map(|(number, entry)| Named {
            number,
            uid: entry.uid,
        })
    }

    /// Whether the message is \Recent in this session.
    pub(super) fn is_recent(&self, named: Named) -> bool {
        self.entry(named).is_some_and(|entry| entry.recent)
    }

    /// Whether the client knows the flags the message had at `changed`.
    pub(super) fn knows(&self, named: Named, changed: u64) -> bool {
        self.entry(named)
            .is_some_and(|entry| entry.changed == changed)
    }

    /// The client knows the flags the message has since `changed`.
    pub(super) fn told(&mut self, named: Named, changed: u64) {
        let index = usize::try_from(named.number).ok();
        let index = index.and_then(|number| number.checked_sub(1));
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
            entry.changed = changed;
        }
    }

    fn entry(&self, named: Named) -> Option<&Entry> {
        let index = usize::try_from(named.number).ok()?.checked_sub(1)?;
        self.entries.get(index)
    }

    fn last(&self, by: By) -> u32 {
        match by {
            By::Number => u32::try_from(self.entries.len()).unwrap_or(u32::MAX),
            By::Uid => self.entries.last().map_or(0, |entry| entry.uid),
        }
    }

    fn recent(&self) -> usize {
        self.entries.iter().filter(|entry| entry.recent).count()
    }

    /// FLAGS and PERMANENTFLAGS, before a new keyword is first used.
    fn tell_flags(&mut self, account: &Account, out: &mut Output) {
        self.keywords = account.keywords();
        let flags = account.flag_names(u64::MAX);
        out.line(format_args!("* FLAGS ({flags})"));
        match self.access {
            Access::ReadWrite => out.line(format_args!(
                "* OK [PERMANENTFLAGS ({flags} \\*)] flags are kept"
            )),
            Access::ReadOnly => {
                out.line(format_args!("* OK [PERMANENTFLAGS ()] read-only"));
            }
        }
    }

    /// Writes EXPUNGE for what is gone, if it may be told; whether nothing is left to tell.
    fn departures(&mut self, account: &mut Account, expunges: Expunges, out: &mut Output) -> bool {
        // Both lists ascend by UID: one walk.
        let mailbox = account.mailbox(self.mailbox);
        let mut there = mailbox
            .iter()
            .flat_map(|mailbox| &mailbox.messages)
            .peekable();
        let mut here = |uid: u32| {
            while there.next_if(|message| message.uid < uid).is_some() {}
            there.peek().is_some_and(|message| message.uid == uid)
        };
        match expunges {
            Expunges::Withheld => self.entries.iter().all(|entry| here(entry.uid)),
            Expunges::Told => {
                // The number counts those before it that are still there (RFC 3501 §7.4.1).
                let mut number = 1;
                self.entries.retain(|entry| {
                    let stays = here(entry.uid);
                    match stays {
                        true => number += 1,
                        false => out.line(format_args!("* {number} EXPUNGE")),
                    }
                    stays
                });
                true
            }
        }
    }

    /// Takes up new messages; whether there were any.
    fn arrivals(&mut self, account: &mut Account) -> bool {
        let Some(mailbox) = account.mailbox(self.mailbox) else {
            return false;
        };
        let before = self.entries.len();
        let known = mailbox.messages.partition_point(|m| m.uid < self.next_uid);
        let new = mailbox.messages.get(known..).unwrap_or_default();
        self.entries.extend(new.iter().map(|message| Entry {
            uid: message.uid,
            changed: message.changed,
            recent: message.uid >= mailbox.recent_from,
        }));
        self.next_uid = mailbox.next_uid;
        if self.access == Access::ReadWrite {
            // They are recent in the first session that is told of them (RFC 3501 §2.3.2).
            mailbox.recent_from = mailbox.next_uid;
        }
        self.entries.len() > before
    }

    /// Writes FETCH FLAGS for messages whose flags others changed.
    fn tell_changes(&mut self, account: &mut Account, out: &mut Output) {
        let Some(mailbox) = account.mailbox(self.mailbox) else {
            return;
        };
        let mut changed = Vec::new();
        let mut messages = mailbox.messages.iter().peekable();
        for (number, entry) in (1u32..).zip(&mut self.entries) {
            while messages
                .next_if(|message| message.uid < entry.uid)
                .is_some()
            {}
            let message = messages.peek().filter(|message| message.uid == entry.uid);
            if let Some(message) = message.filter(|message| message.changed != entry.changed) {
                entry.changed = message.changed;
                changed.push((number, *entry, message.flags));
            }
        }
        for (number, entry, flags) in changed {
            let flags = flag_list(account, flags, entry.recent);
            let uid = entry.uid;
            out.line(format_args!("* {number} FETCH (UID {uid} FLAGS ({flags}))"));
        }
    }
}

/// A FLAGS item's inside, with \Recent.
pub(super) fn flag_list(account: &Account, flags: u64, recent: bool) -> String {
    let names = account.flag_names(flags);
    match (recent, names.is_empty()) {
        (false, _) => names,
        (true, true) => "\\Recent".to_owned(),
        (true, false) => format!("{names} \\Recent"),
    }
}
