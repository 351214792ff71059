//! How long a login may take, whatever it waits for: `timeouts.login`, from accept. A hold has a time of its
//! own, and what is left behind it is what was left before. So has whoever judges the password, a lookup
//! service or a host: to its end, as each has a limit, or a guess could be cut off before it is counted.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::{Facts, Visit};
use crate::backend::Awaited;
use crate::protocol::{Failure, Farewell};
use crate::session::Session;

/// The time for login is over, whatever would have come of it. It is the settings' name for the log.
const LATE: Failure = Failure::TimedOut {
    state: "timeouts.login",
};

/// How often is looked whether a host still judges a login whose time is over.
const LOOK: Duration = Duration::from_millis(100);

/// How long a mailbox may take to open at least: a host that let its user in with the last of the login's
/// time is not cut off with its next answer on the way.
const LEAST: Duration = Duration::from_secs(1);

/// What is left of a host's time for a login, to open the mailbox in.
pub(super) fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(LEAST)
}

/// Why an attempt is cut off. That says nothing of the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Cut {
    /// The time is over, or the session was asked to end.
    Asked(Farewell),
    /// Nobody is there any more to hear what came of it.
    Left,
}

impl Cut {
    /// Whether what the login waits for is waited for all the same.
    fn spares(self, awaited: Awaited) -> bool {
        match (awaited, self) {
            (Awaited::Turn, _) | (Awaited::Mailbox, Cut::Left) => false,
            (Awaited::Judge, _) | (Awaited::Mailbox, Cut::Asked(_)) => true,
        }
    }
}

/// Goes on with a part of an attempt as long as the client is there.
pub(super) async fn unless_left<T>(
    visit: &Visit<'_>,
    part: impl Future<Output = T>,
) -> Result<T, Cut> {
    tokio::select! {
        biased;
        done = part => Ok(done),
        () = visit.near.left() => Err(Cut::Left),
    }
}

impl Session<'_> {
    /// Goes on with a part of an attempt until then, or until the session is asked to end or its client has
    /// left, unless a host is judging it just then: what a client that left has open here is closed, what
    /// it has there is not. What the part had taken is given back where it is cut off.
    pub(super) async fn in_time<T>(
        &self,
        visit: &Visit<'_>,
        until: Instant,
        part: impl Future<Output = T>,
    ) -> Result<T, Cut> {
        let mut part = std::pin::pin!(part);
        let why = tokio::select! {
            biased;
            done = &mut part => return Ok(done),
            () = sleep_until(until) => Cut::Asked(Farewell::Timeout),
            reason = self.live.end_asked() => Cut::Asked(reason),
            () = visit.near.left() => {
                visit.near.close();
                Cut::Left
            }
        };
        while why.spares(visit.near.awaited()) {
            if let Ok(done) = timeout(LOOK, &mut part).await {
                return Ok(done);
            }
        }
        Err(why)
    }
}

impl Facts {
    /// The attempt is cut off, and the session over.
    pub(super) fn cut(&mut self, why: Cut) -> Failure {
        self.over = Some(why);
        match why {
            Cut::Asked(Farewell::Timeout) => LATE,
            Cut::Asked(_) => Failure::Unreachable {
                cause: "the session was asked to end first".into(),
            },
            Cut::Left => Failure::Left,
        }
    }
}
