//! A session under way: octets between two streams and two cores, and who waits for whom. What is done
//! when a connection is lost stands in `losing`.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::Again;
use super::ends::{ReadEnd, WriteEnd};
use super::guard::Holding;
use crate::protocol::imap::ask::{Access, Ask, Event, NoBody, Outcome, When};
use crate::protocol::imap::mailbox::Mailbox;
use crate::protocol::pop3::Settings;
use crate::protocol::pop3::maildrop::{Maildrop, Progress, ROOM, Why};
use crate::session::held::Share;
use crate::session::traffic::Traffic;
use crate::session::{Ended, EndedBy};

/// Octets of the host given to the cores at a time: with their stuffing they at most double.
const CHUNK: usize = 32 * 1024;

/// Octets read from a host at a time, and from a client: commands.
const HOST_READ: usize = 64 * 1024;
const CLIENT_READ: usize = 4 * 1024;

/// After so long without a movement the buffers are given back. Not at once: between the messages of
/// a download that would cost more than the messages.
const REST: Duration = Duration::from_millis(500);

/// How long a host that is to answer may be silent.
const HOST_SILENCE: Duration = Duration::from_secs(60);

/// The same while it removes messages: a large expunge takes its time, and is finished.
const UPDATE_SILENCE: Duration = Duration::from_secs(300);

/// How long either side may be silent where the client ended its half: it may want its answers, but is no
/// reason to wait longer.
const GONE_SILENCE: Duration = Duration::from_secs(5);

/// What polling a session led to.
pub(super) enum Turn {
    Over(Ended),
    /// Something is wanted of a host whose connection was lost.
    Reconnect,
    /// Marks are to be noted, or a note to be forgotten.
    Guard,
}

/// What is known of what QUIT did on connections that were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    NotBegun,
    /// Whatever happens on another connection, nobody can say that nothing was removed.
    Begun,
}

/// A session under way.
pub(super) struct Serving<'a, C, H, A> {
    pub(super) client: &'a mut C,
    pub(super) host: H,
    pub(super) again: A,
    pub(super) settings: &'a Settings,
    pub(super) guard: Holding,
    /// What is to be noted, or forgotten.
    pub(super) to_guard: Option<Event<'static>>,
    /// Waits for another connection to the host.
    pub(super) pending: Option<Ask>,
    /// What is told of it if there is none: only where the loss came after it was asked.
    pub(super) failed: Option<Event<'static>>,
    /// What was asked and not answered: on another connection it is asked once more.
    pub(super) redo: Option<Ask>,
    /// Whether QUIT may have removed messages on a connection that was lost.
    pub(super) removal: Removal,
    /// Connections that were made in place of lost ones.
    pub(super) tries: u32,
    pub(super) maildrop: Maildrop,
    pub(super) mailbox: Mailbox,
    pub(super) from_client: ReadEnd,
    pub(super) to_client: WriteEnd,
    pub(super) from_host: ReadEnd,
    pub(super) to_host: WriteEnd,
    pub(super) progress: Progress,
    /// Set to some deadline not later than the next one.
    pub(super) timer: Pin<Box<Sleep>>,
    pub(super) idle: Duration,
    /// When octets last went to or came from the client.
    pub(super) client_moved: Instant,
    /// The same for the host.
    pub(super) host_moved: Instant,
    pub(super) traffic: &'a Traffic,
    /// Octets that the client has not taken, and those behind them.
    pub(super) share: Share,
}

