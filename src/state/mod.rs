//! What is to be remembered beyond a session: in memory, in a file, or on a Redis that several
//! gateways share.
//!
//! [`State`] lives as long as the process, whatever becomes of the settings in between.

pub mod config;
mod file;
pub mod journal;

use std::path::Path;
use std::sync::Arc;

pub use config::Config;
pub use journal::Journal;

/// What is to be remembered.
#[derive(Debug, Default)]
pub struct State {
    journal: Option<Journal>,
}

impl State {
    /// In the process only.
    pub fn memory() -> Arc<Self> {
        Arc::default()
    }

    /// As the settings want it. Blocks on the file system.
    ///
    /// # Errors
    /// Why it cannot be, for the operator: a file that is damaged or cannot be written.
    pub fn open(config: &Config) -> Result<Arc<Self>, String> {
        let Config::File(path) = config else {
            return Ok(State::memory());
        };
        let beside = notes_beside(path);
        let journal = Journal::in_directory(beside.clone())
            .map_err(|error| format!("{}: {error}", beside.display()))?;
        Ok(Arc::new(State {
            journal: Some(journal),
        }))
    }

    /// Notes that outlive the process; none where nothing does (`state: memory`).
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }
}

/// The directory of the journal of a state file.
fn notes_beside(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".journal");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A new directory, to be removed by who asked for it.
    pub(super) fn scratch(name: &str) -> PathBuf {
        static UNIQUE: AtomicU64 = AtomicU64::new(0);
        let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
        let name = format!("gatepost-state-{name}-{}-{unique}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }
}
