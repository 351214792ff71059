//! Deleting without UIDPLUS where others' mail carries \Deleted: their marks are noted, taken away
//! and put back, and whatever goes wrong none of their messages is removed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gatepost::session::maildrop_cache::{Key, MaildropCache};
use gatepost::session::translate::Guard;
use gatepost::state::Journal;

use super::host::Host;
use super::{Later, ONE, Play, Session, TWO, home};

const MAILS: &[&[u8]] = &[ONE, TWO, b"c\r\n", b"d\r\n"];
pub(super) const COMMANDS: &str = "DELE 1\r\nDELE 2\r\nQUIT\r\n";
pub(super) const DONE: &str =
    "+OK message deleted\n+OK message deleted\n+OK bye, deleted messages removed\n";
pub(super) const TAKE: &str = "UID STORE 3 -FLAGS.SILENT (\\Deleted)";
pub(super) const NOTE_KEY: &str = "pop3-delete/b/alice/INBOX";
pub(super) const NOTE: &str = "of\tmail1\tmail1 143\t1700000000\t3:3";
pub(super) const BACK: &str = "UID STORE 3 +FLAGS.SILENT (\\Deleted)";

/// A journal in a folder of its own, and who is about which maildrop.
pub(super) struct Notes {
    pub(super) folder: PathBuf,
    pub(super) journal: Journal,
    pub(super) among: Arc<MaildropCache>,
}

