//! The client while its login is on its way: a host may ask it on, and it may leave.
//!
//! Who has left is not kept: two minutes of a hold, half a minute of a slow host. What a host judges just then
//! is judged to its end all the same, with nobody to hear of it: who could cut that off by leaving would
//! guess without being counted. So is a mailbox opened: that a host falls silent there, because it loses commands that come in
//! a burst, is learned by waiting only.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::converse::{Said, converse};
use super::leaving::leave;
use super::limits;
use crate::backend::{Answering, Awaited, Dialogue};
use crate::net::{Half, Stream};
use crate::protocol::sasl::{Answer, Message};
use crate::protocol::{Failure, Farewell, Server};

/// How often is looked whether a client that waits is still there.
const LOOK: Duration = Duration::from_secs(1);

/// How long is waited for the answer of one that has ended its half: with the look before it, 5 s at most; and as
/// long again where the answer is there and held back.
const HALF_CLOSED: Duration = Duration::from_secs(4);

/// The client, to be asked on by a host.
pub(super) struct Asked<'a> {
    pub(super) near: &'a Near<'a>,
    /// Why it does not answer any more.
    pub(super) over: Option<io::Result<Said>>,
}

impl Dialogue for Asked<'_> {
    fn awaits(&mut self, what: Awaited) {
        self.near.awaits(what);
    }

    fn is_there(&self) -> bool {
        self.near.inner().attends == Attends::Yes
    }

    fn exchange(&mut self, challenge: Message) -> Answering<'_> {
        Box::pin(async move {
            let mut lent = self.near.lend();
            let Some(Client { stream, server }) = &mut lent.client else {
                return Answer::Abort;
            };
            server.challenge(&challenge);
            match converse(stream, *server, None, None, &mut |_| {}).await {
                Ok(Said::Answer(answer)) => answer,
                said => {
                    self.over = Some(said);
                    Answer::Abort
                }
            }
        })
    }
}

/// The client, to be looked at while others have its login in hand, and what that waits for.
pub(super) struct Near<'a> {
    inner: Mutex<Inner<'a>>,
    place: &'a limits::Connection,
}

struct Inner<'a> {
    /// None: it is being asked, or it is gone.
    client: Option<Client<'a>>,
    awaited: Awaited,
    attends: Attends,
    /// When it was first seen to have ended its half.
    ended: Option<Instant>,
}

struct Client<'a> {
    stream: &'a mut Stream,
    server: &'a mut dyn Server,
}

/// Whether anybody waits for what comes of the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attends {
    Yes,
    /// The time is over, or the session was asked to end.
    No,
    /// The client left so.
    Gone(Half),
}

impl<'a> Near<'a> {
    pub(super) fn new(
        stream: &'a mut Stream,
        server: &'a mut dyn Server,
        place: &'a limits::Connection,
    ) -> Self {
        let inner = Inner {
            client: Some(Client { stream, server }),
            awaited: Awaited::Turn,
            attends: Attends::Yes,
            ended: None,
        };
        Near {
            inner: Mutex::new(inner),
            place,
        }
    }

    /// What its login waits for from now on.
    pub(super) fn awaits(&self, what: Awaited) {
        self.inner().awaited = what;
    }

    /// Whether somebody may be judging the login right now.
    pub(super) fn is_judged(&self) -> bool {
        self.inner().awaited == Awaited::Judge
    }

    /// Nobody else is to be asked: what comes of the login is not waited for.
    pub(super) fn give_up(&self) {
        let mut inner = self.inner();
        if inner.attends == Attends::Yes {
            inner.attends = Attends::No;
        }
    }

    /// How the client left, if it did.
    pub(super) fn gone(&self) -> Option<Half> {
        match self.inner().attends {
            Attends::Gone(half) => Some(half),
            Attends::Yes | Attends::No => None,
        }
    }

    /// Comes back when the client has left: reset its connection, or ended its half a while ago.
    pub(super) async fn left(&self) -> Half {
        loop {
            sleep(LOOK).await;
            let mut inner = self.inner();
            // Whoever asks it on sees by itself that it leaves.
            let half = { inner.client.as_ref() }.map_or(Half::Open, |it| it.stream.half());
            match half {
                Half::Open => inner.ended = None,
                Half::Ended => {
                    let since = *inner.ended.get_or_insert_with(Instant::now);
                    if since.elapsed() >= HALF_CLOSED {
                        return half;
                    }
                }
                Half::Broken => return half,
            }
        }
    }

    /// The client has left.
    pub(super) fn depart(&self, half: Half) {
        self.inner().attends = Attends::Gone(half);
    }

    /// Closes the connection of a client that left; who may still listen is told.
    pub(super) async fn close(&self) {
        let (half, client) = {
            let mut inner = self.inner();
            let Attends::Gone(half) = inner.attends else {
                return;
            };
            (half, inner.client.take())
        };
        let Some(Client { stream, server }) = client else {
            return;
        };
        match half {
            Half::Broken => drop(stream.take()),
            Half::Open | Half::Ended => {
                server.reject(&Failure::Left);
                leave(stream.take(), server, Farewell::Timeout, self.place).await;
            }
        }
    }

    fn lend(&self) -> Lent<'a, '_> {
        let client = self.inner().client.take();
        Lent { near: self, client }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<'a>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client for the time of an exchange.
struct Lent<'a, 'b> {
    near: &'b Near<'a>,
    client: Option<Client<'a>>,
}

impl Drop for Lent<'_, '_> {
    fn drop(&mut self) {
        self.near.inner().client = self.client.take();
    }
}
