//! How a connection ends before anybody is logged in: the goodbye, the wait for who has to hear it.
//!
//! Who waits for a client to close still has a place among the connections: the wait is over at once when
//! that is wanted for somebody else.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::asked::Near;
use super::converse::Said;
use super::{Ended, EndedBy, limits};
use crate::net::Stream;
use crate::protocol::{Closing, Farewell, Server, Step};

/// The end of a conversation that showed no credentials.
pub(super) async fn gone(
    stream: Stream,
    said: io::Result<Said>,
    place: &limits::Connection,
) -> Ended {
    match said {
        Ok(Said::Closed(why)) => {
            unless_needed(place, linger(stream)).await;
            let by = match why {
                Closing::Logout => EndedBy::Client,
                _ => EndedBy::Gateway,
            };
            Ended::new(by, why.as_str())
        }
        Ok(Said::Left | Said::Login(_) | Said::Answer(_) | Said::Secured | Said::Proxied) => {
            Ended::new(EndedBy::Client, "closed")
        }
        Err(error) => Ended::error(EndedBy::Client, &error),
    }
}

/// Holds the answer to a failed login back until then.
///
/// # Errors
/// The end of a connection whose client has left meanwhile, or which has to make room.
pub(super) async fn held_back(
    stream: &mut Stream,
    server: &mut dyn Server,
    place: &limits::Connection,
    until: Instant,
) -> Result<(), Ended> {
    {
        let near = Near::new(stream, server, place);
        tokio::select! {
            () = sleep_until(until) => return Ok(()),
            half = near.left() => {
                near.depart(half);
                near.close().await;
                return Err(Ended::left(half));
            }
            () = place.told_to_go() => {}
        }
    }
    Err(make_room(stream.take(), server).await)
}

/// How long a client may take to hear a goodbye, and to close after it.
const LINGER: Duration = Duration::from_secs(2);

/// Says what is still to be said, and goodbye, and closes.
pub(super) async fn leave(
    mut stream: Stream,
    server: &mut dyn Server,
    reason: Farewell,
    place: &limits::Connection,
) -> Ended {
    let mut words = Vec::new();
    while let Step::Write(bytes) = server.step() {
        words.extend(bytes);
    }
    words.extend(server.farewell(reason));
    unless_needed(place, async {
        let _: Result<io::Result<()>, _> = timeout(LINGER, async {
            stream.write_all(&words).await?;
            stream.flush().await
        })
        .await;
        linger(stream).await;
    })
    .await;
    Ended::farewell(reason)
}

/// Goes on with a parting as long as nobody else needs the place. What can be said at once is said.
async fn unless_needed(place: &limits::Connection, parting: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = parting => {}
        () = place.told_to_go() => {}
    }
}

/// Says goodbye if that can be done at once, and closes: somebody else needs the place now.
pub(super) async fn make_room(mut stream: Stream, server: &mut dyn Server) -> Ended {
    let words = server.farewell(Farewell::TooMany);
    // The first poll comes before the clock is looked at.
    let _: Result<io::Result<()>, _> = timeout(Duration::ZERO, async {
        stream.write_all(&words).await?;
        stream.flush().await
    })
    .await;
    Ended::new(EndedBy::Gateway, "made room")
}

/// Closes without a reset: what the client has not read yet would be lost if octets of its own were
/// still unread here. Waits a short while for the client to close, too.
pub(super) async fn linger(mut stream: Stream) {
    let _: Result<io::Result<()>, _> = timeout(LINGER, async {
        stream.shutdown().await?;
        let mut sink = [0; 1024];
        let mut left = 64 * 1024_usize;
        while left > 0 {
            match stream.read(&mut sink).await? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        Ok(())
    })
    .await;
}
