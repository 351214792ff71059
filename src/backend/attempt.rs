//! One login on one host: reach it, log in, and say what a failure means for the next attempt.

use std::future::ready;
use std::sync::Arc;

use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout};

use super::config::{Endpoint, Security};
use super::health::{By, Change};
use super::host::Host;
use super::login::Played;
use super::visit::{Errand, Sent, Waits};
use super::{Answering, Awaited, Backend, Connected, Dialogue, Request, Seat};
use crate::protocol::sasl;
use crate::protocol::{Code, Failure, HostLogin, Protocol, StartTls};
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

/// The times of a login that its attempts go by and move on.
pub(super) struct Clock {
    /// Until when there is patience with hosts: however many are silent, their user is told within the
    /// time that one may take. Later for each wait that is nobody's fault.
    pub(super) patience: Instant,
    /// When the last host was reached for.
    pub(super) asked_at: Instant,
}

impl Backend {
    /// One attempt of a login, on one host.
    pub(super) async fn attempt(
        &self,
        host: &Arc<Host>,
        request: &Request<'_>,
        pass: &Pass,
        dialogue: &mut dyn Dialogue,
        clock: &mut Clock,
    ) -> Result<Connected, Failed> {
        let attempt = Attempt {
            backend: self,
            host,
            endpoint: endpoint(host, request.protocol)?,
            request,
            pass,
        };
        let shown = self.shown(request);
        let shown = shown.map_err(|failure| (failure, Then::GiveUp))?;
        let mut seat = attempt.seat()?;
        let turn = attempt.turn_to_show(clock, dialogue).await?;
        // Last before the host is asked: whoever waits for a turn need not keep others away.
        seat.claimed(attempt.claim().await?);
        clock.asked_at = Instant::now();
        let mut dialogue = Heard {
            dialogue,
            heard: Challenges::None,
            turn: Some(turn),
        };
        dialogue.awaits(Awaited::Judge);
        let login = self.host_login(attempt.endpoint, request, shown);
        match attempt.log_in(login, clock, &mut dialogue).await {
            Ok(played) => attempt.let_in(played, seat, dialogue.heard),
            Err((failure, sent)) => Err(attempt.turned_down(failure, sent, dialogue.heard)),
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

/// A login, and the host that it is tried on.
pub(super) struct Attempt<'a> {
    pub(super) backend: &'a Backend,
    pub(super) host: &'a Arc<Host>,
    pub(super) endpoint: &'a Endpoint,
    pub(super) request: &'a Request<'a>,
    pass: &'a Pass,
}

impl<'a> Attempt<'a> {
    /// A place on the host: beside that of the session that it is for, where that one has one there.
    fn seat(&self) -> Result<Seat, Failed> {
        match self.request.seat.and_then(|seat| seat.beside(self.host)) {
            Some(seat) => Ok(seat),
            None => (self.host.sit()).map_err(|failure| (failure, self.if_full())),
        }
    }

    /// A turn, and the client's admission: both or none. Whoever waits for a turn keeps nobody from what is to be
    /// judged beside it, and whoever waits for its admission nobody from the host.
    async fn turn_to_show(
        &self,
        clock: &mut Clock,
        dialogue: &mut dyn Dialogue,
    ) -> Result<SemaphorePermit<'a>, Failed> {
        let refused = |failure| (failure, Then::GiveUp);
        loop {
            let turn = self.turn(clock).await?;
            let waited = Instant::now();
            let mut admission = dialogue.admission();
            tokio::select! {
                biased;
                admitted = &mut admission => return admitted.map(|()| turn).map_err(refused),
                () = ready(()) => {}
            }
            drop(turn);
            admission.await.map_err(refused)?;
            clock.patience += waited.elapsed();
            // Whether the host may be asked it was told before: where one is down that is for one login at a time.
            if let Some(turn) = self.host.gate.try_turn() {
                return Ok(turn);
            }
            dialogue.awaits(Awaited::Turn);
        }
    }

    /// A turn among the logins on their way to the host; none where it is known to be down.
    async fn turn(&self, clock: &mut Clock) -> Result<SemaphorePermit<'a>, Failed> {
        let (host, speaks) = (self.host, self.endpoint.protocol);
        let skipped = |failure| (failure, Then::Skipped);
        host.ask(speaks).map_err(skipped)?;
        let queued = Instant::now();
        let turn = timeout(self.backend.config.login_timeout, host.turn(speaks)).await;
        let turn = turn.map_err(|_| (Failure::TimedOut { state: "queue" }, Then::Elsewhere))?;
        let turn = turn.map_err(skipped)?;
        // That others were before is nothing this host is blamed for.
        clock.patience += queued.elapsed();
        Ok(turn)
    }

