//! Who goes where: the users map and the answer it gives.
//!
//! A [`Router`] is asked once for each login, before any host is. It knows names of backends, not
//! their hosts. [`explain`](explain::explain) says the same in words.

pub mod config;
pub mod explain;
mod index;
pub mod lookup;
mod pins;
pub mod rule;
pub mod table;

use std::sync::Arc;

pub use config::{Config, Destination, Entry, Place};
pub use lookup::{Lookup, Server, Visit};
pub use pins::Pin;
pub use rule::Template;
pub use table::{Found, How, Map};

use crate::protocol::{Failure, Protocol, Secret, UserName};
use pins::Pins;

/// The answer to "where does this user go": a backend, the login to use there, and which entry of
/// the map said so.
#[derive(Clone, Debug)]
pub struct Route {
    /// The backend's name.
    pub backend: String,
    /// The name to log in with; its [`UserName::canonical`] form is the key of hash, pins and limits.
    pub login: UserName,
    /// A fixed host of the backend.
    pub host: Option<String>,
    /// The entry that matched.
    pub entry: Arc<Entry>,
    /// The server that a lookup service named: it is the host then, and `backend` is the service.
    pub server: Option<Server>,
    /// The password that a lookup service gave, to log in with instead of what the client showed.
    pub password: Option<Secret>,
}

/// Where logins of a listener can go, as far as is known before there is a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach<'a> {
    /// All to this backend, each with the name that was typed.
    AsTyped(&'a str),
    /// All to this backend, some under another name.
    Backend(&'a str),
    /// To this backend, each with the name that was typed, but for those whom the map names.
    ServerName(&'a str),
    /// That depends on the name.
    Any,
}

/// A login that asks for its way.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The name as typed.
    pub user: &'a UserName,
    /// What the client speaks.
    pub protocol: Protocol,
    /// The name of the listener it came in by; none where nobody came in (`explain`).
    pub listener: Option<&'a str>,
    /// The server that the client asked for (SNI), if it did.
    pub server_name: Option<&'a str>,
}

/// Finds each user's way.
#[derive(Debug)]
pub struct Router {
    config: Config,
    pins: Pins,
    lookups: Vec<Arc<Lookup>>,
}

/// What was decided for a name, for [`Router::route`] and for explaining.
#[derive(Debug)]
pub struct Decision {
    /// The name that was looked up: as typed, with `default_domain` where it had none.
    pub user: UserName,
    /// The entry that matched, and how.
    pub matched: Option<(Arc<Entry>, Matched)>,
    /// The name to log in with; an error is for the log.
    pub login: Result<UserName, String>,
    /// Whether that was the last word.
    pub next: Next,
}

/// What comes after the entries of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: an entry decides, or none does.
    Decided,
    /// Lookup services are asked, and then the default.
    Lookups,
}

/// What kind of entry decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// The listener has a backend of its own.
    Listener,
    /// The server that the client asked for has one, and the map does not name the user.
    ServerName,
    /// An entry of the map.
    Map(How),
}

impl Router {
    /// A router over a map, and the listeners and server names that have a backend of their own.
    pub fn new(config: Config, pins: impl IntoIterator<Item = Pin>) -> Self {
        let lookups = config.lookups.iter().cloned();
        Router {
            lookups: lookups
                .map(|lookup| Arc::new(Lookup::new(lookup)))
                .collect(),
            config,
            pins: pins.into_iter().collect(),
        }
    }

    /// The same, which goes on with what the lookup services of another router have said. For new
    /// settings.
    pub fn after(mut self, old: &Router) -> Self {
        for lookup in &mut self.lookups {
            let config = lookup.config();
            if let Some(old) = old.lookups.iter().find(|old| config.is_same(old.config())) {
                *lookup = Arc::new(Lookup::after(config.clone(), old));
            }
        }
        self
    }

    /// The lookup services, in the order in which they are asked.
    pub fn lookups(&self) -> &[Arc<Lookup>] {
        &self.lookups
    }

