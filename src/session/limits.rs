//! How many: connections in all and of one address, sessions of one user; what failed logins cost
//! is told by [`Penalties`].
//!
//! Counts are held by guards, so whatever ends a session gives its place back. Addresses of IPv6
//! count by /64: a subscriber has that many. Tables are bounded; what is counted is the real client.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;

pub use self::penalties::{Penalties, Stake, Try, Whose};
pub use self::shared::share;
pub use self::waiting::Parted;
use self::waiting::{Ticket, Waiting};
use super::config::Limits;
use crate::protocol::Limit;

mod penalties;
mod shared;
mod waiting;
mod ways;

/// The live counts of the process.
#[derive(Default)]
pub struct Tables {
    connections: AtomicUsize,
    waiting: Waiting,
    per_ip: Count<IpAddr>,
    per_user: Count<String>,
    per_user_ip: Count<(String, IpAddr)>,
    /// What failed logins cost.
    pub penalties: Penalties,
    /// Milliseconds that a host took for the last wrong password.
    refusal: AtomicU64,
}

/// Longest time of a refusal that is kept in mind: a host may hang, strangers need not for ever after.
const LONGEST_REFUSAL: Duration = Duration::from_secs(15);

impl Tables {
    /// Takes a place for a connection, whoever it is from. When all are taken the oldest connection
    /// that waits for its client to log in makes room; its place is counted until it is gone.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn enter(self: &Arc<Self>, limits: &Limits) -> Result<Connection, Limit> {
        let mut place = Connection {
            tables: self.clone(),
            ip: None,
            ticket: None,
        };
        let taken = self.connections.fetch_add(1, Ordering::Relaxed);
        if taken >= limits.connections && !self.waiting.make_room() {
            return Err(Limit::Connections);
        }
        place.ticket = Some(self.waiting.arrive());
        Ok(place)
    }

    /// Takes a place for a connection from an address.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn connect(self: &Arc<Self>, limits: &Limits, ip: IpAddr) -> Result<Connection, Limit> {
        self.enter(limits)?.at(limits, ip)
    }

    /// Takes a place for a session of a user.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn log_in(
        self: &Arc<Self>,
        limits: &Limits,
        canonical: &str,
        ip: IpAddr,
    ) -> Result<UserSession, Limit> {
        let ip = bucket(ip);
        let user = canonical.to_owned();
        if !self.per_user.take(&user, limits.per_user) {
            return Err(Limit::PerUser);
        }
        let key = (user, ip);
        if !self.per_user_ip.take(&key, limits.per_user_ip) {
            self.per_user.give(&key.0);
            return Err(Limit::PerUserIp);
        }
        Ok(UserSession {
            tables: self.clone(),
            key,
        })
    }

    /// Whether a user may have one more session; nothing is taken.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn room(&self, limits: &Limits, canonical: &str, ip: IpAddr) -> Result<(), Limit> {
        let sessions = self.per_user.of(canonical);
        if sessions >= limits.per_user {
            return Err(Limit::PerUser);
        }
        // From one address there are no more of them than from all.
        let few = sessions < limits.per_user_ip;
        match few || self.per_user_ip.of(&(canonical.to_owned(), bucket(ip))) < limits.per_user_ip {
            true => Ok(()),
            false => Err(Limit::PerUserIp),
        }
    }

    /// A host took so long to refuse a password.
    pub fn refused_after(&self, took: Duration) {
        let took = took.min(LONGEST_REFUSAL).as_millis();
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        self.refusal.store(took, Ordering::Relaxed);
    }

    /// As long as that takes: whom no host knows is told no sooner.
    pub fn refusal(&self) -> Duration {
        Duration::from_millis(self.refusal.load(Ordering::Relaxed))
    }

    /// Connections at the moment.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Whether an address is exempt from limits by address and from penalties.
pub fn trusted(limits: &Limits, ip: IpAddr) -> bool {
    limits.trusted.iter().any(|net| net.contains(&ip))
}

