//! Peers that ask for answers and read none.

use std::io::{Read as _, Write as _};

use super::*;
use protect::{Form, Protection};

/// More octets of answers than this connection would hold, if each request had one of its own.
const ROUNDS: usize = 200;

#[tokio::test]
async fn requests_for_new_keys_among_data_are_answered_once_and_cost_no_room() {
    for suite in suites() {
        if suite.version().version != ProtocolVersion::TLSv1_3 {
            continue;
        }
        let (mut theirs, mut ours) = connected(suite).await;
        // The key has protected a few records.
        passes(&mut ours, &mut theirs, &[1; 20]).await;
        let before = ours.records.write.sequence();
        assert!(before >= 20);
        let (mut tcp, mut state) = theirs.into_inner();
        let mut octet = [0; 8];
        for _ in 0..ROUNDS {
            let mut out = Vec::new();
            for _ in 0..IDLE_MAX {
                state.refresh_traffic_keys().unwrap();
                state.write_tls(&mut out).unwrap();
            }
            state.writer().write_all(b"x").unwrap();
            state.write_tls(&mut out).unwrap();
            tcp.write_all(&out).await.unwrap();
            assert_eq!(ours.read(&mut octet).await.unwrap(), 1);
            assert_eq!(ours.unsent.capacity(), 0);
        }
        assert_eq!(ours.records.write.sequence(), before, "nothing was sealed");
        // With the next data comes one new key, and the one behind it is no other.
        ours.write_all(b"one").await.unwrap();
        assert_eq!(ours.records.write.sequence(), 1);
        ours.write_all(b"two").await.unwrap();
        assert_eq!(ours.records.write.sequence(), 2);
        ours.shutdown().await.unwrap();
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).await.unwrap();
        assert!(answer.len() < 200, "{}", answer.len());
        let (mut rest, mut heard) = (&*answer, Vec::new());
        while !rest.is_empty() {
            state.read_tls(&mut rest).unwrap();
            state.process_new_packets().unwrap();
        }
        state.reader().read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"onetwo");
    }
}

#[tokio::test]
async fn a_renegotiation_is_declined_once() {
    let mut seen = 0;
    for suite in suites() {
        if suite.version().version != ProtocolVersion::TLSv1_2 {
            continue;
        }
        let mut config = (*client(suite)).clone();
        config.enable_secret_extraction = true;
        let (theirs, mut ours) = connected_as(config.into()).await;
        let (mut tcp, state) = theirs.into_inner();
        let (sequence, keys) = state.dangerous_extract_secrets().unwrap().tx;
        let mut sealing = Protection::new(Form::of(suite, &keys), sequence, &keys).unwrap();
        let mut room = [0; 8];
        let hello = [1, 0, 0, 2, 3, 3];
        let mut out = Vec::new();
        sealing
            .seal(protect::kind::HANDSHAKE, &hello, &mut out)
            .unwrap();
        sealing.seal(protect::kind::DATA, b"x", &mut out).unwrap();
        tcp.write_all(&out).await.unwrap();
        assert_eq!(ours.read(&mut room).await.unwrap(), 1);
        let mut alert = [0; 5];
        tcp.read_exact(&mut alert).await.unwrap();
        assert_eq!(alert[0], protect::kind::ALERT);
        let mut rest = vec![0; usize::from(u16::from_be_bytes([alert[3], alert[4]]))];
        tcp.read_exact(&mut rest).await.unwrap();
        // Data between does not make another one welcome.
        out.clear();
        sealing.seal(protect::kind::DATA, b"y", &mut out).unwrap();
        sealing
            .seal(protect::kind::HANDSHAKE, &hello, &mut out)
            .unwrap();
        tcp.write_all(&out).await.unwrap();
        assert_eq!(ours.read(&mut room).await.unwrap(), 1);
        let error = ours.read(&mut room).await.unwrap_err();
        assert!(error.to_string().contains("UnexpectedMessage"), "{error}");
        seen += 1;
    }
    assert_eq!(seen, 3);
}
