//! THE STORY: one client connection, from greeting to goodbye.
//!
//! [`run`] is the life of a session: greet and converse until somebody shows credentials, find the
//! route, log in to a host, hand over, and then move bytes (`relay`) or serve a maildrop from a
//! mailbox (`translate`) until one side is done. What belongs to a step lives in its own file:
//! `converse` (the talk before login), `login` (one attempt), `relay`, `translate`; `registry` and
//! `limits` know what lives and how many may.

mod again;
mod asked;
pub mod authenticate;
pub mod config;
mod converse;
pub mod director;
mod ended;
mod greet;
mod held;
mod leaving;
pub mod limits;
mod login;
pub mod maildrop_cache;
mod offers;
pub mod registry;
mod relay;
pub mod traffic;
pub mod translate;
mod way;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

pub use authenticate::Authenticator;
pub use config::{Limits, Rate, Timeouts};
pub use converse::{Upgrade, start_tls};
pub use ended::{Ended, EndedBy};
pub use greet::{Greeted, greet, no_room};
use greet::{channel, meet, server};
use login::{Bridge, Failed, Far};
pub use maildrop_cache::MaildropCache;
pub use registry::Registry;

use crate::backend::{Answered, Backends, Seat};
use crate::net::{Peer, Stream};
use crate::observe::metrics::Pop3Action;
use crate::observe::{SessionIds, metrics, transcript};
use crate::protocol::proxy_header::Beginning;
use crate::protocol::{ClearLogin, Failure, Farewell, Handover, Protocol, Refused, Server};
use crate::route::Router;
use crate::state::State;
use asked::{Asked, Near};
use converse::{Said, converse, show_certificate};
use leaving::{gone, held_back, leave, linger, make_room};

/// What every session of the process shares: one consistent set of settings and the live tables.
pub struct Gateway {
    /// Who goes where.
    pub router: Router,
    /// The servers we log in to.
    pub backends: Backends,
    /// Those that a lookup service names by address.
    pub answered: Arc<Answered>,
    /// Checks passwords; none: the hosts do.
    pub authenticate: Option<Arc<Authenticator>>,
    /// Limits.
    pub limits: Limits,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// How many there are.
    pub tables: Arc<limits::Tables>,
    /// Which there are.
    pub registry: Arc<Registry>,
    /// What maildrops held the last time.
    pub maildrops: Arc<MaildropCache>,
    /// What is remembered beyond a session.
    pub state: Arc<State>,
    /// Their ids.
    pub ids: Arc<SessionIds>,
    /// What is counted of all of them.
    pub metrics: Arc<metrics::Gateway>,
    /// What is counted of each backend, by name.
    pub backend_metrics: BTreeMap<String, metrics::Backend>,
}

/// A listener, as its sessions see it.
pub struct Front {
    /// Label in logs and metrics.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Text of the greeting.
    pub greeting: String,
    /// List shown before login instead of ours.
    pub capabilities: Option<Vec<String>>,
    /// Whether a login is taken without TLS.
    pub clear_login: ClearLogin,
    /// TLS, where it is offered in mid-stream.
    pub upgrade: Option<Upgrade>,
    /// Whether clients are asked for certificates.
    pub certificates: Certificates,
}

/// Whether clients are asked for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Yes: `client_ca`.
    Asked,
    /// No.
    NotAsked,
}

/// A connection that is ready for its greeting.
pub struct Arrival {
    /// The client's stream; implicit TLS is on already.
    pub stream: Stream,
    /// Who it is.
    pub peer: Peer,
    /// Its place among the connections, given back when the session is over.
    pub place: limits::Connection,
    /// When it was accepted: the time for login counts from here.
    pub accepted: Instant,
    /// Where the greeting has been said already.
    pub greeted: Option<Greeted>,
}

