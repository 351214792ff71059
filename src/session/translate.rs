//! Serves a POP3 maildrop from an IMAP host: the IO around two pure cores, [`Maildrop`] towards the
//! client and [`Mailbox`] towards the host.
//!
//! [`prepare`] gives the commands that open the mailbox, to be sent behind the login; [`open`] waits
//! until the host said yes to them, so that a login is accepted only for a mailbox that is open;
//! [`serve`] does the rest. Octets move through buffers that are taken while something moves and
//! given back while nothing does. Who does not read is not read for: a client's back-pressure
//! reaches the host's socket.

mod ends;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::{Ended, EndedBy};
use crate::backend::attempt::unpredictable;
use crate::protocol::imap::ask::{self, Access, Ask, Event, NoBody, Outcome, When};
use crate::protocol::imap::mailbox::Mailbox;
use crate::protocol::imap::snapshot::Snapshot;
use crate::protocol::pop3::Settings;
use crate::protocol::pop3::maildrop::{Counts, Maildrop, Progress, ROOM, Why};
use crate::protocol::{Behind, Failure, Farewell, Welcome};
use ends::{ReadEnd, WriteEnd};

/// Octets of the host given to the cores at a time: with their stuffing they at most double.
const CHUNK: usize = 16 * 1024;

/// How long a host that is to answer may be silent.
const HOST_SILENCE: Duration = Duration::from_secs(60);

/// The same while it removes messages: a large expunge takes its time, and is finished.
const UPDATE_SILENCE: Duration = Duration::from_secs(300);

/// How often, in one session, a lost connection to the host is replaced.
const RECONNECTS: u32 = 5;

/// How long replacing one may take.
const RECONNECTING: Duration = Duration::from_secs(30);

/// How long is waited for the host when the client is gone: for flags, no more.
const LEAVING: Duration = Duration::from_secs(10);

/// A mailbox about to be opened.
pub struct Opening {
    mailbox: Mailbox,
    commands: Vec<u8>,
}

/// Makes ready to open a maildrop. `seed` is unpredictable; `cached` is what the mailbox held when
/// the user's last session ended.
pub fn prepare(settings: &Settings, seed: u64, cached: Option<Arc<Snapshot>>) -> Opening {
    let mut mailbox = Mailbox::new(settings, seed, cached);
    let commands = mailbox.opening();
    Opening { mailbox, commands }
}

impl Opening {
    /// The commands to be sent behind the login, where the host bears it
    /// ([`crate::backend::Request::behind`]).
    pub fn behind(&self) -> &[u8] {
        &self.commands
    }
}

/// A mailbox that is open: the login may be accepted.
pub struct Opened<H> {
    host: H,
    mailbox: Mailbox,
    /// Read and not consumed.
    from_host: Vec<u8>,
    opened: ask::Opened,
}

impl<H> Opened<H> {
    /// How many messages the maildrop has, and how many octets they have in all.
    pub fn size(&self) -> (usize, u64) {
        (self.opened.snapshot.len(), self.opened.snapshot.total())
    }
}

/// Waits until the mailbox is open, at most `wait`. Takes [`Welcome::rest`] out of `welcome`: it is
/// the host's answer to us, not to the client.
pub async fn open<H>(
    mut host: H,
    welcome: &mut Welcome,
    opening: Opening,
    wait: Duration,
) -> Result<Opened<H>, Failure>
where
    H: AsyncRead + AsyncWrite + Unpin,
{
    let Opening {
        mut mailbox,
        commands,
    } = opening;
    let from_host = welcomed(&mut mailbox, welcome, commands);
    let opening = open_with(&mut host, &mut mailbox, from_host);
    match timeout(wait, opening).await {
        Ok(Ok((opened, from_host))) => Ok(Opened {
            host,
            mailbox,
            from_host,
            opened,
        }),
        Ok(Err(NotOpen::Failed(failure))) => Err(failure),
        Ok(Err(NotOpen::Poisoned)) => Err(Failure::HostProtocol {
            expected: "one UIDVALIDITY",
            got: "another one".into(),
        }),
        Err(_) => Err(Failure::TimedOut { state: "select" }),
    }
}

