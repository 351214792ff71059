//! Hosts that are looked at between the logins: who is up, who is down, what is learned.

use std::sync::Arc;
use std::time::Duration;

use gatepost::backend::Backend;
use gatepost::backend::config::{Config, Health, Security};
use gatepost::backend::host::State;
use gatepost::protocol::sasl::Mechanism;
use gatepost::protocol::{Failure, Protocol, Secret};
use tokio::net::TcpListener;

use super::absent::Absent;
use super::scripted::*;

/// Looked at as often as can be.
fn brisk(config: Config) -> Config {
    Config {
        health: Some(Health {
            interval: Duration::from_millis(20),
            fall: 2,
            ..Health::default()
        }),
        ..config
    }
}

fn started(config: Config) -> Arc<Backend> {
    let backend = Arc::new(backend(config));
    backend.start();
    backend
}

/// Waits until it is so, however slow the machine is.
pub(crate) async fn until(so: impl Fn() -> bool) {
    let patience = Duration::from_secs(60);
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(patience, waiting)
        .await
        .expect("never came to be");
}

fn state(backend: &Backend, host: &str) -> State {
    backend.host(host).unwrap().state()
}

#[tokio::test]
async fn a_host_falls_and_rises_without_a_login() {
    let absent = Absent::new();
    let backend = started(brisk(config(&[absent.at])));
    assert_eq!(state(&backend, "h0"), State::Up);
    until(|| state(&backend, "h0") == State::Down).await;
    // Its users are answered at once, with the reason.
    let refusal = login(&backend).await.map(drop).unwrap_err();
    assert!(matches!(refusal.failure, Failure::Unreachable { .. }));
    let host = Host::on(TcpListener::bind(absent.at).await.unwrap(), good());
    let before = host.connections();
    until(|| state(&backend, "h0") == State::Up).await;
    // Twice seen well; no credentials were shown.
    assert!(host.connections() >= before + 2);
    until(|| host.heard().contains("LOGOUT")).await;
    assert!(!host.heard().contains("AUTHENTICATE"));
    assert!(login(&backend).await.is_ok());
}

#[tokio::test]
async fn a_silent_host_is_skipped_once_it_is_known() {
    let silent = Host::start(greets("")).await;
    let there = Host::start(good()).await;
    let mut config = brisk(first_then(silent.at, there.at).await);
    config.health.as_mut().unwrap().timeout = Duration::from_secs(1);
    config.greeting_timeout = Duration::from_secs(600);
    let (silent_name, there_name) = match config.hosts[0].imap.as_ref().unwrap() {
        it if *it == endpoint(Protocol::Imap, Security::Clear, silent.at) => ("h0", "h1"),
        _ => ("h1", "h0"),
    };
    let backend = started(config);
    until(|| state(&backend, silent_name) == State::Down).await;
    // On a machine that is starved it may be late, too, for a while.
    until(|| state(&backend, there_name) == State::Up).await;
    let host = login(&backend).await.unwrap().seat.host().name().to_owned();
    assert_ne!(host, silent_name);
}

#[tokio::test]
async fn a_dead_pop3_port_does_not_take_imap_down() {
    let there = Host::start(good()).await;
    let absent = Absent::new();
    let mut config = brisk(config(&[there.at]));
    config.hosts[0].pop3 = Some(endpoint(Protocol::Pop3, Security::Clear, absent.at));
    let backend = started(config);
    until(|| state(&backend, "h0") == State::Down).await;
    assert!(login(&backend).await.is_ok());
    let alice = Alice::new();
    let pop3 = gatepost::backend::Request {
        protocol: Protocol::Pop3,
        ..alice.request()
    };
    assert!(backend.connect(pop3).await.is_err());
}

#[tokio::test]
async fn what_a_host_can_do_is_known_before_anybody_logs_in() {
    let knows = Script {
        greeting: "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=XOAUTH2] hi\r\n",
        ..Script::default()
    };
    let asked = Script {
        greeting: "+OK hi\r\n",
        answers: &[("CAPA", "+OK\r\nSASL PLAIN OAUTHBEARER\r\n.\r\n")],
        tls: None,
    };
    let (imap_host, pop3_host) = (Host::start(knows).await, Host::start(asked).await);
    let mut config = config(&[imap_host.at]);
    config.hosts[0].pop3 = Some(endpoint(Protocol::Pop3, Security::Clear, pop3_host.at));
    let backend = started(config);
    let any = |protocol| backend.mechanisms(protocol).0;
    until(|| any(Protocol::Imap).has(Mechanism::XOAuth2)).await;
    until(|| any(Protocol::Pop3).has(Mechanism::OAuthBearer)).await;
    assert!(!any(Protocol::Pop3).has(Mechanism::XOAuth2));
}

fn with_test_account(config: Config) -> Config {
    let mut config = brisk(config);
    let secret = Secret::new(b"probing").unwrap();
    config.health.as_mut().unwrap().login = Some(("probe".into(), secret));
    config
}

#[tokio::test]
async fn the_test_account_logs_in_and_out() {
    let host = Host::start(good()).await;
    let backend = started(with_test_account(config(&[host.at])));
    until(|| host.heard().matches("LOGOUT").count() >= 3).await;
    assert!(host.heard().contains("AUTHENTICATE PLAIN"));
    assert_eq!(state(&backend, "h0"), State::Up);
    assert_eq!(backend.hosts()[0].sessions(), 0);
}

const WRONG: &[(&str, &str)] = &[("AUTHENTICATE", "% NO [AUTHENTICATIONFAILED] no\r\n")];
const BROKEN: &[(&str, &str)] = &[("AUTHENTICATE", "% NO [UNAVAILABLE] later\r\n")];

#[tokio::test]
async fn a_test_account_that_is_wrong_everywhere_takes_no_host_down() {
    let one = Host::start(login_answered(WRONG)).await;
    let two = Host::start(login_answered(WRONG)).await;
    let backend = started(with_test_account(config(&[one.at, two.at])));
    until(|| one.connections() > 5 && two.connections() > 5).await;
    assert_eq!(state(&backend, "h0"), State::Up);
    assert_eq!(state(&backend, "h1"), State::Up);
}

#[tokio::test]
async fn a_host_that_alone_refuses_the_test_account_is_down() {
    for answers in [WRONG, BROKEN] {
        let one = Host::start(login_answered(answers)).await;
        let two = Host::start(good()).await;
        let backend = started(with_test_account(config(&[one.at, two.at])));
        until(|| state(&backend, "h0") == State::Down).await;
        assert_eq!(state(&backend, "h1"), State::Up);
    }
}

#[tokio::test]
async fn looks_end_with_the_backend() {
    let host = Host::start(good()).await;
    let backend = started(brisk(config(&[host.at])));
    until(|| host.connections() > 2).await;
    let weak = Arc::downgrade(&backend);
    drop(backend);
    until(|| weak.strong_count() == 0).await;

    let backend = started(brisk(config(&[host.at])));
    let seen = host.connections();
    until(|| host.connections() > seen).await;
    backend.stop();
    tokio::task::yield_now().await;
    until(|| Arc::strong_count(&backend) == 1).await;
    // A connection that was on its way may still come; two in a row would be a look more.
    let seen = host.connections();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(host.connections() <= seen + 1);
}

/// `health: none`.
#[tokio::test]
async fn hosts_that_nobody_looks_at_are_left_alone() {
    let host = Host::start(good()).await;
    let backend = started(Config {
        health: None,
        ..config(&[host.at])
    });
    assert!(login(&backend).await.is_ok());
    assert_eq!(host.connections(), 1);
}
