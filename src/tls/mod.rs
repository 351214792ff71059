//! TLS towards clients: certificates, tickets, ALPN.

pub mod config;

pub use config::{Config, Pair, Version};
