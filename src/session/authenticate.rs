//! The gateway checks passwords itself: `authenticate:` of proxy.yaml.
//!
//! That is what a master login needs (a host then lets us in as anybody), and what a client may show
//! is over before a host is asked. The file is watched: a good new one counts at the next login, once
//! it has come to rest, a bad one changes nothing but the log. Checking a password is slow by intent, so it is done beside
//! the threads that serve mail, a few at a time.

mod passwords;
mod scheme;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::protocol::{Failure, Limit, Secret, UserName};
use crate::tls::{Stamp, Unrest};
use passwords::Table;

/// `authenticate:` as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `passwords`: a file of lines `user:{SCHEME}hash`.
    pub passwords: PathBuf,
}

/// How often the file is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// Longest wait for a turn: who waits longer is told to come again.
const QUEUE: Duration = Duration::from_secs(10);

/// Most checks at once, however many cores there are: each may take 64 MiB and more.
const MOST_AT_ONCE: usize = 8;

/// Checks passwords. Made once, lives as long as the process.
pub struct Authenticator {
    file: PathBuf,
    table: ArcSwap<Table>,
    looks: Mutex<Looks>,
    turns: Arc<Semaphore>,
}

/// What the file was like.
struct Looks {
    /// When it was read.
    read: Option<Stamp>,
    since: Unrest<Option<Stamp>>,
}

/// That a password was found right, by one version of the file.
#[derive(Debug)]
pub struct Verified(Weak<Table>);

/// What a look at the file found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The new file counts.
    Swapped,
    /// It is not good: the one before counts. Why, without a hash in it.
    Refused(Vec<String>),
}

/// What is wrong with a file of passwords, if anything is. Blocks on the file system.
///
/// # Errors
/// Each wrong line, up to twenty: `line 3: expected …`. Nothing of a hash is in it.
pub fn look(file: &Path) -> Result<(), Vec<String>> {
    Table::load(file).map(drop)
}

impl Authenticator {
    /// Reads the file.
    ///
    /// # Errors
    /// As [`look`] has them.
    pub fn new(config: Config) -> Result<Self, Vec<String>> {
        let read = Stamp::of(&config.passwords);
        let table = Table::load(&config.passwords)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // The other half is for the mail of those who are in.
        let turns = (cores / 2).clamp(1, MOST_AT_ONCE);
        Ok(Authenticator {
            file: config.passwords,
            table: ArcSwap::from_pointee(table),
            looks: Mutex::new(Looks {
                read,
                since: Unrest::default(),
            }),
            turns: Arc::new(Semaphore::new(turns)),
        })
    }

    /// Whether this is the user's password; a user nobody knows is found out as late as one whose
    /// password is wrong.
    ///
    /// # Errors
    /// [`Failure::Credentials`]; [`Failure::TooMany`] if its turn did not come in time;
    /// [`Failure::MapUnavailable`] if the check itself came to no end.
    pub async fn check(&self, name: &UserName, password: &Secret) -> Result<Verified, Failure> {
        let limit = Limit::Authenticate;
        let turn = timeout(QUEUE, self.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| Failure::TooMany { limit })?;
        let table = self.table.load_full();
        let verified = Verified(Arc::downgrade(&table));
        let (name, password) = (name.clone(), password.clone());
        let checked = spawn_blocking(move || {
            // Kept by the thread: a login that is given up meanwhile frees no turn.
            let _turn = turn;
            table.verify(&name, password.reveal())
        });
        match checked.await {
            Ok(true) => Ok(verified),
            Ok(false) => Err(Failure::Credentials),
            Err(error) => Err(Failure::MapUnavailable {
                cause: format!("the password could not be checked: {error}"),
            }),
        }
    }

    /// Whether a password that was found right still is, as far as is known without another check.
    pub fn stands(&self, verified: &Verified) -> bool {
        std::ptr::eq(verified.0.as_ptr(), Arc::as_ptr(&self.table.load()))
    }

