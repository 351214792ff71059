//! PEM files: chains, keys and authorities, read with a bound and told apart when they are wrong.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::{Pair, Problem};

/// Largest file that is read: a system's whole bundle of authorities has 220 KB.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// The whole of a file, wiped when dropped: it may be a key.
pub(super) type Content = Zeroizing<Vec<u8>>;

/// Reads a file whole, at most [`MAX_FILE`].
pub(super) fn read(file: &Path) -> Result<Content, Problem> {
    let whole = || -> io::Result<Content> {
        let mut content = Zeroizing::new(Vec::new());
        let mut limited = File::open(file)?.take(MAX_FILE + 1);
        limited.read_to_end(&mut content)?;
        if content.len() as u64 > MAX_FILE {
            return Err(io::Error::other("expected at most 4 MiB, got more"));
        }
        Ok(content)
    };
    whole().map_err(|e| Problem::new(file, format_args!("cannot be read: {e}")))
}

/// Both files of a pair as they are now, or what keeps them from being read.
pub(super) fn read_pair(pair: &Pair) -> Result<(Content, Content), Vec<Problem>> {
    match (read(&pair.cert), read(&pair.key)) {
        (Ok(cert), Ok(key)) => Ok((cert, key)),
        (cert, key) => Err([cert.err(), key.err()].into_iter().flatten().collect()),
    }
}

/// A chain and its key, checked to belong together.
pub(super) fn certified_key(
    pair: &Pair,
    cert: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Vec<Problem>> {
    let chain = chain(&pair.cert, cert);
    let key = private_key(&pair.key, key);
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => return Err([chain.err(), key.err()].into_iter().flatten().collect()),
    };
    CertifiedKey::from_der(chain, key, provider).map_err(|e| {
        let text = match e {
            rustls::Error::InconsistentKeys(_) => {
                format!("is not the key of {}", pair.cert.display())
            }
            e => format!("cannot be used: {e}"),
        };
        vec![Problem::new(&pair.key, text)]
    })
}

fn chain(file: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let chain = CertificateDer::pem_slice_iter(content)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| Problem::new(file, format_args!("is not PEM: {}", told(&e))))?;
    if chain.is_empty() {
        let text = match PrivateKeyDer::from_pem_slice(content) {
            Ok(_) => "expected a certificate, got a private key; are cert and key swapped?",
            Err(_) => "expected a certificate in PEM, got none",
        };
        return Err(Problem::new(file, text));
    }
    Ok(chain)
}

fn private_key(file: &Path, content: &[u8]) -> Result<PrivateKeyDer<'static>, Problem> {
    PrivateKeyDer::from_pem_slice(content).map_err(|e| {
        let encrypted = content
            .windows(ENCRYPTED.len())
            .any(|window| window == ENCRYPTED);
        let text = match e {
            pem::Error::NoItemsFound if encrypted => {
                "the key has a passphrase; write one without, readable by the gateway only".into()
            }
            pem::Error::NoItemsFound => "expected a private key in PEM, got none".into(),
            e => format!("is not PEM: {}", told(&e)),
        };
        Problem::new(file, text)
    })
}

const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// The library's own words, but never a byte of the file: it may be a key.
fn told(e: &pem::Error) -> &'static str {
    match e {
        pem::Error::MissingSectionEnd { .. } => "a section without its END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line that is none",
        pem::Error::Base64Decode(_) => "bad base64",
        _ => "not understood",
    }
}

/// A file of authorities.
pub(super) fn authorities(file: &Path) -> Result<RootCertStore, Problem> {
    let content = read(file)?;
    let mut roots = RootCertStore::empty();
    for certificate in chain(file, &content)? {
        roots
            .add(certificate)
            .map_err(|e| Problem::new(file, format_args!("holds a bad authority: {e}")))?;
    }
    Ok(roots)
}
