//! The commands of the selected state (RFC 3501 §6.4): CLOSE, EXPUNGE, SEARCH, FETCH, STORE, COPY,
//! MOVE. FETCH and SEARCH only begin here: `job` goes on with them.

use super::account::{Account, Full};
use super::command::{Change, Told, Transfer};
use super::fetch::Item;
use super::job::{FetchJob, Job, SearchJob};
use super::output::Output;
use super::parse::FlagName;
use super::search::Search;
use super::session::{Session, State, refusal};
use super::set::{self, Set};
use super::view::{Access, By, Named, View, flag_list};

const READ_ONLY: &str = "NO [CANNOT] the mailbox is open read-only";
/// The answer where numbers were meant that others have expunged.
pub(super) const GONE: &str = "NO [EXPUNGEISSUED] some of the messages are gone";

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
