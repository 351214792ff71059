//! The servers we log in to: a named set of hosts, which of them a user belongs to, and how a
//! logged-in connection is made.
//!
//! [`Backend::connect`] is the story: who may, which hosts in which order, one attempt after the
//! other until one says yes or there is no sense in asking on. An attempt is in `attempt`, its
//! parts in `dial`, `tls` and `login`; what is known of a host in [`host`] and `health`, of its
//! users' sessions in `seat`; `probe` looks at hosts between the logins.

mod answered;
pub(crate) mod attempt;
mod backends;
pub mod balance;
pub mod config;
pub(crate) mod dial;
pub mod discover;
pub mod dns;
mod gate;
mod health;
pub mod host;
mod login;
pub mod master;
mod names;
mod now;
mod pool;
mod preference;
mod probe;
mod request;
mod seat;
pub(crate) mod tls;
mod trial;
mod visit;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

pub use answered::Answered;
use arc_swap::ArcSwap;
pub use backends::Backends;
pub use config::Config;
pub use dial::{Inside, Surroundings};
pub use host::Host;
pub use now::HostNow;
pub use request::{AfterAll, Answering, Awaited, Connected, Dialogue, Nobody, Refusal, Request};
pub use seat::Seat;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};
pub use trial::Tried;

use self::attempt::Then;
use self::config::HostConfig;
use self::discover::Lookup;
use self::dns::Dns;
use self::health::PAUSE;
use self::names::Names;
use self::tls::HostTls;
use crate::observe::metrics;
use crate::protocol::sasl::Mechanisms;
use crate::protocol::{Failure, Protocol};
use crate::state::{Pass, Place, Presence};
use crate::tls::Stamp;

/// A named set of interchangeable hosts.
pub struct Backend {
    config: Config,
    /// Swapped whole where they are discovered; fixed otherwise.
    hosts: ArcSwap<Vec<Arc<Host>>>,
    metrics: metrics::Backend,
    /// None: no endpoint needs it.
    tls: Option<Arc<HostTls>>,
    /// The files that `tls` was read from, as they were then.
    files: Vec<Option<Stamp>>,
    around: Surroundings,
    /// Who is asked for the addresses of hosts that were found by name, once it runs.
    names: OnceLock<Arc<Names>>,
    beside: Mutex<Beside>,
}

/// What runs beside the logins; ends with the backend.
#[derive(Default)]
struct Beside {
    tasks: JoinSet<()>,
    /// Those that look at a host, by its name.
    watches: BTreeMap<String, Vec<AbortHandle>>,
}

impl Backend {
    /// Reads the certificates that the settings name. The error is for the operator.
    pub fn new(config: Config, around: Surroundings) -> Result<Self, String> {
        // Their times first: what changes while they are read is seen to have changed.
        let files = tls_files(&config);
        let tls = match config.uses_tls() {
            true => Some(Arc::new(HostTls::new(&config.tls)?)),
            false => None,
        };
        let mut backend = Backend::of(config, around, tls, Host::new);
        backend.files = files;
        Ok(backend)
    }

    /// A host that a lookup service named, as a backend of its own, with no files.
    fn answered(config: Config, around: Surroundings, tls: Option<Arc<HostTls>>) -> Self {
        Backend::of(config, around, tls, Host::answered)
    }

    fn of(
        config: Config,
        around: Surroundings,
        tls: Option<Arc<HostTls>>,
        host: impl Fn(HostConfig, &Config) -> Host,
    ) -> Self {
        let hosts = config.hosts.iter().cloned();
        Backend {
            files: Vec::new(),
            tls,
            hosts: ArcSwap::from_pointee(
                hosts
                    .map(|settings| Arc::new(host(settings, &config)))
                    .collect(),
            ),
            metrics: metrics::Backend::new(&config.name),
            config,
            around,
            names: OnceLock::new(),
            beside: Mutex::default(),
        }
    }

