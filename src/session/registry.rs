//! The sessions that live now: list, count, end.
//!
//! A session is a connection that got its greeting. It enters with [`Registry::enter`] and leaves
//! when its [`Entry`] is dropped; what an operator may see or do is in [`Live`].

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use dashmap::DashMap;
use tokio::sync::Notify;

use super::traffic::Traffic;
use crate::observe::metrics;
use crate::protocol::{Farewell, Protocol};

/// Every live session of the process.
#[derive(Default)]
pub struct Registry {
    sessions: DashMap<String, Arc<Live>>,
    count: AtomicUsize,
}

/// What is known of a live session.
pub struct Live {
    /// Its id, as in the log.
    pub id: String,
    /// What the client speaks.
    pub protocol: Protocol,
    /// The client's real address.
    pub client: SocketAddr,
    /// The TLS version, if any; set when TLS is on.
    pub tls: OnceLock<&'static str>,
    /// When it began.
    pub since: SystemTime,
    /// Who logged in and where; empty before.
    pub login: OnceLock<LoggedIn>,
    /// Octets since login.
    pub traffic: Traffic,
    ending: Ending,
}

/// A login that was accepted.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// The name as the client typed it.
    pub user: String,
    /// The canonical name: key of hash, pins and limits.
    pub canonical: String,
    /// The backend.
    pub backend: Arc<str>,
    /// The host.
    pub host: Arc<str>,
    /// What happens with the bytes: `relay`, `translate`.
    pub state: &'static str,
}

/// Which sessions are meant. Every field that is set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The session's id.
    pub id: Option<String>,
    /// The canonical user name, or the name as typed.
    pub user: Option<String>,
    /// The backend.
    pub backend: Option<String>,
    /// The host.
    pub host: Option<String>,
    /// The protocol.
    pub protocol: Option<Protocol>,
    /// The client's address.
    pub ip: Option<std::net::IpAddr>,
}

impl Registry {
    /// A session begins.
    pub fn enter(
        self: &Arc<Self>,
        id: String,
        protocol: Protocol,
        client: SocketAddr,
        tls: Option<&'static str>,
    ) -> Entry {
        let live = Arc::new(Live {
            id: id.clone(),
            protocol,
            client,
            tls: tls.map_or_else(OnceLock::new, OnceLock::from),
            since: SystemTime::now(),
            login: OnceLock::new(),
            traffic: Traffic::default(),
            ending: Ending::default(),
        });
        self.sessions.insert(id, live.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        Entry {
            registry: self.clone(),
            live,
        }
    }

    /// How many live sessions there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The sessions that match, in no order.
    pub fn list(&self, filter: &Filter) -> Vec<Arc<Live>> {
        if let Some(id) = &filter.id {
            let found = self.sessions.get(id).map(|live| live.clone());
            return found.into_iter().filter(|l| filter.matches(l)).collect();
        }
        self.sessions
            .iter()
            .filter(|live| filter.matches(live))
            .map(|live| live.clone())
            .collect()
    }

    /// Tells the metrics of what moved in live sessions since they were last told.
    pub fn report(&self, metrics: &metrics::Gateway) {
        for live in self.sessions.iter() {
            live.report(metrics);
        }
    }

    /// Asks the sessions that match to end with their protocol's goodbye; how many had not been asked.
    pub fn end(&self, filter: &Filter, reason: Farewell) -> usize {
        let mut matching = self.list(filter);
        matching.retain(|live| live.asked_to_end() != Some(reason));
        for live in &matching {
            live.end(reason);
        }
        matching.len()
    }
}

impl Filter {
    fn matches(&self, live: &Live) -> bool {
        let login = live.login.get();
        let of_login = |want: &Option<String>, is: &dyn Fn(&LoggedIn, &str) -> bool| match want {
            None => true,
            Some(want) => login.is_some_and(|login| is(login, want)),
        };
        self.id.as_ref().is_none_or(|id| *id == live.id)
            && self.protocol.is_none_or(|p| p == live.protocol)
            && self.ip.is_none_or(|ip| ip == live.client.ip())
            && of_login(&self.user, &|login, want| {
                login.user.eq_ignore_ascii_case(want) || login.canonical.eq_ignore_ascii_case(want)
            })
            && of_login(&self.backend, &|login, want| &*login.backend == want)
            && of_login(&self.host, &|login, want| &*login.host == want)
    }
}

impl Live {
    /// Tells the metrics of what moved since they were last told.
    pub(super) fn report(&self, metrics: &metrics::Gateway) {
        let (from_client, to_client) = self.traffic.unreported();
        metrics.bytes(self.protocol, from_client, to_client);
    }

    /// Asks the session to end with its protocol's goodbye, at the next message boundary.
    pub fn end(&self, reason: Farewell) {
        self.ending.ask(reason);
    }

    /// Whether, and why, the session was asked to end.
    pub fn asked_to_end(&self) -> Option<Farewell> {
        self.ending.asked()
    }

