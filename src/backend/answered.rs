//! Hosts that a lookup service names by address: each becomes a backend of one host when it is first
//! named, with every default of the settings, and is kept for what is learned of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::config::{Endpoint, HostConfig, Target};
use super::{Backend, Config, Surroundings};
use crate::protocol::Failure;

/// Most hosts that are kept. A service that names more is not wrong: what was learned of the others is
/// learned anew.
const MOST: usize = 1024;

/// The hosts that were named.
pub struct Answered {
    /// By the source that named them and what it said.
    hosts: Mutex<Named>,
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
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(backend) = hosts.get(&key) {
            return Ok(backend.clone());
        }
        let config = Config::new(source.as_ref(), vec![host_of(endpoint, host, *port)]);
        let made = Backend::answered(config, self.around.clone());
        let backend = Arc::new(made.map_err(|cause| Failure::HostTls { cause })?);
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
