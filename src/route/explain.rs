//! The whole decision for one name, in words: which entry, which login, which hosts in which order.
//!
//! It asks the same router as a login does, so what it says is what happens.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::lookup::{self, Sent};
use super::{Ask, Destination, How, Lookup, Matched, Next, Router};
use crate::backend::balance;
use crate::backend::config::{Balance, Config as Backend, Failover, HostConfig};
use crate::protocol::{Protocol, UserName};

/// What would happen to a login. The JSON of it is a promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The name that is looked up, `default_domain` added.
    pub user: String,
    /// The file with the entry that matched.
    pub source: Option<String>,
    /// The entry's key as written.
    pub entry: Option<String>,
    /// The entry's line.
    pub line: Option<u32>,
    /// The name sent to the host.
    pub login: Option<String>,
    /// The backend.
    pub backend: Option<String>,
    /// The host that would be asked first.
    pub host: Option<String>,
    /// Every host, in the order in which they would be tried.
    pub hosts: Vec<HostState>,
    /// Why.
    pub reasons: Vec<String>,
}

/// A host in its place in the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostState {
    /// Its name.
    pub name: String,
    /// `up`, `down`, `drain`.
    pub state: &'static str,
    /// Its share of the users.
    pub weight: u32,
}

/// Tells a host's state and present weight, by the names of backend and host, if they are known.
pub type States<'a> = &'a dyn Fn(&str, &str) -> Option<(&'static str, u32)>;

/// Explains a name. A host counts as up, with the weight of its settings, until `state` shows
/// otherwise.
pub fn explain(
    router: &Router,
    backends: &BTreeMap<String, Backend>,
    ask: Ask<'_>,
    state: States<'_>,
) -> Explanation {
    let decision = router.decide(ask);
    let mut told = Explanation {
        user: decision.user.to_string(),
        source: None,
        entry: None,
        line: None,
        login: None,
        backend: None,
        host: None,
        hosts: Vec::new(),
        reasons: Vec::new(),
    };
    if decision.user != *ask.user {
        told.because(format!("`default_domain` was added to {}", ask.user));
    }
    if decision.next == Next::Lookups {
        told.lookups(router, backends, &decision.user, ask, state);
        return told;
    }
    let Some((entry, matched)) = decision.matched else {
        told.because("no entry matches: the login fails as a wrong password does");
        return told;
    };
    told.source = Some(entry.place.file.display().to_string());
    told.entry = Some(entry.key.clone());
    told.line = Some(entry.place.line);
    told.because(match matched {
        Matched::Listener => "the listener has a backend of its own, no map is asked",
        Matched::ServerName => {
            "no other entry matches, and the server that the client asks for has a backend"
        }
        Matched::Map(How::Exact) => "the entry is for this very name",
        Matched::Map(How::Domain) => {
            "the entry is for the name's domain, none is for the name itself"
        }
        Matched::Map(How::Below) => {
            "the entry is for all domains below it, none is for the name or its domain"
        }
        Matched::Map(How::Pattern) => {
            "the pattern is the first that matches, no entry is for the name or its domain"
        }
        Matched::Map(How::Default) => "the default: no other entry matches",
    });
    let (name, template, fixed) = match &entry.to {
        Destination::Reject(text) => {
            told.because(format!(
                "the entry turns the user away, with the words: {text}"
            ));
            return told;
        }
        Destination::Backend {
            backend,
            login,
            host,
        } => (backend, login, host),
    };
    told.backend = Some(name.clone());
    if let Some(template) = template {
        told.because(format!(
            "the login is made by the entry's `{}`",
            template.as_str()
        ));
    }
    let login = match decision.login {
        Ok(login) => login,
        Err(reason) => {
            told.because(format!("{reason}: the login fails"));
            return told;
        }
    };
    told.login = Some(login.to_string());
    match backends.get(name) {
        Some(backend) => told.hosts_of(backend, &login, ask.protocol, fixed.as_deref(), state),
        None => told.because("the backend is not among the settings"),
    }
    told
}

impl Explanation {
    /// Whether some entry matched.
    pub fn matched(&self) -> bool {
        self.entry.is_some()
    }

    fn because(&mut self, reason: impl Into<String>) {
        self.reasons.push(reason.into());
    }

    /// Lookup services decide. None is asked: it would want the password, and may count the attempt.
    fn lookups(
        &mut self,
        router: &Router,
        backends: &BTreeMap<String, Backend>,
        user: &UserName,
        ask: Ask<'_>,
        state: States<'_>,
    ) {
        let protocol = ask.protocol;
        for (n, lookup) in router.lookups().iter().enumerate() {
            let name = lookup.name();
            if n == 0 {
                let place = &lookup.config().place;
                self.source = Some(place.file.display().to_string());
                self.line = Some(place.line);
                self.entry = Some(name.to_string());
                self.because(format!(
                    "no entry is for the name, its domain or a domain above: {name} is asked, with the password"
                ));
            } else {
                self.because(format!(
                    "where that says `Auth-Backend: *`, {name} is asked"
                ));
            }
            match lookup.last_known(user, protocol) {
                Some(sent) if self.backend.is_none() => {
                    self.sent(lookup, sent, backends, user, protocol, state);
                }
                Some(_) => {}
                None => self.because(format!(
                    "no last answer of {name} is known: while it is away the login fails for now"
                )),
            }
        }
        let default = router.by_default(ask, user.clone());
        self.because(match default.matched.as_ref().map(|(entry, _)| &entry.to) {
            Some(Destination::Backend { backend, .. }) => {
                format!("the default, {backend}, is for those it leaves to us by `Auth-Backend: *`")
            }
            Some(Destination::Reject(_)) | None => {
                "there is no default behind it that leads anywhere".to_owned()
            }
        });
    }

    /// What a lookup service said last.
    fn sent(
        &mut self,
        lookup: &Lookup,
        sent: Sent,
        backends: &BTreeMap<String, Backend>,
        user: &UserName,
        protocol: Protocol,
        state: States<'_>,
    ) {
        let login = sent.user.as_ref().unwrap_or(user);
        self.login = Some(login.to_string());
        self.because(format!(
            "what follows is the last answer of {}: a new one may say otherwise",
            lookup.name()
        ));
        if sent.password.is_some() {
            self.because("the answer brings a password, and holds for the one it was given for");
        }
        match sent.to {
            lookup::Destination::Backend(name) => {
                if let Some(backend) = backends.get(&name) {
                    self.hosts_of(backend, login, protocol, None, state);
                }
                self.backend = Some(name);
            }
            lookup::Destination::Server(server) => {
                let host = server.name();
                self.because(format!("the answer names the host: {host}"));
                self.backend = Some(lookup.name().to_string());
                self.host = Some(host.clone());
                self.hosts = vec![HostState {
                    name: host,
                    state: "up",
                    weight: 1,
                }];
            }
        }
    }

    fn hosts_of(
        &mut self,
        backend: &Backend,
        login: &UserName,
        protocol: Protocol,
        fixed: Option<&str>,
        state: States<'_>,
    ) {
        if let Some(text) = &backend.maintenance {
            self.because(format!(
                "the backend is in maintenance, logins are told: {text}"
            ));
        }
        if !backend.protocols.contains(&protocol) {
            self.because(format!("users of this backend may not use {protocol}"));
        }
        let known =
            |host: &HostConfig| state(&backend.name, &host.name).unwrap_or(("up", host.weight));
        let pairs: Vec<(&str, u32)> = backend
            .hosts
            .iter()
            .map(|host| (host.name.as_str(), known(host).1))
            .collect();
        let canonical = login.canonical();
        let ranked = balance::rank(&canonical, &pairs);
        let mut order: Vec<&HostConfig> = ranked
            .into_iter()
            .filter_map(|at| backend.hosts.get(at))
            .collect();
        if let Some(fixed) = fixed {
            order.retain(|host| host.name == fixed);
            self.because(format!("the entry fixes the host: {fixed}"));
        } else if order.len() > 1 {
            self.because(match backend.balance {
                Balance::Sticky => format!("hosts in the order of the hash of {canonical}"),
                Balance::LeastSessions => {
                    "the host with the fewest sessions for its weight is asked first".into()
                }
            });
        }
        let usable = |host: &HostConfig| {
            host.endpoint(protocol).is_some() || (protocol == Protocol::Pop3 && host.imap.is_some())
        };
        let choice = order
            .iter()
            .position(|host| known(host).0 == "up" && usable(host))
            .filter(|at| *at == 0 || backend.failover == Failover::Yes);
        for host in order.iter().take(choice.unwrap_or(order.len())) {
            match known(host).0 {
                "up" => self.because(format!("{} has no endpoint for {protocol}", host.name)),
                other => self.because(format!("{} is skipped: {other}", host.name)),
            }
        }
        let chosen = choice.and_then(|at| order.get(at));
        match chosen {
            Some(host) if protocol == Protocol::Pop3 && host.pop3.is_none() => {
                self.because(format!(
                    "{} speaks IMAP, the session is translated",
                    host.name
                ));
            }
            Some(_) => {}
            None => self.because("no host can be asked: the login fails for now"),
        }
        self.host = chosen.map(|host| host.name.clone());
        self.hosts = order
            .into_iter()
            .map(|host| {
                let (state, weight) = known(host);
                HostState {
                    name: host.name.clone(),
                    state,
                    weight,
                }
            })
            .collect();
    }
}

/// For a terminal: several lines, the last without its line end.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)?;
        if let (Some(entry), Some(source), Some(line)) = (&self.entry, &self.source, self.line) {
            write!(f, "\n  entry    {entry} ({source}:{line})")?;
        }
        if let Some(login) = &self.login {
            write!(f, "\n  login    {login}")?;
        }
        if let Some(backend) = &self.backend {
            write!(f, "\n  backend  {backend}")?;
        }
        if let Some(host) = &self.host {
            write!(f, "\n  host     {host}")?;
        }
        let width = self.hosts.iter().map(|h| h.name.chars().count()).max();
        for (n, host) in self.hosts.iter().enumerate() {
            let title = if n == 0 { "hosts" } else { "" };
            let width = width.unwrap_or_default();
            write!(
                f,
                "\n  {title:8} {}. {:width$}  {:5}  weight {}",
                n + 1,
                host.name,
                host.state,
                host.weight
            )?;
        }
        for (n, reason) in self.reasons.iter().enumerate() {
            let title = if n == 0 { "because" } else { "" };
            write!(f, "\n  {title:8} {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::config::{Endpoint, Security, Target};
    use crate::route::Config;

    fn host(name: &str, protocol: Protocol, weight: u32) -> HostConfig {
        let endpoint = Endpoint {
            protocol,
            security: Security::Clear,
            target: Target::Demo,
        };
        HostConfig {
            name: name.into(),
            imap: (protocol == Protocol::Imap).then(|| endpoint.clone()),
            pop3: (protocol == Protocol::Pop3).then_some(endpoint),
            weight,
        }
    }

    fn told(
        protocol: Protocol,
        change: impl FnOnce(&mut Backend),
        states: States<'_>,
    ) -> Explanation {
        let hosts = ["a", "b", "c"].map(|name| host(name, Protocol::Imap, 1));
        let mut backend = Backend::new("cluster", hosts.to_vec());
        change(&mut backend);
        let backends = BTreeMap::from([("cluster".to_owned(), backend)]);
        let router = Router::new(Config::of(&[("@x", "cluster")]), []);
        let user = UserName::new(b"Bob@X").unwrap();
        let ask = Ask {
            user: &user,
            protocol,
            listener: None,
            server_name: None,
        };
        explain(&router, &backends, ask, states)
    }

    #[test]
    fn hosts_stand_in_the_order_of_the_hash() {
        let told = told(Protocol::Imap, |_| {}, &|_, _| None);
        let pairs = [("a", 1), ("b", 1), ("c", 1)];
        let want: Vec<&str> = balance::rank("bob@x", &pairs)
            .into_iter()
            .map(|at| pairs[at].0)
            .collect();
        let got: Vec<&str> = told.hosts.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(got, want);
        assert_eq!(told.host.as_deref(), Some(want[0]));
        assert_eq!(told.login.as_deref(), Some("Bob@X"));
    }

    #[test]
    fn hosts_that_are_away_are_skipped_unless_users_wait_for_theirs() {
        let first = told(Protocol::Imap, |_| {}, &|_, _| None).host.unwrap();
        let down = |_: &str, host: &str| (host == first).then_some(("down", 1));
        let other = told(Protocol::Imap, |_| {}, &down);
        assert_eq!(
            other.host.as_ref(),
            other.hosts.get(1).map(|host| &host.name)
        );
        assert_eq!(other.hosts[0].state, "down");
        let waits = told(Protocol::Imap, |b| b.failover = Failover::No, &down);
        assert_eq!(waits.host, None);
    }

    #[test]
    fn a_lookup_service_is_named_and_not_asked() {
        let mut config = Config::of(&[("@x", "cluster"), ("*", "rest")]);
        config.lookups.push(lookup::Config {
            urls: vec!["http://127.0.0.1:1/auth?key=secret".parse().unwrap()],
            timeout: std::time::Duration::from_secs(2),
            cache: std::time::Duration::ZERO,
            headers: Vec::new(),
            backends: ["cluster".to_owned()].into(),
            place: crate::route::Place::default().at(7),
        });
        let router = Router::new(config, []);
        let told = |name: &str| {
            let user = UserName::new(name.as_bytes()).unwrap();
            let ask = Ask {
                user: &user,
                protocol: Protocol::Imap,
                listener: None,
                server_name: None,
            };
            explain(&router, &BTreeMap::new(), ask, &|_, _| None)
        };
        assert_eq!(told("bob@x").entry.as_deref(), Some("@x"));
        let asked = told("bob@y");
        assert_eq!(asked.entry.as_deref(), Some("http://127.0.0.1:1/auth"));
        assert_eq!((asked.line, asked.backend.as_ref()), (Some(7), None));
        let why = asked.reasons.join("\n");
        assert!(why.contains("is asked, with the password"), "{why}");
        assert!(why.contains("the default, rest, is for those"), "{why}");
        assert!(!why.contains("secret"));
    }

    #[test]
    fn endpoints_decide_what_a_host_can_serve() {
        let only_pop3 = |b: &mut Backend| b.hosts = vec![host("p", Protocol::Pop3, 1)];
        assert_eq!(told(Protocol::Imap, only_pop3, &|_, _| None).host, None);
        let relayed = told(Protocol::Pop3, only_pop3, &|_, _| None);
        assert_eq!(relayed.host.as_deref(), Some("p"));
        let translated = told(Protocol::Pop3, |_| {}, &|_, _| None);
        assert!(translated.host.is_some());
        assert!(translated.reasons.iter().any(|r| r.contains("translated")));
    }
}
