//! Clients that do not come to a login: of other protocols, without the PROXY header they owe, too slow.

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

fn too_slow() -> Vec<Fault> {
    let class = "Too slow";
    let drip = |octets: &'static [u8], at: At, greeted: bool| {
        move |doors: &Doors| {
            let port = at.port(doors);
            let mut talk = if greeted {
                Talk::greeted(port)
            } else {
                Talk::new(port)
            };
            // Far longer than the gateway waits, never long enough to be idle.
            for octet in octets.iter().cycle().take(300) {
                talk = talk.send([*octet]);
                std::thread::sleep(std::time::Duration::from_millis(30));
            }
            talk.end()
        }
    };
    vec![
        fault(class, "a command that comes octet for octet", Pace::Hasty, drip(b"a NOOP xxxx", At::Imap, true)),
        fault(class, "good commands for ever, and no login", Pace::Hasty, |doors| {
            let mut talk = Talk::greeted(doors.ports.imap);
            for _ in 0..90 {
                talk = talk.send("a NOOP\r\n").hear();
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            talk.only(2).end()
        }),
        fault(class, "a TLS handshake that comes octet for octet", Pace::Hasty, drip(b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", At::Imaps, false)),
        fault(class, "a PROXY header that comes octet for octet", Pace::Hasty, drip(b"PROXY TCP4 192.0.2.7 ", At::Proxied, false)),
    ]
}
