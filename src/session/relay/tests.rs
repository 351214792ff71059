//! Relays between two in-memory peers, on virtual time.

mod capped;
mod gone;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::direction::BUFFER;
use super::*;
use crate::protocol::Protocol;
use crate::session::registry::{Entry, Registry};

/// A protocol of lines: a goodbye may stand where the host's last octet was a line end.
struct Lines {
    boundary: bool,
}

impl Observer for Lines {
    fn client_to_host(&mut self, bytes: &[u8]) -> Verdict {
        match bytes.starts_with(b"FORBIDDEN") {
            true => Verdict::End,
            false => Verdict::Pass,
        }
    }

    fn host_to_client(&mut self, bytes: &mut [u8]) {
        self.boundary = bytes.ends_with(b"\n");
    }

    fn goodbye(&self, _reason: Farewell) -> Option<Vec<u8>> {
        self.boundary.then(|| b"* BYE\r\n".to_vec())
    }
}

/// A relay at work with the far ends of both its streams.
struct Play {
    client: DuplexStream,
    host: DuplexStream,
    entry: Arc<Entry>,
    relay: JoinHandle<Ended>,
}

/// How long the client of a session lost out of the blue is kept.
const LOST: Duration = Duration::from_secs(3);

const IDLE: Duration = Duration::from_secs(60);

fn play(to_client: &[u8], to_host: &[u8], pipe: usize) -> Play {
    let (client, near_client) = duplex(pipe);
    let (host, near_host) = duplex(pipe);
    let handover = Handover::for_tests(to_client, to_host, Lines { boundary: true });
    let near = (Stream::Memory(near_client), Stream::Memory(near_host));
    let (entry, relay) = between(near, handover);
    Play {
        client,
        host,
        entry,
        relay,
    }
}

/// A relay between a client and a host.
fn between(
    (client, host): (Stream, Stream),
    handover: Handover,
) -> (Arc<Entry>, JoinHandle<Ended>) {
    let address = "192.0.2.1:1".parse().unwrap();
    let registry = Arc::new(Registry::default());
    let entry = Arc::new(registry.enter("id".into(), Protocol::Imap, address, None));
    let live = entry.clone();
    let relay =
        tokio::spawn(async move { relay(client, host, handover, &live, IDLE, || LOST).await });
    (entry, relay)
}

/// The host is in the middle of a line, and the client has read what there is of it.
async fn play_in_a_line() -> Play {
    let mut play = play(b"", b"", 1024);
    play.host.write_all(b"half ").await.unwrap();
    play.client.read_exact(&mut [0; 5]).await.unwrap();
    play
}

async fn all(mut from: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test(start_paused = true)]
async fn what_is_due_comes_first_and_bytes_follow_in_order() {
    let Play {
        mut client,
        mut host,
        relay,
        ..
    } = play(b"a OK in\r\n", b"b SELECT x\r\n", 7);
    let data: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
    let sent = data.clone();
    let up = tokio::spawn(async move {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        all(client).await
    });
    let mut at_host = Vec::new();
    host.read_to_end(&mut at_host).await.unwrap();
    assert_eq!(at_host, [b"b SELECT x\r\n", &data[..]].concat());
    // The client's half is over; the host's answer still arrives whole.
    host.write_all(&data).await.unwrap();
    drop(host);
    assert_eq!(up.await.unwrap(), [b"a OK in\r\n", &data[..]].concat());
    assert_eq!(relay.await.unwrap(), Ended::new(EndedBy::Client, "closed"));
}

