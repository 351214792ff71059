//! `sizes: exact`: every message that was not measured before is fetched once, before the login is
//! accepted, and its octets are counted as RETR would send them. For small maildrops, and for moving
//! from a server whose sizes were exact.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::open::{CHUNK, NotOpen};
use crate::protocol::Failure;
use crate::protocol::imap::ask::{Ask, Event, Fetch, NoBody, Opened, Span, When};
use crate::protocol::imap::mailbox::Mailbox;
use crate::protocol::imap::snapshot::{Measured, Snapshot};
use crate::protocol::pop3::multiline::Stuffer;

/// Messages asked for at a time.
const AHEAD: usize = 16;

/// Measures what `known` does not tell. Takes and returns what was read and not consumed.
pub(super) async fn measure<H>(
    host: &mut H,
    mailbox: &mut Mailbox,
    mut from_host: Vec<u8>,
    opened: &mut Opened,
    known: Option<&Snapshot>,
) -> Result<Vec<u8>, NotOpen>
where
    H: AsyncRead + AsyncWrite + Unpin,
{
    let known = known.filter(|known| {
        known.measured == Measured::Yes && known.uid_validity == opened.snapshot.uid_validity
    });
    let new = opened.snapshot.iter().filter(|message| {
        let index = known.and_then(|known| known.index_of(message.uid));
        index.is_none()
    });
    let todo: Vec<Fetch> = new
        .map(|message| Fetch {
            uid: message.uid,
            span: Span::Whole,
            expect: message.size,
        })
        .collect();
    let mut sizes = Vec::new();
    let mut measured = Measured::Yes;
    for (at, &fetch) in todo.iter().enumerate() {
        mailbox.ask(Ask::Fetch(fetch, When::Now));
        let first = if at == 0 { 1 } else { AHEAD };
        for &next in todo.iter().skip(at + first).take(AHEAD + 1 - first) {
            mailbox.ask(Ask::Fetch(next, When::Ahead));
        }
        match one(host, mailbox, &mut from_host).await? {
            Some(octets) => sizes.push((fetch.uid, octets)),
            None => measured = Measured::No,
        }
    }
    let snapshot = Arc::make_mut(&mut opened.snapshot);
    snapshot.learn(sizes);
    snapshot.measured = measured;
    Ok(from_host)
}

/// The size of the message that was asked for; none if it cannot be read.
async fn one<H>(
    host: &mut H,
    mailbox: &mut Mailbox,
    from_host: &mut Vec<u8>,
) -> Result<Option<u64>, NotOpen>
where
    H: AsyncRead + AsyncWrite + Unpin,
{
    let lost = |cause: String| NotOpen::Failed(Failure::Unreachable { cause });
    let broken = |error: io::Error| lost(format!("connection lost while measuring: {error}"));
    let mut stuffer = Stuffer::new();
    let mut stuffed = Vec::new();
    loop {
        let mut at = 0;
        let over = loop {
            let rest = from_host.get(at..).unwrap_or_default();
            let (used, event) = mailbox.receive(rest);
            at += used;
            match event {
                Some(Event::Body(octets)) => {
                    stuffer.push(&octets, &mut stuffed);
                    stuffed.clear();
                }
                Some(Event::BodyEnd) => break Some(Ok(Some(stuffer.clone().finish(&mut stuffed)))),
                Some(Event::NoBody(NoBody::Lost) | Event::BodyBroken(_)) => {
                    break Some(Err(lost("connection lost while measuring".into())));
                }
                Some(Event::NoBody(_)) => break Some(Ok(None)),
                Some(_) => {}
                None => break None,
            }
        };
        from_host.drain(..at);
        if let Some(over) = over {
            return over;
        }
        let output = mailbox.output();
        if !output.is_empty() {
            host.write_all(output).await.map_err(broken)?;
            output.clear();
            host.flush().await.map_err(broken)?;
        }
        from_host.reserve(CHUNK);
        if host.read_buf(from_host).await.map_err(broken)? == 0 {
            mailbox.closed();
        }
    }
}
