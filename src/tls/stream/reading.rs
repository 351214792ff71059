//! Reads from a client: octets of the network become records, and their data what the reader takes.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::protect::{HEADER, PLAIN_MAX};
use super::records::{Broken, Opened};
use super::{BATCH, BESIDE, FrontTls, Half};

/// Octets received for a reader that has little room: enough for commands.
const SMALL: usize = 4096;

thread_local! {
    static RECEIVED: RefCell<Vec<u8>> = RefCell::new(vec![0; BATCH + BESIDE]);
}

impl FrontTls {
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
                self.unsent.keep(&reply);
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
                    self.unsent.keep(&words);
                    self.writing = Half::Closed;
                    let _ = self.unsent.poll_send(&mut self.tcp, cx);
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
                let sent = self.unsent.poll_send_offered(&mut self.tcp, cx);
                return match sent {
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
                    let _ = self.unsent.poll_send_offered(&mut self.tcp, cx)?;
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
