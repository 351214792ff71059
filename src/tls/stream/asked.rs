//! The name that a client asks for (SNI, RFC 6066 §3). rustls tells it to whoever chooses the
//! certificate and to nobody else, so each handshake has a chooser of its own, which listens in. Kept
//! with the connection, never by the name (CVE-2017-15130).

use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::tls::certs;

/// Chooses as another does, and remembers the name.
#[derive(Debug)]
pub(super) struct Asked {
    chooser: Arc<dyn ResolvesServerCert>,
    name: OnceLock<Box<str>>,
}

impl Asked {
    /// The settings for one handshake, and where its name will be.
    pub(super) fn in_one_handshake(config: &ServerConfig) -> (Arc<ServerConfig>, Arc<Self>) {
        let asked = Arc::new(Asked {
            chooser: config.cert_resolver.clone(),
            name: OnceLock::new(),
        });
        let mut config = config.clone();
        config.cert_resolver = asked.clone();
        (Arc::new(config), asked)
    }

    /// The name, once the client has said hello. The last word is its first: a second hello that
    /// names another server does not count.
    pub(super) fn name(&self) -> Option<Box<str>> {
        self.name.get().cloned()
    }
}

impl ResolvesServerCert for Asked {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = hello.server_name() {
            self.name.get_or_init(|| certs::spelled(name).into());
        }
        self.chooser.resolve(hello)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.chooser.only_raw_public_keys()
    }
}
