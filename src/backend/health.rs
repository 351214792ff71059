//! Whether the endpoints of a host can be reached: rise and fall, as probes and real logins tell it.
//!
//! Each protocol's endpoint is judged for itself: a POP3 port that refuses says nothing about IMAP.
//! An endpoint counts as up until shown otherwise. While somebody probes it, it goes down after
//! `fall` failures in a row, of probes and logins together, and comes back after `rise` good probes,
//! or with one login that was under way and succeeded; meanwhile users are answered at once. Where
//! nobody probes, logins are all there is: the first failure counts, and then one login in each
//! [`PAUSE`] may ask. The clock comes in as an argument; who probes is in `probe`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::config::Health as Settings;
use crate::net::descriptors;
use crate::protocol::{Failure, Protocol};

/// How long a host that could not be reached is left alone: it is asked at most twice a second,
/// however many users want it, and everybody else is answered at once.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// The health of a host's endpoints.
#[derive(Debug)]
pub(super) struct Health {
    rules: Mutex<Option<Rules>>,
    pulses: Mutex<[Pulse; Protocol::ALL.len()]>,
    /// An endpoint went down: who waits for a turn there need not wait any longer.
    fell: Notify,
    /// An endpoint is in doubt: its probe is due.
    doubted: [Notify; Protocol::ALL.len()],
}

/// When probes decide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    rise: u32,
    fall: u32,
}

/// One endpoint.
#[derive(Clone, Debug, Default)]
struct Pulse {
    /// How many probe it: two, while settings are changed.
    probers: u32,
    beat: Beat,
}

#[derive(Clone, Debug)]
enum Beat {
    Up {
        /// Failures in a row.
        bad: u32,
    },
    Down {
        since: Instant,
        why: Failure,
        /// Good probes in a row.
        good: u32,
        /// When a login may ask, where nobody probes.
        again: Instant,
    },
}

impl Default for Beat {
    fn default() -> Self {
        Beat::Up { bad: 0 }
    }
}

/// What became of an endpoint by a report; worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    WentDown,
    CameBack {
        /// How long it was down.
        after: Duration,
    },
}

/// Who has a word on an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Probe,
    Login,
}

/// How soon the next probe is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// All is well: the interval of the settings.
    Calm,
    /// In doubt, or down: after [`PAUSE`].
    Alert,
}

impl Rules {
    pub(super) fn of(settings: Option<&Settings>) -> Option<Self> {
        settings.map(|it| Rules {
            rise: it.rise.max(1),
            fall: it.fall.max(1),
        })
    }
}

impl Health {
    pub(super) fn new(settings: Option<&Settings>) -> Self {
        Health {
            rules: Mutex::new(Rules::of(settings)),
            pulses: Mutex::default(),
            fell: Notify::new(),
            doubted: Default::default(),
        }
    }

    /// Goes by other rules from now on; what is known stays.
    pub(super) fn go_by(&self, rules: Option<Rules>) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    fn rules(&self) -> Option<Rules> {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why an endpoint is down, while one is.
    pub(super) fn last_failure(&self) -> Option<Failure> {
        self.lock().iter().find_map(|pulse| match &pulse.beat {
            Beat::Up { .. } => None,
            Beat::Down { why, .. } => Some(why.clone()),
        })
    }

    /// Why this endpoint is down, while it is.
    pub(super) fn failure_of(&self, endpoint: Protocol) -> Option<Failure> {
        self.of(endpoint, |pulse| match &pulse.beat {
            Beat::Up { .. } => None,
            Beat::Down { why, .. } => Some(why.clone()),
        })
    }

    /// May a login ask this endpoint now? If not: why it is down.
    pub(super) fn ask(&self, endpoint: Protocol, now: Instant) -> Result<(), Failure> {
        self.of(endpoint, |pulse| match &mut pulse.beat {
            Beat::Up { .. } => Ok(()),
            Beat::Down { again, .. } if pulse.probers == 0 && *again <= now => {
                *again = now + PAUSE;
                Ok(())
            }
            Beat::Down { why, .. } => Err(why.clone()),
        })
    }

    /// An endpoint answered as it should.
    pub(super) fn good(&self, endpoint: Protocol, by: By, now: Instant) -> Change {
        let rise = self.rules().map_or(1, |rules| rules.rise);
        self.of(endpoint, |pulse| match &mut pulse.beat {
            Beat::Up { bad } => {
                *bad = 0;
                Change::None
            }
            Beat::Down { good, since, .. } => {
                *good = good.saturating_add(1);
                if by == By::Probe && *good < rise {
                    return Change::None;
                }
                let after = now.saturating_duration_since(*since);
                pulse.beat = Beat::default();
                Change::CameBack { after }
            }
        })
    }

    /// An endpoint could not be reached, or did not answer as it should.
    pub(super) fn bad(&self, endpoint: Protocol, by: By, why: &Failure, now: Instant) -> Change {
        // No descriptors: that is our trouble and not the host's.
        if matches!(why, Failure::Unreachable { .. }) && descriptors::are_scarce() {
            return Change::None;
        }
        let fall = self.rules().map_or(1, |rules| rules.fall);
        let change = self.of(endpoint, |pulse| match &mut pulse.beat {
            Beat::Up { bad } => {
                *bad = bad.saturating_add(1);
                if pulse.probers > 0 && *bad < fall {
                    return Change::None;
                }
                pulse.beat = Beat::Down {
                    since: now,
                    why: why.clone(),
                    good: 0,
                    again: now + PAUSE,
                };
                Change::WentDown
            }
            Beat::Down {
                why: old,
                good,
                again,
                ..
            } => {
                *old = why.clone();
                *good = 0;
                *again = now + PAUSE;
                Change::None
            }
        });
        if change == Change::WentDown {
            self.fell.notify_waiters();
        }
        if by == By::Login {
            self.doubt(endpoint);
        }
        change
    }

    /// Asks for the next probe of an endpoint soon.
    pub(super) fn doubt(&self, endpoint: Protocol) {
        self.doubts(endpoint).notify_one();
    }

    /// Whether an endpoint is down.
    pub(super) fn is_down(&self, endpoint: Protocol) -> bool {
        self.of(endpoint, |pulse| matches!(pulse.beat, Beat::Down { .. }))
    }

    /// How soon to look again.
    pub(super) fn pace(&self, endpoint: Protocol) -> Pace {
        self.of(endpoint, |pulse| match pulse.beat {
            Beat::Up { bad: 0 } => Pace::Calm,
            Beat::Up { .. } | Beat::Down { .. } => Pace::Alert,
        })
    }

    /// Somebody probes this endpoint from now on, until the guard is dropped.
    pub(super) fn probed(&self, endpoint: Protocol) -> Probed<'_> {
        self.of(endpoint, |pulse| {
            pulse.probers = pulse.probers.saturating_add(1);
        });
        Probed {
            health: self,
            endpoint,
        }
    }

