//! Hosts that a lookup service names by address: each becomes a backend of one host when it is first
//! named, with every default of the settings, and is kept for what is learned of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::config::{Endpoint, HostConfig, Target, TlsConfig};
use super::tls::{HostTls, Verifier};
use super::{Backend, Config, Surroundings};
use crate::protocol::Failure;

/// Most hosts that are kept. A service that names more is not wrong: what was learned of the others is
/// learned anew.
const MOST: usize = 1024;

/// The hosts that were named.
pub struct Answered {
    /// By the source that named them and what it said.
    hosts: Mutex<Named>,
    /// Whom they are believed by: read when the first one is named that speaks TLS.
    verifier: OnceLock<Arc<Verifier>>,
    around: Surroundings,
}

type Named = HashMap<(Arc<str>, Key), Arc<Backend>>;

type Key = (
    crate::protocol::Protocol,
    super::config::Security,
    String,
    u16,
);

impl Answered {
    /// None yet.
    pub fn new(around: Surroundings) -> Self {
        Answered {
            hosts: Mutex::default(),
            verifier: OnceLock::new(),
            around,
        }
    }

    /// The backend that an endpoint is. `source` names it in metrics, where all that a service names is
    /// one host: names of the settings are bounded, what a service says is not.
    ///
    /// # Errors
    /// [`Failure::HostTls`] where there are no roots to verify it by.
    pub fn get(&self, source: &Arc<str>, endpoint: &Endpoint) -> Result<Arc<Backend>, Failure> {
        let Target::Network { host, port } = &endpoint.target else {
            let cause = "a lookup service cannot name the built-in store".into();
            return Err(Failure::HostSetup { cause });
        };
        let key = (endpoint.protocol, endpoint.security, host.clone(), *port);
        let key = (source.clone(), key);
        if let Some(backend) = self.lock().get(&key) {
            return Ok(backend.clone());
        }
        // Made without the lock: where files are read for it, only this login waits.
        let backend = self.make(source, host_of(endpoint, host, *port))?;
        let mut hosts = self.lock();
        if let Some(backend) = hosts.get(&key) {
            return Ok(backend.clone());
        }
        if hosts.len() >= MOST {
            // Those that serve nobody at the moment; all of them, where every one does.
            hosts.retain(|_, backend| Arc::strong_count(backend) > 1);
            if hosts.len() >= MOST {
                hosts.clear();
            }
        }
        hosts.insert(key, backend.clone());
        Ok(backend)
    }

    fn make(&self, source: &str, host: HostConfig) -> Result<Arc<Backend>, Failure> {
        let unfit = |cause| Failure::HostTls { cause };
        let config = Config::new(source, vec![host]);
        let tls = match config.uses_tls() {
            true => Some(Arc::new(self.tls(&config.tls).map_err(unfit)?)),
            false => None,
        };
        let made = Backend::answered(config, self.around.clone(), tls);
        Ok(Arc::new(made))
    }

    /// What the settings of each of them mean: they are the same, the defaults.
    fn tls(&self, settings: &TlsConfig) -> Result<HostTls, String> {
        let made = match self.verifier.get() {
            Some(verifier) => HostTls::verified(settings, verifier.clone()),
            None => HostTls::new(settings),
        };
        let made = made.map_err(String::from)?;
        // Where two were the first, one of theirs stays.
        let kept = self.verifier.get_or_init(|| made.verifier().clone());
        match Arc::ptr_eq(kept, made.verifier()) {
            true => Ok(made),
            false => HostTls::verified(settings, kept.clone()).map_err(String::from),
        }
    }

    /// A panic elsewhere leaves the table whole.
    fn lock(&self) -> MutexGuard<'_, Named> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn host_of(endpoint: &Endpoint, host: &str, port: u16) -> HostConfig {
    use crate::protocol::Protocol::{Imap, Pop3};
    let shown = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let is = |protocol| (endpoint.protocol == protocol).then(|| endpoint.clone());
    HostConfig {
        name: shown,
        imap: is(Imap),
        pop3: is(Pop3),
        weight: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::config::Security;
    use crate::backend::health::By;
    use crate::observe::metrics::tests::exposed;
    use crate::protocol::Protocol;

    fn endpoint(host: &str, port: u16) -> Endpoint {
        Endpoint {
            protocol: Protocol::Imap,
            security: Security::Clear,
            target: Target::Network {
                host: host.into(),
                port,
            },
        }
    }

    #[test]
    fn however_many_hosts_are_named_their_series_are_few() {
        let lines = exposed(|| {
            let answered = Answered::new(Surroundings::default());
            for port in 1..=2000 {
                let named = answered.get(&"http://lookup/auth".into(), &endpoint("10.0.0.1", port));
                let host = named.unwrap().hosts()[0].clone();
                let why = Failure::TimedOut { state: "connect" };
                let _ = host.not_reached(Protocol::Imap, By::Login, &why);
                drop(host.metrics.session());
            }
        });
        let of = |name: &str| lines.iter().filter(|line| line.starts_with(name)).count();
        assert_eq!(of("gatepost_host_up{"), 0);
        assert_eq!(of("gatepost_host_sessions{"), 1);
        let all =
            r#"gatepost_host_logins_total{backend="http://lookup/auth",host="answered"} 2000"#;
        assert!(lines.iter().any(|line| line == all), "{lines:#?}");
    }

    #[test]
    fn what_is_believed_is_read_once_for_all() {
        let answered = Answered::new(Surroundings::default());
        let get = |source: &str, port, security| {
            let endpoint = Endpoint {
                security,
                ..endpoint("host.example", port)
            };
            answered.get(&source.into(), &endpoint)
        };
        let all = [
            get("http://lookup/auth", 993, Security::Implicit),
            get("http://lookup/auth", 143, Security::StartTls),
            get("http://other/auth", 993, Security::Implicit),
        ];
        let [first, others @ ..] = &all;
        for other in others {
            match (first, other) {
                (Ok(one), Ok(other)) => {
                    let [one, other] = [one, other].map(|it| it.tls.as_ref().unwrap().verifier());
                    assert!(Arc::ptr_eq(one, other));
                }
                // A system without roots.
                (one, other) => {
                    let [one, other] = [one, other].map(|it| it.as_ref().err());
                    assert!(matches!(one, Some(Failure::HostTls { .. })));
                    assert_eq!(one, other);
                }
            }
        }
    }

    #[test]
    fn an_endpoint_is_one_backend_however_often_it_is_named() {
        let answered = Answered::new(Surroundings::default());
        let source: Arc<str> = "http://lookup/auth".into();
        let get = |host: &str, port| answered.get(&source, &endpoint(host, port)).unwrap();
        let first = get("::1", 143);
        assert!(Arc::ptr_eq(&first, &get("::1", 143)));
        assert_eq!(first.name(), "http://lookup/auth");
        assert_eq!(first.hosts()[0].name(), "[::1]:143");
        for port in 1..2000 {
            get("10.0.0.1", port);
            assert!(answered.hosts.lock().unwrap().len() <= MOST);
        }
        assert!(Arc::ptr_eq(&first, &get("::1", 143)), "it was in use");
    }
}
