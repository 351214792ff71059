//! A connection as a client sees it: plain or TLS, bytes and lines, nothing clever.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WantsClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ConfigBuilder, StreamOwned};

use anybody::Anybody;

#[path = "../../support/anybody.rs"]
mod anybody;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection with what was read ahead.
pub(crate) struct Conn {
    stream: Stream,
    ahead: Vec<u8>,
}

/// What came within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Octets,
    Nothing,
    /// The end of the connection.
    End,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// Only while one becomes the other.
    None,
}

impl Conn {
    pub(crate) fn plain(port: u16) -> Conn {
        let stream = TcpStream::connect_timeout(
            &SocketAddr::from(([127, 0, 0, 1], port)),
            Duration::from_secs(30),
        )
        .unwrap_or_else(|error| panic!("connect to port {port}: {error}"));
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Conn {
            stream: Stream::Plain(stream),
            ahead: Vec::new(),
        }
    }

    /// From an address of this machine, one of 127.0.0.0/8; TLS from the first byte, with this name in SNI.
    pub(crate) fn tls_from(source: [u8; 4], port: u16, sni: &str) -> Conn {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        socket
            .connect_timeout(&to.into(), Duration::from_secs(60))
            .unwrap();
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut conn = Conn {
            stream: Stream::Plain(stream),
            ahead: Vec::new(),
        };
        conn.shake(any_certificate().with_no_client_auth(), sni);
        conn
    }

    /// TLS from the first byte.
    pub(crate) fn tls(port: u16) -> Conn {
        let mut conn = Conn::plain(port);
        conn.start_tls();
        conn
    }

    /// TLS from the first byte, with a client certificate and its key in PEM files.
    pub(crate) fn tls_as(port: u16, (cert, key): &(PathBuf, PathBuf)) -> Conn {
        let mut conn = Conn::plain(port);
        conn.start_tls_as((cert, key));
        conn
    }

    /// Goes over to TLS, with a client certificate.
    pub(crate) fn start_tls_as(&mut self, (cert, key): (&Path, &Path)) {
        let chain = CertificateDer::pem_file_iter(cert).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        self.shake(
            any_certificate().with_client_auth_cert(chain, key).unwrap(),
            "localhost",
        );
    }

    /// Goes over to TLS. What was read before and not used would be an injection: there is none.
    pub(crate) fn start_tls(&mut self) {
        self.shake(any_certificate().with_no_client_auth(), "localhost");
    }

    fn shake(&mut self, config: ClientConfig, sni: &str) {
        assert!(self.ahead.is_empty(), "bytes in clear before TLS");
        let Stream::Plain(tcp) = std::mem::replace(&mut self.stream, Stream::None) else {
            panic!("TLS already");
        };
        let name = ServerName::try_from(sni.to_owned()).unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(client, tcp);
        stream.conn.complete_io(&mut stream.sock).unwrap();
        self.stream = Stream::Tls(Box::new(stream));
    }

    /// The certificate that the server showed.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        match &self.stream {
            Stream::Tls(tls) => tls.conn.peer_certificates().unwrap()[0].to_vec(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
            Stream::None => unreachable!(),
        }
        .unwrap();
    }

    /// Sends what the other side still takes: it may close, or have closed, in the middle.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let _ = match &mut self.stream {
            Stream::Plain(tcp) => tcp.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
            Stream::None => unreachable!(),
        };
    }

    /// Closes by a reset.
    pub(crate) fn reset(self) {
        let tcp = match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
            Stream::None => return,
        };
        let _ = socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO));
    }

    /// A line without its CRLF. The end of the connection instead is a failure.
    pub(crate) fn line(&mut self) -> Vec<u8> {
        self.line_or_end()
            .unwrap_or_else(|| panic!("the connection ended, a line was due; got {:?}", self.ahead))
    }

    /// A line without its CRLF, or none if the connection ended before its first byte.
    pub(crate) fn line_or_end(&mut self) -> Option<Vec<u8>> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.ahead[seen..].iter().position(|&b| b == b'\n') {
                let mut line: Vec<u8> = self.ahead.drain(..=seen + at).collect();
                line.pop();
                assert_eq!(
                    line.pop(),
                    Some(b'\r'),
                    "line {:?} ends without CR",
                    String::from_utf8_lossy(&line)
                );
                return Some(line);
            }
            seen = self.ahead.len();
            if !self.fill() {
                return None;
            }
        }
    }

    /// A line as text.
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.line()).into_owned()
    }

    /// Exactly so many octets.
    pub(crate) fn exact(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count {
            assert!(self.fill(), "the connection ended within {count} octets");
        }
        self.ahead.drain(..count).collect()
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.ahead)
    }

    /// Waits so long for octets, which are kept for who reads next.
    pub(crate) fn heard_within(&mut self, time: Duration) -> Heard {
        self.tcp().set_read_timeout(Some(time)).unwrap();
        let heard = self.try_fill();
        self.tcp().set_read_timeout(Some(PATIENCE)).unwrap();
        match heard {
            Ok(true) => Heard::Octets,
            Ok(false) => Heard::End,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Heard::Nothing,
            Err(error) => panic!("reading: {error}"),
        }
    }

    /// No answer takes longer than this.
    pub(crate) fn patient_for(&mut self, time: Duration) {
        self.tcp().set_read_timeout(Some(time)).unwrap();
    }

    /// Where it comes from.
    pub(crate) fn local_port(&self) -> u16 {
        self.tcp().local_addr().unwrap().port()
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
            Stream::None => unreachable!(),
        }
    }

    /// Ends our direction; the other may go on.
    pub(crate) fn close_write(&mut self) {
        self.end_write().unwrap();
    }

    /// The same where the other side may have closed by a reset.
    pub(crate) fn try_close_write(&mut self) {
        let _ = self.end_write();
    }

    fn end_write(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.shutdown(std::net::Shutdown::Write),
            Stream::Tls(tls) => {
                tls.conn.send_close_notify();
                tls.flush()
            }
            Stream::None => unreachable!(),
        }
    }

    fn fill(&mut self) -> bool {
        self.try_fill().unwrap_or_else(|error| {
            let far = String::from_utf8_lossy(&self.ahead);
            panic!("reading: {error}; so far {far:?}")
        })
    }

    /// Whether there was more; a reset is an end, too.
    fn try_fill(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        let read = match &mut self.stream {
            Stream::Plain(tcp) => tcp.read(&mut chunk),
            Stream::Tls(tls) => tls.read(&mut chunk),
            Stream::None => unreachable!(),
        };
        match read {
            Ok(count) => {
                self.ahead.extend_from_slice(&chunk[..count]);
                Ok(count > 0)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::ConnectionReset
                        // Where TLS had something left to say.
                        | io::ErrorKind::BrokenPipe
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// The tests that check certificates do it with real clients, which know how.
fn any_certificate() -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody::new()))
}
