//! Opening a mailbox: its commands go behind the login or after it, and no login is accepted before
//! the host said yes to them. Also for a connection that takes the place of a lost one.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::guard::{Guard, Holding};
use super::measure::measure;
use super::talk::Talk;
use crate::protocol::imap::ask::{self, Event};
use crate::protocol::imap::mailbox::Mailbox;
use crate::protocol::imap::snapshot::Snapshot;
use crate::protocol::pop3::Settings;
use crate::protocol::pop3::config::Sizes;
use crate::protocol::{Behind, Failure, Welcome};
use crate::session::maildrop_cache::Home;

/// A mailbox about to be opened.
pub struct Opening {
    mailbox: Mailbox,
    commands: Vec<u8>,
    sizes: Sizes,
    cached: Option<Arc<Snapshot>>,
    /// Where that mail is.
    home: Option<Home>,
    guard: Option<Guard>,
    pipelining: Pipelining,
}

/// Whether a host takes commands before it has answered the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipelining {
    /// As IMAP has it (RFC 9051 §5.5).
    Kept,
    /// It was seen to lose them.
    Lost,
}

/// Makes ready to open a maildrop. `seed` is unpredictable; `cached` is what the mailbox held when
/// the user's last session ended.
pub fn prepare(settings: &Settings, seed: u128, cached: Option<Arc<Snapshot>>) -> Opening {
    let mut mailbox = Mailbox::new(settings, seed, cached.clone());
    let commands = mailbox.opening();
    Opening {
        mailbox,
        commands,
        sizes: settings.sizes,
        cached,
        home: None,
        guard: None,
        pipelining: Pipelining::Kept,
    }
}

impl Opening {
    /// Where the mail is of which a list is known.
    #[must_use]
    pub fn told_by(mut self, home: Option<Home>) -> Self {
        self.home = home;
        self
    }

    /// Which host let the user in: a list that was told by another one is none. The numbers were asked for
    /// already, and then the list is.
    #[must_use]
    pub fn on(mut self, home: &Home) -> Self {
        if self.home.as_ref() != Some(home) {
            self.cached = None;
            self.mailbox.forget();
        }
        self
    }

    /// With somebody who notes which marks are taken away for a moment.
    #[must_use]
    pub fn guarded(mut self, guard: Option<Guard>) -> Self {
        if guard.is_some() {
            self.mailbox.guarded();
        }
        self.guard = guard;
        self
    }

    /// How the host turned out to be. Makes a difference only before anything was sent.
    pub fn pipelining(&mut self, pipelining: Pipelining) {
        self.pipelining = pipelining;
    }

    /// The commands to be sent behind the login, where the host bears it
    /// ([`crate::backend::Request::behind`]).
    pub fn behind(&self) -> &[u8] {
        &self.commands
    }
}

/// A mailbox that is open: the login may be accepted.
pub struct Opened<H> {
    pub(super) talk: Talk<H>,
    pub(super) opened: ask::Opened,
    pub(super) guard: Holding,
}

impl<H> Opened<H> {
    /// How many messages the maildrop has, and how many octets they have in all.
    pub fn size(&self) -> (usize, u64) {
        (self.opened.snapshot.len(), self.opened.snapshot.total())
    }
}

/// Why a maildrop cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// The mailbox cannot be opened, or not in time.
    Failed(Failure),
    /// The time was over while the commands had gone out together, and the host has answered some of them
    /// and fallen silent: it may throw away what comes behind a command.
    LostBurst,
}

impl From<Unopened> for Failure {
    fn from(unopened: Unopened) -> Self {
        match unopened {
            Unopened::Failed(failure) => failure,
            Unopened::LostBurst => Failure::TimedOut {
                state: "select, in one burst",
            },
        }
    }
}

