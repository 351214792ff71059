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
use super::guarded::{COMMANDS, DONE, NOTE, NOTE_KEY, Notes, marked, marks};
use super::host::Host;

const REFUSED: &str = "-ERR [SYS/TEMP] deleted messages not removed";

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
        while !lock.exists() {
            assert!(!session.is_finished());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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