    /// Starts what runs beside the logins, once: the probes of its hosts, and the search for them
    /// where they are found by name. It ends when the backend is dropped, or by
    /// [`stop`](Self::stop). To be called within a runtime.
    pub fn start(self: &Arc<Self>) {
        self.start_asking(Arc::new(Dns::system()));
    }

    /// As [`start`](Self::start), with another name server.
    pub fn start_asking(self: &Arc<Self>, lookup: Arc<dyn Lookup>) {
        self.hosts.load().iter().for_each(|host| host.begin());
        if !self.beside().tasks.is_empty() {
            return;
        }
        for host in self.hosts.load().iter() {
            self.watch(host);
        }
        if let Some(settings) = self.config.discover.clone() {
            let _ = self.names.set(Arc::new(Names::new(lookup.clone())));
            let following = discover::follow(Arc::downgrade(self), settings, lookup);
            self.beside().tasks.spawn(following);
        }
    }

    fn beside(&self) -> MutexGuard<'_, Beside> {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what runs beside the logins; those that are under way go on.
    pub fn stop(&self) {
        self.beside().tasks.abort_all();
    }

    fn succeeding(
        config: &Config,
        around: &Surroundings,
        before: Option<&Arc<Backend>>,
    ) -> Result<Arc<Self>, String> {
        let Some(before) = before else {
            return Backend::new(config.clone(), around.clone()).map(Arc::new);
        };
        let same_files = before.files == tls_files(config);
        if before.config == *config && same_files && before.around.keepalive == around.keepalive {
            return Ok(before.clone());
        }
        let backend = Backend::new(config.clone(), around.clone())?;
        let found: Vec<HostConfig> = match config.discover == before.config.discover {
            true if config.discover.is_some() => {
                let hosts = before.hosts();
                hosts.iter().map(|host| host.config.clone()).collect()
            }
            _ => config.hosts.clone(),
        };
        let hosts = found.into_iter().map(|host| {
            let earlier = before.host(&host.name);
            Arc::new(match earlier {
                Some(earlier) => Host::succeeding(host, config, &earlier, &before.config),
                None => Host::new(host, config),
            })
        });
        backend.hosts.store(Arc::new(hosts.collect()));
        Ok(Arc::new(backend))
    }

    /// Its name in the map.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its hosts as they are now, in the order of the settings, or by name where they are
    /// discovered.
    pub fn hosts(&self) -> Arc<Vec<Arc<Host>>> {
        self.hosts.load_full()
    }

    /// The host of this name.
    pub fn host(&self, name: &str) -> Option<Arc<Host>> {
        let hosts = self.hosts.load();
        hosts.iter().find(|host| host.name() == name).cloned()
    }

    /// What its hosts are known to be logged in to by, for a client of this protocol: what one of them
    /// has shown, and what all of them have.
    pub fn mechanisms(&self, protocol: Protocol) -> (Mechanisms, Mechanisms) {
        let hosts = self.hosts.load();
        let known = hosts.iter().map(|host| host.mechanisms(protocol));
        known.fold((Mechanisms::NONE, Mechanisms::ALL), |(any, all), host| {
            let host = host.unwrap_or_default();
            (any.or(host), all.and(host))
        })
    }

    /// Makes a logged-in connection, on the user's host if it can be, on the next one if it is not
    /// to be reached. Credentials that a host refused are never shown to another; and a connection
    /// that dropped after they were sent is not made again, because nobody knows what came of it.
    ///
    /// Dropping the future gives everything back.
    pub async fn connect(&self, request: Request<'_>) -> Result<Connected, Refusal> {
        self.connect_with(request, &mut Nobody).await
    }