/// Waits until the mailbox is open, at most `wait`. Takes [`Welcome::rest`] out of `welcome`: it is
/// the host's answer to us, not to the client.
pub async fn open<H>(
    host: H,
    welcome: &mut Welcome,
    opening: Opening,
    wait: Duration,
) -> Result<Opened<H>, Unopened>
where
    H: AsyncRead + AsyncWrite + Unpin,
{
    let Opening {
        mut mailbox,
        commands,
        sizes,
        cached,
        home: _,
        guard,
        pipelining,
    } = opening;
    let from_host = welcomed(&mut mailbox, welcome, commands, pipelining);
    let mut talk = Talk {
        host,
        mailbox,
        from_host,
    };
    let opening = async {
        let mut opened = open_with(&mut talk).await?;
        let guard = match guard {
            Some(guard) if talk.mailbox.expunges_plainly() => {
                let uid_validity = opened.snapshot.uid_validity;
                guard.restore(&mut talk, uid_validity).await
            }
            guard => Holding::from(guard),
        };
        if let Some(cached) = cached.as_ref().filter(|_| sizes != Sizes::Trust)
            && !Arc::ptr_eq(cached, &opened.snapshot)
        {
            Arc::make_mut(&mut opened.snapshot).recall(cached);
        }
        match sizes {
            Sizes::Exact => measure(&mut talk, &mut opened, cached.as_deref()).await?,
            Sizes::Trust | Sizes::Learn => {}
        }
        Ok::<_, NotOpen>((opened, guard))
    };
    match timeout(wait, opening).await {
        Ok(Ok((opened, guard))) => Ok(Opened {
            talk,
            opened,
            guard,
        }),
        Ok(Err(why)) => Err(Unopened::Failed(why.into())),
        Err(_) if talk.mailbox.is_stuck_in_burst() => Err(Unopened::LostBurst),
        Err(_) => Err(Unopened::Failed(Failure::TimedOut { state: "select" })),
    }
}

/// Why a mailbox was not opened.
pub(super) enum NotOpen {
    Failed(Failure),
    /// Its UIDs mean other messages now.
    Poisoned,
}

impl From<NotOpen> for Failure {
    fn from(why: NotOpen) -> Self {
        match why {
            NotOpen::Failed(failure) => failure,
            NotOpen::Poisoned => Failure::HostProtocol {
                expected: "one UIDVALIDITY",
                got: "another one".into(),
            },
        }
    }
}

/// Takes what a host said when it accepted the login; the octets that came behind it.
pub(super) fn welcomed(
    mailbox: &mut Mailbox,
    welcome: &mut Welcome,
    commands: Vec<u8>,
    pipelining: Pipelining,
) -> Vec<u8> {
    if let Some(capabilities) = &welcome.capabilities {
        mailbox.can(capabilities);
    }
    match (welcome.behind, pipelining) {
        (Behind::Sent, _) => mailbox.sent_behind_login(),
        (Behind::NotSent, Pipelining::Kept) => drop(mailbox.output().splice(0..0, commands)),
        (Behind::NotSent, Pipelining::Lost) => mailbox.one_by_one(&commands),
    }
    welcome.untagged = Vec::new();
    std::mem::take(&mut welcome.rest)
}

/// Waits for the host's yes.
pub(super) async fn open_with<H>(talk: &mut Talk<H>) -> Result<ask::Opened, NotOpen>
where
    H: AsyncRead + AsyncWrite + Unpin,
{
    let opened = talk.until(|event| match event {
        Event::Opened(opened) => ControlFlow::Break(Ok(opened)),
        Event::Refused(failure) => ControlFlow::Break(Err(NotOpen::Failed(failure))),
        Event::Lost(ask::Loss::Poisoned) => ControlFlow::Break(Err(NotOpen::Poisoned)),
        _ => ControlFlow::Continue(()),
    });
    opened.await.unwrap_or_else(|error| {
        Err(NotOpen::Failed(Failure::Unreachable {
            cause: format!("connection lost while the mailbox was opened: {error}"),
        }))
    })
}
