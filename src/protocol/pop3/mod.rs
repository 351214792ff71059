//! POP3 up to login (RFC 1939, 2449, 5034), and a maildrop served from an IMAP mailbox.

pub mod client;
pub mod config;
pub mod grammar;
pub mod multiline;
pub mod observer;
pub mod reply;
pub mod server;
pub mod unique_id;
mod xclient;

pub use config::Settings;
