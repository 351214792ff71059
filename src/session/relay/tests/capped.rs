//! What slow peers hold up is counted, wherever it is kept, and much of it makes everybody read less.

use std::sync::atomic::AtomicU64;

use super::super::direction::Direction;
use super::*;
use crate::session::held::Pool;

/// Polls a direction until nothing moves any more; how much was read.
async fn moves(direction: &mut Direction, reader: &mut Stream, writer: &mut Stream) -> u64 {
    let count = AtomicU64::new(0);
    loop {
        let step = poll_fn(|cx| {
            let pass = |_: &mut [u8]| Verdict::Pass;
            let end = |_: &mut Context<'_>, _| Poll::Ready(());
            direction.poll(cx, reader, writer, &count, pass, end)
        });
        let before = count.load(std::sync::atomic::Ordering::Relaxed);
        let still = tokio::time::timeout(Duration::from_millis(200), step).await;
        assert!(still.is_err(), "neither side ends");
        if count.load(std::sync::atomic::Ordering::Relaxed) == before {
            return before;
        }
    }
}

/// A stream with so many octets to be read, and its far end, to be kept.
async fn full_of(octets: usize) -> (Stream, DuplexStream) {
    let (near, mut far) = duplex(octets);
    far.write_all(&vec![b'x'; octets]).await.unwrap();
    (Stream::Memory(near), far)
}

#[tokio::test]
async fn of_many_stalled_directions_the_later_ones_take_little() {
    static POOL: Pool = Pool::new(2 * BUFFER - 1000);
    let mut all = Vec::new();
    for want in [BUFFER, BUFFER, 4096, 4096] {
        let (mut reader, far) = full_of(4 * BUFFER).await;
        let (near, deaf) = duplex(16);
        let (mut writer, mut direction) = (Stream::Memory(near), Direction::of(&POOL, vec![]));
        let read = moves(&mut direction, &mut reader, &mut writer).await;
        assert_eq!(read, want as u64);
        all.push((direction, far, deaf));
    }
    assert_eq!(POOL.held(), 2 * BUFFER + 2 * 4096 - 4 * 16);
    drop(all);
    assert_eq!(POOL.held(), 0);
}

#[tokio::test]
async fn what_tls_keeps_for_a_host_is_counted() {
    static POOL: Pool = Pool::new(64 * BUFFER);
    let (host, _deaf) = crate::tls::stream::tests::connected_by_default().await;
    let mut writer = Stream::HostTls(Box::new(host));
    let mut direction = Direction::of(&POOL, vec![]);
    loop {
        let (mut reader, _far) = full_of(8 * BUFFER).await;
        if moves(&mut direction, &mut reader, &mut writer).await < 8 * BUFFER as u64 {
            break;
        }
    }
    // TLS takes all of the last piece, and its octets wait there.
    assert!(POOL.held() >= BUFFER / 2, "{}", POOL.held());
    drop(direction);
    assert_eq!(POOL.held(), 0);
}
