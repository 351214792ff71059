//! A login's part in the windows of failed logins: taken before anybody judges its password, and kept until
//! what came of that is counted. What nobody judges has none: who waits for a turn, for hosts to be found or
//! for sessions to leave another host holds up nobody who shares a window.

use std::future::ready;
use std::pin::pin;

use super::{Facts, Visit};
use crate::backend::{Admission, Answering, Awaited, Dialogue};
use crate::protocol::Failure;
use crate::protocol::sasl::Message;
use crate::session::Session;

impl Session<'_> {
    /// Waits until the login may be judged beside those of its user and its address that are being
    /// judged.
    pub(super) async fn stake(&self, facts: &mut Facts) -> Result<(), Failure> {
        let (Some(tried), None) = (facts.tried, &facts.stake) else {
            return Ok(());
        };
        let (penalties, limits) = (&self.gateway.tables.penalties, &self.gateway.limits);
        let stake = penalties.stake(limits, tried).await;
        facts.stake = Some(stake.map_err(|limit| Failure::TooMany { limit })?);
        Ok(())
    }

    /// The same, no longer than there is time and the client is there.
    pub(super) async fn stake_in_time(
        &self,
        visit: &Visit<'_>,
        facts: &mut Facts,
    ) -> Result<(), Failure> {
        let staked = {
            let stake = pin!(self.stake(facts));
            self.in_time(visit, visit.deadline, stake).await
        };
        staked.map_err(|why| facts.cut(why))?
    }
}

/// The client, which is shown to a host only with its part in the windows.
pub(super) struct Judged<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) client: &'a mut dyn Dialogue,
    pub(super) facts: &'a mut Facts,
}

impl Dialogue for Judged<'_> {
    fn awaits(&mut self, what: Awaited) {
        // It goes on, so what was said of it is nothing that counts.
        if what == Awaited::Turn {
            self.facts.stake = None;
        }
        self.client.awaits(what);
    }

    fn is_there(&self) -> bool {
        self.client.is_there()
    }

    fn admission(&mut self) -> Admission<'_> {
        match self.facts.verified {
            // No guess: it was found right here, whatever a host says of it.
            Some(_) => Box::pin(ready(Ok(()))),
            None => Box::pin(self.session.stake(self.facts)),
        }
    }

    fn exchange(&mut self, challenge: Message) -> Answering<'_> {
        self.client.exchange(challenge)
    }
}