impl<C, H, A> Serving<'_, C, H, A>
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
    A: Again<H>,
{
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let over = |ended| Poll::Ready(Turn::Over(ended));
        loop {
            self.work();
            if self.to_guard.is_some() {
                return Poll::Ready(Turn::Guard);
            }
            if self.pending.is_some() {
                return Poll::Ready(Turn::Reconnect);
            }
            let mut moved = false;
            let empty = self.from_host.is_empty();
            moved |= self.poll_host(cx);
            // What the host has ready goes out with what is there, as far as there is room: fewer and
            // larger writes, each of which would wake the client.
            if empty && !self.from_host.is_empty() && self.to_client.len() < ROOM {
                continue;
            }
            match self.poll_client(cx) {
                Ok(client_moved) => moved |= client_moved,
                // QUIT was said: it is carried out whether or not the client still listens.
                Err(_) if self.maildrop.is_quitting() => self.to_client.close(),
                Err(error) => return over(Ended::error(EndedBy::Client, &error)),
            }
            if let Progress::Over(why) = self.progress
                && self.to_client.is_empty()
            {
                return over(ended(why));
            }
            if self.progress == Progress::Input
                && self.from_client.is_closed()
                && self.to_client.is_empty()
            {
                return over(Ended::new(EndedBy::Client, "closed"));
            }
            if moved {
                continue;
            }
            if let Poll::Ready(ended) = self.poll_timer(cx) {
                match ended {
                    Some(ended) => return over(ended),
                    None => continue,
                }
            }
            (self.share).set(self.to_client.len() + self.from_host.octets().len());
            return Poll::Pending;
        }
    }

    /// Lets the cores do what they can with what is there.
    fn work(&mut self) {
        loop {
            let used = self.maildrop.receive(self.from_client.octets());
            self.from_client.consume(used);
            self.progress = self.maildrop.step(self.to_client.buffer());
            while let Some(ask) = self.maildrop.next_ask() {
                if self.mailbox.is_dead() && self.may_reconnect() && wants_answer(&ask) {
                    self.pending = Some(ask);
                    return;
                }
                self.redo = match wants_answer(&ask) {
                    true => Some(ask.clone()),
                    false => self.redo.take(),
                };
                self.mailbox.ask(ask);
                self.host_moved = Instant::now();
            }
            self.to_host.take(self.mailbox.output());
            if self.to_client.len() >= ROOM {
                return;
            }
            let octets = self.from_host.octets();
            let chunk = octets.get(..CHUNK).unwrap_or(octets);
            let given = chunk.len();
            let (consumed, event) = self.mailbox.receive(chunk);
            let idle = event.is_none() && (consumed == 0 || consumed == octets.len());
            if let Some(event) = event {
                self.to_guard = match &event {
                    Event::Released => Some(Event::Released),
                    Event::Guard {
                        uid_validity,
                        marks,
                    } => Some(Event::Guard {
                        uid_validity: *uid_validity,
                        marks: marks.clone(),
                    }),
                    _ => None,
                };
                let event = match event {
                    Event::Updated(Outcome::NotDone | Outcome::OthersDeleted)
                        if self.removal == Removal::Begun =>
                    {
                        Event::Updated(Outcome::Unknown)
                    }
                    event => event,
                };
                let failed = match event {
                    Event::NoBody(NoBody::Lost) => Some(Event::NoBody(NoBody::Lost)),
                    Event::Access(Access::Lost) => Some(Event::Access(Access::Lost)),
                    Event::Updated(outcome @ (Outcome::Unknown | Outcome::NotDone)) => {
                        Some(Event::Updated(outcome))
                    }
                    _ => None,
                };
                if failed == Some(Event::Updated(Outcome::Unknown)) {
                    self.removal = Removal::Begun;
                }
                // Whatever it is an answer to is not asked again, but for what a loss has cut off.
                let asked = match is_answer(&event) {
                    true => self.redo.take(),
                    false => None,
                };
                if failed.is_some() && self.mailbox.is_dead() && self.may_reconnect() {
                    self.failed = failed.filter(|_| asked.is_some());
                    self.pending = asked;
                }
                if self.pending.is_none() {
                    self.maildrop.event(event, self.to_client.buffer());
                }
            }
            self.from_host.consume(consumed.min(given));
            if self.pending.is_some() || self.to_guard.is_some() {
                return;
            }
            if idle && used == 0 {
                self.progress = self.maildrop.step(self.to_client.buffer());
                self.to_host.take(self.mailbox.output());
                return;
            }
        }
    }

    /// Notes marks that are about to be taken away, or forgets them.
    pub(super) async fn take_guard(&mut self) {
        let guard = std::mem::take(&mut self.guard);
        self.guard = match self.to_guard.take() {
            Some(Event::Guard {
                uid_validity,
                marks,
            }) => {
                let (guard, noted) = guard.keep(uid_validity, marks).await;
                self.mailbox.ask(Ask::Guarded(noted));
                guard
            }
            Some(Event::Released) => guard.forget().await,
            _ => guard,
        };
    }

    /// Writes to the host and reads from it. Its end is the mailbox's business.
    pub(super) fn poll_host(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        if self.mailbox.is_dead() {
            self.to_host.close();
            return false;
        }
        match self.to_host.poll(&mut self.host, cx) {
            Poll::Ready(Ok(0)) | Poll::Pending => {}
            Poll::Ready(Ok(_)) => {
                self.host_moved = Instant::now();
                moved = true;
            }
            Poll::Ready(Err(_)) => {
                self.mailbox.closed();
                return true;
            }
        }
        let room = self.share.pool().room(HOST_READ);
        let wanted =
            self.mailbox.wants_input() && self.from_host.is_empty() && self.to_client.len() < ROOM;
        if wanted && let Poll::Ready(read) = self.from_host.poll(&mut self.host, cx, room) {
            moved = true;
            self.host_moved = Instant::now();
            if !matches!(read, Ok(1..)) {
                self.mailbox.closed();
            }
        }
        moved
    }

    fn poll_client(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        match self.to_client.poll(self.client, cx) {
            Poll::Ready(written) => {
                let written = written?;
                if written > 0 {
                    self.traffic.to_client.fetch_add(written as u64, Relaxed);
                    self.client_moved = Instant::now();
                    moved = true;
                }
                if self.to_client.is_empty() {
                    // Also where only a flush ended: QUIT may have waited for it.
                    moved |= self.maildrop.flushed();
                }
            }
            Poll::Pending => {}
        }
        let wanted = self.maildrop.wants_input()
            && self.from_client.is_empty()
            && !self.from_client.is_closed();
        if wanted && let Poll::Ready(read) = self.from_client.poll(self.client, cx, CLIENT_READ) {
            self.traffic.from_client.fetch_add(read? as u64, Relaxed);
            self.client_moved = Instant::now();
            moved = true;
        }
        Ok(moved)
    }

    /// Whether buffers are held that nothing is in.
    fn holds_memory(&self) -> bool {
        self.from_client.holds_memory()
            || self.to_client.holds_memory()
            || self.from_host.holds_memory()
            || self.to_host.holds_memory()
    }

    fn rest(&mut self) {
        self.from_client.rest();
        self.to_client.rest();
        self.from_host.rest();
        self.to_host.rest();
    }

    /// Whether the client ended its half without QUIT, which is carried out whatever the client does.
    pub(super) fn client_is_gone(&self) -> bool {
        self.from_client.is_closed() && !self.maildrop.will_quit()
    }

    /// Who is waited for, and until when.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended>> {
        loop {
            let for_client = !self.to_client.is_empty() || self.progress == Progress::Input;
            let gone = self.client_is_gone();
            let silence = match for_client && gone {
                true => GONE_SILENCE,
                false => self.idle,
            };
            let client = self.client_moved + silence;
            let silence = match self.maildrop.is_quitting() {
                true => UPDATE_SILENCE,
                false if gone => GONE_SILENCE,
                false => HOST_SILENCE,
            };
            let moved = match gone {
                // The end of its half is a movement of the client's.
                true => self.host_moved.max(self.client_moved),
                false => self.host_moved,
            };
            let host = moved + silence;
            let for_host = self.mailbox.busy() && self.to_client.len() < ROOM;
            let end = match (for_client, for_host) {
                (true, true) => client.min(host),
                (false, true) => host,
                _ => client,
            };
            let rest = self.client_moved.max(self.host_moved) + REST;
            let deadline = match self.holds_memory() {
                // A timer that is set to what is past wakes at once, and asking both sides again takes
                // buffers again: that would never end.
                true if rest <= Instant::now() => {
                    self.rest();
                    end
                }
                true => end.min(rest),
                false => end,
            };
            if deadline < self.timer.deadline() {
                self.timer.as_mut().reset(deadline);
            }
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            if now < deadline {
                // Octets moved since it was set.
                self.timer.as_mut().reset(deadline);
                continue;
            }
            if now < end {
                self.rest();
                continue;
            }
            // Not at once again, whatever follows.
            self.timer.as_mut().reset(now + self.idle.min(HOST_SILENCE));
            if for_host && end == host {
                self.fell_silent();
                self.host_moved = now;
                return Poll::Ready(None);
            }
            // RFC 1939 §3: without a response, and nothing is removed.
            return Poll::Ready(Some(match gone {
                true => Ended::new(EndedBy::Client, "closed"),
                false => Ended::new(EndedBy::Gateway, "idle"),
            }));
        }
    }
}

/// Whether somebody waits for the answer.
fn wants_answer(ask: &Ask) -> bool {
    match ask {
        Ask::Fetch(_, when) => *when == When::Now,
        Ask::Access | Ask::Update(_) | Ask::Restore(_) => true,
        Ask::Enough | Ask::Guarded(_) => false,
    }
}

/// Whether this is what somebody waited for, or its beginning.
fn is_answer(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::BodyStart { .. } | Event::NoBody(_) | Event::Access(_) | Event::Updated(_)
    )
}

fn ended(why: Why) -> Ended {
    match why {
        Why::Quit => Ended::new(EndedBy::Client, "quit"),
        Why::Truncated => Ended::new(EndedBy::Backend, "message cut short"),
        Why::Poisoned => Ended::new(EndedBy::Backend, "uidvalidity changed"),
        Why::BadCommands => Ended::new(EndedBy::Gateway, "bad commands"),
        Why::Farewell(reason) => Ended::farewell(reason),
    }
}
