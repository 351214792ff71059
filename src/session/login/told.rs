//! What an attempt is told to: the host hears who the client is, the log what came of it.

use std::time::Duration;

use super::Facts;
use crate::observe::metrics;
use crate::protocol::{Failure, Mechanism, Origin, Refused, Transport, UserName};
use crate::session::Session;

/// How many gateways a login may pass behind us: what is left is told to the host.
const TTL: u8 = 7;

/// What is left behind us of what the client was told; 0: the login goes round in circles.
pub(super) fn ttl(told: Option<u8>) -> u8 {
    told.map_or(TTL, |told| TTL.min(told.saturating_sub(1)))
}

impl Session<'_> {
    /// Who the client is, for the host. Nobody is told who has no TTL left.
    pub(super) fn origin(&self, told: Option<u8>) -> Origin {
        Origin {
            client: self.peer.client,
            connected: self.peer.local,
            session: self.live.id.clone(),
            ttl: ttl(told),
            transport: match self.live.tls.get() {
                Some(_) => Transport::Tls,
                None => Transport::Insecure,
            },
        }
    }

    /// An attempt that was refused before anybody was asked.
    pub(in crate::session) fn log_refused(&self, refused: &Refused) {
        let who = (refused.user.as_ref(), refused.mechanism);
        self.log_login(who, &Facts::default(), Some(&refused.failure), None);
    }

    /// `user` and `mechanism`: as far as they are known.
    pub(super) fn log_login(
        &self,
        (user, mechanism): (Option<&UserName>, Option<Mechanism>),
        facts: &Facts,
        failure: Option<&Failure>,
        took: Option<Duration>,
    ) {
        let result = failure.map_or("ok", Failure::code);
        let reason = failure.map(ToString::to_string);
        let metrics = &self.gateway.metrics;
        metrics.login(self.front.protocol, failure, took);
        if let Some(Failure::TooMany { limit }) = failure {
            metrics.refused(metrics::Refused::limit(*limit));
        }
        tracing::info!(
            target: "gatepost",
            event = "login",
            result,
            protocol = self.front.protocol.as_str(),
            user = user.map(UserName::as_str),
            client = %self.peer.client,
            mechanism = mechanism.map(Mechanism::as_str),
            tls = self.live.tls.get(),
            backend = facts.backend.as_deref(),
            host = facts.host.as_deref(),
            session = self.live.id.as_str(),
            took = took.unwrap_or_default().as_secs_f64(),
            reason = reason.as_deref(),
        );
    }
}
