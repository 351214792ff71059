//! One login attempt: penalties, route, host, and a place among the user's sessions (`places`); `told`
//! writes its line in the log the moment it is decided.

mod before;
mod places;
mod time;
mod told;

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, sleep_until, timeout};

use super::again::Ticket;
use super::asked::{Asked, Near};
use super::authenticate::Verified;
use super::registry::LoggedIn;
use super::way::{Patience, Way};
use super::{Session, limits, maildrop_cache, translate};
use crate::backend::attempt::unpredictable;
use crate::backend::{ANSWER, AfterAll, Awaited, Dialogue, Request};
use crate::net::{Stream, TlsFacts};
use crate::protocol::pop3::config::Lock;
use crate::protocol::sasl::{Answer, Message};
use crate::protocol::{
    Code, Credentials, Failure, Farewell, Handover, Login, Protocol, UserName, Welcome, pop3,
};
use crate::route;
use crate::state::Entered;

pub(super) use places::Places;
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

/// A mailbox that is open, to be served as a maildrop.
pub(super) struct Translated {
    pub(super) opened: translate::Opened<Stream>,
    pub(super) settings: pop3::Settings,
    /// Whose it is: what it holds in the end is remembered under this.
    pub(super) maildrop: maildrop_cache::Key,
    pub(super) remembered: Arc<maildrop_cache::MaildropCache>,
    /// Held to the session's end, where only one session may use a maildrop.
    pub(super) lease: Option<(maildrop_cache::Lease, Entered)>,
    /// For another connection, if this one is lost.
    pub(super) ticket: Ticket,
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
    pub(super) certificate: Option<CertificateDer<'static>>,
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
    /// That its password was found right here.
    verified: Option<Verified>,
    /// How long its user was held.
    held: Duration,
    /// Why the session is over before the attempt came to its end.
    over: Option<Farewell>,
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
    /// It waits no longer than until the deadline, or than the session lives, for whoever is to judge it.
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
        self.log_login(Some(login), &facts, result.as_ref().err(), took);
        let penalties = &self.gateway.tables.penalties;
        let mut delay = Duration::ZERO;
        match (facts.tried, &result) {
            (Some(tried), Ok(_)) => tried.succeeded(penalties),
            (Some(tried), Err(failure)) if failure.is_credentials() => {
                delay = tried.failed(penalties, &self.gateway.limits);
                let tables = &self.gateway.tables;
                match (failure, &login.credentials) {
                    // Where the host asks on, the client says how long it takes.
                    // What else was waited for a stranger does not wait for.
                    (Failure::Refused { .. }, Credentials::Password(_)) => {
                        facts
                            .took
                            .into_iter()
                            .for_each(|took| tables.refused_after(took));
                    }
                    (Failure::NoRoute, _) => delay = delay.max(tables.refusal()),
                    _ => {}
                }
            }
            (Some(tried), Err(_)) => tried.forgiven(penalties),
            (None, _) => {}
        }
        let result = match result {
            Err(failure @ (Failure::NoRoute | Failure::NotTaken { .. })) => {
                Err(self.refused_as_by_host(failure, login, shown, client).await)
            }
            result => result,
        };
        match (facts.typed, &result) {
            // Known there by either name, or strangers could fill the window of the one.
            (Some(typed), Ok(_)) => typed.succeeded(penalties),
            (Some(typed), Err(_)) => typed.forgiven(penalties),
            (None, _) => {}
        }
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
        shown: Instant,
        client: &mut Asked<'_>,
    ) -> Failure {
        let Credentials::Token(_) = login.credentials else {
            return failure;
        };
        sleep_until(shown + self.gateway.tables.refusal()).await;
        match timeout(ANSWER, client.exchange(Message::wrong_token())).await {
            Ok(Answer::Message(_)) => failure,
            Ok(Answer::Abort) | Err(_) => Failure::Aborted,
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
            let connect = self.connect(login, visit, &route, &way, facts, client);
            let connected = self.in_time(visit, deadline, connect).await;
            match connected.map_err(|why| facts.cut(why))? {
                Ok(accepted) => return Ok(accepted),
                Err((failure, AfterAll::Nothing)) => return Err(failure),
                // Held or moved while this one was on its way.
                Err((_, AfterAll::AskTheWay)) => {
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
    ) -> Result<Accepted, (Failure, AfterAll)> {
        let refused = |failure| (failure, AfterAll::Nothing);
        let (backend, user) = (&way.backend, &route.login);
        // What a lookup service gave takes the place of what it was given.
        let given = route.password.clone().map(Credentials::Password);
        let credentials = match (&given, &login.credentials) {
            (Some(_), Credentials::Scram(_)) => {
                return Err(refused(Failure::HostSetup {
                    cause: "a lookup service gave a password for SCRAM, which it cannot check"
                        .into(),
                }));
            }
            (Some(given), _) => given,
            (None, shown) => shown,
        };
        let target = &match &way.server {
            Some(server) => {
                let endpoint = server.endpoint(self.front.protocol);
                let source = Arc::from(backend.as_str());
                let found = self.gateway.answered.get(&source, &endpoint);
                found.map_err(refused)?
            }
            None => {
                let found = self.gateway.backends.get(backend).cloned();
                found.ok_or_else(|| {
                    let cause = format!("no backend {backend:?}");
                    refused(Failure::HostSetup { cause })
                })?
            }
        };
        // Judged here: to its end, as strangers' passwords are, which are checked in vain.
        client.awaits(Awaited::Judge);
        let checked = self.authenticate(login, target, &mut facts.verified).await;
        client.awaits(Awaited::Turn);
        checked.map_err(refused)?;
        let settings = &target.config().pop3;
        // Asked for in the same burst as the login, where the host turns out to speak IMAP only.
        let maildrop = maildrop_cache::Key {
            backend: match &way.server {
                // One name for all servers of a service: a user's may be another one next time.
                Some(server) => format!("{backend} {}:{}", server.host, server.port),
                None => backend.clone(),
            },
            user: user.to_string(),
            mailbox: settings.mailbox.clone(),
        };
        let opening = match self.front.protocol {
            Protocol::Pop3 => {
                let cached = self.gateway.maildrops.get(&maildrop);
                let guard = self.gateway.state.journal().map(|journal| {
                    let among = self.gateway.maildrops.clone();
                    translate::Guard::new(journal.clone(), maildrop.clone(), among)
                });
                Some(translate::prepare(settings, unpredictable(), cached).guarded(guard))
            }
            Protocol::Imap => None,
        };
        let request = Request {
            protocol: self.front.protocol,
            user,
            credentials,
            host: way.host.as_deref(),
            origin: Some(self.origin(visit.told)),
            behind: opening.as_ref().map_or(&[], |opening| opening.behind()),
            pass: Some(&way.pass),
            seat: None,
        };
        let mut connected = match target.connect_with(request, client).await {
            Ok(connected) => connected,
            Err(refusal) => {
                (facts.host, facts.took) = (refusal.host, Some(refusal.took));
                return Err((refusal.failure, refusal.then));
            }
        };
        let host = connected.seat.host().name().to_owned();
        facts.host = Some(host.clone());
        // Held from now on: strangers who have another password cannot fill a user's places.
        let own = self.place_of(&user.canonical()).await.map_err(refused)?;
        let (far, state) = match (opening, connected.speaks) {
            (Some(mut opening), Protocol::Imap) => {
                if connected.seat.host().loses_bursts() {
                    opening.pipelining(translate::Pipelining::Lost);
                }
                // That a maildrop is in use is its owner's business only, too.
                let lease = match settings.lock {
                    Lock::No => None,
                    Lock::Yes => {
                        let code = Code::InUse;
                        let in_use = refused(Failure::Refused { code, alert: None });
                        let lease = self.gateway.maildrops.lease(&maildrop);
                        let lease = lease.ok_or_else(|| in_use.clone())?;
                        let maildrop_cache::Key { mailbox, .. } = &maildrop;
                        let lock = format!("pop3/{}/{mailbox}", way.pass.owner.as_str());
                        let entered = self.gateway.state.enter(vec![(lock, 1)]).await;
                        Some((lease, entered.map_err(|_| in_use)?))
                    }
                };
                let welcome = &mut connected.welcome;
                let wait = time::remaining(connected.until);
                let opened = translate::open(connected.stream, welcome, opening, wait).await;
                let stuck =
                    matches!(opened, Err(Failure::TimedOut { state }) if state == translate::BURST);
                // A host that was slow before may be just that.
                if stuck && wait >= target.config().login_timeout / 2 {
                    // The next time it is given one command at a time.
                    connected.seat.host().lost_burst();
                }
                let opened = opened.map_err(refused)?;
                let (messages, octets) = opened.size();
                welcome.text = format!("{messages} messages, {octets} octets");
                let translated = Translated {
                    opened,
                    settings: settings.clone(),
                    maildrop,
                    remembered: self.gateway.maildrops.clone(),
                    lease,
                    ticket: Ticket {
                        backend: target.clone(),
                        host: host.clone(),
                        user: user.clone(),
                        credentials: credentials.clone(),
                        origin: self.origin(visit.told),
                        pass: way.pass.clone(),
                    },
                };
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
