//! Connections that wait greeted for polls: used by logins only, never at the price of a login, and
//! not where each connection must begin with who the client is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::backend::Backend;
use gatepost::backend::config::{Config, ForwardClient};
use gatepost::protocol::Protocol;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

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
}

async fn start() -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let host = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            host.accepted.fetch_add(1, SeqCst);
            let waits = !host.busy.load(SeqCst);
            tokio::spawn(serve(tcp, waits, Arc::clone(&host)));
        }
    });
    (at, seen)
}

async fn serve(tcp: TcpStream, waits: bool, seen: Arc<Seen>) {
    let mut stream = BufReader::new(tcp);
    if stream.write_all(GREETING.as_bytes()).await.is_err() {
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
            if stream.write_all(ok.as_bytes()).await.is_err() {
                return;
            }
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
