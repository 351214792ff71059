//! What maildrops held when their last sessions ended, so that a poll of an unchanged mailbox asks
//! the host for three numbers and fetches no list.
//!
//! Bounded in octets; what was not used for the longest time goes first. An entry is a hint with a
//! proof: it is believed only of the host that told it, if UIDVALIDITY, UIDNEXT and the number of messages
//! are still the same (`imap::opening`), and after a day not even then. Here is also who uses a maildrop alone
//! (`pop3.lock`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::Host;
use crate::backend::config::Target;
use crate::protocol::Protocol;
use crate::protocol::imap::snapshot::Snapshot;

/// Octets the cache may take by default: five million messages and more.
pub const DEFAULT_LIMIT: usize = 64 * 1024 * 1024;

/// How long an entry is believed: then the list is fetched anew, in case a host broke its word.
const BELIEVED: Duration = Duration::from_secs(24 * 3600);

/// What an entry costs besides its list and its names.
const OVERHEAD: usize = 256;

/// Whose maildrop, and where. The whole name: nobody may be shown another's list. What the client said
/// by UTF8 is no part of it: no host is told ENABLE UTF8=ACCEPT (RFC 6855 §3), so each shows the same
/// octets, and the same sizes, to all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The backend's name.
    pub backend: String,
    /// The login sent to the host, as it is sent: where case matters, these are two users.
    pub user: String,
    /// The mailbox.
    pub mailbox: String,
}

impl Key {
    /// By what it is locked: most hosts take a name in any case, and one maildrop is not to be two
    /// because its user typed the name in two ways. Where case does matter, two users wait for each other.
    pub fn canonical(&self) -> Key {
        Key {
            user: self.user.to_ascii_lowercase(),
            ..self.clone()
        }
    }
}

/// Which host a maildrop's mail is on, by its name and by where it is reached. UIDs are a host's own, and
/// others have the same small numbers: what one has said, or is noted of it, is nothing to a host that
/// took its place, its name or its address. Replicas of one store each tell their list anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The host's name.
    pub host: String,
    /// Where it is reached.
    pub address: String,
}

impl Home {
    /// That of mail on this host.
    pub fn of(host: &Host) -> Self {
        let endpoint = host.endpoint(Protocol::Imap);
        Home {
            host: host.name().to_owned(),
            address: match endpoint.map(|endpoint| &endpoint.target) {
                Some(Target::Network { host, port }) => format!("{host} {port}"),
                Some(Target::Demo) => "demo".into(),
                None => String::new(),
            },
        }
    }
}

/// A list that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The list.
    pub snapshot: Arc<Snapshot>,
    /// Where that mail is.
    pub home: Home,
}

/// The lists of many maildrops.
#[derive(Debug)]
pub struct MaildropCache {
    limit: usize,
    inner: Mutex<Inner>,
    /// By canonical name, as `guarded`.
    leased: Mutex<HashSet<Key>>,
    guarded: Mutex<HashSet<Key>>,
}

/// The only session that takes marks away in a mailbox and puts them back.
#[derive(Debug)]
pub struct Guarding {
    key: Key,
    cache: Arc<MaildropCache>,
}

impl Drop for Guarding {
    fn drop(&mut self) {
        self.cache.guards().remove(&self.key);
    }
}

/// The only session on a maildrop, as long as it lives (RFC 1939 §4 has the maildrop locked).
#[derive(Debug)]
pub struct Lease {
    key: Key,
    cache: Arc<MaildropCache>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.cache.leases().remove(&self.key);
    }
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Arc<Key>, Entry>,
    /// The keys by when they were last used.
    order: BTreeMap<u64, Arc<Key>>,
    clock: u64,
    octets: usize,
}

#[derive(Debug)]
struct Entry {
    kept: Kept,
    /// When the list was last fetched whole.
    since: Instant,
    used: u64,
    octets: usize,
}

