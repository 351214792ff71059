//! The first words of a connection, which leave with the handshake, and the last, which leave with the
//! goodbye of TLS.

use std::future::poll_fn;
use std::io::Read as _;
use std::pin::pin;

use super::*;

const GREETING: &[u8] = b"* OK ready\r\n";

fn early() -> Arc<ServerConfig> {
    let mut config = (*server()).clone();
    config.send_half_rtt_data = true;
    config.into()
}

#[tokio::test]
async fn the_first_words_come_before_the_client_is_done() {
    let (listener, address) = listen().await;
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let ours = tokio::spawn(async move {
        let mut names = Vec::new();
        let mut first = |name: Option<&str>| {
            names.push(name.map(str::to_owned));
            GREETING.to_vec()
        };
        let mut ours = FrontTls::accept(accepted, early(), Some(&mut first))
            .await
            .unwrap();
        assert_eq!(names, [Some("localhost".to_owned())], "asked for once");
        let mut heard = [0; 9];
        ours.read_exact(&mut heard).await.unwrap();
        ours.write_all(b"a1 OK\r\n").await.unwrap();
        heard
    });
    let name = ServerName::try_from("localhost").unwrap();
    let mut state = ClientConnection::new(client(tls13()), name).unwrap();
    let mut hello = Vec::new();
    state.write_tls(&mut hello).unwrap();
    tcp.write_all(&hello).await.unwrap();
    // The client has sent nothing but its hello.
    let mut heard = vec![0; GREETING.len()];
    let mut have = 0;
    while have < heard.len() {
        read_some(&mut tcp, &mut state).await;
        have += state.reader().read(&mut heard[have..]).unwrap_or(0);
    }
    assert_eq!(heard, GREETING);
    io::Write::write_all(&mut state.writer(), b"a1 NOOP\r\n").unwrap();
    let mut out = Vec::new();
    while state.wants_write() {
        state.write_tls(&mut out).unwrap();
    }
    tcp.write_all(&out).await.unwrap();
    let mut answer = Vec::new();
    while answer.len() < 7 {
        read_some(&mut tcp, &mut state).await;
        let _ = state.reader().read_to_end(&mut answer);
    }
    assert_eq!(answer, b"a1 OK\r\n");
    assert_eq!(&ours.await.unwrap(), b"a1 NOOP\r\n");
    assert!(
        state.tls13_tickets_received() > 0,
        "they came with the data"
    );
}

#[tokio::test]
async fn where_they_cannot_nobody_asks_for_them() {
    let tls12 = suites()
        .into_iter()
        .find(|suite| suite.version().version == ProtocolVersion::TLSv1_2)
        .unwrap();
    // TLS 1.2; not wished for; a client that may show a certificate, with tickets and without.
    let asks = [0, 1].map(|tickets| {
        let mut roots = rustls::RootCertStore::empty();
        let authority = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
        roots.add(authority.cert.der().clone()).unwrap();
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
        let verifier = verifier.allow_unauthenticated().build().unwrap();
        let mut config = configured(|it| it.with_client_cert_verifier(verifier));
        config.send_half_rtt_data = true;
        config.send_tls13_tickets = tickets;
        (tls13(), Arc::new(config))
    });
    let cases = [(tls12, early()), (tls13(), server())];
    for (suite, config) in cases.into_iter().chain(asks) {
        let (listener, address) = listen().await;
        let tcp = TcpStream::connect(address).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(client(suite));
        let mut first = |_: Option<&str>| -> Vec<u8> { panic!("asked for first words") };
        let (ours, theirs) = tokio::join!(
            FrontTls::accept(accepted, config, Some(&mut first)),
            connector.connect(name, tcp),
        );
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        passes(&mut ours, &mut theirs, &[20]).await;
    }
}

#[tokio::test]
async fn the_last_words_and_the_goodbye_are_one_packet() {
    let (mut theirs, mut ours) = connected(tls13()).await;
    let words = b"* BYE\r\na2 OK\r\n";
    poll_fn(|cx| ours.poll_write_last(cx, words)).await.unwrap();
    let mut heard = Vec::new();
    theirs.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, words, "and a clean end, before any shutdown");
    let again = poll_fn(|cx| pin!(&mut ours).poll_write(cx, b"more")).await;
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    ours.shutdown().await.unwrap();
}

/// Each write is a packet of its own, and wakes the client.
#[tokio::test]
async fn tickets_leave_with_the_first_answer() {
    let (listener, address) = listen().await;
    let connector = TlsConnector::from(client(tls13()));
    let tcp = TcpStream::connect(address).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let (ours, theirs) = tokio::join!(
        FrontTls::accept(accepted, server(), None),
        connector.connect(name, tcp),
    );
    let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
    theirs.write_all(b"a NOOP\r\n").await.unwrap();
    theirs.flush().await.unwrap();
    let mut heard = [0; 8];
    ours.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"a NOOP\r\n");
    let (tcp, _) = theirs.into_inner();
    let tcp = tcp.into_std().unwrap();
    let early = tcp.peek(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(early, Err(io::ErrorKind::WouldBlock));
    ours.write_all(b"a OK\r\n").await.unwrap();
    tcp.set_nonblocking(false).unwrap();
    let mut octets = [0; 4096];
    let came = tcp.peek(&mut octets).unwrap();
    let first = HEADER + usize::from(u16::from_be_bytes([octets[3], octets[4]]));
    assert!(came > first, "{came} octets, the first record has {first}");
}

/// As in clear text: what a client has said is done, though it did not wait for the answers.
#[tokio::test]
async fn what_came_before_a_reset_is_given_though_our_words_are_not_taken() {
    let (mut theirs, mut ours) = connected(tls13()).await;
    let much = vec![b'x'; BATCH];
    // Until the client's and our own buffers are full.
    poll_fn(|cx| {
        while let Poll::Ready(written) = pin!(&mut ours).poll_write(cx, &much) {
            written.unwrap();
        }
        Poll::Ready(())
    })
    .await;
    theirs.write_all(b"a STORE\r\n").await.unwrap();
    theirs.flush().await.unwrap();
    theirs.get_ref().0.set_zero_linger().unwrap();
    drop(theirs);
    let mut heard = [0; 9];
    ours.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"a STORE\r\n");
    assert!(ours.read(&mut heard).await.is_err());
}

async fn read_some(tcp: &mut TcpStream, state: &mut ClientConnection) {
    let mut octets = vec![0; 4096];
    let n = tcp.read(&mut octets).await.unwrap();
    assert!(n > 0, "closed");
    let mut rest = &octets[..n];
    while !rest.is_empty() {
        state.read_tls(&mut rest).unwrap();
        state.process_new_packets().unwrap();
    }
}
