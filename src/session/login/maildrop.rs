//! A POP3 login at a host that turns out to speak IMAP only: the commands that open the mailbox go in the same
//! burst as the login, and the maildrop is locked and open before the login is accepted.

use std::sync::Arc;

use tokio::time::Instant;

use super::time;
use crate::backend::attempt::unpredictable;
use crate::backend::{Backend, Host};
use crate::net::Stream;
use crate::protocol::pop3::config::Lock;
use crate::protocol::{Code, Failure, Protocol, UserName, Welcome, pop3};
use crate::session::again::Ticket;
use crate::session::maildrop_cache::{Home, Key, Lease, MaildropCache};
use crate::session::way::Way;
use crate::session::{Session, translate};
use crate::state::Entered;

/// A mailbox that is open, to be served as a maildrop.
pub(in crate::session) struct Translated {
    pub(in crate::session) opened: translate::Opened<Stream>,
    pub(in crate::session) settings: pop3::Settings,
    /// Whose it is: what it holds in the end is remembered under this.
    pub(in crate::session) maildrop: Key,
    /// Where it is.
    pub(in crate::session) home: Home,
    pub(in crate::session) remembered: Arc<MaildropCache>,
    /// Held to the session's end, where only one session may use a maildrop.
    pub(in crate::session) lease: Option<Locked>,
    /// For another connection, if this one is lost.
    pub(in crate::session) ticket: Ticket,
}

/// A maildrop that no other session has, of this process and over all gateways.
pub(in crate::session) struct Locked {
    _here: Lease,
    _together: Entered,
}

/// A maildrop that may have to be made from a mailbox.
pub(super) struct Maildrop {
    key: Key,
    opening: translate::Opening,
}

/// A host's yes, to open a mailbox behind.
pub(super) struct LetIn<'a> {
    pub(super) stream: Stream,
    pub(super) welcome: &'a mut Welcome,
    pub(super) host: &'a Host,
    /// When the time for the login is over.
    pub(super) until: Instant,
    pub(super) ticket: Ticket,
}

impl Maildrop {
    /// Asked for in the same burst as the login.
    pub(super) fn behind(&self) -> &[u8] {
        self.opening.behind()
    }
}

impl Session<'_> {
    /// The maildrop that the way leads to; none for who speaks IMAP.
    pub(super) fn maildrop(
        &self,
        target: &Backend,
        way: &Way,
        user: &UserName,
    ) -> Option<Maildrop> {
        match self.front.protocol {
            Protocol::Pop3 => {}
            Protocol::Imap => return None,
        }
        let (backend, settings) = (&way.backend, &target.config().pop3);
        let key = Key {
            backend: match &way.server {
                // One name for all servers of a service: a user's may be another one next time.
                Some(server) => format!("{backend} {}:{}", server.host, server.port),
                None => backend.clone(),
            },
            user: user.to_string(),
            mailbox: settings.mailbox.clone(),
        };
        let kept = self.gateway.maildrops.get(&key);
        let (cached, home) = kept.map(|kept| (kept.snapshot, kept.home)).unzip();
        let opening = translate::prepare(settings, unpredictable(), cached).told_by(home);
        Some(Maildrop { key, opening })
    }

    /// Locks the maildrop and waits until its mailbox is open.
    pub(super) async fn translated(
        &self,
        maildrop: Maildrop,
        let_in: LetIn<'_>,
    ) -> Result<Translated, Failure> {
        let Maildrop { key, opening } = maildrop;
        let LetIn {
            stream,
            welcome,
            host,
            until,
            ticket,
        } = let_in;
        let home = Home::of(host);
        let guard = self.gateway.state.journal().map(|journal| {
            let among = self.gateway.maildrops.clone();
            translate::Guard::new(journal.clone(), key.clone(), home.clone(), among)
        });
        let mut opening = opening.on(&home).guarded(guard);
        if host.loses_bursts() {
            opening.pipelining(translate::Pipelining::Lost);
        }
        let config = ticket.backend.config();
        // That a maildrop is in use is its owner's business only, too.
        let lease = match config.pop3.lock {
            Lock::No => None,
            Lock::Yes => Some(self.locked(&key, ticket.pass.owner.as_str()).await?),
        };
        let wait = time::remaining(until);
        let opened = translate::open(stream, welcome, opening, wait).await;
        // A host that was slow before may be just that.
        if let Err(translate::Unopened::LostBurst) = opened
            && wait >= config.login_timeout / 2
        {
            // The next time it is given one command at a time.
            host.lost_burst();
        }
        let opened = opened?;
        let (messages, octets) = opened.size();
        welcome.text = format!("{messages} messages, {octets} octets");
        Ok(Translated {
            opened,
            settings: config.pop3.clone(),
            maildrop: key,
            home,
            remembered: self.gateway.maildrops.clone(),
            lease,
            ticket,
        })
    }

    /// The maildrop for this session alone.
    async fn locked(&self, maildrop: &Key, owner: &str) -> Result<Locked, Failure> {
        let in_use = || Failure::Refused {
            code: Code::InUse,
            alert: None,
        };
        let here = self.gateway.maildrops.lease(maildrop);
        let here = here.ok_or_else(in_use)?;
        let lock = format!("pop3/{owner}/{}", maildrop.mailbox);
        let together = self.gateway.state.enter(vec![(lock, 1)]).await;
        Ok(Locked {
            _here: here,
            _together: together.map_err(|_| in_use())?,
        })
    }
}