impl Notes {
    pub(super) fn new() -> Notes {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "gatepost-guarded-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        Notes {
            journal: Journal::in_directory(folder.clone()).unwrap(),
            folder,
            among: Arc::default(),
        }
    }

    pub(super) fn key() -> Key {
        Key {
            backend: "b".into(),
            user: "alice".into(),
            mailbox: "INBOX".into(),
        }
    }

    pub(super) async fn run(&self, host: Host, later: Vec<Host>, commands: &str) -> Session {
        self.run_as("alice", host, later, commands).await
    }

    /// As a user whose name was typed so.
    async fn run_as(&self, user: &str, host: Host, later: Vec<Host>, commands: &str) -> Session {
        let key = Key {
            user: user.into(),
            ..Notes::key()
        };
        self.run_on("mail1", key, host, later, commands).await
    }

    /// On a host of this name.
    async fn run_on(
        &self,
        name: &str,
        key: Key,
        host: Host,
        later: Vec<Host>,
        commands: &str,
    ) -> Session {
        let guard = Guard::new(self.journal.clone(), key, home(name), self.among.clone());
        let play = Play {
            later: Later::of(later),
            guard: Some(Arc::new(std::sync::Mutex::new(Some(guard)))),
            ..Play::default()
        };
        play.run(host, commands).await.expect("opened")
    }

    pub(super) async fn noted(&self) -> Option<String> {
        let value = self.journal.get(NOTE_KEY).await.unwrap();
        value.map(|value| String::from_utf8(value).unwrap())
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Message 3 was marked by somebody else.
pub(super) fn marked() -> Host {
    let mut host = Host::with(MAILS);
    host.uid_plus = false;
    host.mail.get_mut(&3).unwrap().deleted = true;
    host
}

fn again(session: &Session) -> Host {
    Host {
        log: Vec::new(),
        rules: Vec::new(),
        ..session.host.clone()
    }
}

/// The messages that are there, and whether each is marked.
pub(super) fn marks(host: &Host) -> BTreeMap<u32, bool> {
    host.mail
        .iter()
        .map(|(uid, mail)| (*uid, mail.deleted))
        .collect()
}

fn left(marks_of: &[(u32, bool)]) -> BTreeMap<u32, bool> {
    marks_of.iter().copied().collect()
}

#[tokio::test(start_paused = true)]
async fn others_marks_are_put_back() {
    let notes = Notes::new();
    let session = notes.run(marked(), vec![], COMMANDS).await;
    assert_eq!(session.text(), DONE);
    assert_eq!(marks(&session.host), left(&[(3, true), (4, false)]));
    assert_eq!(
        session.host.log[2..],
        [
            "UID SEARCH UID 1:* DELETED",
            TAKE,
            "UID STORE 1:2 +FLAGS.SILENT (\\Deleted)",
            "UID SEARCH UID 1:* DELETED",
            "EXPUNGE",
            BACK,
            "UID SEARCH UID 1:2",
            "LOGOUT"
        ]
    );
    assert_eq!(notes.noted().await, None);
}

/// Marks that appear in the middle are spared as well.
#[tokio::test(start_paused = true)]
async fn marks_that_appear_meanwhile() {
    let notes = Notes::new();
    let search = "UID SEARCH UID 1:* DELETED";
    let host = marked()
        .rule(search, "$MODEL")
        .rule(search, "* SEARCH 1 2 4\r\n$T OK x\r\n")
        .rule(search, "$MODEL");
    let session = notes.run(host, vec![], COMMANDS).await;
    assert_eq!(session.text(), DONE);
    assert_eq!(marks(&session.host), left(&[(3, true), (4, true)]));
    assert_eq!(notes.noted().await, None);
    // For ever: given up, and everything is as it was.
    let host = marked()
        .rule(search, "$MODEL")
        .rule(search, "* SEARCH 1 2 4\r\n$T OK x\r\n");
    let session = notes.run(host, vec![], COMMANDS).await;
    assert!(
        session
            .text()
            .contains("-ERR [SYS/TEMP] deleted messages not removed"),
        "{}",
        session.text()
    );
    assert_eq!(session.host.uids(), [1, 2, 3, 4]);
    assert!(!session.host.mail[&1].deleted && session.host.mail[&3].deleted);
    assert_eq!(notes.noted().await, None);
}

/// The connection is lost at each step: on another one, or in the next session, the marks come back.
#[tokio::test(start_paused = true)]
async fn a_loss_at_each_step() {
    for command in [TAKE, "UID STORE 1:2 +", "EXPUNGE", BACK] {
        for answer in ["$CLOSE", "$MODEL$CLOSE", "$T NO x\r\n", "$T BAD x\r\n", ""] {
            let what = format!("{command} {answer:?}");
            let notes = Notes::new();
            let host = marked().rule(command, answer);
            let lost = notes.run(host, vec![], COMMANDS).await;
            let left = lost.host.uids();
            assert!(left.ends_with(&[3, 4]), "{what}: {left:?}");
            let done = lost.text() == DONE;
            assert!(!done || left == [3, 4], "{what}: {}", lost.text());
            if !lost.host.mail[&3].deleted {
                let noted = notes.noted().await;
                assert_eq!(noted.as_deref(), Some(NOTE), "{what}");
            }
            // Whoever comes next finds it as it should be.
            let next = notes.run(again(&lost), vec![], "STAT\r\nQUIT\r\n").await;
            assert!(next.host.mail[&3].deleted, "{what}: {:?}", next.host.log);
            assert_eq!(notes.noted().await, None, "{what}");
            assert!(!next.host.mail[&4].deleted, "{what}");
        }
    }
}

/// The note is of another mailbox by now, or damaged: no mark is set.
#[tokio::test(start_paused = true)]
async fn a_note_that_does_not_fit() {
    for note in [
        "of\tmail1\tmail1 143\t5\t4:4",
        "of\tmail1\tmail1 143\tx\t4:4",
        "of\tmail1\tmail1 143\t1700000000",
        "of\t1700000000\t4:4",
        "of\tmail1\tmail1 143\t1700000000\tx",
        "of\tmail2\tmail1 143\t1700000000\t4:4",
        "of\tmail1\tmail1 1143\t1700000000\t4:4",
        "5 4:4",
        "1700000000 4:4",
        "x",
        "",
        "1700000000",
        "1700000000 x",
    ] {
        let notes = Notes::new();
        let put = notes.journal.put(NOTE_KEY, note.as_bytes());
        put.await.unwrap();
        let session = notes.run(marked(), vec![], "STAT\r\nQUIT\r\n").await;
        assert_eq!(marks(&session.host), marks(&marked()), "{note}");
    }
    // One of before hosts were noted is in nobody's way.
    let notes = Notes::new();
    let put = notes.journal.put(NOTE_KEY, b"1700000000 4:4");
    put.await.unwrap();
    let session = notes.run(marked(), vec![], COMMANDS).await;
    assert_eq!(session.text(), DONE);
    assert_eq!(marks(&session.host), left(&[(3, true), (4, false)]));
    assert_eq!(notes.noted().await, None);
    // A host with UIDPLUS never has any.
    let notes = Notes::new();
    let mut host = marked();
    host.uid_plus = true;
    let session = notes.run(host, vec![], COMMANDS).await;
    assert_eq!(session.text(), DONE);
    assert_eq!(marks(&session.host), left(&[(3, true), (4, false)]));
    assert!(session.host.log.iter().all(|command| command != TAKE));
}

/// Marks that another session takes away are nobody's for a while: who finds none waits for it, and
/// removes nothing where that takes too long.
#[tokio::test(start_paused = true)]
async fn nobody_expunges_while_another_may_put_marks_back() {
    const REFUSED: &str = "-ERR [SYS/TEMP] deleted messages not removed";
    let bare = || {
        let mut host = marked();
        host.mail.get_mut(&3).unwrap().deleted = false;
        host
    };
    let all = left(&[(1, false), (2, false), (3, false), (4, false)]);
    let notes = Notes::new();
    let alone = notes.among.guard(&Notes::key());
    let session = notes.run(bare(), vec![], COMMANDS).await;
    assert!(session.text().contains(REFUSED), "{}", session.text());
    assert_eq!(marks(&session.host), all);
    drop(alone);
    // Another process.
    let key = NOTE_KEY;
    let alone = notes.journal.alone(key).await.unwrap();
    assert!(alone.is_some());
    let session = notes.run(bare(), vec![], COMMANDS).await;
    assert!(session.text().contains(REFUSED), "{}", session.text());
    assert_eq!(marks(&session.host), all);
    // It is done after a while.
    let later = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        drop(alone);
    });
    let session = notes.run(bare(), vec![], COMMANDS).await;
    assert_eq!(session.text(), DONE);
    assert_eq!(session.host.uids(), [3, 4]);
    later.await.unwrap();
    // And so are those before.
    assert!(notes.journal.alone(key).await.unwrap().is_some());
    // Where nothing can be noted nobody takes marks away.
    std::fs::remove_dir_all(&notes.folder).unwrap();
    let session = notes.run(bare(), vec![], COMMANDS).await;
    assert_eq!(session.text(), DONE);
}

