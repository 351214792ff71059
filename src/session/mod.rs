//! THE STORY: one client connection, from greeting to goodbye.

pub mod config;

pub use config::{Limits, Rate, Timeouts};
