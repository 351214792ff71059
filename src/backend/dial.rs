//! From a name and a port to a TCP connection: every address is tried, none of them our own.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::SockRef;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::names::Names;
use super::system_names;
use crate::net::descriptors;
use crate::net::keepalive::Keepalive;
use crate::protocol::Failure;
use crate::state::State;

/// How long an address may take before the next one is tried beside it (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// Most addresses of one name that are tried: a name with more is discovered, not dialled.
pub(super) const MAX_ADDRESSES: usize = 16;

/// What every connection to a host needs to know of the process it starts from.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where this gateway listens: a host there would be a loop. Swapped when listeners change.
    pub listens: Arc<ArcSwap<Vec<SocketAddr>>>,
    /// TCP keepalive towards hosts.
    pub keepalive: Duration,
    /// Where users' sessions are, and what operators ordered.
    pub state: Arc<State>,
    /// Where hosts are, if not on the network.
    pub inside: Option<Inside>,
}

/// Hosts inside the process, by name and port: for tests, where time must be theirs to turn.
#[derive(Clone)]
pub struct Inside(Arc<Dialling>);

type Dialling = dyn Fn(&str, u16) -> Option<DuplexStream> + Send + Sync;

impl Inside {
    /// Hosts that are reached by this; none: nobody listens.
    pub fn new(dial: impl Fn(&str, u16) -> Option<DuplexStream> + Send + Sync + 'static) -> Self {
        Inside(Arc::new(dial))
    }

    /// A connection to one of them.
    pub(super) fn dial(&self, host: &str, port: u16) -> Result<DuplexStream, Failure> {
        (self.0)(host, port).ok_or_else(|| Failure::Unreachable {
            cause: format!("connect {host}:{port}: refused"),
        })
    }
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inside")
    }
}

impl Default for Surroundings {
    fn default() -> Self {
        Surroundings {
            listens: Arc::default(),
            keepalive: Duration::from_secs(60),
            state: Arc::default(),
            inside: None,
        }
    }
}

/// Connects within `limit`, name resolution included.
pub(crate) async fn dial(
    host: &str,
    port: u16,
    limit: Duration,
    around: &Surroundings,
) -> Result<TcpStream, Failure> {
    dial_by(None, host, port, limit, around).await
}

/// As [`dial`]; these name servers are asked for the name before the system is, if there are any.
pub(crate) async fn dial_by(
    names: Option<&Names>,
    host: &str,
    port: u16,
    limit: Duration,
    around: &Surroundings,
) -> Result<TcpStream, Failure> {
    let connect = async {
        let addresses = resolve(names, host, port).await?;
        if addresses.iter().any(|to| around.is_ours(*to, None)) {
            return Err(Failure::Loop);
        }
        let (tcp, to) = first_of(addresses).await?;
        if around.may_be_ours(to)
            && let Ok(from) = tcp.local_addr()
            && around.is_ours(to, Some(from.ip()))
        {
            return Err(Failure::Loop);
        }
        settle(&tcp, around.keepalive).map_err(|error| Failure::Unreachable {
            cause: format!("connect {host}:{port}: {error}"),
        })?;
        Ok(tcp)
    };
    timeout(limit, connect)
        .await
        .unwrap_or(Err(Failure::TimedOut { state: "connect" }))
}

