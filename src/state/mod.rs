//! What is to be remembered beyond a session: where users' sessions are, what operators ordered,
//! notes for after a crash. In memory, in a file, or on a Redis that several gateways share.
//!
//! [`State`] lives as long as the process, whatever becomes of the settings in between. Looking
//! something up asks nobody: this process knows what is ordered. A login [claims](State::claim) its
//! host before the host is asked, so no user has sessions on two hosts at once.

pub mod config;
mod file;
pub mod journal;
mod kept;
pub mod mover;
pub mod orders;
pub mod owner;
mod pins;
mod redis;
mod shared;
mod turn;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{SystemTime, UNIX_EPOCH};

pub use config::Config;
pub use journal::Journal;
pub use orders::{Change, Drain, Hold, Move, Orders};
pub use owner::{Owner, Pass, Place};
pub use pins::Ask;
use pins::{Denied, Pins};
use shared::Verdict;
use tokio::sync::watch;

/// What is to be remembered.
pub struct State {
    orders: RwLock<Orders>,
    /// Counts the changes of the orders.
    changes: watch::Sender<u64>,
    pins: Pins,
    /// Numbers of claims and versions of moves.
    numbers: AtomicU64,
    kept: Kept,
    /// One change at a time is written.
    writing: tokio::sync::Mutex<()>,
    journal: Option<Journal>,
    jobs: mover::Jobs,
    redis: Option<Arc<redis::Redis>>,
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
            numbers: AtomicU64::new(1),
            kept,
            writing: tokio::sync::Mutex::default(),
            journal,
            jobs: mover::Jobs::default(),
            redis: None,
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
                let journal = Some(Journal::on(redis.clone()));
                let state = State::new(Orders::default(), Kept::InMemory, journal);
                return Ok(Arc::new(State {
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
    /// Why it is not remembered; then nothing has changed.
    pub async fn order(self: &Arc<Self>, changes: Vec<Change>) -> Result<(), String> {
        let state = self.clone();
        let done = tokio::spawn(async move { state.remember(changes).await });
        done.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    async fn remember(&self, changes: Vec<Change>) -> Result<(), String> {
        if changes.is_empty() {
            return Ok(());
        }
        if let Kept::InFile(turn) = &self.kept {
            turn.come().await?;
        }
        let _turn = self.writing.lock().await;
        if let Some(redis) = &self.redis {
            self.order_shared(redis, &changes).await?;
            self.take(changes);
            return Ok(());
        }
        let mut next = self.orders().clone();
        changes.into_iter().for_each(|change| next.apply(change));
        if let Kept::InFile(turn) = &self.kept {
            // It may have been let go just now.
            turn.come().await?;
            let (text, path) = (next.write(), turn.path.clone());
            let same = self.orders().write() == text;
            if !same {
                let name = path.display().to_string();
                let written = tokio::task::spawn_blocking(move || file::replace(&path, &text));
                let written = written.await.map_err(std::io::Error::other);
                written
                    .and_then(|it| it)
                    .map_err(|error| format!("{name} could not be written: {error}"))?;
            }
        }
        self.replace(next);
        Ok(())
    }

    /// From now on these are the orders.
    fn replace(&self, orders: Orders) {
        *self.orders.write().unwrap_or_else(PoisonError::into_inner) = orders;
        self.changes.send_modify(|count| *count += 1);
    }

    /// Changes the orders, here only.
    fn take(&self, changes: Vec<Change>) {
        let mut orders = self.orders.write().unwrap_or_else(PoisonError::into_inner);
        changes.into_iter().for_each(|change| orders.apply(change));
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

    /// Where the user's sessions are, as far as this process knows.
    pub fn pinned(&self, owner: &Owner) -> Option<Place> {
        self.pins.of(owner)
    }

    /// Takes a place on a host for a login that is about to be made there.
    pub async fn claim(self: &Arc<Self>, pass: &Pass, place: &Place) -> Claimed {
        let claim = Claim {
            state: self.clone(),
            owner: pass.owner.clone(),
            id: self.numbers.fetch_add(1, Ordering::Relaxed),
        };
        match self.pins.claim(&pass.owner, place, claim.id) {
            Err(Denied::At(place)) => return Claimed::At(place),
            Err(Denied::Leaving) => return Claimed::Leaving,
            Ok(()) => {}
        }
        if let Some(redis) = &self.redis {
            match self.claim_shared(redis, pass, place, claim.id).await {
                Ok(Verdict::Here) => {}
                Ok(Verdict::At(place)) => return Claimed::At(place),
                Ok(Verdict::Leaving) => return Claimed::Leaving,
                Ok(Verdict::Changed) => return Claimed::Changed,
                // Away: what this process knows has to do.
                Err(_) => {}
            }
        }
        // Now whoever holds or moves this user sees the claim; who did before is seen here.
        match self.still(pass) {
            true => Claimed::Here(claim),
            false => Claimed::Changed,
        }
    }

    /// Whether what a login goes by is still so.
    fn still(&self, pass: &Pass) -> bool {
        let orders = self.orders();
        let moved = orders.moved(&pass.owner, &pass.named);
        !orders.held(&pass.owner, &pass.named)
            && moved.map_or(0, |(_, moved)| moved.version) == pass.moved
    }

    /// Asks the user's sessions to leave every other host, and lets new ones in at `to` only. How many
    /// are still elsewhere; call again until there is none.
    pub async fn send_to(&self, owner: &Owner, to: &Place) -> usize {
        let here = self.pins.send_to(owner, to);
        match &self.redis {
            Some(redis) => self.send_shared(redis, owner, to).await.unwrap_or(here),
            None => here,
        }
    }

    /// Asks all sessions of these users to leave. Says which still have some; call again until none
    /// has.
    pub async fn clear(&self, owners: &[Owner]) -> Vec<Owner> {
        let here = self.clear_here(owners);
        let Some(redis) = &self.redis else {
            return here;
        };
        let everywhere = self.clear_shared(redis, owners).await;
        everywhere.unwrap_or(here)
    }

    fn clear_here(&self, owners: &[Owner]) -> Vec<Owner> {
        let left = owners.iter().filter(|owner| self.pins.clear(owner) > 0);
        left.cloned().collect()
    }

    /// Takes places that are counted over all gateways, each key with the most it may have; the place
    /// of the one that is full, where one is. Where no store is shared, or it is away, nothing is full.
    pub async fn enter(self: &Arc<Self>, keys: Vec<(String, u32)>) -> Result<Entered, usize> {
        let mut entered = Entered {
            state: self.clone(),
            id: self.numbers.fetch_add(1, Ordering::Relaxed),
            keys: Vec::new(),
        };
        let Some(redis) = &self.redis else {
            return Ok(entered);
        };
        entered.keys = keys.iter().map(|(key, _)| redis.count_key(key)).collect();
        match self.enter_shared(redis, entered.id, &keys).await {
            Ok(Some(full)) => {
                entered.keys.clear();
                Err(full)
            }
            Ok(None) | Err(_) => Ok(entered),
        }
    }
}

/// Places that are counted over all gateways, given back when dropped.
pub struct Entered {
    state: Arc<State>,
    id: u64,
    keys: Vec<String>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(redis) = &self.state.redis
            && !self.keys.is_empty()
        {
            State::leave_shared(redis, self.id, std::mem::take(&mut self.keys));
        }
    }
}

/// What comes of [`State::claim`].
pub enum Claimed {
    /// The place is taken until this is dropped.
    Here(Claim),
    /// The user's sessions are there: new ones go there, too, or [send](State::send_to) those away.
    At(Place),
    /// The user's sessions elsewhere were asked to leave and have not all left.
    Leaving,
    /// The user is held, or was moved: ask for the way again.
    Changed,
}

/// A session's place among its user's, given back when dropped.
pub struct Claim {
    state: Arc<State>,
    owner: Owner,
    id: u64,
}

impl Claim {
    /// How the session is asked to leave; it is at once, if it was to already.
    pub fn on_leave(&self, ask: Ask) {
        self.state.pins.on_leave(&self.owner, self.id, ask);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.state.pins.remove(&self.owner, self.id);
        if let Some(redis) = &self.state.redis {
            let keys = vec![redis.pin_key(self.owner.as_str())];
            State::leave_shared(redis, self.id, keys);
        }
    }
}

/// The directory of the journal of a state file.
fn notes_beside(path: &Path) -> PathBuf {
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

    fn hold(user: &str) -> Hold {
        Hold {
            user: user.into(),
            since: 0,
            until: None,
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
        let moved = Move {
            user: "alice".into(),
            backend: "new".into(),
            host: None,
            since: 0,
            version,
        };
        let changes = vec![Change::Move(owner.clone(), moved), Change::Release(owner)];
        state.order(changes).await.unwrap();
        assert!(!claim(pass.clone()).await);
        pass.moved = version;
        assert!(claim(pass).await);
        assert!(state.pins.is_empty());
    }
}
