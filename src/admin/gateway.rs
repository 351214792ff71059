//! The gateway as the admin port sees it, and the shapes it tells.

use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;

use crate::protocol::{Protocol, UserName};
use crate::session::{self, Registry};

/// The running gateway, as an operator sees it.
pub trait Gateway: Send + Sync + 'static {
    /// Whether it serves.
    fn readiness(&self) -> Readiness;
    /// All metrics in Prometheus' text format.
    fn metrics(&self) -> String;
    /// The live sessions.
    fn sessions(&self) -> Arc<Registry>;
    /// The backends and their hosts, in the order of the settings.
    fn backends(&self) -> Vec<Backend>;
    /// Reads the settings anew: what changed, or every problem, as `check --json` has them; then the
    /// old ones stay.
    fn reload(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<serde_json::Value, serde_json::Value>> + Send + '_>>;
    /// What sessions go by at the moment, and the state; none where nothing serves.
    fn serving(&self) -> Option<Arc<session::Gateway>> {
        None
    }
    /// What `explain --json` prints; an error is the same where nobody matches.
    fn explain(
        &self,
        user: UserName,
        protocol: Protocol,
    ) -> Pin<Box<dyn Future<Output = Result<serde_json::Value, serde_json::Value>> + Send + '_>>;
    /// Lets a new process take over; gives its id, or says why this one goes on.
    fn upgrade(&self) -> Pin<Box<dyn Future<Output = Result<u32, String>> + Send + '_>> {
        Box::pin(async { Err("there is nothing to upgrade".to_owned()) })
    }
}

/// Whether the gateway serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not every listener serves yet.
    Starting,
    /// Every listener serves.
    Ready,
    /// It is about to end.
    Draining,
}

/// A backend, as `GET /api/v1/backends` tells it.
#[derive(Clone, Debug, Serialize)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Its hosts.
    pub hosts: Vec<Host>,
}

/// A host of a backend.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Whether it takes sessions.
    pub state: HostState,
    /// Its weight.
    pub weight: u32,
    /// Sessions on it, through this gateway.
    pub sessions: u64,
}

/// Whether a host takes sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// Yes.
    Up,
    /// Its checks or logins fail.
    Down,
    /// Only of users that have some there.
    Drain,
}
