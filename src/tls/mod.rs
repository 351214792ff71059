//! TLS towards clients: certificates, tickets, ALPN (RFC 8446, RFC 8314, RFC 7301).
//!
//! [`Front`] is made once from the settings and hands each listener its [`rustls::ServerConfig`].
//! Certificates and the ticket key live behind it and are swapped by [`watch()`] without touching
//! those configurations, so that a session ticket outlives a new certificate. The handshake itself,
//! its task and its deadline are the listener's business.

pub mod certs;
mod client_name;
pub mod config;
mod pem;
mod self_signed;
mod shown;
pub mod stream;
mod tickets;
mod watch;
pub mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite};

pub use certs::Expiry;
pub use config::{Config, Pair, Version};
pub use shown::Shown;
pub use stream::{FirstWords, FrontTls};
pub use watch::{Change, look, watch};
pub(crate) use watch::{Stamp, Unrest};

use crate::protocol::Protocol;
use certs::Certificates;
use tickets::{Tickets, Trust};

/// Something about a file of the settings that keeps TLS from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the settings name it.
    pub file: PathBuf,
    /// What is wrong with it: lower case, no full stop, without the file's name.
    pub text: String,
}

impl Problem {
    fn new(file: &Path, text: impl fmt::Display) -> Self {
        Problem {
            file: file.to_owned(),
            text: text.to_string(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.text)
    }
}

/// The TLS side of all listeners. Cheap to share; holds certificates and ticket keys.
#[derive(Debug)]
pub struct Front {
    certificates: Arc<Certificates>,
    tickets: Arc<Tickets>,
    min_version: Version,
}

impl Front {
    /// Reads certificates, keys and the ticket key, and reports all that is wrong with them.
    ///
    /// With no certificate configured a self-signed one is made, and a warning is logged.
    pub fn new(config: Config) -> Result<Self, Vec<Problem>> {
        Self::build(config, None)
    }

    /// The same for new settings: tickets given out by `self` stay good, unless the new settings
    /// share other ticket keys.
    pub fn successor(&self, config: Config) -> Result<Self, Vec<Problem>> {
        Self::build(config, Some(self))
    }

    fn build(config: Config, before: Option<&Front>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let before_tickets = before.map(|front| &*front.tickets);
        let tickets = Tickets::new(config.ticket_key_file.as_deref(), before_tickets)
            .map_err(|problem| problems.push(problem));
        let before_certificates = before.map(|front| &*front.certificates);
        let certificates = Certificates::load(&config.certificates, before_certificates)
            .map_err(|more| problems.extend(more));
        match (tickets, certificates) {
            (Ok(tickets), Ok(certificates)) => Ok(Front {
                certificates: Arc::new(certificates),
                tickets: Arc::new(tickets),
                min_version: config.min_version,
            }),
            _ => Err(problems),
        }
    }

    /// The configuration of a listener; `client_ca` is a PEM file of authorities whose clients may
    /// show a certificate.
    ///
    /// A client that offers ALPN without the listener's own protocol is refused (ALPACA), one that
    /// offers no ALPN is welcome. With `client_ca` there are no session tickets: a resumed session
    /// would vouch for a certificate that is not looked at again.
    pub fn server_config(
        &self,
        protocol: Protocol,
        client_ca: Option<&Path>,
    ) -> Result<Arc<ServerConfig>, Problem> {
        let versions: &[&rustls::SupportedProtocolVersion] = match self.min_version {
            Version::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            Version::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|e| Problem::new(client_ca.unwrap_or(Path::new("tls")), e))?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => builder.with_client_cert_verifier(client_verifier(file)?),
        };
        let mut config = builder.with_cert_resolver(self.certificates.clone());
        // A greeting is in the same packet as our part of the handshake.
        config.send_half_rtt_data = true;
        config.alpn_protocols = vec![protocol.as_str().as_bytes().to_vec()];
        // Ours: the client's order would choose SHA-384 suites for every OpenSSL client, and SHA-384
        // has no instruction on the CPUs where SHA-256 has one.
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        // For the record layer of `stream`, and nothing else.
        config.enable_secret_extraction = true;
        match client_ca {
            None => {
                config.ticketer = self.tickets.producer(Trust::Protocol(protocol));
                // One is enough for a client that logs in again; each is 200 octets and a write.
                config.send_tls13_tickets = 1;
            }
            Some(_) => config.send_tls13_tickets = 0,
        }
        Ok(Arc::new(config))
    }

