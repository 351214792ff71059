//! Looks at each endpoint of each host between the logins: connect, TLS, greeting, capabilities, and
//! a login where the settings name an account for it.
//!
//! A look is a visit like a login's and teaches the same: what a host can do is known before the
//! first user comes. A host that is well is seen once in an `interval`; one in doubt, or down, at
//! most twice a second, so that its users are answered soon either way. Times vary by a tenth, so
//! that replicas do not knock in step. Nothing here is logged as a login.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::attempt::{starttls, unpredictable};
use super::config::{Endpoint, Health};
use super::health::{By, PAUSE, Pace};
use super::{Backend, Host};
use crate::net::Stream;
use crate::protocol::{Code, Credentials, Failure, HostLogin, Protocol, READ_CHUNK, UserName};

/// Longest wait for a host to close after it was told that nothing more is wanted.
const LEAVING: Duration = Duration::from_secs(1);

/// How far times vary, as a part of them.
const JITTER: u32 = 10;

impl Backend {
    /// Watches a host's endpoints, until told otherwise or the backend ends.
    pub(super) fn watch(self: &Arc<Self>, host: &Arc<Host>) {
        let Some(settings) = &self.config.health else {
            return;
        };
        let mut beside = self.beside();
        while beside.tasks.try_join_next().is_some() {}
        for protocol in Protocol::ALL {
            if host.config.endpoint(protocol).is_some() {
                let (backend, host) = (Arc::downgrade(self), host.clone());
                let name = host.name().to_owned();
                let watching = watch(backend, host, protocol, settings.clone());
                let handle = beside.tasks.spawn(watching);
                beside.watches.entry(name).or_default().push(handle);
            }
        }
    }

    /// Lets a host that left alone.
    pub(super) fn unwatch(&self, host: &Host) {
        let watches = self.beside().watches.remove(host.name());
        watches.into_iter().flatten().for_each(|it| it.abort());
    }

    /// One look at an endpoint, and what it means.
    async fn probe(&self, host: &Arc<Host>, endpoint: &Endpoint, settings: &Health) {
        let protocol = endpoint.protocol;
        let looked = self.look(host, endpoint, settings).await;
        let (change, failure) = match looked {
            Ok(()) => (host.reached(protocol, By::Probe), None),
            Err(why) => (host.not_reached(protocol, By::Probe, &why), Some(why)),
        };
        if let Some(why) = &failure {
            let (backend, host) = (self.name(), host.name());
            tracing::debug!(event = "probe", backend, host, protocol = protocol.as_str(), failure = %why);
        }
        self.report(host, protocol, change, failure.as_ref());
    }

    async fn look(
        &self,
        host: &Arc<Host>,
        endpoint: &Endpoint,
        settings: &Health,
    ) -> Result<(), Failure> {
        let login = login(endpoint, settings)?;
        // A host with no turn free is being logged in to: better evidence than the test account.
        let turn = login.as_ref().and_then(|_| host.gate.try_turn());
        let login = login.filter(|_| turn.is_some());
        let visited = self.look_at(host, endpoint, login, settings.timeout).await;
        match (visited, turn) {
            (Ok(played), turn) => {
                if turn.is_some() {
                    self.account_accepted(host);
                }
                leave(played.stream, endpoint.protocol).await;
                Ok(())
            }
            (
                Err(
                    why @ Failure::Refused {
                        code: Code::AuthenticationFailed | Code::AuthorizationFailed | Code::Expired,
                        ..
                    },
                ),
                Some(_),
            ) => self.account_refused(host, why),
            (Err(why), _) => Err(why),
        }
    }

    fn account_accepted(&self, host: &Host) {
        let mut test = host.test_login.lock();
        let test = test.as_mut().unwrap_or_else(|poisoned| poisoned.get_mut());
        test.accepted = Some(Instant::now());
        test.refused = None;
    }

    /// A host calls the test account's password wrong. That is the host's fault only if another one
    /// still takes it: else the account was changed, and no host is to blame.
    fn account_refused(&self, host: &Host, why: Failure) -> Result<(), Failure> {
        let since = {
            let mut test = host
                .test_login
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let known = test.refused.is_some();
            let since = *test.refused.get_or_insert_with(Instant::now);
            if !known {
                let (backend, host) = (self.name(), host.name());
                tracing::warn!(
                    target: "gatepost", event = "health_login_refused", backend, host, failure = %why
                );
            }
            since
        };
        let mut elsewhere = false;
        for other in self
            .hosts
            .load()
            .iter()
            .filter(|it| it.name() != host.name())
        {
            let test = *other
                .test_login
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            match test.accepted {
                Some(at) if at > since => elsewhere = true,
                // What it says now is what counts.
                Some(_) if test.refused.is_none() => {
                    Protocol::ALL.iter().for_each(|it| other.health.doubt(*it));
                }
                _ => {}
            }
        }
        match elsewhere {
            true => Err(why),
            false => Ok(()),
        }
    }
}

/// Looks at one endpoint again and again.
async fn watch(backend: Weak<Backend>, host: Arc<Host>, protocol: Protocol, settings: Health) {
    let Some(endpoint) = host.config.endpoint(protocol) else {
        return;
    };
    let health = &host.health;
    let _probed = health.probed(protocol);
    loop {
        {
            let Some(backend) = backend.upgrade() else {
                return;
            };
            backend.probe(&host, endpoint, &settings).await;
        }
        let soon = Instant::now() + varied(PAUSE * 9 / 8);
        if health.pace(protocol) == Pace::Calm {
            tokio::select! {
                () = sleep(varied(settings.interval)) => continue,
                () = health.doubted(protocol) => {}
            }
        }
        tokio::time::sleep_until(soon).await;
    }
}

/// The test account's login, if there is one.
pub(super) fn login(endpoint: &Endpoint, settings: &Health) -> Result<Option<HostLogin>, Failure> {
    let Some((user, password)) = &settings.login else {
        return Ok(None);
    };
    let user = UserName::new(user.as_bytes()).map_err(|_| Failure::HostSetup {
        cause: "the user of health.login cannot be a name".into(),
    })?;
    Ok(Some(HostLogin {
        user,
        credentials: Credentials::Password(password.clone()),
        starttls: starttls(endpoint),
        seed: unpredictable(),
        origin: None,
        behind: Vec::new(),
    }))
}

/// Says goodbye and lets the host close, so that it need not call the connection lost.
pub(super) async fn leave(mut stream: Stream, protocol: Protocol) {
    let leave = async {
        stream.write_all(protocol.leave()).await?;
        stream.flush().await?;
        let mut chunk = vec![0; READ_CHUNK];
        while stream.read(&mut chunk).await? > 0 {}
        std::io::Result::Ok(())
    };
    // It was well; how it closes says nothing about that.
    let _ = timeout(LEAVING, leave).await;
}

/// A time, a tenth less to a tenth more.
pub(super) fn varied(time: Duration) -> Duration {
    let tenth = time / JITTER;
    let random = u32::try_from(unpredictable() >> 108).unwrap_or_default();
    time - tenth + (tenth * 2).mul_f64(f64::from(random) / f64::from(1_u32 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_vary_by_a_tenth() {
        let second = Duration::from_secs(1);
        let drawn: Vec<Duration> = (0..1000).map(|_| varied(second)).collect();
        let (least, most) = (*drawn.iter().min().unwrap(), *drawn.iter().max().unwrap());
        assert!(
            least >= second * 9 / 10 && least < second * 92 / 100,
            "{least:?}"
        );
        assert!(
            most <= second * 11 / 10 && most > second * 108 / 100,
            "{most:?}"
        );
    }
}
