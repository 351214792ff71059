//! What is held of a handshake that has no end.

use super::*;
use crate::tls::stream::received::{RECEIVED_MAX, Received};

/// A handshake message that announces `length` octets, in records of at most `record`.
fn hello(length: usize, record: usize) -> Vec<u8> {
    let mut message = vec![1];
    message.extend(&u32::try_from(length).unwrap().to_be_bytes()[1..]);
    message.extend([3, 3]);
    message.resize(4 + length, 0);
    let records = message.chunks(record).map(|part| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[22, 3, 1][..], &length, part].concat()
    });
    records.collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn what_waits_for_its_end_has_no_more_room_than_it_may_need() {
    for at_a_time in [1, 700, 100_000] {
        let octets = hello(60_000, PLAIN_MAX);
        let mut received = Received::default();
        let mut most = 0;
        let mut heard = 0;
        for piece in octets.chunks(at_a_time) {
            let mut piece = piece;
            while !piece.is_empty() && received.more(&mut piece).await.is_ok() {
                while received.give() {}
                most = most.max(received.octets.capacity());
                heard = heard.max(received.octets.len());
            }
        }
        assert_eq!(heard, RECEIVED_MAX, "{at_a_time} at a time");
        assert!(most <= RECEIVED_MAX, "{most} for {at_a_time} at a time");
    }
    // A message at a time, each of them done with: the sum is what counts, and nothing is kept.
    let mut received = Received::default();
    let record = hello(996, PLAIN_MAX);
    let mut heard = 0;
    while received.more(&mut &*record).await.is_ok() {
        heard += received.octets.len();
        while received.give() {
            received.discard(record.len());
        }
        assert_eq!(received.octets.capacity(), 0);
        assert!(heard <= RECEIVED_MAX, "{heard}");
    }
    assert!(heard + record.len() > RECEIVED_MAX, "{heard}");
}

#[tokio::test]
async fn a_hello_longer_than_anybodys_ends_the_handshake() {
    for (length, sent, record) in [
        (40_000, 32_700, PLAIN_MAX),
        (32_000, 31_900, PLAIN_MAX),
        (20_000, 17_000, PLAIN_MAX),
        (8_000, 40_000, 1),
    ] {
        let (listener, address) = listen().await;
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        tcp.write_all(&hello(length, record)[..sent]).await.unwrap();
        let shaken = FrontTls::accept(accepted, server(), None);
        let shaken = tokio::time::timeout(std::time::Duration::from_secs(5), shaken).await;
        let error = shaken.expect("waits for more").err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    }
}
