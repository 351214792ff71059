//! Marks that are taken away for a moment: without UIDPLUS a host removes all that carries \Deleted,
//! so others' marks are taken away before and put back behind (RFC 4549 §4.2.4). What is noted
//! before survives a crash in between: the next session on the mailbox puts them back. Only one session at
//! a time is about a mailbox so, also one that found no other marks: those that another one puts back
//! between its last look and its EXPUNGE would be removed.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};

use super::talk::Talk;
use crate::protocol::imap::ask::{Access, Ask, Event, Loss, Outcome};
use crate::protocol::imap::uid_set::UidSet;
use crate::session::maildrop_cache::{Guarding, Key, MaildropCache};
use crate::state::Journal;
use crate::state::journal::Alone;

/// How long a session waits for another one to be done with the mailbox: some exchanges with the host.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long until it asks again.
const AGAIN: Duration = Duration::from_millis(100);

/// Whose a maildrop's marks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Ours,
    /// Another session is about them.
    Others,
    /// That cannot be told: notes cannot be written. So no session takes marks away from now on.
    Unknown,
}

/// The note of one maildrop, and the right to write it.
#[derive(Debug)]
pub struct Guard {
    journal: Journal,
    maildrop: Key,
    among: Arc<MaildropCache>,
    /// Held from before the first look at others' marks to the session's end: among the sessions of this
    /// process, and among processes, of which there are two during an upgrade.
    alone: Option<(Guarding, Alone)>,
}

impl Guard {
    /// Notes go to `journal`; `among` knows who else in this process is about the same maildrop.
    pub fn new(journal: Journal, maildrop: Key, among: Arc<MaildropCache>) -> Self {
        Guard {
            journal,
            maildrop,
            among,
            alone: None,
        }
    }

    /// Where the note is: by the name as it is sent, for a host may tell two users apart by case, and marks
    /// of the one are not to be put on the other's mail.
    fn key(&self) -> String {
        note(&self.maildrop)
    }

    /// Whether no other session is about this maildrop's marks; if so, none will be.
    async fn claim(&mut self) -> Claim {
        if self.alone.is_some() {
            return Claim::Ours;
        }
        let Some(here) = self.among.guard(&self.maildrop) else {
            return Claim::Others;
        };
        match self.journal.alone(&note(&self.maildrop.canonical())).await {
            Ok(Some(everywhere)) => {
                self.alone = Some((here, everywhere));
                Claim::Ours
            }
            Ok(None) => Claim::Others,
            Err(_) => Claim::Unknown,
        }
    }

    /// As `claim`; waits for another one to be done.
    async fn claim_in_turn(&mut self) -> Claim {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.claim().await {
                Claim::Others if Instant::now() < until => sleep(AGAIN).await,
                claim => return claim,
            }
        }
    }

    /// Notes these, and those of an earlier note that still stand: the marks of all of them are to be
    /// put back in the end. None: it cannot be noted, and nothing may be taken away. Of no marks at all:
    /// whether the mailbox may be looked at and expunged.
    pub(super) async fn keep(&mut self, uid_validity: u64, marks: UidSet) -> Option<UidSet> {
        match self.claim_in_turn().await {
            Claim::Ours | Claim::Unknown if marks.is_empty() => return Some(marks),
            Claim::Ours => {}
            Claim::Others | Claim::Unknown => return None,
        }
        let mut all = marks;
        for &(first, last) in self.noted(uid_validity).await?.ranges() {
            all.push(first, last);
        }
        all.normalise();
        let mut value = uid_validity.to_string().into_bytes();
        for &(first, last) in all.ranges() {
            value.extend_from_slice(format!(" {first}:{last}").as_bytes());
        }
        self.journal.put(&self.key(), &value).await.ok()?;
        Some(all)
    }

    /// All marks are back.
    pub(super) async fn forget(&self) {
        // One that stays is put back once more, which changes nothing.
        let _ = self.journal.remove(&self.key()).await;
    }

    /// What is noted of this mailbox, and none of one that had its name before. None: that cannot be told.
    async fn noted(&self, uid_validity: u64) -> Option<UidSet> {
        let mut set = UidSet::new();
        if let Some(value) = self.journal.get(&self.key()).await.ok()? {
            let text = String::from_utf8(value).ok()?;
            let (before, ranges) = text.split_once(' ')?;
            if before.parse::<u64>().ok()? == uid_validity {
                for range in ranges.split(' ') {
                    set.read(range.as_bytes());
                }
            }
        }
        set.normalise();
        Some(set)
    }

    /// Puts marks back that a session before could not. Whatever goes wrong, the note stays.
    pub(super) async fn restore<H>(&mut self, talk: &mut Talk<H>, uid_validity: u64)
    where
        H: AsyncRead + AsyncWrite + Unpin,
    {
        let marks = self.noted(uid_validity).await.unwrap_or_default();
        // A session that is in the middle of it does that itself.
        if marks.is_empty() || self.claim().await != Claim::Ours {
            return;
        }
        // Only in a mailbox that is selected and is still the same.
        talk.mailbox.ask(Ask::Access);
        loop {
            match talk.until(next).await {
                Ok(Next::Restore) => talk.mailbox.ask(Ask::Restore(marks.clone())),
                Ok(Next::Forget) => {
                    self.forget().await;
                    break;
                }
                Ok(Next::GiveUp) => break,
                // What that means for what was asked is still to be heard.
                Err(_) => talk.mailbox.closed(),
            }
        }
        self.alone = None;
    }
}

/// What is kept of a maildrop is called so.
fn note(maildrop: &Key) -> String {
    let Key {
        backend,
        user,
        mailbox,
    } = maildrop;
    format!("pop3-delete/{backend}/{user}/{mailbox}")
}

/// What follows from what the host said.
enum Next {
    Restore,
    Forget,
    GiveUp,
}

fn next(event: Event<'_>) -> ControlFlow<Next> {
    match event {
        Event::Access(Access::ReadWrite) => ControlFlow::Break(Next::Restore),
        Event::Updated(Outcome::Done) => ControlFlow::Break(Next::Forget),
        Event::Access(_) | Event::Updated(_) | Event::Lost(Loss::Poisoned) => {
            ControlFlow::Break(Next::GiveUp)
        }
        _ => ControlFlow::Continue(()),
    }
}
