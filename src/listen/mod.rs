//! From port to session: listeners at work (their sockets: `socket`), and what a connection passes before
//! its greeting: the PROXY header, the listener's `allow`, the limits, the TLS handshake.
//!
//! Each connection is a task of its own from the first moment, so a client that dribbles through
//! its handshake keeps nobody else waiting. When descriptors run out accepting rests (`accept`);
//! sessions that live go on.
//!
//! Sockets outlive settings. What a connection goes by is [`Current`], taken once when it is accepted:
//! new settings are swapped for all listeners at once, and who is in keeps the old ones.

mod accept;
pub mod config;
mod options;
mod peer;
mod socket;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

pub use config::{Config, Place, TlsMode};
pub use socket::{bind, bind_beside};

use self::accept::Rests;
use self::options::Options;
use self::peer::Speaks;
use self::socket::last_looks;
use crate::net::{Peer, Stream};
use crate::observe::metrics::{self, AcceptError};
use crate::protocol::{Limit, proxy_header};
use crate::session::{self, Arrival, Front, Gateway, Upgrade};

/// The settings of a moment, one consistent set.
pub struct Current {
    /// What all sessions share.
    pub gateway: Arc<Gateway>,
    /// What those of a listener share.
    pub terms: HashMap<Place, Arc<Terms>>,
}

/// What a listener offers: everything a connection needs until its session begins.
pub struct Terms {
    /// Its settings.
    pub config: Config,
    /// As its sessions see it.
    pub front: Arc<Front>,
    /// TLS, from the first byte or offered.
    pub tls: Upgrade,
    /// Handles of the metrics.
    pub metrics: metrics::Listener,
}

/// A listener at work.
pub struct Listener {
    /// Where it listens.
    pub place: Place,
    /// The settings of the moment: each connection goes by those that are valid when it is accepted.
    pub current: Arc<ArcSwap<Current>>,
}

/// What becomes of connections that the kernel has let in and nobody has accepted, when a listener
/// stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// They are served: closing would reset them.
    Serve,
    /// They are left: another process has the socket too, or the gateway ends.
    Leave,
}

/// How a listener is told to stop; an end of the sender's is [`Waiting::Leave`].
pub type Stop = watch::Receiver<Option<Waiting>>;

impl Listener {
    /// Accepts until it is told to stop, then lets go of the socket. Settings that do not know this
    /// listener are to be swapped in after it has ended.
    pub async fn serve(self, socket: Arc<TcpListener>, mut stop: Stop) {
        let mut rests = Rests::new(&self.name());
        let mut options = Options::default();
        options.hand_down(&socket, self.keepalive());
        let waiting = loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                waiting = told(&mut stop) => break waiting,
            };
            match accepted {
                Ok((tcp, client)) => {
                    let tcp = self.with_room(tcp, &mut rests, &mut stop).await;
                    options.hand_down(&socket, self.keepalive());
                    options.see_to(&tcp);
                    self.welcome(tcp, client);
                }
                Err(error) => {
                    let trouble = accept::trouble(&error);
                    self.accept_failed(trouble);
                    // The client was gone before it was accepted: that costs nothing.
                    if trouble != AcceptError::Aborted {
                        rests.begin(&error);
                        sleep(accept::REST).await;
                    }
                }
            }
        };
        if waiting == Waiting::Serve {
            let welcome = |tcp, client| {
                options.see_to(&tcp);
                self.welcome(tcp, client);
            };
            last_looks(&socket, welcome).await;
        }
    }

    /// Where descriptors run out the connection just accepted waits for one that is not of the
    /// reserve, those behind it in the kernel: nobody is turned away. At the end of all accepting it
    /// is served with what there is.
    async fn with_room(&self, mut tcp: TcpStream, rests: &mut Rests, stop: &mut Stop) -> TcpStream {
        let mut waited = false;
        loop {
            tcp = match accept::unreserved(tcp) {
                Ok(tcp) => {
                    rests.end();
                    return tcp;
                }
                Err(tcp) => tcp,
            };
            if !waited {
                waited = true;
                self.accept_failed(AcceptError::Descriptors);
            }
            rests.begin(&"too many open files");
            tokio::select! {
                () = sleep(accept::REST) => {}
                _ = told(stop) => return tcp,
            }
        }
    }

    /// A connection, in a task of its own and under the settings of the moment.
    fn welcome(&self, tcp: TcpStream, client: SocketAddr) {
        let current = self.current.load();
        // A listener is stopped before settings come that do not know it.
        let Some(terms) = current.terms.get(&self.place).cloned() else {
            return;
        };
        let gateway = current.gateway.clone();
        tokio::spawn(async move {
            // Boxed, each for itself: what a handshake needs is freed when it is done.
            let arrival = Box::pin(terms.welcome(&gateway, tcp, client)).await;
            let session =
                arrival.map(|it| Box::pin(session::run(it, terms.front.clone(), gateway)));
            drop(terms);
            if let Some(session) = session {
                session.await;
            }
        });
    }

    fn keepalive(&self) -> Duration {
        self.current.load().gateway.timeouts.keepalive
    }

    fn accept_failed(&self, trouble: AcceptError) {
        if let Some(terms) = self.current.load().terms.get(&self.place) {
            terms.metrics.accept_failed(trouble);
        }
    }

    fn name(&self) -> String {
        let current = self.current.load();
        let terms = current.terms.get(&self.place);
        terms.map_or_else(|| self.place.bind.to_string(), |it| it.config.name.clone())
    }
}

