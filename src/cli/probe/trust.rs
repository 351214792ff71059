//! Whom a probe believes. The verdict on a certificate is kept and told after the handshake, so that
//! a certificate nobody believes is shown all the same.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::tls;

/// Where belief comes from.
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    /// None: any certificate will do.
    roots: Option<Arc<dyn ServerCertVerifier>>,
}

/// What was thought of the certificate of one handshake.
pub(super) type Verdict = Arc<Mutex<Option<Result<(), String>>>>;

impl Trust {
    pub(super) fn new(ca: Option<&Path>, no_verify: bool) -> Result<Self, String> {
        let provider = tls::provider();
        // The first random octet of a process takes up to 0.1 s: it is no part of a handshake's time.
        let _ = provider.secure_random.fill(&mut [0]);
        let roots: Option<Arc<dyn ServerCertVerifier>> = match (ca, no_verify) {
            (_, true) => None,
            (Some(file), _) => {
                let wrong = |why: String| format!("{}: {why}", file.display());
                let mut roots = RootCertStore::empty();
                let list = CertificateDer::pem_file_iter(file).map_err(|e| wrong(e.to_string()))?;
                for certificate in list {
                    let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
                    roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
                }
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
                Some(verifier.build().map_err(|e| wrong(e.to_string()))?)
            }
            (None, false) => {
                let system = rustls_platform_verifier::Verifier::new(provider.clone());
                let hint = "--ca names a CA file";
                Some(Arc::new(system.map_err(|e| format!("{e} ({hint})"))?))
            }
        };
        Ok(Trust { provider, roots })
    }

    /// Whether certificates are verified at all.
    pub(super) fn verifies(&self) -> bool {
        self.roots.is_some()
    }

    /// Settings for one handshake, and where its verdict will be.
    pub(super) fn settings(&self) -> Result<(ClientConfig, Verdict), String> {
        let verdict = Verdict::default();
        let witness = Arc::new(Witness {
            provider: self.provider.clone(),
            roots: self.roots.clone(),
            verdict: verdict.clone(),
        });
        let config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(witness)
            .with_no_client_auth();
        Ok((config, verdict))
    }
}

/// Lets every handshake through and remembers what was wrong with its certificate. Nothing is sent
/// behind a handshake before the verdict was looked at.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    roots: Option<Arc<dyn ServerCertVerifier>>,
    verdict: Verdict,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = match &self.roots {
            None => Ok(()),
            Some(roots) => roots
                .verify_server_cert(leaf, intermediates, name, ocsp, now)
                .map(drop)
                .map_err(|error| error.to_string()),
        };
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, leaf, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
