//! One mail server as the gateway sees it: whether it can be reached, how many sessions it carries,
//! what was learned about it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::config::{Config, HostConfig};
use super::seat::Seat;
use crate::observe::metrics;
use crate::protocol::imap::client::Profile;
use crate::protocol::sasl::Mechanisms;
use crate::protocol::{Failure, Protocol, pop3};

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
    /// Of each endpoint: a POP3 port that refuses says nothing about IMAP.
    reach: Mutex<[Reach; Protocol::ALL.len()]>,
    profile: Mutex<Option<Profile>>,
    pop3_profile: Mutex<Option<pop3::client::Profile>>,
    pub(super) metrics: metrics::Host,
}

/// Whether a host takes logins, as `GET /api/v1/backends` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Until shown otherwise.
    Up,
    /// The last connection to one of its endpoints did not come about.
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

#[derive(Clone)]
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
            reach: Mutex::new([Reach::Up, Reach::Up]),
            profile: Mutex::new(None),
            pop3_profile: Mutex::new(None),
            metrics: metrics::Host::new(&backend.name, &config.name),
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
        match self.last_failure() {
            None => State::Up,
            Some(_) => State::Down,
        }
    }

    /// Why it was last found down, while it is.
    pub fn last_failure(&self) -> Option<Failure> {
        lock(&self.reach).iter().find_map(|reach| match reach {
            Reach::Up => None,
            Reach::Down { why, .. } => Some(why.clone()),
        })
    }

    /// May its endpoint be asked now? Of one that is down, one login in each [`PAUSE`] may ask; the
    /// others hear why it is down.
    pub(super) fn ask(&self, endpoint: Protocol) -> Result<(), Failure> {
        let now = Instant::now();
        self.reach_of(endpoint, |reach| match reach {
            Reach::Up => Ok(()),
            Reach::Down { again, .. } if *again <= now => {
                *again = now + PAUSE;
                Ok(())
            }
            Reach::Down { why, .. } => Err(why.clone()),
        })
    }

    /// An endpoint answered.
    pub(super) fn reached(&self, endpoint: Protocol) -> Change {
        let old = self.reach_of(endpoint, |reach| std::mem::replace(reach, Reach::Up));
        match (old, self.state()) {
            (Reach::Up, _) => Change::None,
            (Reach::Down { .. }, state) => {
                if state == State::Up {
                    self.metrics.up();
                }
                Change::CameBack
            }
        }
    }

    /// A connection to an endpoint did not come about.
    pub(super) fn not_reached(&self, endpoint: Protocol, why: &Failure) -> Change {
        let down = Reach::Down {
            again: Instant::now() + PAUSE,
            why: why.clone(),
        };
        match self.reach_of(endpoint, |reach| std::mem::replace(reach, down)) {
            Reach::Up => {
                self.metrics.down();
                Change::WentDown
            }
            Reach::Down { .. } => Change::None,
        }
    }

    fn reach_of<T>(&self, endpoint: Protocol, look: impl FnOnce(&mut Reach) -> T) -> T {
        let [imap, pop3] = &mut *lock(&self.reach);
        look(match endpoint {
            Protocol::Imap => imap,
            Protocol::Pop3 => pop3,
        })
    }

    /// What it can be logged in to by for a client of this protocol, if that is known.
    pub fn mechanisms(&self, protocol: Protocol) -> Option<Mechanisms> {
        match (protocol, &self.config.pop3) {
            (Protocol::Pop3, Some(_)) => lock(&self.pop3_profile).as_ref()?.mechanisms(),
            _ => lock(&self.profile).as_ref()?.mechanisms(),
        }
    }

    pub(super) fn pop3_profile(&self) -> Option<pop3::client::Profile> {
        lock(&self.pop3_profile).clone()
    }

    /// As [`learn`](Self::learn), of its POP3 endpoint.
    pub(super) fn learn_pop3(&self, learned: Option<pop3::client::Profile>) {
        if learned.is_some() {
            *lock(&self.pop3_profile) = learned;
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

    pub(super) fn leave(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes a place on this host, if there is one.
    pub(super) fn sit(self: &Arc<Self>) -> Result<Seat, Failure> {
        let free = |taken: u32| match self.max_sessions {
            0 => taken.checked_add(1),
            max => taken.checked_add(1).filter(|sessions| *sessions <= max),
        };
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        match self.sessions.fetch_update(set, fetch, free) {
            Ok(_) => Ok(Seat::taken(Arc::clone(self))),
            Err(_) => Err(Failure::TooMany {
                limit: "max_sessions",
            }),
        }
    }
}

/// A panic elsewhere leaves these small values whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::backend) fn host(name: &str, max_sessions: u32) -> Arc<Host> {
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
        assert_eq!(host.not_reached(Protocol::Imap, &why), Change::WentDown);
        assert_eq!(host.not_reached(Protocol::Imap, &why), Change::None);
        assert_eq!(host.state(), State::Down);
        let mut asked = 0;
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            match host.ask(Protocol::Imap) {
                Ok(()) => asked += 1,
                Err(failure) => assert_eq!(failure, why),
            }
        }
        assert_eq!(asked, 10);
        assert_eq!(host.reached(Protocol::Imap), Change::CameBack);
        assert_eq!(host.ask(Protocol::Imap), Ok(()));
        assert_eq!(host.last_failure(), None);
        host.not_reached(Protocol::Pop3, &why);
        assert_eq!(host.ask(Protocol::Imap), Ok(()));
        assert_eq!(host.ask(Protocol::Pop3), Err(why));
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
}
