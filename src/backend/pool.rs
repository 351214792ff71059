//! Connections to a host that are greeted and not logged in: a poll that finds one waiting pays
//! neither for connecting nor for the greeting.
//!
//! They carry nothing of anybody: they were opened with the backend's own settings, said nothing,
//! and heard one greeting. Only logins take from here, never a client that is silent, and only
//! logins fill it up again: a host that is polled rarely has none, one that is polled often has a
//! few. Each belongs to a task that closes it after [`LIFE`], or as soon as the host says a word or
//! goes.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::config::{Config, Endpoint, Security, Target};
use super::names::Names;
use super::tls::HostTls;
use super::visit::certified_name;
use super::{Surroundings, dial};
use crate::net::Stream;

/// How long a connection waits. Hosts end one that does not log in after a minute or more.
const LIFE: Duration = Duration::from_secs(20);

/// Most connections that wait for one host.
const MOST: usize = 4;

/// Polls within [`LIFE`] that keep one connection waiting: at that rate each is used long before its
/// time is over.
const POLLS_EACH: usize = 5;

/// Longest greeting; one in several reads, or with something behind it, is left to logins.
const GREETING: usize = 8 * 1024;

/// Connections that wait for logins on one host.
#[derive(Default)]
pub(super) struct Pool(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Waiting>,
    /// Being opened.
    making: usize,
    /// When the last polls came, as many as count.
    polls: VecDeque<Instant>,
}

/// A connection, in the hands of its task: asked for, it comes by this way.
struct Waiting(oneshot::Sender<oneshot::Sender<Greeted>>);

/// A connection on which only a greeting was said.
pub(super) struct Greeted {
    pub(super) stream: Stream,
    /// The line that the host greeted with.
    pub(super) greeting: Vec<u8>,
}

impl Pool {
    /// One that waits and that the host has not closed.
    pub(super) async fn take(&self) -> Option<Greeted> {
        loop {
            // The oldest first: so none gets old where many come.
            let Waiting(ask) = lock(&self.0).waiting.pop_front()?;
            let (give, given) = oneshot::channel();
            if ask.send(give).is_ok()
                && let Ok(greeted) = given.await
            {
                return Some(greeted);
            }
        }
    }

    /// A poll was let in: for the next ones, as many connections are opened by `make` as the last
    /// ones would have used.
    pub(super) fn polled<F>(&self, make: impl Fn() -> F)
    where
        F: Future<Output = Option<Greeted>> + Send + 'static,
    {
        let missing = {
            let mut inner = lock(&self.0);
            let missing = inner.polled();
            inner.making += missing;
            missing
        };
        for _ in 0..missing {
            let making = Making(Arc::downgrade(&self.0));
            tokio::spawn(hold(making, make()));
        }
    }
}

impl Inner {
    /// How many connections there should be more.
    fn polled(&mut self) -> usize {
        let now = Instant::now();
        self.polls.push_back(now);
        while self.polls.len() > MOST * POLLS_EACH
            || (self.polls.front()).is_some_and(|&at| now.duration_since(at) > LIFE)
        {
            self.polls.pop_front();
        }
        self.waiting.retain(|Waiting(ask)| !ask.is_closed());
        (self.polls.len() / POLLS_EACH).saturating_sub(self.waiting.len() + self.making)
    }
}

/// A connection that is being opened, counted as long as that takes.
struct Making(Weak<Mutex<Inner>>);

impl Drop for Making {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            lock(&pool).making -= 1;
        }
    }
}

/// Opens a connection and holds it until it is asked for, or of no more use.
async fn hold(making: Making, make: impl Future<Output = Option<Greeted>>) {
    let Some(mut greeted) = make.await else {
        return;
    };
    let (ask, asked) = oneshot::channel();
    match making.0.upgrade() {
        Some(pool) => lock(&pool).waiting.push_back(Waiting(ask)),
        None => return,
    }
    drop(making);
    let mut octet = [0; 1];
    tokio::select! {
        biased;
        // The end, or something that no login has asked for.
        _ = greeted.stream.read(&mut octet) => {}
        asked = asked => {
            if let Ok(give) = asked {
                let _ = give.send(greeted);
            }
        }
        () = sleep(LIFE) => {}
    }
}

/// What it takes to open a connection to an endpoint.
#[derive(Clone)]
pub(super) struct Opener {
    host: String,
    port: u16,
    /// Who is asked for the host's addresses, where it was found by name.
    names: Option<Arc<Names>>,
    /// With the handshake before the greeting, where there is one, and the name that the host's
    /// certificate must bear.
    tls: Option<(Arc<HostTls>, String)>,
    around: Surroundings,
    connect_timeout: Duration,
    greeting_timeout: Duration,
}

