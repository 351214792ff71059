//! One login on one host: reach it, log in, and say what a failure means for the next attempt.

use std::sync::Arc;

use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout};

use super::config::{Endpoint, ForwardClient, Security};
use super::health::{By, Change};
use super::host::Host;
use super::login::{Patience, Played, play};
use super::pool::{Greeted, Opener};
use super::visit::{Errand, Waits, certified_name};
use super::{Answering, Awaited, Backend, Connected, Dialogue, Request};
use crate::protocol::sasl;
use crate::protocol::{
    Client, Code, Credentials as Shown, Failure, HostLogin, Origin, Protocol, StartTls, UserName,
    imap,
};
use crate::state::{Claim, Claimed, Pass, Place};

/// What a failure means for the login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The user has sessions elsewhere: there, or leaving already.
    Occupied(Option<Place>),
    /// The user was held or moved meanwhile.
    Changed,
    /// It is the answer.
    GiveUp,
    /// Another host may say yes; this one will not.
    Elsewhere,
    /// Another host may, and later this one.
    Again,
    /// The host was not even asked: it is known to be down.
    Skipped,
}

type Failed = (Failure, Then);

impl Backend {
    /// Of the two times the one is until when there is patience with hosts, and later for each wait that is
    /// nobody's fault; the other becomes when this host was reached for.
    pub(super) async fn attempt(
        &self,
        host: &Arc<Host>,
        request: &Request<'_>,
        pass: &Pass,
        dialogue: &mut dyn Dialogue,
        (patience, asked_at): (&mut Instant, &mut Instant),
    ) -> Result<Connected, Failed> {
        let endpoint = endpoint(host, request.protocol)?;
        let shown = self.shown(request);
        let (user, credentials) = shown.map_err(|failure| (failure, Then::GiveUp))?;
        let mut seat = match request.seat.and_then(|seat| seat.beside(host)) {
            Some(seat) => seat,
            None => (host.sit()).map_err(|failure| (failure, self.if_full(host, pass)))?,
        };
        host.ask(endpoint.protocol)
            .map_err(|failure| (failure, Then::Skipped))?;
        let queued = Instant::now();
        let turn = timeout(self.config.login_timeout, host.turn(endpoint.protocol)).await;
        let turn = turn.map_err(|_| (Failure::TimedOut { state: "queue" }, Then::Elsewhere))?;
        let mut dialogue = Heard {
            dialogue,
            heard: Challenges::None,
            turn: Some(turn.map_err(|failure| (failure, Then::Skipped))?),
        };
        // That others were before is nothing this host is blamed for.
        *patience += queued.elapsed();

        // Last before the host is asked: whoever waits for a turn need not keep others away.
        seat.claimed(self.claim(host, pass).await?);
        *asked_at = Instant::now();
        dialogue.awaits(Awaited::Judge);
        let login = HostLogin {
            user,
            credentials,
            starttls: starttls(endpoint),
            seed: unpredictable(),
            origin: self.told_in_login(endpoint.protocol, request),
            // A relayed client's commands stay with whoever relays: they are its own.
            behind: match (request.protocol, endpoint.protocol) {
                (Protocol::Pop3, Protocol::Imap) => request.behind.to_vec(),
                _ => Vec::new(),
            },
        };
        let waits = Waits::of(&self.config, *patience);
        let greeted = self
            .log_in_greeted(host, endpoint, &login, &mut dialogue)
            .await;
        let played = match greeted {
            Some(played) => played,
            None => {
                let errand = Errand::LogIn(Box::new(login), request.origin.as_ref());
                self.visit(host, endpoint, errand, waits, &mut dialogue)
                    .await
            }
        };
        match played {
            Ok(Played {
                stream,
                welcome,
                until,
            }) => {
                host.gate.answered();
                let change = host.reached(endpoint.protocol, By::Login);
                self.report(host, endpoint.protocol, change, None);
                if let Err(full) = seat.settle() {
                    // Others were let in while this one was on its way. Closed first, and what this login
                    // had here is no reason to stay.
                    drop((stream, seat));
                    let then = match dialogue.heard {
                        Challenges::None => self.if_full(host, pass),
                        Challenges::Some => Then::GiveUp,
                    };
                    return Err((full, then));
                }
                self.expect_more(host, endpoint, request);
                Ok(Connected {
                    stream,
                    speaks: endpoint.protocol,
                    welcome,
                    seat,
                    until,
                })
            }
            Err((failure, credentials)) => {
                let failure = self.whose(failure);
                let then = match dialogue.heard {
                    Challenges::None => verdict(&failure, credentials),
                    // The client is in the middle of a talk with this host.
                    Challenges::Some => Then::GiveUp,
                };
                let change = match (&then, &failure) {
                    (Then::Again, _) => host.not_reached(endpoint.protocol, By::Login, &failure),
                    (_, Failure::Refused { .. }) => {
                        host.gate.answered();
                        host.reached(endpoint.protocol, By::Login)
                    }
                    // It was there and is not any more, or it says what it should not: the next
                    // login will see, and the next probe.
                    _ => Change::None,
                };
                self.report(host, endpoint.protocol, change, Some(&failure));
                let session = request
                    .origin
                    .as_ref()
                    .map(|origin| origin.session.as_str());
                tracing::debug!(event = "login_attempt", backend = self.name(), host = host.name(), session, %failure, ?then);
                Err((failure, then))
            }
        }
    }

