//! Hosts that are found by name: a name server on loopback, asked as the real one is.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::backend::config::{Config, Discover, Health, Security};
use gatepost::backend::dns::Dns;
use gatepost::backend::{Backend, Surroundings};
use gatepost::protocol::{Failure, Protocol};
use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

use super::health::until;
use super::scripted::*;

/// Records by their kind.
type Records = Vec<(RecordType, Vec<RData>)>;

/// A name server that has some records for every name; for what it has none of, there is no such name.
#[derive(Clone, Default)]
pub(super) struct NameServer {
    records: Arc<Mutex<Records>>,
    /// Questions for service records so far.
    asked: Arc<AtomicUsize>,
}

impl NameServer {
    /// From now on it has these.
    pub(super) fn says(&self, records: Records) {
        *self.records.lock().unwrap() = records;
    }

    /// Starts it; says where it is.
    pub(super) async fn start(&self) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let server = self.clone();
        tokio::spawn(async move {
            let mut packet = vec![0; 4096];
            while let Ok((n, from)) = socket.recv_from(&mut packet).await {
                let answer = server.answer(&Message::from_vec(&packet[..n]).unwrap());
                let _ = socket.send_to(&answer.to_vec().unwrap(), from).await;
            }
        });
        at
    }

    fn answer(&self, question: &Message) -> Message {
        let query = question.queries[0].clone();
        if query.query_type() == RecordType::SRV {
            self.asked.fetch_add(1, SeqCst);
        }
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        answer.metadata.response_code = ResponseCode::NXDomain;
        for (kind, records) in self.records.lock().unwrap().iter() {
            if *kind == query.query_type() {
                answer.metadata.response_code = ResponseCode::NoError;
                for data in records {
                    let name = query.name().clone();
                    answer.add_answer(Record::from_rdata(name, 1, data.clone()));
                }
            }
        }
        answer.add_query(query);
        answer
    }

    /// Waits until it was asked twice: then its answer to the first of them was taken, or was not.
    async fn heard(&self) {
        let before = self.asked.load(SeqCst);
        until(|| self.asked.load(SeqCst) >= before + 2).await;
    }
}

fn following(at: SocketAddr, port: u16) -> Arc<Backend> {
    let config = Config {
        discover: Some(Discover {
            protocol: Protocol::Imap,
            security: Security::Clear,
            name: "store.mail.example.".into(),
            port,
        }),
        health: Some(Health {
            interval: Duration::from_millis(100),
            ..Health::default()
        }),
        retry_for: Duration::from_secs(30),
        ..Config::new("test", Vec::new())
    };
    let backend = Arc::new(Backend::new(config, Surroundings::default()).unwrap());
    backend.start_asking(Arc::new(Dns::at(at)));
    backend
}

fn names(backend: &Backend) -> Vec<String> {
    let hosts = backend.hosts();
    hosts.iter().map(|host| host.name().to_owned()).collect()
}

pub(crate) fn srv(port: u16, labels: &[&[u8]]) -> RData {
    let mut target = Name::from_labels(labels.iter().copied()).unwrap();
    target.set_fqdn(true);
    RData::SRV(SRV::new(0, 1, port, target))
}

/// A backend whose host was found, and the name server it goes by.
async fn found_one() -> (NameServer, Arc<Backend>) {
    let server = NameServer::default();
    server.says(vec![(
        RecordType::SRV,
        vec![srv(143, &[b"store-0", b"mail"])],
    )]);
    let backend = following(server.start().await, 143);
    until(|| names(&backend) == ["store-0.mail"]).await;
    (server, backend)
}

#[tokio::test]
async fn service_records_are_followed() {
    let (server, backend) = found_one().await;
    // A name that is gone does not take its hosts away.
    server.says(Vec::new());
    server.heard().await;
    assert_eq!(names(&backend), ["store-0.mail"]);
    let two = vec![
        srv(1143, &[b"Store-1", b"mail"]),
        srv(143, &[b"store-0", b"mail"]),
    ];
    server.says(vec![(RecordType::SRV, two)]);
    until(|| names(&backend) == ["store-0.mail", "store-1.mail:1143"]).await;
}

/// A name with a CR is no name: nothing of that answer is taken.
#[tokio::test]
async fn of_an_answer_with_a_name_that_is_none_nothing_is_taken() {
    let cunning: [&[&[u8]]; 2] = [&[b"sto\rre"], &[b"a.b", b"mail"]];
    for bad in cunning {
        let (server, backend) = found_one().await;
        let answer = vec![srv(143, &[b"store-1", b"mail"]), srv(143, bad)];
        server.says(vec![(RecordType::SRV, answer)]);
        server.heard().await;
        assert_eq!(names(&backend), ["store-0.mail"]);
    }
}

#[tokio::test]
async fn users_log_in_on_addresses_that_were_found() {
    let host = Host::start(good()).await;
    let server = NameServer::default();
    let backend = following(server.start().await, host.at.port());
    // The first login is there before the hosts are.
    let first = tokio::spawn({
        let backend = backend.clone();
        async move { login(&backend).await.map(drop) }
    });
    tokio::task::yield_now().await;
    server.says(vec![(
        RecordType::A,
        vec![RData::A(A(Ipv4Addr::LOCALHOST))],
    )]);
    first.await.unwrap().unwrap();
    assert_eq!(names(&backend), [host.at.to_string()]);
}

#[tokio::test]
async fn a_host_that_records_name_is_dialled_by_the_same_name_server() {
    let host = Host::start(good()).await;
    // No file and no other server knows this name.
    let target = srv(host.at.port(), &[b"store-0", b"mail", b"example"]);
    let server = NameServer::default();
    server.says(vec![
        (RecordType::SRV, vec![target]),
        (RecordType::A, vec![RData::A(A(Ipv4Addr::LOCALHOST))]),
    ]);
    let backend = following(server.start().await, 143);
    login(&backend).await.map(drop).unwrap();
    let name = format!("store-0.mail.example:{}", host.at.port());
    assert_eq!(names(&backend), [name]);
}

#[tokio::test]
async fn a_name_that_is_not_found_is_an_outage() {
    // It hears nobody but one that is silent, and others are told so.
    let deaf = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    deaf.connect("127.0.0.1:1").await.unwrap();
    let config = Config {
        retry_for: Duration::ZERO,
        ..following(deaf.local_addr().unwrap(), 143).config().clone()
    };
    let backend = Backend::new(config, Surroundings::default()).unwrap();
    let refusal = login(&backend).await.map(drop).unwrap_err();
    assert!(matches!(refusal.failure, Failure::Unreachable { .. }));
}
