//! Byte streams: one type for clear text, TLS and the built-in store, and who is at the other end.

pub mod descriptors;
pub mod keepalive;
mod tap;

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest, ReadBuf};
use tokio::net::TcpStream;

pub use tap::{Tap, Tapped};

use crate::tls::{FrontTls, Shown};

/// A connection to a client or a host, whatever carries it.
pub enum Stream {
    /// Clear text.
    Tcp(TcpStream),
    /// TLS towards a client.
    FrontTls(Box<FrontTls>),
    /// TLS towards a host.
    HostTls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    /// Inside the process: the built-in store, and tests.
    Memory(DuplexStream),
    /// Any of these, listened to.
    Tapped(Box<Tapped>),
    /// Nothing: what is left where a stream was taken away to be upgraded.
    Gone(tokio::io::Empty),
}

impl Stream {
    /// The TLS version and cipher suite in use, if any: `TLSv1.3`.
    pub fn tls(&self) -> Option<TlsFacts> {
        match self {
            Stream::FrontTls(tls) => Some(TlsFacts::new(tls.version(), tls.cipher_suite())),
            Stream::HostTls(tls) => Some(TlsFacts::of(tls.get_ref().1)),
            Stream::Tapped(tapped) => tapped.stream.tls(),
            Stream::Tcp(_) | Stream::Memory(_) | Stream::Gone(_) => None,
        }
    }

    /// The certificate that a client has shown and that was verified.
    pub fn certificate(&self) -> Option<&Arc<Shown>> {
        match self {
            Stream::FrontTls(tls) => tls.certificate(),
            Stream::Tapped(tapped) => tapped.stream.certificate(),
            _ => None,
        }
    }

    /// The name that a client asked for in its TLS handshake (SNI), lower case.
    pub fn server_name(&self) -> Option<&str> {
        match self {
            Stream::FrontTls(tls) => tls.server_name(),
            Stream::Tapped(tapped) => tapped.stream.server_name(),
            _ => None,
        }
    }

    /// Takes the stream away and leaves [`Stream::Gone`].
    pub fn take(&mut self) -> Stream {
        std::mem::replace(self, Stream::Gone(tokio::io::empty()))
    }

    /// Whether the peer still sends, as far as the kernel has said so: known without a read, so also where
    /// octets of its wait that nobody takes. Of streams inside the process nothing is known.
    pub fn half(&self) -> Half {
        let Some(tcp) = self.tcp() else {
            return Half::Open;
        };
        let mut cx = Context::from_waker(Waker::noop());
        // Asks for what is known already; nobody is woken.
        match pin!(tcp.ready(Interest::READABLE | Interest::ERROR)).poll(&mut cx) {
            Poll::Ready(Ok(ready)) if ready.is_error() => Half::Broken,
            Poll::Ready(Ok(ready)) if ready.is_read_closed() => Half::Ended,
            Poll::Ready(_) | Poll::Pending => Half::Open,
        }
    }

    /// Whether it keeps octets that its peer has not taken, and nobody counts them: TLS towards a host does,
    /// as much as it is given until it is flushed.
    pub fn keeps_uncounted(&self) -> bool {
        match self {
            Stream::HostTls(_) => true,
            Stream::Tapped(tapped) => tapped.stream.keeps_uncounted(),
            _ => false,
        }
    }

    /// The TCP connection under it, if there is one.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Stream::Tcp(tcp) => Some(tcp),
            Stream::FrontTls(tls) => Some(tls.tcp()),
            Stream::HostTls(tls) => Some(tls.get_ref().0),
            Stream::Tapped(tapped) => tapped.stream.tcp(),
            Stream::Memory(_) | Stream::Gone(_) => None,
        }
    }
}

/// A peer's half of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Octets may come.
    Open,
    /// The peer has ended it; what it sent before may still wait to be read.
    Ended,
    /// The connection was reset: what is written to it reaches nobody.
    Broken,
}

/// What is known of a TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2`, `TLSv1.3`.
    pub version: &'static str,
    /// The suite as rustls names it.
    pub cipher: Option<rustls::CipherSuite>,
}

impl TlsFacts {
    fn of(state: &rustls::CommonState) -> Self {
        TlsFacts::new(state.protocol_version(), state.negotiated_cipher_suite())
    }

    fn new(
        version: Option<rustls::ProtocolVersion>,
        suite: Option<rustls::SupportedCipherSuite>,
    ) -> Self {
        TlsFacts {
            version: match version {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher: suite.map(|suite| suite.suite()),
        }
    }
}

/// Who is at the other end of a client's connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's real address and port (from the PROXY header where one was required).
    pub client: SocketAddr,
    /// The address and port it connected to.
    pub local: SocketAddr,
}

/// One match for every poll: the kinds differ in nothing else.
macro_rules! each {
    ($stream:expr, $s:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($s) => $call,
            Stream::FrontTls($s) => $call,
            Stream::HostTls($s) => $call,
            Stream::Memory($s) => $call,
            Stream::Tapped($s) => $call,
            Stream::Gone($s) => $call,
        }
    };
}

impl Stream {
    /// As `poll_write`, of the last octets there are: TLS towards a client says its goodbye with them. A
    /// shutdown is to follow.
    pub fn poll_write_last(
        &mut self,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::FrontTls(tls) => tls.poll_write_last(cx, octets),
            Stream::Tapped(tapped) => tapped.poll_write_last(cx, octets),
            other => Pin::new(other).poll_write(cx, octets),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), s => Pin::new(s).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), s => Pin::new(s).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), s => Pin::new(s).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, s => s.is_write_vectored())
    }
}
