//! A certificate authority for the tests, and one nobody trusts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Scratch;

/// Certificates in files, as servers and clients want them.
pub(crate) struct Pki {
    /// The authority's certificate.
    pub(crate) ca: PathBuf,
    /// A certificate for `localhost` and 127.0.0.1 signed by it.
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// Signed by it, but for another name.
    pub(crate) other_name: (PathBuf, PathBuf),
    /// A client's: the mail address `alice@example.org` in it.
    pub(crate) client: (PathBuf, PathBuf),
    /// For the right name, but signed by nobody.
    pub(crate) self_signed: (PathBuf, PathBuf),
}

impl Pki {
    pub(crate) fn new(scratch: &Scratch) -> Pki {
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "end-to-end authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_cert = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);

        let signed = |file: &str, names: &[&str]| {
            let (params, key) = leaf(names);
            let cert = params.signed_by(&key, &issuer).unwrap();
            write(scratch, file, &cert.pem(), &key)
        };
        let (cert, key) = signed("server", &["localhost", "127.0.0.1"]);
        let other_name = signed("other", &["elsewhere.example"]);
        let (mut params, client_key) = leaf(&["nobody"]);
        let address = "alice@example.org".try_into().unwrap();
        params.subject_alt_names = vec![SanType::Rfc822Name(address)];
        let client = params.signed_by(&client_key, &issuer).unwrap();
        let (params, lone_key) = leaf(&["localhost", "127.0.0.1"]);
        let lone = params.self_signed(&lone_key).unwrap();
        Pki {
            ca: scratch.write("ca.pem", ca_cert.pem()),
            cert,
            key,
            other_name,
            client: write(scratch, "client", &client.pem(), &client_key),
            self_signed: write(scratch, "lone", &lone.pem(), &lone_key),
        }
    }
}

/// What a scripted server needs to speak TLS.
pub(crate) fn server(cert: &Path, key: &Path) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(cert).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

fn leaf(names: &[&str]) -> (CertificateParams, KeyPair) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, names[0].as_str());
    (params, KeyPair::generate().unwrap())
}

fn write(scratch: &Scratch, name: &str, cert: &str, key: &KeyPair) -> (PathBuf, PathBuf) {
    (
        scratch.write(&format!("{name}.pem"), cert),
        scratch.write(&format!("{name}.key"), key.serialize_pem()),
    )
}
