//! From port to session: sockets that listen, and what a connection passes before its greeting.
pub mod config;
pub use config::{Config, TlsMode};