/// Waits until a listener is told to stop.
async fn told(stop: &mut Stop) -> Waiting {
    let told = stop.wait_for(Option::is_some).await;
    told.ok().and_then(|told| *told).unwrap_or(Waiting::Leave)
}

impl Terms {
    /// What a connection passes before its greeting; none: it is not let in.
    async fn welcome(
        &self,
        gateway: &Gateway,
        mut tcp: TcpStream,
        sender: SocketAddr,
    ) -> Option<Arrival> {
        let accepted = Instant::now();
        self.metrics.connection();
        let limits = &gateway.limits;
        let local = tcp.local_addr().ok()?;
        let itself = Peer {
            client: proxy_header::canonical(sender),
            local: proxy_header::canonical(local),
        };
        let refuse = |tcp: &TcpStream, client: SocketAddr, limit: Limit| {
            gateway.metrics.refused(metrics::Refused::limit(limit));
            let id = gateway.ids.next().to_string();
            tracing::info!(event = "refused", %client, listener = %self.config.name, limit = limit.as_str(), session = id);
            self.turn_away(gateway, tcp, &id);
            None
        };
        let place = match gateway.tables.enter(limits) {
            Ok(place) => place,
            Err(limit) => return refuse(&tcp, itself.client, limit),
        };
        let (peer, place) = match self.config.owes_header(itself.client.ip()) {
            false => {
                let ip = itself.client.ip();
                (itself, place.at(limits, ip))
            }
            // Boxed: connections without a load balancer do not pay for it.
            true => {
                let told = Box::pin(peer::told(&mut tcp, gateway.timeouts.proxy_header));
                match place.unless_told_to_go(told).await {
                    Ok(Speaks::ForClient(peer)) => {
                        let ip = peer.client.ip();
                        (peer, place.at(limits, ip))
                    }
                    // Health checks are no client's connections.
                    Ok(Speaks::ForItself) => (itself, Ok(place)),
                    Err(error) => {
                        gateway.metrics.refused(match error.kind() {
                            io::ErrorKind::QuotaExceeded => metrics::Refused::Connections,
                            _ => metrics::Refused::ProxyHeader,
                        });
                        tracing::debug!(%sender, listener = %self.config.name, %error, "no PROXY header");
                        return None;
                    }
                }
            }
        };
        let client = peer.client;
        if !self.config.allows(client.ip()) {
            gateway.metrics.refused(metrics::Refused::Allow);
            tracing::debug!(event = "refused", %client, listener = %self.config.name, limit = "allow");
            return None;
        }
        let place = match place {
            Ok(place) => place,
            Err(limit) => return refuse(&tcp, client, limit),
        };
        let mut greeted = None;
        let stream = match self.config.tls {
            TlsMode::Upgrade => Stream::Tcp(tcp),
            TlsMode::Implicit => {
                let mut greet = |server_name: Option<&str>| {
                    let ip = client.ip();
                    let (session, words) = session::greet(&self.front, gateway, ip, server_name);
                    greeted = Some(session);
                    words
                };
                let stream = Stream::Tcp(tcp);
                let handshake = session::start_tls(stream, Some(&self.tls), Some(&mut greet));
                match place.unless_told_to_go(handshake).await {
                    Ok(stream) => stream,
                    Err(error) => {
                        gateway.metrics.refused(match error.kind() {
                            io::ErrorKind::TimedOut => metrics::Refused::TlsTimeout,
                            io::ErrorKind::QuotaExceeded => metrics::Refused::Connections,
                            _ => metrics::Refused::TlsHandshake,
                        });
                        tracing::debug!(%client, listener = %self.config.name, %error, "tls handshake failed");
                        return None;
                    }
                }
            }
        };
        Some(Arrival {
            stream,
            peer,
            place,
            accepted,
            greeted,
        })
    }

    /// Full: says so where that can be done without TLS.
    fn turn_away(&self, gateway: &Gateway, tcp: &TcpStream, id: &str) {
        if self.config.tls == TlsMode::Upgrade {
            let words = session::no_room(&self.front, gateway, id);
            let _ = tcp.try_write(&words);
        }
    }
}
