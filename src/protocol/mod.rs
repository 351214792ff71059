//! The languages: each mail protocol up to login as a pure state machine.
//!
//! A [`Server`] plays our side towards a mail client, a [`Client`] our side towards a mail host. Both
//! eat bytes and say what to do next; nothing in here does IO, reads a clock or knows a setting it
//! was not given. One driver for each role (`session::converse`, `backend::login`) plays any of them
//! over a real stream. A login that was accepted consumes the state machine and leaves a
//! [`Handover`], the only thing a relay can be built from.
//!
//! What stands here reads octets of strangers, so nothing in it may panic or wrap around: the lints
//! below hold that, also for whatever is added.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::panic,
        clippy::unreachable
    )
)]

pub mod failure;
mod front;
mod handover;
pub mod imap;
mod leg;
pub mod line;
pub mod login;
pub mod pop3;
pub mod proxy_header;
pub mod sasl;

use std::fmt;

pub use failure::{Code, Failure, Limit, Side};
pub use front::{
    Channel, ClearLogin, Closing, Farewell, FrontSettings, HELD_MAX, READ_CHUNK, Refused, Server,
    Step,
};
pub use handover::{Handover, Observer, Verdict};
pub use leg::{
    Behind, Client, Goal, HostLogin, HostStep, Origin, Transport, UnauthenticateOffer, Welcome,
};
pub use login::{Credentials, Login, Mechanism, Secret, UserName};

/// A mail protocol a client can speak to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// IMAP4rev1 and IMAP4rev2 (RFC 3501, RFC 9051).
    Imap,
    /// POP3 (RFC 1939).
    Pop3,
}

impl Protocol {
    /// Every protocol, for tables and metrics.
    pub const ALL: [Protocol; 2] = [Protocol::Imap, Protocol::Pop3];

    /// The word of logs, metrics and settings: `imap`, `pop3`.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Imap => "imap",
            Protocol::Pop3 => "pop3",
        }
    }

    /// What a client says that wants nothing more: LOGOUT (RFC 9051 §6.1.3), QUIT (RFC 1939 §5, §6).
    pub fn leave(self) -> &'static [u8] {
        match self {
            Protocol::Imap => b"gone LOGOUT\r\n",
            Protocol::Pop3 => b"QUIT\r\n",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether an upgrade to TLS is offered (front), or demanded (host leg).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// Yes. On the host leg: before anything else, and never back to clear text.
    Yes,
    /// No.
    No,
}
