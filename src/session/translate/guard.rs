//! Marks that are taken away for a moment: without UIDPLUS a host removes all that carries \Deleted,
//! so others' marks are taken away before and put back behind (RFC 4549 §4.2.4). What is noted
//! before survives a crash in between: the next session on the mailbox puts them back, if it is on the
//! same host. Only one session at a time is about a mailbox so, also one that found no other marks: those
//! that another one puts back between its last look and its EXPUNGE would be removed.

mod notes;

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::spawn;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use self::notes::{Note, named, note, read, written};
use super::talk::Talk;
use crate::protocol::imap::ask::{Access, Ask, Event, Loss, Outcome};
use crate::protocol::imap::uid_set::UidSet;
use crate::session::maildrop_cache::{Guarding, Home, Key, MaildropCache};
use crate::state::Journal;
use crate::state::journal::Alone;

/// How long a session waits for another one to be done with the mailbox: some exchanges with the host.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long until it asks again.
const AGAIN: Duration = Duration::from_millis(100);

/// How long a note may take. What hangs is a disk, or the store of all gateways; a session that waited for it
/// would hear neither its client nor who tells it to go.
const NOTING: Duration = Duration::from_secs(10);

/// The same at a login: what is not put back by then is left to a later session. Its mailbox is open, and no
/// host is to blame for a disk.
const LOOKING: Duration = Duration::from_secs(1);

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
    /// Whose UIDs the marks are of, as notes have it.
    home: String,
    among: Arc<MaildropCache>,
    /// Held from before the first look at others' marks to the session's end: among the sessions of this
    /// process, and among processes, of which there are two during an upgrade.
    alone: Option<(Guarding, Alone)>,
}

/// What a session has of its guard.
#[derive(Debug, Default)]
pub(super) enum Holding {
    /// Nothing is noted.
    #[default]
    None,
    Guard(Box<Guard>),
    /// A note is being forgotten, which takes long: behind it the guard comes back.
    Forgetting(JoinHandle<Guard>),
    /// Marks were being noted for too long, and stayed where they were: nothing is noted any more in this
    /// session. What hangs goes on by itself, and keeps the right to write until the session is over; what is
    /// to stand then is told here.
    Late(watch::Sender<Standing>),
}

/// What is to be noted behind a note that came late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// What was before: no mark was taken away for it.
    Before,
    /// Nothing: all marks are back.
    Nothing,
}

impl From<Option<Guard>> for Holding {
    fn from(guard: Option<Guard>) -> Self {
        guard.map_or(Holding::None, |guard| Holding::Guard(Box::new(guard)))
    }
}

impl Holding {
    /// Whether there is anybody to ask, also where the answer can only be that nothing may be taken away.
    pub(super) fn is_some(&self) -> bool {
        !matches!(self, Holding::None)
    }

    /// That of a guard that comes back; where it is late it does so by itself, and keeps the right to write: what
    /// it writes in the end is no later session's note that is written over.
    async fn in_time(wait: Duration, mut coming: JoinHandle<Guard>) -> Holding {
        match timeout(wait, &mut coming).await {
            Ok(guard) => Holding::from(guard.ok()),
            Err(_) => Holding::Forgetting(coming),
        }
    }

    async fn back(self) -> Option<Guard> {
        match self {
            Holding::None | Holding::Late(_) => None,
            Holding::Guard(guard) => Some(*guard),
            Holding::Forgetting(coming) => coming.await.ok(),
        }
    }

    /// As `Guard::keep`, in time; late is none, too, and what hangs goes on by itself. What it writes in the end does
    /// not stand: the owner may take away marks that were left where they are, and nobody is to set them again.
    pub(super) async fn keep(self, uid_validity: u64, marks: UidSet) -> (Holding, Option<UidSet>) {
        if let Holding::None | Holding::Late(_) = self {
            return (self, None);
        }
        let (answer, mut answered) = oneshot::channel();
        let (tell, told) = watch::channel(Standing::Before);
        spawn(async move {
            if let Some(mut guard) = self.back().await {
                let kept = guard.keep(uid_validity, marks).await;
                if let Err((guard, kept)) = answer.send((guard, kept)) {
                    guard.settle(kept, told).await;
                }
            }
        });
        let kept = match timeout(NOTING, &mut answered).await {
            Ok(kept) => kept.ok(),
            Err(_) => {
                // One that came at the last moment is not lost.
                answered.close();
                answered.try_recv().ok()
            }
        };
        match kept {
            Some((guard, Kept { noted, .. })) => (Holding::from(Some(guard)), noted),
            None => (Holding::Late(tell), None),
        }
    }

    /// All marks are back.
    pub(super) async fn forget(self) -> Holding {
        match self {
            Holding::Guard(guard) => {
                let forgetting = spawn(async move {
                    guard.forget().await;
                    *guard
                });
                Holding::in_time(NOTING, forgetting).await
            }
            Holding::Late(late) => {
                late.send_replace(Standing::Nothing);
                Holding::Late(late)
            }
            Holding::None | Holding::Forgetting(_) => self,
        }
    }

    /// The session is over. What hangs gives back what it has when it is done.
    pub(super) async fn release(self) {
        if let Holding::Guard(mut guard) = self {
            guard.release().await;
        }
    }
}