    /// Waits until an endpoint is doubted: a login could not reach it.
    pub(super) async fn doubted(&self, endpoint: Protocol) {
        self.doubts(endpoint).notified().await;
    }

    /// For whoever waits for a turn: notified when an endpoint goes down.
    pub(super) fn fell(&self) -> &Notify {
        &self.fell
    }

    fn doubts(&self, endpoint: Protocol) -> &Notify {
        let [imap, pop3] = &self.doubted;
        match endpoint {
            Protocol::Imap => imap,
            Protocol::Pop3 => pop3,
        }
    }

    fn of<T>(&self, endpoint: Protocol, look: impl FnOnce(&mut Pulse) -> T) -> T {
        let [imap, pop3] = &mut *self.lock();
        look(match endpoint {
            Protocol::Imap => imap,
            Protocol::Pop3 => pop3,
        })
    }

    /// A panic elsewhere leaves these small values whole.
    fn lock(&self) -> MutexGuard<'_, [Pulse; Protocol::ALL.len()]> {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that an endpoint is being probed, as long as it lives.
pub(super) struct Probed<'a> {
    health: &'a Health,
    endpoint: Protocol,
}

impl Drop for Probed<'_> {
    fn drop(&mut self) {
        self.health.of(self.endpoint, |pulse| {
            pulse.probers = pulse.probers.saturating_sub(1);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHY: Failure = Failure::TimedOut { state: "connect" };
    const IMAP: Protocol = Protocol::Imap;

    fn three_and_two() -> Health {
        Health::new(Some(&Settings {
            rise: 2,
            fall: 3,
            ..Settings::default()
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn rise_and_fall() {
        let health = three_and_two();
        let _probed = health.probed(IMAP);
        // `x` a failure, `p` a good probe, `l` a good login; behind each the state, small where it
        // did not change.
        for (events, states) in [
            ("xxx", "uuD"),
            ("ppxpp", "dUuuu"),
            ("xpxxlxxx", "uuuuuuuD"),
            ("pxpxpp", "dddddU"),
            ("xxxl", "uuDU"),
            ("xxxxpxxpp", "uuDdddddU"),
        ] {
            let mut got = String::new();
            for event in events.chars() {
                let now = Instant::now();
                let change = match event {
                    'x' => health.bad(IMAP, By::Login, &WHY, now),
                    'p' => health.good(IMAP, By::Probe, now),
                    _ => health.good(IMAP, By::Login, now),
                };
                got.push(match change {
                    Change::WentDown => 'D',
                    Change::CameBack { .. } => 'U',
                    Change::None if health.last_failure().is_some() => 'd',
                    Change::None => 'u',
                });
            }
            assert_eq!(got, states, "{events}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_is_probed_is_not_asked_by_logins() {
        let health = three_and_two();
        let probed = health.probed(IMAP);
        for _ in 0..3 {
            health.bad(IMAP, By::Login, &WHY, Instant::now());
        }
        tokio::time::sleep(PAUSE * 10).await;
        assert_eq!(health.ask(IMAP, Instant::now()), Err(WHY));
        assert_eq!(health.ask(Protocol::Pop3, Instant::now()), Ok(()));
        drop(probed);
        assert_eq!(health.ask(IMAP, Instant::now()), Ok(()));
        assert_eq!(health.ask(IMAP, Instant::now()), Err(WHY));
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_probes_the_first_failure_counts() {
        let health = three_and_two();
        assert_eq!(
            health.bad(IMAP, By::Login, &WHY, Instant::now()),
            Change::WentDown
        );
        assert_eq!(health.ask(IMAP, Instant::now()), Err(WHY));
        tokio::time::sleep(PAUSE).await;
        assert_eq!(health.ask(IMAP, Instant::now()), Ok(()));
        let back = health.good(IMAP, By::Login, Instant::now());
        assert_eq!(back, Change::CameBack { after: PAUSE });
    }

    #[tokio::test(start_paused = true)]
    async fn doubt_hurries_the_next_probe() {
        let health = three_and_two();
        let _probed = health.probed(IMAP);
        assert_eq!(health.pace(IMAP), Pace::Calm);
        health.bad(IMAP, By::Login, &WHY, Instant::now());
        health.doubted(IMAP).await;
        assert_eq!(health.pace(IMAP), Pace::Alert);
        assert_eq!(health.pace(Protocol::Pop3), Pace::Calm);
        health.good(IMAP, By::Probe, Instant::now());
        assert_eq!(health.pace(IMAP), Pace::Calm);
    }
}
