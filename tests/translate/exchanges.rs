//! How many exchanges with a host a visit costs, counted at the host: it answers nothing before all
//! commands of an exchange are there, so a gateway that waited earlier would wait for ever.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use gatepost::backend::config::{Config, Endpoint, HostConfig, Security, Target};
use gatepost::backend::{Backend, Request, Surroundings};
use gatepost::protocol::imap::snapshot::Snapshot;
use gatepost::protocol::pop3::config::Settings;
use gatepost::protocol::{Credentials, Origin, Protocol, Secret, Transport, UserName};
use gatepost::session::translate::{First, Never, Terms, open, prepare, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpListener;

use super::host::Host;
use super::{ONE, TWO};

/// A host with everything, as Dovecot and Cyrus greet.
const MODERN: &str = "* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID AUTH=PLAIN] ready\r\n";
/// LOGIN is not to be had, so nothing goes behind the login.
const NO_LOGIN: &str =
    "* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ AUTH=PLAIN LOGINDISABLED] ready\r\n";
/// Nothing is known from the greeting, and nothing speaks for bursts.
const OLD: &str = "* OK ready\r\n";

const POLL: &str = "STAT\r\nUIDL\r\nLIST\r\nQUIT\r\n";

struct Visit {
    host: Host,
    read: String,
    remainder: Option<Arc<Snapshot>>,
}

/// A backend of one host that greets so.
pub(super) async fn backend() -> (Backend, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let imap = Endpoint {
        protocol: Protocol::Imap,
        security: Security::Clear,
        target: Target::Network {
            host: at.ip().to_string(),
            port: at.port(),
        },
    };
    let host = HostConfig {
        name: "h".into(),
        imap: Some(imap),
        pop3: None,
        weight: 1,
    };
    let config = Config::new("test", vec![host]);
    let backend = Backend::new(config, Surroundings::default()).unwrap();
    (backend, listener)
}

/// One visit of a POP3 client, from the dial to QUIT.
async fn visit(
    backend: &Backend,
    listener: &TcpListener,
    (host, greeting): (Host, &'static str),
    exchanges: &[&[&str]],
    cached: Option<Arc<Snapshot>>,
    commands: &str,
) -> Visit {
    let serving = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(greeting.as_bytes()).await.unwrap();
        host.exchange(tcp, exchanges).await
    };
    let session = async {
        let settings = Settings::default();
        let opening = prepare(&settings, 7, cached);
        let user = UserName::new(b"alice").unwrap();
        let credentials = Credentials::Password(Secret::new(b"hunter2").unwrap());
        let request = Request {
            protocol: Protocol::Pop3,
            user: &user,
            credentials: &credentials,
            host: None,
            origin: Some(Origin {
                client: "192.0.2.7:1000".parse().unwrap(),
                connected: "192.0.2.1:995".parse().unwrap(),
                session: "S1".into(),
                ttl: 7,
                transport: Transport::Tls,
            }),
            behind: opening.behind(),
            pass: None,
            seat: None,
        };
        let connected = backend.connect(request).await.unwrap();
        let mut welcome = connected.welcome;
        let opened = open(
            connected.stream,
            &mut welcome,
            opening,
            Duration::from_secs(60),
        )
        .await
        .unwrap();
        let (mut client, mut clients_end) = duplex(64 * 1024);
        client.write_all(commands.as_bytes()).await.unwrap();
        let terms = Terms {
            settings: &settings,
            session: "S1".into(),
            idle: Duration::from_secs(600),
            traffic: &Default::default(),
        };
        let first = First::default();
        let served = serve(&mut clients_end, first, opened, terms, Never, |_| pending()).await;
        drop(clients_end);
        let mut read = String::new();
        client.read_to_string(&mut read).await.unwrap();
        (read, served.remainder)
    };
    let both = async { tokio::join!(serving, session) };
    let (host, (read, remainder)) = tokio::time::timeout(Duration::from_secs(60), both)
        .await
        .expect("somebody waits for more than this exchange");
    Visit {
        host,
        read,
        remainder,
    }
}

const FIRST: &str = "UID FETCH 1:* (UID RFC822.SIZE)";
const STATUS: &str = "STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY)";
const SELECT: &str = "SELECT \"INBOX\"";

/// One exchange behind the greeting, and nothing is asked but the login and three numbers.
#[tokio::test]
async fn a_repeated_poll_is_a_login_and_status() {
    for (greeting, first, again) in [
        (
            MODERN,
            &[&["ID", "LOGIN", SELECT, FIRST][..], &["LOGOUT"]][..],
            &[&["ID", "LOGIN", STATUS][..], &["LOGOUT"]][..],
        ),
        (
            NO_LOGIN,
            &[&["AUTHENTICATE"], &[SELECT, FIRST], &["LOGOUT"]],
            &[&["AUTHENTICATE"], &[STATUS], &["LOGOUT"]],
        ),
    ] {
        let (backend, listener) = backend().await;
        let host = (Host::with(&[ONE, TWO]), greeting);
        let one = visit(&backend, &listener, host, first, None, POLL).await;
        let host = Host {
            log: Vec::new(),
            ..one.host
        };
        let two = visit(
            &backend,
            &listener,
            (host, greeting),
            again,
            one.remainder,
            POLL,
        )
        .await;
        assert_eq!(two.read, one.read);
        let asked: Vec<&str> = (two.host.log.iter())
            .map(|command| command.split(' ').next().unwrap())
            .filter(|verb| !["ID", "LOGOUT"].contains(verb))
            .collect();
        assert!(matches!(
            asked.as_slice(),
            ["LOGIN" | "AUTHENTICATE", "STATUS"]
        ));
    }
}

/// Behind the greeting: one exchange where the host tells enough, never more than three.
#[tokio::test]
async fn a_first_poll_takes_at_most_three_exchanges() {
    for (greeting, exchanges) in [
        (MODERN, &[&["ID", "LOGIN", SELECT, FIRST][..]][..]),
        (NO_LOGIN, &[&["AUTHENTICATE"], &[SELECT, FIRST]]),
        (OLD, &[&["CAPABILITY"], &["LOGIN"], &[SELECT, FIRST]]),
    ] {
        assert!(exchanges.len() <= 3);
        let all = [exchanges, &[&["LOGOUT"]]].concat();
        let (backend, listener) = backend().await;
        let host = (Host::with(&[ONE, TWO]), greeting);
        let visit = visit(&backend, &listener, host, &all, None, POLL).await;
        assert!(visit.read.starts_with("+OK 2 54\r\n+OK 2 messages\r\n1 "));
        assert!(visit.read.ends_with("+OK bye\r\n"));
    }
}

/// That what was to be removed is gone is asked in the burst that removes it.
#[tokio::test]
async fn quit_takes_one_exchange() {
    for (uid_plus, exchanges) in [
        (
            true,
            &[
                &["ID", "LOGIN", SELECT, FIRST][..],
                &["UID STORE 1 +", "UID EXPUNGE 1", "UID SEARCH UID 1"],
                &["LOGOUT"],
            ][..],
        ),
        (
            false,
            &[
                &["ID", "LOGIN", SELECT, FIRST],
                &["UID SEARCH UID 1:* DELETED"],
                &["UID STORE 1 +"],
                &["UID SEARCH UID 1:* DELETED"],
                &["EXPUNGE", "UID SEARCH UID 1"],
                &["LOGOUT"],
            ],
        ),
    ] {
        let (backend, listener) = backend().await;
        let mut host = Host::with(&[ONE, TWO]);
        host.uid_plus = uid_plus;
        let host = (host, MODERN);
        let commands = "DELE 1\r\nQUIT\r\n";
        let visit = visit(&backend, &listener, host, exchanges, None, commands).await;
        assert!(
            visit
                .read
                .ends_with("+OK bye, deleted messages removed\r\n")
        );
        assert_eq!(visit.host.uids(), [2]);
    }
}
