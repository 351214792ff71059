//! Connections that wait greeted for polls: used by logins only, never at the price of a login, and
//! not where each connection must begin with who the client is.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::backend::config::{Config, Discover, ForwardClient, Security};
use gatepost::backend::dns::Dns;
use gatepost::backend::{Backend, Surroundings};
use gatepost::protocol::Protocol;
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::certificates::Cert;
use super::discover::{NameServer, srv};
use super::scripted::{Alice, GREETING, backend, config};

/// What a host saw of waiting connections.
#[derive(Default)]
struct Seen {
    /// A login is under way: a connection that comes now is its own.
    busy: AtomicBool,
    accepted: AtomicUsize,
    /// Logins, and those on connections that had waited.
    logins: AtomicUsize,
    waited: AtomicUsize,
    /// Whether the host goes where a login comes on a connection that waited.
    goes: AtomicBool,
    /// What was said on each connection before its login.
    before: Mutex<String>,
    /// Whom those asked for that shook hands.
    asked: Mutex<Vec<String>>,
}

/// How a host does TLS, where it does.
type Tls = Option<(TlsAcceptor, Security)>;

async fn start() -> (SocketAddr, Arc<Seen>) {
    start_with(None).await
}

async fn start_with(tls: Tls) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let host = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            host.accepted.fetch_add(1, SeqCst);
            let waits = !host.busy.load(SeqCst);
            let (tls, seen) = (tls.clone(), Arc::clone(&host));
            tokio::spawn(async move {
                match tls {
                    None => serve(tcp, GREETING, waits, seen).await,
                    Some(tls) => serve_tls(tcp, tls, waits, seen).await,
                }
            });
        }
    });
    (at, seen)
}

