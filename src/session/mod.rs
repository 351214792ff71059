//! THE STORY: one client connection, from greeting to goodbye.
pub mod config;
mod converse;
mod ended;
pub mod limits;
pub mod registry;
mod relay;
pub use config::{Limits, Rate, Timeouts};
pub use converse::{Upgrade, start_tls};
pub use ended::{Ended, EndedBy};
pub use registry::Registry;
