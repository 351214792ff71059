//! Whom a probe believes: whom a backend of the same settings would. The verdict on a certificate is
//! kept and told after the handshake, so that a certificate nobody believes is shown all the same.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::backend::config::{TlsConfig, Verify};
use crate::backend::tls::{PINS_INSTEAD, Verifier, plainly};
use crate::tls;

/// Where belief comes from.
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    verifier: Arc<Verifier>,
    verify: Verify,
}

/// What was thought of the certificate of one handshake.
pub(super) type Verdict = Arc<Mutex<Option<Result<(), String>>>>;

impl Trust {
    pub(super) fn new(ca: Option<&Path>, verify: Verify) -> Result<Self, String> {
        let provider = tls::provider();
        // The first random octet of a process takes up to 0.1 s: it is no part of a handshake's time.
        let _ = provider.secure_random.fill(&mut [0]);
        let config = TlsConfig {
            ca: ca.map(Into::into),
            verify,
            ..TlsConfig::default()
        };
        let verifier = Verifier::new(&config, &provider).map_err(by_options)?;
        Ok(Trust {
            provider,
            verifier: Arc::new(verifier),
            verify,
        })
    }

    /// Whether certificates are verified at all.
    pub(super) fn verifies(&self) -> bool {
        self.verify == Verify::Yes
    }

    /// Settings for one handshake, and where its verdict will be.
    pub(super) fn settings(&self) -> Result<(ClientConfig, Verdict), String> {
        let verdict = Verdict::default();
        let witness = Arc::new(Witness {
            verifier: self.verifier.clone(),
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

/// What a backend's settings are called among a probe's options.
fn by_options(text: String) -> String {
    text.replace(PINS_INSTEAD, "")
        .replace("tls.ca", "--ca")
        .replace("tls.name", "--tls-name")
}

/// Lets every handshake through and remembers what was wrong with its certificate. Nothing is sent
/// behind a handshake before the verdict was looked at.
#[derive(Debug)]
struct Witness {
    verifier: Arc<Verifier>,
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
        let verified = self
            .verifier
            .verify_server_cert(leaf, intermediates, name, ocsp, now);
        let verdict = verified
            .map(drop)
            .map_err(|error| by_options(plainly(&error)));
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_backend_can_set_is_left_out() {
        let told = by_options(format!(
            "it is self-signed (tls.ca may name it{PINS_INSTEAD})"
        ));
        assert_eq!(told, "it is self-signed (--ca may name it)");
    }
}
