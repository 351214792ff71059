//! What is to be remembered beyond a session: where users' sessions are, what operators ordered,
//! notes for after a crash. In memory, in a file, or on a Redis that several gateways share.
//!
//! [`State`] lives as long as the process, whatever becomes of the settings in between. Looking
//! something up asks nobody: this process knows what is ordered. A login [claims](State::claim) its
//! host before the host is asked, so no user has sessions on two hosts at once.

mod claims;
pub mod config;
mod file;
pub mod journal;
mod kept;
mod leaving;
mod look;
pub mod mover;
pub mod orders;
pub mod owner;
mod pins;
mod redis;
mod shared;
pub mod times;
mod turn;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{SystemTime, UNIX_EPOCH};

pub use claims::{Claim, Claimed, Entered};
pub use config::Config;
pub use journal::Journal;
pub use kept::try_file;
pub use look::{Look, Places};
pub use orders::{Change, Drain, Hold, Move, Orders};
pub use owner::{Lane, Owner, Pass, Place};
use pins::Pins;
pub use pins::{Ask, Presence};
pub use shared::Failures;
use tokio::sync::watch;
pub use turn::lock_beside;

/// What is to be remembered.
pub struct State {
    orders: RwLock<Orders>,
    /// Counts the changes of the orders.
    changes: watch::Sender<u64>,
    pins: Pins,
    /// What sessions hold that is counted over all gateways: by number, the keys of the shared store.
    entered: Mutex<HashMap<u64, Arc<[String]>>>,
    /// Numbers of claims and versions of moves.
    numbers: AtomicU64,
    kept: Kept,
    /// One change at a time is written.
    writing: tokio::sync::Mutex<()>,
    journal: Option<Journal>,
    jobs: mover::Jobs,
    redis: Option<Arc<redis::Redis>>,
    heard: shared::Heard,
}

/// What an order goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    /// Nothing: whatever is ordered now, this comes behind it.
    Whatever,
    /// What this process knows to be ordered of the users that it is about.
    AsSeen,
}

/// Where orders are kept.
enum Kept {
    InMemory,
    InFile(Arc<turn::Turn>),
}

