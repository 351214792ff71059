//! One direction of a relay: what is read, looked at, written, and kept where the writer is slow.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::Stream;
use crate::protocol::Verdict;
use crate::session::held::{POOL, Pool, Share};

/// Octets moved at a time: four full TLS records, so that a bulk transfer costs few system calls.
pub(super) const BUFFER: usize = 64 * 1024;

/// The last octets of a session, as a rule.
const FAREWELL: usize = 4 * 1024;

/// Where in a thread's buffer octets begin: half a page from its start. A record that they are copied into
/// begins with a page as well, and a copy between places that differ by little more than whole pages is several
/// times slower: its reads wait for its writes, which look like the same address.
const APART: usize = 2048;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; APART + BUFFER].into_boxed_slice());
}

/// One direction of a relay.
pub(super) struct Direction {
    /// Read, not yet taken by the other side.
    held: Vec<u8>,
    /// How much of `held` is written.
    written: usize,
    /// Octets of ours that the writer may still keep.
    unflushed: usize,
    /// What is counted of both.
    share: Share,
    /// Whether octets moved since this was last asked.
    pub(super) moved: bool,
    pub(super) flow: Flow,
    /// How reading ended, where octets came first.
    failed: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Octets may come.
    Open,
    /// The observer refused some: nothing moves any more.
    Refused,
    /// The reader's end was seen; the writer is to be shut down.
    Ended,
    /// The same, together with the last octets, and the writer knows that they are the last.
    Last,
    /// The writer is shut down.
    Shut,
}

/// What became of a direction.
pub(super) enum Moved {
    /// The end of stream was passed on.
    All,
    /// The observer refused some octets.
    Refused,
    /// One of its streams broke.
    Failed(Which, io::Error),
}

/// The stream of a direction that broke.
#[derive(Clone, Copy)]
pub(super) enum Which {
    Reader,
    Writer,
}

impl Direction {
    pub(super) fn new(first: Vec<u8>) -> Self {
        Direction::of(&POOL, first)
    }

    /// As [`new`](Self::new), counted in this pool.
    pub(super) fn of(pool: &'static Pool, first: Vec<u8>) -> Self {
        let mut share = pool.share();
        share.set(first.len());
        Direction {
            held: first,
            written: 0,
            unflushed: 0,
            share,
            moved: false,
            flow: Flow::Open,
            failed: None,
        }
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut Stream,
        writer: &mut Stream,
        count: &AtomicU64,
        mut look: impl FnMut(&mut [u8]) -> Verdict,
        mut may_end: impl FnMut(&mut Context<'_>, bool) -> Poll<()>,
    ) -> Poll<Moved> {
        loop {
            if let Err(error) = ready!(self.poll_write(cx, writer)) {
                return Poll::Ready(Moved::Failed(Which::Writer, error));
            }
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Moved::Failed(Which::Reader, error));
            }
            match self.flow {
                Flow::Open => match ready!(self.poll_read(cx, reader, writer, count, &mut look)) {
                    Ok(()) => {}
                    Err((which, error)) => return Poll::Ready(Moved::Failed(which, error)),
                },
                Flow::Refused => return Poll::Ready(Moved::Refused),
                Flow::Ended | Flow::Last => {
                    if self.flow == Flow::Ended {
                        ready!(may_end(cx, self.moved));
                    }
                    // An error here is the other side's and will be seen on its own half.
                    let _ = ready!(Pin::new(&mut *writer).poll_shutdown(cx));
                    self.flow = Flow::Shut;
                }
                Flow::Shut => return Poll::Ready(Moved::All),
            }
        }
    }

    /// One read into the thread's buffer and the write that follows; keeps what is not taken.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut Stream,
        writer: &mut Stream,
        count: &AtomicU64,
        look: &mut impl FnMut(&mut [u8]) -> Verdict,
    ) -> Poll<Result<(), (Which, io::Error)>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let most = self.share.pool().room(BUFFER);
            let mut buffer = ReadBuf::new(scratch.get_mut(APART..APART + most).unwrap_or_default());
            if let Err(error) = ready!(Pin::new(&mut *reader).poll_read(cx, &mut buffer)) {
                return Poll::Ready(Err((Which::Reader, error)));
            }
            if buffer.filled().is_empty() {
                self.flow = Flow::Ended;
                return Poll::Ready(Ok(()));
            }
            // The end of stream that has come along is passed on with the octets. Where there is none this
            // asks nobody: it is known that a read that was not full took all there was. Behind a bulk of octets
            // TLS would bring a record more, and keep what finds no room.
            let before = buffer.filled().len();
            if before < most.min(FAREWELL) {
                match Pin::new(reader).poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) if buffer.filled().len() == before => {
                        self.flow = Flow::Last;
                    }
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                    Poll::Ready(Err(error)) => self.failed = Some(error),
                }
            }
            let bytes = buffer.filled_mut();
            self.moved = true;
            count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if look(bytes) == Verdict::End {
                self.flow = Flow::Refused;
                return Poll::Ready(Ok(()));
            }
            let mut rest = &*bytes;
            while !rest.is_empty() {
                let written = match self.flow {
                    Flow::Last => writer.poll_write_last(cx, rest),
                    _ => Pin::new(&mut *writer).poll_write(cx, rest),
                };
                match written {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err((Which::Writer, io::ErrorKind::WriteZero.into())));
                    }
                    Poll::Ready(Ok(n)) => rest = rest.get(n..).unwrap_or_default(),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err((Which::Writer, error))),
                    Poll::Pending => break,
                }
            }
            self.unflushed = bytes.len() - rest.len();
            self.hold(rest);
            Poll::Ready(Ok(()))
        })
    }

    /// Whether the writer does not take what was read: then nothing is read either, and the reader's end
    /// is not seen.
    pub(super) fn is_stalled(&self) -> bool {
        self.flow == Flow::Open && (!self.held.is_empty() || self.unflushed > 0)
    }

    pub(super) fn hold(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.held.extend_from_slice(bytes);
            self.share.set(self.held.len());
        }
    }

    /// Writes and flushes what is held.
    fn poll_write(&mut self, cx: &mut Context<'_>, writer: &mut Stream) -> Poll<io::Result<()>> {
        let polled = self.poll_write_all(cx, writer);
        self.share.set(match &polled {
            Poll::Pending if writer.keeps_uncounted() => self.held.len() + self.unflushed,
            Poll::Pending => self.held.len(),
            Poll::Ready(_) => 0,
        });
        polled
    }

    fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut Stream,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.written..)
            && !rest.is_empty()
        {
            match ready!(Pin::new(&mut *writer).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => {
                    self.written += n;
                    self.unflushed += n;
                    self.moved = true;
                }
            }
        }
        if self.written > 0 {
            self.held = Vec::new();
            self.written = 0;
        }
        if self.unflushed > 0 {
            ready!(Pin::new(writer).poll_flush(cx))?;
            self.unflushed = 0;
        }
        Poll::Ready(Ok(()))
    }
}
