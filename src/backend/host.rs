//! One mail server as the gateway sees it: whether it can be reached, how many sessions it carries,
//! what was learned about it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::config::{Config, HostConfig};
use crate::protocol::Failure;
use crate::protocol::imap::client::Profile;

/// How long a host that could not be reached is left alone: it is asked at most twice a second,
/// however many users want it, and everybody else is answered at once.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// A mail server of a backend.
pub struct Host {
    pub(super) config: HostConfig,
    weight: AtomicU32,
    max_sessions: u32,
    sessions: AtomicU32,
    /// Logins in flight.
    pub(super) gate: Semaphore,
    reach: Mutex<Reach>,
    profile: Mutex<Option<Profile>>,
}

/// Whether a host takes logins, as `GET /api/v1/backends` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Until shown otherwise.
    Up,
    /// The last connection did not come about.
    Down,
}

impl State {
    /// `up`, `down`.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Down => "down",
        }
    }
}

enum Reach {
    Up,
    Down {
        /// When it may be asked again.
        again: Instant,
        why: Failure,
    },
}

/// What became of a host by a report; worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    WentDown,
    CameBack,
}

impl Host {
    pub(super) fn new(config: HostConfig, backend: &Config) -> Self {
        let in_flight = match usize::try_from(backend.logins_in_flight) {
            Ok(0) | Err(_) => Semaphore::MAX_PERMITS,
            Ok(n) => n,
        };
        Host {
            weight: AtomicU32::new(config.weight),
            max_sessions: backend.max_sessions,
            sessions: AtomicU32::new(0),
            gate: Semaphore::new(in_flight),
            reach: Mutex::new(Reach::Up),
            profile: Mutex::new(None),
            config,
        }
    }

    /// Its name, unique in the backend.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its share of the users.
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Changes its share of the users: a weight of 0 leaves it only those that no other host takes.
    pub fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    /// Sessions that are logged in, or about to be.
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Sessions for its weight, comparable; a weight of 0 is behind all others.
    pub(super) fn load(&self) -> u64 {
        match self.weight() {
            0 => u64::MAX,
            weight => (u64::from(self.sessions()) << 32) / u64::from(weight),
        }
    }

    /// Whether it can be reached, as far as is known.
    pub fn state(&self) -> State {
        match *lock(&self.reach) {
            Reach::Up => State::Up,
            Reach::Down { .. } => State::Down,
        }
    }

    /// Why it was last found down, while it is.
    pub fn last_failure(&self) -> Option<Failure> {
        match &*lock(&self.reach) {
            Reach::Up => None,
            Reach::Down { why, .. } => Some(why.clone()),
        }
    }

    /// May it be asked now? Of a host that is down, one login in each [`PAUSE`] may ask; the others
    /// hear why it is down.
    pub(super) fn ask(&self) -> Result<(), Failure> {
        let now = Instant::now();
        match &mut *lock(&self.reach) {
            Reach::Up => Ok(()),
            Reach::Down { again, .. } if *again <= now => {
                *again = now + PAUSE;
                Ok(())
            }
            Reach::Down { why, .. } => Err(why.clone()),
        }
    }

    pub(super) fn reached(&self) -> Change {
        match std::mem::replace(&mut *lock(&self.reach), Reach::Up) {
            Reach::Up => Change::None,
            Reach::Down { .. } => Change::CameBack,
        }
    }

    pub(super) fn not_reached(&self, why: &Failure) -> Change {
        let down = Reach::Down {
            again: Instant::now() + PAUSE,
            why: why.clone(),
        };
        match std::mem::replace(&mut *lock(&self.reach), down) {
            Reach::Up => Change::WentDown,
            Reach::Down { .. } => Change::None,
        }
    }

    pub(super) fn profile(&self) -> Option<Profile> {
        lock(&self.profile).clone()
    }

    /// Remembers what a login learned; of a login that learned nothing, the old stays.
    pub(super) fn learn(&self, learned: Option<Profile>) {
        if learned.is_some() {
            *lock(&self.profile) = learned;
        }
    }

    /// For whoever sent commands behind a login and never got an answer: on this host they are sent
    /// one at a time from now on.
    pub fn lost_burst(&self) {
        if let Some(profile) = &mut *lock(&self.profile) {
            profile.lose_pipelining();
        }
    }

    /// Takes a place on this host, if there is one.
    pub(super) fn sit(self: &Arc<Self>) -> Result<Seat, Failure> {
        let free = |taken: u32| match self.max_sessions {
            0 => taken.checked_add(1),
            max => taken.checked_add(1).filter(|sessions| *sessions <= max),
        };
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        match self.sessions.fetch_update(set, fetch, free) {
            Ok(_) => Ok(Seat {
                host: Arc::clone(self),
                pin: None,
            }),
            Err(_) => Err(Failure::TooMany {
                limit: "max_sessions",
            }),
        }
    }
}