impl Default for State {
    fn default() -> Self {
        State::new(Orders::default(), Kept::InMemory, None)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

impl State {
    fn new(orders: Orders, kept: Kept, journal: Option<Journal>) -> Self {
        State {
            orders: RwLock::new(orders),
            changes: watch::Sender::new(0),
            pins: Pins::default(),
            entered: Mutex::default(),
            numbers: AtomicU64::new(1),
            kept,
            writing: tokio::sync::Mutex::default(),
            journal,
            jobs: mover::Jobs::default(),
            redis: None,
            heard: shared::Heard::default(),
        }
    }

    /// In the process only.
    pub fn memory() -> Arc<Self> {
        Arc::default()
    }

    /// As the settings want it. Blocks on the file system.
    ///
    /// # Errors
    /// Why it cannot be, for the operator: a file that is damaged or cannot be written.
    pub fn open(config: &Config) -> Result<Arc<Self>, String> {
        let path = match config {
            Config::Memory => return Ok(State::memory()),
            Config::File(path) => path,
            Config::Redis(config) => {
                let redis = Arc::new(redis::Redis::new(config)?);
                let state = State::new(Orders::default(), Kept::InMemory, None);
                return Ok(Arc::new_cyclic(|places| State {
                    journal: Some(Journal::on(redis.clone(), places.clone())),
                    redis: Some(redis),
                    ..state
                }));
            }
        };
        let (orders, turn) = kept::open(path)?;
        let beside = notes_beside(path);
        let journal = Journal::in_directory(beside.clone())
            .map_err(|error| format!("{}: {error}", beside.display()))?;
        let kept = Kept::InFile(Arc::new(turn));
        Ok(Arc::new(State::new(orders, kept, Some(journal))))
    }

    /// Notes that outlive the process; none where nothing does (`state: memory`).
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// What is ordered at the moment. Not to be kept over an `await`.
    pub fn orders(&self) -> RwLockReadGuard<'_, Orders> {
        self.orders.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of each change of the orders.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Changes what is ordered: all of it or nothing, remembered on return. Whoever asked may go away.
    ///
    /// # Errors
    /// Why it is not remembered; then nothing has changed, unless it says that this is not known.
    pub async fn order(self: &Arc<Self>, changes: Vec<Change>) -> Result<(), String> {
        match changes.is_empty() {
            true => Ok(()),
            false => {
                let make = move |_: &Orders| (changes.clone(), ());
                self.order_on(Basis::Whatever, make).await
            }
        }
    }

    /// As [`order`](Self::order), where what is to be changed goes by what is ordered of the users that
    /// it is about: of those nothing changes in between, also where other gateways order. Should it
    /// have, all is made again. Returns what was made beside the changes.
    async fn order_by<T: Send + 'static>(
        self: &Arc<Self>,
        make: impl Fn(&Orders) -> (Vec<Change>, T) + Send + Sync + 'static,
    ) -> Result<T, String> {
        self.order_on(Basis::AsSeen, make).await
    }

    async fn order_on<T: Send + 'static>(
        self: &Arc<Self>,
        basis: Basis,
        make: impl Fn(&Orders) -> (Vec<Change>, T) + Send + Sync + 'static,
    ) -> Result<T, String> {
        let state = self.clone();
        let done = tokio::spawn(async move { state.remember(basis, make).await });
        done.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    async fn remember<T>(
        &self,
        basis: Basis,
        make: impl Fn(&Orders) -> (Vec<Change>, T),
    ) -> Result<T, String> {
        if let Kept::InFile(turn) = &self.kept {
            turn.come().await?;
        }
        if let Some(redis) = &self.redis {
            return self.remember_shared(redis, basis, make).await;
        }
        let _turn = self.writing.lock().await;
        let (changes, made) = make(&self.orders());
        if changes.is_empty() {
            return Ok(made);
        }
        let Kept::InFile(turn) = &self.kept else {
            self.take(changes);
            return Ok(made);
        };
        // It may have been let go just now.
        turn.come().await?;
        // What is not in the file costs no writing: a move holds its users, and lets them go.
        if !self.orders().keeps_any(&changes) {
            self.take(changes);
            return Ok(made);
        }
        let (mut next, path) = (self.orders().clone(), turn.path.clone());
        let name = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || {
            changes.into_iter().for_each(|change| next.apply(change));
            file::replace(&path, &next.write()).map(|()| next)
        });
        let written = written.await.map_err(std::io::Error::other);
        let next = written
            .and_then(|it| it)
            .map_err(|error| format!("{name} could not be written: {error}"))?;
        self.replace(next, &[]);
        Ok(made)
    }

    /// How much is written at each change of the orders, in entries; none where a change costs no
    /// more than itself.
    fn written_each_time(&self) -> usize {
        match self.kept {
            Kept::InFile(_) => self.orders().moves().len(),
            Kept::InMemory => 0,
        }
    }