/// Why a mailbox was not opened.
enum NotOpen {
    Failed(Failure),
    /// Its UIDs mean other messages now.
    Poisoned,
}

/// Takes what a host said when it accepted the login; the octets that came behind it.
fn welcomed(mailbox: &mut Mailbox, welcome: &mut Welcome, commands: Vec<u8>) -> Vec<u8> {
    if let Some(capabilities) = &welcome.capabilities {
        mailbox.can(capabilities);
    }
    if welcome.behind == Behind::NotSent {
        mailbox.output().splice(0..0, commands);
    }
    welcome.untagged = Vec::new();
    std::mem::take(&mut welcome.rest)
}

async fn open_with<H>(
    host: &mut H,
    mailbox: &mut Mailbox,
    mut from_host: Vec<u8>,
) -> Result<(ask::Opened, Vec<u8>), NotOpen>
where
    H: AsyncRead + AsyncWrite + Unpin,
{
    let lost = |error: io::Error| {
        NotOpen::Failed(Failure::Unreachable {
            cause: format!("connection lost while the mailbox was opened: {error}"),
        })
    };
    loop {
        let mut at = 0;
        loop {
            let (used, event) = mailbox.receive(from_host.get(at..).unwrap_or_default());
            at += used;
            match event {
                Some(Event::Opened(opened)) => {
                    from_host.drain(..at);
                    return Ok((opened, from_host));
                }
                Some(Event::Refused(failure)) => return Err(NotOpen::Failed(failure)),
                Some(Event::Lost(ask::Loss::Poisoned)) => return Err(NotOpen::Poisoned),
                Some(_) => {}
                None => break,
            }
        }
        from_host.clear();
        let output = mailbox.output();
        if !output.is_empty() {
            host.write_all(output).await.map_err(lost)?;
            output.clear();
            host.flush().await.map_err(lost)?;
        }
        from_host.reserve(CHUNK);
        if host.read_buf(&mut from_host).await.map_err(lost)? == 0 {
            mailbox.closed();
        }
    }
}

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
    /// Octets read from the client.
    pub bytes_in: u64,
    /// Octets written to it.
    pub bytes_out: u64,
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

/// Serves a maildrop until the session ends; `stop` resolves when the gateway wants it to.
pub async fn serve<C, H, A>(
    client: &mut C,
    first: First,
    opened: Opened<H>,
    terms: Terms<'_>,
    again: A,
    stop: impl Future<Output = Farewell>,
) -> Served
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
    A: Again<H>,
{
    let Terms {
        settings,
        session,
        idle,
    } = terms;
    let Opened {
        host,
        mailbox,
        from_host,
        opened,
    } = opened;
    let now = Instant::now();
    let mut serving = Serving {
        client,
        host,
        again,
        settings,
        pending: None,
        failed: None,
        redo: None,
        tries: 0,
        maildrop: Maildrop::new(settings, session, opened),
        mailbox,
        from_client: ReadEnd::new(first.from_client),
        to_client: WriteEnd::new(first.to_client),
        from_host: ReadEnd::new(from_host),
        to_host: WriteEnd::default(),
        progress: Progress::Input,
        timer: Box::pin(sleep_until(now + idle)),
        idle,
        client_moved: now,
        host_moved: now,
        bytes_in: 0,
        bytes_out: 0,
    };
    let mut stop = pin!(stop);
    let mut stopping = false;
    let ended = loop {
        let turn = poll_fn(|cx| {
            if !stopping && let Poll::Ready(reason) = stop.as_mut().poll(cx) {
                stopping = true;
                serving.maildrop.stop(reason);
            }
            serving.poll(cx)
        });
        match turn.await {
            Turn::Over(ended) => break ended,
            Turn::Reconnect => serving.reconnect().await,
        }
    };
    let state = serving.maildrop.state();
    // The client need not wait for what follows.
    let _ = timeout(LEAVING, serving.client.shutdown()).await;
    let _ = timeout(LEAVING, serving.leave()).await;
    Served {
        ended,
        state,
        bytes_in: serving.bytes_in,
        bytes_out: serving.bytes_out,
        counts: serving.maildrop.counts(),
        remainder: serving.maildrop.remainder(),
    }
}