    /// The user's sessions are to be on this host from now on.
    async fn claim(&self, host: &Host, pass: &Pass) -> Result<Claim, Failed> {
        let elsewhere = Failure::TimedOut {
            state: "sessions on another host",
        };
        match self.around.state.claim(pass, &self.place(host)).await {
            Claimed::Here(claim) => Ok(claim),
            Claimed::At(place) => Err((elsewhere, Then::Occupied(Some(place)))),
            Claimed::Leaving => Err((elsewhere, Then::Occupied(None))),
            Claimed::Changed => Err((elsewhere, Then::Changed)),
        }
    }

    /// What the host is shown: what the client showed, or a master's.
    fn shown(&self, request: &Request<'_>) -> Result<(UserName, Shown), Failure> {
        match (&self.config.login_as, request.credentials) {
            (Some(master), Shown::Password(_) | Shown::Certificate) => master.login(request.user),
            // Nobody has looked at these: the host would have, and is asked by the master instead.
            (Some(_), shown @ (Shown::Token(_) | Shown::Scram(_))) => {
                let cause = "login_as with credentials that were not checked".into();
                Err(shown.not_taken(cause))
            }
            (None, Shown::Certificate) => Err(Failure::HostSetup {
                cause: format!(
                    "backend {} has no login_as, which a login by certificate needs",
                    self.name()
                ),
            }),
            (None, shown) => Ok((request.user.clone(), shown.clone())),
        }
    }

    /// A host that refuses a master's login does not say that the client's password is wrong: that
    /// one was found right before.
    fn whose(&self, failure: Failure) -> Failure {
        match self.config.login_as.is_some() && failure.is_credentials() {
            true => Failure::HostSetup {
                cause: format!("login_as: {failure}"),
            },
            false => failure,
        }
    }

    /// The same on a connection that waits greeted, for a poll. None: nothing waits, or what did
    /// ended without a word: it may have been dead before the login was sent, so the same host is
    /// asked once more, on a connection of its own. A host that said anything may have heard it.
    async fn log_in_greeted(
        &self,
        host: &Host,
        endpoint: &Endpoint,
        login: &HostLogin,
        dialogue: &mut Heard<'_>,
    ) -> Option<Result<Played, (Failure, Credentials)>> {
        if endpoint.protocol != Protocol::Imap || login.behind.is_empty() {
            return None;
        }
        let Greeted { stream, greeting } = host.pool.take().await?;
        let mut client = imap::client::Client::new(login.clone(), host.known.profile());
        client.receive(&greeting);
        let patience = Patience {
            greeting: Instant::now() + self.config.greeting_timeout,
            login: self.config.login_timeout,
        };
        let name = certified_name(&self.config, endpoint);
        let tls = self.tls.as_deref().map(|tls| (tls, name));
        match (
            play(stream, &mut client, patience, tls, dialogue).await,
            dialogue.heard,
        ) {
            (Err(Failure::Unreachable { .. }), Challenges::None)
                if client.heard() == greeting.len() || !client.credentials_sent() =>
            {
                None
            }
            (played, _) => {
                host.known.learn(client.learned());
                Some(played.map_err(|failure| match client.credentials_sent() {
                    true => (failure, Credentials::Sent),
                    false => (failure, Credentials::Kept),
                }))
            }
        }
    }

    /// A poll was let in: connections for the next ones may wait. Not where each must begin with who
    /// the client is.
    fn expect_more(&self, host: &Host, endpoint: &Endpoint, request: &Request<'_>) {
        let poll = (request.protocol, endpoint.protocol) == (Protocol::Pop3, Protocol::Imap);
        if !poll || self.told_first(None).is_some() {
            return;
        }
        let (tls, names) = (self.tls.as_ref(), self.names.get());
        let opener = Opener::new(&self.config, endpoint, tls, names, &self.around);
        if let Some(opener) = opener {
            host.pool.polled(|| opener.clone().open());
        }
    }

