//! What settings leave behind when others have taken their place.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::build::{Built, Lasting};
use crate::config::Config;
use crate::listen::{self, Listener};

/// Two listeners and the store that is built in. Any free port.
const SETTINGS: &str = r#"
listeners:
  - { bind: "imap://127.0.0.1:0", cleartext_login: true }
  - { bind: "pop3://127.0.0.2:0", cleartext_login: true }
backends: { demo: "demo://" }
users: { "*": demo }
"#;

fn built(lasting: &Lasting, before: Option<&Built>) -> Built {
    let read = Config::parse(Path::new("proxy.yaml"), SETTINGS, Path::new(""), &|_| None);
    let (config, _) = read.unwrap();
    Built::new(config, lasting, before).unwrap()
}

/// A client of a protocol of lines.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(port: u16, address: [u8; 4]) -> Client {
        let stream = TcpStream::connect((std::net::Ipv4Addr::from(address), port));
        let mut client = Client(BufReader::new(stream.await.unwrap()));
        client.line().await;
        client
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).await.unwrap() > 0, "the end");
        line
    }

    /// Says a line and reads until an answer begins so.
    async fn ask(&mut self, line: &str, good: &str) {
        let line = format!("{line}\r\n");
        self.0.write_all(line.as_bytes()).await.unwrap();
        while !self.line().await.starts_with(good) {}
    }
}

/// An old map of a million users is not kept in memory by a phone that idles for a day.
#[tokio::test]
async fn a_session_lets_go_of_the_settings_it_logged_in_by() {
    let lasting = Lasting {
        listens: Arc::default(),
        registry: Arc::default(),
    };
    let first = built(&lasting, None);
    let map = Arc::downgrade(&first.config.routes.map);
    let terms: Vec<_> = first.current.terms.values().map(Arc::downgrade).collect();
    let current = Arc::new(ArcSwap::new(first.current.clone()));
    let mut ports = Vec::new();
    let (_stop, told) = tokio::sync::watch::channel(None);
    for listener in &first.config.listeners {
        let socket = Arc::new(listen::bind(listener.bind).unwrap());
        ports.push(socket.local_addr().unwrap().port());
        let listener = Listener {
            place: listener.place(),
            current: current.clone(),
        };
        tokio::spawn(listener.serve(socket, told.clone()));
    }
    let [imap, pop3] = ports[..] else {
        panic!("two listeners");
    };
    let mut relayed = Client::connect(imap, [127, 0, 0, 1]).await;
    relayed.ask("a LOGIN demo demo", "a OK").await;
    let mut translated = Client::connect(pop3, [127, 0, 0, 2]).await;
    translated.ask("USER demo", "+OK").await;
    translated.ask("PASS demo", "+OK").await;
    let greeted = Client::connect(imap, [127, 0, 0, 1]).await;

    let second = built(&lasting, Some(&first));
    current.store(second.current.clone());
    drop(first);
    // Who has not logged in goes by the settings of the greeting.
    relayed.ask("b NOOP", "b OK").await;
    assert!(map.upgrade().is_some());
    drop(greeted);
    for _ in 0..3000 {
        if map.upgrade().is_none() {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert!(map.upgrade().is_none(), "the old map is kept");
    assert!(terms.iter().all(|terms| terms.upgrade().is_none()));
    // And they live.
    relayed.ask("c NOOP", "c OK").await;
    translated.ask("NOOP", "+OK").await;
    assert_eq!(lasting.registry.count(), 2);
}
