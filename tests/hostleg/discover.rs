//! Hosts that are found by name: a name server on loopback, asked as the real one is.

use std::net::{Ipv4Addr, SocketAddr};
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

/// What a name server says to a question for a kind of records.
pub(crate) type Says = Arc<Mutex<Vec<(RecordType, Vec<RData>)>>>;

/// A name server that has these records for every name; for what it has none of, there is no such
/// name. Says where it is.
pub(crate) async fn name_server(says: Says) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut packet = vec![0; 4096];
        while let Ok((n, from)) = socket.recv_from(&mut packet).await {
            let question = Message::from_vec(&packet[..n]).unwrap();
            let query = question.queries[0].clone();
            let mut answer = Message::response(question.metadata.id, OpCode::Query);
            answer.metadata.recursion_desired = true;
            answer.metadata.recursion_available = true;
            answer.metadata.response_code = ResponseCode::NXDomain;
            for (kind, records) in says.lock().unwrap().iter() {
                if *kind == query.query_type() {
                    answer.metadata.response_code = ResponseCode::NoError;
                    for data in records {
                        let name = query.name().clone();
                        answer.add_answer(Record::from_rdata(name, 1, data.clone()));
                    }
                }
            }
            answer.add_query(query);
            let _ = socket.send_to(&answer.to_vec().unwrap(), from).await;
        }
    });
    at
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

#[tokio::test]
async fn service_records_are_followed() {
    let says = Says::default();
    let one = || (RecordType::SRV, vec![srv(143, &[b"store-0", b"mail"])]);
    says.lock().unwrap().push(one());
    let backend = following(name_server(says.clone()).await, 143);
    until(|| names(&backend) == ["store-0.mail"]).await;
    // A name with a CR is no name: nothing of that answer is taken.
    let cunning: [&[&[u8]]; 2] = [&[b"sto\rre"], &[b"a.b", b"mail"]];
    for bad in cunning {
        let answer = vec![srv(143, &[b"store-1", b"mail"]), srv(143, bad)];
        *says.lock().unwrap() = vec![(RecordType::SRV, answer)];
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(names(&backend), ["store-0.mail"]);
    }
    // Nor does a name that is gone take its hosts away.
    says.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(names(&backend), ["store-0.mail"]);
    let two = vec![
        srv(1143, &[b"Store-1", b"mail"]),
        srv(143, &[b"store-0", b"mail"]),
    ];
    *says.lock().unwrap() = vec![(RecordType::SRV, two)];
    until(|| names(&backend) == ["store-0.mail", "store-1.mail:1143"]).await;
}

#[tokio::test]
async fn users_log_in_on_addresses_that_were_found() {
    let host = Host::start(good()).await;
    let says = Says::default();
    let backend = following(name_server(says.clone()).await, host.at.port());
    // The first login is there before the hosts are.
    let first = tokio::spawn({
        let backend = backend.clone();
        async move { login(&backend).await.map(drop) }
    });
    tokio::task::yield_now().await;
    let here = || vec![RData::A(A(Ipv4Addr::LOCALHOST))];
    *says.lock().unwrap() = vec![(RecordType::A, here())];
    first.await.unwrap().unwrap();
    assert_eq!(names(&backend), [host.at.to_string()]);
}

#[tokio::test]
async fn a_host_that_records_name_is_dialled_by_the_same_name_server() {
    let host = Host::start(good()).await;
    // No file and no other server knows this name.
    let target = srv(host.at.port(), &[b"store-0", b"mail", b"example"]);
    let says = Says::default();
    *says.lock().unwrap() = vec![
        (RecordType::SRV, vec![target]),
        (RecordType::A, vec![RData::A(A(Ipv4Addr::LOCALHOST))]),
    ];
    let backend = following(name_server(says).await, 143);
    login(&backend).await.map(drop).unwrap();
    let name = format!("store-0.mail.example:{}", host.at.port());
    assert_eq!(names(&backend), [name]);
}

#[tokio::test]
async fn a_name_that_is_not_found_is_an_outage() {
    let config = Config {
        retry_for: Duration::ZERO,
        ..following(nobody().await, 143).config().clone()
    };
    let backend = Backend::new(config, Surroundings::default()).unwrap();
    let refusal = login(&backend).await.map(drop).unwrap_err();
    assert!(matches!(refusal.failure, Failure::Unreachable { .. }));
}
