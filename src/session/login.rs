//! One login attempt: penalties, route, host, and a place among the user's sessions (`places`), for POP3 at
//! an IMAP host an open mailbox, too (`maildrop`); `told` writes its line in the log the moment it is decided.

mod before;
mod maildrop;
mod places;
mod stake;
mod time;
mod told;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::again::Ticket;
use super::asked::{Asked, Near};
use super::authenticate::Verified;
use super::registry::LoggedIn;
use super::way::{Patience, Way};
use super::{Session, limits};
use crate::backend::{ANSWER, AfterAll, Awaited, Dialogue, Refusal, Request};
use crate::net::{Stream, TlsFacts};
use crate::protocol::sasl::{Answer, Message};
use crate::protocol::{
    Credentials, Failure, Farewell, Handover, Login, Protocol, UserName, Welcome,
};
use crate::route;
use crate::tls;

use maildrop::LetIn;
pub(super) use maildrop::Translated;
pub(super) use places::Places;
use stake::Judged;
use time::unless_left;

/// A session after its login: both streams and what is still due to either side.
pub(super) struct Bridge {
    pub(super) client: Stream,
    pub(super) handover: Handover,
    pub(super) far: Far,
    pub(super) places: Places,
    pub(super) idle: Duration,
}

/// A login that a host accepted.
pub(super) struct Accepted {
    pub(super) welcome: Welcome,
    pub(super) far: Far,
    pub(super) places: Places,
}

/// The host's side of a session.
pub(super) enum Far {
    /// The host speaks the client's protocol.
    Relayed(Stream),
    /// A POP3 session on an IMAP host, the mailbox open.
    Translated(Box<Translated>),
}

/// Of what kind of visit an attempt is a part.
pub(super) struct Visit<'a> {
    /// The client, as long as it is there.
    pub(super) near: &'a Near<'a>,
    /// Which attempt of the connection, from 1.
    pub(super) attempt: u32,
    /// When the time for login is over.
    pub(super) deadline: Instant,
    /// The TTL that a gateway in front of us said.
    pub(super) told: Option<u8>,
    pub(super) tls: Option<Tls>,
}

/// The client's TLS.
pub(super) struct Tls {
    pub(super) facts: TlsFacts,
    /// The one it has shown, verified.
    pub(super) certificate: Option<Arc<tls::Shown>>,
    /// The server that it asked for.
    pub(super) server_name: Option<Box<str>>,
}

/// What is known of an attempt so far, most of it for the log.
#[derive(Default)]
struct Facts {
    backend: Option<String>,
    host: Option<String>,
    /// How long that host took, where it did not let the user in.
    took: Option<Duration>,
    /// Set once the penalties let it pass.
    tried: Option<limits::Try>,
    /// The same under the name that was typed, where a lookup service was asked and the user has
    /// another.
    typed: Option<limits::Try>,
    /// Its part in the windows of failed logins, as long as somebody may be judging it and until what came
    /// of that is counted.
    stake: Option<limits::Stake>,
    /// That its password was found right here.
    verified: Option<Verified>,
    /// How long its user was held.
    held: Duration,
    /// Why the session is over before the attempt came to its end.
    over: Option<Farewell>,
}

/// Why a way led to no session.
enum NoWay {
    /// That is the answer.
    Failed(Failure),
    /// The user was held or moved while the login was on its way.
    AskAgain,
}

impl From<Failure> for NoWay {
    fn from(failure: Failure) -> Self {
        NoWay::Failed(failure)
    }
}

impl From<Refusal> for NoWay {
    fn from(refusal: Refusal) -> Self {
        match refusal.then {
            AfterAll::Nothing => NoWay::Failed(refusal.failure),
            AfterAll::AskTheWay => NoWay::AskAgain,
        }
    }
}