/// What an address is counted as: IPv4 itself (also when mapped into IPv6), IPv6 its /64.
pub fn bucket(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

/// What is counted of a session over all gateways together, each key with the most it may have, and
/// which limit that is. Connections that are not logged in yet each gateway counts for itself.
pub fn together(limits: &Limits, canonical: &str, ip: IpAddr) -> Vec<(String, u32, Limit)> {
    let at = bucket(ip);
    let mut all = vec![
        (format!("user/{canonical}"), limits.per_user, Limit::PerUser),
        (
            format!("user-ip/{canonical}/{at}"),
            limits.per_user_ip,
            Limit::PerUserIp,
        ),
    ];
    if !trusted(limits, ip) {
        all.push((format!("ip/{at}"), limits.per_ip, Limit::PerIp));
    }
    all
}

/// A connection's place; given back when dropped.
pub struct Connection {
    tables: Arc<Tables>,
    ip: Option<IpAddr>,
    /// Until login.
    ticket: Option<Ticket>,
}

impl Connection {
    /// Now that its address is known: a place among those of the address, too.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn at(mut self, limits: &Limits, ip: IpAddr) -> Result<Self, Limit> {
        if trusted(limits, ip) {
            return Ok(self);
        }
        let ip = bucket(ip);
        if !self.tables.per_ip.take(&ip, limits.per_ip) {
            return Err(Limit::PerIp);
        }
        self.ip = Some(ip);
        Ok(self)
    }

    /// Comes back when the connection is to make room for another: it should be gone at once. Never,
    /// once it is logged in.
    pub async fn told_to_go(&self) {
        match &self.ticket {
            Some(ticket) => ticket.told_to_go().await,
            None => std::future::pending().await,
        }
    }

    /// Goes on with a connection's beginning, unless it is to make room meanwhile.
    ///
    /// # Errors
    /// Those of the beginning, or that it is to go.
    pub async fn unless_told_to_go<T>(
        &self,
        beginning: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Parted> {
        tokio::select! {
            begun = beginning => begun.map_err(Parted::Failed),
            () = self.told_to_go() => Err(Parted::MadeRoom),
        }
    }

    /// Its client has shown credentials; whether it may go on, or was told to go just now.
    pub fn busy(&self) -> bool {
        let waiting = &self.tables.waiting;
        self.ticket.as_ref().is_none_or(|it| waiting.leave(it))
    }

    /// The login failed: it waits for its client again.
    pub fn idle(&self) {
        if let Some(ticket) = &self.ticket {
            self.tables.waiting.come_back(ticket);
        }
    }

    /// It is logged in: it need not make room any more.
    pub fn settled(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.tables.waiting.leave(&ticket);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.settled();
        self.tables.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(ip) = self.ip {
            self.tables.per_ip.give(&ip);
        }
    }
}

/// A user's session's place; given back when dropped.
pub struct UserSession {
    tables: Arc<Tables>,
    key: (String, IpAddr),
}

impl Drop for UserSession {
    fn drop(&mut self) {
        self.tables.per_user.give(&self.key.0);
        self.tables.per_user_ip.give(&self.key);
    }
}

/// How many of each key; keys with none are not kept.
struct Count<K: std::hash::Hash + Eq>(DashMap<K, u32>);

impl<K: std::hash::Hash + Eq> Default for Count<K> {
    fn default() -> Self {
        Count(DashMap::new())
    }
}

impl<K: std::hash::Hash + Eq + Clone> Count<K> {
    fn take(&self, key: &K, most: u32) -> bool {
        match self.0.entry(key.clone()) {
            dashmap::Entry::Occupied(mut entry) if *entry.get() < most => *entry.get_mut() += 1,
            dashmap::Entry::Vacant(entry) if most > 0 => drop(entry.insert(1)),
            _ => return false,
        }
        true
    }

    fn of<Q: ?Sized + std::hash::Hash + Eq>(&self, key: &Q) -> u32
    where
        K: std::borrow::Borrow<Q>,
    {
        self.0.get(key).map_or(0, |count| *count)
    }

    fn give(&self, key: &K) {
        if let dashmap::Entry::Occupied(mut entry) = self.0.entry(key.clone()) {
            *entry.get_mut() = entry.get().saturating_sub(1);
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_given_back() {
        let tables = Arc::new(Tables::default());
        let limits = Limits {
            connections: 3,
            per_ip: 2,
            ..Limits::default()
        };
        let a = tables.connect(&limits, ip("192.0.2.1")).unwrap();
        let _b = tables.connect(&limits, ip("192.0.2.1")).unwrap();
        let full = tables.connect(&limits, ip("192.0.2.1"));
        assert_eq!(full.err(), Some(Limit::PerIp));
        assert_eq!(tables.connections(), 2);
        let _c = tables.connect(&limits, ip("192.0.2.2")).unwrap();
        assert!([&a, &_b, &_c].iter().all(|it| it.busy()));
        let full = tables.connect(&limits, ip("192.0.2.3"));
        assert_eq!(full.err(), Some(Limit::Connections));
        drop(a);
        assert_eq!(tables.connections(), 2);
        assert!(tables.connect(&limits, ip("::ffff:192.0.2.1")).is_ok());
        assert_eq!(tables.per_ip.0.len(), 2);
    }

    #[test]
    fn a_user_has_so_many_sessions_in_all_and_from_one_address() {
        let tables = Arc::new(Tables::default());
        let limits = Limits {
            per_user: 3,
            per_user_ip: 2,
            ..Limits::default()
        };
        let log_in = |address: &str| {
            let room = tables.room(&limits, "alice", ip(address));
            let taken = tables.log_in(&limits, "alice", ip(address));
            // Who looks first is told what who goes in is.
            assert_eq!(room.err(), taken.as_ref().err().copied());
            taken
        };
        let a = log_in("2001:db8::1").unwrap();
        let _b = log_in("2001:db8::2").unwrap();
        assert_eq!(log_in("2001:db8::3").err(), Some(Limit::PerUserIp));
        let _c = log_in("192.0.2.1").unwrap();
        assert_eq!(log_in("192.0.2.1").err(), Some(Limit::PerUser));
        drop(a);
        assert!(log_in("2001:db8::3").is_ok());
    }

    #[test]
    fn what_gateways_count_together_goes_by_the_same_addresses() {
        let limits = Limits {
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
            ..Limits::default()
        };
        let keys = |from: &str| -> Vec<String> {
            let all = together(&limits, "alice", ip(from));
            all.into_iter().map(|(key, ..)| key).collect()
        };
        let at = "2001:db8:1:2::";
        let of_net = [
            "user/alice".to_owned(),
            format!("user-ip/alice/{at}"),
            format!("ip/{at}"),
        ];
        assert_eq!(keys("2001:db8:1:2::3"), of_net);
        assert_eq!(keys("2001:db8:1:2:ffff::"), of_net);
        assert_eq!(keys("::ffff:192.0.2.1"), keys("192.0.2.1"));
        assert_eq!(keys("10.1.2.3"), ["user/alice", "user-ip/alice/10.1.2.3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_that_waits_for_its_client_makes_room() {
        let tables = Arc::new(Tables::default());
        let limits = Limits {
            connections: 3,
            ..Limits::default()
        };
        let enter = || tables.enter(&limits);
        let told = async |it: &Connection| {
            let second = std::time::Duration::from_secs(1);
            tokio::time::timeout(second, it.told_to_go()).await.is_ok()
        };
        let (mut a, b, c) = (enter().unwrap(), enter().unwrap(), enter().unwrap());
        // One is logged in, one asks its host.
        assert!(a.busy() && b.busy());
        a.settled();
        let d = enter().unwrap();
        assert!(!told(&a).await && !told(&b).await && told(&c).await && !told(&d).await);
        assert!(!c.busy(), "too late");
        drop(c);
        // Its login failed; it is older than the newest.
        b.idle();
        let e = enter().unwrap();
        assert!(told(&b).await && !told(&d).await);
        drop(b);
        let f = enter().unwrap();
        assert!(told(&d).await);
        drop(d);
        assert!(e.busy() && f.busy());
        assert_eq!(enter().err(), Some(Limit::Connections));
        assert_eq!(tables.connections(), 3);
    }
}