/// While one session is about a maildrop's marks, another one leaves them alone.
#[tokio::test(start_paused = true)]
async fn one_at_a_time() {
    let notes = Notes::new();
    let note = NOTE.replace("3:3", "4:4");
    notes.journal.put(NOTE_KEY, note.as_bytes()).await.unwrap();
    let alone = notes.among.guard(&Notes::key());
    assert!(alone.is_some());
    let session = notes.run(marked(), vec![], COMMANDS).await;
    assert!(
        session
            .text()
            .contains("-ERR [SYS/TEMP] deleted messages not removed")
    );
    assert_eq!(marks(&session.host), marks(&marked()));
    drop(alone);
    let session = notes.run(marked(), vec![], "QUIT\r\n").await;
    assert!(session.host.mail[&4].deleted);
    // Nowhere to note it.
    let notes = Notes::new();
    std::fs::remove_dir_all(&notes.folder).unwrap();
    let session = notes.run(marked(), vec![], COMMANDS).await;
    assert!(
        session
            .text()
            .contains("-ERR [SYS/TEMP] deleted messages not removed")
    );
    assert_eq!(marks(&session.host), marks(&marked()));
}

/// A user's mailbox is one, however the name is typed, for whoever is about it in this process and in
/// another one.
#[tokio::test(start_paused = true)]
async fn one_at_a_time_in_whatever_case() {
    const REFUSED: &str = "-ERR [SYS/TEMP] deleted messages not removed";
    let notes = Notes::new();
    let alone = notes.among.guard(&Notes::key());
    let session = notes.run_as("Alice", marked(), vec![], COMMANDS).await;
    assert!(session.text().contains(REFUSED), "{}", session.text());
    assert_eq!(marks(&session.host), marks(&marked()));
    drop(alone);
    let key = NOTE_KEY;
    let alone = notes.journal.alone(key).await.unwrap();
    let session = notes.run_as("ALICE", marked(), vec![], COMMANDS).await;
    assert!(session.text().contains(REFUSED), "{}", session.text());
    assert_eq!(marks(&session.host), marks(&marked()));
    drop(alone);
}

