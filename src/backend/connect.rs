//! How a login gets its connection: one attempt after the other, on the user's host if it can be, on the
//! next one if it is not to be reached, until one says yes or there is no sense in asking on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::attempt::{Clock, Then};
use super::health::PAUSE;
use super::{AfterAll, Awaited, Backend, Connected, Dialogue, Host, Nobody, Refusal, Request};
use crate::protocol::Failure;
use crate::state::{Pass, Place, Presence};

impl Backend {
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
        let plain;
        let pass = match request.pass {
            Some(pass) => pass,
            None => {
                plain = Pass::plain(self.name(), request.user);
                &plain
            }
        };
        let mut round = Round::first(self, &request, pass);
        round.find_hosts().await?;
        loop {
            while let Some(host) = round.hosts.pop_front() {
                if round.asked && Instant::now() >= round.clock.patience {
                    return Err(round.last);
                }
                match round.attempt(&host, dialogue).await {
                    Ok(connected) => {
                        self.metrics.connected(round.begun.elapsed());
                        return Ok(connected);
                    }
                    Err(then) => round.after(then, host).await?,
                }
            }
            round.again().await?;
        }
    }
}

/// A login on its way over the hosts of a backend, and how far it has come.
struct Round<'a> {
    backend: &'a Backend,
    request: &'a Request<'a>,
    pass: &'a Pass,
    begun: Instant,
    /// Until when a host that was not reached is asked once more.
    deadline: Instant,
    /// The times that its attempts go by.
    clock: Clock,
    /// Whether any host was reached for, in vain.
    asked: bool,
    /// The host of the user's live sessions, here.
    live: Option<String>,
    /// Those to be asked, in order.
    hosts: VecDeque<Arc<Host>>,
    /// Those to be asked once more, after a pause.
    not_reached: VecDeque<Arc<Host>>,
    /// Those that were asked since that pause.
    tried: HashSet<String>,
    /// Those that passed the login on, and what they said.
    passed_on: HashMap<String, Refusal>,
    /// The pause before a host that passed it on is asked again.
    settle: Duration,
    /// Until when the user's sessions on other hosts are waited for.
    leave_by: Instant,
    /// What the login is answered if nothing else comes.
    last: Refusal,
}

impl<'a> Round<'a> {
    fn first(backend: &'a Backend, request: &'a Request<'a>, pass: &'a Pass) -> Self {
        let (begun, config) = (Instant::now(), &backend.config);
        let one_host = config.connect_timeout + config.greeting_timeout;
        let pinned = backend.around.state.pinned(pass);
        let live = pinned.filter(|live| *live.backend == *backend.name());
        Round {
            backend,
            request,
            pass,
            begun,
            deadline: begun + config.retry_for,
            clock: Clock {
                patience: begun + one_host.max(config.retry_for),
                asked_at: begun,
            },
            asked: false,
            live: live.map(|live| live.host.to_string()),
            hosts: VecDeque::new(),
            not_reached: VecDeque::new(),
            tried: HashSet::new(),
            passed_on: HashMap::new(),
            settle: LEAVE_TICK,
            leave_by: begun + LEAVE_WAIT,
            last: backend.nowhere(),
        }
    }

