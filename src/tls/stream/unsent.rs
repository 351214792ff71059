//! What is sealed and not sent: the octets that the network has not taken, counted over all connections
//! for as long as they are kept here.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Octets that are kept here, over all connections.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Octets that clients have not taken yet, over all connections.
pub fn waiting() -> usize {
    WAITING.load(Ordering::Relaxed)
}

/// Those of one connection. Nobody else adds to the count or takes from it.
pub(super) struct Unsent {
    octets: Vec<u8>,
    offered: Offered,
}

/// Whether the octets have been offered to the network.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offered {
    /// Waits for data to leave with.
    NotYet,
    Yes,
}

impl Unsent {
    /// Our last words of a handshake, which wait for data to leave with.
    pub(super) fn of_handshake(mut octets: Vec<u8>) -> Self {
        // They may wait for long.
        octets.shrink_to_fit();
        WAITING.fetch_add(octets.len(), Ordering::Relaxed);
        Unsent {
            octets,
            offered: Offered::NotYet,
        }
    }

    /// Keeps what the network has not taken, or what is to be sent next.
    pub(super) fn keep(&mut self, rest: &[u8]) {
        WAITING.fetch_add(rest.len(), Ordering::Relaxed);
        self.octets.extend_from_slice(rest);
        self.offered = Offered::Yes;
    }

    /// Hands all of it over, to be sent with what is sealed next, and keeps no room for more.
    pub(super) fn move_to(&mut self, sealed: &mut Vec<u8>) {
        WAITING.fetch_sub(self.octets.len(), Ordering::Relaxed);
        sealed.append(&mut std::mem::take(&mut self.octets));
    }

    /// Writes all of it.
    pub(super) fn poll_send(
        &mut self,
        tcp: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.octets.is_empty() {
            self.offered = Offered::Yes;
            let n = ready!(Pin::new(&mut *tcp).poll_write(cx, &self.octets))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            WAITING.fetch_sub(n, Ordering::Relaxed);
            match n == self.octets.len() {
                true => self.octets = Vec::new(),
                false => drop(self.octets.drain(..n)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// As `poll_send`, but what is left of the handshake goes on waiting for data.
    pub(super) fn poll_send_offered(
        &mut self,
        tcp: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        match self.offered {
            Offered::Yes => self.poll_send(tcp, cx),
            Offered::NotYet => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        WAITING.fetch_sub(self.octets.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Unsent {
    /// How many octets there are.
    pub(super) fn len(&self) -> usize {
        self.octets.len()
    }

    /// The memory they take.
    pub(super) fn capacity(&self) -> usize {
        self.octets.capacity()
    }
}
