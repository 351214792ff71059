//! A TLS handshake as server, played by rustls over a TCP connection.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::asked::Asked;
use super::received::Received;
use super::records::Records;
use super::{FirstWords, FrontTls, Shown};

/// What the handshake wants next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// What the client has to say.
    Octets,
    /// Another step.
    Go,
    /// Nothing: data may be sent. The handshake is done, or the client's Finished is all that is missing.
    Data,
}

/// Shakes hands. What is said last stays with the stream and leaves with its first data.
pub(super) async fn accept(
    mut tcp: TcpStream,
    config: Arc<ServerConfig>,
    mut first: Option<FirstWords<'_>>,
) -> io::Result<FrontTls> {
    let (config, asked) = Asked::in_one_handshake(&config);
    let mut rustls = UnbufferedServerConnection::new(config).map_err(failed)?;
    let mut received = Received::default();
    let mut send = Vec::new();
    loop {
        match advance(&mut rustls, &mut received, &mut send) {
            Ok(Want::Go) => {}
            Ok(Want::Data) if !rustls.is_handshaking() => break,
            Ok(_) if received.give() => {}
            Ok(want) => {
                if want == Want::Data
                    && let Some(first) = first.take()
                {
                    let words = first(asked.name().as_deref());
                    say(&mut rustls, &mut received, &words, &mut send).map_err(failed)?;
                }
                if !send.is_empty() {
                    tcp.write_all(&send).await?;
                    // The answer may be long in coming.
                    send = Vec::new();
                }
                received.more(&mut tcp).await?;
            }
            Err(error) => {
                // Its alert is the last that rustls has to say.
                let _ = advance(&mut rustls, &mut received, &mut send);
                let _ = tcp.try_write(&send);
                return Err(failed(error));
            }
        }
    }
    let version = rustls.protocol_version();
    let suite = rustls.negotiated_cipher_suite();
    let chain = rustls.peer_certificates().unwrap_or_default();
    let octets = chain.iter().map(|certificate| certificate.len()).sum();
    let certificate = chain.first().map(|it| Arc::new(Shown::of(it, octets)));
    let (secrets, schedule) = rustls.dangerous_into_kernel_connection().map_err(failed)?;
    let records = Records::new(secrets, schedule);
    let records =
        records.ok_or_else(|| io::Error::other("a cipher suite without a record layer"))?;
    // The server's Finished of 1.2 is waited for; the tickets of 1.3 are not.
    if version != Some(rustls::ProtocolVersion::TLSv1_3) && !send.is_empty() {
        tcp.write_all(&send).await?;
        send.clear();
    }
    Ok(FrontTls::new(
        tcp,
        records,
        super::Facts {
            version,
            suite,
            certificate,
            server_name: asked.name(),
        },
        super::Start {
            received: received.octets,
            send,
        },
    ))
}

/// One step of rustls.
fn advance(
    rustls: &mut UnbufferedServerConnection,
    received: &mut Received,
    send: &mut Vec<u8>,
) -> Result<Want, rustls::Error> {
    let UnbufferedStatus { discard, state } = rustls.process_tls_records(received.given());
    let want = match state {
        Ok(ConnectionState::EncodeTlsData(mut encode)) => {
            let start = send.len();
            if let Err(EncodeError::InsufficientSize(size)) = encode.encode(&mut []) {
                send.extend(std::iter::repeat_n(0, size.required_size));
                let room = send.get_mut(start..).unwrap_or_default();
                encode
                    .encode(room)
                    .map_err(|error| rustls::Error::General(error.to_string()))?;
            }
            Ok(Want::Go)
        }
        Ok(ConnectionState::TransmitTlsData(transmit)) => {
            // Sent when rustls waits for octets, or with the first data.
            transmit.done();
            Ok(Want::Go)
        }
        Ok(ConnectionState::BlockedHandshake) => Ok(Want::Octets),
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Want::Data),
        Ok(_) => Err(rustls::Error::General("closed in the handshake".into())),
        Err(error) => Err(error),
    };
    received.discard(discard);
    want
}

/// Puts data behind what is to be sent. Nothing has come since rustls said that it may be sent.
fn say(
    rustls: &mut UnbufferedServerConnection,
    received: &mut Received,
    data: &[u8],
    send: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    let UnbufferedStatus { discard, state } = rustls.process_tls_records(received.given());
    if let ConnectionState::WriteTraffic(mut traffic) = state?
        && let Err(EncryptError::InsufficientSize(size)) = traffic.encrypt(data, &mut [])
    {
        let start = send.len();
        send.extend(std::iter::repeat_n(0, size.required_size));
        let room = send.get_mut(start..).unwrap_or_default();
        let written = traffic
            .encrypt(data, room)
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        send.truncate(start.saturating_add(written));
    }
    received.discard(discard);
    Ok(())
}

fn failed(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
