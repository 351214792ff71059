//! Finds a backend's hosts by name: SRV records, or else the addresses of the name.
//!
//! SRV targets are names (RFC 2782), so the hash of users over hosts stays put when the address
//! behind a name changes: a StatefulSet behind a headless Service. Addresses as hosts move users
//! whenever one of them changes. What was found is looked up again when its time to live is over. A
//! failure, an answer without a host and an answer that names anything but a host change nothing:
//! the last known hosts stay. The name server is behind [`Lookup`]; `dns` is the real one.

use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use super::config::{Discover, Endpoint, HostConfig, Security, Target};
use crate::protocol::Protocol;

mod following;

pub(super) use following::{Following, follow};

/// Most hosts of a backend that are found by name: an answer with more is no answer.
const MOST_HOSTS: usize = 256;

/// Records are believed at least so long, whatever they say of themselves.
const LEAST: Duration = Duration::from_secs(1);

/// And at most so long, so that a change is seen within a working person's patience.
const MOST: Duration = Duration::from_secs(10 * 60);

/// The longest pause after lookups that failed; it doubles from [`LEAST`].
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Asks a name server.
pub trait Lookup: Send + Sync {
    /// The SRV records of a name.
    fn srv(&self, name: String) -> Looking<'_, Srv>;
    /// Its addresses of both families.
    fn addresses(&self, name: String) -> Looking<'_, IpAddr>;
}

/// What comes of a lookup: records, none of which is an answer too, or why there is no answer.
pub type Looking<'a, T> = Pin<Box<dyn Future<Output = Result<Answer<T>, String>> + Send + 'a>>;

/// The records of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// In no order; none: there are none of this kind.
    pub records: Vec<T>,
    /// How long they hold.
    pub ttl: Duration,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower ones are asked first.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
    /// Where.
    pub port: u16,
    /// The labels of the host's name, joined by dots, as the answer has them: any octets.
    pub target: Vec<u8>,
}

/// By which kind of records hosts were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Srv,
    Addresses,
}

/// The hosts that a lookup found; none: keep the last ones.
#[derive(Debug, PartialEq)]
struct Found {
    hosts: Vec<HostConfig>,
    by: By,
    ttl: Duration,
}

impl Discover {
    /// `_imap._tcp.store.mail.svc`: the service is the scheme's (RFC 6186 §3).
    fn service(&self) -> String {
        let service = match (self.protocol, self.security) {
            (Protocol::Imap, Security::Implicit) => "imaps",
            (Protocol::Imap, _) => "imap",
            (Protocol::Pop3, Security::Implicit) => "pop3s",
            (Protocol::Pop3, _) => "pop3",
        };
        format!("_{service}._tcp.{}", self.name)
    }

    /// The scheme's own port: left out of names.
    fn own_port(&self) -> u16 {
        match (self.protocol, self.security) {
            (Protocol::Imap, Security::Implicit) => 993,
            (Protocol::Imap, _) => 143,
            (Protocol::Pop3, Security::Implicit) => 995,
            (Protocol::Pop3, _) => 110,
        }
    }

    /// Looks once. Hosts that were found by SRV are never replaced by addresses: their names would
    /// all be others, and every user would move.
    async fn look(&self, lookup: &dyn Lookup, before: Option<By>) -> Result<Found, String> {
        if self.port == self.own_port() {
            let answer = lookup.srv(self.service()).await?;
            if !answer.records.is_empty() || before == Some(By::Srv) {
                return Ok(Found {
                    hosts: self.of_srv(&answer.records)?,
                    by: By::Srv,
                    ttl: answer.ttl,
                });
            }
        }
        let answer = lookup.addresses(self.name.clone()).await?;
        let hosts = answer.records.iter();
        let hosts = hosts.map(|ip| self.host(ip.to_string(), self.port, 1));
        Ok(Found {
            hosts: unique(hosts.collect())?,
            by: By::Addresses,
            ttl: answer.ttl,
        })
    }

    /// Those of the best priority share the users by weight; the others are the last resort.
    fn of_srv(&self, records: &[Srv]) -> Result<Vec<HostConfig>, String> {
        // A target of "." says that there is no such service.
        let there = || records.iter().filter(|it| !it.target.is_empty());
        let best = there().map(|it| it.priority).min();
        let best = |it: &Srv| Some(it.priority) == best;
        let weights = there().filter(|it| best(it)).map(|it| u32::from(it.weight));
        // A cluster's name server gives every pod the same, another one for each number of pods.
        let common = weights.fold(0, greatest_common_divisor);
        let hosts = there().map(|it| {
            let weight = match (best(it), common) {
                (true, 0) => 1,
                (true, common) => u32::from(it.weight) / common,
                (false, _) => 0,
            };
            Ok(self.host(host_name(&it.target)?, it.port, weight))
        });
        unique(hosts.collect::<Result<_, String>>()?)
    }

    fn host(&self, host: String, port: u16, weight: u32) -> HostConfig {
        let shown = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.clone(),
        };
        let name = match port == self.own_port() {
            true => shown,
            false => format!("{shown}:{port}"),
        };
        let endpoint = Some(Endpoint {
            protocol: self.protocol,
            security: self.security,
            target: Target::Network { host, port },
        });
        let (imap, pop3) = match self.protocol {
            Protocol::Imap => (endpoint, None),
            Protocol::Pop3 => (None, endpoint),
        };
        HostConfig {
            name,
            imap,
            pop3,
            weight,
        }
    }
}

/// In the order of their names, each once.
fn unique(mut hosts: Vec<HostConfig>) -> Result<Vec<HostConfig>, String> {
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    hosts.dedup_by(|a, b| a.name == b.name);
    match hosts.len() {
        0..=MOST_HOSTS => Ok(hosts),
        n => Err(format!("expected at most {MOST_HOSTS} hosts, got {n}")),
    }
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A host's name in lower case, if it is one: letters, digits, hyphens, underscores, dots.
fn host_name(octets: &[u8]) -> Result<String, String> {
    let fit = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    let labels = || octets.split(|octet| *octet == b'.');
    match octets.len() <= 253
        && octets.iter().all(fit)
        && labels().all(|label| !label.is_empty() && label.len() <= 63)
    {
        true => Ok(String::from_utf8_lossy(&octets.to_ascii_lowercase()).into_owned()),
        false => Err(format!(
            "expected the name of a host, got \"{}\"",
            octets
                .get(..octets.len().min(64))
                .unwrap_or_default()
                .escape_ascii()
        )),
    }
}

/// The hosts that the name stands for now, for whoever explains: nobody is logged in to them.
///
/// # Errors
/// Why that is not known.
pub async fn find(settings: &Discover, lookup: &dyn Lookup) -> Result<Vec<HostConfig>, String> {
    settings.look(lookup, None).await.map(|found| found.hosts)
}

#[cfg(test)]
mod tests;
