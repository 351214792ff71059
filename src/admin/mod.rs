//! The admin port: health, metrics, and the verbs of an operator.

pub mod config;

pub use config::Config;
