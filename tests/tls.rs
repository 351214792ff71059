//! TLS towards clients, as a client sees it: which certificate, which ALPN, whether a ticket is
//! taken again, and what new files do.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

#[path = "support/anybody.rs"]
mod anybody;
#[path = "tls/ends.rs"]
mod ends;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use ends::*;
use gatepost::protocol::Protocol;
use gatepost::tls::{Change, Config, Front, Pair, Version};
use rcgen::{CertificateParams, KeyPair};
use rustls::HandshakeKind;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

#[tokio::test]
async fn the_certificate_is_chosen_by_name() {
    let dir = Dir::new();
    let front = front(&[
        dir.pair("first", &["first.example"]),
        dir.pair("mail", &["mail.example", "imap.example"]),
        dir.pair("wild", &["*.example"]),
    ]);
    let server = front.server_config(Protocol::Imap, None).unwrap();
    for (asked, want) in [
        (Some("first.example"), "first"),
        (Some("mail.example"), "mail"),
        (Some("MAIL.example"), "mail"),
        (Some("imap.example"), "mail"),
        (Some("pop.example"), "wild"),
        (Some("a.b.example"), "first"), // a wildcard is one label
        (Some("example"), "first"),
        (Some("unknown.test"), "first"),
        (None, "first"),
    ] {
        let talk = Client::new(asked).talk(&server).await.unwrap();
        assert_eq!(talk.certificate, dir.der(want), "asked for {asked:?}");
    }
}

#[tokio::test]
async fn a_foreign_alpn_is_refused() {
    let front = Front::new(Config::default()).unwrap();
    let imap = front.server_config(Protocol::Imap, None).unwrap();
    let pop3 = front.server_config(Protocol::Pop3, None).unwrap();
    for (server, offered, taken) in [
        (&imap, &["imap"][..], Some(Some("imap"))),
        (&imap, &["http/1.1", "imap"], Some(Some("imap"))),
        (&imap, &[], Some(None)),
        (&imap, &["http/1.1"], None),
        (&imap, &["pop3"], None),
        (&pop3, &["pop3"], Some(Some("pop3"))),
        (&pop3, &["imap", "h2"], None),
    ] {
        let mut client = Client::new(Some("localhost"));
        client.config.alpn_protocols = offered.iter().map(|p| p.as_bytes().to_vec()).collect();
        let talk = client.talk(server).await;
        let alpn = talk.ok().map(|talk| talk.alpn);
        let want = taken.map(|p| p.map(|p| p.as_bytes().to_vec()));
        assert_eq!(alpn, want, "offered {offered:?}");
    }
}

