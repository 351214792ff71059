//! What OpenSSL calls things: cipher suites and certificates in the words that nginx tells a lookup
//! service, so that one written for nginx reads ours alike.
//!
//! Names are RFC 2253's (`XN_FLAG_RFC2253`): the last part first, octets beyond ASCII escaped.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use rustls::CipherSuite;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// A certificate in OpenSSL's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Its number, upper-case hexadecimal.
    pub serial: String,
    /// SHA-1 of the whole, lower-case hexadecimal.
    pub fingerprint: String,
}

/// The name of a cipher suite, if it is one that we speak.
pub fn cipher(suite: CipherSuite) -> Option<&'static str> {
    Some(match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "ECDHE-ECDSA-CHACHA20-POLY1305"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => return None,
    })
}

/// A certificate's words; none where it cannot be read.
pub(super) fn certificate(der: &[u8]) -> Option<About> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let serial = certificate.raw_serial();
    // A leading zero octet only says that the number is not negative.
    let serial = serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty());
    let serial = serial.unwrap_or_else(|| certificate.raw_serial());
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der);
    Some(About {
        subject: name(certificate.subject()),
        issuer: name(certificate.issuer()),
        serial: hex(serial).to_ascii_uppercase(),
        fingerprint: hex(sha1.as_ref()),
    })
}

/// A distinguished name (RFC 2253 §2).
fn name(name: &X509Name<'_>) -> String {
    let sets: Vec<String> = name
        .iter_rdn()
        .map(|set| {
            // OpenSSL turns the order of the parts of one set around, too.
            let parts: Vec<String> = set
                .iter()
                .map(|part| {
                    let oid = part.attr_type().to_id_string();
                    format!("{}={}", key(&oid), escaped(part.as_slice()))
                })
                .collect();
            parts.into_iter().rev().collect::<Vec<_>>().join("+")
        })
        .collect();
    sets.into_iter().rev().collect::<Vec<_>>().join(",")
}

/// OpenSSL's short name for the type of a part; others are told by their numbers.
fn key(oid: &str) -> &str {
    match oid {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "GN",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        other => other,
    }
}

/// RFC 2253 §2.4; control characters and octets beyond ASCII as `\XX`.
fn escaped(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    for (at, octet) in value.iter().enumerate() {
        let end = at == 0 || at + 1 == value.len();
        match octet {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                out.push('\\');
                out.push(char::from(*octet));
            }
            b' ' if end => out.push_str("\\ "),
            b'#' if at == 0 => out.push_str("\\#"),
            b' '..=b'~' => out.push(char::from(*octet)),
            _ => {
                let _ = write!(out, "\\{octet:02X}");
            }
        }
    }
    out
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut out, octet| {
        let _ = write!(out, "{octet:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SerialNumber};

    use super::*;

    #[test]
    fn certificates_are_told_as_openssl_tells_them() {
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CountryName, "DE");
        subject.push(DnType::OrganizationName, "Ex, ample");
        subject.push(DnType::CommonName, " tim é#");
        params.distinguished_name = subject;
        params.serial_number = Some(SerialNumber::from_slice(&[0xAB, 0x01]));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let about = certificate(made.der()).unwrap();
        assert_eq!(about.subject, r"CN=\ tim \C3\A9#,O=Ex\, ample,C=DE");
        assert_eq!(about.issuer, about.subject);
        assert_eq!(about.serial, "AB01");
        assert_eq!(about.fingerprint.len(), 40);
        assert_eq!(certificate(&[0x30, 0x82]), None);
    }
}
