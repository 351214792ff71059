//! A client, a server's front, and a directory of certificates.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gatepost::tls::{Change, Config, Front, Pair};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::anybody::Anybody;

pub(super) struct Client {
    pub(super) config: ClientConfig,
    pub(super) name: ServerName<'static>,
}

pub(super) struct Talk {
    pub(super) certificate: Vec<u8>,
    pub(super) alpn: Option<Vec<u8>>,
    pub(super) kind: HandshakeKind,
    pub(super) suite: String,
}

impl Client {
    pub(super) fn new(name: Option<&str>) -> Self {
        Self::of_versions(name, rustls::ALL_VERSIONS)
    }

    pub(super) fn of_versions(
        name: Option<&str>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let mut config = client_builder(versions).with_no_client_auth();
        config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(8)));
        config.enable_sni = name.is_some();
        let name = name.unwrap_or("nobody.invalid").to_owned();
        Client {
            config,
            name: ServerName::try_from(name).unwrap(),
        }
    }

    /// One connection: a byte each way, then the close.
    pub(super) async fn talk(&self, server: &Arc<ServerConfig>) -> std::io::Result<Talk> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let acceptor = TlsAcceptor::from(server.clone());
        let serving = tokio::spawn(async move {
            let mut tls = acceptor.accept(theirs).await?;
            tls.write_all(b"+").await?;
            tls.read_u8().await?;
            tls.shutdown().await
        });
        let connector = TlsConnector::from(Arc::new(self.config.clone()));
        let mut tls = connector.connect(self.name.clone(), ours).await?;
        // Tickets of TLS 1.3 come before the first byte.
        assert_eq!(tls.read_u8().await?, b'+');
        let state = tls.get_ref().1;
        let talk = Talk {
            certificate: state.peer_certificates().unwrap()[0].to_vec(),
            alpn: state.alpn_protocol().map(<[u8]>::to_vec),
            kind: state.handshake_kind().unwrap(),
            suite: format!(
                "{:?} {:?}",
                state.protocol_version().unwrap(),
                state.negotiated_cipher_suite().unwrap().suite()
            ),
        };
        tls.write_all(b"-").await?;
        tls.shutdown().await?;
        serving.await.unwrap()?;
        Ok(talk)
    }
}

pub(super) fn client_builder(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody::new()))
}

pub(super) fn config(pairs: &[Pair]) -> Config {
    Config {
        certificates: pairs.to_vec(),
        ..Config::default()
    }
}

pub(super) fn front(pairs: &[Pair]) -> Front {
    Front::new(config(pairs)).unwrap()
}

pub(super) fn swapped(file: &Path) -> Change {
    Change::Swapped {
        name: file.display().to_string(),
    }
}

/// As a careful tool writes: a new file moved over the old one.
pub(super) fn replace(file: &Path, content: &[u8]) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, file).unwrap();
}

pub(super) struct Dir(pub(super) PathBuf);

impl Dir {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("gatepost-tls-{}-{n}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    /// A new key and certificate in `name.crt`, `name.key`.
    pub(super) fn pair(&self, name: &str, names: &[&str]) -> Pair {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let certificate = CertificateParams::new(names)
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let pair = Pair {
            cert: self.0.join(format!("{name}.crt")),
            key: self.0.join(format!("{name}.key")),
        };
        replace(&pair.cert, certificate.pem().as_bytes());
        replace(&pair.key, key.serialize_pem().as_bytes());
        pair
    }

    /// A new authority; its certificate is in `name.crt`.
    pub(super) fn authority(&self, name: &str) -> (rcgen::Issuer<'static, KeyPair>, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        let file = self.file(&format!("{name}.crt"), certificate.pem().as_bytes());
        (rcgen::Issuer::new(params, key), file)
    }

    pub(super) fn der(&self, name: &str) -> Vec<u8> {
        use rustls::pki_types::pem::PemObject;
        let file = self.0.join(format!("{name}.crt"));
        CertificateDer::from_pem_file(file).unwrap().to_vec()
    }

    pub(super) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let file = self.0.join(name);
        replace(&file, content);
        file
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