    /// Where logins of a listener can go, by a client that asked for this server.
    pub fn reach(&self, listener: &str, server_name: Option<&str>) -> Reach<'_> {
        let no_lookups = self.lookups.is_empty();
        let as_typed = self.config.default_domain.is_none();
        let all = self.pins.of_listener(listener).map(|entry| &entry.to);
        if all.is_none()
            && let Some(entry) = self.pins.of_server(listener, server_name)
            && let Destination::Backend { backend, .. } = &entry.to
        {
            return match no_lookups && as_typed {
                true => Reach::ServerName(backend),
                false => Reach::Any,
            };
        }
        let only = match no_lookups {
            true => self.config.map.only_default(),
            false => None,
        };
        match all.or(only) {
            Some(Destination::Backend {
                backend,
                login: None,
                ..
            }) if as_typed => Reach::AsTyped(backend),
            Some(Destination::Backend { backend, .. }) => Reach::Backend(backend),
            Some(Destination::Reject(_)) | None => Reach::Any,
        }
    }

    /// Where a login goes. Fails with [`Failure::NoRoute`] where no entry matches (told as a wrong
    /// password), with [`Failure::NotAllowed`] where the entry rejects; where a lookup service is
    /// asked, with [`Failure::Declined`] and [`Failure::MapUnavailable`].
    pub async fn route(&self, ask: Ask<'_>, visit: &Visit<'_>) -> Result<Route, Failure> {
        let mut decision = self.decide(ask);
        if decision.next == Next::Lookups {
            for lookup in &self.lookups {
                let sent = lookup.ask(&decision.user, ask.protocol, visit).await?;
                if let Some(sent) = sent {
                    return Ok(sent.route(lookup, decision.user));
                }
            }
            decision = self.by_default(ask, decision.user);
        }
        let Some((entry, _)) = decision.matched else {
            return Err(Failure::NoRoute);
        };
        match &entry.to {
            Destination::Reject(text) => Err(Failure::NotAllowed {
                text: Some(text.clone()),
            }),
            Destination::Backend { backend, host, .. } => match decision.login {
                Ok(login) => Ok(Route {
                    backend: backend.clone(),
                    login,
                    host: host.clone(),
                    entry,
                    server: None,
                    password: None,
                }),
                Err(reason) => {
                    tracing::warn!(user = %ask.user, entry = %entry.key, line = entry.place.line, %reason, "no usable login");
                    Err(Failure::NoRoute)
                }
            },
        }
    }

    /// The whole decision as far as the map makes it, also where it is a no.
    pub fn decide(&self, ask: Ask<'_>) -> Decision {
        let user = self.full_name(ask.user);
        let listener = ask.listener.and_then(|name| self.pins.of_listener(name));
        if let Some(entry) = listener {
            return Decision {
                login: Ok(user.clone()),
                matched: Some((entry.clone(), Matched::Listener)),
                user,
                next: Next::Decided,
            };
        }
        if let Some(decision) = self.config.map.find(&user).and_then(|f| decided(&f, &user)) {
            return decision;
        }
        match self.lookups.is_empty() {
            true => self.by_default(ask, user),
            false => Decision {
                next: Next::Lookups,
                ..undecided(user)
            },
        }
    }

    /// What the default says, where neither an entry nor a lookup service says anything: that of the
    /// server which the client asked for, else the map's.
    pub fn by_default(&self, ask: Ask<'_>, user: UserName) -> Decision {
        let named = ask.listener.map(|name| (name, ask.server_name));
        if let Some(entry) = named.and_then(|(name, server)| self.pins.of_server(name, server)) {
            return Decision {
                login: Ok(user.clone()),
                matched: Some((entry.clone(), Matched::ServerName)),
                user,
                next: Next::Decided,
            };
        }
        let found = self.config.map.default_entry();
        let decision = found.and_then(|found| decided(&found, &user));
        decision.unwrap_or_else(|| undecided(user))
    }

    /// The name with `default_domain`, where it has none. A name that gets too long by it stays as it
    /// is: it matches nothing longer either.
    pub fn full_name(&self, user: &UserName) -> UserName {
        match &self.config.default_domain {
            Some(domain) if user.domain().is_none() => {
                let full = format!("{user}@{domain}");
                UserName::new(full.as_bytes()).unwrap_or_else(|_| user.clone())
            }
            _ => user.clone(),
        }
    }
}

