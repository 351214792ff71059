//! A host that is down and that many want: it is asked at most twice a second, by all of them and by whoever
//! looks after it together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use gatepost::backend::config::{Config, Failover, Health};
use gatepost::backend::host::State;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::health::until;
use super::scripted::*;

/// So many want it at once.
const USERS: usize = 50;

/// How a host is down.
#[derive(Clone, Copy, Debug)]
enum Down {
    /// It closes before it has said a word.
    Closes,
    /// It never says a word.
    Hangs,
}

/// Connections that have come to a host, counted where they come in.
async fn host(down: Down) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, count) = (
        listener.local_addr().unwrap(),
        Arc::<AtomicUsize>::default(),
    );
    let counted = count.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((tcp, _)) = listener.accept().await {
            counted.fetch_add(1, SeqCst);
            match down {
                Down::Closes => drop(tcp),
                Down::Hangs => held.push(tcp),
            }
        }
    });
    (at, count)
}

/// A bound on a count over a span that is measured: a slow machine asks more rarely, never more often.
async fn is_asked_twice_a_second(down: Down, health: Option<Health>) {
    let (at, connections) = host(down).await;
    let is_probed = health.is_some();
    let backend = Arc::new(backend(Config {
        failover: Failover::No,
        greeting_timeout: Duration::from_millis(300),
        retry_for: Duration::from_millis(300),
        health,
        ..config(&[at])
    }));
    backend.start();
    let answered = Arc::<AtomicUsize>::default();
    let mut herd = JoinSet::new();
    for n in 0..USERS {
        let (backend, answered) = (backend.clone(), answered.clone());
        herd.spawn(async move {
            let user = Alice::called(&format!("user{n}"));
            loop {
                assert!(backend.connect(user.request()).await.is_err());
                answered.fetch_add(1, SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
    }
    until(|| backend.host("h0").unwrap().state() == State::Down).await;
    // Whoever was on the way when it fell has come in.
    let fell = answered.load(SeqCst);
    until(|| answered.load(SeqCst) >= fell + 2 * USERS).await;
    let (begun, before) = (Instant::now(), connections.load(SeqCst));
    let earlier = answered.load(SeqCst);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let came = connections.load(SeqCst) - before;
    let span = begun.elapsed();
    let asked = answered.load(SeqCst) - earlier;
    let what = format!("{down:?}, probed: {is_probed}: {came} in {span:?} for {asked} logins");
    // One more at either end of the span, and one for an accept that came late.
    let most = span.as_millis() / 500 + 3;
    assert!(came as u128 <= most, "{what}");
    until(|| connections.load(SeqCst) > before).await;
    until(|| answered.load(SeqCst) >= earlier + 4 * USERS).await;
    assert!(herd.try_join_next().is_none(), "somebody was let in");
}

#[tokio::test]
async fn however_many_want_it_a_host_that_is_down_is_asked_twice_a_second() {
    let looked_after = || {
        Some(Health {
            interval: Duration::from_millis(20),
            timeout: Duration::from_millis(300),
            ..Health::default()
        })
    };
    tokio::join!(
        is_asked_twice_a_second(Down::Closes, None),
        is_asked_twice_a_second(Down::Closes, looked_after()),
        is_asked_twice_a_second(Down::Hangs, None),
        is_asked_twice_a_second(Down::Hangs, looked_after()),
    );
}
