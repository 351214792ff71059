//! A host's questions during a login: they reach the mail client and its answers the host, nothing
//! lasts for ever, and what a host offers is known once it was seen.

use std::sync::Arc;
use std::time::Duration;

use gatepost::backend::config::{Config, HostConfig, Security};
use gatepost::backend::{Answering, Dialogue, Nobody};
use gatepost::protocol::sasl::{self, Answer, Mechanism, Mechanisms, Message};
use gatepost::protocol::{Failure, Protocol};

use tokio::sync::Notify;

use super::scripted::{
    Alice, Host, Script, backend, config, endpoint, first_then, good, imap, login, login_answered,
};

/// XOAUTH2 of alice's: `user=alice^Aauth=Bearer x^A^A`.
const TOKEN: &[u8] = b"dXNlcj1hbGljZQFhdXRoPUJlYXJlciB4AQE=";
/// `n,,n=alice,r=a`
const FIRST: &[u8] = b"biwsbj1hbGljZSxyPWE=";

const OFFERS: &str =
    "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=XOAUTH2 AUTH=SCRAM-SHA-256] hi\r\n";

fn alice(mechanism: Mechanism, first: &[u8]) -> Alice {
    match sasl::Server::new(mechanism).start(Some(first)) {
        sasl::Turn::Login(login) => Alice {
            user: login.user,
            credentials: login.credentials,
        },
        other => panic!("{other:?}"),
    }
}

fn offering(answers: &'static [(&'static str, &'static str)]) -> Script {
    Script {
        greeting: OFFERS,
        ..login_answered(answers)
    }
}

/// A mail client that answers so, and what it was asked.
struct Says(Option<&'static [u8]>, Vec<String>);

impl Dialogue for Says {
    fn exchange(&mut self, challenge: Message) -> Answering<'_> {
        let text = challenge.to_base64().to_vec();
        self.1.push(String::from_utf8(text).unwrap());
        let answer = self.0.and_then(Message::from_base64);
        Box::pin(async move { answer.map_or(Answer::Abort, Answer::Message) })
    }
}

/// A mail client that thinks for ever; it tells when it was asked.
#[derive(Default)]
struct Thinks {
    asked: Arc<Notify>,
}

impl Dialogue for Thinks {
    fn exchange(&mut self, _: Message) -> Answering<'_> {
        self.asked.notify_one();
        Box::pin(std::future::pending())
    }
}

async fn failed(config: Config, alice: &Alice, client: &mut dyn Dialogue) -> Failure {
    let backend = backend(config);
    let connected = backend.connect_with(alice.request(), client).await;
    connected.map(drop).unwrap_err().failure
}

#[tokio::test]
async fn a_host_that_was_answered_is_the_last_one_asked() {
    let answers = &[("AUTH", "+ e30=\r\n"), ("AQ==", "% NO [UNAVAILABLE] x\r\n")];
    let first = Host::start(offering(answers)).await;
    let second = Host::start(good()).await;
    let config = first_then(first.at, second.at).await;
    let mut client = Says(Some(b"AQ=="), Vec::new());
    let alice = alice(Mechanism::XOAuth2, TOKEN);
    let failure = failed(config, &alice, &mut client).await;
    assert_eq!(failure.code(), "UNAVAILABLE");
    assert_eq!(client.1, ["e30="]);
    assert!(first.heard().ends_with("AQ==\r\n"), "{}", first.heard());
    assert_eq!(second.connections(), 0);
}

#[tokio::test]
async fn a_host_that_drops_in_the_middle_is_a_failure() {
    let host = Host::start(offering(&[("AUTH", "+ e30=\r\n"), ("AQ==", "close")])).await;
    let mut client = Says(Some(b"AQ=="), Vec::new());
    let alice = alice(Mechanism::XOAuth2, TOKEN);
    let failure = failed(config(&[host.at]), &alice, &mut client).await;
    assert!(matches!(failure, Failure::Unreachable { .. }), "{failure}");
    assert_eq!(host.connections(), 1);
}

