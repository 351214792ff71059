//! Who goes where: the users map and the answer it gives.
//!
//! A [`Router`] is asked once for each login, before any host is. It knows names of backends, not
//! their hosts. [`explain`](explain::explain) says the same in words.

pub mod config;
pub mod explain;
mod index;
mod leads;
pub mod lookup;
mod pins;
pub mod rule;
pub mod table;

use std::sync::Arc;

pub use config::{Config, Destination, Entry, Place};
pub use leads::Lead;
pub use lookup::{Lookup, Server, Visit};
pub use pins::Pin;
pub use rule::Template;
pub use table::{Found, How, Map};

use crate::protocol::{Failure, Protocol, Secret, UserName};
use crate::state::Owner;
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
    /// Who that is to the state, and by the name that was typed: as [`Decision::owners`] has them.
    pub owners: (Owner, Owner),
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

impl<'a> Ask<'a> {
    /// Of a user who came in by no listener in particular and asked for no server by name.
    pub fn of(user: &'a UserName, protocol: Protocol) -> Ask<'a> {
        Ask {
            user,
            protocol,
            listener: None,
            server_name: None,
        }
    }
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

impl Decision {
    /// Who logs in so, to the state: the user behind the login, and by the name that was typed.
    pub fn owners(&self) -> (Owner, Owner) {
        let named = Owner::named(&self.user);
        let owner = match (self.next, &self.matched, &self.login) {
            // What a service answers may change: the typed name does not.
            (Next::Lookups, ..) => named.clone(),
            (Next::Decided, Some((entry, matched)), Ok(login)) => match &entry.to {
                Destination::Backend { backend, .. } => {
                    let owner = Owner::new(backend, login);
                    if matches!(matched, Matched::Listener | Matched::ServerName) {
                        // The map does not name it: what is ordered for a name of the map is not for this.
                        return (owner.clone(), owner);
                    }
                    owner
                }
                Destination::Reject(_) => named.clone(),
            },
            (Next::Decided, ..) => named.clone(),
        };
        (owner, named)
    }
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
        let all = self.pins.of_listener(listener).map(|entry| entry.to.lead());
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
            Some(Lead::Backend {
                backend,
                login: None,
                ..
            }) if as_typed => Reach::AsTyped(backend),
            Some(Lead::Backend { backend, .. }) => Reach::Backend(backend),
            Some(Lead::Reject(_)) | None => Reach::Any,
        }
    }

    /// Where a login goes. Fails with [`Failure::NoRoute`] where no entry matches (told as a wrong
    /// password), with [`Failure::NotAllowed`] where the entry rejects; where a lookup service is
    /// asked, with [`Failure::Declined`] and [`Failure::MapUnavailable`].
    pub async fn route(&self, ask: Ask<'_>, visit: &Visit<'_>) -> Result<Route, Failure> {
        let mut decision = self.decide(ask);
        let owners = decision.owners();
        if decision.next == Next::Lookups {
            for lookup in &self.lookups {
                let sent = lookup.ask(&decision.user, ask.protocol, visit).await?;
                if let Some(sent) = sent {
                    return Ok(sent.route(lookup, decision.user, owners));
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
                    owners,
                }),
                Err(reason) => {
                    tracing::warn!(user = %ask.user, entry = %entry.key, line = entry.place.line, %reason, session = visit.session, "no usable login");
                    Err(Failure::NoRoute)
                }
            },
        }
    }

    /// Whether lookup services are asked for a login's way: they are shown its password.
    pub fn asks_lookups(&self, ask: Ask<'_>) -> bool {
        !self.lookups.is_empty() && self.decide(ask).next == Next::Lookups
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
mod tests;
