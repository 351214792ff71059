//! A stream that somebody listens to: what is read from it and written to it is told, as it passes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Stream;

/// Who listens.
pub trait Tap: Send + Sync {
    /// The other side sent this.
    fn received(&mut self, octets: &[u8]);
    /// We sent this.
    fn sent(&mut self, octets: &[u8]);
    /// TLS begins: what was said in clear and is not at its end is forgotten.
    fn secured(&mut self);
    /// The other side says that it is this user.
    fn named(&mut self, user: &str);
    /// Whether it wants to hear more of that user, who is let in now.
    fn stays(&self) -> bool;
}

/// A stream and who listens to it.
pub struct Tapped {
    pub(super) stream: Stream,
    tap: Box<dyn Tap>,
}

impl Stream {
    /// The same stream, listened to.
    #[must_use]
    pub fn tapped(self, tap: Box<dyn Tap>) -> Stream {
        Stream::Tapped(Box::new(Tapped { stream: self, tap }))
    }

    /// The stream itself and who listens to it, if anybody does.
    pub fn untapped(self) -> (Stream, Option<Box<dyn Tap>>) {
        match self {
            Stream::Tapped(tapped) => (tapped.stream, Some(tapped.tap)),
            stream => (stream, None),
        }
    }

    /// The stream of a user who is let in: listened to no more, if nobody wants to.
    #[must_use]
    pub fn settled(self) -> Stream {
        match self {
            Stream::Tapped(tapped) if !tapped.tap.stays() => tapped.stream,
            stream => stream,
        }
    }

    /// Tells who listens which user this is.
    pub fn named(&mut self, user: &str) {
        if let Stream::Tapped(tapped) = self {
            tapped.tap.named(user);
        }
    }
}

impl Tapped {
    pub(super) fn poll_write_last(
        &mut self,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(self.stream.poll_write_last(cx, octets))?;
        self.tap.sent(octets.get(..n).unwrap_or_default());
        Poll::Ready(Ok(n))
    }
}

impl AsyncRead for Tapped {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        if !new.is_empty() {
            this.tap.received(new);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let n = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        this.tap.sent(buf.get(..n).unwrap_or_default());
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
