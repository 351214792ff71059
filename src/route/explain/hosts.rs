//! The order of a backend's hosts for a user, and which of them is asked first.

use super::{Explanation, Facts, HostState};
use crate::backend::HostNow;
use crate::backend::balance;
use crate::backend::config::{Balance, Config as Backend, Failover};
use crate::protocol::{Protocol, UserName};

impl Explanation {
    pub(super) fn hosts_of(
        &mut self,
        backend: &Backend,
        login: &UserName,
        fixed: Option<&str>,
        all: &Facts<'_>,
    ) {
        let protocol = all.protocol;
        if let Some(text) = &backend.maintenance {
            self.because(format!(
                "the backend is in maintenance, logins are told: {text}"
            ));
        }
        if !backend.protocols.contains(&protocol) {
            self.because(format!("users of this backend may not use {protocol}"));
        }
        let hosts = (all.known.hosts)(backend, protocol);
        if let Some(discover) = &backend.discover {
            self.because(match hosts.len() {
                0 => format!(
                    "its hosts are found by name, {}: none is known",
                    discover.name
                ),
                n => format!("its hosts are found by name, {}: {n}", discover.name),
            });
        }
        let pairs: Vec<(&str, u32)> = { hosts.iter() }
            .map(|host| (host.config.name.as_str(), host.weight))
            .collect();
        let canonical = login.canonical();
        let ranked = balance::rank(&canonical, &pairs);
        let ranked = ranked.into_iter().filter_map(|at| hosts.get(at));
        let mut order: Vec<&HostNow> = ranked.collect();
        if let Some(fixed) = fixed {
            order.retain(|host| host.config.name == fixed);
        } else if order.len() > 1 {
            self.because(match backend.balance {
                Balance::Sticky => format!("hosts in the order of the hash of {canonical}"),
                Balance::LeastSessions => {
                    order.sort_by_key(|host| host.load);
                    "the host with the fewest sessions for its weight is asked first".into()
                }
            });
        }
        let live = self.pinned(backend, &mut order, fixed, all);
        let choice = self.choice(backend, &order, live.as_deref(), all);
        match choice {
            Some(host) if protocol == Protocol::Pop3 && host.config.pop3.is_none() => {
                let name = &host.config.name;
                self.because(format!("{name} speaks IMAP, the session is translated"));
            }
            Some(_) => {}
            None => self.because("no host can be asked: the login fails for now"),
        }
        self.host = choice.map(|host| host.config.name.clone());
        let hosts = order.into_iter().map(|host| HostState {
            name: host.config.name.clone(),
            state: host.state,
            weight: host.weight,
        });
        self.hosts = hosts.collect();
    }

    /// Puts the host of the user's live sessions first, and says which that is.
    fn pinned(
        &mut self,
        backend: &Backend,
        order: &mut [&HostNow],
        fixed: Option<&str>,
        all: &Facts<'_>,
    ) -> Option<String> {
        let at = (all.known.pinned)(&all.pass)?;
        let here = *at.backend == *backend.name && fixed.is_none_or(|fixed| *at.host == *fixed);
        let known = order.iter().any(|host| *host.config.name == *at.host);
        if !here || !known {
            self.because(format!(
                "live sessions of the user are on {at}: they get a goodbye before a login goes on"
            ));
            return None;
        }
        order.sort_by_key(|host| *host.config.name != *at.host);
        self.because(format!(
            "live sessions of the user are on {}: new ones go there, too",
            at.host
        ));
        Some(at.host.to_string())
    }

    /// The host that is asked first; why those before it are not.
    fn choice<'h>(
        &mut self,
        backend: &Backend,
        order: &[&'h HostNow],
        live: Option<&str>,
        all: &Facts<'_>,
    ) -> Option<&'h HostNow> {
        let protocol = all.protocol;
        for (n, host) in order.iter().enumerate() {
            let name = &host.config.name;
            if n > 0 && backend.failover == Failover::No {
                self.because("with `failover: false` users wait for their own host");
                return None;
            }
            let is_live = live == Some(name.as_str());
            let usable = host.config.endpoint(protocol).is_some()
                || (protocol == Protocol::Pop3 && host.config.imap.is_some());
            if !usable {
                self.because(format!("{name} has no endpoint for {protocol}"));
            } else if host.drained && (!is_live || host.drain_over) {
                self.because(format!("{name} is skipped: it is drained"));
            } else if let Some(why) = &host.down {
                self.because(format!("{name} is skipped: down ({why})"));
            } else if host.full {
                self.because(format!("{name} is skipped: it has `max_sessions`"));
            } else {
                if host.drained {
                    self.because(format!("{name} is drained, but keeps the users it has"));
                }
                return Some(host);
            }
        }
        None
    }
}
