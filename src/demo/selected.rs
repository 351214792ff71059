//! The commands of the selected state (RFC 3501 §6.4): CLOSE, EXPUNGE, SEARCH, FETCH, STORE, COPY,
//! MOVE. FETCH and SEARCH go on message by message, so that neither the memory nor the time of
//! others is taken by a large mailbox.

use super::command::{Change, Told, Transfer};
use super::fetch::{self, Item, Seen};
use super::output::Output;
use super::parse::{FlagName, SEEN};
use super::search::{self, Answer, Key, Search};
use super::session::{Session, State, refusal};
use super::set::{self, Ranges, Set};
use super::store::{Account, Full};
use super::view::{Access, By, Named, View, flag_list};

/// Octets of mail a search looks at before others have their turn.
const SEARCH_STEP: usize = 1024 * 1024;

const READ_ONLY: &str = "NO [CANNOT] the mailbox is open read-only";
const GONE: &str = "NO [EXPUNGEISSUED] some of the messages are gone";

/// A command that takes more than one step.
pub(super) enum Job {
    Fetch(FetchJob),
    Search(SearchJob),
}

/// A FETCH under way.
pub(super) struct FetchJob {
    tag: String,
    by: By,
    items: Vec<Item>,
    left: std::vec::IntoIter<Named>,
    /// Messages that others have expunged.
    gone: usize,
}

/// A SEARCH under way.
pub(super) struct SearchJob {
    tag: String,
    by: By,
    answer: Answer,
    key: Key<Ranges>,
    left: std::vec::IntoIter<Named>,
    found: Vec<u32>,
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

impl Session {
    /// FETCH, UID FETCH (RFC 3501 §6.4.5).
    pub(super) fn fetch(&mut self, tag: &str, by: By, set: &Set, items: Vec<Item>) {
        if let Some(named) = self.find(tag, by, set) {
            self.begin(Job::Fetch(FetchJob {
                tag: tag.to_owned(),
                by,
                items,
                left: named.into_iter(),
                gone: 0,
            }));
        }
    }

    /// SEARCH, UID SEARCH (RFC 3501 §6.4.4).
    pub(super) fn search(&mut self, tag: &str, by: By, search: Search) {
        if search.unknown_charset {
            return self.reply(
                tag,
                "NO [BADCHARSET (US-ASCII UTF-8)] expected one of these",
            );
        }
        let State::Selected(view) = &self.state else {
            return;
        };
        let job = SearchJob {
            tag: tag.to_owned(),
            by,
            answer: search.answer,
            key: search.key.resolve(&|by, set| view.resolve(by, set)),
            left: view.all().collect::<Vec<_>>().into_iter(),
            found: Vec::new(),
        };
        self.begin(Job::Search(job));
    }

    /// CLOSE (RFC 3501 §6.4.2): expunges without a word.
    pub(super) fn close(&mut self, tag: &str) {
        if let State::Selected(view) = &self.state
            && view.access == Access::ReadWrite
        {
            self.store
                .with(|account| account.expunge(view.mailbox, None));
        }
        self.state = State::Authenticated;
        self.reply(tag, "OK closed");
    }

    /// EXPUNGE (RFC 3501 §6.4.3), UID EXPUNGE (RFC 4315 §2.1).
    pub(super) fn expunge(&mut self, tag: &str, uids: Option<&Set>) {
        let State::Selected(view) = &self.state else {
            return;
        };
        if view.access == Access::ReadOnly {
            return self.finish(tag, READ_ONLY);
        }
        let uids = uids.map(|set| view.resolve(By::Uid, set));
        self.store
            .with(|account| account.expunge(view.mailbox, uids.as_ref()));
        self.finish(tag, "OK expunged");
    }

    /// STORE, UID STORE (RFC 3501 §6.4.6).
    pub(super) fn store_flags(
        &mut self,
        tag: &str,
        by: By,
        set: &Set,
        (change, told): (Change, Told),
        flags: &[FlagName],
    ) {
        let Some(named) = self.find(tag, by, set) else {
            return;
        };
        let State::Selected(view) = &mut self.state else {
            return;
        };
        let out = &mut self.out;
        let stored = match view.access {
            Access::ReadOnly => Err(READ_ONLY),
            Access::ReadWrite => self.store.with(|account| {
                let bits = wanted(account, change, flags).map_err(refusal)?;
                view.tell_keywords(account, out);
                let tick = account.tick();
                let mut reply = "OK stored";
                for named in named {
                    let stored = store_one(account, view, named, (change, bits, told), tick, out);
                    if stored.is_none() && by == By::Number {
                        reply = GONE;
                    }
                }
                Ok(reply)
            }),
        };
        self.sync(by.expunges());
        self.reply(tag, stored.unwrap_or_else(|no| no));
    }