/// A login that failed.
pub(super) struct Failed {
    pub(super) failure: Failure,
    /// How long its answer is held back, counted from when it was shown.
    pub(super) delay: Duration,
    /// How long it was held, which is no part of the time for login.
    pub(super) held: Duration,
    /// Why there is no further one.
    pub(super) over: Option<Farewell>,
}

impl Session<'_> {
    /// One attempt. Whatever comes of it is logged here, once. `client` answers what the host asks.
    /// It waits no longer than until the deadline, or than the session lives, or than its client is there, but for
    /// whoever is judging it just then.
    pub(super) async fn attempt(
        &self,
        login: &Login,
        visit: &Visit<'_>,
        shown: Instant,
        client: &mut Asked<'_>,
    ) -> Result<Accepted, Failed> {
        let mut facts = Facts::default();
        let result = self.log_in(login, visit, &mut facts, client).await;
        let took = Some(shown.elapsed());
        let who = (Some(&login.user), Some(login.mechanism));
        self.log_login(who, &facts, result.as_ref().err(), took);
        let result = match result {
            Err(failure @ (Failure::NoRoute | Failure::NotTaken { .. })) => Err(self
                .refused_as_by_host(failure, login, visit, shown, client)
                .await),
            result => result,
        };
        let penalties = &self.gateway.tables.penalties;
        let mut delay = Duration::ZERO;
        match (facts.tried, &result) {
            (Some(tried), Ok(_)) => tried.succeeded(penalties),
            (Some(tried), Err(failure)) if failure.is_credentials() => {
                delay = tried.failed(penalties, &self.gateway.limits);
                // Where the host asks on, the client says how long it takes.
                if let (Failure::Refused { .. }, Credentials::Password(_)) =
                    (failure, &login.credentials)
                    && let Some(took) = facts.took
                {
                    self.gateway.tables.refused_after(took);
                }
            }
            // It is not known whether the password is wrong: the host was down, a limit was met.
            (Some(_), Err(_)) | (None, _) => {}
        }
        // Known there by either name, or strangers could fill the window of the one.
        if let (Some(typed), Ok(_)) = (facts.typed, &result) {
            typed.succeeded(penalties);
        }
        facts.stake = None;
        let Facts { held, over, .. } = facts;
        result.map_err(|failure| Failed {
            failure,
            delay,
            held,
            over,
        })
    }

    /// A host that takes tokens says in a challenge what is wrong with one, and waits for the answer (RFC 7628
    /// §3.2.3). Where none was asked the client goes through the same, or it could tell.
    async fn refused_as_by_host(
        &self,
        failure: Failure,
        login: &Login,
        visit: &Visit<'_>,
        shown: Instant,
        client: &mut Asked<'_>,
    ) -> Failure {
        let Credentials::Token(_) = login.credentials else {
            return failure;
        };
        let refused = async {
            sleep_until(shown + self.gateway.tables.refusal()).await;
            timeout(ANSWER, client.exchange(Message::wrong_token())).await
        };
        // It is counted all the same: nobody has to stay for it.
        tokio::select! {
            answer = refused => match answer {
                Ok(Answer::Message(_)) => failure,
                Ok(Answer::Abort) | Err(_) => Failure::Aborted,
            },
            _ = self.live.end_asked() => failure,
            half = visit.near.left() => {
                visit.near.depart(half);
                failure
            }
        }
    }

    async fn log_in(
        &self,
        login: &Login,
        visit: &Visit<'_>,
        facts: &mut Facts,
        client: &mut dyn Dialogue,
    ) -> Result<Accepted, Failure> {
        let route = self.find(login, visit, facts).await?;
        let mut patience = Patience::new();
        let mut changes = self.gateway.state.changes();
        loop {
            changes.mark_unchanged();
            // A hold has its own time, whatever comes of it.
            let way = unless_left(visit, self.way(&route, &mut patience)).await;
            facts.held = patience.waited();
            let way = way.map_err(|why| facts.cut(why))??;
            facts.backend = Some(way.backend.clone());
            let deadline = visit.deadline + facts.held;
            // An attempt before may have ended behind a host's yes.
            client.awaits(Awaited::Turn);
            let connected = {
                let connect = pin!(self.connect(login, visit, &route, &way, facts, client));
                self.in_time(visit, deadline, connect).await
            };
            match connected.map_err(|why| facts.cut(why))? {
                Ok(accepted) => return Ok(accepted),
                Err(NoWay::Failed(failure)) => return Err(failure),
                Err(NoWay::AskAgain) => {
                    // Nobody judges it while it waits.
                    facts.stake = None;
                    let wait = self.wait_for(&mut changes, &mut patience);
                    let waited = unless_left(visit, wait).await;
                    facts.held = patience.waited();
                    waited.map_err(|why| facts.cut(why))??;
                }
            }
        }
    }

    /// Makes the connection to where the way leads, ready to be used.
    async fn connect(
        &self,
        login: &Login,
        visit: &Visit<'_>,
        route: &route::Route,
        way: &Way,
        facts: &mut Facts,
        client: &mut dyn Dialogue,
    ) -> Result<Accepted, NoWay> {
        let (backend, user) = (&way.backend, &route.login);
        let (target, credentials) = self.target(login, route, way)?;
        self.authenticate(login, &target, facts, client).await?;
        let maildrop = self.maildrop(&target, way, user);
        let request = Request {
            protocol: self.front.protocol,
            user,
            credentials: &credentials,
            host: way.host.as_deref(),
            origin: Some(self.origin(visit.told)),
            behind: maildrop.as_ref().map_or(&[], |maildrop| maildrop.behind()),
            pass: Some(&way.pass),
            seat: None,
        };
        let mut judged = Judged {
            session: self,
            client,
            facts,
        };
        let mut connected = match target.connect_with(request, &mut judged).await {
            Ok(connected) => connected,
            Err(mut refusal) => {
                (facts.host, facts.took) = (refusal.host.take(), Some(refusal.took));
                return Err(refusal.into());
            }
        };
        let host = connected.seat.host().name().to_owned();
        facts.host = Some(host.clone());
        // What is left to do may take its time, and others wait.
        facts.stake = None;
        // Held from now on: strangers who have another password cannot fill a user's places.
        let own = self.place_of(&user.canonical()).await?;
        let (far, state) = match (maildrop, connected.speaks) {
            (Some(maildrop), Protocol::Imap) => {
                let let_in = LetIn {
                    stream: connected.stream,
                    welcome: &mut connected.welcome,
                    host: connected.seat.host(),
                    until: connected.until,
                    ticket: Ticket {
                        backend: target,
                        host: host.clone(),
                        user: user.clone(),
                        credentials: credentials.into_owned(),
                        origin: self.origin(visit.told),
                        pass: way.pass.clone(),
                    },
                };
                let translated = self.translated(maildrop, let_in).await?;
                (Far::Translated(Box::new(translated)), "translate")
            }
            (None, _) | (Some(_), Protocol::Pop3) => (Far::Relayed(connected.stream), "relay"),
        };
        self.logged_in(login, user, backend, &host, state);
        // Known to the registry first: who is asked to leave in between is asked all the same.
        let live = self.live.clone();
        let leave = move || live.end(Farewell::Kicked);
        connected.seat.on_leave(Arc::new(leave));
        Ok(Accepted {
            welcome: connected.welcome,
            far,
            places: self.places(own, connected.seat, backend),
        })
    }

    fn logged_in(
        &self,
        login: &Login,
        user: &UserName,
        backend: &str,
        host: &str,
        state: &'static str,
    ) {
        let _ = self.live.login.set(LoggedIn {
            user: login.user.to_string(),
            canonical: user.canonical(),
            backend: Arc::from(backend),
            host: Arc::from(host),
            state,
        });
    }
}
