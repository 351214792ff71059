//! What a client says in one write with its Finished, which ends rustls' part: data, new keys, an end.

use std::io::{Read as _, Write as _};

use super::*;

#[derive(Clone, Copy, Debug)]
enum Say {
    Data,
    /// Ours is to change as well (RFC 8446 §4.6.3 `update_requested`).
    NewKey,
    End,
}

use Say::{Data, End, NewKey};

/// What the client has said last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Handshake,
    Finished,
    Answered,
}

const COMMAND: &[u8] = b"a1 NOOP\r\n";
const ANSWER: &[u8] = b"a1 OK\r\n";

/// A client that says these behind its Finished, in pieces of `cut` octets, and one more command once it
/// has its answers.
async fn behind_finished(
    config: Arc<ServerConfig>,
    suite: SupportedCipherSuite,
    says: &[Say],
    cut: usize,
) {
    let ends = says.iter().any(|say| matches!(say, End));
    let commands = says.iter().filter(|say| matches!(say, Data)).count();
    let (listener, address) = listen().await;
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let ours = tokio::spawn(async move {
        let mut first = |_: Option<&str>| ANSWER.to_vec();
        let first: Option<FirstWords<'_>> = match config.send_half_rtt_data {
            true => Some(&mut first),
            false => None,
        };
        let greets = first.is_some();
        let mut ours = FrontTls::accept(accepted, config, first).await.unwrap();
        if !greets {
            ours.write_all(ANSWER).await.unwrap();
        }
        let mut heard = vec![0; COMMAND.len() * commands];
        ours.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, COMMAND.repeat(commands));
        ours.write_all(ANSWER).await.unwrap();
        match ends {
            true => assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 0),
            false => {
                let mut heard = [0; COMMAND.len()];
                ours.read_exact(&mut heard).await.unwrap();
                assert_eq!(heard, COMMAND);
            }
        }
        ours.write_all(ANSWER).await.unwrap();
        ours.shutdown().await.unwrap();
    });
    let name = ServerName::try_from("localhost").unwrap();
    let mut state = ClientConnection::new(client(suite), name).unwrap();
    let mut out = Vec::new();
    let mut heard = Vec::new();
    let mut turn = Turn::Handshake;
    let mut octets = vec![0; 4096];
    loop {
        while state.wants_write() {
            state.write_tls(&mut out).unwrap();
        }
        if turn == Turn::Handshake && !state.is_handshaking() {
            turn = Turn::Finished;
            for say in says {
                match say {
                    Data => state.writer().write_all(COMMAND).unwrap(),
                    NewKey => state.refresh_traffic_keys().unwrap(),
                    End => state.send_close_notify(),
                }
            }
            while state.wants_write() {
                state.write_tls(&mut out).unwrap();
            }
        } else if turn == Turn::Finished && !ends && heard.len() == 2 * ANSWER.len() {
            turn = Turn::Answered;
            state.writer().write_all(COMMAND).unwrap();
            state.write_tls(&mut out).unwrap();
        }
        for piece in out.chunks(cut) {
            tcp.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        out.clear();
        let n = tcp.read(&mut octets).await.unwrap();
        if n == 0 {
            break;
        }
        let mut rest = &octets[..n];
        while !rest.is_empty() {
            state.read_tls(&mut rest).unwrap();
            state.process_new_packets().unwrap();
        }
        let _ = state.reader().read_to_end(&mut heard);
    }
    assert_eq!(heard, ANSWER.repeat(3), "{says:?}, cut at {cut}");
    ours.await.unwrap();
}

#[tokio::test]
async fn a_client_may_go_on_in_the_write_of_its_finished() {
    let mut early = (*server()).clone();
    early.send_half_rtt_data = true;
    for config in [server(), early.into()] {
        for says in [
            &[][..],
            &[Data],
            &[NewKey],
            &[NewKey, Data],
            &[Data, NewKey, Data],
            &[NewKey, NewKey, Data, NewKey],
            &[Data, End],
            &[NewKey, End],
            &[End],
        ] {
            for cut in [1, 7, 4096] {
                behind_finished(config.clone(), tls13(), says, cut).await;
            }
        }
    }
    for suite in suites() {
        let says: &[Say] = match suite.version().version {
            ProtocolVersion::TLSv1_3 => &[NewKey, Data, NewKey],
            _ => &[Data],
        };
        behind_finished(server(), suite, says, 4096).await;
    }
}
