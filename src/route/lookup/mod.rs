//! A lookup service: `users_from: - http:`. It is asked by nginx's `auth_http` for every login that no
//! entry of the map decides, and says where the login goes, or no.
//!
//! [`Lookup`] is the story: what is still fresh is not asked for; the same question at the same time is
//! asked once (`flight`); the answer is read strictly (`answer`), and remembered (`known`) for when the
//! service is away: then a user goes where it was last said, or is told to come again, but never to
//! the default. The question's words are in `request`, the connections in `wire`.
//!
//! What a service says are octets of a stranger: the lints of `protocol` hold here, too.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::panic,
        clippy::unreachable
    )
)]

pub mod answer;
mod flight;
mod known;
mod request;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem;
use tokio::time::{Instant, sleep};

pub use answer::Server;
pub use request::{Certificate, Visit, VisitTls, own_header};

use self::answer::{Answer, To, Verdict};
use self::flight::Flights;
use self::known::{Digester, Known, Proof};
use self::wire::Wire;
use super::Route;
use super::config::{Entry, Place};
use crate::backend::config::{Endpoint, Target};
use crate::protocol::login::WITHHELD;
use crate::protocol::{Credentials, Failure, Protocol, Secret, UserName};
use crate::state::Owner;

/// How long a service may let a login wait by `Auth-Status: WAIT`, all waits together.
const MAX_WAITING: Duration = Duration::from_secs(30);

/// A source of the map that is asked over HTTP, as meant.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Where it is asked, in turn; at least one, each with a host.
    pub urls: Vec<Uri>,
    /// Longest wait for an answer of one URL.
    pub timeout: Duration,
    /// How long an answer is used again.
    pub cache: Duration,
    /// Sent with each question. They may hold a key: never shown.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The backends an answer may name.
    pub backends: BTreeSet<String>,
    /// Where it stands.
    pub place: Place,
}

impl Config {
    /// What it is called in logs and metrics: its first URL without the query.
    pub fn name(&self) -> String {
        self.urls.first().map(shown).unwrap_or_default()
    }

    /// Whether it is the same service, asked in the same way: what one has said holds for the other.
    pub fn is_same(&self, other: &Config) -> bool {
        self.urls == other.urls && self.headers == other.headers
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("lookup::Config")
            .field("urls", &self.urls.iter().map(shown).collect::<Vec<_>>())
            .field("timeout", &self.timeout)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// A lookup service.
pub struct Lookup {
    config: Config,
    name: Arc<str>,
    wire: Wire,
    known: Arc<Known>,
    digester: Arc<Digester>,
    flights: Flights<Result<Verdict, String>>,
}

/// Where a service sends a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// A backend of the settings, or a server of the answer's own.
    pub to: Destination,
    /// The name to log in with, where it is another one.
    pub user: Option<UserName>,
    /// The password to log in with, instead of what the client showed.
    pub password: Option<Secret>,
}

/// What an answer names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A backend of the settings.
    Backend(String),
    /// A server.
    Server(Server),
}

impl Lookup {
    /// Makes one; nothing is asked yet.
    pub fn new(config: Config) -> Self {
        Lookup {
            name: config.name().into(),
            wire: Wire::new(&config.urls, config.timeout),
            known: Arc::default(),
            digester: Arc::new(Digester::new()),
            flights: Flights::default(),
            config,
        }
    }