/// A host may tell two users apart by case: marks of the one are not put on the other's mail, nor lost.
#[tokio::test(start_paused = true)]
async fn what_was_noted_of_one_name_is_not_put_back_by_another() {
    let notes = Notes::new();
    let host = marked().rule(BACK, "$CLOSE");
    let lost = notes.run_as("Alice", host, vec![], COMMANDS).await;
    assert!(!lost.host.mail[&3].deleted, "{:?}", lost.host.log);
    let other = notes
        .run_as("alice", again(&lost), vec![], "QUIT\r\n")
        .await;
    assert!(!other.host.mail[&3].deleted, "{:?}", other.host.log);
    let next = notes
        .run_as("Alice", again(&lost), vec![], "QUIT\r\n")
        .await;
    assert!(next.host.mail[&3].deleted, "{:?}", next.host.log);
    assert_eq!(notes.journal.list("").await.unwrap(), [""; 0]);
}

/// The connection is lost in QUIT, and another one takes its place: the marks are back when it is over.
#[tokio::test(start_paused = true)]
async fn marks_are_put_back_on_the_connection_that_is_left() {
    for command in [TAKE, "UID STORE 1:2 +", "EXPUNGE", BACK] {
        for answer in ["$CLOSE", "$MODEL$CLOSE"] {
            for uid_plus in [false, true] {
                let what = format!("{command} {answer:?}, then UIDPLUS {uid_plus}");
                let notes = Notes::new();
                let mut next = marked();
                let host = Host {
                    shared: Some(Default::default()),
                    ..marked().rule(command, answer)
                };
                (next.shared, next.uid_plus) = (host.shared.clone(), uid_plus);
                let session = notes.run(host, vec![next], COMMANDS).await;
                assert_eq!(session.text(), DONE, "{what}");
                let last = session.later.last().unwrap_or(&session.host);
                assert_eq!(
                    marks(last),
                    left(&[(3, true), (4, false)]),
                    "{what}: {:?}",
                    last.log
                );
                assert_eq!(notes.noted().await, None, "{what}");
            }
        }
    }
}

/// A backend's users may find themselves on another host, and UIDs mean other messages there: what was noted
/// on one is put back on that one.
#[tokio::test(start_paused = true)]
async fn what_was_noted_on_one_host_is_not_put_back_on_another() {
    let notes = Notes::new();
    let on = |name: &'static str, host: Host, commands: &'static str| {
        notes.run_on(name, Notes::key(), host, vec![], commands)
    };
    let lost = on("mail1", marked().rule(BACK, "$CLOSE"), COMMANDS).await;
    assert!(!lost.host.mail[&3].deleted, "{:?}", lost.host.log);
    let bare = || {
        let mut host = marked();
        host.mail.get_mut(&3).unwrap().deleted = false;
        host
    };
    let other = on("mail2", bare(), "STAT\r\nQUIT\r\n").await;
    assert_eq!(marks(&other.host), marks(&bare()));
    assert_eq!(notes.noted().await.as_deref(), Some(NOTE));
    // The other one has marks of its own, which are lost and put back beside it.
    let mut host = bare().rule("UID STORE 4 +FLAGS.SILENT (\\Deleted)", "$CLOSE");
    host.mail.get_mut(&4).unwrap().deleted = true;
    let other = on("mail2", host, COMMANDS).await;
    assert_eq!(marks(&other.host), left(&[(3, false), (4, false)]));
    let other = on("mail2", again(&other), "QUIT\r\n").await;
    assert_eq!(marks(&other.host), left(&[(3, false), (4, true)]));
    assert_eq!(notes.noted().await.as_deref(), Some(NOTE));
    let next = on("mail1", again(&lost), "QUIT\r\n").await;
    assert_eq!(marks(&next.host), left(&[(3, true), (4, false)]));
    assert_eq!(notes.noted().await, None);
}
