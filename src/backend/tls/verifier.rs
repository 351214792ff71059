//! Whom a host's certificate must come from, and in plain words why it was not believed: the system's
//! roots or a CA file, pins besides or alone, or nobody at all (`verify: false`). The only verifier
//! there is: logins go by it, and so does whoever only looks.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::certificates;
use crate::backend::config::{TlsConfig, Verify};

/// Verifies the chain and the name, the pins, or both.
#[derive(Debug)]
pub(crate) struct Verifier {
    chain: Chain,
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Chain {
    /// The system's roots.
    System(rustls_platform_verifier::Verifier),
    /// The certificates of a CA file, and a verifier that trusts them.
    File(Vec<CertificateDer<'static>>, Arc<WebPkiServerVerifier>),
    /// `verify: false`.
    Unverified,
}

impl Verifier {
    /// Reads the roots that the settings name. The error says which file is wrong, and how.
    pub(crate) fn new(config: &TlsConfig, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let chain = match (config.verify, &config.ca) {
            (Verify::No, _) => Chain::Unverified,
            (Verify::Yes, None) => rustls_platform_verifier::Verifier::new(Arc::clone(provider))
                .map(Chain::System)
                .map_err(|error| format!("{error} (tls.ca names a CA file)"))?,
            (Verify::Yes, Some(path)) => {
                let trusted = certificates(path)?;
                let mut roots = RootCertStore::empty();
                for certificate in &trusted {
                    roots.add(certificate.clone()).map_err(|error| {
                        format!("{}: holds a bad authority: {error}", path.display())
                    })?;
                }
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider))
                        .build()
                        .map_err(|error| format!("{}: {error}", path.display()))?;
                Chain::File(trusted, verifier)
            }
        };
        Ok(Verifier {
            chain,
            pins: config.pins.clone(),
            provider: Arc::clone(provider),
        })
    }

    fn verify_pins(&self, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        if self.pins.is_empty() {
            return Ok(());
        }
        let key = ParsedCertificate::try_from(leaf)?.subject_public_key_info();
        let mut got = [0; 32];
        got.copy_from_slice(digest::digest(&digest::SHA256, &key).as_ref());
        match self.pins.contains(&got) {
            true => Ok(()),
            false => Err(Error::InvalidCertificate(CertificateError::Other(
                rustls::OtherError(Arc::new(WrongKey { got })),
            ))),
        }
    }

    /// Whether signatures of the handshake mean anything: not where nothing is verified at all, and
    /// very old hosts have certificates (X.509 v1) that cannot even be read for that.
    fn believes_anyone(&self) -> bool {
        matches!(self.chain, Chain::Unverified) && self.pins.is_empty()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.chain {
            Chain::Unverified => {}
            Chain::System(roots) => {
                let believed = roots.verify_server_cert(leaf, intermediates, name, ocsp, now);
                believed.map_err(|error| told_of(leaf, error))?;
            }
            Chain::File(trusted, roots) => {
                match roots.verify_server_cert(leaf, intermediates, name, ocsp, now) {
                    Ok(_) => {}
                    // `openssl req -x509` makes a self-signed certificate that calls itself a CA.
                    // Who names exactly that one as trusted means it; its dates were looked at.
                    Err(error) if is_its_own_ca(&error) && trusted.iter().any(|it| it == leaf) => {
                        verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
                    }
                    Err(error) => return Err(told_of(leaf, error)),
                }
            }
        }
        self.verify_pins(leaf)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.believes_anyone() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, leaf, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.believes_anyone() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// The verifier's one error for a CA certificate that a server shows as its own. It has no variant
/// in rustls, only its name; the dates are checked before it.
fn is_its_own_ca(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            format!("{:?}", other.0) == "CaUsedAsEndEntity"
        }
        _ => false,
    }
}

/// A host that shows the certificate of a CA: the commonest signed it itself, and can be named.
fn told_of(leaf: &CertificateDer<'_>, error: Error) -> Error {
    if !is_its_own_ca(&error) {
        return error;
    }
    let signed_itself = X509Certificate::from_der(leaf)
        .is_ok_and(|(_, certificate)| certificate.issuer() == certificate.subject());
    let why = match signed_itself {
        true => OfCa::SignedItself,
        false => OfCa::SignedByAnother,
    };
    Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(why))))
}

/// What a host shows is the certificate of a CA, and is not believed as a server's.
#[derive(Clone, Copy, Debug)]
enum OfCa {
    SignedItself,
    SignedByAnother,
}

impl fmt::Display for OfCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OfCa::SignedItself => "the certificate is self-signed (tls.ca may name it",
            OfCa::SignedByAnother => {
                "the certificate is an authority's, and no server's (tls.ca may name it"
            }
        })?;
        f.write_str(PINS_INSTEAD)?;
        f.write_str(")")
    }
}

impl std::error::Error for OfCa {}

/// What a backend's settings may say instead; no option of a probe.
pub(crate) const PINS_INSTEAD: &str = ", or tls.pins its key with `verify: false`";

/// The public key is none of those pinned.
#[derive(Debug)]
struct WrongKey {
    got: [u8; 32],
}

impl fmt::Display for WrongKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use base64::Engine as _;
        let got = base64::engine::general_purpose::STANDARD.encode(self.got);
        write!(f, "the public key is none of tls.pins: got sha256/{got}")
    }
}

impl std::error::Error for WrongKey {}

/// What went wrong in words an operator can act on.
pub(crate) fn plainly(error: &Error) -> String {
    let Error::InvalidCertificate(why) = error else {
        return error.to_string();
    };
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet".into()
        }
        CertificateError::UnknownIssuer => {
            "the certificate is of an unknown issuer (tls.ca names a CA file)".into()
        }
        CertificateError::NotValidForName => "the certificate is for another name".into(),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            // As `DnsName("mail.example")`. The host chose these names: only a few of them, and
            // nothing that could break a line.
            let bare = |it: &String| it.split('"').nth(1).unwrap_or(it).to_owned();
            let names: Vec<String> = presented.iter().map(bare).collect();
            let shown: String = names.join(", ").chars().take(200).collect();
            format!(
                "the certificate is for another name: expected {}, got {} (tls.name sets another)",
                expected.to_str(),
                shown.escape_debug()
            )
        }
        CertificateError::BadSignature => {
            "the certificate is not signed by the issuer it names (another CA of that name?)".into()
        }
        CertificateError::Revoked => "the certificate was revoked".into(),
        CertificateError::Other(other) => other.to_string(),
        other => other.to_string(),
    }
}