/// Runs one session to its end and says in the log how it ended. Settings are held until login only:
/// a session may live for days, and an old map of users is not to live with it.
///
/// Not an `async fn`: that would keep what has arrived a second time.
pub fn run(
    arrival: Arrival,
    front: Arc<Front>,
    gateway: Arc<Gateway>,
) -> impl Future<Output = ()> + Send {
    let Arrival {
        stream,
        peer,
        mut place,
        accepted,
        greeted,
    } = arrival;
    async move {
        let (id, server, said) = match greeted {
            Some(Greeted { id, server, said }) => (id, Some(server), said),
            None => (gateway.ids.next().to_string(), None, Vec::new()),
        };
        let entry = gateway.registry.enter(
            id,
            front.protocol,
            peer.client,
            stream.tls().map(|tls| tls.version),
        );
        let stream = match transcript::tap(front.protocol, peer.client.ip(), &entry.id) {
            Some(mut tap) => {
                tap.sent(&said);
                stream.tapped(tap)
            }
            None => stream,
        };
        let metrics = gateway.metrics.clone();
        let session = Session {
            live: &entry,
            peer: &peer,
            front: &front,
            gateway: &gateway,
        };
        // Boxed, as what follows is: what a login needs is freed before the long, idle part of a
        // session begins, and that has no more room than it needs. Written where it stays: it has 10 KiB, most
        // of them empty yet, and would be made on the stack and copied whole.
        let room = Box::new_uninit();
        let login = Box::write(room, session.until_login(stream, server, accepted, &place));
        let login = Box::into_pin(login).await;
        drop((front, gateway));
        let serving = login.map(|bridge| {
            place.settled();
            serve(&entry, &metrics, bridge)
        });
        let ended = match serving {
            Ok(serving) => serving.await,
            Err(ended) => ended,
        };
        log_end(&entry, &metrics, &ended);
    }
}

/// One session's own things and the shared ones.
struct Session<'a> {
    live: &'a Arc<registry::Live>,
    peer: &'a Peer,
    front: &'a Front,
    gateway: &'a Gateway,
}

impl Session<'_> {
    /// Greets and converses until a login is accepted.
    async fn until_login(
        &self,
        mut stream: Stream,
        greeted: Option<Box<dyn Server>>,
        accepted: Instant,
        place: &limits::Connection,
    ) -> Result<Bridge, Ended> {
        let mut deadline = accepted + self.gateway.timeouts.login;
        let mut server = greeted.unwrap_or_else(|| {
            let channel = channel(self.front, &stream);
            let name = stream.server_name();
            let mut server = server(self.front, self.gateway, &self.live.id, channel, name);
            meet(self.gateway, self.ip(), &mut *server);
            server
        });
        show_certificate(&stream, &mut *server);
        let mut failed = 0;
        let mut beginning = Beginning::default();
        let mut refused = |refused: &Refused| self.log_refused(refused);
        loop {
            let said = tokio::select! {
                // What came in one piece with a login that took all the time is none any more.
                biased;
                () = sleep_until(deadline) => {
                    return Err(leave(stream, &mut *server, Farewell::Timeout, place).await);
                }
                reason = self.live.end_asked() => {
                    return Err(leave(stream, &mut *server, reason, place).await);
                }
                () = place.told_to_go() => return Err(make_room(stream, &mut *server).await),
                said = converse(
                    &mut stream,
                    &mut *server,
                    self.front.upgrade.as_ref(),
                    Some(&mut beginning),
                    &mut refused,
                ) => said,
            };
            if let Some(tls) = stream.tls() {
                let _ = self.live.tls.set(tls.version);
            }
            let login = match said {
                Ok(Said::Login(login)) => login,
                Ok(Said::Secured) => {
                    beginning = Beginning::default();
                    let name = stream.server_name();
                    server.serve(offers::mechanisms(self.front, self.gateway, name));
                    show_certificate(&stream, &mut *server);
                    continue;
                }
                Ok(Said::Proxied) => {
                    let metrics = &self.gateway.metrics;
                    metrics.refused(metrics::Refused::ProxyHeader);
                    return Err(Ended::new(EndedBy::Gateway, "PROXY header"));
                }
                other => return Err(gone(stream, other, place).await),
            };
            if !place.busy() {
                return Err(make_room(stream, &mut *server).await);
            }
            stream.named(login.user.as_str());
            let shown = Instant::now();
            let told = server.ttl();
            let tls = stream.tls().map(|facts| login::Tls {
                facts,
                certificate: stream.certificate().cloned(),
                server_name: stream.server_name().map(Into::into),
            });
            let near = Near::new(&mut stream, &mut *server, place);
            let mut asked = Asked {
                near: &near,
                over: None,
            };
            let visit = login::Visit {
                near: &near,
                attempt: failed + 1,
                deadline,
                told,
                tls,
            };
            // Boxed: a connection that waits for its client has no room for it.
            let attempt = self.attempt(&login, &visit, shown, &mut asked);
            let attempted = Box::pin(attempt).await;
            let said = asked.over;
            // Nobody is served who is not there, or what was said before would be done unseen.
            if let Some(half) = near.gone() {
                near.close().await;
                return Err(Ended::left(half));
            }
            let Failed {
                failure,
                delay,
                held,
                over,
            } = match attempted {
                Ok(accepted) => {
                    let handover = server.accept(accepted.welcome);
                    return Ok(Bridge {
                        client: stream.settled(),
                        handover,
                        far: accepted.far,
                        places: accepted.places,
                        idle: self.idle(),
                    });
                }
                Err(failed) => failed,
            };
            failed += 1;
            deadline += held;
            // What is left is to wait.
            place.idle();
            let (wait, last) = match failure {
                Failure::Declined { wait, .. } => (wait.unwrap_or(0), wait.is_none()),
                _ => (0, false),
            };
            let wait = delay.max(Duration::from_secs(wait.into()));
            if let Some(reason) = over {
                server.reject(&failure);
                return Err(leave(stream, &mut *server, reason, place).await);
            }
            if let Some(said) = said
                && failure.is_credentials()
            {
                return Err(gone(stream, said, place).await);
            }
            if !wait.is_zero() {
                // As a host's answer is waited for to its end so is this: nobody is to hear from it whether
                // one was asked.
                let until = (shown + delay).max((shown + wait).min(deadline));
                held_back(&mut stream, &mut *server, place, until).await?;
            }
            server.reject(&failure);
            // A lookup service that names no wait allows no further try, as nginx has it.
            if last || failed >= self.gateway.limits.logins_per_session {
                return Err(leave(stream, &mut *server, Farewell::TooManyFailures, place).await);
            }
        }
    }

    fn idle(&self) -> Duration {
        match self.front.protocol {
            Protocol::Imap => self.gateway.timeouts.idle,
            Protocol::Pop3 => self.gateway.timeouts.pop3_idle,
        }
    }

    fn ip(&self) -> IpAddr {
        self.peer.client.ip()
    }
}

