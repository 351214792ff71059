//! An IMAP client under TLS that verifies nothing: it measures.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::anybody::Anybody;

/// A session.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Connects, shakes hands, logs in.
pub fn log_in(at: SocketAddr, config: &Arc<ClientConfig>, user: &str) -> Tls {
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = ClientConnection::new(config.clone(), name).expect("a TLS client");
    let tcp = TcpStream::connect(at).expect("connect");
    tcp.set_nodelay(true).expect("an option of the socket");
    let mut session = StreamOwned::new(tls, tcp);
    say(&mut session, "", "* OK");
    say(&mut session, &format!("a LOGIN {user} secret\r\n"), "a OK");
    session
}

/// Says something and reads until a line that starts as it should; how many octets came.
pub fn say(session: &mut Tls, words: &str, until: &str) -> usize {
    session.write_all(words.as_bytes()).expect("write");
    let mut came = 0;
    // The last octets that came: the line looked for is the last one.
    let mut end = Vec::new();
    let mut chunk = [0; 64 * 1024];
    loop {
        let n = session.read(&mut chunk).expect("read");
        came += n;
        end.extend_from_slice(chunk.get(..n).unwrap_or_default());
        let text =
            String::from_utf8_lossy(end.get(end.len().saturating_sub(400)..).unwrap_or_default());
        if text.ends_with("\r\n")
            && text
                .lines()
                .next_back()
                .is_some_and(|line| line.starts_with(until))
        {
            return came;
        }
        assert!(n > 0, "closed after {text}");
        end.drain(..end.len().saturating_sub(400));
    }
}

/// What to connect with; `tickets`: whether sessions are resumed.
pub fn trusting(tickets: Tickets) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody::new()))
        .with_no_client_auth();
    if tickets == Tickets::Thrown {
        config.resumption = rustls::client::Resumption::disabled();
    }
    Arc::new(config)
}

/// What becomes of session tickets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tickets {
    /// The next connection resumes by them.
    Used,
    /// Every handshake is a full one.
    Thrown,
}