impl Guard {
    /// Notes go to `journal`; `among` knows who else in this process is about the same maildrop.
    pub fn new(journal: Journal, maildrop: Key, home: Home, among: Arc<MaildropCache>) -> Self {
        Guard {
            journal,
            maildrop,
            home: named(&home),
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
    /// put back in the end. Of no marks at all: whether the mailbox may be looked at and expunged.
    async fn keep(&mut self, uid_validity: u64, marks: UidSet) -> Kept {
        let unwritten = |noted| Kept {
            noted,
            before: None,
        };
        match self.claim_in_turn().await {
            Claim::Ours | Claim::Unknown if marks.is_empty() => return unwritten(Some(marks)),
            Claim::Ours => {}
            Claim::Others | Claim::Unknown => return unwritten(None),
        }
        let Some(before) = self.notes().await else {
            return unwritten(None);
        };
        let mut all = marks;
        for &(first, last) in self.of_mailbox(&before, uid_validity).ranges() {
            all.push(first, last);
        }
        all.normalise();
        let others = before.iter().filter(|note| note.home != self.home);
        let mut notes: Vec<Note> = others.cloned().collect();
        notes.push(Note {
            home: self.home.clone(),
            uid_validity,
            marks: all.clone(),
        });
        if self.write(&notes).await.is_err() {
            // It may stand all the same.
            let _ = self.write(&before).await;
            return unwritten(None);
        }
        Kept {
            noted: Some(all),
            before: Some(before),
        }
    }

    /// The session did not hear what became of its marks. When it is over, only what is so stands, and then others
    /// may be about them.
    async fn settle(mut self, kept: Kept, mut told: watch::Receiver<Standing>) {
        while told.changed().await.is_ok() {}
        let standing = *told.borrow();
        match (standing, kept.before) {
            (Standing::Nothing, _) => self.forget().await,
            (Standing::Before, Some(before)) => drop(self.write(&before).await),
            (Standing::Before, None) => {}
        }
        self.release().await;
    }

    /// Others may be about the maildrop's marks now.
    async fn release(&mut self) {
        // Among processes first: who asks next here asks there behind it.
        if let Some((_here, everywhere)) = self.alone.take() {
            everywhere.release().await;
        }
    }

    /// All marks are back.
    async fn forget(&self) {
        // One that stays is put back once more, which changes nothing; and others' may be beside it.
        let Some(mut notes) = self.notes().await else {
            return;
        };
        notes.retain(|note| note.home != self.home);
        let _ = self.write(&notes).await;
    }

    /// Has this noted of the maildrop, and nothing else.
    async fn write(&self, notes: &[Note]) -> io::Result<()> {
        match notes {
            [] => self.journal.remove(&self.key()).await,
            notes => {
                let value = written(notes);
                self.journal.put(&self.key(), value.as_bytes()).await
            }
        }
    }

    /// What is noted of the maildrop, wherever it is or was. None: that cannot be told.
    async fn notes(&self) -> Option<Vec<Note>> {
        match self.journal.get(&self.key()).await.ok()? {
            Some(value) => read(std::str::from_utf8(&value).ok()?),
            None => Some(Vec::new()),
        }
    }

    /// Of all that is noted what is of this mailbox, and none of one that had its name before, nor of one on
    /// another host.
    fn of_mailbox(&self, notes: &[Note], uid_validity: u64) -> UidSet {
        let ours = |note: &&Note| note.home == self.home && note.uid_validity == uid_validity;
        notes
            .iter()
            .find(ours)
            .map(|note| note.marks.clone())
            .unwrap_or_default()
    }

    /// What is noted of this mailbox.
    async fn noted(&self, uid_validity: u64) -> UidSet {
        let notes = self.notes().await.unwrap_or_default();
        self.of_mailbox(&notes, uid_validity)
    }

    /// Marks that a session before could not put back, and this one may.
    async fn left(&mut self, uid_validity: u64) -> UidSet {
        // A session that is in the middle of it does that itself.
        if self.noted(uid_validity).await.is_empty() || self.claim().await != Claim::Ours {
            return UidSet::new();
        }
        // It may have been, until just now.
        self.noted(uid_validity).await
    }

    /// Puts marks back that a session before could not. Whatever goes wrong, the note stays; and nobody waits
    /// for a disk for long.
    pub(super) async fn restore<H>(mut self, talk: &mut Talk<H>, uid_validity: u64) -> Holding
    where
        H: AsyncRead + AsyncWrite + Unpin,
    {
        let left = timeout(LOOKING, self.left(uid_validity)).await;
        let marks = left.unwrap_or_default();
        if marks.is_empty() {
            self.alone = None;
            return Holding::from(Some(self));
        }
        // Only in a mailbox that is selected and is still the same.
        talk.mailbox.ask(Ask::Access);
        let last = loop {
            match talk.until(next).await {
                Ok(Next::Restore) => talk.mailbox.ask(Ask::Restore(marks.clone())),
                Ok(last) => break last,
                // What that means for what was asked is still to be heard.
                Err(_) => talk.mailbox.closed(),
            }
        };
        let done = spawn(async move {
            if let Next::Forget = last {
                self.forget().await;
            }
            self.release().await;
            self
        });
        Holding::in_time(LOOKING, done).await
    }
}

/// What became of marks that were to be noted.
struct Kept {
    /// They are, and may be taken away. None: they may not.
    noted: Option<UidSet>,
    /// What was noted before, where that is something else now.
    before: Option<Vec<Note>>,
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
