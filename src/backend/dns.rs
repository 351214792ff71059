//! The system's name servers, asked for the hosts of a backend.
//!
//! Nothing is kept between two questions: answers are believed as long as they say, by whoever
//! asked, and `resolv.conf` is read anew each time. `GATEPOST_DNS` names other servers, as
//! `ADDRESS[:PORT]` with commas between.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup as Records;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::discover::{Answer, Looking, Lookup, Srv};

/// Names other servers than the system's.
const SERVERS: &str = "GATEPOST_DNS";

/// What an answer without records is believed that does not say how long it holds (RFC 2308 §5).
const UNTOLD: u32 = 5;

/// Name servers.
#[derive(Clone, Debug, Default)]
pub struct Dns {
    /// None: those of the system.
    servers: Vec<SocketAddr>,
}

impl Dns {
    /// The system's, or those that the environment names. What is no address there is left out.
    pub fn system() -> Self {
        let named = std::env::var(SERVERS).unwrap_or_default();
        let server = |text: &str| -> Option<SocketAddr> {
            let ip = |text: &str| text.parse::<IpAddr>().ok();
            text.parse().ok().or(ip(text).map(|ip| (ip, 53).into()))
        };
        let servers = named.split(',').map(str::trim);
        Dns {
            servers: servers.filter_map(server).collect(),
        }
    }

    /// This one.
    pub fn at(server: SocketAddr) -> Self {
        Dns {
            servers: vec![server],
        }
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let mut builder = match self.servers.is_empty() {
            true => TokioResolver::builder_tokio()?,
            false => {
                let servers = self.servers.iter().map(|at| {
                    let mut server = NameServerConfig::udp_and_tcp(at.ip());
                    for connection in &mut server.connections {
                        connection.port = at.port();
                    }
                    server
                });
                let config = ResolverConfig::from_name_servers(servers.collect());
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        builder.options_mut().cache_size = 0;
        builder.build()
    }

    async fn records(&self, name: &str, kind: RecordType) -> Result<Answer<RData>, String> {
        let name_ = Name::from_ascii(name).map_err(|error| format!("{name}: {error}"))?;
        let looked = match self.resolver() {
            Ok(resolver) => resolver.lookup(name_, kind).await,
            Err(error) => Err(error),
        };
        match looked {
            Ok(records) => Ok(answer(&records, kind)),
            Err(NetError::Dns(DnsError::NoRecordsFound(no)))
                if matches!(
                    no.response_code,
                    ResponseCode::NoError | ResponseCode::NXDomain
                ) =>
            {
                Ok(Answer {
                    records: Vec::new(),
                    ttl: Duration::from_secs(no.negative_ttl.unwrap_or(UNTOLD).into()),
                })
            }
            Err(error) => Err(format!("{kind} of {name}: {error}")),
        }
    }
}

fn answer(records: &Records, kind: RecordType) -> Answer<RData> {
    let answers = records.answers().iter();
    let fit = answers.filter(|it| it.record_type() == kind);
    Answer {
        ttl: Duration::from_secs(fit.clone().map(|it| it.ttl).min().unwrap_or(UNTOLD).into()),
        records: fit.map(|it| it.data.clone()).collect(),
    }
}

/// The labels with dots between. A dot within a label is no part of any host's name: it stands
/// there behind a backslash, which is not either.
fn labels(name: &Name) -> Vec<u8> {
    let labels: Vec<Vec<u8>> = (name.iter())
        .map(|label| match label.contains(&b'.') {
            true => [b"\\", label].concat(),
            false => label.to_vec(),
        })
        .collect();
    labels.join(&b'.')
}

impl Lookup for Dns {
    fn srv(&self, name: String) -> Looking<'_, Srv> {
        Box::pin(async move {
            let answer = self.records(&name, RecordType::SRV).await?;
            let srv = answer.records.into_iter().filter_map(|data| match data {
                RData::SRV(it) => Some(Srv {
                    priority: it.priority,
                    weight: it.weight,
                    port: it.port,
                    target: labels(&it.target),
                }),
                _ => None,
            });
            Ok(Answer {
                records: srv.collect(),
                ttl: answer.ttl,
            })
        })
    }

    fn addresses(&self, name: String) -> Looking<'_, IpAddr> {
        Box::pin(async move {
            let (a, aaaa) = tokio::join!(
                self.records(&name, RecordType::A),
                self.records(&name, RecordType::AAAA)
            );
            // Half an answer would let half of the hosts leave.
            let (a, aaaa) = (a?, aaaa?);
            let ttls = [&a, &aaaa].into_iter().filter(|it| !it.records.is_empty());
            let ttl = ttls.map(|it| it.ttl).min().unwrap_or(a.ttl);
            let both = a.records.into_iter().chain(aaaa.records);
            let ips = both.filter_map(|data| match data {
                RData::A(it) => Some(IpAddr::V4(it.0)),
                RData::AAAA(it) => Some(IpAddr::V6(it.0)),
                _ => None,
            });
            Ok(Answer {
                records: ips.collect(),
                ttl,
            })
        })
    }
}
