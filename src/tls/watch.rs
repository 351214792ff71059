//! Keeps certificates and the ticket key as their files are, without a reload.
//!
//! Files are asked for their times once a second and read when those changed: that also sees the
//! `..data` link of a Kubernetes volume being swapped, and works on NFS.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::{Front, Problem};

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What a look at the files found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new certificate or ticket key is in use.
    Swapped {
        /// Its file, or `self-signed`.
        name: String,
    },
    /// New files are not good; the old ones stay in use.
    Refused {
        /// Why.
        problems: Vec<Problem>,
    },
}

/// Looks every second at the files of the front that `present` gives then, for ever; `told` hears
/// what was found, after it was logged. Drop the future to stop.
pub async fn watch(present: impl Fn() -> Arc<Front>, mut told: impl FnMut(&Front, &[Change])) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    loop {
        tick.tick().await;
        let front = present();
        let changes = look(&front).await;
        if !changes.is_empty() {
            told(&front, &changes);
        }
    }
}

/// Looks at the files once; what was found, after it was logged.
pub async fn look(front: &Arc<Front>) -> Vec<Change> {
    let looking = front.clone();
    // A file system that hangs must not hold a thread that serves mail.
    let looked = tokio::task::spawn_blocking(move || looking.refresh()).await;
    let changes = looked.unwrap_or_default();
    changes.iter().for_each(Change::log);
    changes
}

impl Change {
    fn log(&self) {
        match self {
            Change::Swapped { name } => {
                tracing::info!(event = "tls_file_swapped", file = name.as_str());
            }
            Change::Refused { problems } => {
                for problem in problems {
                    tracing::warn!(
                        event = "tls_file_refused",
                        file = %problem.file.display(),
                        cause = problem.text.as_str(),
                        hint = "the one read before stays in use",
                    );
                }
            }
        }
    }
}

/// What tells a changed file from an unchanged one without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: (i64, i64),
    /// Also when it was made readable, or came by a rename that kept its time.
    changed: (i64, i64),
    size: u64,
    inode: (u64, u64),
}

impl Stamp {
    /// Of the file that links lead to; `None` where there is none.
    pub(crate) fn of(file: &Path) -> Option<Self> {
        let facts = std::fs::metadata(file).ok()?;
        Some(Stamp {
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
            size: facts.size(),
            inode: (facts.dev(), facts.ino()),
        })
    }
}

/// How a file was, or some, at the last look that found them other than they were read, until they come to
/// rest: what is still being written would be read by half.
#[derive(Debug)]
pub(crate) struct Unrest<T>(Option<T>);

impl<T> Default for Unrest<T> {
    fn default() -> Self {
        Unrest(None)
    }
}

impl<T: PartialEq> Unrest<T> {
    /// How they are now, if they are other than they were read; whether they have come to rest. Two looks of
    /// the same kind make a change.
    pub(crate) fn is_over(&mut self, now: Option<T>) -> bool {
        let over = now.is_some() && self.0 == now;
        self.0 = now.filter(|_| !over);
        over
    }
}
