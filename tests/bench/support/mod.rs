//! What the benchmarks of whole processes share.

#[path = "../../support/anybody.rs"]
mod anybody;
pub mod client;
pub mod fronts;
pub mod host;
pub mod imap_client;
pub mod peers;
pub mod stats;