async fn resolve(names: Option<&Names>, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if let Some(names) = names {
        let found = names.addresses(host).await.into_iter().take(MAX_ADDRESSES);
        let found: Vec<SocketAddr> = found.map(|ip| SocketAddr::new(ip, port)).collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let unresolved = |cause: String| Failure::Unreachable {
        cause: format!("resolve {host}: {cause}"),
    };
    let found = system_names::addresses(host).await.map_err(unresolved)?;
    let mut addresses = found.to_vec();
    addresses.iter_mut().for_each(|to| to.set_port(port));
    match addresses.is_empty() {
        true => Err(unresolved("no address".into())),
        false => Ok(addresses),
    }
}

/// The first address that answers: they start one after the other, the next one as soon as the last
/// one failed or was silent for [`STAGGER`].
async fn first_of(addresses: Vec<SocketAddr>) -> Result<(TcpStream, SocketAddr), Failure> {
    // The usual case, without a task of its own.
    if let [to] = *addresses {
        let connected = connect(to).await;
        return connected.map_err(|cause| Failure::Unreachable { cause });
    }
    let mut waiting = addresses.into_iter();
    let mut tries = JoinSet::new();
    let mut causes: Vec<String> = Vec::new();
    loop {
        let started = waiting.next().map(|to| {
            tries.spawn(connect(to));
        });
        let stagger = async {
            match started {
                Some(()) if waiting.len() > 0 => sleep(STAGGER).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            done = tries.join_next() => match done {
                Some(Ok(Ok(connected))) => return Ok(connected),
                Some(Ok(Err(cause))) => causes.push(cause),
                Some(Err(error)) => causes.push(error.to_string()),
                None => return Err(Failure::Unreachable { cause: causes.join("; ") }),
            },
            () = stagger => {}
        }
    }
}

async fn connect(to: SocketAddr) -> Result<(TcpStream, SocketAddr), String> {
    let tried = TcpStream::connect(to).await;
    let tcp = tried.map_err(|error| format!("connect {to}: {error}"))?;
    match descriptors::is_reserved(&tcp) {
        false => Ok((tcp, to)),
        true => Err(format!("connect {to}: too many open files")),
    }
}

fn settle(tcp: &TcpStream, keepalive: Duration) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    if let Some(keepalive) = Keepalive::new(keepalive, keepalive / 6) {
        // A host that answers is not given up for want of probes.
        let _ = keepalive.set(&SockRef::from(tcp));
    }
    Ok(())
}

impl Surroundings {
    /// Whether any listener has this port: else nothing more need be asked.
    fn may_be_ours(&self, to: SocketAddr) -> bool {
        let listens = self.listens.load();
        listens.iter().any(|listener| listener.port() == to.port())
    }

    /// Whether an address is one of our listeners. `from` is our end of a connection to it: a
    /// connection within one machine has the same address at both ends, which is how a listener on
    /// all addresses is found without a list of them.
    fn is_ours(&self, to: SocketAddr, from: Option<IpAddr>) -> bool {
        let ip = to.ip().to_canonical();
        let here = ip.is_loopback() || from.is_some_and(|from| from.to_canonical() == ip);
        self.listens.load().iter().any(|listener| {
            let bound = listener.ip().to_canonical();
            let any = bound.is_unspecified() && (listener.is_ipv6() || ip.is_ipv4());
            listener.port() == to.port() && (bound == ip || (any && here))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listeners_are_known() {
        let ours = |listens: &str, to: &str, from: Option<&str>| {
            let around = Surroundings::default();
            around
                .listens
                .store(Arc::new(vec![listens.parse().unwrap()]));
            around.is_ours(to.parse().unwrap(), from.map(|ip| ip.parse().unwrap()))
        };
        for (listens, to, from, want) in [
            ("127.0.0.1:143", "127.0.0.1:143", None, true),
            ("127.0.0.1:143", "127.0.0.1:1143", None, false),
            ("127.0.0.1:143", "127.0.0.2:143", None, false),
            ("0.0.0.0:143", "127.0.0.2:143", None, true),
            ("0.0.0.0:143", "192.0.2.1:143", None, false),
            ("0.0.0.0:143", "192.0.2.1:143", Some("192.0.2.7"), false),
            ("0.0.0.0:143", "192.0.2.1:143", Some("192.0.2.1"), true),
            (
                "0.0.0.0:143",
                "[2001:db8::1]:143",
                Some("2001:db8::1"),
                false,
            ),
            ("[::]:143", "192.0.2.1:143", Some("192.0.2.1"), true),
            ("[::]:143", "[::1]:143", None, true),
            ("[::ffff:127.0.0.1]:143", "127.0.0.1:143", None, true),
        ] {
            assert_eq!(ours(listens, to, from), want, "{listens} {to} {from:?}");
        }
    }

    #[tokio::test]
    async fn a_name_that_is_none_is_unreachable() {
        let around = Surroundings::default();
        let failure = dial("no such name", 143, Duration::from_secs(5), &around).await;
        assert!(
            matches!(failure, Err(Failure::Unreachable { cause }) if cause.starts_with("resolve"))
        );
    }

    #[tokio::test]
    async fn every_keepalive_that_may_be_set_is_a_connection() {
        let host = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = host.local_addr().unwrap().port();
        for (keepalive, time, interval) in [
            (Duration::from_millis(1), 1, 1),
            (Duration::from_secs(1), 1, 1),
            (Duration::from_secs(5), 5, 1),
            (Duration::from_secs(60), 60, 10),
            (Duration::from_secs(10 * 3600), 32767, 6000),
            (Duration::MAX, 32767, 32767),
        ] {
            let around = Surroundings {
                keepalive,
                ..Surroundings::default()
            };
            let tcp = dial("127.0.0.1", port, Duration::from_secs(60), &around).await;
            let tcp = tcp.unwrap_or_else(|failure| panic!("{keepalive:?}: {failure}"));
            let socket = SockRef::from(&tcp);
            assert!(socket.keepalive().unwrap());
            let seconds = |it: io::Result<Duration>| it.unwrap().as_secs();
            assert_eq!(
                (
                    seconds(socket.tcp_keepalive_time()),
                    seconds(socket.tcp_keepalive_interval())
                ),
                (time, interval),
                "{keepalive:?}"
            );
        }
    }

    #[tokio::test]
    async fn every_address_is_tried() {
        let there = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (to, nobody) = (there.local_addr().unwrap(), gone.local_addr().unwrap());
        drop(gone);
        for addresses in [vec![nobody, nobody, to], vec![to]] {
            let (tcp, reached) = first_of(addresses).await.unwrap();
            assert_eq!((tcp.peer_addr().unwrap(), reached), (to, to));
        }
        for times in 1..3 {
            let failure = first_of(vec![nobody; times]).await.unwrap_err().to_string();
            assert_eq!(failure.matches("refused").count(), times, "{failure}");
        }
    }
}
