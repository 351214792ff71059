//! A certificate where none is configured, so that a first try is under TLS too.
//!
//! Good for `localhost`, this machine's name and the loopback addresses, for 397 days: the longest
//! that Apple's clients take. It is made anew at every start and before it ends.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

/// How long it is good.
const VALID: Duration = Duration::from_secs(397 * 24 * 3600);

/// For clients whose clock is behind ours; part of [`VALID`].
const BACKDATED: Duration = Duration::from_secs(24 * 3600);

/// Makes a key and a certificate for it.
pub(super) fn make(now: SystemTime, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut params = CertificateParams::new(names()).map_err(|e| e.to_string())?;
    params.not_before = date_time_ymd(1970, 1, 1) + since_epoch.saturating_sub(BACKDATED);
    params.not_after = params.not_before + VALID;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Gatepost self-signed");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(|e| e.to_string())?;
    let certificate = params.self_signed(&key).map_err(|e| e.to_string())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    CertifiedKey::from_der(vec![certificate.der().clone()], key, provider)
        .map_err(|e| e.to_string())
}

fn names() -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
    // The one place that needs no unsafe call; where there is no /proc the name is left out.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if !host.is_empty() && host != "localhost" && host.chars().all(plain) {
        names.push(host);
    }
    names
}