impl Opener {
    /// None: on such an endpoint nothing waits.
    pub(super) fn new(
        config: &Config,
        endpoint: &Endpoint,
        tls: Option<&Arc<HostTls>>,
        names: Option<&Arc<Names>>,
        around: &Surroundings,
    ) -> Option<Self> {
        let Target::Network { host, port } = &endpoint.target else {
            return None;
        };
        Some(Opener {
            host: host.clone(),
            port: *port,
            names: names.cloned(),
            tls: match endpoint.security {
                Security::Implicit => Some((
                    Arc::clone(tls?),
                    certified_name(config, endpoint).to_owned(),
                )),
                Security::Clear | Security::StartTls => None,
            },
            around: around.clone(),
            connect_timeout: config.connect_timeout,
            greeting_timeout: config.greeting_timeout,
        })
    }

    /// A connection whose host said `* OK` and nothing else. Whatever goes wrong is no news: the next
    /// login finds out by itself.
    pub(super) async fn open(self) -> Option<Greeted> {
        let (names, limit) = (self.names.as_deref(), self.connect_timeout);
        let tcp = dial::dial_by(names, &self.host, self.port, limit, &self.around).await;
        let tcp = tcp.ok()?;
        let greeted = async {
            let mut stream = match &self.tls {
                None => Stream::Tcp(tcp),
                Some((tls, name)) => Stream::HostTls(Box::new(tls.connect(name, tcp).await.ok()?)),
            };
            let mut greeting = Vec::with_capacity(512);
            while !greeting.contains(&b'\n') {
                let read = stream.read_buf(&mut greeting).await.ok()?;
                if read == 0 || greeting.len() > GREETING {
                    return None;
                }
            }
            let one_line = memchr::memchr(b'\n', &greeting) == Some(greeting.len() - 1);
            let good = greeting
                .get(..5)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"* OK "));
            (one_line && good).then_some(Greeted { stream, greeting })
        };
        timeout(self.greeting_timeout, greeted).await.ok().flatten()
    }
}

/// A panic elsewhere leaves at worst a count that is too high.
fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    /// Connections that were made, as their hosts see them.
    #[derive(Default)]
    struct Hosts(Arc<Mutex<Vec<DuplexStream>>>, Arc<AtomicUsize>);

    impl Hosts {
        fn make(&self) -> impl Future<Output = Option<Greeted>> + Send + 'static {
            let (hosts, made) = (Arc::clone(&self.0), Arc::clone(&self.1));
            async move {
                made.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(20)).await;
                let (ours, theirs) = duplex(64);
                hosts.lock().unwrap().push(theirs);
                Some(Greeted {
                    stream: Stream::Memory(ours),
                    greeting: b"* OK hi\r\n".to_vec(),
                })
            }
        }

        fn made(&self) -> usize {
            self.1.load(Ordering::Relaxed)
        }
    }

    async fn polls(pool: &Pool, hosts: &Hosts, count: usize, apart: Duration) -> usize {
        let mut found = 0;
        for _ in 0..count {
            found += usize::from(pool.take().await.is_some());
            pool.polled(|| hosts.make());
            sleep(apart).await;
        }
        found
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_is_polled_often_has_connections_waiting() {
        let (pool, hosts) = (Pool::default(), Hosts::default());
        assert_eq!(polls(&pool, &hosts, 50, Duration::from_secs(6)).await, 0);
        assert_eq!(hosts.made(), 0);
        let found = polls(&pool, &hosts, 100, Duration::from_secs(1)).await;
        assert!(found >= 90, "{found}");
        assert!(hosts.made() <= 104, "{}", hosts.made());
        // In a rush there are never more than a few.
        for _ in 0..1000 {
            pool.polled(|| hosts.make());
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(lock(&pool.0).waiting.len(), MOST);
        assert!(hosts.made() <= 108, "{}", hosts.made());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_for_ever() {
        let (pool, hosts) = (Pool::default(), Hosts::default());
        polls(&pool, &hosts, 20, Duration::from_millis(100)).await;
        sleep(LIFE).await;
        assert!(pool.take().await.is_none());
        assert!(hosts.0.lock().unwrap().iter_mut().all(closed));
    }

    /// Whether the gateway has closed a connection.
    fn closed(host: &mut DuplexStream) -> bool {
        let mut octets = [0; 1];
        let read = std::pin::pin!(host.read(&mut octets));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        matches!(read.poll(&mut cx), std::task::Poll::Ready(Ok(0)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_said_more_is_not_used() {
        let (pool, hosts) = (Pool::default(), Hosts::default());
        for trouble in ["close", "* BYE idle\r\n", "x"] {
            for _ in 0..20 {
                pool.polled(|| hosts.make());
            }
            sleep(Duration::from_secs(1)).await;
            let theirs: Vec<_> = hosts.0.lock().unwrap().drain(..).collect();
            assert_eq!(theirs.len(), MOST, "{trouble}");
            for mut host in theirs {
                if trouble != "close" {
                    host.write_all(trouble.as_bytes()).await.unwrap();
                    std::mem::forget(host);
                }
            }
            assert!(pool.take().await.is_none(), "{trouble}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_goes_with_its_backend() {
        let (pool, hosts) = (Pool::default(), Hosts::default());
        polls(&pool, &hosts, 20, Duration::from_millis(100)).await;
        drop(pool);
        sleep(Duration::from_millis(1)).await;
        assert!(hosts.0.lock().unwrap().iter_mut().all(closed));
    }
}
