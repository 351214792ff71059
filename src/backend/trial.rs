//! One look at each endpoint of a backend, for who asks before anybody logs in: `gatepost check --connect`.
//!
//! A look is a probe's: connect, TLS, greeting, capabilities, and a login where the settings name an
//! account for it. It teaches nothing and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::config::{Endpoint, Security, Target};
use super::discover::{self, Lookup};
use super::names::Names;
use super::probe::{leave, login};
use super::{Backend, Host};
use crate::protocol::{Failure, Protocol};

/// Looks at a time.
const AT_ONCE: usize = 32;

/// How long the name server may take to say which hosts there are.
const NAMES: Duration = Duration::from_secs(5);

/// Most characters of a greeting.
const GREETING: usize = 120;

/// What came of one look.
#[derive(Debug)]
pub struct Tried {
    /// The host's name; the name that stands for hosts where none was found.
    pub host: String,
    /// Its endpoint as a URL.
    pub endpoint: String,
    /// What it says it is, or why it cannot be used.
    pub found: Result<String, Failure>,
    /// How long that took.
    pub took: Duration,
}

impl Backend {
    /// Looks once at each endpoint of each host, in the order of the settings. To be called within a
    /// runtime, on a backend that was not started.
    pub async fn try_each(self: &Arc<Self>, names: Arc<dyn Lookup>) -> Vec<Tried> {
        let begun = Instant::now();
        let hosts = match &self.config.discover {
            None => self.hosts().to_vec(),
            Some(settings) => {
                let late = |_| Err("the name server does not answer".to_owned());
                let found = timeout(NAMES, discover::find(settings, &*names)).await;
                let found = match found.unwrap_or_else(late) {
                    Ok(found) if found.is_empty() => Err("there are no such records".to_owned()),
                    found => found,
                };
                let _ = self.names.set(Arc::new(Names::new(names)));
                match found {
                    Ok(found) => { found.into_iter() }
                        .map(|host| Arc::new(Host::new(host, &self.config)))
                        .collect(),
                    Err(why) => {
                        let target = Target::Network {
                            host: settings.name.clone(),
                            port: settings.port,
                        };
                        let cause = format!("its hosts were not found: {why}");
                        return vec![Tried {
                            host: settings.name.clone(),
                            endpoint: url(settings.protocol, settings.security, &target),
                            found: Err(Failure::Unreachable { cause }),
                            took: begun.elapsed(),
                        }];
                    }
                }
            }
        };
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut looks = JoinSet::new();
        for (number, (host, protocol)) in { hosts.iter() }
            .flat_map(|host| Protocol::ALL.map(|protocol| (host, protocol)))
            .enumerate()
        {
            let Some(endpoint) = host.config.endpoint(protocol).cloned() else {
                continue;
            };
            let (backend, host, turns) = (self.clone(), host.clone(), turns.clone());
            looks.spawn(async move {
                let _turn = turns.acquire_owned().await;
                let begun = Instant::now();
                let found = backend.try_one(&host, &endpoint).await;
                let tried = Tried {
                    host: host.name().to_owned(),
                    endpoint: url(endpoint.protocol, endpoint.security, &endpoint.target),
                    found,
                    took: begun.elapsed(),
                };
                (number, tried)
            });
        }
        let mut tried = looks.join_all().await;
        tried.sort_by_key(|(number, _)| *number);
        tried.into_iter().map(|(_, tried)| tried).collect()
    }

    async fn try_one(&self, host: &Host, endpoint: &Endpoint) -> Result<String, Failure> {
        let settings = self.config.health.clone().unwrap_or_default();
        let login = login(endpoint, &settings)?;
        let looked = self.look_at(host, endpoint, login, settings.timeout).await;
        let played = looked?;
        leave(played.stream, endpoint.protocol).await;
        Ok(said(&host.known.greeting(endpoint.protocol)))
    }
}

/// The text of a greeting, without the sign before it and the code in brackets, fit for a terminal.
fn said(greeting: &[u8]) -> String {
    let text = String::from_utf8_lossy(greeting);
    let text = text.trim();
    let text = ["* OK", "* PREAUTH", "+OK"]
        .iter()
        .find_map(|sign| text.strip_prefix(sign))
        .unwrap_or(text)
        .trim_start();
    let text = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, behind)) => behind.trim_start(),
        None => text,
    };
    let plain = text.chars().map(|c| if c.is_control() { '?' } else { c });
    plain.take(GREETING).collect()
}

/// `imap+starttls://10.0.1.2:143`
fn url(protocol: Protocol, security: Security, target: &Target) -> String {
    let Target::Network { host, port } = target else {
        return "demo://".to_owned();
    };
    let scheme = match security {
        Security::Clear => protocol.as_str().to_owned(),
        Security::StartTls => format!("{protocol}+starttls"),
        Security::Implicit => format!("{protocol}s"),
    };
    match host.contains(':') {
        true => format!("{scheme}://[{host}]:{port}"),
        false => format!("{scheme}://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_are_told_by_their_text() {
        for (greeting, want) in [
            (
                &b"* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n"[..],
                "Dovecot ready.",
            ),
            (b"* PREAUTH in already", "in already"),
            (
                b"+OK POP3 ready <1896.697@x>\r\n",
                "POP3 ready <1896.697@x>",
            ),
            (b"* OK [broken \x1b[31m", "[broken ?[31m"),
            (b"", ""),
        ] {
            assert_eq!(said(greeting), want);
        }
    }

    #[test]
    fn endpoints_are_told_as_urls() {
        let target = |host: &str, port| Target::Network {
            host: host.into(),
            port,
        };
        for (security, target, want) in [
            (Security::Clear, target("a", 143), "imap://a:143"),
            (
                Security::StartTls,
                target("a", 143),
                "imap+starttls://a:143",
            ),
            (Security::Implicit, target("::1", 993), "imaps://[::1]:993"),
            (Security::Clear, Target::Demo, "demo://"),
        ] {
            assert_eq!(url(Protocol::Imap, security, &target), want);
        }
    }
}
