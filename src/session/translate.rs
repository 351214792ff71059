//! Serves a POP3 maildrop from an IMAP host: the IO around two pure cores, [`Maildrop`] towards the
//! client, [`Mailbox`](crate::protocol::imap::mailbox::Mailbox) towards the host.
//!
//! [`prepare`] gives the commands that open the mailbox, to be sent behind the login; [`open`] waits
//! until the host said yes to them, so that a login is accepted only for a mailbox that is open;
//! [`serve`] does the rest. Octets move through buffers that are taken while something moves and
//! given back while nothing does. Who does not read is not read for: a client's back-pressure
//! reaches the host's socket.

mod ends;
mod guard;
mod leaving;
mod losing;
mod measure;
mod open;
mod serving;
mod talk;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};

use super::Ended;
use super::held::POOL;
use super::traffic::Traffic;
use crate::protocol::imap::snapshot::Snapshot;
use crate::protocol::pop3::Settings;
use crate::protocol::pop3::maildrop::{Counts, Maildrop, Progress};
use crate::protocol::{Farewell, Welcome};
use ends::{ReadEnd, WriteEnd};
pub use guard::Guard;
use leaving::Leaving;
pub use open::{Opened, Opening, Pipelining, Unopened, open, prepare};
use serving::{Removal, Serving, Turn};

/// How long is waited for either side when the session is over: for the client's last octets, for the
/// host's flags, no more.
const LEAVING: Duration = Duration::from_secs(5);

/// What is due to either side when a login was accepted.
#[derive(Debug, Default)]
pub struct First {
    /// To be written to the client first.
    pub to_client: Vec<u8>,
    /// Commands that the client sent behind its login.
    pub from_client: Vec<u8>,
}

/// How a translated session ended.
#[derive(Debug)]
pub struct Served {
    /// Which side, and why.
    pub ended: Ended,
    /// The state it ended in, for the log.
    pub state: &'static str,
    /// What was done.
    pub counts: Counts,
    /// What the mailbox holds now, as far as that is certain: to be given to the user's next
    /// [`prepare`].
    pub remainder: Option<Arc<Snapshot>>,
}

/// What a session is served by.
#[derive(Debug)]
pub struct Terms<'a> {
    /// How a maildrop is made from a mailbox.
    pub settings: &'a Settings,
    /// The session's id, for failure texts.
    pub session: String,
    /// How long a client may be silent.
    pub idle: Duration,
    /// What moves is counted here.
    pub traffic: &'a Traffic,
}

/// Logs in to the user's host again, in place of a connection that was lost.
pub trait Again<H>: Send {
    /// A new connection, with `behind` sent behind the login as far as the host bears it; `None` if
    /// it cannot be had.
    fn again(&mut self, behind: Vec<u8>) -> Connecting<'_, H>;
}

/// A connection on its way.
pub type Connecting<'a, H> = Pin<Box<dyn Future<Output = Option<(H, Welcome)>> + Send + 'a>>;

/// What is lost is lost.
#[derive(Clone, Copy, Debug)]
pub struct Never;

impl<H> Again<H> for Never {
    fn again(&mut self, _behind: Vec<u8>) -> Connecting<'_, H> {
        Box::pin(async { None })
    }
}

/// Serves a maildrop until the session ends; what `stop` gives resolves when the gateway wants it to, for
/// another reason than was heard before.
pub async fn serve<C, H, A, S>(
    client: &mut C,
    first: First,
    opened: Opened<H>,
    terms: Terms<'_>,
    again: A,
    mut stop: impl FnMut(Option<Farewell>) -> S,
) -> Served
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
    A: Again<H>,
    S: Future<Output = Farewell>,
{
    let Terms {
        settings,
        session,
        idle,
        traffic,
    } = terms;
    let Opened {
        talk,
        opened,
        guard,
    } = opened;
    let now = Instant::now();
    let mut serving = Serving {
        client,
        host: talk.host,
        again,
        settings,
        guard,
        to_guard: None,
        pending: None,
        failed: None,
        redo: None,
        removal: Removal::NotBegun,
        tries: 0,
        maildrop: Maildrop::new(settings, session, opened),
        mailbox: talk.mailbox,
        from_client: ReadEnd::new(first.from_client),
        to_client: WriteEnd::new(first.to_client),
        from_host: ReadEnd::new(talk.from_host),
        to_host: WriteEnd::default(),
        progress: Progress::Input,
        timer: Box::pin(sleep_until(now + idle)),
        idle,
        client_moved: now,
        host_moved: now,
        traffic,
        share: POOL.share(),
    };
    let asked = pin!(stop(None));
    let mut leaving = Leaving::new(stop, asked);
    let ended = loop {
        let turn = poll_fn(|cx| {
            let late = leaving.poll(cx);
            if let Some(reason) = leaving.reason() {
                serving.maildrop.stop(reason);
            }
            let turn = serving.poll(cx);
            // QUIT is carried out; its answer may not find anybody who reads.
            match late {
                Poll::Ready(reason) if turn.is_pending() && !serving.maildrop.is_quitting() => {
                    Poll::Ready(Turn::Over(Ended::farewell(reason)))
                }
                _ => turn,
            }
        });
        match turn.await {
            Turn::Over(ended) => break ended,
            Turn::Reconnect => {
                let quitting = serving.maildrop.is_quitting();
                let mut reconnecting = pin!(serving.reconnect());
                let late = poll_fn(|cx| match leaving.poll(cx) {
                    Poll::Ready(reason) if !quitting => Poll::Ready(Some(reason)),
                    _ => reconnecting.as_mut().poll(cx).map(|()| None),
                });
                if let Some(reason) = late.await {
                    break Ended::farewell(reason);
                }
            }
            Turn::Guard => serving.take_guard().await,
        }
    };
    let state = serving.maildrop.state();
    let guard = std::mem::take(&mut serving.guard);
    let leave = async { tokio::join!(guard.release(), serving.leave()) };
    let _ = timeout(LEAVING, leave).await;
    Served {
        ended,
        state,
        counts: serving.maildrop.counts(),
        remainder: serving.maildrop.remainder(),
    }
}
