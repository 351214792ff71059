//! From port to session: listeners at work (their sockets: `socket`), and what a connection passes before
//! its greeting (`welcome`).
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
mod welcome;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

pub use config::{Config, Place, TlsMode};
pub use socket::{bind, bind_beside};

use self::accept::Rests;
use self::options::Options;
use self::socket::last_looks;
use crate::observe::metrics::{self, AcceptError};
use crate::session::{self, Front, Gateway, Upgrade};

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
