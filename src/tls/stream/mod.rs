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
mod records;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use rustls::pki_types::CertificateDer;
use rustls::{ProtocolVersion, ServerConfig, SupportedCipherSuite};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use protect::{HEADER, PLAIN_MAX};
use records::{Broken, Opened, Records};

/// Octets of data sealed, or received and opened, at a time: four records.
const BATCH: usize = 4 * PLAIN_MAX;

/// What a record may have beside its data, and more.
const BESIDE: usize = 2048 + HEADER;

/// Most octets kept for a reader that has little room: a record that is not whole, or what it left of one
/// that is.
pub const HELD_MAX: usize = PLAIN_MAX + BESIDE;

/// Octets received for a reader that has little room: enough for commands.
const SMALL: usize = 4096;

thread_local! {
    static RECEIVED: RefCell<Vec<u8>> = RefCell::new(vec![0; BATCH + BESIDE]);
    static SEALED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(BATCH + BESIDE));
}

/// Octets that the network has not taken yet, over all connections.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Octets that clients have not taken yet, over all connections.
pub fn waiting() -> usize {
    WAITING.load(Ordering::Relaxed)
}

/// What the handshake settled.
struct Facts {
    version: Option<ProtocolVersion>,
    suite: Option<SupportedCipherSuite>,
    certificate: Option<Box<CertificateDer<'static>>>,
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
    sealed: Vec<u8>,
    /// Whether `sealed` has been offered to the network.
    offered: Offered,
    reading: Half,
    writing: Half,
    /// Why reading ended, where data was given first.
    failed: Option<io::Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Offered {
    /// Waits for data to leave with.
    NotYet,
    Yes,
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
        WAITING.fetch_add(start.send.len(), Ordering::Relaxed);
        FrontTls {
            tcp,
            records,
            facts,
            received: exact(start.received),
            data: Vec::new(),
            taken: 0,
            sealed: exact(start.send),
            offered: Offered::NotYet,
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
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.facts.certificate.as_deref()
    }

    /// The name that the client asked for (SNI, RFC 6066 §3): lower case, without a dot at its end.
    pub fn server_name(&self) -> Option<&str> {
        self.facts.server_name.as_deref()
    }

    /// The connection under it.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    fn keep_sealed(&mut self, rest: &[u8]) {
        WAITING.fetch_add(rest.len(), Ordering::Relaxed);
        self.sealed.extend_from_slice(rest);
        self.offered = Offered::Yes;
    }

    fn take_sealed(&mut self) -> Vec<u8> {
        WAITING.fetch_sub(self.sealed.len(), Ordering::Relaxed);
        std::mem::take(&mut self.sealed)
    }

