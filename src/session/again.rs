//! Logs in to a user's host again when the connection under a translated session was lost: the
//! client need not notice.

use std::sync::Arc;

use super::translate::{Again, Connecting};
use crate::backend::{Backend, Request, Seat};
use crate::net::Stream;
use crate::protocol::{Credentials, Origin, Protocol, UserName};
use crate::state::Pass;

/// How a user's session logged in: all that is needed to do it once more.
pub(super) struct Ticket {
    pub(super) backend: Arc<Backend>,
    /// The host it was: another one may hold other messages.
    pub(super) host: String,
    pub(super) user: UserName,
    /// Held in memory, wiped with the session.
    pub(super) credentials: Credentials,
    pub(super) origin: Origin,
    /// Who the user is to the state.
    pub(super) pass: Pass,
}

/// Logs in on the same host.
pub(super) struct SameHost {
    pub(super) ticket: Ticket,
    /// The place on the host of the connection that was made last.
    pub(super) seat: Option<Seat>,
}

impl Again<Stream> for SameHost {
    fn again(&mut self, behind: Vec<u8>) -> Connecting<'_, Stream> {
        Box::pin(async move {
            self.seat = None;
            let Ticket {
                backend,
                host,
                user,
                credentials,
                origin,
                pass,
            } = &self.ticket;
            let request = Request {
                protocol: Protocol::Pop3,
                user,
                credentials,
                host: Some(host),
                origin: Some(origin.clone()),
                behind: &behind,
                pass: Some(pass),
            };
            let connected = backend.connect(request).await.ok()?;
            if connected.speaks != Protocol::Imap {
                return None;
            }
            self.seat = Some(connected.seat);
            Some((connected.stream, connected.welcome))
        })
    }
}
