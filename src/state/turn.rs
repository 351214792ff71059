//! One writer at a time: the file of orders is written by the process that holds `FILE.lock`
//! (flock(2)).
//!
//! At an upgrade two processes run. The old one writes until its admin port is closed and its moves are
//! done, then lets go. The new one goes by what the file says, as it changes, and has orders of its own
//! wait; once the lock is its own it writes. A process that dies lets go by that.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long an order waits for the turn: longer than a process that is followed needs for its moves.
const WAIT: Duration = Duration::from_secs(90);

/// Whose turn it is to write a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// This process's.
    Ours,
    /// Another process's; ours when that lets go.
    Others,
    /// No more this process's: it is about to end.
    LetGo,
}

/// A file that one process at a time may write.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) path: PathBuf,
    whose: watch::Sender<Whose>,
    lock: Mutex<Option<File>>,
    seen: Mutex<Option<Seen>>,
}

/// What a file was when it was read: it is replaced, never written over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl From<Metadata> for Seen {
    fn from(meta: Metadata) -> Self {
        Seen {
            inode: meta.ino(),
            length: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

/// The file that is locked by who writes a state file.
pub fn lock_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

impl Turn {
    /// Takes the turn, if nobody else has it. Blocks on the file system.
    ///
    /// # Errors
    /// The lock's file cannot be made.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let turn = Turn {
            path: path.to_owned(),
            whose: watch::Sender::new(Whose::Others),
            lock: Mutex::default(),
            seen: Mutex::default(),
        };
        if let Some(lock) = turn.locked()? {
            turn.keep(lock);
        }
        Ok(turn)
    }

    /// The lock, if nobody else has it. To be [kept](Self::keep). Blocks on the file system.
    pub(super) fn locked(&self) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(lock_beside(&self.path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            // A file system without locks: as good as it gets.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Some(lock))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// From now on it is ours.
    pub(super) fn keep(&self, lock: File) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
        self.whose.send_replace(Whose::Ours);
    }

    /// No order of this process is written any more.
    pub(super) fn let_go(&self) {
        self.whose.send_replace(Whose::LetGo);
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn whose(&self) -> Whose {
        *self.whose.borrow()
    }

    /// Whether the file is another one than the last time this was asked. Blocks on the file system.
    pub(super) fn is_other(&self) -> bool {
        let now = std::fs::metadata(&self.path).ok().map(Seen::from);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let other = *seen != now;
        *seen = now;
        other
    }

    /// It could not be read: the next look is as the first.
    pub(super) fn forget(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Waits until it is ours.
    ///
    /// # Errors
    /// It will not be, or not soon; in words.
    pub(super) async fn come(&self) -> Result<(), String> {
        let mut whose = self.whose.subscribe();
        let settled = whose.wait_for(|whose| *whose != Whose::Others);
        match timeout(WAIT, settled).await {
            Ok(Ok(whose)) if *whose == Whose::Ours => Ok(()),
            Ok(_) => Err("another process has taken over: ask again".into()),
            Err(_) => Err(format!(
                "another gateway writes {}: end that one, or give each a state of its own",
                self.path.display()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_has_it_and_then_the_other() {
        let dir = crate::state::tests::scratch("turn");
        let path = dir.join("state");
        let old = Turn::at(&path).unwrap();
        let new = Turn::at(&path).unwrap();
        assert_eq!((old.whose(), new.whose()), (Whose::Ours, Whose::Others));
        assert!(new.locked().unwrap().is_none());
        assert_eq!(old.come().await, Ok(()));
        old.let_go();
        assert!(old.come().await.unwrap_err().contains("taken over"));
        new.keep(new.locked().unwrap().unwrap());
        assert_eq!(new.come().await, Ok(()));
        std::fs::write(&path, "one").unwrap();
        assert!(new.is_other() && !new.is_other());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_gets_it_is_told_what_to_do() {
        let dir = crate::state::tests::scratch("turns");
        let first = Turn::at(&dir.join("state")).unwrap();
        let second = Turn::at(&dir.join("state")).unwrap();
        assert!(second.come().await.unwrap_err().contains("of its own"));
        drop(first);
        assert!(second.locked().unwrap().is_some());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
