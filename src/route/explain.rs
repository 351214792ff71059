//! The whole decision for one name, in words: which entry, which login, what operators ordered, where
//! the user's sessions are, which hosts in which order.
//!
//! It asks the same router as a login does, so what it says is what happens. What is not in the
//! settings (orders, live sessions, health) is [`Known`] to whoever asks, or it is not.

mod hosts;
mod lookups;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Ask, Destination, How, Matched, Next, Router};
use crate::backend::HostNow;
use crate::backend::config::Config as Backend;
use crate::protocol::{Protocol, UserName};
use crate::state::orders::told_time;
use crate::state::{Lane, Orders, Pass, Place};

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

/// What is known beside the settings.
pub struct Known<'a> {
    /// What operators ordered.
    pub orders: &'a Orders,
    /// Where a user's live sessions are, if there are any and it is known.
    pub pinned: &'a dyn Fn(&Pass) -> Option<Place>,
    /// The hosts of a backend, as they are for clients of a protocol.
    pub hosts: &'a dyn Fn(&Backend, Protocol) -> Vec<HostNow>,
}

/// Explains a name.
pub fn explain(
    router: &Router,
    backends: &BTreeMap<String, Backend>,
    ask: Ask<'_>,
    known: &Known<'_>,
) -> Explanation {
    let decision = router.decide(ask);
    let mut told = Explanation::of(&decision.user);
    if decision.user != *ask.user {
        told.because(format!("`default_domain` was added to {}", ask.user));
    }
    let (owner, named) = decision.owners();
    let mut all = Facts {
        ask,
        backends,
        protocol: ask.protocol,
        known,
        pass: Pass {
            owner,
            named,
            moved: 0,
            lane: Lane::Whole,
        },
    };
    if decision.next == Next::Lookups {
        told.lookups(router, &decision.user, &mut all);
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
    if let Some(template) = template {
        told.because(format!(
            "the login is made by the entry's `{}`",
            template.as_str()
        ));
    }
    match decision.login {
        Ok(login) => {
            told.login = Some(login.to_string());
            told.way(name, fixed.as_deref(), &login, &mut all);
        }
        Err(reason) => {
            told.backend = Some(name.clone());
            told.because(format!("{reason}: the login fails"));
        }
    }
    told
}

/// What the steps of an explanation go by.
struct Facts<'a> {
    ask: Ask<'a>,
    backends: &'a BTreeMap<String, Backend>,
    protocol: Protocol,
    known: &'a Known<'a>,
    pass: Pass,
}

impl Explanation {
    /// Whether some entry matched.
    pub fn matched(&self) -> bool {
        self.entry.is_some()
    }

    /// Where no map is asked, and each listener (by its name) has a backend of its own.
    pub fn by_listeners(user: &UserName, listeners: &[(&str, &str)]) -> Self {
        let mut told = Explanation::of(user);
        told.because("each listener has a backend of its own, no map is asked");
        for (listener, backend) in listeners {
            told.because(format!(
                "the listener {listener} sends everybody to {backend}"
            ));
        }
        told
    }

    /// Of a name of which nothing is said yet.
    fn of(user: &UserName) -> Self {
        Explanation {
            user: user.to_string(),
            source: None,
            entry: None,
            line: None,
            login: None,
            backend: None,
            host: None,
            hosts: Vec::new(),
            reasons: Vec::new(),
        }
    }

    fn because(&mut self, reason: impl Into<String>) {
        self.reasons.push(reason.into());
    }

    /// From what the map says, by what operators ordered, to a host.
    fn way(&mut self, backend: &str, fixed: Option<&str>, login: &UserName, all: &mut Facts<'_>) {
        self.held(all);
        match self.moved(backend, all) {
            Some((backend, host)) => self.to(&backend, host.as_deref(), login, all),
            None => {
                if let Some(fixed) = fixed {
                    self.because(format!("the entry fixes the host: {fixed}"));
                }
                self.to(backend, fixed, login, all);
            }
        }
    }

    fn to(&mut self, backend: &str, fixed: Option<&str>, login: &UserName, all: &Facts<'_>) {
        self.backend = Some(backend.to_owned());
        match all.backends.get(backend) {
            Some(backend) => self.hosts_of(backend, login, fixed, all),
            None => self.because("the backend is not among the settings"),
        }
    }

    /// Whether logins of the user wait.
    fn held(&mut self, all: &Facts<'_>) {
        let hold = { all.known.orders }.held_by(&all.pass.owner, &all.pass.named);
        if let Some(hold) = hold {
            let since = told_time(hold.since);
            self.because(match hold.until {
                None => format!(
                    "an operator holds the user since {since}: logins wait, at most two minutes"
                ),
                Some(_) => "the user is being moved: logins wait until that is done".to_owned(),
            });
        }
    }

    /// Where an operator has moved the user.
    fn moved(&mut self, backend: &str, all: &mut Facts<'_>) -> Option<(String, Option<String>)> {
        let moved = all.known.orders.moved(&all.pass.owner, &all.pass.named);
        let (_, moved) = moved?;
        all.pass.moved = moved.version;
        all.pass.lane = Lane::Whole;
        let since = told_time(moved.since);
        self.because(match &moved.host {
            None => format!(
                "an operator moved the user to {} at {since}: {backend} is not asked",
                moved.backend
            ),
            Some(host) => format!(
                "an operator moved the user to {host} of {} at {since}: {backend} is not asked",
                moved.backend
            ),
        });
        Some((moved.backend.clone(), moved.host.clone()))
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
mod tests;
