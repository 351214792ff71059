//! Bytes both ways between a client and its host, until one of them is done.
//!
//! An idle relay holds no copy buffer: a thread lends one for the time of a read and the write that
//! follows; only what the other side does not take is kept, at most one buffer a direction, and
//! less when many peers are slow at once. A side that ends its half still hears the other's.
//! The relay does not understand mail: an [`Observer`] is fed every octet and knows where a goodbye
//! may stand.

mod direction;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::ended::{Ended, EndedBy};
use super::registry::Live;
use crate::net::{Half, Stream};
use crate::protocol::{Farewell, Handover, Observer, Verdict};
use direction::{Direction, Flow, Moved, Which};

/// After one side ended its half, the other may be silent this long: a host that answers a command
/// sent before the client's end goes on as long as it moves.
const HALF_CLOSED_IDLE: Duration = Duration::from_secs(5);

/// The same while its host takes nothing of what the client sent before: it may store a message.
const STALLED_IDLE: Duration = Duration::from_secs(20);

/// How often is looked whether a client is gone while its host takes nothing.
const LOOK: Duration = Duration::from_secs(1);

/// A session in which nothing has moved for so long when its host closes was not about to end: the
/// host is lost, and others with it perhaps.
const OUT_OF_THE_BLUE: Duration = Duration::from_secs(1);

/// A session that was asked to end waits this long for a message boundary.
pub(super) const GOODBYE_WAIT: Duration = Duration::from_secs(30);

/// The same where the gateway drains: no end of its own, the drain has one.
const DRAIN_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Relays until the session is over; both streams are shut down then. `lost` says how long the client
/// of a session that was lost out of the blue is kept, so that not all of a host's come back at once.
///
/// The future keeps each of these once: an `async fn` would keep its arguments and what became of them.
pub(super) fn relay<'a>(
    client: Stream,
    host: Stream,
    handover: Handover,
    live: &'a Live,
    idle: Duration,
    lost: impl Fn() -> Duration + Send + Sync + 'a,
) -> impl Future<Output = Ended> + Send + 'a {
    let mut relay = Relay {
        client,
        host,
        up: Direction::new(handover.to_host),
        down: Direction::new(handover.to_client),
        observer: handover.observer,
        leaving: None,
        half_closed_at: None,
        broken: None,
        lost,
        kept: None,
    };
    async move {
        let mut asked = pin!(live.end_asked_beyond(None));
        let mut timer = pin!(sleep_until(Instant::now() + idle));
        let mut last = Instant::now();
        // Past this, a session that is leaving ends without words.
        let mut leave_by = last;
        let ended = poll_fn(|cx| {
            // A drain takes its time: whoever is told to go meanwhile hears of that, too.
            while matches!(
                relay.leaving,
                None | Some(Leaving::Waiting(Farewell::Shutdown))
            ) && let Poll::Ready(reason) = asked.as_mut().poll(cx)
            {
                asked.set(live.end_asked_beyond(Some(reason)));
                relay.leaving = Some(Leaving::Waiting(reason));
                let wait = match reason {
                    Farewell::Shutdown => DRAIN_WAIT,
                    _ => GOODBYE_WAIT,
                };
                leave_by = Instant::now() + wait;
                timer.as_mut().reset(leave_by);
            }
            loop {
                match relay.poll(cx, live, last) {
                    Poll::Ready(ended) => return Poll::Ready(ended),
                    Poll::Pending if relay.take_moved() => last = Instant::now(),
                    Poll::Pending => {}
                }
                let silent = relay.silent_at(last, idle);
                let due = match (relay.leaving, relay.half_closed()) {
                    (None, _) => silent,
                    (Some(_), true) => leave_by.min(silent),
                    (Some(_), false) => leave_by,
                };
                let look = match relay.up.is_stalled() {
                    true => due.min(Instant::now() + LOOK),
                    false => due,
                };
                if look < timer.deadline() {
                    timer.as_mut().reset(look);
                }
                ready!(timer.as_mut().poll(cx));
                if Instant::now() < due {
                    timer.as_mut().reset(look);
                } else if relay.leaving.is_some() || relay.half_closed() {
                    return Poll::Ready(relay.given_up());
                } else {
                    relay.leaving = Some(Leaving::Waiting(Farewell::Timeout));
                    leave_by = Instant::now() + HALF_CLOSED_IDLE;
                    timer.as_mut().reset(leave_by);
                }
            }
        });
        let ended = ended.await;
        if let Some(Leaving::Said(_)) = relay.leaving {
            // The host is heard to its end, too: until then it has this session, and the user's next one may
            // be let in elsewhere. Boxed: few sessions come here, all would have the room for it.
            Box::pin(async {
                tokio::join!(super::linger(relay.client), super::linger(relay.host));
            })
            .await;
        }
        ended
    }
}

struct Relay<L> {
    client: Stream,
    host: Stream,
    up: Direction,
    down: Direction,
    observer: Box<dyn Observer>,
    leaving: Option<Leaving>,
    /// When the client was seen to have ended its half.
    half_closed_at: Option<Instant>,
    /// The host's side broke while it may still have something to say.
    broken: Option<Ended>,
    lost: L,
    /// Until when a lost session's client is kept.
    kept: Option<Pin<Box<Sleep>>>,
}

/// The gateway wants the session to end.
#[derive(Clone, Copy)]
enum Leaving {
    /// At the next message boundary.
    Waiting(Farewell),
    /// The goodbye is on its way; nothing of the host follows it.
    Said(Farewell),
}

