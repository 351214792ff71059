//! Whose a client's certificate is: the user name that SASL EXTERNAL logs in with.
//!
//! The first mail address among the subject's alternative names (`rfc822Name`, RFC 5280 §4.2.1.6); in
//! a certificate that has none, the subject's common name. What cannot be a user name is none: a name
//! with a control character in it is not cut, it is refused.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::protocol::UserName;

/// The user name in a certificate that was verified, if there is one.
pub(super) fn client_name(certificate: &CertificateDer<'_>) -> Option<UserName> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()?;
    let addresses = names.iter().flat_map(|names| &names.value.general_names);
    let address = addresses.filter_map(|name| match name {
        GeneralName::RFC822Name(address) => Some(*address),
        _ => None,
    });
    // A bad address does not make room for the common name: they may be two people's.
    if let Some(address) = address.into_iter().next() {
        return UserName::new(address.as_bytes()).ok();
    }
    // The most specific one, where there are several: it stands last (RFC 4514 §2.1).
    let common = certificate.subject().iter_common_name().last()?;
    UserName::new(common.as_str().ok()?.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn name(common: &[&str], names: &[SanType]) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for common in common {
            params.distinguished_name.push(DnType::CommonName, *common);
        }
        params.subject_alt_names = names.to_vec();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        client_name(certificate.der()).map(|name| name.to_string())
    }

    fn mail(address: &str) -> SanType {
        SanType::Rfc822Name(address.try_into().unwrap())
    }

    #[test]
    fn the_mail_address_comes_before_the_common_name() {
        let host = SanType::DnsName("host.example.org".try_into().unwrap());
        for (common, names, want) in [
            (
                &["tim"][..],
                &[mail("tim@example.org")][..],
                Some("tim@example.org"),
            ),
            (
                &["tim"],
                &[host.clone(), mail("a@b"), mail("c@d")],
                Some("a@b"),
            ),
            (&["tim"], std::slice::from_ref(&host), Some("tim")),
            (&["jürgen"], &[], Some("jürgen")),
            (&[], std::slice::from_ref(&host), None),
            (&["ti\0m"], &[], None),
            (&[""], &[], None),
            (&["tim"], &[mail("a\0@b")], None),
            (&["tim"], &[mail("")], None),
        ] {
            assert_eq!(name(common, names).as_deref(), want, "{common:?} {names:?}");
        }
        assert_eq!(client_name(&CertificateDer::from(vec![0x30, 0x82])), None);
    }
}
