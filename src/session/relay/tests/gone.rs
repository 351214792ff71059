//! A client that is gone while its host takes nothing of what it sent: on real connections, whose ends the
//! kernel tells.

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Both ends of a connection, the far one first.
async fn connection() -> (TcpStream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).await;
    let (near, _) = listener.accept().await.unwrap();
    (far.unwrap(), Stream::Tcp(near))
}

/// What a client sends: more than its host's kernel and the relay take, and little enough for the kernel
/// to take the client's end behind it.
const SENT: usize = 128 * 1024;

/// A client whose host takes nothing of what it sent, and the host.
async fn stalled() -> (TcpStream, TcpStream, JoinHandle<Ended>) {
    let ((mut client, near_client), (host, near_host)) = (connection().await, connection().await);
    SockRef::from(&host).set_recv_buffer_size(4096).unwrap();
    let near = near_host.tcp().unwrap();
    SockRef::from(near).set_send_buffer_size(4096).unwrap();
    let handover = Handover::for_tests(b"", b"", Lines { boundary: true });
    let (_, relay) = between((near_client, near_host), handover);
    client.write_all(&[b'x'; SENT]).await.unwrap();
    (client, host, relay)
}

#[tokio::test]
async fn a_client_that_is_gone_is_noticed_though_its_host_takes_nothing() {
    let (client, _host, relay) = stalled().await;
    tokio::time::sleep(LOOK).await;
    client.set_zero_linger().unwrap();
    drop(client);
    let ended = tokio::time::timeout(IDLE / 2, relay).await;
    let ended = ended.expect("it is noticed before the session is idle");
    assert_eq!(ended.unwrap(), Ended::new(EndedBy::Client, "reset"));
    let (mut client, _host, relay) = stalled().await;
    client.shutdown().await.unwrap();
    assert_eq!(relay.await.unwrap(), Ended::new(EndedBy::Client, "closed"));
}

#[tokio::test]
async fn what_a_client_sent_before_its_end_reaches_a_host_that_was_slow() {
    let (mut client, mut host, relay) = stalled().await;
    // However long it was before the end of the client.
    tokio::time::sleep(HALF_CLOSED_IDLE + LOOK).await;
    client.shutdown().await.unwrap();
    tokio::time::sleep(2 * LOOK).await;
    let mut taken = Vec::new();
    host.read_to_end(&mut taken).await.unwrap();
    assert_eq!(taken.len(), SENT);
    host.write_all(b"a OK stored\r\n").await.unwrap();
    drop(host);
    assert_eq!(all(client).await, b"a OK stored\r\n");
    assert_eq!(relay.await.unwrap(), Ended::new(EndedBy::Client, "closed"));
}