impl Default for MaildropCache {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl MaildropCache {
    /// An empty cache of at most `limit` octets.
    pub fn new(limit: usize) -> Self {
        MaildropCache {
            limit,
            inner: Mutex::default(),
            leased: Mutex::default(),
            guarded: Mutex::default(),
        }
    }

    /// What a maildrop held the last time.
    pub fn get(&self, key: &Key) -> Option<Kept> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.clock += 1;
        let entry = inner.entries.get_mut(key)?;
        if entry.since.elapsed() > BELIEVED {
            inner.remove(key);
            return None;
        }
        if let Some(key) = inner.order.remove(&entry.used) {
            entry.used = inner.clock;
            inner.order.insert(inner.clock, key);
        }
        Some(entry.kept.clone())
    }

    /// Keeps what a maildrop holds now; with nothing, forgets what it held.
    pub fn put(&self, key: Key, kept: Option<Kept>) {
        let mut inner = self.lock();
        let before = inner.remove(&key);
        let Some(kept) = kept else { return };
        let before = before.filter(|before| before.kept.home == kept.home);
        let since = before.map_or_else(Instant::now, |before| before.since);
        let octets = kept.snapshot.memory()
            + 2 * (key.backend.len() + key.user.len() + key.mailbox.len())
            + (kept.home.host.len() + kept.home.address.len())
            + OVERHEAD;
        if octets > self.limit / 4 {
            // One giant must not push out everybody else.
            return;
        }
        inner.clock += 1;
        let (key, used) = (Arc::new(key), inner.clock);
        inner.octets += octets;
        inner.order.insert(used, key.clone());
        let entry = Entry {
            kept,
            since,
            used,
            octets,
        };
        inner.entries.insert(key, entry);
        while inner.octets > self.limit {
            let Some(oldest) = inner.order.first_key_value().map(|(_, key)| key.clone()) else {
                return;
            };
            inner.remove(&oldest);
        }
    }

    /// A maildrop for one session alone; `None` while another has it.
    pub fn lease(self: &Arc<Self>, key: &Key) -> Option<Lease> {
        let key = key.canonical();
        self.leases().insert(key.clone()).then(|| Lease {
            key,
            cache: self.clone(),
        })
    }

    /// The right to take marks away in a mailbox; `None` while another has it.
    pub fn guard(self: &Arc<Self>, key: &Key) -> Option<Guarding> {
        let key = key.canonical();
        self.guards().insert(key.clone()).then(|| Guarding {
            key,
            cache: self.clone(),
        })
    }

