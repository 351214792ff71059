//! Accepting when it fails: what went wrong, how long it rests, and who is told, how often.
//!
//! accept(2) tells of two kinds of trouble: the connection's own, which costs one round more, and
//! the machine's (no descriptors, no memory), which would come back at once and for ever: then
//! accepting rests a moment, so that the loop does not eat the processor.

use std::fmt::Display;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::net::descriptors;
use crate::observe::metrics::AcceptError;

/// How long accepting rests. Short, as it is how late a client may be accepted once there is room.
pub(super) const REST: Duration = Duration::from_millis(100);

/// How often the log speaks of it while it lasts.
const PERIOD: Duration = Duration::from_secs(10);

/// Numbers of errors, the same on all Linux systems we build for but MIPS and SPARC, and there only
/// the label of the metric is another.
const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const EPROTO: i32 = 71;
const ENOBUFS: i32 = 105;

/// What an error of accept(2) says.
pub(super) fn trouble(error: &io::Error) -> AcceptError {
    match error.raw_os_error() {
        Some(EMFILE | ENFILE) => AcceptError::Descriptors,
        Some(ENOBUFS | ENOMEM) => AcceptError::Memory,
        // EPERM: a firewall's word on this one connection.
        Some(EPROTO | EPERM) => AcceptError::Aborted,
        _ if error.kind() == io::ErrorKind::ConnectionAborted => AcceptError::Aborted,
        _ => AcceptError::Other,
    }
}

/// The connection on a descriptor that mail may have; the same connection, if there is none now.
pub(super) fn unreserved(tcp: TcpStream) -> Result<TcpStream, TcpStream> {
    if !descriptors::is_reserved(&tcp) {
        return Ok(tcp);
    }
    // The lowest number that is free.
    match tcp.as_fd().try_clone_to_owned() {
        Ok(fd) if !descriptors::is_reserved(&fd) => {
            TcpStream::from_std(std::net::TcpStream::from(fd)).map_err(|_| tcp)
        }
        _ => Err(tcp),
    }
}

/// The times a listener rested, for the log: told when they begin, now and then while they last, and
/// when they are over.
pub(super) struct Rests {
    listener: String,
    since: Option<Since>,
}

struct Since {
    began: Instant,
    told: Instant,
    rests: u64,
}

impl Rests {
    pub(super) fn new(listener: &str) -> Self {
        Rests {
            listener: listener.to_owned(),
            since: None,
        }
    }

    pub(super) fn begin(&mut self, error: &dyn Display) {
        let now = Instant::now();
        let listener = self.listener.as_str();
        match &mut self.since {
            None => {
                tracing::warn!(
                    event = "accept_rests",
                    listener,
                    %error,
                    "new connections wait; raise the limit of open files (LimitNOFILE=)"
                );
                self.since = Some(Since {
                    began: now,
                    told: now,
                    rests: 1,
                });
            }
            Some(since) => {
                since.rests += 1;
                if now.duration_since(since.told) >= PERIOD {
                    since.told = now;
                    let (rests, seconds) = (since.rests, now.duration_since(since.began).as_secs());
                    tracing::warn!(event = "accept_rests", listener, %error, rests, seconds);
                }
            }
        }
    }

    /// A connection was accepted and served.
    pub(super) fn end(&mut self) {
        // Around the limit it comes and goes: over is what has been over for a period.
        let over = |since: &Since| since.told.elapsed() >= PERIOD;
        if self.since.as_ref().is_some_and(over)
            && let Some(Since { rests, .. }) = self.since.take()
        {
            let listener = self.listener.as_str();
            tracing::info!(event = "accept_goes_on", listener, rests);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machines_trouble_makes_accepting_rest() {
        for (number, want) in [
            (EMFILE, AcceptError::Descriptors),
            (ENFILE, AcceptError::Descriptors),
            (ENOBUFS, AcceptError::Memory),
            (ENOMEM, AcceptError::Memory),
            (EPROTO, AcceptError::Aborted),
            (EPERM, AcceptError::Aborted),
            (103, AcceptError::Aborted),
            (22, AcceptError::Other),
        ] {
            assert_eq!(
                trouble(&io::Error::from_raw_os_error(number)),
                want,
                "{number}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_told_once_a_period() {
        let mut rests = Rests::new("imap://127.0.0.1");
        let told = |rests: &Rests| rests.since.as_ref().map(|since| (since.told, since.rests));
        rests.begin(&"full");
        let first = told(&rests).unwrap();
        for _ in 0..99 {
            tokio::time::advance(REST).await;
            rests.begin(&"full");
            rests.end();
        }
        assert_eq!(told(&rests), Some((first.0, 100)));
        tokio::time::advance(REST).await;
        rests.begin(&"full");
        assert_ne!(told(&rests).unwrap().0, first.0);
        tokio::time::advance(PERIOD).await;
        rests.end();
        assert_eq!(told(&rests), None);
    }
}
