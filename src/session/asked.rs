//! The client while its login is on its way: a host may ask it on, and it may leave.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::converse::{Said, converse};
use crate::backend::{Answering, Awaited, Dialogue};
use crate::net::{Half, Stream};
use crate::protocol::Server;
use crate::protocol::sasl::{Answer, Message};

/// How often is looked whether a client that waits is still there.
const LOOK: Duration = Duration::from_secs(1);

/// How long is waited for the answer of one that has ended its half: with the look before it, 5 s at most.
const HALF_CLOSED: Duration = Duration::from_secs(4);

/// The client, to be asked on by a host.
pub(super) struct Asked<'a> {
    pub(super) near: &'a Near<'a>,
    pub(super) server: &'a mut dyn Server,
    /// Why it does not answer any more.
    pub(super) over: Option<io::Result<Said>>,
}

impl Dialogue for Asked<'_> {
    fn awaits(&mut self, what: Awaited) {
        self.near.inner().awaited = what;
    }

    fn exchange(&mut self, challenge: Message) -> Answering<'_> {
        Box::pin(async move {
            let Some(mut lent) = self.near.lend() else {
                return Answer::Abort;
            };
            self.server.challenge(&challenge);
            let Some(stream) = &mut lent.stream else {
                return Answer::Abort;
            };
            let said = converse(stream, self.server, None, &mut |_| {}).await;
            match said {
                Ok(Said::Answer(answer)) => answer,
                said => {
                    self.over = Some(said);
                    Answer::Abort
                }
            }
        })
    }
}

/// The client's stream, to be looked at while others have the login in hand, and what that waits for.
pub(super) struct Near<'a>(Mutex<Inner<'a>>);

struct Inner<'a> {
    /// None: it is being asked.
    stream: Option<&'a mut Stream>,
    awaited: Awaited,
}

/// The stream for the time of an exchange.
struct Lent<'a, 'b> {
    near: &'b Near<'a>,
    stream: Option<&'a mut Stream>,
}

impl Drop for Lent<'_, '_> {
    fn drop(&mut self) {
        self.near.inner().stream = self.stream.take();
    }
}

impl<'a> Near<'a> {
    pub(super) fn new(stream: &'a mut Stream) -> Self {
        Near(Mutex::new(Inner {
            stream: Some(stream),
            awaited: Awaited::Turn,
        }))
    }

    /// What the login waits for.
    pub(super) fn awaited(&self) -> Awaited {
        self.inner().awaited
    }

    /// Closes the connection: the login goes on without anybody to hear of it.
    pub(super) fn close(&self) {
        if let Some(stream) = &mut self.inner().stream {
            drop(stream.take());
        }
    }

    /// Comes back when the client has left.
    pub(super) async fn left(&self) {
        left(|| {
            let inner = self.inner();
            inner.stream.as_ref().map_or(Half::Open, |it| it.half())
        })
        .await;
    }

    fn lend(&self) -> Option<Lent<'a, '_>> {
        let stream = self.inner().stream.take()?;
        Some(Lent {
            near: self,
            stream: Some(stream),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner<'a>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Comes back when a client has left that nobody reads from just then: reset its connection, or ended its
/// half a while ago.
pub(super) async fn left(half: impl Fn() -> Half) {
    let mut ended = None;
    loop {
        sleep(LOOK).await;
        match half() {
            Half::Open => ended = None,
            Half::Ended => {
                let since = *ended.get_or_insert_with(Instant::now);
                if since.elapsed() >= HALF_CLOSED {
                    return;
                }
            }
            Half::Broken => return,
        }
    }
}
