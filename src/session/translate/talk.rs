//! The talk with a host while nobody listens on the other side: a mailbox is opened, marks are put back,
//! messages are measured. Each waits for events of its own; how octets come and go is here, once. With a
//! client at the other end both sides are polled instead ([`super::serving`]).

use std::io;
use std::ops::ControlFlow;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::protocol::imap::ask::Event;
use crate::protocol::imap::mailbox::Mailbox;

/// Octets read at a time.
const CHUNK: usize = 16 * 1024;

/// A host, and the mailbox there.
pub(super) struct Talk<H> {
    pub(super) host: H,
    pub(super) mailbox: Mailbox,
    /// Read and not consumed.
    pub(super) from_host: Vec<u8>,
}

impl<H> Talk<H>
where
    H: AsyncRead + AsyncWrite + Unpin,
{
    /// Goes on until `on` breaks at an event; what came behind that one stays for the next time. A host that
    /// closes is an event like others. An error is not: it is the caller's to tell the mailbox of it, where
    /// anybody is to hear more of it.
    pub(super) async fn until<T>(
        &mut self,
        mut on: impl FnMut(Event<'_>) -> ControlFlow<T>,
    ) -> io::Result<T> {
        loop {
            if let ControlFlow::Break(over) = self.events(&mut on) {
                return Ok(over);
            }
            let output = self.mailbox.output();
            if !output.is_empty() {
                self.host.write_all(output).await?;
                output.clear();
                self.host.flush().await?;
            }
            self.from_host.reserve(CHUNK);
            if self.host.read_buf(&mut self.from_host).await? == 0 {
                self.mailbox.closed();
            }
        }
    }

    /// What was read so far tells.
    fn events<T>(&mut self, on: &mut impl FnMut(Event<'_>) -> ControlFlow<T>) -> ControlFlow<T> {
        let mut at = 0;
        let over = loop {
            let rest = self.from_host.get(at..).unwrap_or_default();
            let (used, event) = self.mailbox.receive(rest);
            at += used;
            match event.map(&mut *on) {
                Some(ControlFlow::Continue(())) => {}
                Some(over) => break over,
                None => break ControlFlow::Continue(()),
            }
        };
        self.from_host.drain(..at.min(self.from_host.len()));
        over
    }
}
