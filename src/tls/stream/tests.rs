//! Against rustls' own client: each suite, any cut of the octets, key updates, ends and forgeries.

use std::net::SocketAddr;
use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::server::WantsServerCert;
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, ServerConfig, SupportedCipherSuite,
    WantsVerifier,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::tls::provider;
use anybody::Anybody;
use records::IDLE_MAX;

mod ends;
mod flight;
mod floods;
mod hellos;

#[path = "../../../tests/support/anybody.rs"]
mod anybody;

fn server() -> Arc<ServerConfig> {
    configured(|it| it.with_no_client_auth()).into()
}

fn configured(
    auth: impl FnOnce(
        ConfigBuilder<ServerConfig, WantsVerifier>,
    ) -> ConfigBuilder<ServerConfig, WantsServerCert>,
) -> ServerConfig {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let private = PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .unwrap();
    let mut config = auth(builder)
        .with_single_cert(vec![key.cert.der().clone()], private.into())
        .unwrap();
    config.enable_secret_extraction = true;
    config
}

fn client(suite: SupportedCipherSuite) -> Arc<ClientConfig> {
    let mut only = (*provider()).clone();
    only.cipher_suites = vec![suite];
    let config = ClientConfig::builder_with_provider(only.into())
        .with_protocol_versions(&[suite.version()])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody::new()))
        .with_no_client_auth();
    Arc::new(config)
}

/// The suites that an ECDSA certificate can be used with.
fn suites() -> Vec<SupportedCipherSuite> {
    let all = provider().cipher_suites.clone();
    all.into_iter()
        .filter(|suite| !format!("{:?}", suite.suite()).contains("_RSA_"))
        .collect()
}

