//! Looks a backend's name up again and again, and swaps the hosts for those that were found.
//!
//! What is known from one look to the next belongs to the backend and outlives its settings, as long as
//! they have the same name looked up: which weights were told last, who left and may return, by which
//! records hosts were found.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::sleep;

use super::{By, Found, LEAST, LONGEST_PAUSE, Lookup, MOST};
use crate::backend::config::{Discover, HostConfig};
use crate::backend::probe::varied;
use crate::backend::{Backend, Host};

/// Follows the name as long as the backend lives.
pub(in crate::backend) async fn follow(
    backend: Weak<Backend>,
    settings: Discover,
    lookup: Arc<dyn Lookup>,
) {
    loop {
        let Some(by) = backend.upgrade().map(|it| it.following().by) else {
            return;
        };
        let found = settings.look(&*lookup, by).await;
        let pause = {
            let Some(backend) = backend.upgrade() else {
                return;
            };
            backend.following().take(&backend, &settings, found)
        };
        sleep(varied(pause)).await;
    }
}

impl Backend {
    /// A panic elsewhere leaves it as it was before a look, or behind it.
    fn following(&self) -> MutexGuard<'_, Following> {
        let following = self.following.lock();
        following.unwrap_or_else(PoisonError::into_inner)
    }

    /// The hosts of a backend that follows the same name as this one, and what it is to know of them: `next` makes
    /// each the same host under the new settings.
    pub(in crate::backend) fn followed(
        &self,
        next: impl Fn(HostConfig, &Host) -> Host,
    ) -> (Vec<Arc<Host>>, Following) {
        // No look comes between the hosts and what is known of them.
        let known = self.following();
        let next = |host: &Arc<Host>| {
            // As it was told last; what it was made with may be long ago.
            let config = HostConfig {
                weight: host.weight(),
                ..host.config.clone()
            };
            Arc::new(next(config, host))
        };
        let hosts = self.hosts().iter().map(next).collect();
        let following = Following {
            by: known.by,
            weights: known.weights.clone(),
            left: known.left.iter().map(next).collect(),
            failures: known.failures,
        };
        (hosts, following)
    }
}

/// What is known from one look to the next.
#[derive(Default)]
pub(in crate::backend) struct Following {
    by: Option<By>,
    /// As they were last told.
    weights: BTreeMap<String, u32>,
    /// Hosts that left, as long as anybody is on them: one that returns is the same host.
    left: Vec<Arc<Host>>,
    /// Lookups in a row that brought nothing.
    failures: u32,
}

impl Following {
    /// Takes what was found, or keeps what there is; says when to look again.
    fn take(
        &mut self,
        backend: &Arc<Backend>,
        settings: &Discover,
        found: Result<Found, String>,
    ) -> Duration {
        let found = match found {
            Ok(found) if !found.hosts.is_empty() => found,
            Ok(found) => {
                self.failed(backend, settings, "there are no such records");
                return found.ttl.clamp(LEAST, LONGEST_PAUSE);
            }
            Err(cause) => {
                self.failed(backend, settings, &cause);
                let doubled = LEAST * 2_u32.saturating_pow(self.failures.min(16).saturating_sub(1));
                return doubled.min(LONGEST_PAUSE);
            }
        };
        self.failures = 0;
        if found.by == By::Addresses && self.by != Some(By::Addresses) {
            tracing::warn!(
                target: "gatepost", event = "discover_addresses",
                backend = backend.name(), name = %settings.name,
                "hosts are addresses: the users of one that changes move; SRV records would keep them"
            );
        }
        self.by = Some(found.by);
        self.settle(backend, found.hosts);
        found.ttl.clamp(LEAST, MOST)
    }

    fn failed(&mut self, backend: &Backend, settings: &Discover, cause: &str) {
        let (name, kept) = (&settings.name, backend.hosts().len());
        let backend = backend.name();
        match self.failures {
            0 => {
                tracing::warn!(target: "gatepost", event = "discover_failed", backend, name = %name, kept, reason = cause);
            }
            _ => {
                tracing::debug!(event = "discover_failed", backend, name = %name, kept, reason = cause);
            }
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// Swaps the hosts for those that were found; those that stay are the same.
    fn settle(&mut self, backend: &Arc<Backend>, found: Vec<HostConfig>) {
        let before = backend.hosts();
        // Under earlier settings a session has another host of this name, with the same counts.
        let is_used = |host: &Arc<Host>| host.sessions() > 0 || Arc::strong_count(host) > 1;
        self.left.retain(is_used);
        let known = || before.iter().chain(&self.left);
        let is_known = |name: &str| known().any(|host| host.name() == name);
        self.weights.retain(|name, _| is_known(name));
        let mut hosts = Vec::with_capacity(found.len());
        for config in found {
            let (name, weight) = (config.name.clone(), config.weight);
            let same = |host: &Arc<Host>| host.name() == name;
            let known = before.iter().find(|it| same(it)).cloned();
            let mut returned = || {
                let at = self.left.iter().position(same)?;
                Some(self.left.swap_remove(at))
            };
            let host = match known.or_else(&mut returned) {
                Some(host) => {
                    // An operator's word on a weight holds until the records have a new one.
                    if self.weights.get(&name).is_some_and(|told| *told != weight) {
                        host.set_weight(weight);
                    }
                    host
                }
                None => Arc::new(Host::new(config, &backend.config)),
            };
            self.weights.insert(name, weight);
            hosts.push(host);
        }
        let is_in =
            |hosts: &[Arc<Host>], host: &Host| hosts.iter().any(|it| it.name() == host.name());
        let come: Vec<&Arc<Host>> = hosts.iter().filter(|it| !is_in(&before, it)).collect();
        let gone: Vec<&Arc<Host>> = before.iter().filter(|it| !is_in(&hosts, it)).collect();
        if come.is_empty() && gone.is_empty() {
            return;
        }
        let names = |hosts: &[&Arc<Host>]| {
            let names: Vec<&str> = hosts.iter().map(|host| host.name()).collect();
            names.join(" ")
        };
        tracing::info!(
            target: "gatepost", event = "discovered", backend = backend.name(),
            hosts = hosts.len(), come = names(&come), gone = names(&gone)
        );
        for host in gone {
            host.metrics.gone();
            backend.unwatch(host);
            self.left.push(host.clone());
        }
        let come: Vec<Arc<Host>> = come.into_iter().cloned().collect();
        backend.hosts.store(Arc::new(hosts));
        for host in &come {
            host.begin();
            backend.watch(host);
        }
    }
}

#[cfg(test)]
mod tests;