    /// Writes what is sealed.
    fn poll_sealed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sealed.is_empty() {
            self.offered = Offered::Yes;
            let n = ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.sealed))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            WAITING.fetch_sub(n, Ordering::Relaxed);
            match n == self.sealed.len() {
                true => self.sealed = Vec::new(),
                false => drop(self.sealed.drain(..n)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Gives data that was opened before.
    fn give(&mut self, room: &mut ReadBuf<'_>) {
        let rest = self.data.get(self.taken..).unwrap_or_default();
        let n = rest.len().min(room.remaining());
        let (now, later) = rest.split_at(n);
        room.put_slice(now);
        if later.is_empty() {
            self.data = Vec::new();
            self.taken = 0;
        } else {
            self.taken = self.taken.saturating_add(n);
        }
    }

    /// Opens the records in `received`; how many octets of it are done with.
    fn open(&mut self, cx: &mut Context<'_>, received: &mut [u8], room: &mut ReadBuf<'_>) -> usize {
        let mut done = 0;
        while room.remaining() > 0 && self.reading == Half::Open {
            let rest = received.get_mut(done..).unwrap_or_default();
            let mut reply = Vec::new();
            let opened = self.records.open(rest, &mut reply);
            if !reply.is_empty() {
                self.keep_sealed(&reply);
            }
            match opened {
                Ok(Opened::More { .. }) => break,
                Ok(Opened::Control { record }) => done = done.saturating_add(record),
                Ok(Opened::Data { text, record }) => {
                    let text = rest.get(text).unwrap_or_default();
                    let (now, later) = text.split_at(text.len().min(room.remaining()));
                    room.put_slice(now);
                    self.data.extend_from_slice(later);
                    done = done.saturating_add(record);
                }
                Ok(Opened::End) => {
                    self.reading = Half::Closed;
                    done = received.len();
                }
                Err(broken) => {
                    self.failed = Some(self.broken(cx, broken));
                    done = received.len();
                }
            }
        }
        done
    }

    fn broken(&mut self, cx: &mut Context<'_>, broken: Broken) -> io::Error {
        self.reading = Half::Closed;
        match broken {
            Broken::Rules(alert) => {
                if self.writing == Half::Open {
                    let mut words = Vec::new();
                    self.records.fail(alert, &mut words);
                    self.keep_sealed(&words);
                    self.writing = Half::Closed;
                    let _ = self.poll_sealed(cx);
                }
                let words = format!("broken TLS record: {alert:?}");
                io::Error::new(io::ErrorKind::InvalidData, words)
            }
            Broken::Peer(alert) => {
                self.writing = Half::Closed;
                let words = format!("TLS alert {alert} from the peer");
                io::Error::new(io::ErrorKind::InvalidData, words)
            }
        }
    }

    /// How many octets to have before the next look: all that come for a reader with room, few for
    /// one that reads commands, but the record that has begun.
    fn appetite(&self, received: &[u8], room: &ReadBuf<'_>) -> usize {
        if room.remaining() >= PLAIN_MAX {
            return BATCH + BESIDE;
        }
        let begun = match *received {
            [_, _, _, high, low, ..] => HEADER + usize::from(u16::from_be_bytes([high, low])),
            _ => 0,
        };
        begun.clamp(SMALL, BATCH)
    }

    fn poll_records(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut have = self.received.len();
        if let Some(front) = buffer.get_mut(..have) {
            front.copy_from_slice(&self.received);
        }
        self.received = Vec::new();
        let before = room.filled().len();
        loop {
            let done = self.open(cx, buffer.get_mut(..have).unwrap_or_default(), room);
            if room.filled().len() > before || self.reading == Half::Closed {
                self.received = buffer.get(done..have).unwrap_or_default().to_vec();
                // A renegotiation was declined; the next write takes along what is not written here. What
                // is left of the handshake waits for it.
                let sealed = match self.offered {
                    Offered::Yes => self.poll_sealed(cx),
                    Offered::NotYet => Poll::Pending,
                };
                return match sealed {
                    // What has come is given first; who writes next hears of this.
                    _ if room.filled().len() > before => Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => Poll::Ready(self.failed.take().map_or(Ok(()), Err)),
                };
            }
            buffer.copy_within(done..have, 0);
            have = have.saturating_sub(done);
            let most = self.appetite(buffer.get(..have).unwrap_or_default(), room);
            let mut space = ReadBuf::new(buffer.get_mut(have..most).unwrap_or_default());
            match Pin::new(&mut self.tcp).poll_read(cx, &mut space) {
                Poll::Pending => {
                    self.received = buffer.get(..have).unwrap_or_default().to_vec();
                    if self.offered == Offered::Yes {
                        let _ = self.poll_sealed(cx)?;
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if space.filled().is_empty() => {
                    self.reading = Half::Closed;
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "peer closed connection without sending TLS close_notify",
                    )));
                }
                Poll::Ready(Ok(())) => have = have.saturating_add(space.filled().len()),
            }
        }
    }
}

impl AsyncRead for FrontTls {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.data.is_empty() {
            this.give(room);
            return Poll::Ready(Ok(()));
        }
        if this.reading == Half::Closed || room.remaining() == 0 {
            return Poll::Ready(this.failed.take().map_or(Ok(()), Err));
        }
        RECEIVED.with_borrow_mut(|buffer| this.poll_records(cx, buffer, room))
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
        if self.offered == Offered::Yes {
            ready!(self.poll_sealed(cx))?;
        }
        SEALED.with_borrow_mut(|sealed| {
            sealed.clear();
            sealed.append(&mut self.take_sealed());
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
            self.offered = Offered::Yes;
            self.keep_sealed(sealed.get(written..).unwrap_or_default());
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
        self.get_mut().poll_sealed(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.writing == Half::Open {
            this.writing = Half::Closed;
            let mut words = Vec::new();
            this.records.close(&mut words);
            this.keep_sealed(&words);
        }
        ready!(this.poll_sealed(cx))?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}

impl Drop for FrontTls {
    fn drop(&mut self) {
        WAITING.fetch_sub(self.sealed.len(), Ordering::Relaxed);
    }
}

/// The same octets in no more room than they need.
fn exact(mut octets: Vec<u8>) -> Vec<u8> {
    octets.shrink_to_fit();
    octets
}