    /// Who the client is, for hosts that hear it in their protocol. A PROXY header has no place for the
    /// session's id that a mail server would log, so behind one it is told as well, where the host
    /// offers to hear it.
    fn told_in_login(&self, speaks: Protocol, request: &Request<'_>) -> Option<Origin> {
        match (self.config.forward_client, speaks) {
            (ForwardClient::Auto | ForwardClient::ProxyV1 | ForwardClient::ProxyV2, _)
            | (ForwardClient::Id, Protocol::Imap)
            | (ForwardClient::Xclient, Protocol::Pop3) => request.origin.clone(),
            _ => None,
        }
    }

    /// A host that is full: others take its new users, but a user with sessions there stays whole.
    fn if_full(&self, host: &Host, pass: &Pass) -> Then {
        let live = self.around.state.pinned(pass);
        match live.is_some_and(|live| live == self.place(host)) {
            true => Then::GiveUp,
            false => Then::Elsewhere,
        }
    }

    pub(super) fn report(
        &self,
        host: &Host,
        protocol: Protocol,
        change: Change,
        failure: Option<&Failure>,
    ) {
        let (backend, host, protocol) = (self.name(), host.name(), protocol.as_str());
        match (change, failure) {
            (Change::WentDown, Some(failure)) => {
                tracing::warn!(target: "gatepost", event = "host_down", backend, host, protocol, %failure);
            }
            (Change::CameBack { after }, _) => {
                let seconds = after.as_secs_f64();
                tracing::info!(target: "gatepost", event = "host_up", backend, host, protocol, down_for = seconds);
            }
            _ => {}
        }
    }
}

/// Notes whether the client has heard anything of this host, and gives the turn back when it does: from
/// then on how long the login takes is the client's to say, and others are not to wait for that.
struct Heard<'a> {
    dialogue: &'a mut dyn Dialogue,
    heard: Challenges,
    turn: Option<SemaphorePermit<'a>>,
}

#[derive(Clone, Copy)]
enum Challenges {
    None,
    Some,
}

impl Dialogue for Heard<'_> {
    fn awaits(&mut self, what: Awaited) {
        self.dialogue.awaits(what);
    }

    fn is_there(&self) -> bool {
        self.dialogue.is_there()
    }

    fn exchange(&mut self, challenge: sasl::Message) -> Answering<'_> {
        self.heard = Challenges::Some;
        self.turn = None;
        self.dialogue.exchange(challenge)
    }
}

/// Whether the host has seen credentials of this login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    Kept,
    Sent,
}

/// What a failure means. Only what says "not reached" before credentials were sent is tried again,
/// and only a host that calls itself unavailable passes a login on: every other answer would be the
/// same elsewhere, or would show a password to one host more.
fn verdict(failure: &Failure, credentials: Credentials) -> Then {
    match (failure, credentials) {
        (Failure::Unreachable { .. } | Failure::TimedOut { .. }, Credentials::Kept) => Then::Again,
        (
            Failure::Refused {
                code: Code::Unavailable,
                ..
            },
            _,
        ) => Then::Elsewhere,
        _ => Then::GiveUp,
    }
}

/// Where a client of this protocol is served: a POP3 client also from IMAP, by translation.
fn endpoint(host: &Host, protocol: Protocol) -> Result<&Endpoint, Failed> {
    let endpoint = match protocol {
        Protocol::Imap => host.config.imap.as_ref(),
        Protocol::Pop3 => host.config.pop3.as_ref().or(host.config.imap.as_ref()),
    };
    endpoint.ok_or_else(|| {
        let cause = format!("host {} has no {protocol} endpoint", host.name());
        (Failure::HostSetup { cause }, Then::GiveUp)
    })
}

pub(super) fn starttls(endpoint: &Endpoint) -> StartTls {
    match endpoint.security {
        Security::StartTls => StartTls::Yes,
        Security::Clear | Security::Implicit => StartTls::No,
    }
}

/// A number nobody can foresee, for the tags of one login.
pub(crate) fn unpredictable() -> u128 {
    let mut octets = [0; 16];
    // Fails only where the system has no randomness at all; then a host can guess tags, as it can
    // with nearly every mail client.
    let _ = aws_lc_rs::rand::fill(&mut octets);
    u128::from_le_bytes(octets)
}
