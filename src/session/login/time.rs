//! How long a login may take, whatever it waits for: `timeouts.login`, from accept. A hold has a time of its
//! own, and what is left behind it is what was left before. So has whoever judges the password, a lookup
//! service or a host: to its end, as each has a limit, or a guess could be cut off before it is counted. Nothing else is
//! waited for once the client has left.

use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::{Facts, Visit};
use crate::backend::Awaited;
use crate::net::Half;
use crate::protocol::{Failure, Farewell};
use crate::session::Session;

/// The time for login is over, whatever would have come of it. It is the settings' name for the log.
const LATE: Failure = Failure::TimedOut {
    state: "timeouts.login",
};

/// How often is looked whether a host still judges a login whose time is over.
const JUDGED: Duration = Duration::from_millis(100);

/// How long a mailbox may take to open at least: a host that let its user in with the last of the login's
/// time is not cut off with its next answer on the way.
const LEAST: Duration = Duration::from_secs(1);

/// What is left of a host's time for a login, to open the mailbox in.
pub(super) fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(LEAST)
}

/// Why an attempt is cut off. That says nothing of the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The time is over, or the session was asked to end.
    Over(Farewell),
    /// The client left, so.
    Left(Half),
}

/// Goes on with a part of an attempt as long as the client is there.
pub(super) async fn unless_left<T>(
    visit: &Visit<'_>,
    part: impl Future<Output = T>,
) -> Result<T, Cut> {
    let part = pin!(part);
    let half = tokio::select! {
        biased;
        done = part => return Ok(done),
        half = visit.near.left() => half,
    };
    visit.near.depart(half);
    Err(Cut::Left(half))
}

impl Session<'_> {
    /// Goes on with a part of an attempt until then, or until the session is asked to end or its client has
    /// left, unless a host is judging it just then. A part that is cut off is to be dropped: that gives back what it
    /// had taken.
    pub(super) async fn in_time<T>(
        &self,
        visit: &Visit<'_>,
        until: Instant,
        mut part: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Cut> {
        let near = visit.near;
        let cut = tokio::select! {
            biased;
            done = &mut part => return Ok(done),
            () = sleep_until(until) => Cut::Over(Farewell::Timeout),
            reason = self.live.end_asked() => Cut::Over(reason),
            half = near.left() => Cut::Left(half),
        };
        // At once, as it keeps the part from going on with somebody else.
        match cut {
            Cut::Over(_) => near.give_up(),
            Cut::Left(half) => near.depart(half),
        }
        if !near.is_judged() {
            return Err(cut);
        }
        let judged = async {
            while near.is_judged() {
                if let Ok(done) = timeout(JUDGED, &mut part).await {
                    return Some(done);
                }
            }
            None
        };
        let ((), done) = tokio::join!(near.close(), judged);
        done.ok_or(cut)
    }
}

impl Session<'_> {
    /// Goes on with a part in which an attempt is judged, to its end; a client that has left meanwhile is let
    /// go.
    pub(super) async fn to_its_end<T>(
        &self,
        visit: &Visit<'_>,
        part: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Cut> {
        visit.near.awaits(Awaited::Judge);
        let done = self.in_time(visit, visit.deadline, part).await;
        visit.near.awaits(Awaited::Turn);
        done
    }
}

impl Facts {
    /// The attempt is cut off, and the session over.
    pub(super) fn cut(&mut self, why: Cut) -> Failure {
        match why {
            Cut::Over(reason) => {
                self.over = Some(reason);
                match reason {
                    Farewell::Timeout => LATE,
                    _ => Failure::Unreachable {
                        cause: "the session was asked to end first".into(),
                    },
                }
            }
            Cut::Left(_) => Failure::Left,
        }
    }
}