/// A session's place on a host, given back when dropped. While a user has one, new sessions of that
/// user go to the same host.
pub struct Seat {
    host: Arc<Host>,
    pin: Option<(Arc<Pins>, String)>,
}

impl Seat {
    /// The host.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The login succeeded: from now on the user belongs here. Says which other host the user still
    /// has sessions on.
    pub(super) fn pin(&mut self, pins: &Arc<Pins>, canonical: String) -> Option<String> {
        let left = pins.add(&canonical, &self.host);
        self.pin = Some((Arc::clone(pins), canonical));
        left
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.host.sessions.fetch_sub(1, Ordering::Relaxed);
        if let Some((pins, canonical)) = self.pin.take() {
            pins.remove(canonical, &self.host);
        }
    }
}

/// Which host each user with live sessions is on.
#[derive(Default)]
pub(super) struct Pins(DashMap<String, Pin>);

struct Pin {
    host: Arc<Host>,
    sessions: u32,
}

impl Pins {
    pub(super) fn of(&self, canonical: &str) -> Option<Arc<Host>> {
        self.0.get(canonical).map(|pin| Arc::clone(&pin.host))
    }

    fn add(&self, canonical: &str, host: &Arc<Host>) -> Option<String> {
        let mut pin = self.0.entry(canonical.to_string()).or_insert_with(|| Pin {
            host: Arc::clone(host),
            sessions: 0,
        });
        let left = match Arc::ptr_eq(&pin.host, host) {
            true => None,
            false => Some(pin.host.name().to_string()),
        };
        if left.is_some() {
            *pin = Pin {
                host: Arc::clone(host),
                sessions: 0,
            };
        }
        pin.sessions = pin.sessions.saturating_add(1);
        left
    }

    /// A session ended. One on a host that the user has left since does not count.
    fn remove(&self, canonical: String, host: &Arc<Host>) {
        if let Entry::Occupied(mut pin) = self.0.entry(canonical)
            && Arc::ptr_eq(&pin.get().host, host)
        {
            match pin.get().sessions {
                0 | 1 => drop(pin.remove()),
                _ => pin.get_mut().sessions -= 1,
            }
        }
    }
}

/// A panic elsewhere leaves these small values whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, max_sessions: u32) -> Arc<Host> {
        let config = HostConfig {
            name: name.into(),
            imap: None,
            pop3: None,
            weight: 1,
        };
        let backend = Config {
            max_sessions,
            ..Config::new("b", vec![config.clone()])
        };
        Arc::new(Host::new(config, &backend))
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_is_down_is_asked_twice_a_second() {
        let host = host("a", 0);
        let why = Failure::TimedOut { state: "connect" };
        assert_eq!(host.not_reached(&why), Change::WentDown);
        assert_eq!(host.not_reached(&why), Change::None);
        assert_eq!(host.state(), State::Down);
        let mut asked = 0;
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            match host.ask() {
                Ok(()) => asked += 1,
                Err(failure) => assert_eq!(failure, why),
            }
        }
        assert_eq!(asked, 10);
        assert_eq!(host.reached(), Change::CameBack);
        assert_eq!((host.ask(), host.last_failure()), (Ok(()), None));
    }

    #[test]
    fn seats_are_counted_and_given_back() {
        let host = host("a", 2);
        let (one, two) = (host.sit().unwrap(), host.sit().unwrap());
        assert!(matches!(host.sit(), Err(Failure::TooMany { .. })));
        drop(one);
        assert_eq!(host.sessions(), 1);
        assert!(host.sit().is_ok());
        drop(two);
        assert_eq!(host.sessions(), 0);
    }

    #[test]
    fn a_user_stays_where_the_live_sessions_are() {
        let (a, b, pins) = (host("a", 0), host("b", 0), Arc::new(Pins::default()));
        let on = |pins: &Pins| pins.of("u").map(|host| host.name().to_string());
        let sit = |host: &Arc<Host>| {
            let mut seat = host.sit().unwrap();
            let left = seat.pin(&pins, "u".into());
            (seat, left)
        };
        let (first, _) = sit(&a);
        let (second, left) = sit(&a);
        assert_eq!(left, None);
        drop(first);
        assert_eq!(on(&pins).as_deref(), Some("a"));
        let (moved, left) = sit(&b);
        assert_eq!(left.as_deref(), Some("a"));
        drop(second);
        assert_eq!(on(&pins).as_deref(), Some("b"));
        drop(moved);
        assert_eq!(on(&pins), None);
        assert!(pins.0.is_empty());
    }
}
