//! Buffers at the two ends of a connection: taken when octets move, given back when none have moved
//! for a while.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// Octets read and not yet consumed.
#[derive(Debug, Default)]
pub(super) struct ReadEnd {
    buffer: Vec<u8>,
    at: usize,
    closed: bool,
}

impl ReadEnd {
    /// With octets that were read before.
    pub(super) fn new(first: Vec<u8>) -> Self {
        ReadEnd {
            buffer: first,
            ..Self::default()
        }
    }

    pub(super) fn octets(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.octets().is_empty()
    }

    /// Whether the other side said that nothing more will come.
    pub(super) fn is_closed(&self) -> bool {
        self.closed && self.is_empty()
    }

    pub(super) fn consume(&mut self, octets: usize) {
        self.at += octets;
        if self.is_empty() {
            self.buffer.clear();
            self.at = 0;
        }
    }

    /// Reads once, about so many octets at most. To be called when there is nothing left.
    pub(super) fn poll<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        octets: usize,
    ) -> Poll<io::Result<usize>> {
        self.buffer.reserve(octets);
        let read = ready!(pin!(stream.read_buf(&mut self.buffer)).poll(cx))?;
        self.closed = read == 0;
        Poll::Ready(Ok(read))
    }

    /// Whether there is a buffer and nothing in it.
    pub(super) fn holds_memory(&self) -> bool {
        self.buffer.capacity() > 0 && self.buffer.is_empty()
    }

    /// Gives the memory back.
    pub(super) fn rest(&mut self) {
        if self.is_empty() {
            self.buffer = Vec::new();
        }
    }
}

/// Octets to be written.
#[derive(Debug, Default)]
pub(super) struct WriteEnd {
    buffer: Vec<u8>,
    at: usize,
    flush: Flush,
}

/// Whether what was written may still sit in the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flush {
    #[default]
    Done,
    Due,
    /// Nothing is written any more.
    Closed,
}

impl WriteEnd {
    /// With octets to be written first.
    pub(super) fn new(first: Vec<u8>) -> Self {
        WriteEnd {
            buffer: first,
            ..Self::default()
        }
    }

    /// To be appended to.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Takes all octets out of another buffer.
    pub(super) fn take(&mut self, from: &mut Vec<u8>) {
        if self.buffer.is_empty() {
            std::mem::swap(&mut self.buffer, from);
        } else {
            self.buffer.append(from);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// Whether everything was written and flushed.
    pub(super) fn is_empty(&self) -> bool {
        self.flush == Flush::Closed || (self.len() == 0 && self.flush == Flush::Done)
    }

    /// Nobody listens: what is to be written is thrown away from now on.
    pub(super) fn close(&mut self) {
        self.flush = Flush::Closed;
        self.buffer.clear();
        self.at = 0;
    }

    /// Writes as much as goes, and flushes. Returns how many octets were written; 0 if there was
    /// nothing to do.
    pub(super) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.flush == Flush::Closed {
            self.buffer.clear();
            return Poll::Ready(Ok(0));
        }
        let mut written = 0;
        while let Some(rest) = self.buffer.get(self.at..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut *stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(octets)) => {
                    self.at += octets;
                    written += octets;
                    self.flush = Flush::Due;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.buffer.drain(..self.at);
                    self.at = 0;
                    return match written {
                        0 => Poll::Pending,
                        written => Poll::Ready(Ok(written)),
                    };
                }
            }
        }
        self.buffer.clear();
        self.at = 0;
        if self.flush == Flush::Due {
            match Pin::new(stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.flush = Flush::Done,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if written == 0 => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        Poll::Ready(Ok(written))
    }

    /// Writes everything.
    pub(super) fn poll_all<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            ready!(self.poll(stream, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether there is a buffer and nothing in it.
    pub(super) fn holds_memory(&self) -> bool {
        self.buffer.capacity() > 0 && self.buffer.is_empty()
    }

    /// Gives the memory back.
    pub(super) fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
    }
}
