//! How a session ended: which side, why, in which state.

use std::io;

use crate::net::Half;
use crate::protocol::Farewell;

/// Who ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The client closed, left or broke the connection.
    Client,
    /// The host did.
    Backend,
    /// We did: a limit, a timeout, an operator, a shutdown.
    Gateway,
}

impl EndedBy {
    /// The word of the log: `client`, `backend`, `gateway`.
    pub fn as_str(self) -> &'static str {
        match self {
            EndedBy::Client => "client",
            EndedBy::Backend => "backend",
            EndedBy::Gateway => "gateway",
        }
    }
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Who.
    pub by: EndedBy,
    /// Why, for the log: `closed`, `logout`, `reset`, `idle`, `shutdown`, …
    pub reason: String,
}

impl Ended {
    /// An end with a fixed reason.
    pub fn new(by: EndedBy, reason: &str) -> Self {
        Ended {
            by,
            reason: reason.into(),
        }
    }

    /// The end that an error on one side's stream is.
    pub fn error(by: EndedBy, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset".into(),
            io::ErrorKind::UnexpectedEof => "closed without close_notify".into(),
            io::ErrorKind::TimedOut => "timed out".into(),
            _ => error.to_string(),
        };
        Ended { by, reason }
    }

    /// The end that a client made that nobody read from.
    pub fn left(half: Half) -> Self {
        let reason = match half {
            Half::Broken => "reset",
            Half::Open | Half::Ended => "closed",
        };
        Ended::new(EndedBy::Client, reason)
    }

    /// The end that a goodbye of ours is.
    pub fn farewell(reason: Farewell) -> Self {
        let reason = match reason {
            Farewell::Timeout => "timeout",
            Farewell::Shutdown => "shutdown",
            Farewell::TooMany => "limit",
            Farewell::TooManyFailures => "failed logins",
            Farewell::Kicked => "kicked",
        };
        Ended::new(EndedBy::Gateway, reason)
    }
}
