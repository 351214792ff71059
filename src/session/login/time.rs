//! How long a login may take, whatever it waits for: `timeouts.login`, from accept. Only a hold has a time
//! of its own, and what is left behind it is what was left before.

use tokio::time::{Instant, sleep_until};

use super::Facts;
use crate::protocol::{Failure, Farewell};
use crate::session::Session;

/// The time for login is over, whatever would have come of it. It is the settings' name for the log.
pub(in crate::session) const LATE: Failure = Failure::TimedOut {
    state: "timeouts.login",
};

impl Session<'_> {
    /// Goes on with a part of an attempt until then, or until the session is asked to end. What the part
    /// had taken is given back where it is cut off.
    pub(super) async fn in_time<T>(
        &self,
        until: Instant,
        part: impl Future<Output = T>,
    ) -> Result<T, Farewell> {
        tokio::select! {
            biased;
            done = part => Ok(done),
            () = sleep_until(until) => Err(Farewell::Timeout),
            reason = self.live.end_asked() => Err(reason),
        }
    }
}

impl Facts {
    /// The attempt is cut off, and the session over. That says nothing of the password.
    pub(super) fn cut(&mut self, why: Farewell) -> Failure {
        self.over = Some(why);
        match why {
            Farewell::Timeout => LATE,
            _ => Failure::Unreachable {
                cause: "the session was asked to end first".into(),
            },
        }
    }
}
