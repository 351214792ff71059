//! Plays a [`protocol::Server`](crate::protocol::Server) over a client's stream until somebody logs
//! in or leaves. The only such loop; it has no protocol words of its own.
//!
//! The one place that upgrades a client's connection to TLS: bytes that came in clear are in the
//! server's buffer only, and it forgets them in `tls_started` (RFC 9051 §6.2.1, RFC 2595 §4).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::net::Stream;
use crate::protocol::proxy_header::Beginning;
use crate::protocol::sasl::Answer;
use crate::protocol::{Closing, HELD_MAX, Login, READ_CHUNK, Refused, Server, Step};
use crate::tls::{self, FirstWords, FrontTls};

/// How a stretch of conversation ended.
pub(super) enum Said {
    /// Somebody shows credentials.
    Login(Login),
    /// The client answers a challenge of the host's.
    Answer(Answer),
    /// TLS has begun in mid-stream: what is offered may be something else now.
    Secured,
    /// The server said goodbye; everything is written.
    Closed(Closing),
    /// The client left.
    Left,
    /// The client sent a PROXY header. Those who owe us one have sent it long before; from anybody
    /// else it is an attempt to be somebody else.
    Proxied,
}

/// What an upgrade to TLS needs.
#[derive(Clone)]
pub struct Upgrade {
    /// The settings of the listener.
    pub config: Arc<rustls::ServerConfig>,
    /// For the handshake.
    pub timeout: Duration,
}

/// Converses until a login, a goodbye, the start of TLS or the client's end of stream. `beginning` is there as long as
/// the client may be at it; `told_refused` hears of login attempts that fail without asking anybody.
///
/// # Errors
/// The stream's, and those of a failed handshake.
pub(super) async fn converse(
    stream: &mut Stream,
    server: &mut dyn Server,
    upgrade: Option<&Upgrade>,
    mut beginning: Option<&mut Beginning>,
    told_refused: &mut (dyn FnMut(&Refused) + Send),
) -> io::Result<Said> {
    loop {
        let step = server.step();
        if let Some(refused) = server.refused() {
            told_refused(&refused);
        }
        match step {
            Step::Read => {
                let mut chunk = [0; 2048];
                const { assert!(2048 <= READ_CHUNK) };
                // What was promised of a connection before login.
                const { assert!(HELD_MAX + tls::stream::HELD_MAX <= 64 * 1024) };
                let n = stream.read(&mut chunk).await?;
                if n == 0 {
                    return Ok(Said::Left);
                }
                let octets = chunk.get(..n).unwrap_or_default();
                if { beginning.as_mut() }.is_some_and(|it| it.is_header(octets)) {
                    return Ok(Said::Proxied);
                }
                server.receive(octets);
            }
            Step::Write(bytes) => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            }
            Step::StartTls => {
                let (clear, tap) = stream.take().untapped();
                let secure = start_tls(clear, upgrade, None).await?;
                *stream = match tap {
                    Some(mut tap) => {
                        tap.secured();
                        secure.tapped(tap)
                    }
                    None => secure,
                };
                server.tls_started();
                return Ok(Said::Secured);
            }
            Step::Login(login) => return Ok(Said::Login(login)),
            Step::Exchange(answer) => return Ok(Said::Answer(answer)),
            Step::Close(why) => return Ok(Said::Closed(why)),
        }
    }
}

/// Tells the server whose certificate the client has shown, if it has.
pub(super) fn show_certificate(stream: &Stream, server: &mut dyn Server) {
    let Some(certificate) = stream.certificate() else {
        return;
    };
    server.hold_less(certificate.octets);
    match &certificate.name {
        Some(name) => server.certificate_shown(name.clone()),
        None => tracing::debug!("no name in the client's certificate that could log in"),
    }
}

/// The TLS handshake as server, under its own deadline; `first` may leave with it.
///
/// # Errors
/// The handshake's, `TimedOut`, or `Unsupported` where the stream cannot be upgraded.
pub async fn start_tls(
    stream: Stream,
    upgrade: Option<&Upgrade>,
    first: Option<FirstWords<'_>>,
) -> io::Result<Stream> {
    let (Stream::Tcp(tcp), Some(upgrade)) = (stream, upgrade) else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    // What was promised of a connection before login. A core that waits for TLS holds nothing.
    const { assert!(tls::stream::HANDSHAKE_MAX <= 64 * 1024) };
    let handshake = FrontTls::accept(tcp, upgrade.config.clone(), first);
    match timeout(upgrade.timeout, handshake).await {
        Ok(tls) => Ok(Stream::FrontTls(Box::new(tls?))),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "tls handshake")),
    }
}
