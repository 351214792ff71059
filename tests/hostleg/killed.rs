//! A host that dies under its sessions and comes back: everybody logs in again, nobody is told that
//! a password is wrong, the host is not stampeded, and users of other hosts notice nothing.
//!
//! `GATEPOST_KILLED=2000` plays it with so many sessions and five seconds of death, and prints how
//! long it took.

#![allow(clippy::print_stdout, reason = "a measurement says what it measured")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use gatepost::backend::Backend;
use gatepost::backend::config::{Config, Failover, Health};
use gatepost::protocol::Failure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::absent::Absent;
use super::scripted::*;

/// Most logins at once on a host.
const IN_FLIGHT: usize = 20;

/// Logins in flight on a host, and the most there have been.
#[derive(Default)]
struct Load {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// Lets everybody in, a little later; dies when its tasks are dropped.
async fn mortal(at: SocketAddr, load: Arc<Load>) -> JoinSet<()> {
    let listener = TcpListener::bind(at).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut sessions = JoinSet::new();
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let load = load.clone();
            sessions.spawn(async move {
                let _ = tcp.write_all(GREETING.as_bytes()).await;
                let mut line = vec![0; 1024];
                let n = tcp.read(&mut line).await.unwrap_or_default();
                if line[..n].windows(12).any(|it| it == b"AUTHENTICATE") {
                    let now = load.now.fetch_add(1, SeqCst) + 1;
                    load.most.fetch_max(now, SeqCst);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    load.now.fetch_sub(1, SeqCst);
                    let tag = line.split(|octet| *octet == b' ').next().unwrap();
                    let _ = tcp.write_all(&[tag, b" OK in\r\n"].concat()).await;
                }
                while tcp.read(&mut line).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    tasks
}

/// Logs in until it works; failures may only be an outage.
async fn persist(backend: Arc<Backend>, user: String) -> gatepost::backend::Connected {
    let user = Alice::called(&user);
    loop {
        match backend.connect(user.request()).await {
            Ok(connected) => return connected,
            Err(refusal) => assert!(
                matches!(
                    refusal.failure,
                    Failure::Unreachable { .. } | Failure::TimedOut { .. }
                ),
                "{:?}",
                refusal.failure
            ),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_host_dies_under_its_sessions_and_comes_back() {
    let asked = std::env::var("GATEPOST_KILLED").ok();
    let count: usize = asked.as_deref().map_or(100, |n| n.parse().unwrap());
    let death = match asked {
        Some(_) => Duration::from_secs(5),
        None => Duration::from_millis(1500),
    };
    // Held, so that the port is still there for the host to come back to.
    let absent = Absent::new();
    let (at, load) = (absent.at, Arc::new(Load::default()));
    let host = mortal(at, load.clone()).await;
    let canary_host = Host::start(good()).await;
    let backend = Arc::new(backend(Config {
        failover: Failover::No,
        logins_in_flight: IN_FLIGHT as u32,
        health: Some(Health::default()),
        ..config(&[at, canary_host.at])
    }));
    backend.start();
    let on = |name: &str, n: usize| {
        let hosts = config(&[at, canary_host.at]).hosts;
        let names: Vec<(&str, u32)> = hosts.iter().map(|it| (it.name.as_str(), 1)).collect();
        let user = format!("user{n}");
        (names[gatepost::backend::balance::rank(&user, &names)[0]].0 == name).then_some(user)
    };
    let users: Vec<String> = (0..).filter_map(|n| on("h0", n)).take(count).collect();
    let canary = (0..).find_map(|n| on("h1", n)).unwrap();

    let log_in_all = || {
        let mut logins = JoinSet::new();
        for user in &users {
            logins.spawn(persist(backend.clone(), user.clone()));
        }
        logins.join_all()
    };
    let sessions = log_in_all().await;
    assert_eq!(sessions.len(), count);
    let canaries = tokio::spawn({
        let backend = backend.clone();
        async move {
            let (mut slowest, user) = (Duration::ZERO, Alice::called(&canary));
            loop {
                let begun = Instant::now();
                let connected = backend.connect(user.request()).await;
                assert!(connected.is_ok(), "a canary noticed");
                slowest = slowest.max(begun.elapsed());
                CANARY.fetch_max(slowest.as_millis() as usize, SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    // Killed: its connections close, its port refuses.
    drop(host);
    drop(sessions);
    load.most.store(0, SeqCst);
    load.now.store(0, SeqCst);
    let coming_back = log_in_all();
    let host = async {
        tokio::time::sleep(death).await;
        let host = mortal(at, load.clone()).await;
        (host, Instant::now())
    };
    let (sessions, (_host, back)) = tokio::join!(
        async {
            let sessions = coming_back.await;
            (sessions, Instant::now())
        },
        host
    );
    let (sessions, all) = sessions;
    assert_eq!(sessions.len(), count);
    assert!(!canaries.is_finished());
    canaries.abort();
    let most = load.most.load(SeqCst);
    assert!(most <= IN_FLIGHT, "{most} logins at once");
    println!(
        "{count} sessions: all logged in {:?} after the host's return, at most {most} logins in flight, canary at most {} ms",
        all - back,
        CANARY.load(SeqCst)
    );
}

/// The slowest login of the canary, in milliseconds.
static CANARY: AtomicUsize = AtomicUsize::new(0);
