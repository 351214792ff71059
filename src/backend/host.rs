//! One mail server as the gateway sees it: whether it can be reached, how many sessions it carries,
//! what was learned about it.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use super::config::{Config, Endpoint, HostConfig};
use super::gate::Gate;
use super::health::{By, Change, Health, Rules};
use super::known::Known;
use super::pool::Pool;
use super::seat::{Counts, Seat};
use crate::observe::metrics;
use crate::protocol::sasl::Mechanisms;
use crate::protocol::{Failure, Protocol};

/// A mail server of a backend.
pub struct Host {
    pub(super) config: HostConfig,
    weight: AtomicU32,
    max_sessions: u32,
    /// Shared with the same host under earlier settings, whose sessions go on.
    counts: Arc<Counts>,
    in_flight: u32,
    /// Logins in flight.
    pub(super) gate: Arc<Gate>,
    /// When probes decide, under these settings.
    rules: Option<Rules>,
    /// Shared as well, while the endpoints are the same.
    pub(super) health: Arc<Health>,
    /// What became of the test account's logins here.
    pub(super) test_login: Arc<Mutex<TestLogin>>,
    losses: Mutex<Losses>,
    /// Connections to its IMAP endpoint that wait for polls.
    pub(super) pool: Pool,
    pub(super) known: Arc<Known>,
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

/// Sessions that were lost, in a row where their clients are let go one after the other.
#[derive(Debug, Default)]
struct Losses {
    /// When the next one may be.
    next: Option<Instant>,
}

impl Losses {
    /// Between two clients that are let go: 400 a second, as many as a returning host bears well.
    const APART: Duration = Duration::from_micros(2500);

    /// The longest a client is kept: past it, it would rather notice.
    const LONGEST: Duration = Duration::from_secs(5);

    fn one_more(&mut self, now: Instant) -> Duration {
        let at = self.next.map_or(now, |next| next.max(now));
        self.next = Some((at + Self::APART).min(now + Self::LONGEST));
        at.saturating_duration_since(now)
    }
}

/// What became of the test account's logins on a host.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TestLogin {
    /// When it was last let in.
    pub(super) accepted: Option<Instant>,
    /// Since when it is called wrong, if it is.
    pub(super) refused: Option<Instant>,
}

impl Host {
    /// A host of the settings, or one that was found by name.
    pub(super) fn new(config: HostConfig, backend: &Config) -> Self {
        let metrics = metrics::Host::new(&backend.name, &config.name);
        Host::counted(config, backend, metrics)
    }

    /// A host that a lookup service named: what it says is not bounded, so it has no series of its own.
    pub(super) fn answered(config: HostConfig, backend: &Config) -> Self {
        Host::counted(config, backend, metrics::Host::answered(&backend.name))
    }

    fn counted(config: HostConfig, backend: &Config, metrics: metrics::Host) -> Self {
        Host {
            weight: AtomicU32::new(config.weight),
            max_sessions: backend.max_sessions,
            counts: Arc::default(),
            in_flight: backend.logins_in_flight,
            gate: Arc::new(Gate::new(backend.logins_in_flight)),
            rules: Rules::of(backend.health.as_ref()),
            health: Arc::new(Health::new(backend.health.as_ref())),
            test_login: Arc::default(),
            losses: Mutex::default(),
            pool: Pool::default(),
            known: Arc::default(),
            metrics,
            config,
        }
    }

    /// The same host under new settings, those of `backend`, that were `earlier`'s before: its sessions
    /// and logins in flight still count, and what was learned stays true where the endpoints are the
    /// same.
    pub(super) fn succeeding(
        config: HostConfig,
        backend: &Config,
        before: &Host,
        earlier: &Config,
    ) -> Self {
        let mut host = Host::new(config, backend);
        host.counts = before.counts.clone();
        host.gate = match host.in_flight == before.in_flight {
            true => before.gate.clone(),
            false => Arc::new(Gate::after(host.in_flight, &before.gate)),
        };
        let endpoints = |config: &HostConfig| (config.imap.clone(), config.pop3.clone());
        if endpoints(&host.config) == endpoints(&before.config) {
            host.known = before.known.clone();
            // Judged by other rules from `begin` on.
            host.health = before.health.clone();
            let account = |config: &Config| config.health.as_ref().map(|it| it.login.clone());
            if account(backend) == account(earlier) {
                host.test_login = before.test_login.clone();
            }
        }
        host
    }

    /// Its name, unique in the backend.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Where it speaks a protocol, if it does.
    pub fn endpoint(&self, protocol: Protocol) -> Option<&Endpoint> {
        self.config.endpoint(protocol)
    }

    /// Its share of the users by the settings; see [`Backend::weight_of`](super::Backend::weight_of).
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Changes its share of the users: a weight of 0 leaves it only those that no other host takes.
    pub fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    /// Sessions that are logged in, or about to be.
    pub fn sessions(&self) -> u32 {
        self.counts.all()
    }