    /// When each certificate ends, for the metric.
    pub fn expiries(&self) -> Vec<Expiry> {
        self.certificates.expiries()
    }

    /// Looks at the files once and swaps what changed; [`watch()`] calls this every second.
    ///
    /// A bad new file is told once and the old one stays. Blocks on the file system.
    pub fn refresh(&self) -> Vec<Change> {
        let mut changes = self.certificates.refresh();
        changes.extend(self.tickets.refresh());
        changes
    }
}

fn client_verifier(authorities: &Path) -> Result<Arc<dyn ClientCertVerifier>, Problem> {
    let roots = Arc::new(pem::authorities(authorities)?);
    WebPkiClientVerifier::builder_with_provider(roots, provider())
        .allow_unauthenticated()
        .build()
        .map_err(|e| Problem::new(authorities, e))
}

/// Whether [`Front::server_config`] can be made with this file of authorities.
pub fn try_authorities(file: &Path) -> Result<(), Problem> {
    client_verifier(file).map(drop)
}

/// Whether a front can be made with this `ticket_key_file`.
pub fn try_ticket_key(file: &Path) -> Result<(), Problem> {
    Tickets::new(Some(file), None).map(drop)
}

/// The cryptography of both legs: aws-lc-rs with X25519MLKEM768, AES-128-GCM-SHA256 first.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || {
        let mut provider = aws_lc_rs::default_provider();
        // Stable: 1.3 before 1.2, and within each the suites with AES-128 before the others.
        provider.cipher_suites.sort_by_key(|suite| match suite {
            SupportedCipherSuite::Tls13(_) => (0, !is_aes_128(suite)),
            SupportedCipherSuite::Tls12(_) => (1, !is_aes_128(suite)),
        });
        Arc::new(provider)
    };
    PROVIDER.get_or_init(make).clone()
}

fn is_aes_128(suite: &SupportedCipherSuite) -> bool {
    matches!(
        suite.suite(),
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_suites_come_first_and_the_hybrid_group_is_offered() {
        let suites: Vec<_> = provider().cipher_suites.iter().map(|s| s.suite()).collect();
        assert_eq!(suites.first(), Some(&CipherSuite::TLS13_AES_128_GCM_SHA256));
        let first12 = suites
            .iter()
            .position(|s| format!("{s:?}").starts_with("TLS_"))
            .unwrap();
        assert!(is_aes_128(&provider().cipher_suites[first12]));
        let groups: Vec<_> = provider().kx_groups.iter().map(|g| g.name()).collect();
        assert_eq!(groups.first(), Some(&rustls::NamedGroup::X25519MLKEM768));
        assert!(groups.contains(&rustls::NamedGroup::X25519));
    }

    #[test]
    fn every_problem_is_told_with_its_file() {
        let config = Config {
            certificates: vec![Pair {
                cert: "/nonexistent/a.crt".into(),
                key: "/nonexistent/a.key".into(),
            }],
            ticket_key_file: Some("/nonexistent/t.key".into()),
            ..Config::default()
        };
        let problems = Front::new(config).unwrap_err();
        let files: Vec<_> = problems
            .iter()
            .map(|p| p.file.display().to_string())
            .collect();
        assert_eq!(
            files,
            [
                "/nonexistent/t.key",
                "/nonexistent/a.crt",
                "/nonexistent/a.key"
            ]
        );
    }
}
