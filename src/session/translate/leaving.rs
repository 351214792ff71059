//! A session that is told to go: it may finish what it is about, but not for ever. Whoever waits for it,
//! the user's next login on another host or a move, is told that it takes half a minute at most.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Sleep, sleep};

use super::LEAVING;
use crate::protocol::Farewell;
use crate::session::relay::GOODBYE_WAIT;

/// Why a session is to end, once it is told, and until when.
pub(super) struct Leaving<'a, F, S> {
    stop: F,
    asked: Pin<&'a mut S>,
    reason: Option<Farewell>,
    by: Option<Pin<Box<Sleep>>>,
}

impl<'a, F, S> Leaving<'a, F, S>
where
    F: FnMut(Option<Farewell>) -> S,
    S: Future<Output = Farewell>,
{
    /// Not yet; `asked` is what `stop` gave.
    pub(super) fn new(stop: F, asked: Pin<&'a mut S>) -> Self {
        Leaving {
            stop,
            asked,
            reason: None,
            by: None,
        }
    }

    /// Why, as far as was heard.
    pub(super) fn reason(&self) -> Option<Farewell> {
        self.reason
    }

    /// Listens; ready when the session has had its time.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Farewell> {
        // A drain takes its time, and has an end of its own: whoever is told to go meanwhile hears of that,
        // too.
        while matches!(self.reason, None | Some(Farewell::Shutdown))
            && let Poll::Ready(reason) = self.asked.as_mut().poll(cx)
        {
            self.asked.set((self.stop)(Some(reason)));
            self.reason = Some(reason);
            if reason != Farewell::Shutdown {
                // What is done behind it is a part of the half minute.
                self.by = Some(Box::pin(sleep(GOODBYE_WAIT.saturating_sub(LEAVING))));
            }
        }
        match (&mut self.by, self.reason) {
            (Some(by), Some(reason)) => by.as_mut().poll(cx).map(|()| reason),
            _ => Poll::Pending,
        }
    }
}
