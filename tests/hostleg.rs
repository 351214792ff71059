//! Logins on scripted hosts over loopback: what each failure of a host becomes, and what a host is
//! told; which one is asked is in `choice`.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its host fails"
)]

#[path = "support/absent.rs"]
mod absent;
#[path = "hostleg/certificates.rs"]
mod certificates;
#[path = "hostleg/choice.rs"]
mod choice;
#[path = "hostleg/discover.rs"]
mod discover;
#[path = "hostleg/exchange.rs"]
mod exchange;
#[path = "hostleg/health.rs"]
mod health;
#[path = "hostleg/herd.rs"]
mod herd;
#[path = "hostleg/killed.rs"]
mod killed;
#[path = "hostleg/pool.rs"]
mod pool;
#[path = "hostleg/scripted.rs"]
mod scripted;
#[path = "hostleg/seats.rs"]
mod seats;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use absent::Absent;
use gatepost::backend::config::{Config, Endpoint, ForwardClient, HostConfig, Security, Target};
use gatepost::backend::{Backend, Request, Surroundings};
use gatepost::protocol::{Behind, Code, Credentials, Failure, Origin, Protocol, Secret, Transport};
use scripted::*;

#[tokio::test]
async fn a_login_is_accepted_and_its_seat_given_back() {
    let host = Host::start(good()).await;
    let backend = backend(config(&[host.at]));
    let connected = login(&backend).await.unwrap();
    assert_eq!(connected.speaks, Protocol::Imap);
    assert_eq!(connected.welcome.text, "in");
    assert_eq!(
        connected.welcome.capabilities.as_deref(),
        Some(&["IMAP4REV1".into(), "IDLE".into()][..])
    );
    assert_eq!(connected.seat.host().sessions(), 1);
    drop(connected);
    assert_eq!(backend.hosts()[0].sessions(), 0);
}

#[tokio::test]
async fn each_failure_of_a_host_has_its_name() {
    for (name, script, want) in [
        (
            "BYE",
            greets("* BYE go away\r\n"),
            Failure::Unreachable {
                cause: "it greeted with BYE: go away".into(),
            },
        ),
        (
            "PREAUTH",
            greets("* PREAUTH root\r\n"),
            Failure::HostProtocol {
                expected: "a greeting of OK",
                got: "* PREAUTH root".into(),
            },
        ),
        (
            "never greets",
            greets(""),
            Failure::TimedOut { state: "greeting" },
        ),
        (
            "greets then hangs",
            greets("* OK hi\r\n"),
            Failure::TimedOut {
                state: "capability",
            },
        ),
        (
            "hangs at the login",
            greets(GREETING),
            Failure::TimedOut { state: "login" },
        ),
        (
            "wrong password",
            login_answered(&[("AUTHENTICATE", "% NO no such user alice\r\n")]),
            Failure::Refused {
                code: Code::AuthenticationFailed,
                alert: None,
            },
        ),
        (
            "an account with a word for its user",
            login_answered(&[("AUTHENTICATE", "% NO [ALERT] pay your bill\r\n")]),
            Failure::Refused {
                code: Code::AuthenticationFailed,
                alert: Some("pay your bill".into()),
            },
        ),
        (
            "unavailable",
            login_answered(&[("AUTHENTICATE", "% NO [UNAVAILABLE] database\r\n")]),
            Failure::Refused {
                code: Code::Unavailable,
                alert: None,
            },
        ),
        (
            "BAD",
            login_answered(&[("AUTHENTICATE", "% BAD what\r\n")]),
            Failure::HostProtocol {
                expected: "OK or NO to the login",
                got: "*".into(),
            },
        ),
        (
            "hangs up at the login",
            login_answered(&[("AUTHENTICATE", "close")]),
            Failure::Unreachable {
                cause: "it closed the connection in state=login".into(),
            },
        ),
    ] {
        let host = Host::start(script).await;
        let patience = match want {
            Failure::TimedOut { .. } => Duration::from_millis(300),
            _ => Duration::from_secs(60),
        };
        let mut failure = failure_of(Config {
            greeting_timeout: patience,
            login_timeout: patience,
            ..config(&[host.at])
        })
        .await;
        if let Failure::HostProtocol { got, .. } = &mut failure
            && got.contains("BAD")
        {
            *got = "*".into();
        }
        assert_eq!(failure, want, "{name}");
        assert_eq!(host.connections(), 1, "{name}");
    }
}

#[tokio::test]
async fn refused_connections_are_unreachable() {
    let nobody = Absent::new();
    let failure = failure_of(config(&[nobody.at])).await;
    assert!(
        matches!(&failure, Failure::Unreachable { cause } if cause.contains("refused")),
        "{failure}"
    );
}

