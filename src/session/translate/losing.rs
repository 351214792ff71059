//! The ends of connections under a session: another one to the host in place of a lost one, and what
//! the host is still told when the client is gone.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::Again;
use super::ends::{ReadEnd, WriteEnd};
use super::open::{NotOpen, Pipelining, open_with, welcomed};
use super::serving::Serving;
use super::talk::Talk;
use crate::backend::attempt::unpredictable;
use crate::protocol::Failure;
use crate::protocol::imap::ask::{self, Event};
use crate::protocol::imap::mailbox::Mailbox;

/// How often, in one session, a lost connection to the host is replaced.
const RECONNECTS: u32 = 5;

/// How long replacing one may take.
const RECONNECTING: Duration = Duration::from_secs(30);

/// What the host is still to be told.
#[derive(Clone, Copy)]
enum Left {
    /// Flags, and whether they were set is heard.
    Update,
    /// What is written: goodbye.
    Words,
    Nothing,
}

impl<C, H, A> Serving<'_, C, H, A>
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
    A: Again<H>,
{
    /// Whether another connection may take the place of this one.
    pub(super) fn may_reconnect(&self) -> bool {
        self.tries < RECONNECTS && !self.maildrop.is_poisoned() && !self.client_is_gone()
    }

    /// The host did not answer in its time. It is asked on one more connection, as the old one may have died
    /// without a word, and no further: its client waits for each of these silences.
    pub(super) fn fell_silent(&mut self) {
        self.tries = self.tries.max(RECONNECTS - 1);
        self.mailbox.closed();
    }

    /// Opens the mailbox on another connection and asks there what waits. Without one, the dead
    /// mailbox answers.
    pub(super) async fn reconnect(&mut self) {
        self.tries += 1;
        let Some(ask) = self.pending.take() else {
            return;
        };
        let failed = self.failed.take();
        self.host_moved = Instant::now();
        match timeout(RECONNECTING, self.connect()).await {
            Ok(Ok(())) => {
                self.host_moved = Instant::now();
                self.maildrop.found();
                self.redo = Some(ask.clone());
                self.mailbox.ask(ask);
                return;
            }
            Ok(Err(NotOpen::Poisoned)) => {
                let poisoned = Event::Lost(ask::Loss::Poisoned);
                self.maildrop.event(poisoned, self.to_client.buffer());
            }
            Ok(Err(NotOpen::Failed(_))) | Err(_) => {}
        }
        self.redo = None;
        match failed {
            Some(event) => self.maildrop.event(event, self.to_client.buffer()),
            None => self.mailbox.ask(ask),
        }
    }

    async fn connect(&mut self) -> Result<(), NotOpen> {
        let snapshot = self.maildrop.snapshot();
        let mut mailbox = Mailbox::again(self.settings, unpredictable(), snapshot);
        if self.guard.is_some() {
            mailbox.guarded();
        }
        let pipelining = match self.mailbox.is_one_by_one() {
            true => Pipelining::Lost,
            false => Pipelining::Kept,
        };
        let commands = mailbox.opening();
        let Some((host, mut welcome)) = self.again.again(commands.clone()).await else {
            return Err(NotOpen::Failed(Failure::Unreachable {
                cause: String::new(),
            }));
        };
        let from_host = welcomed(&mut mailbox, &mut welcome, commands, pipelining);
        let mut talk = Talk {
            host,
            mailbox,
            from_host,
        };
        open_with(&mut talk).await?;
        self.host = talk.host;
        talk.mailbox.goes_on_from(&mut self.mailbox);
        self.mailbox = talk.mailbox;
        self.from_host = ReadEnd::new(talk.from_host);
        self.to_host = WriteEnd::default();
        Ok(())
    }

    /// The session is over: the client's half is ended, and at the same time flags are set and the host is
    /// told goodbye.
    pub(super) async fn leave(&mut self) {
        self.to_client.close();
        let mut left = match self.maildrop.leave() {
            Some(update) => {
                self.mailbox.ask(ask::Ask::Enough);
                self.mailbox.ask(ask::Ask::Update(update));
                Left::Update
            }
            None if self.mailbox.is_dead() => Left::Nothing,
            None => {
                self.mailbox.logout();
                self.to_host.take(self.mailbox.output());
                Left::Words
            }
        };
        let mut open = true;
        poll_fn(|cx| {
            open = open && Pin::new(&mut *self.client).poll_shutdown(cx).is_pending();
            if self.poll_left(&mut left, cx).is_ready() {
                left = Left::Nothing;
            }
            match (open, left) {
                (false, Left::Nothing) => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }

    fn poll_left(&mut self, left: &mut Left, cx: &mut Context<'_>) -> Poll<()> {
        while let Left::Update = *left {
            self.to_host.take(self.mailbox.output());
            let octets = self.from_host.octets();
            let (consumed, event) = self.mailbox.receive(octets);
            let over = matches!(event, Some(Event::Updated(_) | Event::Lost(_)));
            let idle = event.is_none();
            self.from_host.consume(consumed);
            if over {
                self.mailbox.logout();
                self.to_host.take(self.mailbox.output());
                *left = Left::Words;
            } else if idle && !self.poll_host(cx) {
                match self.mailbox.is_dead() {
                    true => *left = Left::Nothing,
                    false => return Poll::Pending,
                }
            }
        }
        match *left {
            Left::Words => self.to_host.poll_all(&mut self.host, cx).map(drop),
            _ => Poll::Ready(()),
        }
    }
}
