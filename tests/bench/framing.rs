//! How fast the observer of a relayed IMAP session reads: `cargo bench --bench framing`.
//!
//! It must cost bulk data nothing: compare with what a TLS record or a copy through the kernel costs
//! (some GB/s a core).

#![allow(clippy::print_stdout, reason = "that is its result")]

use std::hint::black_box;
use std::time::Instant;

use gatepost::protocol::imap::framing::Framing;
use gatepost::protocol::{Observer, UnauthenticateOffer, Verdict};

const ROUNDS: usize = 300;

/// What the relay reads at a time.
const CHUNK: usize = 16 * 1024;

fn main() {
    let text = b"a line of mail text as it may stand in a message of seventy-odd octets\r\n";
    let mail = &text.repeat(14_000)[..1_000_000];
    let fetch = [b"* 1 FETCH (BODY[] {1000000}\r\n", mail, b")\r\n"].concat();
    let flags = b"* 123 FETCH (UID 4711 FLAGS (\\Seen) RFC822.SIZE 12345 MODSEQ (12345))\r\n";
    let append = [b"a APPEND x {1000000+}\r\n", mail, b"\r\n"].concat();
    println!("state: {} octets", size_of::<Framing>());
    measure(
        "host, one literal of 1 MB",
        true,
        &fetch,
        Framing::host_to_client,
    );
    measure(
        "host, lines of 73 octets",
        true,
        &flags.repeat(14_000),
        Framing::host_to_client,
    );
    let up = |framing: &mut Framing, chunk: &mut [u8]| {
        assert_eq!(framing.client_to_host(chunk), Verdict::Pass);
    };
    measure("client, one literal of 1 MB", true, &append, up);
    measure("client, the same, doubtful", false, &append, up);
    measure(
        "client, commands",
        true,
        &b"a1 UID FETCH 4711 (FLAGS)\r\n".repeat(40_000),
        up,
    );
}

fn measure(name: &str, literal_plus: bool, stream: &[u8], feed: impl Fn(&mut Framing, &mut [u8])) {
    let offers = literal_plus.then(|| ["LITERAL+".to_owned()]);
    let mut framing = Framing::new(
        "S1",
        offers.as_ref().map(|list| &list[..]),
        UnauthenticateOffer::No,
    );
    let mut stream = stream.to_vec();
    // The best round: the others were disturbed.
    let best = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            for chunk in stream.chunks_mut(CHUNK) {
                feed(&mut framing, black_box(chunk));
            }
            begun.elapsed()
        })
        .min()
        .unwrap_or_default();
    let rate = stream.len() as f64 / best.as_secs_f64() / 1e9;
    println!("{name}: {rate:.1} GB/s");
}
