//! A connection of lines, in clear or in TLS, that ends by a deadline whatever the other side does.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::trust::Trust;
use crate::protocol::READ_CHUNK;

/// Longest line of a server: capability lists are long, nothing else is.
const MAX_LINE: usize = 64 * 1024;

/// A connection.
pub(super) struct Wire {
    stream: Option<Stream>,
    peer: SocketAddr,
    deadline: Instant,
    inbox: Vec<u8>,
}

enum Stream {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// What a handshake showed.
pub(super) struct Facts {
    pub(super) version: &'static str,
    pub(super) cipher: String,
    /// Names, issuer, end, in a line.
    pub(super) certificate: Option<String>,
    /// Whether it is believed, or why not.
    pub(super) verdict: Result<(), String>,
}

impl Wire {
    /// The first address of the name that answers.
    pub(super) fn connect(host: &str, port: u16, deadline: Instant) -> Result<Self, String> {
        let found = (host, port).to_socket_addrs();
        let addresses = found.map_err(|error| format!("{host} cannot be resolved: {error}"))?;
        let mut causes = Vec::new();
        let mut addresses = addresses.into_iter();
        while let Some(address) = addresses.next() {
            // An address that is silent leaves their part to those behind it.
            let limit = share(left(deadline)?, addresses.len());
            match TcpStream::connect_timeout(&address, limit) {
                Ok(tcp) => {
                    let _ = tcp.set_nodelay(true);
                    return Ok(Wire {
                        stream: Some(Stream::Clear(tcp)),
                        peer: address,
                        deadline,
                        inbox: Vec::new(),
                    });
                }
                Err(error) => causes.push(format!("{address}: {error}")),
            }
        }
        if causes.is_empty() {
            causes.push(format!("{host} has no address"));
        }
        Err(format!("cannot connect: {}", causes.join("; ")))
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self.stream, Some(Stream::Tls(_)))
    }

    /// The handshake; whether the certificate is believed is among the facts.
    pub(super) fn start_tls(&mut self, name: &str, trust: &Trust) -> Result<Facts, String> {
        // What came in clear behind the word to begin was put there by somebody on the way.
        if !self.inbox.is_empty() {
            return Err("bytes in clear came before it".into());
        }
        let Some(Stream::Clear(mut tcp)) = self.stream.take() else {
            return Err("TLS runs already".into());
        };
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("{name} cannot be in a certificate (--tls-name names one)"))?;
        let (config, verdict) = trust.settings()?;
        let mut tls = ClientConnection::new(Arc::new(config), server).map_err(|e| e.to_string())?;
        while tls.is_handshaking() {
            limit(&tcp, self.deadline)?;
            tls.complete_io(&mut tcp).map_err(|error| plainly(&error))?;
        }
        let facts = Facts {
            version: match tls.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLS",
            },
            cipher: tls
                .negotiated_cipher_suite()
                .map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
            certificate: tls
                .peer_certificates()
                .and_then(|chain| chain.first())
                .and_then(|leaf| certificate(leaf)),
            verdict: verdict
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
                .unwrap_or_else(|| Err("none was shown".into())),
        };
        self.stream = Some(Stream::Tls(Box::new(StreamOwned::new(tls, tcp))));
        Ok(facts)
    }

    /// Sends octets as they are.
    pub(super) fn send(&mut self, octets: &[u8]) -> Result<(), String> {
        let deadline = self.deadline;
        let sent = match &mut self.stream {
            Some(Stream::Clear(tcp)) => {
                limit(tcp, deadline)?;
                tcp.write_all(octets)
            }
            Some(Stream::Tls(tls)) => {
                limit(&tls.sock, deadline)?;
                tls.write_all(octets).and_then(|()| tls.flush())
            }
            None => return Err("the connection is gone".into()),
        };
        sent.map_err(|error| plainly(&error))
    }

    /// The next line, without its end.
    pub(super) fn line(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.inbox) {
                let rest = self.inbox.split_off(at + 1);
                let mut line = std::mem::replace(&mut self.inbox, rest);
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            if self.inbox.len() > MAX_LINE {
                return Err("a line of more than 64 KiB came".into());
            }
            let mut chunk = vec![0; READ_CHUNK];
            let read = match &mut self.stream {
                Some(Stream::Clear(tcp)) => {
                    limit(tcp, self.deadline)?;
                    tcp.read(&mut chunk)
                }
                Some(Stream::Tls(tls)) => {
                    limit(&tls.sock, self.deadline)?;
                    tls.read(&mut chunk)
                }
                None => return Err("the connection is gone".into()),
            };
            match read.map_err(|error| plainly(&error))? {
                0 => return Err("the connection was closed".into()),
                n => self
                    .inbox
                    .extend_from_slice(chunk.get(..n).unwrap_or_default()),
            }
        }
    }
}

/// What one address may take of the time that is left where so many come behind it.
fn share(left: Duration, behind: usize) -> Duration {
    left / u32::try_from(behind).unwrap_or(u32::MAX).saturating_add(1)
}

fn left(deadline: Instant) -> Result<Duration, String> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err("it took too long".into()),
        false => Ok(left),
    }
}

fn limit(tcp: &TcpStream, deadline: Instant) -> Result<(), String> {
    let left = left(deadline)?;
    let set = tcp.set_read_timeout(Some(left));
    set.and_then(|()| tcp.set_write_timeout(Some(left)))
        .map_err(|error| error.to_string())
}

fn plainly(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it took too long".into(),
        io::ErrorKind::UnexpectedEof => "the connection was closed".into(),
        _ => error.to_string(),
    }
}

/// `mail.example.org, imap.example.org; issuer CN=…; ends 2027-01-01 00:00:00 +00:00, in 41 days`
fn certificate(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map_or_else(Vec::new, |names| {
        let shown = names.value.general_names.iter().map(|name| match name {
            GeneralName::DNSName(name) => (*name).to_owned(),
            GeneralName::IPAddress(octets) => address(octets),
            other => other.to_string(),
        });
        shown.collect()
    });
    let names = match names.is_empty() {
        true => certificate.subject().to_string(),
        false => names.join(", "),
    };
    let ends = certificate.validity().not_after;
    let left = match certificate.validity().time_to_expiration() {
        Some(left) => format!("in {} days", left.whole_days()),
        None => "not valid now".to_owned(),
    };
    let text = format!(
        "{names}; issuer {}; ends {ends}, {left}",
        certificate.issuer()
    );
    Some(shown(text.as_bytes()))
}

fn address(octets: &[u8]) -> String {
    match (<[u8; 4]>::try_from(octets), <[u8; 16]>::try_from(octets)) {
        (Ok(four), _) => std::net::Ipv4Addr::from(four).to_string(),
        (_, Ok(sixteen)) => std::net::Ipv6Addr::from(sixteen).to_string(),
        _ => "an odd address".into(),
    }
}

/// What a stranger said, fit for a terminal: no control characters, at most 1000 characters.
pub(super) fn shown(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let plain = text.chars().map(|c| if c.is_control() { '?' } else { c });
    plain.take(1000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_address_leaves_time_for_those_behind_it() {
        let second = Duration::from_secs(1);
        assert_eq!(share(second * 15, 2), second * 5);
        assert_eq!(share(second * 10, 1), second * 5);
        assert_eq!(share(second * 5, 0), second * 5);
    }
}