    /// Waits until the session is asked to end.
    pub async fn end_asked(&self) -> Farewell {
        self.end_asked_beyond(None).await
    }

    /// Waits until the session is asked to end for another reason than it has `heard`.
    pub async fn end_asked_beyond(&self, heard: Option<Farewell>) -> Farewell {
        loop {
            if let Some(reason) = self.ending.asked()
                && heard != Some(reason)
            {
                return reason;
            }
            self.ending.notify.notified().await;
        }
    }
}

/// A session's place in the registry; leaves it when dropped.
pub struct Entry {
    registry: Arc<Registry>,
    live: Arc<Live>,
}

impl std::ops::Deref for Entry {
    type Target = Arc<Live>;

    fn deref(&self) -> &Arc<Live> {
        &self.live
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.sessions.remove(&self.live.id);
        self.registry.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A wish to end, once uttered never taken back. A drain's may take as long as the session likes;
/// whoever is told to go meanwhile has to. One task waits for it: the session's own.
#[derive(Default)]
struct Ending {
    reason: AtomicU8,
    notify: Notify,
}

impl Ending {
    const REASONS: [Farewell; 5] = [
        Farewell::Timeout,
        Farewell::Shutdown,
        Farewell::TooMany,
        Farewell::TooManyFailures,
        Farewell::Kicked,
    ];

    fn ask(&self, reason: Farewell) {
        let code = Self::code(reason);
        let draining = Self::code(Farewell::Shutdown);
        let asked = (self.reason).fetch_update(Ordering::AcqRel, Ordering::Acquire, |before| {
            let news = before == 0 || (before == draining && reason == Farewell::Kicked);
            news.then_some(code)
        });
        // Once is enough: a drain asks again and again.
        if asked.is_ok() {
            self.notify.notify_one();
        }
    }

    fn code(reason: Farewell) -> u8 {
        let index = Self::REASONS.iter().position(|r| *r == reason);
        index.and_then(|i| u8::try_from(i + 1).ok()).unwrap_or(1)
    }

    fn asked(&self) -> Option<Farewell> {
        let code = usize::from(self.reason.load(Ordering::Acquire));
        Self::REASONS.get(code.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(registry: &Arc<Registry>, id: &str, user: Option<&str>) -> Entry {
        let client = "192.0.2.1:40000".parse().unwrap();
        let entry = registry.enter(id.into(), Protocol::Imap, client, Some("TLSv1.3"));
        if let Some(user) = user {
            let _ = entry.login.set(LoggedIn {
                user: user.into(),
                canonical: "alice".into(),
                backend: "old".into(),
                host: "h1".into(),
                state: "relay",
            });
        }
        entry
    }

    #[test]
    fn sessions_are_found_and_leave_when_dropped() {
        let registry = Arc::new(Registry::default());
        let alice = enter(&registry, "1", Some("Alice@Example.com"));
        let _silent = enter(&registry, "2", None);
        assert_eq!(registry.count(), 2);
        let by = |filter: Filter| registry.list(&filter).len();
        let user = |user: &str| Filter {
            user: Some(user.into()),
            ..Filter::default()
        };
        assert_eq!(by(Filter::default()), 2);
        for name in ["alice@example.com", "ALICE@example.COM", "alice", "Alice"] {
            assert_eq!(by(user(name)), 1, "{name}");
        }
        assert_eq!(by(user("bob")), 0);
        let pop3 = Filter {
            protocol: Some(Protocol::Pop3),
            ..Filter::default()
        };
        assert_eq!(by(pop3), 0);
        drop(alice);
        assert_eq!(registry.count(), 1);
        assert_eq!(by(user("alice@example.com")), 0);
    }

    #[tokio::test]
    async fn a_wish_to_end_reaches_the_session() {
        let registry = Arc::new(Registry::default());
        let alice = enter(&registry, "1", Some("alice"));
        assert_eq!(alice.asked_to_end(), None);
        assert_eq!(registry.end(&Filter::default(), Farewell::Kicked), 1);
        assert_eq!(registry.end(&Filter::default(), Farewell::Kicked), 0);
        assert_eq!(alice.end_asked().await, Farewell::Kicked);
        assert_eq!(alice.end_asked().await, Farewell::Kicked);
    }

    #[tokio::test]
    async fn who_drains_can_still_be_told_to_go() {
        let registry = Arc::new(Registry::default());
        let alice = enter(&registry, "1", Some("alice"));
        for (asked, then) in [
            (Farewell::Shutdown, Farewell::Shutdown),
            (Farewell::Shutdown, Farewell::Shutdown),
            (Farewell::Kicked, Farewell::Kicked),
            (Farewell::Shutdown, Farewell::Kicked),
        ] {
            alice.end(asked);
            assert_eq!(alice.asked_to_end(), Some(then), "{asked:?}");
        }
        let beyond = alice.end_asked_beyond(Some(Farewell::Shutdown));
        assert_eq!(beyond.await, Farewell::Kicked);
    }
}