    fn guards(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leases(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.leased.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Octets taken.
    pub fn octets(&self) -> usize {
        self.lock().octets
    }

    /// A panic elsewhere leaves at worst an entry that the host's numbers disprove.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.used);
        self.octets -= entry.octets;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::config::{Endpoint, HostConfig, Security};
    use crate::backend::{Backend, Config, Surroundings};
    use crate::protocol::imap::snapshot::{Builder, Complete};

    fn home(host: &str) -> Home {
        Home {
            host: host.into(),
            address: format!("{host} 143"),
        }
    }

    fn kept(messages: u32) -> Option<Kept> {
        let mut builder = Builder::default();
        (1..=messages).for_each(|uid| builder.push(uid, Some(1), None));
        Some(Kept {
            snapshot: Arc::new(builder.finish(1, None, Complete::Yes)),
            home: home("a"),
        })
    }

    fn key(user: &str) -> Key {
        Key {
            backend: "b".into(),
            user: user.into(),
            mailbox: "INBOX".into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_used_goes_first() {
        let cache = MaildropCache::new(90_000);
        for user in ["a", "b", "c"] {
            cache.put(key(user), kept(2000));
        }
        assert!(cache.octets() > 48_000);
        // "b" is the oldest when more comes.
        assert!(cache.get(&key("a")).is_some());
        for user in ["d", "e", "f"] {
            cache.put(key(user), kept(2000));
        }
        assert!(cache.octets() <= 90_000);
        let there: String = ["a", "b", "c", "d", "e", "f"]
            .into_iter()
            .filter(|user| cache.get(&key(user)).is_some())
            .collect();
        assert_eq!(there, "acdef");
        cache.put(key("a"), None);
        cache.put(key("c"), kept(50_000));
        assert!(cache.get(&key("a")).is_none() && cache.get(&key("c")).is_none());
        for user in ["d", "e", "f"] {
            cache.put(key(user), None);
        }
        assert_eq!(cache.octets(), 0);
    }

    #[test]
    fn one_session_at_a_time() {
        let cache = Arc::new(MaildropCache::default());
        let lease = cache.lease(&key("a"));
        assert!(lease.is_some() && cache.lease(&key("b")).is_some());
        assert!(cache.lease(&key("a")).is_none());
        drop(lease);
        assert!(cache.lease(&key("a")).is_some());
    }

    /// As it is for all gateways together: a name is the same however it is typed.
    #[test]
    fn one_session_at_a_time_in_whatever_case() {
        let cache = Arc::new(MaildropCache::default());
        let lease = cache.lease(&key("Bob@x.example"));
        assert!(lease.is_some() && cache.lease(&key("bob@X.example")).is_none());
        let guard = cache.guard(&key("bob@x.example"));
        assert!(guard.is_some() && cache.guard(&key("BOB@x.example")).is_none());
        drop((lease, guard));
        assert!(cache.lease(&key("bob@x.example")).is_some());
        assert!(cache.guard(&key("Bob@x.example")).is_some());
        // A mailbox's name is the host's.
        let other = Key {
            mailbox: "Inbox".into(),
            ..key("Bob@x.example")
        };
        let lease = cache.lease(&key("bob@x.example"));
        assert!(lease.is_some() && cache.lease(&other).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_sees_anothers_list_and_no_list_is_believed_for_ever() {
        let cache = MaildropCache::default();
        cache.put(key("a"), kept(3));
        for other in [
            Key {
                backend: "c".into(),
                ..key("a")
            },
            Key {
                mailbox: "x".into(),
                ..key("a")
            },
            key("A"),
        ] {
            assert!(cache.get(&other).is_none());
        }
        tokio::time::advance(BELIEVED / 2).await;
        // Using it again does not make it younger.
        cache.put(key("a"), kept(4));
        let found = cache.get(&key("a")).map(|found| found.snapshot.len());
        assert_eq!(found, Some(4));
        tokio::time::advance(BELIEVED).await;
        assert!(cache.get(&key("a")).is_none());
        assert_eq!(cache.octets(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_list_of_another_host_is_as_old_as_it_is() {
        let cache = MaildropCache::default();
        cache.put(key("a"), kept(3));
        tokio::time::advance(BELIEVED / 2).await;
        let other = Kept {
            home: home("b"),
            ..kept(3).unwrap()
        };
        cache.put(key("a"), Some(other));
        tokio::time::advance(BELIEVED / 4 * 3).await;
        let found = cache.get(&key("a")).map(|found| found.home);
        assert_eq!(found, Some(home("b")));
        cache.put(key("a"), None);
        assert_eq!(cache.octets(), 0);
    }

    #[test]
    fn a_host_elsewhere_is_another_home() {
        let home = |name: &str, host: &str, port| {
            let imap = Endpoint {
                protocol: Protocol::Imap,
                security: Security::Clear,
                target: Target::Network {
                    host: host.into(),
                    port,
                },
            };
            let host = HostConfig {
                name: name.into(),
                imap: Some(imap),
                pop3: None,
                weight: 1,
            };
            let backend = Config::new("b", vec![host]);
            let backend = Backend::new(backend, Surroundings::default()).unwrap();
            Home::of(&backend.hosts()[0])
        };
        let first = home("m", "mail.example", 143);
        assert_eq!(first, home("m", "mail.example", 143));
        for other in [
            home("n", "mail.example", 143),
            home("m", "mail.example", 1143),
            home("m", "mail2.example", 143),
        ] {
            assert_ne!(first, other);
        }
    }
}