#[tokio::test(start_paused = true)]
async fn the_hosts_end_reaches_the_client_after_its_last_words() {
    let Play {
        client,
        mut host,
        relay,
        ..
    } = play(b"", b"", 16);
    let words = b"* BYE so long\r\n".repeat(1000);
    let sent = words.clone();
    tokio::spawn(async move { host.write_all(&sent).await.unwrap() });
    assert_eq!(all(client).await, words);
    assert_eq!(relay.await.unwrap(), Ended::new(EndedBy::Backend, "closed"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_holds_up_one_buffer() {
    let Play {
        mut client,
        mut host,
        relay,
        ..
    } = play(b"", b"", 1024);
    let writer = tokio::spawn(async move {
        let mut sent = 0_usize;
        while tokio::time::timeout(Duration::from_secs(1), host.write_all(&[b'x'; 512]))
            .await
            .is_ok()
        {
            sent += 512;
        }
        sent
    });
    let sent = writer.await.unwrap();
    assert!(sent <= BUFFER + 4096, "{sent} octets are under way");
    let mut some = vec![0; sent];
    client.read_exact(&mut some).await.unwrap();
    drop(client);
    assert_eq!(relay.await.unwrap().by, EndedBy::Backend);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_waits_for_its_boundary() {
    let Play {
        mut client,
        mut host,
        entry,
        relay,
    } = play(b"", b"", 1024);
    host.write_all(b"* 1 FETCH (BODY[] {9}").await.unwrap();
    let mut some = [0; 21];
    client.read_exact(&mut some).await.unwrap();
    entry.end(Farewell::Kicked);
    tokio::time::sleep(Duration::from_secs(1)).await;
    host.write_all(b"\r\n123456789)\r\n").await.unwrap();
    let rest = all(client).await;
    assert_eq!(rest, b"\r\n123456789)\r\n* BYE\r\n");
    let ended = relay.await.unwrap();
    assert_eq!(ended, Ended::new(EndedBy::Gateway, "kicked"));
}

#[tokio::test(start_paused = true)]
async fn without_a_boundary_the_session_ends_without_words() {
    let Play {
        client,
        mut host,
        entry,
        relay,
    } = play(b"", b"", 1024);
    host.write_all(b"half a line").await.unwrap();
    entry.end(Farewell::Kicked);
    assert_eq!(all(client).await, b"half a line");
    let ended = relay.await.unwrap();
    assert_eq!(ended, Ended::new(EndedBy::Gateway, "kicked"));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_its_boundary_as_long_as_it_takes() {
    let Play {
        client,
        mut host,
        entry,
        relay,
    } = play_in_a_line().await;
    entry.end(Farewell::Shutdown);
    tokio::time::sleep(Duration::from_secs(600)).await;
    host.write_all(b"a line\n").await.unwrap();
    assert_eq!(all(client).await, b"a line\n* BYE\r\n");
    let ended = relay.await.unwrap();
    assert_eq!(ended, Ended::new(EndedBy::Gateway, "shutdown"));
}

#[tokio::test(start_paused = true)]
async fn who_was_told_goodbye_may_still_say_something() {
    let Play {
        mut client,
        host,
        entry,
        relay,
    } = play(b"", b"", 1024);
    entry.end(Farewell::Shutdown);
    client.read_exact(&mut [0; 7]).await.unwrap();
    // Not refused with a reset, which could cost the client our last words.
    client.write_all(b"DONE\r\n").await.unwrap();
    drop(client);
    assert_eq!(all(host).await, b"");
    assert_eq!(relay.await.unwrap().by, EndedBy::Gateway);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_session_and_a_byte_renews_it() {
    let began = Instant::now();
    let Play {
        mut client,
        mut host,
        relay,
        ..
    } = play(b"", b"", 1024);
    tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
    client.write_all(b"a NOOP\r\n").await.unwrap();
    host.read_exact(&mut [0; 8]).await.unwrap();
    assert_eq!(all(client).await, b"* BYE\r\n");
    assert_eq!(began.elapsed().as_secs(), 119);
    // The session is one of the host's until the host has closed it, too.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!relay.is_finished());
    assert_eq!(all(&mut host).await, b"");
    drop(host);
    assert_eq!(relay.await.unwrap(), Ended::new(EndedBy::Gateway, "idle"));
    assert_eq!(began.elapsed().as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_session_is_not_kept_for_a_silent_host() {
    let began = Instant::now();
    let Play {
        mut client,
        host,
        relay,
        ..
    } = play(b"", b"", 1024);
    client.shutdown().await.unwrap();
    assert_eq!(relay.await.unwrap(), Ended::new(EndedBy::Client, "closed"));
    assert_eq!(began.elapsed(), HALF_CLOSED_IDLE);
    drop(host);
}

#[tokio::test(start_paused = true)]
async fn a_refused_command_ends_the_session_and_does_not_reach_the_host() {
    let Play {
        mut client,
        host,
        relay,
        ..
    } = play(b"", b"", 1024);
    client.write_all(b"FORBIDDEN\r\n").await.unwrap();
    assert_eq!(all(host).await, b"");
    assert_eq!(relay.await.unwrap().by, EndedBy::Gateway);
}

#[tokio::test(start_paused = true)]
async fn a_hosts_last_words_survive_a_write_that_failed() {
    let Play {
        mut client,
        mut host,
        relay,
        ..
    } = play(b"", b"", 1024);
    host.write_all(b"* BYE gone\r\n").await.unwrap();
    drop(host);
    let _ = client.write_all(b"a NOOP\r\n").await;
    assert_eq!(all(client).await, b"* BYE gone\r\n");
    assert_eq!(relay.await.unwrap().by, EndedBy::Backend);
}

#[tokio::test(start_paused = true)]
async fn the_client_of_a_session_lost_out_of_the_blue_is_kept_for_a_while() {
    // Seconds of silence before the host closes, words before that, seconds until the client sees it.
    for (silence, words, kept) in [(0, "", 0), (2, "", 3), (2, "* BYE\r\n", 0)] {
        let Play {
            client,
            mut host,
            relay,
            ..
        } = play(b"", b"", 64);
        tokio::time::sleep(Duration::from_secs(silence)).await;
        host.write_all(words.as_bytes()).await.unwrap();
        drop(host);
        let lost = Instant::now();
        assert_eq!(all(client).await, words.as_bytes());
        assert_eq!(lost.elapsed().as_secs(), kept, "{silence} {words}");
        assert_eq!(relay.await.unwrap(), Ended::new(EndedBy::Backend, "closed"));
    }
    // A client that has gone meanwhile is not waited for.
    let Play {
        client,
        host,
        relay,
        ..
    } = play(b"", b"", 64);
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(host);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let gone = Instant::now();
    drop(client);
    relay.await.unwrap();
    assert!(gone.elapsed() < LOST / 2);
}

/// A drain has no end of its own; an order to go meanwhile does.
#[tokio::test(start_paused = true)]
async fn who_drains_is_kicked_all_the_same() {
    let Play {
        client,
        host: _open,
        entry,
        relay,
    } = play_in_a_line().await;
    entry.end(Farewell::Shutdown);
    tokio::time::sleep(Duration::from_secs(600)).await;
    entry.end(Farewell::Kicked);
    let kicked = Instant::now();
    assert_eq!(all(client).await, b"");
    let ended = relay.await.unwrap();
    assert_eq!(ended, Ended::new(EndedBy::Gateway, "kicked"));
    assert_eq!(kicked.elapsed(), GOODBYE_WAIT);
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_session_is_not_kept_by_a_drain() {
    for first in ["the drain", "the client"] {
        let Play {
            mut client,
            mut host,
            entry,
            relay,
        } = play(b"", b"", 1024);
        host.write_all(b"half ").await.unwrap();
        if first == "the drain" {
            entry.end(Farewell::Shutdown);
            tokio::time::sleep(Duration::from_secs(100)).await;
        }
        host.write_all(b"more ").await.unwrap();
        client.read_exact(&mut [0; 10]).await.unwrap();
        client.shutdown().await.unwrap();
        let half = Instant::now();
        tokio::time::sleep(Duration::from_secs(1)).await;
        entry.end(Farewell::Shutdown);
        assert_eq!(relay.await.unwrap(), Ended::new(EndedBy::Client, "closed"));
        assert_eq!(half.elapsed(), HALF_CLOSED_IDLE, "{first}");
    }
}

/// A host that breaks while its client reads nothing is to blame, however long the client takes.
#[tokio::test(start_paused = true)]
async fn a_hosts_fault_is_not_told_as_the_clients() {
    for drains in [false, true] {
        let Play {
            mut client,
            mut host,
            entry,
            relay,
        } = play(b"", b"", 16);
        let _ = tokio::time::timeout(Duration::from_secs(1), host.write_all(&[b'x'; 100])).await;
        drop(host);
        if drains {
            entry.end(Farewell::Shutdown);
        }
        client.write_all(b"a NOOP\r\n").await.unwrap();
        assert_eq!(relay.await.unwrap().by, EndedBy::Backend, "{drains}");
    }
}
