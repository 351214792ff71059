//! proxy.yaml: read, checked as a whole, and turned into the settings of every part.
//!
//! [`Config`] is the file as meant. Each part owns its own settings type; this module only fills
//! them in, so no part imports `config`.

pub mod yaml;

use std::collections::BTreeMap;

use crate::{admin, backend, listen, observe, route, session, tls};

/// proxy.yaml as meant: defaults filled in, every name resolved, everything checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// In the file's order, never empty.
    pub listeners: Vec<listen::Config>,
    /// TLS towards clients.
    pub tls: tls::Config,
    /// By name.
    pub backends: BTreeMap<String, backend::Config>,
    /// Who goes where.
    pub routes: route::Config,
    /// Limits.
    pub limits: session::Limits,
    /// Timeouts.
    pub timeouts: session::Timeouts,
    /// The admin port, if any.
    pub admin: Option<admin::Config>,
    /// The log.
    pub log: observe::Config,
    /// Worker threads; none: the cores the process may use.
    pub threads: Option<usize>,
}