#[tokio::test]
async fn the_host_hears_that_a_client_gave_up() {
    let host = Host::start(offering(&[("AUTH", "+ cj1hYg==\r\n")])).await;
    for client in [
        &mut Says(None, Vec::new()) as &mut dyn Dialogue,
        &mut Nobody,
    ] {
        let alice = alice(Mechanism::ScramSha256, FIRST);
        let failure = failed(config(&[host.at]), &alice, client).await;
        assert_eq!(failure, Failure::Aborted);
    }
    while host.heard().matches("*\r\n").count() < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_has_given_up() {
    let host = Host::start(offering(&[("AUTH", "+ cj1hYg==\r\n")])).await;
    // Half of it is the client's, the other the host's.
    let config = Config {
        login_timeout: Duration::from_secs(2),
        ..config(&[host.at])
    };
    let alice = alice(Mechanism::ScramSha256, FIRST);
    let failure = failed(config, &alice, &mut Thinks::default()).await;
    assert_eq!(failure, Failure::Aborted);
    while !host.heard().ends_with("*\r\n") {
        tokio::task::yield_now().await;
    }
}

/// A turn is for as long as the host decides: nobody waits behind a client that thinks.
#[tokio::test]
async fn who_thinks_keeps_nobody_from_the_host() {
    let answers = &[
        ("AUTHENTICATE SCRAM", "+ cj1hYg==\r\n"),
        ("AUTHENTICATE PLAIN", "% OK in\r\n"),
    ];
    let host = Host::start(offering(answers)).await;
    let backend = backend(Config {
        logins_in_flight: 1,
        login_timeout: Duration::from_secs(600),
        ..config(&[host.at])
    });
    let alice = alice(Mechanism::ScramSha256, FIRST);
    let mut thinks = Thinks::default();
    let asked = thinks.asked.clone();
    let others = async {
        asked.notified().await;
        for _ in 0..3 {
            login(&backend).await.unwrap();
        }
    };
    tokio::select! {
        ended = backend.connect_with(alice.request(), &mut thinks) => {
            panic!("{:?}", ended.map(drop));
        }
        () = others => {}
    }
}

#[tokio::test]
async fn a_host_that_takes_no_tokens_is_not_shown_one() {
    let host = Host::start(good()).await;
    let alice = alice(Mechanism::XOAuth2, TOKEN);
    let failure = failed(config(&[host.at]), &alice, &mut Nobody).await;
    assert!(matches!(failure, Failure::NotTaken { .. }), "{failure}");
    assert!(!host.heard().contains("AUTHENTICATE"));
}

/// What a backend's hosts can do is known of each once it was logged in to.
#[tokio::test]
async fn mechanisms_are_learned() {
    let one = Host::start(offering(&[("AUTH", "% OK in\r\n")])).await;
    let two = Host::start(offering(&[("AUTH", "% OK in\r\n")])).await;
    let three = Host::start(good()).await;
    let backend = backend(config(&[one.at, two.at, three.at]));
    let alice = Alice::new();
    let none = Mechanisms::NONE;
    let some: Mechanisms = [Mechanism::Plain, Mechanism::XOAuth2, Mechanism::ScramSha256]
        .into_iter()
        .collect();
    let plain: Mechanisms = [Mechanism::Plain].into_iter().collect();
    assert_eq!(backend.mechanisms(Protocol::Imap), (none, none));
    for (host, known) in [
        ("h0", (some, none)),
        ("h1", (some, none)),
        ("h2", (some, plain)),
    ] {
        let mut request = alice.request();
        request.host = Some(host);
        backend.connect(request).await.unwrap();
        assert_eq!(backend.mechanisms(Protocol::Imap), known, "{host}");
        assert_eq!(backend.mechanisms(Protocol::Pop3), known, "{host}");
    }
}

/// A POP3 host that greets in the same words is asked for its capabilities once.
#[tokio::test]
async fn capa_is_asked_once() {
    let host = Host::start(Script {
        greeting: "+OK ready\r\n",
        answers: &[
            ("CAPA", "+OK\r\nSASL PLAIN SCRAM-SHA-256\r\nUSER\r\n.\r\n"),
            ("PLAIN", "+OK in\r\n"),
        ],
        tls: None,
    })
    .await;
    let backend = backend(Config {
        hosts: vec![HostConfig {
            pop3: Some(endpoint(Protocol::Pop3, Security::Clear, host.at)),
            ..imap("h0", Security::Clear, host.at)
        }],
        ..config(&[])
    });
    let alice = Alice::new();
    for _ in 0..3 {
        let mut request = alice.request();
        request.protocol = Protocol::Pop3;
        backend.connect(request).await.unwrap();
    }
    assert_eq!(host.heard().matches("CAPA").count(), 1);
    assert_eq!(host.heard().matches("AUTH PLAIN ").count(), 3);
    let known = backend.mechanisms(Protocol::Pop3).1;
    assert!(known.has(Mechanism::ScramSha256));
    assert_eq!(backend.mechanisms(Protocol::Imap).0, Mechanisms::NONE);
    assert!(login(&backend).await.is_err(), "no IMAP here");
}
