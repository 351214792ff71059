//! A login to be made on a backend, and what comes of it.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::Seat;
use crate::net::Stream;
use crate::protocol::sasl;
use crate::protocol::{Credentials, Failure, Origin, Protocol, UserName, Welcome};
use crate::state::Pass;

/// A login to be made on a host of a backend.
#[derive(Debug)]
pub struct Request<'a> {
    /// What the client speaks. A POP3 client of a host without a POP3 endpoint gets an IMAP
    /// connection: see [`Connected::speaks`].
    pub protocol: Protocol,
    /// The name to log in with.
    pub user: &'a UserName,
    /// What proves it.
    pub credentials: &'a Credentials,
    /// A fixed host, by name.
    pub host: Option<&'a str>,
    /// Who the client is, to be told to the host.
    pub origin: Option<Origin>,
    /// Commands for an IMAP host of a POP3 client, to be sent behind the login where the host bears
    /// it. Not used for connections that are relayed.
    pub behind: &'a [u8],
    /// Who the user is to the state, and what was decided; none: known by the login name only.
    pub pass: Option<&'a Pass>,
    /// The place of a session whose connection was lost and is made again: it counts on the host
    /// already. Keep it for longer than [`Connected::seat`].
    pub seat: Option<&'a Seat>,
}

/// Whoever holds the mail client while a host decides on its login.
pub trait Dialogue: Send {
    /// What the login waits for from now on.
    fn awaits(&mut self, _: Awaited) {}

    /// Whether it waits for what comes of the login. If not, no other host is asked.
    fn is_there(&self) -> bool {
        true
    }

    /// Comes back when its credentials may be shown to a host beside those of others; at once, as a rule. Asked
    /// of again for each host.
    ///
    /// # Errors
    /// That they are not to be shown to any.
    fn admission(&mut self) -> Admission<'_> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Passes a challenge of the host's on and brings the answer: [`sasl::Answer::Abort`] where the
    /// client gave up or is gone.
    fn exchange(&mut self, challenge: sasl::Message) -> Answering<'_>;
}

/// Longest wait for a mail client's answer to a challenge: programs answer those, not people, and at once.
/// What takes longer is a slow network at most, or somebody who only wants to keep a host busy.
pub const ANSWER: Duration = Duration::from_secs(10);

/// What a login waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Its turn, or a host that can be asked: nobody has seen its credentials, or nobody who judges them.
    Turn,
    /// Whoever may be judging it: a host, as a rule.
    Judge,
}

/// What comes of [`Dialogue::admission`].
pub type Admission<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// What comes of [`Dialogue::exchange`].
pub type Answering<'a> = Pin<Box<dyn Future<Output = sasl::Answer> + Send + 'a>>;

/// No mail client at all.
pub struct Nobody;

impl Dialogue for Nobody {
    fn exchange(&mut self, _: sasl::Message) -> Answering<'_> {
        Box::pin(std::future::ready(sasl::Answer::Abort))
    }
}

/// A connection that is logged in.
pub struct Connected {
    /// The host's stream.
    pub stream: Stream,
    /// What the host speaks: the client's protocol, or IMAP for a POP3 session to be translated.
    pub speaks: Protocol,
    /// The host's yes, with the bytes already read.
    pub welcome: Welcome,
    /// The session's place on the host: keep it as long as the session lives.
    pub seat: Seat,
    /// When the time for the login is over, where more belongs to it than the host's yes.
    pub until: Instant,
}

/// A login that failed, and on which host, if one was chosen.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Why.
    pub failure: Failure,
    /// The last host that was tried.
    pub host: Option<String>,
    /// How long that one took, from when it was reached for: a login may have waited before, for a turn
    /// or at other hosts. Says something of a host that was asked.
    pub took: Duration,
    /// What is to be done about it.
    pub then: AfterAll,
}

/// What is to be done about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterAll {
    /// It is the answer.
    Nothing,
    /// The user was held or moved meanwhile: the way is to be asked again.
    AskTheWay,
}

impl Refusal {
    pub(super) fn nowhere(failure: Failure) -> Self {
        Refusal {
            failure,
            host: None,
            took: Duration::ZERO,
            then: AfterAll::Nothing,
        }
    }
}
