//! What the benchmarks of whole processes share.

pub mod client;
pub mod host;
pub mod peers;
pub mod stats;