/// What polling a session led to.
enum Turn {
    Over(Ended),
    /// Something is wanted of a host whose connection was lost.
    Reconnect,
}

/// A session under way.
struct Serving<'a, C, H, A> {
    client: &'a mut C,
    host: H,
    again: A,
    settings: &'a Settings,
    /// Waits for another connection to the host.
    pending: Option<Ask>,
    /// What is told of it if there is none.
    failed: Option<Event<'static>>,
    /// What was asked and not answered: on another connection it is asked once more.
    redo: Option<Ask>,
    /// Connections that were made in place of lost ones.
    tries: u32,
    maildrop: Maildrop,
    mailbox: Mailbox,
    from_client: ReadEnd,
    to_client: WriteEnd,
    from_host: ReadEnd,
    to_host: WriteEnd,
    progress: Progress,
    /// Set to some deadline not later than the next one.
    timer: Pin<Box<Sleep>>,
    idle: Duration,
    /// When octets last went to or came from the client.
    client_moved: Instant,
    /// The same for the host.
    host_moved: Instant,
    bytes_in: u64,
    bytes_out: u64,
}

impl<C, H, A> Serving<'_, C, H, A>
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
    A: Again<H>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let over = |ended| Poll::Ready(Turn::Over(ended));
        loop {
            self.work();
            if self.pending.is_some() {
                return Poll::Ready(Turn::Reconnect);
            }
            let mut moved = false;
            moved |= self.poll_host(cx);
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
            self.from_client.rest();
            self.to_client.rest();
            self.from_host.rest();
            self.to_host.rest();
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
                let failed = match event {
                    Event::NoBody(NoBody::Lost) => Some(Event::NoBody(NoBody::Lost)),
                    Event::Access(Access::Lost) => Some(Event::Access(Access::Lost)),
                    Event::Updated(outcome @ (Outcome::Unknown | Outcome::NotDone)) => {
                        Some(Event::Updated(outcome))
                    }
                    _ => None,
                };
                if failed.is_some() && self.mailbox.is_dead() && self.may_reconnect() {
                    self.pending = self.redo.take();
                    self.failed = failed;
                }
                if matches!(event, Event::BodyStart { .. }) {
                    self.redo = None;
                }
                if self.pending.is_none() {
                    self.maildrop.event(event, self.to_client.buffer());
                }
            }
            self.from_host.consume(consumed.min(given));
            if self.pending.is_some() {
                return;
            }
            if idle && used == 0 {
                self.progress = self.maildrop.step(self.to_client.buffer());
                self.to_host.take(self.mailbox.output());
                return;
            }
        }
    }

    fn may_reconnect(&self) -> bool {
        self.tries < RECONNECTS && !self.maildrop.is_poisoned()
    }

    /// Opens the mailbox on another connection and asks there what waits. Without one, the dead
    /// mailbox answers.
    async fn reconnect(&mut self) {
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
                self.mailbox.ask(ask);
                return;
            }
            Ok(Err(NotOpen::Poisoned)) => {
                let poisoned = Event::Lost(ask::Loss::Poisoned);
                self.maildrop.event(poisoned, self.to_client.buffer());
            }
            Ok(Err(NotOpen::Failed(_))) | Err(_) => {}
        }
        match failed {
            Some(event) => self.maildrop.event(event, self.to_client.buffer()),
            None => self.mailbox.ask(ask),
        }
    }

    async fn connect(&mut self) -> Result<(), NotOpen> {
        let snapshot = self.maildrop.snapshot();
        let mut mailbox = Mailbox::again(self.settings, unpredictable(), snapshot);
        let commands = mailbox.opening();
        let Some((mut host, mut welcome)) = self.again.again(commands.clone()).await else {
            return Err(NotOpen::Failed(Failure::Unreachable {
                cause: String::new(),
            }));
        };
        let from_host = welcomed(&mut mailbox, &mut welcome, commands);
        let (_, from_host) = open_with(&mut host, &mut mailbox, from_host).await?;
        self.host = host;
        self.mailbox = mailbox;
        self.from_host = ReadEnd::new(from_host);
        self.to_host = WriteEnd::default();
        Ok(())
    }

    /// Writes to the host and reads from it. Its end is the mailbox's business.
    fn poll_host(&mut self, cx: &mut Context<'_>) -> bool {
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
        let wanted =
            self.mailbox.wants_input() && self.from_host.is_empty() && self.to_client.len() < ROOM;
        if wanted && let Poll::Ready(read) = self.from_host.poll(&mut self.host, cx) {
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
                    self.bytes_out += written as u64;
                    self.client_moved = Instant::now();
                    moved = true;
                }
                if self.to_client.is_empty() {
                    self.maildrop.flushed();
                }
            }
            Poll::Pending => {}
        }
        let wanted = self.maildrop.wants_input()
            && self.from_client.is_empty()
            && !self.from_client.is_closed();
        if wanted && let Poll::Ready(read) = self.from_client.poll(self.client, cx) {
            self.bytes_in += read? as u64;
            self.client_moved = Instant::now();
            moved = true;
        }
        Ok(moved)
    }

    /// Who is waited for, and until when.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended>> {
        loop {
            let client = self.client_moved + self.idle;
            let silence = match self.maildrop.is_quitting() {
                true => UPDATE_SILENCE,
                false => HOST_SILENCE,
            };
            let host = self.host_moved + silence;
            let for_client = !self.to_client.is_empty() || self.progress == Progress::Input;
            let for_host = self.mailbox.busy() && self.to_client.len() < ROOM;
            let deadline = match (for_client, for_host) {
                (true, true) => client.min(host),
                (false, true) => host,
                _ => client,
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
            // Not at once again, whatever follows.
            self.timer.as_mut().reset(now + self.idle.min(HOST_SILENCE));
            if for_host && deadline == host {
                self.mailbox.closed();
                self.host_moved = now;
                return Poll::Ready(None);
            }
            // RFC 1939 §3: without a response, and nothing is removed.
            return Poll::Ready(Some(Ended::new(EndedBy::Gateway, "idle")));
        }
    }

    /// The client is gone: flags are set, and the host is told goodbye.
    async fn leave(&mut self) {
        self.to_client.close();
        if let Some(update) = self.maildrop.leave() {
            self.mailbox.ask(ask::Ask::Enough);
            self.mailbox.ask(ask::Ask::Update(update));
        } else if self.mailbox.is_dead() {
            return;
        } else {
            self.mailbox.logout();
            self.to_host.take(self.mailbox.output());
            let _ = poll_fn(|cx| self.to_host.poll_all(&mut self.host, cx)).await;
            return;
        }
        poll_fn(|cx| {
            loop {
                self.to_host.take(self.mailbox.output());
                let octets = self.from_host.octets();
                let (consumed, event) = self.mailbox.receive(octets);
                let over = matches!(event, Some(Event::Updated(_) | Event::Lost(_)));
                let idle = event.is_none();
                self.from_host.consume(consumed);
                if over {
                    self.mailbox.logout();
                    self.to_host.take(self.mailbox.output());
                    let _ = self.to_host.poll(&mut self.host, cx);
                    return Poll::Ready(());
                }
                if idle && !self.poll_host(cx) {
                    if self.mailbox.is_dead() {
                        return Poll::Ready(());
                    }
                    return Poll::Pending;
                }
            }
        })
        .await;
    }
}

/// Whether somebody waits for the answer.
fn wants_answer(ask: &Ask) -> bool {
    match ask {
        Ask::Fetch(_, when) => *when == When::Now,
        Ask::Access | Ask::Update(_) => true,
        Ask::Enough => false,
    }
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