    /// From now on these are the orders; sessions under these keys are asked to leave before anybody
    /// comes in by them.
    fn replace(&self, orders: Orders, moved: &[Owner]) {
        let mut present = self.orders.write().unwrap_or_else(PoisonError::into_inner);
        *present = orders;
        drop(self.clear_here(moved));
        drop(present);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Changes the orders, here only.
    fn take(&self, changes: Vec<Change>) {
        let mut orders = self.orders.write().unwrap_or_else(PoisonError::into_inner);
        changes.into_iter().for_each(|change| orders.apply(change));
        drop(orders);
        self.changes.send_modify(|count| *count += 1);
    }

    /// As [`take`](Self::take), of what others ordered. Sessions that came here by another way than
    /// there is now are asked to leave: whoever ordered it may not have known of them.
    fn take_from_others(&self, changes: Vec<Change>) {
        let ways = |orders: &Orders| -> HashMap<Owner, Option<Move>> {
            let users = changes.iter().filter_map(Change::user);
            let ways = users.map(|owner| (owner.clone(), orders.standing(owner).cloned()));
            ways.collect()
        };
        let mut orders = self.orders.write().unwrap_or_else(PoisonError::into_inner);
        let before = ways(&orders);
        changes
            .iter()
            .for_each(|change| orders.apply(change.clone()));
        let after = ways(&orders);
        let other = before
            .into_iter()
            .filter(|(owner, way)| after.get(owner) != Some(way));
        let moved: Vec<Owner> = other
            .flat_map(|(owner, before)| {
                let after = after.get(&owner).cloned().flatten();
                let ways = [before, after].into_iter().flatten();
                ways.flat_map(|way| orders::keys_of(&owner, &way.user))
                    .collect::<Vec<Owner>>()
            })
            .collect();
        // Before anybody can come in by the new way.
        drop(self.clear_here(&moved));
        drop(orders);
        self.changes.send_modify(|count| *count += 1);
    }

    /// A version for a new move: higher than those before.
    pub fn version(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.map_or(0, |since| {
            u64::try_from(since.as_micros()).unwrap_or(u64::MAX / 2)
        });
        let next = |last: u64| Some(now.max(last.saturating_add(1)));
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        let last = self.numbers.fetch_update(set, fetch, next);
        now.max(last.unwrap_or_default().saturating_add(1))
    }
}

/// The directory of the journal of a state file.
pub fn notes_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".journal");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::UserName;

    /// A new directory, to be removed by who asked for it.
    pub(super) fn scratch(name: &str) -> PathBuf {
        static UNIQUE: AtomicU64 = AtomicU64::new(0);
        let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
        let name = format!("gatepost-state-{name}-{}-{unique}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn user(name: &str) -> UserName {
        UserName::new(name.as_bytes()).unwrap()
    }

    /// A move of this user, to be ordered.
    pub(super) fn moved(user: &str, backend: &str, version: u64) -> Move {
        Move {
            user: user.into(),
            backend: backend.into(),
            host: None,
            since: 0,
            version,
        }
    }

    /// An operator's hold of this user, without an end.
    pub(super) fn hold(user: &str) -> Hold {
        Hold {
            user: user.into(),
            since: 0,
            until: None,
            of: None,
        }
    }

    #[tokio::test]
    async fn orders_survive_a_restart() {
        let dir = scratch("restart");
        let path = dir.join("state");
        let config = Config::File(path.clone());
        let state = State::open(&config).unwrap();
        let place = Place::new("old", "h1");
        let changes = || vec![Change::Weight(place.clone(), 3)];
        state.order(changes()).await.unwrap();
        let owner = Owner::new("old", &user("alice"));
        let change = Change::Hold(owner.clone(), hold("alice"));
        state.order(vec![change]).await.unwrap();
        drop(state);
        let state = State::open(&config).unwrap();
        assert_eq!(state.orders().weight(&place), Some(3));
        assert!(state.orders().held(&owner, &owner));
        assert!(state.journal().is_some());
        // What cannot be written does not happen.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let change = Change::Unweight(place.clone());
        assert!(state.order(vec![change]).await.is_err());
        assert_eq!(state.orders().weight(&place), Some(3));
        std::fs::remove_dir(&path).unwrap();
        for damage in ["", "{\"gatepost_state\":1,\"moves\":[[\"a/b\""] {
            std::fs::write(&path, damage).unwrap();
            let told = State::open(&config).unwrap_err();
            assert!(told.contains("damaged") && told.contains("state"), "{told}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), damage);
        }
        assert!(State::open(&Config::File(dir.join("no/where"))).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn a_claim_goes_by_what_is_ordered_now() {
        let state = State::memory();
        let mut pass = Pass::plain("old", &user("alice"));
        let place = Place::new("old", "h1");
        let claim = |pass: Pass| {
            let (state, place) = (state.clone(), place.clone());
            async move { matches!(state.claim(&pass, &place).await, Claimed::Here(_)) }
        };
        assert!(claim(pass.clone()).await);
        let owner = pass.owner.clone();
        let held = Change::Hold(owner.clone(), hold("alice"));
        state.order(vec![held]).await.unwrap();
        assert!(!claim(pass.clone()).await);
        let version = state.version();
        assert!(state.version() > version);
        let moved = Change::Move(owner.clone(), moved("alice", "new", version));
        let changes = vec![moved, Change::Release(owner)];
        state.order(changes).await.unwrap();
        assert!(!claim(pass.clone()).await);
        pass.moved = version;
        assert!(claim(pass).await);
        assert!(state.pins.is_empty());
    }
}
