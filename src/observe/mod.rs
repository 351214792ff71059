//! What an operator sees: log lines, metrics, session ids.
//!
//! Code that has something to tell uses `tracing` with fields, `event` first:
//! `tracing::info!(target: "gatepost", event = "login", result = "ok", …)`. Empty fields are left
//! out, `took` and `seconds` are seconds as a float. Metrics are in [`metrics`], by cached handles.

pub mod config;
mod line;
mod log;
pub mod metrics;
mod process;
mod redact;
mod session_id;
pub mod transcript;
mod writer;

pub use config::{Config, Format, Level, Output};
pub use log::{Handle, init};
pub use session_id::{SessionId, SessionIds};
pub use transcript::Transcript;
pub use writer::try_syslog;
