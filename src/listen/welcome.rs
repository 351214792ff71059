//! What a connection passes before its greeting: a place among all, the PROXY header, the listener's
//! `allow`, the limit of its address, the TLS handshake.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::peer::{self, Speaks};
use super::{Terms, TlsMode};
use crate::net::{Peer, Stream};
use crate::observe::metrics::Refused;
use crate::protocol::{Limit, proxy_header};
use crate::session::limits::{Connection, Parted};
use crate::session::{self, Arrival, Gateway, Greeted};

impl Terms {
    /// Lets a connection in; none: it is not let in.
    pub(super) async fn welcome(
        &self,
        gateway: &Gateway,
        mut tcp: TcpStream,
        sender: SocketAddr,
    ) -> Option<Arrival> {
        let accepted = Instant::now();
        self.metrics.connection();
        let local = tcp.local_addr().ok()?;
        let itself = Peer {
            client: proxy_header::canonical(sender),
            local: proxy_header::canonical(local),
        };
        let place = match gateway.tables.enter(&gateway.limits) {
            Ok(place) => place,
            Err(limit) => return self.refuse(gateway, &tcp, itself.client, limit),
        };
        let (peer, place) = match self.config.owes_header(itself.client.ip()) {
            false => {
                let ip = itself.client.ip();
                (itself, place.at(&gateway.limits, ip))
            }
            true => {
                self.told_whose(gateway, &mut tcp, sender, itself, place)
                    .await?
            }
        };
        let client = peer.client;
        if !self.config.allows(client.ip()) {
            gateway.metrics.refused(Refused::Allow);
            tracing::debug!(event = "refused", %client, listener = %self.config.name, limit = "allow");
            return None;
        }
        let place = match place {
            Ok(place) => place,
            Err(limit) => return self.refuse(gateway, &tcp, client, limit),
        };
        let (stream, greeted) = match self.config.tls {
            TlsMode::Upgrade => (Stream::Tcp(tcp), None),
            TlsMode::Implicit => self.secured(gateway, tcp, client, &place).await?,
        };
        Some(Arrival {
            stream,
            peer,
            place,
            accepted,
            greeted,
        })
    }

    /// A load balancer says for whom it speaks, and the connection has a place among those of that
    /// address.
    async fn told_whose(
        &self,
        gateway: &Gateway,
        tcp: &mut TcpStream,
        sender: SocketAddr,
        itself: Peer,
        place: Connection,
    ) -> Option<(Peer, Result<Connection, Limit>)> {
        // Boxed: connections without a load balancer do not pay for it.
        let told = Box::pin(peer::told(tcp, gateway.timeouts.proxy_header));
        match place.unless_told_to_go(told).await {
            Ok(Speaks::ForClient(peer)) => {
                let ip = peer.client.ip();
                Some((peer, place.at(&gateway.limits, ip)))
            }
            // Health checks are no client's connections.
            Ok(Speaks::ForItself) => Some((itself, Ok(place))),
            Err(error) => {
                gateway.metrics.refused(match &error {
                    Parted::MadeRoom => Refused::Connections,
                    Parted::Failed(_) => Refused::ProxyHeader,
                });
                tracing::debug!(%sender, listener = %self.config.name, %error, "no PROXY header");
                None
            }
        }
    }

    /// The TLS handshake, and the greeting that leaves with it.
    async fn secured(
        &self,
        gateway: &Gateway,
        tcp: TcpStream,
        client: SocketAddr,
        place: &Connection,
    ) -> Option<(Stream, Option<Greeted>)> {
        let mut greeted = None;
        let mut greet = |server_name: Option<&str>| {
            let (session, words) = session::greet(&self.front, gateway, client.ip(), server_name);
            greeted = Some(session);
            words
        };
        let handshake = session::start_tls(Stream::Tcp(tcp), Some(&self.tls), Some(&mut greet));
        match place.unless_told_to_go(handshake).await {
            Ok(stream) => Some((stream, greeted)),
            Err(error) => {
                gateway.metrics.refused(match &error {
                    Parted::MadeRoom => Refused::Connections,
                    Parted::Failed(error) if error.kind() == io::ErrorKind::TimedOut => {
                        Refused::TlsTimeout
                    }
                    Parted::Failed(_) => Refused::TlsHandshake,
                });
                tracing::debug!(%client, listener = %self.config.name, %error, "tls handshake failed");
                None
            }
        }
    }

    /// A limit is reached. Says so where that can be done without TLS.
    fn refuse<T>(
        &self,
        gateway: &Gateway,
        tcp: &TcpStream,
        client: SocketAddr,
        limit: Limit,
    ) -> Option<T> {
        gateway.metrics.refused(Refused::limit(limit));
        let id = gateway.ids.next().to_string();
        let (listener, limit) = (&self.config.name, limit.as_str());
        tracing::info!(event = "refused", %client, %listener, limit, session = id);
        if self.config.tls == TlsMode::Upgrade {
            let words = session::no_room(&self.front, gateway, &id);
            let _ = tcp.try_write(&words);
        }
        None
    }
}
