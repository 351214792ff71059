//! The signals the gateway listens to.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(PartialEq, Eq)]
pub(super) enum Wish {
    Stop,
    Reload,
    /// Open the log file anew, and nothing else: what other mail servers and log rotation take it for.
    Reopen,
    Upgrade,
}

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    first: Signal,
    second: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            first: signal(SignalKind::user_defined1())?,
            second: signal(SignalKind::user_defined2())?,
        })
    }

    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.first.recv() => Wish::Reopen,
            _ = self.second.recv() => Wish::Upgrade,
        }
    }

    pub(super) async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}
