//! Who may log in to a backend, and which of its hosts are asked in which order.

use std::sync::Arc;

use super::config::{Balance, Failover};
use super::{Backend, Host, Refusal, Request, balance};
use crate::protocol::{Failure, UserName};
use crate::state::{Drain, Pass, Place};

impl Backend {
    /// A host of this backend, as the state knows it.
    pub fn place(&self, host: &Host) -> Place {
        Place::new(self.name(), host.name())
    }

    /// A host's share of the users now: the settings' or an operator's.
    pub fn weight_of(&self, host: &Host) -> u32 {
        let ordered = self.around.state.orders().weight(&self.place(host));
        ordered.unwrap_or_else(|| host.weight())
    }

    /// The drain of a host, if it is drained.
    pub fn drain_of(&self, host: &Host) -> Option<Drain> {
        self.around.state.orders().drain(&self.place(host))
    }

    /// `up`, `down` or `drain`: whether a host takes new users.
    pub fn state_of(&self, host: &Host) -> &'static str {
        match self.drain_of(host) {
            Some(_) => "drain",
            None => host.state().as_str(),
        }
    }

    /// Whether hosts are to be found by name, and none has been.
    pub(super) fn is_lost(&self) -> bool {
        self.config.discover.is_some() && self.hosts.load().is_empty()
    }

    /// Whether a login of this kind may be made here at all.
    pub(super) fn admit(&self, request: &Request<'_>) -> Result<(), Refusal> {
        let failure = if let Some(text) = &self.config.maintenance {
            Failure::Maintenance { text: text.clone() }
        } else if !self.config.protocols.contains(&request.protocol) {
            Failure::NotServed
        } else {
            return Ok(());
        };
        Err(Refusal::nowhere(failure))
    }

    /// The hosts that a login of this user asks, in order: the host of the user's live sessions,
    /// then by hash or by load. One only, where it is fixed by name or users do not leave their host.
    /// Hosts that are drained are asked for users with live sessions there only.
    pub fn preference(
        &self,
        pass: &Pass,
        user: &UserName,
        fixed: Option<&str>,
    ) -> Result<Vec<Arc<Host>>, Refusal> {
        let live = self.around.state.pinned(pass);
        self.preference_of(live, user, fixed)
    }

    /// The same for a login, for which other gateways are asked before it is refused: they may know of
    /// live sessions on a host that is drained.
    pub(super) async fn preference_of_all(
        &self,
        pass: &Pass,
        user: &UserName,
        fixed: Option<&str>,
    ) -> Result<Vec<Arc<Host>>, Refusal> {
        let state = &self.around.state;
        let refused = match self.preference(pass, user, fixed) {
            Err(refused) if state.is_shared() => refused,
            told => return told,
        };
        match state.places(pass).await.of(pass) {
            None => Err(refused),
            live => self.preference_of(live, user, fixed),
        }
    }

    fn preference_of(
        &self,
        live: Option<Place>,
        user: &UserName,
        fixed: Option<&str>,
    ) -> Result<Vec<Arc<Host>>, Refusal> {
        let live = { live.filter(|live| *live.backend == *self.name()) }.map(|live| live.host);
        let is_live = |host: &Host| live.as_deref() == Some(host.name());
        let drained = |host: &Host| match self.drain_of(host) {
            Some(drain) => !is_live(host) || drain.is_over(),
            None => false,
        };
        let draining = |name: &str| {
            Refusal::nowhere(Failure::Unreachable {
                cause: format!("{name} is drained"),
            })
        };
        if let Some(name) = fixed {
            let host = self.host(name).ok_or_else(|| {
                let backend = self.name();
                Refusal::nowhere(Failure::HostSetup {
                    cause: format!("backend {backend} has no host {name}"),
                })
            })?;
            return match drained(&host) {
                true => Err(draining(name)),
                false => Ok(vec![host]),
            };
        }
        let hosts = self.hosts.load();
        let weights: Vec<(&str, u32)> = (hosts.iter())
            .map(|host| (host.name(), self.weight_of(host)))
            .collect();
        let mut order: Vec<Arc<Host>> = balance::rank(&user.canonical(), &weights)
            .into_iter()
            .filter_map(|index| hosts.get(index).cloned())
            .collect();
        if self.config.balance == Balance::LeastSessions {
            // Stable: equals stay in the order of the hash, which spreads them over users.
            order.sort_by_cached_key(|host| host.load(self.weight_of(host)));
        }
        // Stable again: only that one moves.
        order.sort_by_key(|host| !is_live(host));
        if self.config.failover == Failover::No {
            order.truncate(1);
        }
        let some = !order.is_empty();
        order.retain(|host| !drained(host));
        match some && order.is_empty() {
            true => Err(draining("every host that this user may use")),
            false => Ok(order),
        }
    }
}