fn decided(found: &Found<'_, '_>, user: &UserName) -> Option<Decision> {
    let entry = found.entry()?;
    let login = match &entry.to {
        Destination::Backend {
            login: Some(template),
            ..
        } => template.fill(user, found.groups.as_ref()),
        Destination::Backend { login: None, .. } | Destination::Reject(_) => Ok(user.clone()),
    };
    Some(Decision {
        user: user.clone(),
        matched: Some((Arc::new(entry), Matched::Map(found.how))),
        login,
        next: Next::Decided,
    })
}

fn undecided(user: UserName) -> Decision {
    Decision {
        login: Ok(user.clone()),
        matched: None,
        user,
        next: Next::Decided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Credentials;

    const NOBODY: Visit<'_> = Visit {
        credentials: &Credentials::Certificate,
        client: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        attempt: 1,
        tls: None,
    };

    fn name(name: &str) -> UserName {
        UserName::new(name.as_bytes()).unwrap()
    }

    fn ask(user: &UserName) -> Ask<'_> {
        Ask {
            user,
            protocol: Protocol::Imap,
            listener: None,
            server_name: None,
        }
    }

    fn router(entries: Vec<(&str, Destination)>, default_domain: Option<&str>) -> Router {
        let mut map = Map::default();
        for (line, (key, to)) in (1..).zip(entries) {
            map.insert(key, to, &Place::default().at(line)).unwrap();
        }
        let config = Config {
            map: Arc::new(map),
            default_domain: default_domain.map(Into::into),
            lookups: Vec::new(),
        };
        let pin = |listener: &str, server_name: Option<&str>, backend: &str| Pin {
            listener: listener.into(),
            server_name: server_name.map(Into::into),
            backend: backend.into(),
            place: Place::default().at(77),
        };
        Router::new(
            config,
            [
                pin("pinned", None, "own"),
                pin("named", Some("imap.old.example"), "old"),
                pin("named", Some("*.new.example"), "new"),
            ],
        )
    }

    fn login(template: &str, groups: &[&str]) -> Destination {
        Destination::Backend {
            backend: "b".into(),
            login: Some(Template::new(template, groups).unwrap()),
            host: Some("h".into()),
        }
    }

    #[tokio::test]
    async fn a_route_names_backend_login_host_and_entry() {
        let router = router(
            vec![
                ("@old.example", login("{local}@new.example", &[])),
                ("/^(?<n>[^@]+)-sales@/", login("{n}", &["n"])),
                ("@typed", Destination::backend("c")),
            ],
            None,
        );
        let route = router
            .route(ask(&name("Bob@OLD.example")), &NOBODY)
            .await
            .unwrap();
        assert_eq!(route.login.as_str(), "Bob@new.example");
        assert_eq!(route.backend, "b");
        assert_eq!(route.host.as_deref(), Some("h"));
        assert_eq!(
            (route.entry.key.as_str(), route.entry.place.line),
            ("@old.example", 1)
        );
        let route = router
            .route(ask(&name("Eve-Sales@x")), &NOBODY)
            .await
            .unwrap();
        assert_eq!(route.login.as_str(), "Eve");
        let route = router
            .route(ask(&name("Eve@Typed")), &NOBODY)
            .await
            .unwrap();
        assert_eq!((route.login.as_str(), route.host), ("Eve@Typed", None));
    }

    #[tokio::test]
    async fn no_match_reject_and_bad_templates_fail() {
        let router = router(
            vec![
                ("mallory@x", Destination::Reject("call us".into())),
                ("bob", login("{domain}", &[])),
                ("/^(?<n>.?)!/", login("{n}", &["n"])),
            ],
            None,
        );
        for (user, want) in [
            ("nobody", Failure::NoRoute),
            ("bob", Failure::NoRoute),
            ("!", Failure::NoRoute),
            (
                "mallory@X",
                Failure::NotAllowed {
                    text: Some("call us".into()),
                },
            ),
        ] {
            let got = router.route(ask(&name(user)), &NOBODY).await.unwrap_err();
            assert_eq!(got, want, "{user}");
        }
    }

    #[tokio::test]
    async fn the_default_domain_is_added_to_bare_names() {
        let router = router(
            vec![
                ("@example.org", Destination::backend("org")),
                ("*", Destination::backend("rest")),
            ],
            Some("example.org"),
        );
        let route = router.route(ask(&name("bob")), &NOBODY).await.unwrap();
        assert_eq!(
            (route.backend.as_str(), route.login.as_str()),
            ("org", "bob@example.org")
        );
        let route = router.route(ask(&name("bob@x")), &NOBODY).await.unwrap();
        assert_eq!(
            (route.backend.as_str(), route.login.as_str()),
            ("rest", "bob@x")
        );
    }

    #[test]
    fn some_listeners_lead_to_one_backend() {
        let one = || vec![("*", Destination::backend("b"))];
        let two = vec![
            ("*", Destination::backend("b")),
            ("bob", Destination::backend("b")),
        ];
        for (entries, domain, other, pinned) in [
            (one(), None, Reach::AsTyped("b"), Reach::AsTyped("own")),
            (one(), Some("x"), Reach::Backend("b"), Reach::Backend("own")),
            (
                vec![("*", login("{local}", &[]))],
                None,
                Reach::Backend("b"),
                Reach::AsTyped("own"),
            ),
            (two, None, Reach::Any, Reach::AsTyped("own")),
            (vec![], None, Reach::Any, Reach::AsTyped("own")),
        ] {
            let router = router(entries, domain);
            assert_eq!(router.reach("other", Some("imap.old.example")), other);
            assert_eq!(router.reach("pinned", None), pinned);
            assert_eq!(router.reach("named", None), other);
            let named = match domain {
                None => Reach::ServerName("old"),
                Some(_) => Reach::Any,
            };
            assert_eq!(router.reach("named", Some("imap.old.example")), named);
        }
    }

    /// The map's own entries go before: nobody is sent against them by asking for a server.
    #[tokio::test]
    async fn the_server_asked_for_takes_the_defaults_place() {
        let router = router(
            vec![
                ("ann", Destination::backend("map")),
                ("@gone", Destination::Reject("moved".into())),
                ("*", Destination::backend("rest")),
            ],
            None,
        );
        let old = Some("imap.old.example");
        for (user, listener, server_name, want) in [
            ("ann", "named", old, "map"),
            ("bob", "named", old, "old"),
            ("bob", "named", Some("pop.new.example"), "new"),
            ("bob", "named", Some("new.example"), "rest"),
            ("bob", "named", Some("a.b.new.example"), "rest"),
            ("bob", "named", Some("elsewhere.example"), "rest"),
            ("bob", "named", None, "rest"),
            ("bob", "other", old, "rest"),
            ("bob@gone", "named", old, "rejected"),
        ] {
            let user = name(user);
            let ask = Ask {
                listener: Some(listener),
                server_name,
                ..ask(&user)
            };
            let route = router.route(ask, &NOBODY).await;
            let got = route.map_or("rejected".into(), |route| route.backend);
            assert_eq!(got, want, "{user} {listener} {server_name:?}");
        }
    }

    #[tokio::test]
    async fn a_listener_with_a_backend_asks_no_map() {
        let router = router(vec![("*", Destination::Reject("no".into()))], None);
        let user = name("bob");
        let pinned = Ask {
            listener: Some("pinned"),
            ..ask(&user)
        };
        let route = router.route(pinned, &NOBODY).await.unwrap();
        assert_eq!(route.backend, "own");
        assert_eq!(
            (route.entry.key.as_str(), route.entry.place.line),
            ("listener pinned", 77)
        );
        let other = Ask {
            listener: Some("other"),
            ..ask(&user)
        };
        assert!(router.route(other, &NOBODY).await.is_err());
    }
}
