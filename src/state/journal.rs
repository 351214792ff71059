//! Small notes that outlive the process: what was begun and must be finished or undone after a crash.
//!
//! A note is a key and octets. A call that returns `Ok` has made its change durable: in a file of
//! its own beside the state's file, or on Redis (as durable as that is set up to be).

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use aws_lc_rs::digest;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::redis::Redis;
use super::{Entered, State, file};

/// Longest key in octets.
pub const KEY_MAX: usize = 2048;

/// Largest value in octets.
pub const VALUE_MAX: usize = 16 * 1024 * 1024;

/// How many threads a journal's files may have at a time. A disk that hangs keeps each of them for as long as it
/// hangs, and those of the runtime are also for names, passwords and whatever else blocks.
const THREADS: usize = 8;

/// Notes by key. Keys are any text; give each purpose a prefix of its own (`pop3-delete/…`).
#[derive(Clone)]
pub struct Journal(Kept);

#[derive(Clone)]
enum Kept {
    /// One file a note, named by the key's SHA-256, in this directory.
    Files(PathBuf, Threads),
    /// A hash on a Redis, and whose places are counted there.
    Shared(Arc<Redis>, Weak<State>),
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}

impl Journal {
    /// Notes in a directory, which is made if it is not there. Blocks.
    pub fn in_directory(path: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&path)?;
        for entry in std::fs::read_dir(&path)? {
            let entry = entry?;
            if entry
                .file_name()
                .to_str()
                .is_some_and(file::is_left_unfinished)
            {
                match std::fs::remove_file(entry.path()) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        let threads = Threads(Arc::new(Semaphore::new(THREADS)));
        Ok(Journal(Kept::Files(path, threads)))
    }

    /// Notes on a Redis, where `places` counts its places.
    pub(super) fn on(redis: Arc<Redis>, places: Weak<State>) -> Self {
        Journal(Kept::Shared(redis, places))
    }

    /// Keeps a value under a key, in place of what was there.
    ///
    /// # Errors
    /// It is not kept; what was there may still be.
    pub async fn put(&self, key: &str, value: &[u8]) -> io::Result<()> {
        if key.len() > KEY_MAX || value.len() > VALUE_MAX {
            return Err(io::Error::other("the note is too large"));
        }
        match &self.0 {
            Kept::Files(dir, threads) => {
                let path = path_of(dir, key);
                let mut content = HEAD.to_vec();
                content.extend(format!("{} {}\n{key}\n", key.len(), value.len()).as_bytes());
                content.extend(value);
                threads.run(move || file::replace(&path, &content)).await
            }
            Kept::Shared(redis, _) => {
                let args = [key.as_bytes(), value];
                redis.note_command("HSET", &args).await
            }
        }
    }

    /// The value of a key, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub async fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        match &self.0 {
            Kept::Files(dir, threads) => {
                let path = path_of(dir, key);
                let note = threads.run(move || read(&path)).await?;
                Ok(note.map(|(_, value)| value))
            }
            Kept::Shared(redis, _) => redis.note_command("HGET", &[key.as_bytes()]).await,
        }
    }

    /// Forgets a key; fine where there is none.
    ///
    /// # Errors
    /// It may still be there.
    pub async fn remove(&self, key: &str) -> io::Result<()> {
        match &self.0 {
            Kept::Files(dir, threads) => {
                let path = path_of(dir, key);
                threads.run(move || file::remove(&path)).await
            }
            Kept::Shared(redis, _) => redis.note_command("HDEL", &[key.as_bytes()]).await,
        }
    }

    /// The right to be about a key alone, of all processes that have these notes; none: somebody else is.
    /// While the Redis is away whoever asks has it, and can note nothing.
    ///
    /// # Errors
    /// That cannot be told.
    pub async fn alone(&self, key: &str) -> io::Result<Option<Alone>> {
        match &self.0 {
            Kept::Files(dir, threads) => {
                let mut path = path_of(dir, key).into_os_string();
                path.push(LOCK);
                let its = threads.clone();
                threads.run(move || locked(path.into(), its)).await
            }
            Kept::Shared(_, places) => {
                let gone = || io::Error::other("the state is gone");
                let places = places.upgrade().ok_or_else(gone)?;
                let entered = places.enter(vec![(format!("alone/{key}"), 1)]).await;
                Ok(entered
                    .ok()
                    .map(|_place| Alone(Some(Held::Place { _place }))))
            }
        }
    }

    /// The keys that begin so, sorted. Reads every note: for after a start.
    ///
    /// # Errors
    /// Some note cannot be read, or is damaged.
    pub async fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        match &self.0 {
            Kept::Files(dir, threads) => {
                let (dir, prefix) = (dir.clone(), prefix.to_owned());
                let list = move || {
                    let mut keys = Vec::new();
                    for entry in std::fs::read_dir(&dir)? {
                        let name = entry?.file_name();
                        if name.to_str().is_none_or(is_no_note) {
                            continue;
                        }
                        // One that is removed meanwhile is none.
                        let note = read(&dir.join(name))?;
                        keys.extend(note.map(|(key, _)| key).filter(|k| k.starts_with(&prefix)));
                    }
                    keys.sort_unstable();
                    Ok(keys)
                };
                threads.run(list).await
            }
            Kept::Shared(redis, _) => {
                let mut keys: Vec<String> = redis.note_command("HKEYS", &[]).await?;
                keys.retain(|key| key.starts_with(prefix));
                keys.sort_unstable();
                Ok(keys)
            }
        }
    }
}

