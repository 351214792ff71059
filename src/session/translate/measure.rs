//! `sizes: exact`: every message that was not measured before is fetched once, before the login is
//! accepted, and its octets are counted as RETR would send them. For small maildrops, and for moving
//! from a server whose sizes were exact.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::open::NotOpen;
use super::talk::Talk;
use crate::protocol::Failure;
use crate::protocol::imap::ask::{Ask, Event, Fetch, NoBody, Opened, Span, When};
use crate::protocol::imap::snapshot::{Measured, Snapshot};
use crate::protocol::pop3::multiline::Stuffer;

/// Messages asked for at a time.
const AHEAD: usize = 16;

/// Measures what `known` does not tell.
pub(super) async fn measure<H>(
    talk: &mut Talk<H>,
    opened: &mut Opened,
    known: Option<&Snapshot>,
) -> Result<(), NotOpen>
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
        talk.mailbox.ask(Ask::Fetch(fetch, When::Now));
        let first = if at == 0 { 1 } else { AHEAD };
        for &next in todo.iter().skip(at + first).take(AHEAD + 1 - first) {
            talk.mailbox.ask(Ask::Fetch(next, When::Ahead));
        }
        match one(talk).await? {
            Some(octets) => sizes.push((fetch.uid, octets)),
            None => measured = Measured::No,
        }
    }
    let snapshot = Arc::make_mut(&mut opened.snapshot);
    snapshot.learn(sizes);
    snapshot.measured = measured;
    Ok(())
}

/// The size of the message that was asked for; none if it cannot be read.
async fn one<H>(talk: &mut Talk<H>) -> Result<Option<u64>, NotOpen>
where
    H: AsyncRead + AsyncWrite + Unpin,
{
    let lost = |cause: String| NotOpen::Failed(Failure::Unreachable { cause });
    let mut stuffer = Stuffer::new();
    let mut stuffed = Vec::new();
    let size = talk.until(|event| match event {
        Event::Body(octets) => {
            stuffer.push(&octets, &mut stuffed);
            stuffed.clear();
            ControlFlow::Continue(())
        }
        Event::BodyEnd => ControlFlow::Break(Ok(Some(stuffer.clone().finish(&mut stuffed)))),
        Event::NoBody(NoBody::Lost) | Event::BodyBroken(_) => {
            ControlFlow::Break(Err(lost("connection lost while measuring".into())))
        }
        Event::NoBody(_) => ControlFlow::Break(Ok(None)),
        _ => ControlFlow::Continue(()),
    });
    size.await
        .unwrap_or_else(|error| Err(lost(format!("connection lost while measuring: {error}"))))
}