    /// Sessions for its weight, comparable; a weight of 0 is behind all others.
    pub(super) fn load(&self, weight: u32) -> u64 {
        match weight {
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
        self.health.last_failure()
    }

    /// Its settings are in use: those that are refused change nothing, and what they would make is told
    /// nobody.
    pub(super) fn begin(&self) {
        self.health.go_by(self.rules);
        self.tell_state();
    }

    /// Sets its metric to what it is.
    pub(super) fn tell_state(&self) {
        match self.state() {
            State::Up => self.metrics.up(),
            State::Down => self.metrics.down(),
        }
    }

    /// May its endpoint be asked now? If not: why it is down.
    pub(super) fn ask(&self, endpoint: Protocol) -> Result<(), Failure> {
        self.health.ask(endpoint, Instant::now())
    }

    /// An endpoint answered.
    pub(super) fn reached(&self, endpoint: Protocol, by: By) -> Change {
        let endpoints = Protocol::ALL.into_iter();
        let was_gone = (endpoints.filter(|it| self.config.endpoint(*it).is_some()))
            .all(|endpoint| self.health.is_down(endpoint));
        let change = self.health.good(endpoint, by, Instant::now());
        if let Change::CameBack { .. } = change {
            if was_gone {
                self.gate.begin_cold();
            }
            if self.state() == State::Up {
                self.metrics.up();
            }
        }
        change
    }

    /// A connection to an endpoint did not come about, or a probe found it unwell.
    pub(super) fn not_reached(&self, endpoint: Protocol, by: By, why: &Failure) -> Change {
        let change = self.health.bad(endpoint, by, why, Instant::now());
        if change == Change::WentDown {
            self.metrics.down();
        }
        change
    }

    /// A session here was lost out of the blue: how long its client is kept, so that not all of a host's
    /// clients come back at once.
    pub fn lost_session(&self) -> Duration {
        lock(&self.losses).one_more(Instant::now())
    }

    /// Waits for a turn to log in to an endpoint; not on an endpoint that goes down meanwhile: then
    /// why it did.
    pub(super) async fn turn(&self, endpoint: Protocol) -> Result<SemaphorePermit<'_>, Failure> {
        if let Some(turn) = self.gate.try_turn() {
            return Ok(turn);
        }
        let mut turn = pin!(self.gate.turn());
        loop {
            let mut fell = pin!(self.health.fell().notified());
            fell.as_mut().enable();
            self.ask(endpoint)?;
            tokio::select! {
                biased;
                () = fell => {}
                turn = &mut turn => {
                    // While this one waited, others may have found the host down.
                    self.ask(endpoint)?;
                    return turn.ok_or(Failure::TimedOut { state: "queue" });
                }
            }
        }
    }

    /// What it can be logged in to by for a client of this protocol, if that is known.
    pub fn mechanisms(&self, protocol: Protocol) -> Option<Mechanisms> {
        let endpoint = match self.config.pop3 {
            Some(_) => protocol,
            None => Protocol::Imap,
        };
        self.known.mechanisms(endpoint)
    }

    /// Whether it is sent one command at a time.
    pub fn loses_bursts(&self) -> bool {
        self.known.loses_bursts()
    }

    /// For whoever sent commands in a burst and never got an answer to the later ones: on this host they
    /// are sent one at a time from now on.
    pub fn lost_burst(&self) {
        self.known.lost_burst();
    }

    /// Turns that are free.
    #[cfg(test)]
    pub(super) fn free_turns(&self) -> usize {
        self.gate.free()
    }

    /// Whether this is the other one, perhaps under other settings, as far as its sessions go.
    pub(super) fn counts_with(&self, other: &Host) -> bool {
        Arc::ptr_eq(&self.counts, &other.counts)
    }

    /// Whether it has as many sessions as it takes.
    pub(super) fn is_full(&self) -> bool {
        self.counts.are_full(self.max_sessions)
    }

    /// Takes a place on this host for a login, unless the host is full already.
    pub(super) fn sit(self: &Arc<Self>) -> Result<Seat, Failure> {
        self.counts.enter(self.max_sessions)?;
        Ok(Seat::taken(Arc::clone(self)))
    }

    /// A login becomes a session, if there is room.
    pub(super) fn settle(&self) -> Result<(), Failure> {
        self.counts.settle(self.max_sessions)
    }

    /// A session is over.
    pub(super) fn unsettle(&self) {
        self.counts.unsettle();
    }

    /// A place is given back.
    pub(super) fn leave(&self) {
        self.counts.leave();
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
        let down = host.not_reached(Protocol::Imap, By::Login, &why);
        assert_eq!(down, Change::WentDown);
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
        host.reached(Protocol::Imap, By::Login);
        assert_eq!(host.state(), State::Up);
        assert_eq!(host.last_failure(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_turn_hears_at_once_that_the_host_is_down() {
        let host = host("a", 0);
        let all: Vec<_> = std::iter::from_fn(|| host.gate.try_turn()).collect();
        assert_eq!(all.len(), 200);
        let waiting = {
            let host = host.clone();
            tokio::spawn(async move { host.turn(Protocol::Imap).await.map(drop) })
        };
        let other = {
            let host = host.clone();
            tokio::spawn(async move { host.turn(Protocol::Pop3).await.map(drop) })
        };
        tokio::task::yield_now().await;
        let why = Failure::TimedOut { state: "greeting" };
        host.not_reached(Protocol::Imap, By::Login, &why);
        assert_eq!(waiting.await.unwrap(), Err(why));
        drop(all);
        assert_eq!(other.await.unwrap(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn clients_of_lost_sessions_are_let_go_one_after_the_other() {
        let host = host("a", 0);
        let kept: Vec<_> = (0..3000).map(|_| host.lost_session().as_micros()).collect();
        assert_eq!(kept[..3], [0, 2500, 5000]);
        assert_eq!(kept[2000..], [5_000_000; 1000]);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(host.lost_session(), Duration::ZERO);
    }
}