    /// How the login of a user ends who has nowhere to go: as late as [`check`](Self::check), and in the
    /// same words as others where that finds nothing out.
    pub async fn check_in_vain(&self, name: &UserName, password: &Secret) -> Failure {
        match self.check(name, password).await {
            Ok(_) | Err(Failure::Credentials) => Failure::NoRoute,
            Err(failure) => failure,
        }
    }

    /// Looks at the file once; it is read when two looks found the same: what is still being written
    /// would lock out whoever is not in it yet. Blocks on the file system.
    pub fn refresh(&self) -> Option<Change> {
        let now = Stamp::of(&self.file);
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let other = (looks.read != now).then_some(now);
        if !looks.since.is_over(other) {
            return None;
        }
        looks.read = now;
        Some(match Table::load(&self.file) {
            // Begun and not gone on with: all would be told that their passwords are wrong.
            Ok(table) if table.is_empty() && !self.table.load().is_empty() => {
                Change::Refused(vec!["there is no user in it".into()])
            }
            Ok(table) => {
                self.table.store(Arc::new(table));
                Change::Swapped
            }
            Err(wrong) => Change::Refused(wrong),
        })
    }
}

/// Looks twice a second at the file of whoever checks passwords then, for ever; `told` hears what was
/// found, after it was logged. Drop the future to stop.
pub async fn watch(
    present: impl Fn() -> Option<Arc<Authenticator>>,
    mut told: impl FnMut(&Change),
) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    loop {
        tick.tick().await;
        let Some(authenticator) = present() else {
            continue;
        };
        let looking = authenticator.clone();
        let looked = spawn_blocking(move || looking.refresh()).await;
        if let Ok(Some(change)) = looked {
            change.log(&authenticator.file);
            told(&change);
        }
    }
}

