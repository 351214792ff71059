//! Notes of others' marks on a disk that hangs: no login and no session waits for it, and what it does in
//! the end leaves nothing behind that is not so. A FIFO in the place of a file hangs whoever opens it.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use tokio::task::JoinHandle;

use super::Session;
use super::guarded::{BACK, COMMANDS, DONE, NOTE, NOTE_KEY, Notes, TAKE, marked, marks};
use super::host::Host;

const REFUSED: &str = "-ERR [SYS/TEMP] deleted messages not removed";

/// A note of a gateway of before, which is none: what is behind it is told apart from what is damaged.
const NONE: &str = "1700000000 4:4";

/// As long as a thread may take for what does not hang.
const SOON: Duration = Duration::from_secs(20);

/// Waits for what threads do. The clock stands.
async fn until(what: &str, mut over: impl FnMut() -> bool) {
    let start = Instant::now();
    while !over() {
        assert!(start.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
}

/// Lets so much time pass, or less if it is over before. While a thread is at work the clock stands still by
/// itself.
async fn pass(time: Duration, mut over: impl FnMut() -> bool) -> Duration {
    let start = tokio::time::Instant::now();
    while start.elapsed() < time && !over() {
        std::thread::sleep(Duration::from_millis(1));
        tokio::time::advance(Duration::from_millis(50)).await;
    }
    start.elapsed()
}

/// Waits for a session that writes this, and for the thread that does: with one at work the clock stands.
async fn written(path: &Path, session: &JoinHandle<Session>) {
    const STEP: Duration = Duration::from_millis(50);
    while !path.exists() {
        assert!(!session.is_finished(), "{}", path.display());
        tokio::time::sleep(STEP).await;
    }
    tokio::time::sleep(STEP).await;
}

/// Whatever opens this from now on hangs.
fn hang(path: &Path) {
    let _ = fs::remove_file(path);
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

/// Somebody hangs there, or soon does, and from now on until this is dropped. So much time passes from look to
/// look.
async fn hung(path: &Path, step: Duration) -> File {
    let start = Instant::now();
    loop {
        let mut options = OpenOptions::new();
        let options = options.write(true);
        // Without anybody who reads that fails.
        let options = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        match options.open(path) {
            Ok(writer) => return writer,
            Err(error) => assert!(start.elapsed() < SOON, "nobody hangs: {error}"),
        }
        std::thread::sleep(Duration::from_millis(1));
        tokio::time::advance(step).await;
    }
}

/// The file of the note, and what is in it where that is noted. It is not there.
async fn note_file(notes: &Notes, value: &str) -> (PathBuf, Vec<u8>) {
    notes.journal.put(NOTE_KEY, value.as_bytes()).await.unwrap();
    let path = only_file(notes);
    let content = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    (path, content)
}

fn only_file(notes: &Notes) -> PathBuf {
    let mut files = fs::read_dir(&notes.folder).unwrap();
    files.next().unwrap().unwrap().path()
}

/// Where the right to write is, among processes.
async fn lock_file(notes: &Notes) -> PathBuf {
    let alone = notes.journal.alone(NOTE_KEY).await.unwrap().unwrap();
    let path = only_file(notes);
    alone.release().await;
    path
}

fn play(notes: &Arc<Notes>, host: Host, later: Vec<Host>, commands: &str) -> JoinHandle<Session> {
    let (notes, commands) = (notes.clone(), commands.to_owned());
    tokio::spawn(async move { notes.run(host, later, &commands).await })
}

fn is_free(notes: &Notes) -> bool {
    notes.among.guard(&Notes::key()).is_some()
}

/// Nothing is removed, and the session goes on.
#[tokio::test(start_paused = true)]
async fn a_right_that_hangs_is_none() {
    let notes = Arc::new(Notes::new());
    let lock = lock_file(&notes).await;
    // Who opens it to write waits for somebody who reads.
    hang(&lock);
    let session = play(&notes, marked(), vec![], COMMANDS);
    let patience = Duration::from_secs(60);
    let took = pass(patience, || session.is_finished()).await;
    // Whatever became of it: it hangs no longer.
    let read = tokio::task::spawn_blocking(move || fs::read(lock));
    let session = session.await.unwrap();
    read.await.unwrap().unwrap();
    assert!(took < patience, "{took:?}");
    assert!(session.text().contains(REFUSED), "{}", session.text());
    assert_eq!(marks(&session.host), marks(&marked()));
}

/// The mailbox is open, and what is noted of it is for a later session to put back.
#[tokio::test(start_paused = true)]
async fn a_login_does_not_wait_for_a_note() {
    let notes = Arc::new(Notes::new());
    let (path, _) = note_file(&notes, NOTE).await;
    hang(&path);
    let session = play(&notes, marked(), vec![], "STAT\r\nQUIT\r\n");
    let took = pass(Duration::from_secs(60), || session.is_finished()).await;
    drop(hung(&path, Duration::ZERO).await);
    let session = session.await.expect("opened");
    assert!(session.text().starts_with("+OK 4 "), "{}", session.text());
    assert!(took < Duration::from_secs(3), "{took:?}");
    fs::remove_file(&path).unwrap();
    let put = notes.journal.put(NOTE_KEY, NOTE.as_bytes());
    put.await.unwrap();
    let mut bare = marked();
    bare.mail.get_mut(&3).unwrap().deleted = false;
    let session = notes.run(bare, vec![], "QUIT\r\n").await;
    assert_eq!(marks(&session.host), marks(&marked()));
}

/// Marks were put back at login, and forgetting that hangs: whoever deletes waits for it for a while, and
/// the right to write is not free before.
#[tokio::test(start_paused = true)]
async fn a_login_does_not_wait_for_a_note_to_go() {
    for (after, answer) in [(6, DONE), (60, REFUSED)] {
        let notes = Arc::new(Notes::new());
        let lock = lock_file(&notes).await;
        let (path, content) = note_file(&notes, NOTE).await;
        fs::write(&path, &content).unwrap();
        let host = Host {
            delay: Duration::from_secs(2),
            ..marked()
        };
        let session = play(&notes, host, vec![], COMMANDS);
        written(&lock, &session).await;
        // The marks are on their way.
        hang(&path);
        pass(Duration::from_secs(after), || session.is_finished()).await;
        let mut writer = hung(&path, Duration::ZERO).await;
        assert!(!is_free(&notes), "{after}");
        writer.write_all(&content).unwrap();
        drop(writer);
        let session = session.await.expect("opened");
        assert!(session.text().contains(answer), "{}", session.text());
        until("free", || is_free(&notes)).await;
        assert_eq!(notes.noted().await, None);
    }
}

/// A note that comes when the session was told that there is none: no mark was taken away for it, so
/// nothing is to be put back. The right to write is not free before the session is over.
#[tokio::test(start_paused = true)]
async fn a_late_note_leaves_none() {
    const OTHER: &str = "of\tmail2\tmail2 143\t1700000000\t4:4";
    for (before, left) in [(NONE, None), (OTHER, Some(OTHER))] {
        let notes = Arc::new(Notes::new());
        let lock = lock_file(&notes).await;
        let (path, content) = note_file(&notes, before).await;
        let other = notes.among.guard(&Notes::key());
        let host = marked().rule("UID STORE 1:2 -FLAGS", "");
        let mut next = marked();
        next.mail.get_mut(&3).unwrap().deleted = false;
        let session = play(&notes, host, vec![next], COMMANDS);
        tokio::time::sleep(Duration::from_secs(1)).await;
        // It is open, and waits for its turn.
        hang(&path);
        drop(other);
        pass(Duration::from_millis(100), || false).await;
        until("claimed", || lock.exists()).await;
        let mut writer = hung(&path, Duration::ZERO).await;
        pass(Duration::from_secs(15), || false).await;
        writer.write_all(&content).unwrap();
        drop(writer);
        until("written", || fs::metadata(&path).unwrap().is_file()).await;
        let noted = notes.noted().await.unwrap();
        assert!(noted.ends_with(NOTE), "{noted}");
        // The host has yet to answer.
        pass(Duration::from_secs(1), || false).await;
        assert!(!session.is_finished() && !is_free(&notes), "{before}");
        let session = session.await.unwrap();
        assert!(session.text().contains("-ERR"), "{}", session.text());
        assert_eq!(marks(&session.host), marks(&marked()));
        // Nor without a note, where the host was asked once more.
        assert_eq!(session.later[0].uids(), [1, 2, 3, 4]);
        until("free", || is_free(&notes)).await;
        assert_eq!(notes.noted().await.as_deref(), left);
    }
}

/// More marks were to be taken away, and their note is late: those that were taken away before come back, and
/// then nothing is noted; where they do not, only they are.
#[tokio::test(start_paused = true)]
async fn a_late_second_note_leaves_what_is_so() {
    for (back, left) in [("$MODEL", None), ("$T NO x\r\n", Some(NOTE))] {
        let notes = Arc::new(Notes::new());
        let (path, content) = note_file(&notes, NOTE).await;
        let mut next = marked().rule(BACK, back);
        next.mail.get_mut(&4).unwrap().deleted = true;
        // The first host falls silent when the note is there.
        let host = marked().rule(TAKE, "");
        let session = play(&notes, host, vec![next], COMMANDS);
        written(&path, &session).await;
        assert_eq!(fs::read(&path).unwrap(), content);
        hang(&path);
        let mut writer = hung(&path, Duration::from_secs(1)).await;
        pass(Duration::from_secs(60), || session.is_finished()).await;
        assert!(session.is_finished() && !is_free(&notes), "{back}");
        writer.write_all(&content).unwrap();
        drop(writer);
        let session = session.await.unwrap();
        let log = &session.later[0].log;
        assert!(log.iter().any(|command| command == BACK), "{log:?}");
        assert_eq!(session.later[0].uids(), [1, 2, 3, 4]);
        until("free", || is_free(&notes)).await;
        assert_eq!(notes.noted().await.as_deref(), left, "{back}");
    }
}