    /// COPY (RFC 3501 §6.4.7), MOVE (RFC 6851), by number or UID.
    pub(super) fn copy(&mut self, tag: &str, by: By, set: &Set, to: &str, kind: Transfer) {
        let Some(named) = self.find(tag, by, set) else {
            return;
        };
        let State::Selected(view) = &self.state else {
            return;
        };
        if kind == Transfer::Move && view.access == Access::ReadOnly {
            return self.finish(tag, READ_ONLY);
        }
        let from = view.mailbox;
        let copied = self
            .store
            .with(|account| transfer(account, from, by, &named, to, kind));
        match (copied, kind) {
            (Err(no), _) => self.finish(tag, no),
            (Ok(code), Transfer::Copy) => self.finish(tag, &format!("OK {code}copied")),
            (Ok(code), Transfer::Move) => {
                // RFC 6851 §4.3: the UIDs are told before the EXPUNGEs.
                if !code.is_empty() {
                    self.out.line(format_args!("* OK {code}moved"));
                }
                self.finish(tag, "OK done");
            }
        }
    }

    /// The messages of a set; a number that none has is answered.
    fn find(&mut self, tag: &str, by: By, set: &Set) -> Option<Vec<Named>> {
        let State::Selected(view) = &self.state else {
            return None;
        };
        match view.find(by, set) {
            Ok(named) => Some(named),
            Err(number) => {
                self.sync(by.expunges());
                self.reply(tag, &format!("BAD there is no message {number}"));
                None
            }
        }
    }
}

/// The flags a STORE names. A keyword that is only taken away need not become known.
fn wanted(account: &mut Account, change: Change, flags: &[FlagName]) -> Result<u64, Full> {
    if change != Change::Remove {
        return account.flags(flags);
    }
    let bits = flags.iter().map(|flag| match flag {
        FlagName::System(bit) => *bit,
        FlagName::Keyword(name) => account.keyword(name).unwrap_or(0),
    });
    Ok(bits.fold(0, |all, bit| all | bit))
}

fn store_one(
    account: &mut Account,
    view: &mut View,
    named: Named,
    (change, bits, told): (Change, u64, Told),
    tick: u64,
    out: &mut Output,
) -> Option<()> {
    let mailbox = account.mailbox(view.mailbox)?;
    let message = mailbox.message(named.uid)?;
    // What others changed is told even where silence was asked for (RFC 3501 §6.4.6).
    let others = !view.knows(named, message.changed);
    let flags = match change {
        Change::Replace => bits,
        Change::Add => message.flags | bits,
        Change::Remove => message.flags & !bits,
    };
    mailbox.set_flags(named.uid, flags, tick)?;
    let changed = mailbox.message(named.uid)?.changed;
    view.told(named, changed);
    if told == Told::Flags || others {
        let flags = flag_list(account, flags, view.is_recent(named));
        let Named { number, uid } = named;
        out.line(format_args!("* {number} FETCH (UID {uid} FLAGS ({flags}))"));
    }
    Some(())
}

/// Copies or moves all the messages or none; the COPYUID code, if there is something to tell.
fn transfer(
    account: &mut Account,
    from: u32,
    by: By,
    named: &[Named],
    to: &str,
    kind: Transfer,
) -> Result<String, &'static str> {
    let to = account.named(to).map(|mailbox| mailbox.validity);
    let to = to.ok_or("NO [TRYCREATE] there is no mailbox of that name")?;
    let source = account.mailbox_ref(from);
    let there = |uid: &u32| source.is_some_and(|mailbox| mailbox.message(*uid).is_some());
    let uids: Vec<u32> = named.iter().map(|named| named.uid).filter(there).collect();
    if by == By::Number && uids.len() < named.len() {
        return Err(GONE);
    }
    if uids.is_empty() {
        return Ok(String::new());
    }
    account.fits(to, uids.len()).map_err(refusal)?;
    let mail = match kind {
        Transfer::Copy => account.copies(from, &uids).map_err(refusal)?,
        Transfer::Move => account.take(from, |m| uids.binary_search(&m.uid).is_ok()),
    };
    let new = account.deliver(to, mail).map_err(refusal)?;
    let (old, new) = (set::compact(&uids), set::compact(&new));
    Ok(format!("[COPYUID {to} {old} {new}] "))
}