    /// Makes one that goes on with what another knows.
    pub fn after(config: Config, old: &Lookup) -> Self {
        Lookup {
            known: old.known.clone(),
            digester: old.digester.clone(),
            ..Lookup::new(config)
        }
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it is called in logs and metrics.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where a login goes; none: the service leaves that to the next source, or to the default.
    ///
    /// # Errors
    /// [`Failure::Declined`], and [`Failure::MapUnavailable`] where there is no answer and no last
    /// known one.
    pub async fn ask(
        &self,
        user: &UserName,
        protocol: Protocol,
        visit: &Visit<'_>,
    ) -> Result<Option<Sent>, Failure> {
        let proof = self.digester.proof(visit);
        let cache = self.config.cache;
        let fresh = self.known.fresh(user, protocol, &proof, cache);
        if let Some(answer) = fresh.filter(|answer| self.can(answer)) {
            return Ok(sent(answer));
        }
        match self.verdict(user, protocol, visit, proof).await {
            Ok(Verdict::Go(answer)) => Ok(sent(answer)),
            Ok(Verdict::No { text, code, wait }) => Err(Failure::Declined { text, code, wait }),
            Ok(Verdict::Wait(_)) => Err(Failure::MapUnavailable {
                cause: format!("{} let the login wait for too long", self.name),
            }),
            Err(cause) => match self.last(user, protocol, &proof) {
                Some(answer) => {
                    tracing::warn!(event = "lookup_failed", source = %self.name, user = %user, session = visit.session, %cause, used = "last known route");
                    Ok(sent(answer))
                }
                None => {
                    tracing::warn!(event = "lookup_failed", source = %self.name, user = %user, session = visit.session, %cause);
                    Err(Failure::MapUnavailable { cause })
                }
            },
        }
    }

    /// The last answer about a user, for explaining: whoever asks is not logged in by it.
    pub fn last_known(&self, user: &UserName, protocol: Protocol) -> Option<Sent> {
        let answer = self.known.told(user, protocol);
        answer.filter(|answer| self.can(answer)).and_then(sent)
    }

    fn last(&self, user: &UserName, protocol: Protocol, proof: &Proof) -> Option<Answer> {
        let answer = self.known.last(user, protocol, proof);
        answer.filter(|answer| self.can(answer))
    }

    /// Whether an answer can still be followed: the settings may have changed since.
    fn can(&self, answer: &Answer) -> bool {
        match &answer.to {
            To::Backend(name) => self.config.backends.contains(name),
            To::Server(_) | To::Next => true,
        }
    }

    /// Asks, and asks again as long as the service says to wait.
    async fn verdict(
        &self,
        user: &UserName,
        protocol: Protocol,
        visit: &Visit<'_>,
        proof: Proof,
    ) -> Result<Verdict, String> {
        let mut question = request::headers(user, protocol, visit)?;
        question.extend(self.config.headers.iter().cloned());
        let parts = question
            .iter()
            .flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]);
        let key = self.digester.of(parts);
        let begun = Instant::now();
        loop {
            let asked = self.flights.join(key, async {
                let (status, headers) = self.wire.ask(&question).await?;
                let known = |name: &str| self.config.backends.contains(name);
                let mut verdict =
                    answer::read(status, &headers, &known).map_err(
                        |cause| match is_repeated_by(visit.credentials, &headers) {
                            true => format!("{}: {WITHHELD}", self.name),
                            false => format!("{}: {cause}", self.name),
                        },
                    )?;
                match &mut verdict {
                    Verdict::Go(answer) => {
                        self.known.keep(user, protocol, answer, proof);
                    }
                    Verdict::No { text, .. } => {
                        let said = headers.get("auth-status").map(HeaderValue::as_bytes);
                        if said.is_some_and(|said| is_repeated(visit.credentials, said)) {
                            *text = WITHHELD.into();
                        }
                        self.known.declined(user, protocol, &proof);
                    }
                    Verdict::Wait(_) => {}
                }
                Ok(verdict)
            });
            let verdict = asked.await?;
            let Verdict::Wait(seconds) = verdict else {
                return Ok(verdict);
            };
            let wait = Duration::from_secs(seconds.into());
            if begun.elapsed().saturating_add(wait) > MAX_WAITING {
                return Ok(verdict);
            }
            sleep(wait).await;
        }
    }
}

impl Sent {
    /// The answer as a route: the entry it comes from is the source.
    pub(super) fn route(self, lookup: &Lookup, user: UserName, owners: (Owner, Owner)) -> Route {
        let (backend, server) = match self.to {
            Destination::Backend(name) => (name, None),
            Destination::Server(server) => (lookup.name.to_string(), Some(server)),
        };
        Route {
            login: self.user.unwrap_or(user),
            host: None,
            entry: Arc::new(Entry {
                key: lookup.name.to_string(),
                to: super::Destination::backend(backend.as_str()),
                place: lookup.config.place.clone(),
            }),
            backend,
            server,
            password: self.password,
            owners,
        }
    }
}

impl Server {
    /// What it is called: `10.0.0.5:143`, `[::1]:993`.
    pub fn name(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// The endpoint it is for a client of this protocol.
    pub fn endpoint(&self, protocol: Protocol) -> Endpoint {
        Endpoint {
            protocol,
            security: self.security,
            target: Target::Network {
                host: self.host.clone(),
                port: self.port,
            },
        }
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

/// Whether a service's words hold the proof that it was asked about, as it is or as it was sent.
fn is_repeated(credentials: &Credentials, words: &[u8]) -> bool {
    let sent = request::escaped(credentials.proof());
    credentials.is_repeated_by(words) || !sent.is_empty() && memmem::find(words, &sent).is_some()
}

/// Whether what is told of an answer may hold it: a part of it, too, since long words are cut. `Auth-Pass`
/// holds it as a rule, and is never told.
fn is_repeated_by(credentials: &Credentials, answer: &HeaderMap) -> bool {
    let mut told = answer.iter().filter(|(name, _)| *name != "auth-pass");
    told.any(|(_, value)| is_repeated(credentials, value.as_bytes()))
}

fn sent(answer: Answer) -> Option<Sent> {
    Some(Sent {
        to: match answer.to {
            To::Next => return None,
            To::Backend(name) => Destination::Backend(name),
            To::Server(server) => Destination::Server(server),
        },
        user: answer.user,
        password: answer.password,
    })
}

/// A URL without its query, which may hold a key.
fn shown(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("http");
    let authority = uri.authority().map_or("", |it| it.as_str());
    format!("{scheme}://{authority}{}", uri.path())
}
