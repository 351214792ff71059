//! The end: the world notices, listeners close, sessions get their goodbye, spread over time so that
//! clients do not all come back at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use xxhash_rust::xxh3::xxh3_64;

use super::{End, notify};
use crate::protocol::Farewell;
use crate::session::registry::{Filter, Live};
use crate::session::{Registry, Timeouts, limits};

/// How often a drain looks who is due, and whether the last session is gone.
const TICK: Duration = Duration::from_millis(50);

/// How long who has not logged in may still do so.
const LOGIN: Duration = Duration::from_secs(5);

/// The end of the drain time that is kept for the process's own end: at most this, and at most a tenth.
const MARGIN: Duration = Duration::from_millis(500);

/// Lets the world notice, closes the listeners, says goodbye to sessions, waits for them; in all no
/// longer than `drain_delay` and `drain`. Whoever is followed by another process is missed by nobody,
/// so it does not wait first. `tables` count the connections that are no session yet.
pub(super) async fn drain(
    registry: &Registry,
    tables: &limits::Tables,
    timeouts: &Timeouts,
    why: End,
    stop: watch::Sender<bool>,
) {
    tracing::info!(event = "drain", sessions = registry.count());
    match why {
        End::Stops => {
            notify::stopping(timeouts.drain_delay + timeouts.drain);
            sleep(timeouts.drain_delay).await;
        }
        End::IsFollowed => {}
    }
    let _ = stop.send(true);
    let began = Instant::now();
    let mut goodbyes = Goodbyes::over(timeouts.drain);
    let gone = async {
        loop {
            let sessions = registry.list(&Filter::default());
            for session in goodbyes.due(sessions, began.elapsed()) {
                session.end(Farewell::Shutdown);
            }
            // Once in any case: a connection that was accepted just now is counted nowhere yet.
            sleep(TICK).await;
            // One that is shaking hands becomes a session yet.
            if registry.count() == 0 && tables.connections() == 0 {
                break;
            }
        }
    };
    let margin = MARGIN.min(timeouts.drain / 10);
    let _ = timeout(timeouts.drain.saturating_sub(margin), gone).await;
}

/// Drains until it is done or somebody has no patience any more.
pub(super) async fn until(
    drained: impl Future<Output = ()>,
    asked_again: impl Future<Output = ()>,
) {
    tokio::select! {
        () = drained => {}
        () = asked_again => {
            tracing::warn!(event = "stop", "asked again: not waiting for sessions");
        }
    }
}

/// When each session is told. Those that are there at the beginning are told one after the other,
/// at even distances; who logs in later, at some moment of what remains. The last quarter of the
/// time is for those that are told and have something to finish.
struct Goodbyes {
    spread: Duration,
    /// By session id, for those that are logged in.
    moments: HashMap<String, Duration>,
}

impl Goodbyes {
    fn over(drain: Duration) -> Self {
        Goodbyes {
            spread: drain * 3 / 4,
            moments: HashMap::new(),
        }
    }

    /// Of the sessions that are there after some time, those that are to be told; once told they may
    /// come again.
    fn due(&mut self, sessions: Vec<Arc<Live>>, elapsed: Duration) -> Vec<Arc<Live>> {
        let first = elapsed < TICK;
        let in_all = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
        let mut count = 0_u32;
        let mut due = Vec::new();
        for session in sessions {
            let moment = match (session.login.get(), self.moments.get(&session.id)) {
                (None, _) => LOGIN.min(self.spread),
                (Some(_), Some(moment)) => *moment,
                (Some(_), None) => {
                    let moment = match first {
                        true => self.spread / in_all.max(1) * count,
                        false => elapsed + share(&session.id, self.spread.saturating_sub(elapsed)),
                    };
                    count += 1;
                    self.moments.insert(session.id.clone(), moment);
                    moment
                }
            };
            if moment <= elapsed {
                due.push(session);
            }
        }
        due
    }
}