    /// As [`connect`](Self::connect), for a mail client that can answer a challenge of the host's.
    pub async fn connect_with(
        &self,
        request: Request<'_>,
        dialogue: &mut dyn Dialogue,
    ) -> Result<Connected, Refusal> {
        self.admit(&request)?;
        let begun = Instant::now();
        let Config {
            connect_timeout,
            greeting_timeout,
            retry_for,
            ..
        } = self.config;
        let deadline = begun + retry_for;
        // However many hosts are silent: their user is told within the time that one may take.
        let mut patience = begun + (connect_timeout + greeting_timeout).max(retry_for);
        let mut asked = false;
        let mut asked_at = begun;
        let plain;
        let pass = match request.pass {
            Some(pass) => pass,
            None => {
                plain = Pass::plain(self.name(), request.user);
                &plain
            }
        };
        let leave_by = begun + LEAVE_WAIT;
        let mut tried = HashSet::new();
        let mut passed_on: HashMap<String, Refusal> = HashMap::new();
        let mut settle = LEAVE_TICK;
        let state = &self.around.state;
        let mut live = (state.pinned(pass))
            .filter(|live| *live.backend == *self.name())
            .map(|live| live.host.to_string());
        let first = self.preference_of_all(pass, request.user, request.host);
        let mut hosts = VecDeque::from(first.await?);
        // Right after the start the name server may not have answered yet.
        while hosts.is_empty() && self.is_lost() && Instant::now() + PAUSE <= deadline {
            sleep(PAUSE).await;
            let found = self.preference_of_all(pass, request.user, request.host);
            hosts = VecDeque::from(found.await?);
        }
        loop {
            let mut again = VecDeque::new();
            let mut last = Refusal::nowhere(match self.is_lost() {
                false => Failure::HostSetup {
                    cause: "the backend has no host".into(),
                },
                true => Failure::Unreachable {
                    cause: "its hosts have not been found yet".into(),
                },
            });
            while let Some(host) = hosts.pop_front() {
                if asked && Instant::now() >= patience {
                    return Err(last);
                }
                let times = (&mut patience, &mut asked_at);
                let attempt = self.attempt(&host, &request, pass, dialogue, times);
                let (failure, then) = match attempt.await {
                    Ok(connected) => {
                        self.metrics.connected(begun.elapsed());
                        return Ok(connected);
                    }
                    Err(failed) => failed,
                };
                dialogue.awaits(Awaited::Turn);
                last = Refusal {
                    failure,
                    host: Some(host.name().to_string()),
                    took: asked_at.elapsed(),
                    then: AfterAll::Nothing,
                };
                if !matches!(then, Then::Occupied(_)) {
                    tried.insert(host.name().to_owned());
                }
                match then {
                    Then::Changed => {
                        last.then = AfterAll::AskTheWay;
                        return Err(last);
                    }
                    Then::Occupied(there) => {
                        let begun = Instant::now();
                        let here = there.as_ref().filter(|it| *it.backend == *self.name());
                        if let Some(first) = here.and_then(|it| passed_on.get(&*it.host)) {
                            // It works, and sessions that the user has there are no reason to end
                            // them, of whatever gateway they are.
                            let pause =
                                here.and_then(|it| self.pause(pass, it, patience, &mut settle));
                            match (&first.failure, pause) {
                                (
                                    Failure::Refused { .. } | Failure::TooMany { .. },
                                    Some(pause),
                                ) => sleep(pause).await,
                                _ => return Err(first.clone()),
                            }
                            hosts.push_front(host);
                            continue;
                        }
                        // First where the sessions are; if that one cannot be, they have to leave it.
                        let there = there.filter(|_| request.host.is_none());
                        let there = there.and_then(|there| self.refuge(&there, &tried));
                        if let Some(there) = there {
                            live = Some(there.name().to_owned());
                            hosts.retain(|other| other.name() != there.name());
                            hosts.push_front(host);
                            hosts.push_front(there);
                        } else if self.clear_the_way(pass, &host, leave_by).await {
                            patience += begun.elapsed();
                            hosts.push_front(host);
                        } else {
                            return Err(last);
                        }
                        continue;
                    }
                    Then::GiveUp => return Err(last),
                    // A password that may be wrong sends nobody away from a host that works.
                    Then::Elsewhere
                        if live.as_deref() == Some(host.name())
                            && state.presence(pass, &self.place(&host)) != Presence::Login =>
                    {
                        return Err(last);
                    }
                    Then::Elsewhere => {
                        passed_on.insert(host.name().to_owned(), last.clone());
                        continue;
                    }
                    Then::Again => asked = true,
                    Then::Skipped => {}
                }
                again.push_back(host);
            }
            // Where every host is known to be down the user is answered at once.
            if !asked || again.is_empty() || Instant::now() + PAUSE > deadline {
                return Err(last);
            }
            hosts = again;
            tried.clear();
            sleep(PAUSE).await;
        }
    }