async fn serve_tls(tcp: TcpStream, tls: (TlsAcceptor, Security), waits: bool, seen: Arc<Seen>) {
    let (acceptor, security) = tls;
    let (mut tcp, mut greeting) = (BufReader::new(tcp), GREETING);
    if security == Security::StartTls {
        tcp.write_all(b"* OK hi\r\n").await.unwrap();
        greeting = "";
        let mut line = String::new();
        while !line.ends_with(" STARTTLS\r\n") {
            line.clear();
            if tcp.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some((tag, "CAPABILITY\r\n")) = line.split_once(' ') {
                let answer = format!("* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK\r\n");
                tcp.write_all(answer.as_bytes()).await.unwrap();
            }
        }
        let (tag, _) = line.split_once(' ').unwrap();
        let answer = format!("{tag} OK go ahead\r\n");
        tcp.write_all(answer.as_bytes()).await.unwrap();
    }
    if let Ok(stream) = acceptor.accept(tcp.into_inner()).await {
        let name = stream.get_ref().1.server_name().unwrap_or("nobody");
        seen.asked.lock().unwrap().push(name.to_owned());
        serve(stream, greeting, waits, seen).await;
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    greeting: &str,
    waits: bool,
    seen: Arc<Seen>,
) {
    let mut stream = BufReader::new(stream);
    if stream.write_all(greeting.as_bytes()).await.is_err() || stream.flush().await.is_err() {
        return;
    }
    let mut line = String::new();
    while let Ok(1..) = stream.read_line(&mut line).await {
        let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
        if command.starts_with("LOGIN ") || command.starts_with("AUTHENTICATE ") {
            seen.logins.fetch_add(1, SeqCst);
            if waits {
                seen.waited.fetch_add(1, SeqCst);
                if seen.goes.load(SeqCst) {
                    return;
                }
            }
            let ok = format!("{tag} OK in\r\n");
            if stream.write_all(ok.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        } else if command == "CAPABILITY\r\n" {
            let answer = format!("* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\n{tag} OK\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.flush().await;
        } else if seen.logins.load(SeqCst) == 0 {
            seen.before.lock().unwrap().push_str(&line);
        }
        line.clear();
    }
}

async fn poll(backend: &Backend, seen: &Seen) {
    let alice = Alice::new();
    let mut request = alice.request();
    request.protocol = Protocol::Pop3;
    request.behind = b"x NOOP\r\n";
    seen.busy.store(true, SeqCst);
    let connected = backend.connect(request).await.unwrap();
    assert_eq!(connected.speaks, Protocol::Imap);
    seen.busy.store(false, SeqCst);
}

/// Polls until some went over connections that had waited, each time with a while for them to come.
async fn poll_until(backend: &Backend, seen: &Seen, waited: usize) {
    for _ in 0..500 {
        poll(backend, seen).await;
        if seen.waited.load(SeqCst) >= waited {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no connection waits");
}

#[tokio::test]
async fn a_poll_finds_a_greeted_connection() {
    let (at, seen) = start().await;
    let backend = backend(config(&[at]));
    for _ in 0..4 {
        poll(&backend, &seen).await;
    }
    assert_eq!(seen.accepted.load(SeqCst), 4, "polls that come rarely");
    poll_until(&backend, &seen, 10).await;
    // A few that were opened in vain, no more.
    let vain = seen.accepted.load(SeqCst) - seen.logins.load(SeqCst);
    assert!(vain <= 4, "{vain}");
}

#[tokio::test]
async fn only_polls_take_and_fill() {
    let (at, seen) = start().await;
    let backend = backend(config(&[at]));
    for _ in 0..40 {
        backend.connect(Alice::new().request()).await.unwrap();
    }
    assert_eq!(seen.accepted.load(SeqCst), 40);
    assert_eq!(seen.logins.load(SeqCst), 40);
}

/// A connection that goes at the moment it is used costs no login.
#[tokio::test]
async fn a_connection_that_goes_is_replaced() {
    let (at, seen) = start().await;
    let backend = backend(config(&[at]));
    seen.goes.store(true, SeqCst);
    poll_until(&backend, &seen, 3).await;
}

/// The header must name the client: nothing can be opened before one is there.
#[tokio::test]
async fn behind_a_proxy_header_nothing_waits() {
    let (at, seen) = start().await;
    let backend = backend(Config {
        forward_client: ForwardClient::ProxyV1,
        ..config(&[at])
    });
    for _ in 0..40 {
        poll(&backend, &seen).await;
    }
    assert_eq!(seen.accepted.load(SeqCst), 40);
    assert!(seen.before.lock().unwrap().starts_with("PROXY "));
}

/// Whoever answers for the name server may name any host, with a certificate of that host's own: a
/// connection that waits goes where a login's own goes, and believes no more.
#[tokio::test]
async fn what_waits_for_hosts_found_by_name_believes_one_name_only() {
    let cert = Cert::new("found", |it| {
        let name = |name: &str| rcgen::SanType::DnsName(name.try_into().unwrap());
        it.subject_alt_names = vec![name("store.mail.example"), name("store-0.mail.example")];
    });
    for security in [Security::Implicit, Security::StartTls] {
        let acceptor = TlsAcceptor::from(Arc::clone(&cert.server));
        let (at, seen) = start_with(Some((acceptor, security))).await;
        let server = NameServer::default();
        // No file and no other server knows the host's name.
        server.says(vec![
            (
                RecordType::SRV,
                vec![srv(at.port(), &[b"store-0", b"mail", b"example"])],
            ),
            (RecordType::A, vec![RData::A(A(Ipv4Addr::LOCALHOST))]),
        ]);
        let mut config = Config {
            discover: Some(Discover {
                protocol: Protocol::Imap,
                security,
                name: "store.mail.example.".into(),
                port: match security {
                    Security::Implicit => 993,
                    Security::Clear | Security::StartTls => 143,
                },
            }),
            retry_for: Duration::from_secs(30),
            ..Config::new("test", Vec::new())
        };
        config.tls.ca = Some(cert.file.clone());
        let backend = Arc::new(Backend::new(config, Surroundings::default()).unwrap());
        backend.start_asking(Arc::new(Dns::at(server.start().await)));
        poll_until(&backend, &seen, 3).await;
        let asked = seen.asked.lock().unwrap().clone();
        assert!(asked.len() > 3, "{asked:?}");
        assert!(
            asked.iter().all(|name| name == "store.mail.example"),
            "{security:?}: {asked:?}"
        );
    }
}
