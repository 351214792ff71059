//! TLS towards hosts; `verifier` says whom we believe, and in plain words why we did not.
//!
//! Certificates are verified against the system's roots or a CA file; public keys may be pinned
//! besides that, or alone where verification is turned off. One client configuration a backend, so
//! sessions are resumed among the hosts of one backend only. No ALPN is sent: old hosts abort on it.

mod verifier;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, Error};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::config::{TlsConfig, Verify};
use crate::protocol::Failure;
pub(crate) use verifier::{PINS_INSTEAD, Verifier, plainly};

/// What is needed to speak TLS with the hosts of one backend.
pub(crate) struct HostTls {
    connector: TlsConnector,
    /// The name certificates must bear, instead of each host's own.
    name: Option<ServerName<'static>>,
    verifier: Arc<Verifier>,
}

/// Which of the settings cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `ca`, or the system's roots where there is none.
    Authorities,
    /// `cert`.
    Certificate,
    /// `key`.
    Key,
    /// `name`.
    Name,
}

/// Why settings cannot be used: the part, and the reason with the name of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) part: Part,
    pub(crate) text: String,
}

impl Unfit {
    fn of<E: ToString>(part: Part) -> impl Fn(E) -> Unfit {
        move |error| Unfit {
            part,
            text: error.to_string(),
        }
    }
}

impl From<Unfit> for String {
    fn from(unfit: Unfit) -> String {
        unfit.text
    }
}

/// What keeps a backend from being made with these settings: all of it. Each part is made as for a
/// backend, by itself.
pub(crate) fn faults(config: &TlsConfig) -> Vec<Unfit> {
    let bare = TlsConfig {
        verify: Verify::No,
        ..TlsConfig::default()
    };
    let by_system = config.verify == Verify::Yes && config.ca.is_none();
    let authorities = TlsConfig {
        verify: match by_system && SYSTEM_READ.load(Ordering::Relaxed) {
            true => Verify::No,
            false => config.verify,
        },
        ca: config.ca.clone(),
        ..bare.clone()
    };
    let pair = TlsConfig {
        client: config.client.clone(),
        ..bare.clone()
    };
    let name = TlsConfig {
        name: config.name.clone(),
        ..bare
    };
    let unfit = |only: &TlsConfig| HostTls::new(only).err();
    let authorities = unfit(&authorities);
    if by_system && authorities.is_none() {
        SYSTEM_READ.store(true, Ordering::Relaxed);
    }
    let each = [authorities, unfit(&pair), unfit(&name)].into_iter();
    each.flatten().collect()
}

/// The system's roots could be read. They are hundreds, and the same for all backends: once is enough to
/// say so.
static SYSTEM_READ: AtomicBool = AtomicBool::new(false);

impl HostTls {
    /// Reads the files that the settings name. The error says which one is wrong, and how.
    pub(crate) fn new(config: &TlsConfig) -> Result<Self, Unfit> {
        let verifier = Verifier::new(config, &provider()).map_err(Unfit::of(Part::Authorities))?;
        HostTls::verified(config, Arc::new(verifier))
    }

    /// With a verifier that was made with the same settings: the system's roots are hundreds of files.
    pub(super) fn verified(config: &TlsConfig, verifier: Arc<Verifier>) -> Result<Self, Unfit> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(Unfit::of(Part::Authorities))?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone());
        let client = match &config.client {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = certificates(cert).map_err(Unfit::of(Part::Certificate))?;
                let unfit = |error: &dyn fmt::Display| Unfit {
                    part: Part::Key,
                    text: format!("{}: {error}", key.display()),
                };
                let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| unfit(&error))?;
                let with_pair = builder.with_client_auth_cert(chain, key_der);
                with_pair.map_err(|error| match error {
                    Error::InconsistentKeys(_) => {
                        unfit(&format_args!("not the key of {}", cert.display()))
                    }
                    Error::InvalidCertificate(why) => Unfit {
                        part: Part::Certificate,
                        text: format!("{}: the certificate cannot be read: {why}", cert.display()),
                    },
                    error => unfit(&error),
                })?
            }
        };
        let name = config.name.as_deref().map(server_name).transpose();
        Ok(HostTls {
            connector: TlsConnector::from(Arc::new(client)),
            name: name.map_err(Unfit::of(Part::Name))?,
            verifier,
        })
    }

    /// Who says which certificates are believed.
    pub(super) fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }

    /// The handshake with a host of this name or address. A connection that breaks in it is
    /// `Unreachable`, a host that is not believed `HostTls`.
    pub(crate) async fn connect(
        &self,
        host: &str,
        tcp: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => server_name(host).map_err(|cause| Failure::HostTls { cause })?,
        };
        let handshake = self.connector.connect(name, tcp).await;
        handshake.map_err(|error| failure(&error))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_string()).map_err(|_| format!("{name} cannot be in a certificate"))
}

/// Every certificate of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(list) if list.is_empty() => Err(format!("{}: no certificate in it", path.display())),
        Ok(list) => Ok(list),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Tells a broken connection from a host that is not believed.
pub(super) fn failure(error: &io::Error) -> Failure {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
    {
        Some(error) => Failure::HostTls {
            cause: plainly(error),
        },
        None => Failure::Unreachable {
            cause: format!("connection lost in the TLS handshake: {error}"),
        },
    }
}