#[tokio::test]
async fn old_and_new_versions() {
    let pairs = || Config::default();
    let any = Front::new(pairs()).unwrap();
    let only13 = Front::new(Config {
        min_version: Version::Tls13,
        ..pairs()
    })
    .unwrap();
    for (front, versions, want) in [
        (
            &any,
            [&rustls::version::TLS12],
            Some("TLSv1_2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        ),
        (
            &any,
            [&rustls::version::TLS13],
            Some("TLSv1_3 TLS13_AES_128_GCM_SHA256"),
        ),
        (
            &only13,
            [&rustls::version::TLS13],
            Some("TLSv1_3 TLS13_AES_128_GCM_SHA256"),
        ),
        (&only13, [&rustls::version::TLS12], None),
    ] {
        let server = front.server_config(Protocol::Imap, None).unwrap();
        let client = Client::of_versions(Some("localhost"), &versions);
        assert_eq!(
            client.talk(&server).await.ok().map(|t| t.suite).as_deref(),
            want
        );
    }
}

#[tokio::test]
async fn a_ticket_outlives_a_new_certificate() {
    for versions in [[&rustls::version::TLS13], [&rustls::version::TLS12]] {
        let dir = Dir::new();
        let pair = dir.pair("a", &["mail.example"]);
        let front = front(std::slice::from_ref(&pair));
        let server = front.server_config(Protocol::Imap, None).unwrap();
        let client = Client::of_versions(Some("mail.example"), &versions);
        let kinds = [
            client.talk(&server).await.unwrap().kind,
            client.talk(&server).await.unwrap().kind,
        ];
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);

        dir.pair("a", &["mail.example"]);
        assert_eq!(front.refresh(), [swapped(&pair.cert)]);
        assert_eq!(
            client.talk(&server).await.unwrap().kind,
            HandshakeKind::Resumed
        );
        let fresh = Client::new(Some("mail.example"));
        assert_eq!(fresh.talk(&server).await.unwrap().certificate, dir.der("a"));

        // Also when the settings are read anew.
        let next = front
            .successor(config(std::slice::from_ref(&pair)))
            .unwrap();
        let server = next.server_config(Protocol::Imap, None).unwrap();
        assert_eq!(
            client.talk(&server).await.unwrap().kind,
            HandshakeKind::Resumed
        );
    }
}

#[tokio::test]
async fn one_ticket_is_given_and_none_where_client_certificates_are_asked_for() {
    let dir = Dir::new();
    let pair = dir.pair("a", &["mail.example"]);
    let front = front(std::slice::from_ref(&pair));
    let server = front.server_config(Protocol::Imap, None).unwrap();
    assert_eq!(server.send_tls13_tickets, 1);
    assert_eq!(server.max_early_data_size, 0);

    let server = front
        .server_config(Protocol::Imap, Some(&pair.cert))
        .unwrap();
    let client = Client::new(Some("mail.example"));
    for _ in 0..2 {
        assert_eq!(
            client.talk(&server).await.unwrap().kind,
            HandshakeKind::Full
        );
    }
    let problem = front
        .server_config(Protocol::Imap, Some(&pair.key))
        .unwrap_err();
    assert_eq!(problem.file, pair.key);
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_and_must_verify() {
    let dir = Dir::new();
    let server_pair = dir.pair("server", &["mail.example"]);
    let (ca, ca_cert) = dir.authority("ca");
    let (stranger, _) = dir.authority("stranger");
    let front = front(std::slice::from_ref(&server_pair));
    let server = front.server_config(Protocol::Imap, Some(&ca_cert)).unwrap();
    for (shown, want) in [(None, true), (Some(&ca), true), (Some(&stranger), false)] {
        let mut client = Client::new(Some("mail.example"));
        if let Some(authority) = shown {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec!["alice".to_owned()]).unwrap();
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
            let certificate = params.signed_by(&key, authority).unwrap();
            let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
            client.config = client_builder(rustls::ALL_VERSIONS)
                .with_client_auth_cert(vec![certificate.der().clone()], key)
                .unwrap();
        }
        assert_eq!(client.talk(&server).await.is_ok(), want);
    }
}

#[tokio::test]
async fn replicas_share_tickets_by_their_key_file_only() {
    let dir = Dir::new();
    let pair = dir.pair("a", &["mail.example"]);
    let key = dir.file("ticket.key", b"0123456789abcdef0123456789abcdef\n");
    let same = dir.file("copy.key", b"0123456789abcdef0123456789abcdef");
    let other = dir.file("other.key", b"another secret of thirty-two and more");
    let replica = |key: Option<&PathBuf>, protocol| {
        let config = Config {
            ticket_key_file: key.cloned(),
            ..config(std::slice::from_ref(&pair))
        };
        Front::new(config)
            .unwrap()
            .server_config(protocol, None)
            .unwrap()
    };
    let first = replica(Some(&key), Protocol::Imap);
    for (second, want) in [
        (replica(Some(&same), Protocol::Imap), HandshakeKind::Resumed),
        (replica(Some(&other), Protocol::Imap), HandshakeKind::Full),
        (replica(Some(&same), Protocol::Pop3), HandshakeKind::Full),
        (replica(None, Protocol::Imap), HandshakeKind::Full),
    ] {
        let client = Client::new(Some("mail.example"));
        assert_eq!(client.talk(&first).await.unwrap().kind, HandshakeKind::Full);
        assert_eq!(client.talk(&second).await.unwrap().kind, want);
    }
}

#[tokio::test]
async fn a_new_ticket_key_still_opens_tickets_of_the_old() {
    let dir = Dir::new();
    let key = dir.file("ticket.key", b"0123456789abcdef0123456789abcdef");
    let front = Front::new(Config {
        ticket_key_file: Some(key.clone()),
        ..Config::default()
    })
    .unwrap();
    let server = front.server_config(Protocol::Imap, None).unwrap();
    let client = Client::new(Some("localhost"));
    client.talk(&server).await.unwrap();
    dir.file("ticket.key", b"another secret of thirty-two and more");
    assert_eq!(front.refresh(), [swapped(&key)]);
    assert_eq!(
        client.talk(&server).await.unwrap().kind,
        HandshakeKind::Resumed
    );
    dir.file("ticket.key", b"short");
    assert!(matches!(&front.refresh()[..], [Change::Refused { .. }]));
    assert_eq!(
        client.talk(&server).await.unwrap().kind,
        HandshakeKind::Resumed
    );
}

#[tokio::test]
async fn a_bad_new_pair_keeps_the_old() {
    let dir = Dir::new();
    let pair = dir.pair("a", &["mail.example"]);
    let front = front(std::slice::from_ref(&pair));
    let server = front.server_config(Protocol::Imap, None).unwrap();
    let good = dir.der("a");
    let expires = front.expiries();

    let (cert, key) = (fs::read(&pair.cert).unwrap(), fs::read(&pair.key).unwrap());
    let stranger = dir.pair("b", &["mail.example"]);
    let stranger_key = fs::read(&stranger.key).unwrap();
    for (bad_cert, bad_key, whose) in [
        (&b"garbage"[..], &key[..], &pair.cert),
        (b"-----BEGIN CERTIFICATE-----\nAAAA", &key, &pair.cert),
        (&cert, b"", &pair.key),
        (&cert, &stranger_key, &pair.key),
        (&key, &cert, &pair.cert),
    ] {
        replace(&pair.cert, bad_cert);
        replace(&pair.key, bad_key);
        // Not told at first sight: the second file of the pair may not be written yet.
        assert_eq!(front.refresh(), []);
        match &front.refresh()[..] {
            [Change::Refused { problems }] => assert_eq!(&problems[0].file, whose),
            other => panic!("expected a refusal, got {other:?}"),
        }
        assert_eq!(front.refresh(), [], "told once");
        let talk = Client::new(None).talk(&server).await.unwrap();
        assert_eq!(talk.certificate, good);
    }
    fs::remove_file(&pair.cert).unwrap();
    assert_eq!(front.refresh(), []);
    assert!(matches!(&front.refresh()[..], [Change::Refused { .. }]));

    // The old contents again are no change, new ones are.
    replace(&pair.cert, &cert);
    replace(&pair.key, &key);
    assert_eq!(front.refresh(), []);
    assert_eq!(front.expiries(), expires);
    dir.pair("a", &["mail.example"]);
    assert_eq!(front.refresh(), [swapped(&pair.cert)]);
    let talk = Client::new(None).talk(&server).await.unwrap();
    assert_eq!(talk.certificate, dir.der("a"));
}

#[tokio::test]
async fn a_swapped_link_is_a_new_pair() {
    let dir = Dir::new();
    dir.pair("v1", &["mail.example"]);
    dir.pair("v2", &["mail.example"]);
    for version in ["v1", "v2"] {
        let sub = dir.0.join(version);
        fs::create_dir(&sub).unwrap();
        for file in ["crt", "key"] {
            let from = dir.0.join(format!("{version}.{file}"));
            fs::rename(from, sub.join(format!("tls.{file}"))).unwrap();
        }
    }
    let data = dir.0.join("..data");
    std::os::unix::fs::symlink("v1", &data).unwrap();
    let pair = Pair {
        cert: data.join("tls.crt"),
        key: data.join("tls.key"),
    };
    let front = front(std::slice::from_ref(&pair));
    assert_eq!(front.refresh(), []);
    let tmp = dir.0.join("..data_tmp");
    std::os::unix::fs::symlink("v2", &tmp).unwrap();
    fs::rename(&tmp, &data).unwrap();
    assert_eq!(front.refresh(), [swapped(&pair.cert)]);
}

#[tokio::test(start_paused = true)]
async fn files_are_watched() {
    let dir = Dir::new();
    let pair = dir.pair("a", &["mail.example"]);
    let front = Arc::new(front(std::slice::from_ref(&pair)));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let watching = tokio::spawn(gatepost::tls::watch(
        move || front.clone(),
        move |front, changes| {
            tell.send((changes.to_vec(), front.expiries())).unwrap();
        },
    ));
    for _ in 0..2 {
        dir.pair("a", &["mail.example"]);
        let (changes, expiries) = told.recv().await.unwrap();
        assert_eq!(changes, [swapped(&pair.cert)]);
        assert_eq!(expiries[0].name, pair.cert.display().to_string());
    }
    fs::write(&pair.key, "garbage").unwrap();
    let (changes, _) = told.recv().await.unwrap();
    assert!(matches!(&changes[..], [Change::Refused { .. }]));
    watching.abort();
}

#[tokio::test]
async fn a_self_signed_certificate_is_good_for_this_machine_and_397_days() {
    let front = Front::new(Config::default()).unwrap();
    let server = front.server_config(Protocol::Imap, None).unwrap();
    let leaf = Client::new(None).talk(&server).await.unwrap().certificate;
    for name in ["localhost", "127.0.0.1", "::1"] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(leaf.clone().into()).unwrap();
        let provider = gatepost::tls::provider();
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .unwrap();
        let der = CertificateDer::from(leaf.clone());
        let name = ServerName::try_from(name).unwrap();
        verifier
            .verify_server_cert(&der, &[], &name, &[], UnixTime::now())
            .unwrap();
    }
    let [expiry] = &front.expiries()[..] else {
        panic!("one certificate");
    };
    assert_eq!(expiry.name, "self-signed");
    let left = expiry.at - i64::try_from(UnixTime::now().as_secs()).unwrap();
    assert!((395 * 86_400..=396 * 86_400).contains(&left), "{left}");
    // New settings do not make another one.
    let next = front.successor(Config::default()).unwrap();
    let server = next.server_config(Protocol::Pop3, None).unwrap();
    assert_eq!(
        Client::new(None).talk(&server).await.unwrap().certificate,
        leaf
    );
}