impl Change {
    fn log(&self, file: &Path) {
        match self {
            Change::Swapped => {
                tracing::info!(event = "passwords_swapped", file = %file.display());
            }
            Change::Refused(wrong) => {
                for cause in wrong {
                    tracing::warn!(
                        event = "passwords_refused",
                        file = %file.display(),
                        cause = cause.as_str(),
                        hint = "the one read before stays in use",
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `tanstaaf`.
    const BCRYPT: &str = "{BLF-CRYPT}$2y$05$QS25kUNq1IDcrkABuq4pfuA7KrAxNFxgmVKy74ew3kXGEauxRm4XG";

    fn file(name: &str, content: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("gatepost-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        path
    }

    fn authenticator(name: &str, content: &str) -> Authenticator {
        let passwords = file(name, content);
        Authenticator::new(Config { passwords }).unwrap_or_else(|wrong| panic!("{wrong:?}"))
    }

    /// What two looks find that see the same.
    fn settled(who: &Authenticator) -> Option<Change> {
        assert_eq!(who.refresh(), None, "at the first look");
        who.refresh()
    }

    fn shown(user: &str, password: &str) -> (UserName, Secret) {
        let user = UserName::new(user.as_bytes()).unwrap();
        (user, Secret::new(password.as_bytes()).unwrap())
    }

    async fn check(who: &Authenticator, user: &str, password: &str) -> Result<(), Failure> {
        let (user, password) = shown(user, password);
        who.check(&user, &password).await.map(drop)
    }

    #[tokio::test]
    async fn wrong_and_unknown_are_told_alike() {
        let who = authenticator("alike", &format!("alice:{BCRYPT}\n"));
        assert_eq!(check(&who, "Alice", "tanstaaf").await, Ok(()));
        let wrong = check(&who, "alice", "hunter2").await;
        assert_eq!(wrong, Err(Failure::Credentials));
        assert_eq!(check(&who, "eve", "tanstaaf").await, wrong);
    }

    #[tokio::test]
    async fn a_good_new_file_counts_and_a_bad_one_changes_nothing() {
        let who = authenticator("swap", &format!("alice:{BCRYPT}\n"));
        assert_eq!(who.refresh(), None);
        file("swap", &format!("bob:{BCRYPT}\n\n"));
        assert_eq!(settled(&who), Some(Change::Swapped));
        assert_eq!(check(&who, "bob", "tanstaaf").await, Ok(()));
        assert!(check(&who, "alice", "tanstaaf").await.is_err());

        file("swap", "bob:{PLAIN}tanstaaf\n");
        let Some(Change::Refused(wrong)) = settled(&who) else {
            panic!("taken");
        };
        assert!(wrong.first().is_some_and(|it| it.starts_with("line 1: ")));
        assert_eq!(who.refresh(), None, "told once");
        assert_eq!(check(&who, "bob", "tanstaaf").await, Ok(()));

        std::fs::remove_file(&who.file).unwrap();
        assert!(matches!(settled(&who), Some(Change::Refused(_))));
        assert_eq!(check(&who, "bob", "tanstaaf").await, Ok(()));
    }

    #[tokio::test]
    async fn what_is_still_being_written_is_left_alone() {
        let who = authenticator("written", &format!("alice:{BCRYPT}\n"));
        // It is cut to nothing, then comes in pieces; one of them stops in a line, one behind it.
        let whole = format!("alice:{BCRYPT}\nbob:{BCRYPT}\n");
        for length in [10, whole.len() / 2, whole.len() - 5] {
            file("written", &whole[..length]);
            assert_eq!(who.refresh(), None, "{length}");
        }
        assert_eq!(check(&who, "alice", "tanstaaf").await, Ok(()));
        file("written", &whole);
        assert_eq!(settled(&who), Some(Change::Swapped));
        assert_eq!(check(&who, "bob", "tanstaaf").await, Ok(()));
        assert_eq!(who.refresh(), None);
    }

    #[tokio::test]
    async fn a_file_without_a_user_is_refused_where_there_were_some() {
        let who = authenticator("nobody", &format!("alice:{BCRYPT}\n"));
        for nobody in ["", "# passwords\n"] {
            file("nobody", nobody);
            let found = settled(&who);
            assert!(matches!(found, Some(Change::Refused(_))), "{nobody:?}");
            assert_eq!(check(&who, "alice", "tanstaaf").await, Ok(()));
        }
        file("nobody", &format!("bob:{BCRYPT}\n"));
        assert_eq!(settled(&who), Some(Change::Swapped));
        // Where there was nobody, there may be nobody still.
        let who = authenticator("nobody", "");
        file("nobody", "# still nobody\n");
        assert_eq!(settled(&who), Some(Change::Swapped));
    }

    #[tokio::test]
    async fn what_was_found_right_stands_as_long_as_the_file() {
        let who = authenticator("stands", &format!("alice:{BCRYPT}\n"));
        let (user, password) = shown("alice", "tanstaaf");
        let found = who.check(&user, &password).await.unwrap();
        assert!(who.stands(&found));
        file("stands", "bob:{BLF\n");
        assert!(matches!(settled(&who), Some(Change::Refused(_))));
        assert!(who.stands(&found));
        file("stands", &format!("bob:{BCRYPT}\n"));
        assert_eq!(settled(&who), Some(Change::Swapped));
        assert!(!who.stands(&found));
        assert!(who.check(&user, &password).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_gets_no_turn_is_told_to_come_again() {
        let who = authenticator("turns", &format!("alice:{BCRYPT}\n"));
        let every = u32::try_from(who.turns.available_permits()).unwrap();
        let _held = who.turns.clone().acquire_many_owned(every).await.unwrap();
        let limit = Limit::Authenticate;
        let full = Failure::TooMany { limit };
        assert_eq!(check(&who, "alice", "tanstaaf").await, Err(full.clone()));
        // Nor does the answer tell who has nowhere to go.
        let (name, password) = shown("alice", "tanstaaf");
        assert_eq!(who.check_in_vain(&name, &password).await, full);
    }

    #[tokio::test]
    async fn who_has_nowhere_to_go_is_told_as_a_wrong_password() {
        let who = authenticator("vain", &format!("alice:{BCRYPT}\n"));
        for secret in ["tanstaaf", "hunter2"] {
            let (name, password) = shown("alice", secret);
            let failure = who.check_in_vain(&name, &password).await;
            assert_eq!(failure, Failure::NoRoute);
        }
    }
}
