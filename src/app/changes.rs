//! What a reload changed, in words and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use super::build::Built;
use crate::backend::Backend;
use crate::config::Config;
use crate::listen::{Place, Terms};
use crate::state;

/// What is different.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Changes {
    list: Vec<Change>,
    /// Keys whose new value counts from the next start on.
    pub(super) at_restart: Vec<&'static str>,
}

/// What the process was started with and keeps to its end, whatever settings were read since.
pub(super) struct ForLife {
    threads: Option<usize>,
    state: state::Config,
}

impl ForLife {
    pub(super) fn of(config: &Config) -> Self {
        ForLife {
            threads: config.threads,
            state: config.state.clone(),
        }
    }

    /// The keys that settings have otherwise.
    fn otherwise_in(&self, config: &Config) -> Vec<&'static str> {
        let keys = [
            ("threads", self.threads != config.threads),
            ("state", self.state != config.state),
        ];
        let otherwise = keys.into_iter().filter(|(_, otherwise)| *otherwise);
        otherwise.map(|(key, _)| key).collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Change {
    /// `listener`, `backend`, or a key of the file's top level.
    what: &'static str,
    /// Which one, where there are several.
    name: Option<String>,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Added,
    Removed,
    Changed,
}

impl Changes {
    /// From one version of the settings to the next, in a process that keeps some of the first.
    pub(super) fn between(before: &Built, after: &Built, kept: &ForLife) -> Self {
        let mut changes = Changes {
            list: Vec::new(),
            at_restart: kept.otherwise_in(&after.config),
        };
        changes.listeners(before, after);
        changes.backends(before, after);
        let (old, new) = (&before.config, &after.config);
        let users = old.routes.default_domain != new.routes.default_domain
            || old.routes.lookups != new.routes.lookups
            || !old.routes.map.leads_alike(&new.routes.map);
        for (what, changed) in [
            ("users", users),
            ("tls", old.tls != new.tls),
            ("limits", old.limits != new.limits),
            ("timeouts", old.timeouts != new.timeouts),
            ("authenticate", old.authenticate != new.authenticate),
            ("admin", old.admin != new.admin),
            ("log", old.log != new.log),
        ] {
            if changed {
                changes.add(what, None, How::Changed);
            }
        }
        changes
    }

    fn listeners(&mut self, before: &Built, after: &Built) {
        let (old, new) = (&before.current.terms, &after.current.terms);
        let ordered = |terms| -> BTreeMap<&Place, &Arc<Terms>> { Iterator::collect(terms) };
        let (old, new) = (ordered(old.iter()), ordered(new.iter()));
        let same_tls = Arc::ptr_eq(&before.tls, &after.tls);
        for (place, terms) in &new {
            let how = match old.get(place) {
                None => How::Added,
                // A file of authorities that is another one.
                Some(it) if same_tls && !Arc::ptr_eq(&it.tls.config, &terms.tls.config) => {
                    How::Changed
                }
                Some(it) if it.config != terms.config => How::Changed,
                Some(_) => continue,
            };
            self.add("listener", Some(&terms.config.name), how);
        }
        for (_, terms) in old.iter().filter(|(place, _)| !new.contains_key(*place)) {
            self.add("listener", Some(&terms.config.name), How::Removed);
        }
    }

    fn backends(&mut self, before: &Built, after: &Built) {
        let (old, new) = (&before.current.gateway, &after.current.gateway);
        // It is in every backend, and told once, as a change of `timeouts`.
        let keepalive = old.timeouts.keepalive != new.timeouts.keepalive;
        let same = |a: &Arc<Backend>, b: &Arc<Backend>| {
            Arc::ptr_eq(a, b) || (keepalive && a.config() == b.config())
        };
        for backend in new.backends.iter() {
            let how = match old.backends.get(backend.name()) {
                None => How::Added,
                Some(it) if same(it, backend) => continue,
                Some(_) => How::Changed,
            };
            self.add("backend", Some(backend.name()), how);
        }
        for backend in old.backends.iter() {
            if new.backends.get(backend.name()).is_none() {
                self.add("backend", Some(backend.name()), How::Removed);
            }
        }
    }

    fn add(&mut self, what: &'static str, name: Option<&str>, how: How) {
        self.list.push(Change {
            what,
            name: name.map(str::to_owned),
            how,
        });
    }

    /// As `POST /api/v1/reload` answers.
    pub(super) fn json(&self) -> Value {
        let one = |change: &Change| json!({ "what": change.what, "name": change.name, "how": change.how.as_str() });
        let list: Vec<Value> = self.list.iter().map(one).collect();
        json!({ "changed": list, "at_restart": self.at_restart })
    }
}

impl How {
    fn as_str(self) -> &'static str {
        match self {
            How::Added => "added",
            How::Removed => "removed",
            How::Changed => "changed",
        }
    }
}

/// For the log: `listener imaps://0.0.0.0:993 added, users changed`; `nothing`.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Most that are told by name in one line.
        const MOST: usize = 20;
        if self.list.is_empty() {
            return f.write_str("nothing");
        }
        for (n, change) in self.list.iter().take(MOST).enumerate() {
            if n > 0 {
                f.write_str(", ")?;
            }
            f.write_str(change.what)?;
            if let Some(name) = &change.name {
                write!(f, " {name}")?;
            }
            write!(f, " {}", change.how.as_str())?;
        }
        match self.list.len().saturating_sub(MOST) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
