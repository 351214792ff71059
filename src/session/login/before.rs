//! What is decided of an attempt before any host is asked: whether it is judged at all, where it goes
//! and what is shown there, and whether the password is right, where that is found out here.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;

use tokio::time::sleep;

use super::time::Cut;
use super::{Facts, Visit, told};
use crate::backend::{Awaited, Backend, Dialogue};
use crate::protocol::{Credentials, Failure, Login};
use crate::route;
use crate::route::lookup::{Certificate, VisitTls};
use crate::session::way::Way;
use crate::session::{Certificates, Session, limits};

impl Session<'_> {
    /// Where the login goes, if its user may have one session more.
    pub(super) async fn find(
        &self,
        login: &Login,
        visit: &Visit<'_>,
        facts: &mut Facts,
    ) -> Result<route::Route, Failure> {
        // Before anything is looked up: a client may say what it likes of its way, and is not to hear
        // from the answer whether the map has a name.
        if told::ttl(visit.told) == 0 {
            return Err(Failure::Loop);
        }
        let (tables, limits) = (&self.gateway.tables, &self.gateway.limits);
        let met = |limit| Failure::TooMany { limit };
        let typed = self.gateway.router.full_name(&login.user).canonical();
        let penalties = &tables.penalties;
        let whose = penalties.whose(&typed, self.ip());
        penalties.user(limits, whose, self.ip()).map_err(met)?;
        let ask = self.ask(login, visit);
        let seen = self.seen(login, visit);
        // A lookup service is shown the password, too: many guesses at once are not all for it.
        if self.gateway.router.asks_lookups(ask) {
            facts.tried = Some(self.admit(&typed, whose, login)?);
            self.stake_in_time(visit, facts).await?;
        }
        let route = {
            let route = pin!(self.gateway.router.route(ask, &seen));
            self.to_its_end(visit, route).await
        };
        let route = match route.map_err(|why| facts.cut(why))? {
            Err(Failure::NoRoute) => {
                if facts.tried.is_none() {
                    facts.tried = Some(self.admit(&typed, whose, login)?);
                }
                self.stake_in_time(visit, facts).await?;
                let nowhere = pin!(self.nowhere(login));
                let nowhere = self.to_its_end(visit, nowhere).await;
                return Err(nowhere.map_err(|why| facts.cut(why))?);
            }
            route => route?,
        };
        if let Some(half) = visit.near.gone() {
            return Err(facts.cut(Cut::Left(half)));
        }
        // Until a host is asked.
        facts.stake = None;
        facts.backend = Some(route.backend.clone());
        if matches!(login.credentials, Credentials::Scram(_)) && route.login != login.user {
            // The proof covers the name: with another one it would always be wrong.
            return Err(Failure::HostSetup {
                cause: "SCRAM cannot log in under another name".into(),
            });
        }
        let canonical = route.login.canonical();
        if canonical != typed {
            facts.typed = facts.tried.take();
            let whose = penalties.whose(&canonical, self.ip());
            facts.tried = Some(self.admit(&canonical, whose, login)?);
        } else if facts.tried.is_none() {
            facts.tried = Some(self.admit(&canonical, whose, login)?);
        }
        // Judged before the password, so that it tells nothing about it.
        self.room_for(&canonical).await?;
        Ok(route)
    }

    /// Whether this user's logins from here are still judged.
    fn admit(
        &self,
        canonical: &str,
        whose: limits::Whose,
        login: &Login,
    ) -> Result<limits::Try, Failure> {
        let (penalties, limits) = (&self.gateway.tables.penalties, &self.gateway.limits);
        penalties
            .admit(limits, canonical, whose, self.ip(), &login.credentials)
            .map_err(|limit| Failure::TooMany { limit })
    }

    /// What decides the way.
    fn ask<'a>(&'a self, login: &'a Login, visit: &'a Visit) -> route::Ask<'a> {
        let tls = visit.tls.as_ref();
        route::Ask {
            user: &login.user,
            protocol: self.front.protocol,
            listener: Some(&self.front.name),
            server_name: tls.and_then(|tls| tls.server_name.as_deref()),
        }
    }

    /// The visit as sources of the map see it that are asked over the network.
    fn seen<'a>(&'a self, login: &'a Login, visit: &'a Visit) -> route::Visit<'a> {
        let tls = visit.tls.as_ref().map(|tls| VisitTls {
            facts: tls.facts,
            certificate: match (&tls.certificate, self.front.certificates) {
                (Some(shown), _) => Certificate::Verified(shown),
                (None, Certificates::Asked) => Certificate::None,
                (None, Certificates::NotAsked) => Certificate::NotAsked,
            },
        });
        route::Visit {
            credentials: &login.credentials,
            client: self.ip(),
            attempt: visit.attempt,
            session: &self.live.id,
            tls,
        }
    }

    /// The backend that the way leads to, and what it is shown.
    pub(super) fn target<'a>(
        &self,
        login: &'a Login,
        route: &route::Route,
        way: &Way,
    ) -> Result<(Arc<Backend>, Cow<'a, Credentials>), Failure> {
        // What a lookup service gave takes the place of what it was given.
        let credentials = match (&route.password, &login.credentials) {
            (Some(_), Credentials::Scram(_)) => {
                return Err(Failure::HostSetup {
                    cause: "a lookup service gave a password for SCRAM, which it cannot check"
                        .into(),
                });
            }
            (Some(given), _) => Cow::Owned(Credentials::Password(given.clone())),
            (None, shown) => Cow::Borrowed(shown),
        };
        let backend = &way.backend;
        let target = match &way.server {
            Some(server) => {
                let endpoint = server.endpoint(self.front.protocol);
                let source = Arc::from(backend.as_str());
                self.gateway.answered.get(&source, &endpoint)?
            }
            None => {
                let found = self.gateway.backends.get(backend).cloned();
                found.ok_or_else(|| Failure::HostSetup {
                    cause: format!("no backend {backend:?}"),
                })?
            }
        };
        Ok((target, credentials))
    }

    /// Whether the client is who it says, where that is ours to find out. Nothing is shown to a host
    /// before. Done once, however often the login's way changes, unless the passwords do.
    pub(super) async fn authenticate(
        &self,
        login: &Login,
        target: &Backend,
        facts: &mut Facts,
        client: &mut dyn Dialogue,
    ) -> Result<(), Failure> {
        match (&login.credentials, &self.gateway.authenticate) {
            // The certificate was verified in the handshake, and the name is the one in it.
            (Credentials::Certificate, _) => Ok(()),
            (Credentials::Password(password), Some(authenticator)) => {
                let stands = |it| authenticator.stands(it);
                if !facts.verified.as_ref().is_some_and(stands) {
                    self.stake(facts).await?;
                    let name = self.gateway.router.full_name(&login.user);
                    // To its end, as strangers' passwords are, which are checked in vain.
                    client.awaits(Awaited::Judge);
                    let checked = authenticator.check(&name, password).await;
                    client.awaits(Awaited::Turn);
                    facts.verified = Some(checked?);
                    facts.stake = None;
                }
                Ok(())
            }
            // Nothing here can tell whether these are good, and a host that lets a master in would
            // not ask. They are not offered either.
            (shown @ (Credentials::Token(_) | Credentials::Scram(_)), Some(_)) => {
                let cause = "authenticate.passwords can check nothing but passwords".into();
                Err(shown.not_taken(cause))
            }
            // Such settings are refused at start; a second look costs nothing.
            (_, None) if target.config().login_as.is_some() => Err(Failure::HostSetup {
                cause: "login_as, and nothing that checks passwords".into(),
            }),
            (_, None) => Ok(()),
        }
    }

    /// No entry of the map: found out as late as a wrong password, or others that wait for what comes of it
    /// could tell.
    async fn nowhere(&self, login: &Login) -> Failure {
        if let (Some(password), Some(authenticator)) =
            (login.credentials.secret(), &self.gateway.authenticate)
        {
            let name = self.gateway.router.full_name(&login.user);
            return authenticator.check_in_vain(&name, password).await;
        }
        sleep(self.gateway.tables.refusal()).await;
        Failure::NoRoute
    }
}
