//! What is kept of a certificate that a client has shown: not the certificate, which may be long.

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;

use super::client_name::client_name;
use super::words::{self, About};
use crate::protocol::UserName;

/// Most octets of the names in a certificate: many times the usual length. Longer ones a lookup service is not
/// told.
const WORDS_MAX: usize = 1024;

/// A client's certificate, verified.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Who may log in by it (SASL EXTERNAL), if anybody may.
    pub name: Option<UserName>,
    /// In OpenSSL's words, where it can be read; names that are too long are empty.
    pub about: Option<About>,
    /// SHA-256 of the whole.
    pub digest: [u8; 32],
    /// What is held on its account as long as the connection lives, in octets: rustls keeps the whole chain.
    pub octets: usize,
}

impl Shown {
    /// Of the certificate of a chain of so many octets.
    pub fn of(certificate: &CertificateDer<'_>, chain: usize) -> Self {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
        let mut about = words::certificate(certificate);
        let names = |about: &About| about.subject.len() + about.issuer.len();
        if let Some(about) = about.as_mut().filter(|about| names(about) > WORDS_MAX) {
            (about.subject, about.issuer) = (String::new(), String::new());
        }
        let length = |about: &About| names(about) + about.serial.len() + about.fingerprint.len();
        Shown {
            name: client_name(certificate),
            octets: chain + about.as_ref().map_or(0, length),
            about,
            digest: sha256,
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn of_a_long_certificate_little_is_kept() {
        let shown = |common: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, common);
            let address = SanType::Rfc822Name("tim@example.org".try_into().unwrap());
            params.subject_alt_names = vec![address];
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let length = certificate.der().len();
            (Shown::of(certificate.der(), length), length)
        };
        let (tim, length) = shown("Tim");
        assert!(tim.about.as_ref().unwrap().subject.contains("CN=Tim"));
        assert!(tim.octets > length && tim.octets < length + WORDS_MAX);
        let (long, length) = shown(&"T".repeat(WORDS_MAX));
        assert_eq!(
            (long.name, tim.name.as_ref()),
            (tim.name.clone(), tim.name.as_ref())
        );
        let about = long.about.unwrap();
        assert_eq!((&*about.subject, &*about.issuer), ("", ""));
        assert_eq!(about.fingerprint.len(), 40);
        assert!(!about.serial.is_empty() && long.octets < length + 100);
        assert_ne!(long.digest, tim.digest);
    }
}
