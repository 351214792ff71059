//! TCP keepalive, set the same way on both legs.
//!
//! The system takes whole seconds and not every number of them; settings may say anything. What it
//! would refuse is the nearest it takes: a connection without probes is still a connection, but one
//! that is believed to have them is found dead days later.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// The least that Linux takes.
const LEAST: Duration = Duration::from_secs(1);

/// The most that Linux takes, of the time before the first probe and between two.
const MOST: Duration = Duration::from_secs(32767);

/// When a silent peer is asked whether it is there; none: never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    time: Duration,
    interval: Duration,
}

impl Keepalive {
    /// `time` before the first probe, `interval` between two, each as near as the system takes it. None
    /// for a time of zero, which turns it off.
    pub fn new(time: Duration, interval: Duration) -> Option<Self> {
        let taken = |it: Duration| Duration::from_secs(it.clamp(LEAST, MOST).as_secs());
        (!time.is_zero()).then(|| Keepalive {
            time: taken(time),
            interval: taken(interval),
        })
    }

    /// Sets it on a socket, or on a listening one for those that come.
    pub fn set(self, socket: &SockRef<'_>) -> io::Result<()> {
        let probes = TcpKeepalive::new()
            .with_time(self.time)
            .with_interval(self.interval);
        socket.set_tcp_keepalive(&probes)
    }

    /// Whether it is set.
    pub fn is_on(self, socket: &SockRef<'_>) -> bool {
        socket.keepalive().is_ok_and(|it| it)
            && socket.tcp_keepalive_time().is_ok_and(|it| it == self.time)
    }
}