    /// How long to wait for what else the user has on a host that passed this login on; none: it is
    /// a session, and stays.
    fn pause(
        &self,
        pass: &Pass,
        place: &Place,
        patience: Instant,
        settle: &mut Duration,
    ) -> Option<Duration> {
        match self.around.state.presence(pass, place) {
            Presence::Session => None,
            // Whether the host takes it is soon known.
            Presence::Login => (Instant::now() < patience).then_some(LEAVE_TICK),
            // Another gateway's, or on its way out; or this login's own, not given back yet.
            Presence::Absent => {
                let pause = std::mem::replace(settle, *settle * 2);
                (pause <= SETTLED).then_some(pause)
            }
        }
    }

    /// The host where the user's sessions are, if new ones may go there.
    fn refuge(&self, place: &Place, tried: &HashSet<String>) -> Option<Arc<Host>> {
        if *place.backend != *self.name() || tried.contains(&*place.host) {
            return None;
        }
        let host = self.host(&place.host)?;
        let over = self.drain_of(&host).is_some_and(|drain| drain.is_over());
        (!over).then_some(host)
    }

    /// Has the user's sessions on other hosts end; whether they did in time.
    async fn clear_the_way(&self, pass: &Pass, host: &Host, by: Instant) -> bool {
        let place = self.place(host);
        let mut ticks = LeaveTicks::default();
        while Instant::now() < by {
            let left = self.around.state.send_to(pass, &place).await;
            if left == 0 {
                sleep(LEAVE_TICK).await;
                return true;
            }
            sleep(ticks.next()).await;
        }
        false
    }
}

/// How long a user's sessions on another host may take to leave it: a session that was asked to waits
/// up to half a minute for the end of a message.
const LEAVE_WAIT: Duration = Duration::from_secs(35);

/// The longest pause in which a host that answered a login is waited for to be free of it, after some
/// shorter ones.
const SETTLED: Duration = Duration::from_millis(200);

/// How soon is looked whether they have.
const LEAVE_TICK: Duration = Duration::from_millis(10);

/// And how seldom in the end: each look may be a question to a store that all gateways share.
const LEAVE_TICK_MOST: Duration = Duration::from_millis(500);

/// The pauses between such looks, each twice the one before: most sessions leave at once.
#[derive(Default)]
struct LeaveTicks(Duration);

impl LeaveTicks {
    fn next(&mut self) -> Duration {
        self.0 = (self.0 * 2).clamp(LEAVE_TICK, LEAVE_TICK_MOST);
        self.0
    }
}

/// The files that a backend's `tls` names, as they are now.
fn tls_files(config: &Config) -> Vec<Option<Stamp>> {
    let client = config.tls.client.iter().flat_map(|(cert, key)| [cert, key]);
    let files = config.tls.ca.iter().chain(client);
    files.map(|file| Stamp::of(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_take_long_to_leave_are_looked_at_seldom() {
        let mut ticks = LeaveTicks::default();
        let first = [(); 8].map(|()| ticks.next().as_millis());
        assert_eq!(first, [10, 20, 40, 80, 160, 320, 500, 500]);
        let (mut ticks, mut waited, mut looks) = (LeaveTicks::default(), Duration::ZERO, 0);
        while waited < LEAVE_WAIT {
            waited += ticks.next();
            looks += 1;
        }
        assert!(looks < 80, "{looks}");
    }
}