impl Leaving {
    fn ended(self) -> Ended {
        match self {
            Leaving::Waiting(Farewell::Timeout) | Leaving::Said(Farewell::Timeout) => {
                Ended::new(EndedBy::Gateway, "idle")
            }
            Leaving::Waiting(reason) | Leaving::Said(reason) => Ended::farewell(reason),
        }
    }
}

impl<L: Fn() -> Duration> Relay<L> {
    /// `last`: when something moved.
    fn poll(&mut self, cx: &mut Context<'_>, live: &Live, last: Instant) -> Poll<Ended> {
        let observer = &mut self.observer;
        let up = self.up.poll(
            cx,
            &mut self.client,
            &mut self.host,
            &live.traffic.from_client,
            |bytes| observer.client_to_host(bytes),
            |_, _| Poll::Ready(()),
        );
        match up {
            Poll::Ready(Moved::Failed(Which::Reader, error)) => {
                return Poll::Ready(Ended::error(EndedBy::Client, &error));
            }
            // The host takes no more, but what it said before still goes out.
            Poll::Ready(Moved::Failed(Which::Writer, error)) => {
                self.up.flow = Flow::Shut;
                self.broken = Some(Ended::error(EndedBy::Backend, &error));
            }
            Poll::Ready(Moved::Refused) => {
                return Poll::Ready(Ended::new(EndedBy::Gateway, "command not allowed here"));
            }
            Poll::Pending if self.stalled_half() == Half::Broken => {
                return Poll::Ready(Ended::new(EndedBy::Client, "reset"));
            }
            Poll::Ready(Moved::All) | Poll::Pending => {}
        }
        loop {
            let over = self.leaving.is_some() || self.half_closed();
            let observer = &mut self.observer;
            let (kept, lost) = (&mut self.kept, &self.lost);
            let down = self.down.poll(
                cx,
                &mut self.host,
                &mut self.client,
                &live.traffic.to_client,
                |bytes| {
                    observer.host_to_client(bytes);
                    Verdict::Pass
                },
                |cx, moved| match over || moved || last.elapsed() < OUT_OF_THE_BLUE {
                    true => Poll::Ready(()),
                    false => {
                        let kept = kept.get_or_insert_with(|| Box::pin(sleep(lost())));
                        kept.as_mut().poll(cx)
                    }
                },
            );
            match down {
                Poll::Ready(Moved::Failed(Which::Reader, error)) => {
                    self.broken = Some(Ended::error(EndedBy::Backend, &error));
                    self.down.flow = Flow::Ended;
                    continue;
                }
                Poll::Ready(Moved::Failed(Which::Writer, error)) => {
                    return Poll::Ready(Ended::error(EndedBy::Client, &error));
                }
                Poll::Ready(Moved::All) => return Poll::Ready(self.done()),
                Poll::Ready(Moved::Refused) | Poll::Pending => {}
            }
            match self.leaving {
                // Nothing can follow the host's last words.
                Some(Leaving::Waiting(_)) if self.down.flow == Flow::Last => return Poll::Pending,
                Some(Leaving::Waiting(reason)) => match self.observer.goodbye(reason) {
                    Some(words) => {
                        self.down.hold(&words);
                        self.down.flow = Flow::Ended;
                        self.leaving = Some(Leaving::Said(reason));
                    }
                    None => return Poll::Pending,
                },
                Some(Leaving::Said(_)) | None => return Poll::Pending,
            }
        }
    }

    /// It took too long until everything was said.
    fn given_up(&mut self) -> Ended {
        if let Some(broken) = self.broken.take() {
            return broken;
        }
        match self.leaving {
            Some(Leaving::Waiting(_)) | None if self.half_closed() => {
                Ended::new(EndedBy::Client, "closed")
            }
            Some(leaving) => leaving.ended(),
            None => Ended::new(EndedBy::Client, "closed"),
        }
    }

    /// Everything for the client is written and its end of stream passed on.
    fn done(&mut self) -> Ended {
        if let Some(broken) = self.broken.take() {
            return broken;
        }
        match (self.leaving, self.up.flow) {
            (Some(leaving @ Leaving::Said(_)), _) => leaving.ended(),
            (_, Flow::Open | Flow::Refused) => match self.observer.client_left() {
                Some(goodbye) => Ended::new(EndedBy::Client, goodbye),
                None => Ended::new(EndedBy::Backend, "closed"),
            },
            (_, Flow::Ended | Flow::Last | Flow::Shut) => Ended::new(EndedBy::Client, "closed"),
        }
    }

    /// Until when nothing may move: since the last octet, and where a side has ended its half, since that.
    fn silent_at(&mut self, last: Instant, idle: Duration) -> Instant {
        if !self.half_closed() {
            return last + idle;
        }
        let ended = *self.half_closed_at.get_or_insert_with(Instant::now);
        let patience = match self.up.is_stalled() {
            true => STALLED_IDLE,
            false => HALF_CLOSED_IDLE,
        };
        last.max(ended) + patience
    }

    fn half_closed(&self) -> bool {
        matches!(self.up.flow, Flow::Ended | Flow::Last | Flow::Shut)
            || self.stalled_half() == Half::Ended
    }

    /// The client's half, where nobody reads it because the host takes nothing.
    fn stalled_half(&self) -> Half {
        match self.up.is_stalled() {
            true => self.client.half(),
            false => Half::Open,
        }
    }

    fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.up.moved) | std::mem::take(&mut self.down.moved)
    }
}

#[cfg(test)]
mod tests;