    /// The host is asked: on a connection that waits for that, or on one of its own.
    async fn log_in(
        &self,
        login: HostLogin,
        clock: &Clock,
        dialogue: &mut Heard<'_>,
    ) -> Result<Played, (Failure, Sent)> {
        let (host, endpoint) = (self.host, self.endpoint);
        let waits = Waits::of(&self.backend.config, clock.patience);
        match self.log_in_greeted(&login, dialogue).await {
            Some(played) => played,
            None => {
                let errand = Errand::LogIn(Box::new(login), self.request.origin.as_ref());
                let visit = self.backend.visit(host, endpoint, errand, waits, dialogue);
                visit.await
            }
        }
    }

    /// The host said yes: it is well, and the login is a session, if there is room for one more.
    fn let_in(
        &self,
        played: Played,
        mut seat: Seat,
        heard: Challenges,
    ) -> Result<Connected, Failed> {
        let (host, speaks) = (self.host, self.endpoint.protocol);
        host.gate.answered();
        let change = host.reached(speaks, By::Login);
        self.backend.report(host, speaks, change, None);
        let Played {
            stream,
            welcome,
            until,
        } = played;
        if let Err(full) = seat.settle() {
            // Others were let in while this one was on its way. Closed first, and what this login
            // had here is no reason to stay.
            drop((stream, seat));
            let then = match heard {
                Challenges::None => self.if_full(),
                Challenges::Some => Then::GiveUp,
            };
            return Err((full, then));
        }
        self.expect_more();
        Ok(Connected {
            stream,
            speaks,
            welcome,
            seat,
            until,
        })
    }

    /// The host did not let the user in: what that says of the host, and what of the login.
    fn turned_down(&self, failure: Failure, sent: Sent, heard: Challenges) -> Failed {
        let (host, speaks) = (self.host, self.endpoint.protocol);
        let failure = self.backend.whose(failure);
        let then = match heard {
            Challenges::None => verdict(&failure, sent),
            // The client is in the middle of a talk with this host.
            Challenges::Some => Then::GiveUp,
        };
        let change = match (&then, &failure) {
            (Then::Again, _) => host.not_reached(speaks, By::Login, &failure),
            (_, failure) if is_answer(failure, sent) => {
                host.gate.answered();
                host.reached(speaks, By::Login)
            }
            // It was there and is not any more, or it says what it should not: the next
            // login will see, and the next probe.
            _ => Change::None,
        };
        self.backend.report(host, speaks, change, Some(&failure));
        let origin = self.request.origin.as_ref();
        let session = origin.map(|origin| origin.session.as_str());
        let (backend, host) = (self.backend.name(), host.name());
        tracing::debug!(event = "login_attempt", backend, host, session, %failure, ?then);
        (failure, then)
    }

    /// The user's sessions are to be on this host from now on.
    async fn claim(&self) -> Result<Claim, Failed> {
        let elsewhere = Failure::TimedOut {
            state: "sessions on another host",
        };
        let (state, place) = (&self.backend.around.state, self.backend.place(self.host));
        match state.claim(self.pass, &place).await {
            Claimed::Here(claim) => Ok(claim),
            Claimed::At(place) => Err((elsewhere, Then::Occupied(Some(place)))),
            Claimed::Leaving => Err((elsewhere, Then::Occupied(None))),
            Claimed::Changed => Err((elsewhere, Then::Changed)),
        }
    }

    /// A host that is full: others take its new users, but a user with sessions there stays whole.
    fn if_full(&self) -> Then {
        let live = self.backend.around.state.pinned(self.pass);
        match live.is_some_and(|live| live == self.backend.place(self.host)) {
            true => Then::GiveUp,
            false => Then::Elsewhere,
        }
    }
}

/// Notes whether the client has heard anything of this host, and gives the turn back when it does: from
/// then on how long the login takes is the client's to say, and others are not to wait for that.
pub(super) struct Heard<'a> {
    dialogue: &'a mut dyn Dialogue,
    pub(super) heard: Challenges,
    turn: Option<SemaphorePermit<'a>>,
}

/// Whether the client was asked anything by the host.
#[derive(Clone, Copy)]
pub(super) enum Challenges {
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

/// Whether a failure is what the host said to credentials: it is there, and at work.
fn is_answer(failure: &Failure, sent: Sent) -> bool {
    match failure {
        Failure::Refused { .. } | Failure::Unexplained => true,
        // It wants them in another way than it is set up for.
        Failure::HostSetup { .. } => sent == Sent::Credentials,
        _ => false,
    }
}

/// What a failure means. Only what says "not reached" before credentials were sent is tried again,
/// and only a host that calls itself unavailable passes a login on: every other answer would be the
/// same elsewhere, or would show a password to one host more.
fn verdict(failure: &Failure, sent: Sent) -> Then {
    match (failure, sent) {
        (Failure::Unreachable { .. } | Failure::TimedOut { .. }, Sent::Nothing) => Then::Again,
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
