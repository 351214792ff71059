//! A client's TLS connection: rustls shakes hands and keeps the key schedule, the record layer is
//! ours, so that a connection that waits holds its two keys and no buffers.
//!
//! Octets on their way through are in buffers that a thread lends for the time of a call; what is
//! left over (part of a record, data that nobody took, what the network did not take) is kept in
//! buffers that live no longer than it does. The server's last words of the handshake leave with its
//! first data, in one write.
//!
//! What stands here reads octets of strangers, before their login: the lints of `protocol` hold here, too.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::panic,
        clippy::unreachable
    )
)]

mod asked;
mod handshake;
#[doc(hidden)]
pub mod known;
mod protect;
mod reading;
mod received;
mod records;
#[cfg(test)]
pub(crate) mod tests;
mod unsent;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{ProtocolVersion, ServerConfig, SupportedCipherSuite};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use protect::{HEADER, PLAIN_MAX};
pub use received::HANDSHAKE_MAX;
use records::Records;
use unsent::Unsent;
pub use unsent::waiting;

use super::Shown;

/// Octets of data sealed, or received and opened, at a time: four records.
const BATCH: usize = 4 * PLAIN_MAX;

/// What a record may have beside its data, and more.
const BESIDE: usize = 2048 + HEADER;

/// Most octets kept for a reader that has little room: a record that is not whole, or what it left of one
/// that is.
pub const HELD_MAX: usize = PLAIN_MAX + BESIDE;

thread_local! {
    static SEALED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(BATCH + BESIDE));
}

/// What the handshake settled.
struct Facts {
    version: Option<ProtocolVersion>,
    suite: Option<SupportedCipherSuite>,
    certificate: Option<Arc<Shown>>,
    server_name: Option<Box<str>>,
}

/// What the handshake left over.
struct Start {
    /// Received behind the client's last words.
    received: Vec<u8>,
    /// Ours, not sent.
    send: Vec<u8>,
}

/// What a server that speaks first has to say to a client that asks for the server of this name (RFC
/// 8446 §4.4.4: the server may send before the client's Finished, to somebody it does not know yet).
pub type FirstWords<'a> = &'a mut (dyn FnMut(Option<&str>) -> Vec<u8> + Send);

/// A TLS connection from a client.
pub struct FrontTls {
    tcp: TcpStream,
    records: Records,
    facts: Facts,
    /// Received, not opened yet: less than a record, or what came behind data that fills the reader.
    received: Vec<u8>,
    /// Opened, not taken yet.
    data: Vec<u8>,
    /// How much of `data` is taken.
    taken: usize,
    /// Sealed, not written yet.
    unsent: Unsent,
    reading: Half,
    writing: Half,
    /// Why reading ended, where data was given first.
    failed: Option<io::Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Open,
    Closed,
}

impl FrontTls {
    /// Shakes hands as server. In TLS 1.3 with a client that is asked for no certificate, `first` leaves with
    /// our part of the handshake; where it could not, nobody has called it.
    ///
    /// # Errors
    /// The stream's, and `InvalidData` where the client breaks the rules or cannot agree with us; it has been
    /// told by an alert.
    pub async fn accept(
        tcp: TcpStream,
        config: Arc<ServerConfig>,
        first: Option<FirstWords<'_>>,
    ) -> io::Result<Self> {
        // Boxed: what a handshake needs is freed before the long part of a connection begins.
        Box::pin(handshake::accept(tcp, config, first)).await
    }

    fn new(tcp: TcpStream, records: Records, facts: Facts, start: Start) -> Self {
        let Start { mut received, send } = start;
        received.shrink_to_fit();
        FrontTls {
            tcp,
            records,
            facts,
            received,
            data: Vec::new(),
            taken: 0,
            unsent: Unsent::of_handshake(send),
            reading: Half::Open,
            writing: Half::Open,
            failed: None,
        }
    }

    /// The version in use.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.facts.version
    }

    /// The cipher suite in use.
    pub fn cipher_suite(&self) -> Option<SupportedCipherSuite> {
        self.facts.suite
    }

    /// The certificate that the client has shown and that was verified.
    pub fn certificate(&self) -> Option<&Arc<Shown>> {
        self.facts.certificate.as_ref()
    }

    /// The name that the client asked for (SNI, RFC 6066 §3): lower case, without a dot at its end.
    pub fn server_name(&self) -> Option<&str> {
        self.facts.server_name.as_deref()
    }

    /// The connection under it.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }
}

/// What a write is followed by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    More,
    /// Nothing: the goodbye of TLS goes with it.
    Close,
}

impl FrontTls {
    /// As `poll_write`, of the last octets there are: where all of them are taken the goodbye of TLS
    /// leaves in the same write. A shutdown is to follow.
    pub fn poll_write_last(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_seal(cx, data, Then::Close)
    }

    fn poll_seal(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        then: Then,
    ) -> Poll<io::Result<usize>> {
        if self.writing == Half::Closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.unsent.poll_send_offered(&mut self.tcp, cx))?;
        SEALED.with_borrow_mut(|sealed| {
            sealed.clear();
            self.unsent.move_to(sealed);
            let now = data.get(..data.len().min(BATCH)).unwrap_or_default();
            let done = self.records.seal(now, sealed);
            done.map_err(|alert| io::Error::other(format!("cannot seal: {alert:?}")))?;
            if then == Then::Close && now.len() == data.len() {
                self.writing = Half::Closed;
                self.records.close(sealed);
            }
            let written = match Pin::new(&mut self.tcp).poll_write(cx, sealed) {
                Poll::Ready(Ok(n)) => n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => 0,
            };
            self.unsent.keep(sealed.get(written..).unwrap_or_default());
            Poll::Ready(Ok(now.len()))
        })
    }
}

impl AsyncWrite for FrontTls {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_seal(cx, data, Then::More)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.unsent.poll_send(&mut this.tcp, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.writing == Half::Open {
            this.writing = Half::Closed;
            let mut words = Vec::new();
            this.records.close(&mut words);
            this.unsent.keep(&words);
        }
        ready!(this.unsent.poll_send(&mut this.tcp, cx))?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}