/// The right to be about a key alone, until it is given back or dropped.
pub struct Alone(Option<Held>);

enum Held {
    /// A lock on a file.
    File(PathBuf, File, Threads),
    /// A place on a Redis.
    Place { _place: Entered },
}

impl std::fmt::Debug for Alone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Alone")
    }
}

impl Alone {
    /// Gives it back: who asks from then on can have it.
    pub async fn release(mut self) {
        if let Some(Held::File(_, _, threads)) = &self.0 {
            let threads = threads.clone();
            // Taken out there: where nobody waits for a thread any more it is dropped whole.
            let work = move || {
                if let Some(Held::File(path, locked, _)) = self.0.take() {
                    unlock(&path, locked);
                }
                Ok(())
            };
            let _ = threads.run(work).await;
        }
    }
}

/// Without waiting: a disk that hangs holds up nobody, and whoever asks soon may find it taken.
impl Drop for Alone {
    fn drop(&mut self) {
        let Some(Held::File(path, locked, threads)) = self.0.take() else {
            return;
        };
        let work = move || {
            unlock(&path, locked);
            Ok(())
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move { threads.run(work).await })),
            Err(_) => drop(work()),
        }
    }
}

/// Blocks.
fn unlock(path: &Path, locked: File) {
    // Still locked: who opens it now finds that the name is gone.
    let _ = std::fs::remove_file(path);
    drop(locked);
}

/// The threads of a journal's files: who finds none free waits, and sees to it that this is not for ever.
#[derive(Clone)]
struct Threads(Arc<Semaphore>);

impl Threads {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let turn = self.0.clone().acquire_owned().await;
        let turn = turn.map_err(io::Error::other)?;
        let done = spawn_blocking(move || {
            // To the end, also where nobody waits for that any more.
            let _turn = turn;
            work()
        });
        done.await
            .unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
    }
}

/// What the name of a lock ends in.
const LOCK: &str = ".lock";

fn is_no_note(name: &str) -> bool {
    file::is_unfinished(name) || name.ends_with(LOCK)
}

/// Locks a file (flock(2)), which is made for that; none where it is locked already.
fn locked(path: PathBuf, threads: Threads) -> io::Result<Option<Alone>> {
    loop {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            // A file system without locks: as good as it gets.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever had it before has taken the name away, perhaps after it was opened here.
        let inode = file.metadata()?.ino();
        if std::fs::metadata(&path).is_ok_and(|named| named.ino() == inode) {
            return Ok(Some(Alone(Some(Held::File(path, file, threads)))));
        }
    }
}

const HEAD: &[u8] = b"gatepost note 1\n";

fn path_of(dir: &Path, key: &str) -> PathBuf {
    use std::fmt::Write as _;
    let digest = digest::digest(&digest::SHA256, key.as_bytes());
    let mut name = String::with_capacity(64);
    for octet in digest.as_ref() {
        let _ = write!(name, "{octet:02x}");
    }
    dir.join(name)
}

fn read(path: &Path) -> io::Result<Option<(String, Vec<u8>)>> {
    let Some(content) = file::read(path)? else {
        return Ok(None);
    };
    let damaged = || io::Error::other(format!("{} is damaged", path.display()));
    parse(&content).ok_or_else(damaged).map(Some)
}

