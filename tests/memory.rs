//! What a POP3 session on an IMAP host adds to the memory of the gateway, octet by octet: an allocator
//! that counts. A test of its own, because whatever else runs in the process would be counted too.

#![allow(
    unsafe_code,
    reason = "an allocator cannot be written without; it only counts and passes on"
)]
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::pending;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use gatepost::protocol::Welcome;
use gatepost::protocol::pop3::Settings;
use gatepost::session::translate::{First, Never, Terms, open, prepare, serve};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::runtime::Builder;

const MIB: usize = 1024 * 1024;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }

    // `realloc` is left to its default: a new block beside the old one, the worst case.
}

/// Octets held at most while `work` runs, beyond those held before; and when it is done.
async fn added<T>(work: impl Future<Output = T>) -> (usize, T) {
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let done = work.await;
    (PEAK.load(Relaxed) - before, done)
}

/// A host with so many messages of so many octets, which holds none of them.
async fn host(stream: DuplexStream, messages: u32, size: usize) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::with_capacity(1024, reader);
    let mut line = String::with_capacity(1024);
    let mut out = Vec::with_capacity(64 * 1024);
    let body = vec![b'a'; 16 * 1024];
    while reader.read_line(&mut line).await.unwrap() > 0 {
        let (tag, command) = line.trim_end().split_once(' ').unwrap();
        if command.starts_with("SELECT") {
            write!(
                out,
                "* {messages} EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT {}] x\r\n",
                messages + 1
            )
            .unwrap();
        } else if command.starts_with("UID FETCH 1:*") {
            for n in 1..=messages {
                write!(out, "* {n} FETCH (UID {n} RFC822.SIZE {size})\r\n").unwrap();
                if out.len() > 48 * 1024 {
                    writer.write_all(&out).await.unwrap();
                    out.clear();
                }
            }
        } else if command == "CAPABILITY" {
            out.extend_from_slice(b"* CAPABILITY IMAP4rev1 UIDPLUS\r\n");
        } else if command == "UID EXPUNGE 1" {
            out.extend_from_slice(b"* 1 EXPUNGE\r\n");
        } else if command.starts_with("UID FETCH") {
            write!(out, "* 1 FETCH (UID 1 BODY[] {{{size}}}\r\n").unwrap();
            writer.write_all(&out).await.unwrap();
            out.clear();
            let mut left = size;
            while left > 0 {
                let piece = &body[..left.min(body.len())];
                writer.write_all(piece).await.unwrap();
                left -= piece.len();
            }
            out.extend_from_slice(b")\r\n");
        }
        write!(out, "{tag} OK done\r\n").unwrap();
        if writer.write_all(&out).await.is_err() {
            return;
        }
        out.clear();
        line.clear();
    }
}

/// What a session adds that polls, or retrieves one message; how many octets its client read.
fn session(messages: u32, size: usize, commands: &'static [u8]) -> (usize, usize) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (to_host, hosts_end) = duplex(64 * 1024);
        let host = tokio::spawn(host(hosts_end, messages, size));
        let (mut client, mut clients_end) = duplex(64 * 1024);
        let reader = tokio::spawn(async move {
            client.write_all(commands).await.unwrap();
            let mut octets = 0;
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(read @ 1..) = client.read(&mut buffer).await {
                octets += read;
            }
            octets
        });
        // Both sides have made their buffers before anything is counted.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        let settings = Settings::default();
        let (peak, ()) = added(async {
            let opening = prepare(&settings, 1, None);
            let mut welcome = Welcome::default();
            let wait = Duration::from_secs(600);
            let opened = open(to_host, &mut welcome, opening, wait).await.unwrap();
            let terms = Terms {
                settings: &settings,
                session: "S1".into(),
                idle: Duration::from_secs(600),
                traffic: &Default::default(),
            };
            let first = First::default();
            let served = serve(&mut clients_end, first, opened, terms, Never, |_| pending()).await;
            assert_eq!(served.ended.reason, "quit");
            // What the next visit starts from is there.
            let deleted = served.counts.deleted as usize;
            let left = served.remainder.map(|left| left.len());
            assert_eq!(left, Some(messages as usize - deleted));
        })
        .await;
        drop(clients_end);
        host.abort();
        (peak, reader.await.unwrap())
    })
}

#[test]
fn a_session_adds_little() {
    // Once for what is made only once in a process.
    session(1, 1, b"STAT\r\nQUIT\r\n");
    let poll = b"STAT\r\nUIDL\r\nLIST\r\nDELE 1\r\nQUIT\r\n";
    for (messages, most) in [(1_000, MIB / 2), (100_000, 2 * MIB), (1_000_000, 16 * MIB)] {
        let (peak, octets) = session(messages, 5000, poll);
        println!("{messages} messages: {peak} octets at most");
        assert!(octets > messages as usize * 30, "{octets}");
        assert!(peak <= most, "{messages} messages: {peak} octets");
    }
    let (peak, octets) = session(1, 100_000_000, b"RETR 1\r\nQUIT\r\n");
    println!("a message of 100 MB: {peak} octets at most");
    assert!(octets > 100_000_000);
    assert!(peak <= MIB, "a message of 100 MB: {peak} octets");
}
