//! Whom a backend believes, and what it says of those it does not.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gatepost::backend::config::{Config, Security, Verify};
use gatepost::backend::{Backend, Surroundings};
use gatepost::protocol::Failure;
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::scripted::*;

/// A certificate for tests: its PEM file with the key in it too, the host's configuration, the pin of its key.
pub(crate) struct Cert {
    pub(crate) file: PathBuf,
    der: CertificateDer<'static>,
    key: KeyPair,
    pub(crate) server: Arc<rustls::ServerConfig>,
    pin: [u8; 32],
}

impl Cert {
    pub(crate) fn new(label: &str, change: impl FnOnce(&mut CertificateParams)) -> Cert {
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, label);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let name = format!("gatepost-hostleg-{}-{label}.pem", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, cert.pem() + &key.serialize_pem()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], der)
            .unwrap();
        let spki = key.subject_public_key_info();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki);
        Cert {
            file,
            der: cert.der().clone(),
            key,
            server: Arc::new(server),
            pin: digest.as_ref().try_into().unwrap(),
        }
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    async fn serve(&self, security: Security) -> Host {
        Host::start(Script {
            tls: Some((Arc::clone(&self.server), security)),
            ..good()
        })
        .await
    }
}

impl Drop for Cert {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// A backend of one TLS host.
fn secured(at: SocketAddr, security: Security, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = config(&[at]);
    config.hosts = vec![imap("h0", security, at)];
    change(&mut config);
    config
}

#[tokio::test]
async fn certificates_are_verified() {
    let cert = Cert::new("good", |_| {});
    let ca = Cert::new("ca", |it| {
        it.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    let other = Cert::new("other", |it| {
        it.subject_alt_names = vec![rcgen::SanType::DnsName("mail.test".try_into().unwrap())];
    });
    let old = Cert::new("old", |it| it.not_after = rcgen::date_time_ymd(2020, 1, 1));
    for security in [Security::Implicit, Security::StartTls] {
        for (name, cert, ca, verify, pin, tls_name, want) in [
            ("trusted", &cert, Some(&cert), Verify::Yes, None, None, ""),
            (
                "trusted and pinned",
                &cert,
                Some(&cert),
                Verify::Yes,
                Some(&cert),
                None,
                "",
            ),
            (
                "self-signed CA, trusted itself",
                &ca,
                Some(&ca),
                Verify::Yes,
                None,
                None,
                "",
            ),
            (
                "named otherwise",
                &other,
                Some(&other),
                Verify::Yes,
                None,
                Some("mail.test"),
                "",
            ),
            ("not verified", &old, None, Verify::No, None, None, ""),
            ("pinned alone", &old, None, Verify::No, Some(&old), None, ""),
            (
                "unknown issuer",
                &cert,
                Some(&ca),
                Verify::Yes,
                None,
                None,
                "unknown issuer",
            ),
            (
                "system roots",
                &cert,
                None,
                Verify::Yes,
                None,
                None,
                "unknown issuer",
            ),
            (
                "system roots and a self-signed CA",
                &ca,
                None,
                Verify::Yes,
                None,
                None,
                "the certificate is self-signed (tls.ca may name it",
            ),
            (
                "another authority and a self-signed CA",
                &ca,
                Some(&cert),
                Verify::Yes,
                None,
                None,
                "the certificate is self-signed (tls.ca may name it",
            ),
            (
                "wrong name",
                &other,
                Some(&other),
                Verify::Yes,
                None,
                None,
                "another name: expected 127.0.0.1, got mail.test (tls.name",
            ),
            (
                "wrong name of a self-signed CA",
                &ca,
                Some(&ca),
                Verify::Yes,
                None,
                Some("mail.test"),
                "another name",
            ),
            (
                "expired",
                &old,
                Some(&old),
                Verify::Yes,
                None,
                None,
                "has expired",
            ),
            (
                "wrong pin",
                &cert,
                Some(&cert),
                Verify::Yes,
                Some(&ca),
                None,
                "none of tls.pins",
            ),
            (
                "wrong pin, not verified",
                &cert,
                None,
                Verify::No,
                Some(&ca),
                None,
                "none of tls.pins",
            ),
        ] {
            let host = cert.serve(security).await;
            let config = secured(host.at, security, |config| {
                config.tls.ca = ca.map(|ca| ca.file.clone());
                config.tls.verify = verify;
                config.tls.pins = pin.iter().map(|cert| cert.pin).collect();
                config.tls.name = tls_name.map(Into::into);
            });
            let backend = match Backend::new(config, Surroundings::default()) {
                Ok(backend) => backend,
                // A machine without any roots.
                Err(error) if name.starts_with("system roots") && error.contains("No CA") => {
                    continue;
                }
                Err(error) => panic!("{name}: {error}"),
            };
            match login(&backend).await {
                Ok(connected) => {
                    assert_eq!(want, "", "{name}: logged in");
                    assert_eq!(connected.stream.tls().unwrap().version, "TLSv1.3");
                }
                Err(refusal) => {
                    let Failure::HostTls { cause } = &refusal.failure else {
                        panic!("{name}: {}", refusal.failure);
                    };
                    assert!(!want.is_empty() && cause.contains(want), "{name}: {cause}");
                    assert!(!host.heard().contains("AUTHENTICATE"), "{name}");
                }
            }
        }
    }
}

/// A host that asks for our certificate lets in who shows the right one.
#[tokio::test]
async fn our_own_certificate_is_shown_to_a_host_that_asks() {
    let (host_cert, ours, stranger) = (
        Cert::new("asks", |_| {}),
        Cert::new("ours", |_| {}),
        Cert::new("stranger", |_| {}),
    );
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ours.der.clone()).unwrap();
    let asks = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    )
    .build()
    .unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(asks)
        .with_single_cert(vec![host_cert.der.clone()], host_cert.key())
        .unwrap();
    let host = Host::start(Script {
        tls: Some((Arc::new(server), Security::Implicit)),
        ..good()
    })
    .await;
    for (shown, accepted) in [(Some(&ours), true), (Some(&stranger), false), (None, false)] {
        let config = secured(host.at, Security::Implicit, |config| {
            config.tls.ca = Some(host_cert.file.clone());
            config.tls.client = shown.map(|it| (it.file.clone(), it.file.clone()));
        });
        match login(&backend(config)).await.map(drop) {
            Ok(()) => assert!(accepted),
            // TLS 1.3 says so only behind the handshake.
            Err(refusal) => {
                assert!(!accepted, "{}", refusal.failure);
                assert!(
                    matches!(refusal.failure, Failure::HostTls { .. }),
                    "{}",
                    refusal.failure
                );
            }
        }
    }
}

#[tokio::test]
async fn starttls_never_falls_back() {
    for (answers, want) in [
        (
            &[("STARTTLS", "% NO not today\r\n")][..],
            "STARTTLS refused",
        ),
        (&[("STARTTLS", "% BAD what\r\n")], "STARTTLS refused"),
        (
            &[("STARTTLS", "% OK go\r\n* CAPABILITY AUTH=PLAIN\r\n")],
            "nothing behind the OK",
        ),
    ] {
        let host = Host::start(login_answered(answers)).await;
        let config = secured(host.at, Security::StartTls, |config| {
            config.tls.verify = Verify::No;
        });
        let failure = failure_of(config).await.to_string();
        assert!(failure.contains(want), "{failure}");
        let heard = host.heard();
        assert!(
            !heard.contains("AUTHENTICATE") && !heard.contains("LOGIN"),
            "{heard}"
        );
    }
}

#[tokio::test]
async fn a_tls_host_that_is_none_fails_in_time() {
    let silent = Host::start(greets("")).await;
    let talks = Host::start(greets("* OK hi\r\n")).await;
    for (at, want) in [
        (silent.at, "timed out in state=tls"),
        (talks.at, "tls to the host failed"),
    ] {
        let failure = failure_of(secured(at, Security::Implicit, |config| {
            config.tls.verify = Verify::No;
            config.greeting_timeout = Duration::from_millis(300);
        }))
        .await;
        assert!(failure.to_string().contains(want), "{failure}");
    }
}

#[test]
fn files_that_are_no_certificates_are_named() {
    let at = "127.0.0.1:1".parse().unwrap();
    for (path, want) in [
        ("/nonexistent/ca.pem", "/nonexistent/ca.pem"),
        ("/dev/null", "no certificate"),
    ] {
        let config = secured(at, Security::Implicit, |config| {
            config.tls.ca = Some(path.into())
        });
        let error = Backend::new(config, Surroundings::default())
            .map(drop)
            .unwrap_err();
        assert!(error.contains(want), "{error}");
    }
}
