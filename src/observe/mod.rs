//! What an operator sees: log lines, metrics, session ids.

pub mod config;

pub use config::{Config, Format, Level, Output};