fn tls13() -> SupportedCipherSuite {
    let mut suites = suites().into_iter();
    suites
        .find(|suite| suite.version().version == ProtocolVersion::TLSv1_3)
        .unwrap()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Both ends of a connection: rustls' client, and ours.
pub(crate) async fn connected_by_default() -> (TlsStream<TcpStream>, FrontTls) {
    connected(tls13()).await
}

async fn connected(suite: SupportedCipherSuite) -> (TlsStream<TcpStream>, FrontTls) {
    connected_as(client(suite)).await
}

async fn connected_as(client: Arc<ClientConfig>) -> (TlsStream<TcpStream>, FrontTls) {
    let (listener, address) = listen().await;
    let connector = TlsConnector::from(client);
    let tcp = TcpStream::connect(address).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let (ours, theirs) = tokio::join!(
        async {
            let mut ours = FrontTls::accept(accepted, server(), None).await.unwrap();
            ours.flush().await.unwrap();
            ours
        },
        connector.connect(name, tcp),
    );
    (theirs.unwrap(), ours)
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

/// Sends `sizes` of octets one after the other and hears them at the other end.
async fn passes(
    writer: &mut (impl AsyncWrite + Unpin),
    reader: &mut (impl AsyncRead + Unpin),
    sizes: &[usize],
) {
    let all = text(sizes.iter().sum());
    let write = async {
        let mut rest = &*all;
        for size in sizes {
            let (now, later) = rest.split_at(*size);
            writer.write_all(now).await.unwrap();
            writer.flush().await.unwrap();
            rest = later;
        }
    };
    let read = async {
        let mut heard = vec![0; all.len()];
        reader.read_exact(&mut heard).await.unwrap();
        assert!(heard == all, "the same octets in the same order");
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn every_suite_carries_data_both_ways() {
    assert!(suites().len() >= 6, "1.2 and 1.3, three ciphers each");
    for suite in suites() {
        let (mut theirs, mut ours) = connected(suite).await;
        assert_eq!(ours.cipher_suite().map(|s| s.suite()), Some(suite.suite()));
        assert_eq!(ours.version(), Some(suite.version().version));
        for sizes in [&[1, 2, 500][..], &[16384, 16385, 1], &[300_000], &[3; 50]] {
            passes(&mut theirs, &mut ours, sizes).await;
            passes(&mut ours, &mut theirs, sizes).await;
        }
        assert!(ours.received.is_empty() && ours.received.capacity() == 0);
        assert!(ours.unsent.capacity() == 0 && ours.data.capacity() == 0);
    }
}

#[tokio::test]
async fn each_side_ends_its_half() {
    for suite in suites() {
        let (mut theirs, mut ours) = connected(suite).await;
        theirs.shutdown().await.unwrap();
        assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 0, "and stays so");
        ours.write_all(b"more").await.unwrap();
        ours.shutdown().await.unwrap();
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"more");
        assert!(ours.write(b"x").await.is_err());
    }
}

#[tokio::test]
async fn an_end_that_nobody_announced_is_an_error() {
    let (mut theirs, mut ours) = connected(tls13()).await;
    passes(&mut ours, &mut theirs, &[1]).await;
    drop(theirs.into_inner().0);
    let error = ours.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn keys_change_on_the_way() {
    for suite in suites() {
        if suite.version().version != ProtocolVersion::TLSv1_3 {
            continue;
        }
        let (mut theirs, mut ours) = connected(suite).await;
        for _ in 0..40 {
            theirs.get_mut().1.refresh_traffic_keys().unwrap();
            passes(&mut theirs, &mut ours, &[5, 20_000]).await;
            passes(&mut ours, &mut theirs, &[20_000, 5]).await;
        }
        // Ours change as a key grows old.
        ours.records.limit = 3;
        passes(&mut ours, &mut theirs, &[200_000, 1, 1, 1, 1, 1]).await;
        assert!(ours.records.write.sequence() <= 3);
        passes(&mut theirs, &mut ours, &[70_000]).await;
    }
}

#[tokio::test]
async fn without_a_way_to_change_it_an_old_key_is_not_used() {
    let suite = *suites().last().unwrap();
    assert_eq!(suite.version().version, ProtocolVersion::TLSv1_2);
    let (_theirs, mut ours) = connected(suite).await;
    ours.records.limit = 3;
    for _ in 0..2 {
        ours.write_all(b"x").await.unwrap();
    }
    assert!(ours.write_all(b"x").await.is_err());
}

#[tokio::test]
async fn key_updates_alone_end_it() {
    let (mut theirs, mut ours) = connected(tls13()).await;
    let mut ended = false;
    for _ in 0..40 {
        theirs.get_mut().1.refresh_traffic_keys().unwrap();
        if theirs.flush().await.is_err() {
            break;
        }
        let mut room = [0; 8];
        let read = ours.read(&mut room);
        if let Ok(result) = tokio::time::timeout(std::time::Duration::from_millis(20), read).await {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
            ended = true;
            break;
        }
    }
    assert!(ended);
}

/// What our side makes of octets that are not what the client sealed.
async fn forged(suite: SupportedCipherSuite, forge: impl FnOnce(&mut Vec<u8>)) -> io::Error {
    let (theirs, mut ours) = connected(suite).await;
    let (mut tcp, mut state) = theirs.into_inner();
    io::Write::write_all(&mut state.writer(), b"a1 NOOP\r\n").unwrap();
    let mut sealed = Vec::new();
    state.write_tls(&mut sealed).unwrap();
    forge(&mut sealed);
    tcp.write_all(&sealed).await.unwrap();
    let error = ours.read(&mut [0; 64]).await.unwrap_err();
    // Whoever sent that is told so in words that he can open.
    let mut answer = Vec::new();
    drop(ours);
    let _ = tcp.read_to_end(&mut answer).await;
    assert!(tells_an_alert(&mut state, &answer), "{error}: {answer:?}");
    error
}

fn tells_an_alert(state: &mut ClientConnection, answer: &[u8]) -> bool {
    let mut rest = answer;
    while !rest.is_empty() {
        state.read_tls(&mut rest).unwrap();
        if let Err(rustls::Error::AlertReceived(_)) = state.process_new_packets() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn damage_ends_it() {
    for suite in suites() {
        for at in [5, 9, 13, 20] {
            let error = forged(suite, |sealed| sealed[at] ^= 1).await;
            assert!(error.to_string().contains("BadRecordMac"), "{error}");
        }
        let error = forged(suite, |sealed| sealed[1] = 9).await;
        assert!(error.to_string().contains("DecodeError"), "{error}");
        let error = forged(suite, |sealed| sealed[3] = 0xff).await;
        assert!(error.to_string().contains("RecordOverflow"), "{error}");
        let short = |sealed: &mut Vec<u8>| {
            sealed.truncate(HEADER + 2);
            sealed[3..5].copy_from_slice(&[0, 2]);
        };
        forged(suite, short).await;
    }
    // 1.3 has no record in clear behind the handshake: not an alert, not a ChangeCipherSpec.
    for clear in [&[21, 3, 3, 0, 2, 1, 0][..], &[20, 3, 3, 0, 1, 1]] {
        let error = forged(tls13(), |sealed| *sealed = clear.to_vec()).await;
        assert!(error.to_string().contains("UnexpectedMessage"), "{error}");
    }
    // The same record twice.
    let (theirs, mut ours) = connected(tls13()).await;
    let (mut tcp, mut state) = theirs.into_inner();
    io::Write::write_all(&mut state.writer(), b"a1 NOOP\r\n").unwrap();
    let mut sealed = Vec::new();
    state.write_tls(&mut sealed).unwrap();
    tcp.write_all(&[&*sealed, &*sealed].concat()).await.unwrap();
    assert_eq!(ours.read(&mut [0; 64]).await.unwrap(), 9);
    assert!(ours.read(&mut [0; 64]).await.is_err());
}

#[tokio::test]
async fn what_is_said_behind_the_handshake_is_heard() {
    // The client's Finished and its first command in one write, also cut anywhere.
    for cut in [1, 5, 40, 64, 1000] {
        let (listener, address) = listen().await;
        let name = ServerName::try_from("localhost").unwrap();
        let mut state = ClientConnection::new(client(tls13()), name).unwrap();
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let ours = tokio::spawn(async move {
            let mut ours = FrontTls::accept(accepted, server(), None).await.unwrap();
            let mut heard = [0; 9];
            ours.read_exact(&mut heard).await.unwrap();
            ours.write_all(b"a1 OK\r\n").await.unwrap();
            ours.flush().await.unwrap();
            heard
        });
        let mut answer = Vec::new();
        let mut said = false;
        while answer.len() < 7 {
            let mut out = Vec::new();
            while state.wants_write() {
                state.write_tls(&mut out).unwrap();
            }
            if !state.is_handshaking() && !said {
                said = true;
                io::Write::write_all(&mut state.writer(), b"a1 NOOP\r\n").unwrap();
                state.write_tls(&mut out).unwrap();
            }
            for piece in out.chunks(cut) {
                tcp.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            let mut octets = vec![0; 4096];
            let n = tcp.read(&mut octets).await.unwrap();
            let mut rest = &octets[..n];
            while !rest.is_empty() {
                state.read_tls(&mut rest).unwrap();
                state.process_new_packets().unwrap();
            }
            let _ = io::Read::read_to_end(&mut state.reader(), &mut answer);
        }
        assert_eq!(&ours.await.unwrap(), b"a1 NOOP\r\n");
        assert_eq!(answer, b"a1 OK\r\n");
    }
}

#[tokio::test]
async fn a_client_that_cannot_agree_is_told() {
    let (listener, address) = listen().await;
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    tcp.write_all(b"a1 LOGIN alice secret\r\n").await.unwrap();
    let error = FrontTls::accept(accepted, server(), None)
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let mut answer = Vec::new();
    let _ = tcp.read_to_end(&mut answer).await;
    assert_eq!(answer.first(), Some(&protect::kind::ALERT), "{answer:?}");
}

#[tokio::test]
async fn a_hello_without_end_is_not_kept() {
    let (listener, address) = listen().await;
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    // A hello of 16 MiB, in full records.
    let mut record = vec![22, 3, 1, 0x40, 0];
    record.extend([1, 0xff, 0xff, 0xff, 3, 3]);
    record.resize(HEADER + PLAIN_MAX, 0);
    let talk = tokio::spawn(async move { while tcp.write_all(&record).await.is_ok() {} });
    assert!(FrontTls::accept(accepted, server(), None).await.is_err());
    talk.await.unwrap();
}

#[tokio::test]
async fn a_reader_with_little_room_gets_all_and_little_is_kept() {
    let (mut theirs, mut ours) = connected(tls13()).await;
    let all = text(200_000);
    let sent = all.clone();
    let talk = tokio::spawn(async move {
        theirs.write_all(&sent).await.unwrap();
        theirs.flush().await.unwrap();
        theirs
    });
    let mut heard: Vec<u8> = Vec::new();
    while heard.len() < all.len() {
        let mut room = [0; 100];
        let n = ours.read(&mut room).await.unwrap();
        heard.extend(&room[..n]);
        let kept = ours.received.capacity() + ours.data.capacity();
        assert!(kept <= HELD_MAX, "{kept}");
    }
    assert!(heard == all);
    talk.await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_one_batch() {
    let (mut theirs, mut ours) = connected(tls13()).await;
    let all = text(8 << 20);
    let mut rest = &*all;
    // Until the network takes no more.
    while let Ok(n) = tokio::time::timeout(
        std::time::Duration::from_millis(100),
        ours.write(&rest[..rest.len().min(1 << 20)]),
    )
    .await
    {
        rest = &rest[n.unwrap()..];
        assert!(ours.unsent.len() <= BATCH + BESIDE);
    }
    assert!(waiting() >= ours.unsent.len() && ours.unsent.len() > 0);
    let write = async {
        ours.write_all(rest).await.unwrap();
        ours.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    let (_, read) = tokio::join!(write, theirs.read_to_end(&mut heard));
    read.unwrap();
    assert!(heard == all);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_sizes(sizes in prop::collection::vec(1usize..40_000, 1..12), pick in 0usize..6) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut theirs, mut ours) = connected(suites()[pick]).await;
            passes(&mut theirs, &mut ours, &sizes).await;
            passes(&mut ours, &mut theirs, &sizes).await;
        });
    }
}