/// Some part of a time, another for each id.
fn share(id: &str, of: Duration) -> Duration {
    let permille = u32::try_from(xxh3_64(id.as_bytes()) % 1000).unwrap_or(0);
    of / 1000 * permille
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;
    use crate::session::Limits;
    use crate::session::registry::{Entry, LoggedIn};

    fn enter(registry: &Arc<Registry>, id: usize) -> Entry {
        let client = "192.0.2.1:40000".parse().unwrap();
        registry.enter(id.to_string(), Protocol::Imap, client, None)
    }

    fn log_in(session: &Live) {
        let login = LoggedIn {
            user: "alice".into(),
            canonical: "alice".into(),
            backend: "old".into(),
            host: "h1".into(),
            state: "relay",
        };
        assert!(session.login.set(login).is_ok());
    }

    #[test]
    fn goodbyes_are_spread_and_the_last_quarter_is_quiet() {
        let registry = Arc::new(Registry::default());
        let sessions: Vec<_> = (0..300).map(|id| enter(&registry, id)).collect();
        sessions.iter().for_each(|session| log_in(session));
        let mut goodbyes = Goodbyes::over(Duration::from_secs(40));
        let mut told = Vec::new();
        for second in 0..40 {
            let all = registry.list(&Filter::default());
            told.push(goodbyes.due(all, Duration::from_secs(second)).len());
        }
        assert_eq!(told[0], 1);
        for pair in told[..30].windows(2) {
            assert_eq!(pair[1] - pair[0], 10, "{told:?}");
        }
        assert!(told[30..].iter().all(|told| *told == 300), "{told:?}");
    }

    #[test]
    fn a_login_in_flight_is_waited_for_and_then_lives_a_while() {
        let registry = Arc::new(Registry::default());
        let sessions: Vec<_> = (0..100).map(|id| enter(&registry, id)).collect();
        let mut goodbyes = Goodbyes::over(Duration::from_secs(40));
        let mut due = |registry: &Registry, at| {
            let all = registry.list(&Filter::default());
            goodbyes.due(all, Duration::from_millis(at)).len()
        };
        log_in(&sessions[99]);
        assert_eq!(due(&registry, 0), 1);
        assert_eq!(due(&registry, 4_900), 1);
        sessions[..98].iter().for_each(|session| log_in(session));
        let at_once = due(&registry, 4_950);
        assert!(at_once < 4, "{at_once}");
        // One has still not logged in.
        assert_eq!(due(&registry, 5_000), at_once + 1);
        assert_eq!(due(&registry, 30_000), 100);
    }

    #[test]
    fn without_time_all_are_told_at_once() {
        let registry = Arc::new(Registry::default());
        let sessions: Vec<_> = (0..3).map(|id| enter(&registry, id)).collect();
        log_in(&sessions[0]);
        let mut goodbyes = Goodbyes::over(Duration::ZERO);
        let all = registry.list(&Filter::default());
        assert_eq!(goodbyes.due(all, Duration::ZERO).len(), 3);
    }

    /// It was accepted just before the listeners closed, and its task comes to count it.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_counted_late_is_waited_for() {
        let (registry, tables) = (Registry::default(), Arc::new(limits::Tables::default()));
        let timeouts = Timeouts {
            drain: Duration::from_secs(40),
            ..Timeouts::default()
        };
        let (stop, stopped) = watch::channel(false);
        let drained = drain(&registry, &tables, &timeouts, End::IsFollowed, stop);
        let mut drained = std::pin::pin!(drained);
        assert!(timeout(Duration::ZERO, drained.as_mut()).await.is_err());
        assert!(*stopped.borrow());
        let place = tables.enter(&Limits::default()).unwrap();
        let mut wait = async |seconds| timeout(Duration::from_secs(seconds), &mut drained).await;
        assert!(wait(20).await.is_err());
        drop(place);
        assert!(wait(10).await.is_ok());
    }
}
