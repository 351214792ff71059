//! From port to session: sockets that listen, and what a connection passes before its greeting:
//! the PROXY header, the listener's `allow`, the limits, the TLS handshake.
//!
//! Each connection is a task of its own from the first moment, so a client that dribbles through
//! its handshake keeps nobody else waiting. When descriptors run out accepting rests (`accept`);
//! sessions that live go on.

mod accept;
pub mod config;
mod peer;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol as IpProtocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

pub use config::{Config, TlsMode};

use self::accept::Rests;
use self::peer::Speaks;
use crate::net::{Peer, Stream};
use crate::observe::metrics::{self, AcceptError};
use crate::session::{self, Arrival, Front, Gateway, Upgrade};

/// Connections the kernel keeps for us between two accepts.
const BACKLOG: i32 = 4096;

/// Opens a listening socket. `[::]` takes IPv4 as well.
///
/// # Errors
/// The system's: the address is taken, the port needs privileges, …
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(IpProtocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A listener at work: everything a connection needs until its session begins.
pub struct Listener {
    /// Its settings.
    pub config: Config,
    /// As its sessions see it.
    pub front: Arc<Front>,
    /// TLS, from the first byte or offered.
    pub tls: Upgrade,
    /// The settings and tables of the moment: each connection takes those that are valid when it
    /// is accepted.
    pub gateway: Arc<ArcSwap<Gateway>>,
    /// Handles of the metrics.
    pub metrics: metrics::Listener,
}

impl Listener {
    /// Accepts until `stop` changes; lets go of the socket then.
    pub async fn serve(self: Arc<Self>, socket: Arc<TcpListener>, mut stop: watch::Receiver<bool>) {
        let mut rests = Rests::new(&self.config.name);
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                _ = stop.changed() => return,
            };
            match accepted {
                Ok((tcp, client)) => {
                    let tcp = self.with_room(tcp, &mut rests, &mut stop).await;
                    let listener = self.clone();
                    tokio::spawn(async move { listener.welcome(tcp, client).await });
                }
                Err(error) => {
                    let trouble = accept::trouble(&error);
                    self.metrics.accept_failed(trouble);
                    // The client was gone before it was accepted: that costs nothing.
                    if trouble != AcceptError::Aborted {
                        rests.begin(&error);
                        sleep(accept::REST).await;
                    }
                }
            }
        }
    }

    /// Where descriptors run out the connection just accepted waits for one that is not of the
    /// reserve, those behind it in the kernel: nobody is turned away. At the end of all accepting it
    /// is served with what there is.
    async fn with_room(
        &self,
        mut tcp: TcpStream,
        rests: &mut Rests,
        stop: &mut watch::Receiver<bool>,
    ) -> TcpStream {
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
                self.metrics.accept_failed(AcceptError::Descriptors);
            }
            rests.begin(&"too many open files");
            tokio::select! {
                () = sleep(accept::REST) => {}
                _ = stop.changed() => {
                    stop.mark_changed();
                    return tcp;
                }
            }
        }
    }

    async fn welcome(&self, mut tcp: TcpStream, sender: SocketAddr) {
        let accepted = Instant::now();
        self.metrics.connection();
        let gateway = self.gateway.load_full();
        let limits = &gateway.limits;
        let Ok(local) = tcp.local_addr() else { return };
        let itself = Peer {
            client: peer::canonical(sender),
            local: peer::canonical(local),
        };
        let refuse = |tcp: &TcpStream, client: SocketAddr, limit| {
            gateway.metrics.refused(metrics::Refused::limit(limit));
            tracing::info!(event = "refused", %client, listener = %self.config.name, limit);
            self.turn_away(tcp);
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
                        return;
                    }
                }
            }
        };
        let client = peer.client;
        if !self.config.allows(client.ip()) {
            gateway.metrics.refused(metrics::Refused::Allow);
            return;
        }
        let place = match place {
            Ok(place) => place,
            Err(limit) => return refuse(&tcp, client, limit),
        };
        prepare(&tcp, gateway.timeouts.keepalive);
        let stream = match self.config.tls {
            TlsMode::Upgrade => Stream::Tcp(tcp),
            TlsMode::Implicit => {
                let handshake = session::start_tls(Stream::Tcp(tcp), Some(&self.tls));
                match place.unless_told_to_go(handshake).await {
                    Ok(stream) => stream,
                    Err(error) => {
                        gateway.metrics.refused(match error.kind() {
                            io::ErrorKind::TimedOut => metrics::Refused::TlsTimeout,
                            io::ErrorKind::QuotaExceeded => metrics::Refused::Connections,
                            _ => metrics::Refused::TlsHandshake,
                        });
                        tracing::debug!(%client, listener = %self.config.name, %error, "tls handshake failed");
                        return;
                    }
                }
            }
        };
        let arrival = Arrival {
            stream,
            peer,
            place,
            accepted,
        };
        session::run(arrival, self.front.clone(), gateway).await;
    }

    /// Full: says so where that can be done without TLS.
    fn turn_away(&self, tcp: &TcpStream) {
        if self.config.tls == TlsMode::Upgrade {
            let words = session::no_room(&self.front, &self.gateway.load());
            let _ = tcp.try_write(&words);
        }
    }
}

/// What every mail connection wants of its socket.
fn prepare(tcp: &TcpStream, keepalive: Duration) {
    // Commands and answers are small and waited for: never hold one back.
    let _ = tcp.set_nodelay(true);
    if !keepalive.is_zero() {
        let probes = TcpKeepalive::new()
            .with_time(keepalive)
            .with_interval(keepalive);
        let _ = socket2::SockRef::from(tcp).set_tcp_keepalive(&probes);
    }
}
