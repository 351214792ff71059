//! Clients that do not come to a login: of other protocols, without the PROXY header they owe, too slow.

use std::time::{Duration, Instant};

use super::clients::{At, fault, opens_with, sends};
use super::talk::Talk;
use super::{Doors, Fault, Pace};
use crate::proxy_protocol::{Version, of};
use crate::support::users::WRONG;

pub(super) fn all() -> Vec<Fault> {
    let mut all = other_protocols();
    all.extend(proxy_headers());
    all.extend(too_slow());
    all
}

fn other_protocols() -> Vec<Fault> {
    let class = "Other protocols";
    let post = "POST / HTTP/1.1\r\nHost: mail\r\n\r\na LOGIN good x\r\n";
    vec![
        sends(class, "HTTP to IMAP", At::Imap, post),
        sends(class, "HTTP to POP3", At::Pop3, post),
        sends(
            class,
            "HTTP behind a good command",
            At::Imap,
            format!("a NOOP\r\n{post}"),
        ),
        sends(
            class,
            "SMTP to IMAP",
            At::Imap,
            "EHLO mx\r\nMAIL FROM:<a@b>\r\n",
        ),
        sends(
            class,
            "TLS where it is not spoken yet",
            At::Imap,
            b"\x16\x03\x01\x00\x05hello\r\n".to_vec(),
        ),
        opens_with(
            class,
            "IMAP to a port of TLS",
            At::Imaps,
            "a LOGIN good x\r\n",
        ),
        opens_with(class, "POP3 to a port of TLS", At::Pop3s, "USER good\r\n"),
        opens_with(
            class,
            "SSLv2",
            At::Imaps,
            b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10".to_vec(),
        ),
        opens_with(
            class,
            "a TLS record that is too long",
            At::Imaps,
            b"\x16\x03\x01\xff\xff".to_vec(),
        ),
        opens_with(
            class,
            "half a TLS record",
            At::Imaps,
            b"\x16\x03\x01\x02".to_vec(),
        ),
    ]
}

fn proxy_headers() -> Vec<Fault> {
    let class = "PROXY headers";
    let mut cut = of(Version::V2, "192.0.2.7:1");
    cut.truncate(20);
    let mut long = of(Version::V2, "192.0.2.7:1");
    long[14] = 0xff;
    long[15] = 0xff;
    vec![
        opens_with(
            class,
            "none where one is due",
            At::Proxied,
            "a LOGIN good x\r\n",
        ),
        sends(
            class,
            "one where none may be",
            At::Imap,
            of(Version::V1, "192.0.2.7:1"),
        ),
        opens_with(class, "half of one", At::Proxied, cut),
        opens_with(
            class,
            "one that announces 64 KiB",
            At::Proxied,
            [&long[..], &[0; 30_000]].concat(),
        ),
        opens_with(
            class,
            "a port that is no number",
            At::Proxied,
            "PROXY TCP4 192.0.2.7 192.0.2.8 65536 143\r\n",
        ),
        opens_with(
            class,
            "an address with leading zeros",
            At::Proxied,
            "PROXY TCP4 192.0.2.007 192.0.2.8 1 143\r\n",
        ),
        opens_with(
            class,
            "a v1 line without an end",
            At::Proxied,
            format!("PROXY TCP4 {}", "1".repeat(200)),
        ),
        opens_with(
            class,
            "two of them",
            At::Proxied,
            [
                of(Version::V1, "192.0.2.7:1"),
                of(Version::V1, "192.0.2.8:1"),
            ]
            .concat(),
        ),
        fault(
            class,
            "a good one, and the login behind it",
            Pace::Patient,
            |doors| {
                Talk::behind(doors, "192.0.2.7:1")
                    .send(format!("a LOGIN good {WRONG}\r\n"))
                    .answer()
                    .fin()
            },
        ),
    ]
}

/// Between two octets, or commands: never long enough to be idle.
const PAUSE: Duration = Duration::from_millis(30);

/// So many of them are on their way for a minute, ten times as long as the longest deadline.
const OCTETS: usize = 2000;

/// A client that comes octet for octet. The gateway goes by its deadline, which no octet moves.
fn drips(
    name: &str,
    deadline: u64,
    open: impl Fn(&Doors) -> Talk + Send + Sync + 'static,
    octets: Vec<u8>,
) -> Fault {
    let long = u32::try_from(octets.len()).unwrap() * PAUSE;
    assert!(long >= Duration::from_secs(8 * deadline), "{name}");
    fault("Too slow", name, Pace::Hasty, move |doors| {
        let begun = Instant::now();
        let talk = open(doors).drip(&octets, PAUSE);
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(deadline), "after {took:?}");
        talk.end()
    })
}

fn too_slow() -> Vec<Fault> {
    let (login, tls, header) = (6, 3, 3);
    let command: Vec<u8> = b"a NOOP xxxx"
        .iter()
        .copied()
        .cycle()
        .take(OCTETS)
        .collect();
    // A record as long as it may be, and in it a hello.
    let mut hello = b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb\x03\x03".to_vec();
    hello.resize(OCTETS, b'a');
    // Octets that mean nothing (PP2_TYPE_NOOP), as many as it says.
    let mut proxied = of(Version::V2, "192.0.2.7:1");
    proxied.truncate(16 + 12);
    let noop = OCTETS - proxied.len() - 3;
    let [high, low] = u16::try_from(noop).unwrap().to_be_bytes();
    proxied.extend([4, high, low]);
    proxied.resize(OCTETS, 0);
    let announced = u16::try_from(OCTETS - 16).unwrap();
    proxied[14..16].copy_from_slice(&announced.to_be_bytes());
    vec![
        drips(
            "a command that comes octet for octet",
            login,
            |doors| Talk::greeted(doors.ports.imap),
            command,
        ),
        fault(
            "Too slow",
            "good commands for ever, and no login",
            Pace::Hasty,
            |doors| {
                let mut talk = Talk::greeted(doors.ports.imap);
                for _ in 0..OCTETS {
                    talk = talk.send("a NOOP\r\n").hear();
                    if talk.is_closed() {
                        return talk.only(2).end();
                    }
                    std::thread::sleep(PAUSE);
                }
                panic!("all commands were waited for")
            },
        ),
        drips(
            "a TLS handshake that comes octet for octet",
            tls,
            |doors| Talk::new(doors.ports.imaps),
            hello.clone(),
        ),
        drips(
            "the same behind STARTTLS",
            tls,
            |doors| {
                let talk = Talk::greeted(doors.ports.imap_strict);
                talk.send("a STARTTLS\r\n").hear()
            },
            hello.clone(),
        ),
        drips(
            "the same behind STLS",
            tls,
            |doors| {
                Talk::greeted(doors.ports.pop3_strict)
                    .send("STLS\r\n")
                    .hear()
            },
            hello,
        ),
        drips(
            "a PROXY header that comes octet for octet",
            header,
            |doors| Talk::new(doors.proxied),
            proxied,
        ),
    ]
}