fn parse(content: &[u8]) -> Option<(String, Vec<u8>)> {
    let rest = content.strip_prefix(HEAD)?;
    let end = rest.iter().position(|octet| *octet == b'\n')?;
    let (sizes, rest) = rest.split_at_checked(end)?;
    let (key, value) = std::str::from_utf8(sizes).ok()?.split_once(' ')?;
    let (key, value): (usize, usize) = (key.parse().ok()?, value.parse().ok()?);
    let (name, rest) = rest.get(1..)?.split_at_checked(key)?;
    let found = rest.strip_prefix(b"\n")?;
    let name = std::str::from_utf8(name).ok()?;
    (found.len() == value).then(|| (name.to_owned(), found.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn notes_outlive_whoever_made_them() {
        let dir = crate::state::tests::scratch("journal");
        let journal = Journal::in_directory(dir.join("j")).unwrap();
        journal.put("a/1", b"one\n\0").await.unwrap();
        journal.put("a/2", b"").await.unwrap();
        journal.put("b/\n1", b"x").await.unwrap();
        journal.put("a/1", b"uno").await.unwrap();
        drop(journal);
        let unfinished = format!("j/x.new-{}-1", std::process::id());
        std::fs::write(dir.join(unfinished), b"half").unwrap();
        let journal = Journal::in_directory(dir.join("j")).unwrap();
        assert_eq!(journal.list("a/").await.unwrap(), ["a/1", "a/2"]);
        assert_eq!(journal.list("").await.unwrap().len(), 3);
        assert_eq!(journal.get("a/1").await.unwrap().unwrap(), b"uno");
        assert_eq!(journal.get("a/2").await.unwrap().unwrap(), b"");
        assert_eq!(journal.get("b/\n1").await.unwrap().unwrap(), b"x");
        assert_eq!(journal.get("c").await.unwrap(), None);
        // Two processes, one of them about a key.
        let other = Journal::in_directory(dir.join("j")).unwrap();
        let alone = journal.alone("a/1").await.unwrap().unwrap();
        assert!(other.alone("a/1").await.unwrap().is_none());
        let two = other.alone("a/2").await.unwrap().unwrap();
        assert_eq!(other.list("").await.unwrap().len(), 3);
        two.release().await;
        alone.release().await;
        let alone = other.alone("a/1").await.unwrap().unwrap();
        alone.release().await;
        assert_eq!(std::fs::read_dir(dir.join("j")).unwrap().count(), 3);
        journal.remove("a/1").await.unwrap();
        journal.remove("a/1").await.unwrap();
        assert_eq!(journal.get("a/1").await.unwrap(), None);
        let path = path_of(&dir.join("j"), "a/2");
        for damage in [
            &b""[..],
            b"gatepost note 1\n3 9\na/2\n",
            b"gatepost note 1\n9 0\na/2\n",
        ] {
            std::fs::write(&path, damage).unwrap();
            assert!(journal.get("a/2").await.is_err());
            assert!(journal.list("").await.is_err());
        }
        assert!(journal.put(&"k".repeat(KEY_MAX + 1), b"").await.is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }

    /// Nobody who runs sessions waits for a disk, also where one is dropped.
    #[test]
    fn the_right_to_be_alone_is_given_back_elsewhere() {
        let dir = crate::state::tests::scratch("journal-alone");
        let journal = Journal::in_directory(dir.clone()).unwrap();
        let locks = || std::fs::read_dir(&dir).unwrap().count();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let alone = journal.alone("a").await.unwrap();
            // The only thread for such work is busy.
            let (go, wait) = std::sync::mpsc::channel::<()>();
            let busy = tokio::task::spawn_blocking(move || wait.recv().is_ok());
            drop(alone);
            tokio::task::yield_now().await;
            assert_eq!(locks(), 1);
            drop(go);
            busy.await.unwrap();
            // In the order they came.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            assert_eq!(locks(), 0);
        });
        // Where nothing runs it is done at once.
        let alone = runtime.block_on(journal.alone("a")).unwrap();
        assert_eq!(locks(), 1);
        drop(alone);
        assert_eq!(locks(), 0);
        std::fs::remove_dir_all(dir).unwrap();
    }

    /// A disk that hangs does not take the threads of those who have other work for them.
    #[test]
    fn few_threads_wait_for_a_disk_that_hangs() {
        let dir = crate::state::tests::scratch("journal-hangs");
        let journal = Journal::in_directory(dir.clone()).unwrap();
        let keys: Vec<_> = (0..3 * THREADS).map(|key| key.to_string()).collect();
        // Who opens one to read waits for somebody who writes.
        let notes: Vec<_> = keys.iter().map(|key| path_of(&dir, key)).collect();
        let made = std::process::Command::new("mkfifo").args(&notes).status();
        assert!(made.unwrap().success());
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(THREADS + 1).enable_all();
        runtime.build().unwrap().block_on(async {
            let alone = journal.alone("a").await.unwrap();
            let mut all = tokio::task::JoinSet::new();
            for key in keys {
                let journal = journal.clone();
                all.spawn(async move { journal.get(&key).await });
            }
            tokio::task::yield_now().await;
            // Nor does one who gives up.
            drop(alone);
            let other = tokio::task::spawn_blocking(|| ());
            let other = tokio::time::timeout(Duration::from_secs(5), other).await;
            // Whatever became of it: nothing hangs any longer.
            let end = |note: PathBuf| OpenOptions::new().write(true).open(note).map(drop);
            let ended = std::thread::spawn(move || notes.into_iter().try_for_each(end));
            let all = all.join_all().await;
            ended.join().unwrap().unwrap();
            assert!(other.is_ok(), "all threads hang");
            assert!(all.iter().all(Result::is_err));
            let alone = journal.alone("a").await.unwrap().unwrap();
            alone.release().await;
        });
        std::fs::remove_dir_all(dir).unwrap();
    }
}