    /// Right after the start the name server may not have answered yet: waits for it.
    async fn find_hosts(&mut self) -> Result<(), Refusal> {
        loop {
            let (user, fixed) = (self.request.user, self.request.host);
            let found = self.backend.preference_of_all(self.pass, user, fixed);
            self.hosts = VecDeque::from(found.await?);
            let wait = self.hosts.is_empty() && self.backend.is_lost();
            if !wait || Instant::now() + PAUSE > self.deadline {
                self.last = self.backend.nowhere();
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }

    async fn attempt(
        &mut self,
        host: &Arc<Host>,
        dialogue: &mut dyn Dialogue,
    ) -> Result<Connected, Then> {
        let (request, pass, clock) = (self.request, self.pass, &mut self.clock);
        let attempt = (self.backend).attempt(host, request, pass, dialogue, clock);
        let (failure, then) = match attempt.await {
            Ok(connected) => return Ok(connected),
            Err(failed) => failed,
        };
        // Its answer is still to be heard of, and counted.
        if then != Then::GiveUp {
            dialogue.awaits(Awaited::Turn);
        }
        self.last = Refusal {
            failure,
            host: Some(host.name().to_string()),
            took: self.clock.asked_at.elapsed(),
            then: AfterAll::Nothing,
        };
        match dialogue.is_there() {
            true => Err(then),
            // Nobody's password goes from host to host for nobody.
            false => Err(Then::GiveUp),
        }
    }

    /// What is done about a host that did not let the user in. An error: nothing, the login has its
    /// answer.
    async fn after(&mut self, then: Then, host: Arc<Host>) -> Result<(), Refusal> {
        if !matches!(then, Then::Occupied(_)) {
            self.tried.insert(host.name().to_owned());
        }
        match then {
            Then::Changed => {
                return Err(Refusal {
                    then: AfterAll::AskTheWay,
                    ..self.last.clone()
                });
            }
            Then::Occupied(there) => return self.occupied(there, host).await,
            Then::GiveUp => return Err(self.last.clone()),
            Then::Elsewhere if self.is_home(&host) => return Err(self.last.clone()),
            Then::Elsewhere => {
                let host = host.name().to_owned();
                self.passed_on.insert(host, self.last.clone());
            }
            Then::Again => {
                self.asked = true;
                self.not_reached.push_back(host);
            }
            Then::Skipped => self.not_reached.push_back(host),
        }
        Ok(())
    }

    /// Whether the user's sessions are there. A password that may be wrong sends nobody away from a host
    /// that works.
    fn is_home(&self, host: &Host) -> bool {
        let backend = self.backend;
        let presence = |place| backend.around.state.presence(self.pass, place);
        self.live.as_deref() == Some(host.name())
            && presence(&backend.place(host)) != Presence::Login
    }

    /// The user has sessions on another host than this one, or some that leave it.
    async fn occupied(&mut self, there: Option<Place>, host: Arc<Host>) -> Result<(), Refusal> {
        let begun = Instant::now();
        let here = there
            .as_ref()
            .filter(|it| *it.backend == *self.backend.name());
        let first = here.and_then(|it| Some((it, self.passed_on.get(&*it.host)?.clone())));
        if let Some((there, first)) = first {
            // It works, and sessions that the user has there are no reason to end them, of whatever
            // gateway they are.
            let pause = self.pause(there);
            match (&first.failure, pause) {
                (Failure::Refused { .. } | Failure::TooMany { .. }, Some(pause)) => {
                    sleep(pause).await;
                }
                _ => return Err(first),
            }
            self.hosts.push_front(host);
            return Ok(());
        }
        // First where the sessions are; if that one cannot be, they have to leave it.
        let there = there.filter(|_| self.request.host.is_none());
        if let Some(there) = there.and_then(|there| self.refuge(&there)) {
            self.live = Some(there.name().to_owned());
            self.hosts.retain(|other| other.name() != there.name());
            self.hosts.push_front(host);
            self.hosts.push_front(there);
        } else if self.clear_the_way(&host).await {
            self.clock.patience += begun.elapsed();
            self.hosts.push_front(host);
        } else {
            return Err(self.last.clone());
        }
        Ok(())
    }

    /// How long to wait for what else the user has on a host that passed this login on; none: it is
    /// a session, and stays.
    fn pause(&mut self, place: &Place) -> Option<Duration> {
        match self.backend.around.state.presence(self.pass, place) {
            Presence::Session => None,
            // Whether the host takes it is soon known.
            Presence::Login => (Instant::now() < self.clock.patience).then_some(LEAVE_TICK),
            // Another gateway's, or on its way out; or this login's own, not given back yet.
            Presence::Absent => {
                let pause = self.settle;
                self.settle *= 2;
                (pause <= SETTLED).then_some(pause)
            }
        }
    }

    /// The host where the user's sessions are, if new ones may go there.
    fn refuge(&self, place: &Place) -> Option<Arc<Host>> {
        let backend = self.backend;
        if *place.backend != *backend.name() || self.tried.contains(&*place.host) {
            return None;
        }
        let host = backend.host(&place.host)?;
        let over = backend.drain_of(&host).is_some_and(|drain| drain.is_over());
        (!over).then_some(host)
    }

    /// Has the user's sessions on other hosts end; whether they did in time.
    async fn clear_the_way(&self, host: &Host) -> bool {
        let place = self.backend.place(host);
        let mut ticks = LeaveTicks::default();
        while Instant::now() < self.leave_by {
            let left = self.backend.around.state.send_to(self.pass, &place).await;
            if left == 0 {
                sleep(LEAVE_TICK).await;
                return true;
            }
            sleep(ticks.next()).await;
        }
        false
    }

    /// All were asked: once more those that were not reached, after a pause. Where every host is known to
    /// be down the user is answered at once.
    async fn again(&mut self) -> Result<(), Refusal> {
        let late = Instant::now() + PAUSE > self.deadline;
        if !self.asked || self.not_reached.is_empty() || late {
            return Err(self.last.clone());
        }
        self.hosts = std::mem::take(&mut self.not_reached);
        self.tried.clear();
        sleep(PAUSE).await;
        Ok(())
    }
}

impl Backend {
    /// No host was asked.
    fn nowhere(&self) -> Refusal {
        Refusal::nowhere(match self.is_lost() {
            false => Failure::HostSetup {
                cause: "the backend has no host".into(),
            },
            true => Failure::Unreachable {
                cause: "its hosts have not been found yet".into(),
            },
        })
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