#[tokio::test]
async fn closed_backends_and_protocols_ask_no_host() {
    let host = Host::start(good()).await;
    let maintenance = Config {
        maintenance: Some("back at 6".into()),
        ..config(&[host.at])
    };
    let pop3_only = Config {
        protocols: vec![Protocol::Pop3],
        ..config(&[host.at])
    };
    for (config, want) in [
        (
            maintenance,
            Failure::Maintenance {
                text: "back at 6".into(),
            },
        ),
        (pop3_only, Failure::NotServed),
    ] {
        assert_eq!(
            login(&backend(config)).await.map(drop).unwrap_err().failure,
            want
        );
    }
    assert_eq!(host.connections(), 0);
}

#[tokio::test]
async fn loops_are_seen() {
    let host = Host::start(good()).await;
    let around = Surroundings::default();
    let any = SocketAddr::new("0.0.0.0".parse().unwrap(), host.at.port());
    around.listens.store(Arc::new(vec![any]));
    let ours = Backend::new(config(&[host.at]), around).unwrap();
    assert_eq!(
        login(&ours).await.map(drop).unwrap_err().failure,
        Failure::Loop
    );
    assert_eq!(host.connections(), 0);
}

fn origin() -> Origin {
    Origin {
        client: "192.0.2.7:4711".parse().unwrap(),
        connected: "198.51.100.1:993".parse().unwrap(),
        session: "s1".into(),
        ttl: 7,
        transport: Transport::Tls,
    }
}

#[tokio::test]
async fn hosts_learn_who_the_client_is() {
    for (forward, first) in [
        (
            ForwardClient::Auto,
            " ID (\"x-originating-ip\" \"192.0.2.7\"",
        ),
        (ForwardClient::Id, " ID (\"x-originating-ip\" \"192.0.2.7\""),
        (ForwardClient::None, " AUTHENTICATE PLAIN "),
        (ForwardClient::Xclient, " AUTHENTICATE PLAIN "),
        (
            ForwardClient::ProxyV1,
            " TCP4 192.0.2.7 198.51.100.1 4711 993\r\n",
        ),
    ] {
        let host = Host::start(good()).await;
        let backend = backend(Config {
            forward_client: forward,
            ..config(&[host.at])
        });
        let alice = Alice::new();
        let request = Request {
            origin: Some(origin()),
            ..alice.request()
        };
        backend.connect(request).await.unwrap();
        let heard = host.heard();
        let (_, behind_tag) = heard.split_at(heard.find(' ').unwrap());
        assert!(behind_tag.starts_with(first), "{forward:?}: {heard}");
        // A PROXY header has no place for the session's id.
        let told = !matches!(forward, ForwardClient::None | ForwardClient::Xclient);
        assert_eq!(
            heard.contains("\"x-session-id\""),
            told,
            "{forward:?}: {heard}"
        );
    }
}

#[tokio::test]
async fn pop3_is_relayed_where_it_is_spoken_and_translated_elsewhere() {
    let alice = Alice::new();
    let request = || Request {
        protocol: Protocol::Pop3,
        behind: b"g1 SELECT INBOX\r\n",
        ..alice.request()
    };
    let host = Host::start(good()).await;
    let translated = backend(config(&[host.at]));
    let connected = translated.connect(request()).await.unwrap();
    assert_eq!(connected.speaks, Protocol::Imap);
    assert_eq!(connected.welcome.behind, Behind::Sent);

    let pop3 = Host::start(Script {
        greeting: "+OK ready\r\n",
        answers: &[
            ("CAPA", "-ERR what\r\n"),
            ("alice", "+OK\r\n"),
            ("hunter2", "+OK in\r\n"),
        ],
        tls: None,
    })
    .await;
    // Its first line bears no space, which the script takes for a tag.
    let mut config = config(&[host.at]);
    config.hosts[0].pop3 = Some(endpoint(Protocol::Pop3, Security::Clear, pop3.at));
    let relayed = backend(config);
    let connected = relayed.connect(request()).await.unwrap();
    assert_eq!(connected.speaks, Protocol::Pop3);
    assert_eq!(connected.welcome.behind, Behind::NotSent);

    let mut no_imap = relayed.config().clone();
    no_imap.hosts[0].imap = None;
    assert!(matches!(
        failure_of(no_imap).await,
        Failure::HostSetup { .. }
    ));
}

#[tokio::test]
async fn the_built_in_store_is_a_host() {
    let demo = HostConfig {
        name: "demo".into(),
        imap: Some(Endpoint {
            protocol: Protocol::Imap,
            security: Security::Clear,
            target: Target::Demo,
        }),
        pop3: None,
        weight: 1,
    };
    let backend = backend(Config::new("demo", vec![demo]));
    let demo = Alice {
        credentials: Credentials::Password(Secret::new(b"demo").unwrap()),
        ..Alice::called("demo")
    };
    backend.connect(demo.request()).await.unwrap();
    let refusal = login(&backend).await.map(drop).unwrap_err();
    assert!(refusal.failure.is_credentials());
}