/// Moves bytes until one side is done.
fn serve<'a>(
    live: &'a registry::Live,
    metrics: &'a metrics::Gateway,
    bridge: Bridge,
) -> Pin<Box<dyn Future<Output = Ended> + Send + 'a>> {
    let Bridge {
        client,
        handover,
        far,
        places,
        idle,
    } = bridge;
    match far {
        Far::Relayed(host) => {
            let lost = move || places.seat().host().lost_session();
            Box::pin(relay::relay(client, host, handover, live, idle, lost))
        }
        Far::Translated(translated) => Box::pin(async move {
            let seat = places.seat();
            serve_maildrop(live, metrics, client, handover, *translated, seat, idle).await
        }),
    }
}

/// Serves a maildrop from a mailbox.
async fn serve_maildrop(
    live: &registry::Live,
    metrics: &metrics::Gateway,
    mut client: Stream,
    handover: Handover,
    translated: login::Translated,
    seat: &Seat,
    idle: Duration,
) -> Ended {
    let login::Translated {
        opened,
        settings,
        maildrop,
        home,
        remembered,
        lease,
        ticket,
    } = translated;
    let first = translate::First {
        to_client: handover.to_client,
        from_client: handover.to_host,
    };
    let terms = translate::Terms {
        settings: &settings,
        session: live.id.clone(),
        idle,
        traffic: &live.traffic,
    };
    let again = again::SameHost {
        ticket,
        first: seat,
        last: None,
    };
    let stop = |heard| live.end_asked_beyond(heard);
    let served = translate::serve(&mut client, first, opened, terms, again, stop).await;
    let kept = (served.remainder).map(|snapshot| maildrop_cache::Kept { snapshot, home });
    remembered.put(maildrop, kept);
    // Before the client is waited for: its next login need not wait for its old connection.
    drop(lease);
    linger(client).await;
    metrics.pop3(Pop3Action::Retr, served.counts.retrieved);
    metrics.pop3(Pop3Action::Top, served.counts.topped);
    metrics.pop3(Pop3Action::Delete, served.counts.deleted);
    served.ended
}

/// The session's closing line.
fn log_end(live: &registry::Live, metrics: &metrics::Gateway, ended: &Ended) {
    let login = live.login.get();
    let (bytes_in, bytes_out) = live.traffic.so_far();
    live.report(metrics);
    let seconds = live.since.elapsed().unwrap_or_default().as_secs_f64();
    tracing::info!(
        target: "gatepost",
        event = "session_end",
        ended_by = ended.by.as_str(),
        reason = ended.reason.as_str(),
        state = login.map_or("login", |login| login.state),
        protocol = live.protocol.as_str(),
        user = login.map(|login| login.user.as_str()),
        client = %live.client,
        backend = login.map(|login| &*login.backend),
        host = login.map(|login| &*login.host),
        session = live.id.as_str(),
        seconds,
        bytes_in,
        bytes_out,
    );
}
