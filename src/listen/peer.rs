//! Who a new connection is from: its own address, or what a load balancer says in a PROXY header.
//!
//! A header is read octet for octet before anything else; what stands behind it belongs to TLS or to
//! the mail protocol and stays in the socket.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::net::Peer;
use crate::protocol::proxy_header::{self, Malformed, Origin};

/// How many octets are looked at together: a header with addresses and a name or two.
const LOOK: usize = 256;

/// For whom a load balancer speaks.
pub(super) enum Speaks {
    /// For a client.
    ForClient(Peer),
    /// For itself: a health check.
    ForItself,
}

/// Reads the PROXY header that this sender owes us, within `limit`.
///
/// # Errors
/// `TimedOut`; `InvalidData`: no header, or a bad one; the socket's own.
pub(super) async fn told(tcp: &mut TcpStream, limit: Duration) -> io::Result<Speaks> {
    match timeout(limit, read(tcp)).await {
        Ok(Ok(Origin::Client { client, connected })) => Ok(Speaks::ForClient(Peer {
            client,
            local: connected,
        })),
        Ok(Ok(Origin::Sender)) => Ok(Speaks::ForItself),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no PROXY header")),
    }
}

async fn read(tcp: &mut TcpStream) -> io::Result<Origin> {
    let malformed = |_| io::Error::new(io::ErrorKind::InvalidData, "not a PROXY header");
    let mut header = Vec::new();
    loop {
        let mut waiting = [0; LOOK];
        let seen = tcp.peek(&mut waiting).await?;
        let due = proxy_header::due(&header, waiting.get(..seen).unwrap_or_default());
        let octets = waiting.get_mut(..due).unwrap_or_default();
        if octets.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        tcp.read_exact(octets).await?;
        header.extend_from_slice(octets);
        match proxy_header::parse(&header).map_err(malformed)? {
            Some((origin, length)) if length == header.len() => return Ok(origin),
            Some(_) => return Err(malformed(Malformed)),
            None => {}
        }
    }
}
