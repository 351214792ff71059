//! PROXY headers of load balancers in front of the gateway: from the listed senders one must come,
//! from nobody else may one come, and what it says is who the client is.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::support::gateway::{Settings, admin_get};
use crate::support::pki::Pki;
use crate::support::process::connect;
use crate::support::scratch::free_port;
use crate::support::wire::Conn;
use crate::support::{Gateway, Scratch};

/// The built-in store, and listeners of which some want a header.
struct Balanced {
    gateway: Gateway,
    imap: u16,
    imaps: u16,
    pop3: u16,
    /// Wants headers of others than us.
    elsewhere: u16,
    _scratch: Scratch,
}

impl Balanced {
    fn new() -> Balanced {
        Balanced::with(|settings| settings)
    }

    fn with(more: impl FnOnce(Settings) -> Settings) -> Balanced {
        let [imap, imaps, pop3, elsewhere] = std::array::from_fn(|_| free_port());
        let scratch = Scratch::new();
        let pki = Pki::new(&scratch);
        let listener = |scheme: &str, port: u16, more: &str| {
            let clear = match scheme.ends_with('s') {
                true => "",
                false => "cleartext_login: true, ",
            };
            format!("{{ bind: \"{scheme}://127.0.0.1:{port}\", {clear}{more} }}")
        };
        let owed = "proxy_protocol: [127.0.0.1/32]";
        let settings = Settings::to("demo://")
            .listener(&listener("imap", imap, owed))
            .listener(&listener("imaps", imaps, owed))
            .listener(&listener(
                "pop3",
                pop3,
                &format!("{owed}, allow: [192.0.2.0/24]"),
            ))
            .listener(&listener("imap", elsewhere, "proxy_protocol: [10.0.0.0/8]"));
        Balanced {
            gateway: more(settings).start(&scratch, &pki),
            imap,
            imaps,
            pop3,
            elsewhere,
            _scratch: scratch,
        }
    }

    fn refused(&self) -> u64 {
        let (_, metrics) = admin_get(self.gateway.ports.admin, "/metrics").unwrap();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("gatepost_refused_total{reason=\"proxy_header\"} "));
        line.map_or(0, |count| count.parse().unwrap())
    }
}

/// Text or octets.
#[derive(Clone, Copy)]
pub(crate) enum Version {
    V1,
    V2,
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of a client on the way to an address that exists nowhere here.
pub(crate) fn of(version: Version, client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let (ip, port) = (client.ip(), client.port());
    let to = match ip {
        IpAddr::V4(_) => "198.51.100.9",
        IpAddr::V6(_) => "2001:db8::1",
    };
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let (name, family) = match ip {
        IpAddr::V4(_) => ("TCP4", 0x11),
        IpAddr::V6(_) => ("TCP6", 0x21),
    };
    match version {
        Version::V1 => format!("PROXY {name} {ip} {to} {port} 143\r\n").into_bytes(),
        Version::V2 => {
            let ends = [
                &octets(ip)[..],
                &octets(to.parse().unwrap()),
                &port.to_be_bytes(),
                &143_u16.to_be_bytes(),
                // An authority, as a load balancer that saw an SNI adds it.
                b"\x02\x00\x04mail",
            ]
            .concat();
            let length = u16::try_from(ends.len()).unwrap().to_be_bytes();
            [SIGNATURE, &[0x21, family], &length, &ends].concat()
        }
    }
}

/// A header of a sender that speaks for itself.
fn local(version: Version) -> Vec<u8> {
    match version {
        Version::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
        Version::V2 => [SIGNATURE, &[0x20, 0, 0, 0]].concat(),
    }
}

/// Everything a port says to these octets until it closes.
fn heard(port: u16, octets: &[u8]) -> String {
    let mut tcp = connect(port).unwrap();
    tcp.write_all(octets).unwrap();
    let mut said = Vec::new();
    // A reset is a close, too: what we sent was not read to its end.
    if let Err(error) = tcp.read_to_end(&mut said) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn the_client_is_who_the_header_says() {
    let mut stage = Balanced::new();
    for (version, client) in [
        (Version::V1, "192.0.2.7:4711"),
        (Version::V2, "192.0.2.8:4712"),
        (Version::V1, "[2001:db8::7]:4713"),
        (Version::V2, "[2001:db8::8]:4714"),
    ] {
        let header = of(version, client);
        // Whole, in single octets, and with the first command in the same burst.
        for chunk in [header.len(), 1] {
            let mut conn = Conn::plain(stage.imap);
            header.chunks(chunk).for_each(|octets| conn.send(octets));
            conn.send("a LOGIN demo demo\r\n");
            assert!(conn.text().starts_with("* OK "), "{client}");
            let answer = conn.text();
            assert!(answer.starts_with("a OK "), "{answer}");
        }
        stage
            .gateway
            .logged(&["event=login", "result=ok", &format!("client={client}")]);
        stage
            .gateway
            .logged(&["event=session_end", &format!("client={client}")]);

        let mut conn = Conn::plain(stage.imaps);
        conn.send(&header);
        conn.start_tls();
        assert!(conn.text().starts_with("* OK "), "{client}");
        conn.send("a LOGIN demo demo\r\n");
        assert!(conn.text().starts_with("a OK "), "{client}");
    }
    assert_eq!(stage.refused(), 0);
}

#[test]
fn a_health_check_speaks_for_itself() {
    let mut stage = Balanced::new();
    for version in [Version::V1, Version::V2] {
        let mut conn = Conn::plain(stage.imap);
        conn.send(local(version));
        assert!(conn.text().starts_with("* OK "));
        conn.send("a LOGIN demo demo\r\n");
        assert!(conn.text().starts_with("a OK "));
        drop(conn);
        stage
            .gateway
            .logged(&["event=login", "result=ok", "client=127.0.0.1:"]);
    }
}

#[test]
fn a_listed_sender_must_send_a_header_and_a_good_one() {
    let stage = Balanced::with(|it| it.top("timeouts: { proxy_header: 300ms }"));
    let good = of(Version::V2, "192.0.2.7:4711");
    let mut damaged = good.clone();
    damaged[12] = 0x31;
    let mut endless = good.clone();
    endless[14..16].copy_from_slice(&[0xff, 0xff]);
    endless.resize(16 + 0xffff, 0);
    let long = format!("PROXY TCP4 {}\r\n", "1".repeat(4096));
    let bad: [&[u8]; 10] = [
        // Nothing, and a part, until the time is over.
        b"",
        good.get(..20).unwrap(),
        b"a LOGIN demo demo\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 143\nx",
        b"PROXY TCP4 192.0.2.7 198.51.100.9 04711 143\r\n",
        b"PROXY TCP4 999.0.2.7 198.51.100.9 4711 143\r\n",
        &damaged,
        &endless,
        long.as_bytes(),
    ];
    for (count, octets) in (1..).zip(bad) {
        // Nothing is said, not even a greeting.
        let shown = String::from_utf8_lossy(octets.get(..octets.len().min(60)).unwrap());
        assert_eq!(heard(stage.imap, octets), "", "{shown}");
        assert_eq!(stage.refused(), count, "{shown}");
    }
    assert!(!stage.gateway.log().contains("event=login"));
}

#[test]
fn nobody_else_may_send_one() {
    let mut stage = Balanced::new();
    for (count, (port, header)) in (1..).zip([
        (stage.elsewhere, of(Version::V1, "192.0.2.7:4711")),
        (stage.elsewhere, of(Version::V2, "192.0.2.7:4711")),
        (stage.gateway.ports.imap, of(Version::V1, "192.0.2.7:4711")),
        (stage.gateway.ports.pop3, of(Version::V2, "192.0.2.7:4711")),
        (stage.gateway.ports.pop3, local(Version::V1)),
    ]) {
        let said = heard(port, &[&header[..], b"a LOGIN demo demo\r\n"].concat());
        assert_eq!(said.lines().count(), 1, "more than a greeting: {said}");
        assert_eq!(stage.refused(), count);
    }
    // In pieces it is no other.
    for version in [Version::V1, Version::V2] {
        let header = of(version, "192.0.2.7:4711");
        for cut in [1, 5, 8, 11] {
            let mut conn = Conn::plain(stage.elsewhere);
            conn.text();
            conn.send(&header[..cut]);
            std::thread::sleep(Duration::from_millis(50));
            conn.try_send([&header[cut..], b"a LOGIN demo demo\r\n"].concat());
            let said = String::from_utf8(conn.rest()).unwrap();
            assert!(!said.contains("a OK"), "{said}");
        }
    }
    assert_eq!(stage.refused(), 13);
    // Behind a listed sender's header a second one is as good as any other claim.
    let twice = [
        of(Version::V1, "192.0.2.7:1"),
        of(Version::V1, "192.0.2.8:1"),
    ]
    .concat();
    assert_eq!(heard(stage.imap, &twice).lines().count(), 1);
    stage
        .gateway
        .logged(&["event=session_end", "client=192.0.2.7:1"]);
    // Under TLS a header is no handshake.
    let said = heard(
        stage.gateway.ports.imaps,
        &of(Version::V2, "192.0.2.7:4711"),
    );
    assert!(!said.contains("OK"), "{said:?}");
    assert!(!stage.gateway.log().contains("event=login"));
    // And who sends none is welcome where none is owed.
    let mut conn = Conn::plain(stage.elsewhere);
    assert!(conn.text().starts_with("* OK "));
}

#[test]
fn limits_count_the_real_client() {
    let stage = Balanced::with(|it| it.limits("per_ip: 2").top("timeouts: { login: 60s }"));
    let connect = |header: Vec<u8>| {
        let mut conn = Conn::plain(stage.imap);
        conn.send(header);
        let greeting = conn.text();
        (conn, greeting.starts_with("* OK "))
    };
    let from = |client: &str| connect(of(Version::V2, client));
    let held = [from("192.0.2.7:1"), from("192.0.2.7:2")];
    assert!(held.iter().all(|(_, welcome)| *welcome));
    assert!(!from("192.0.2.7:3").1, "a third of one client");
    // One subscriber's network of IPv6 is one client.
    let held6 = [from("[2001:db8::1]:1"), from("[2001:db8::2]:1")];
    assert!(held6.iter().all(|(_, welcome)| *welcome));
    assert!(!from("[2001:db8::3]:1").1);
    // The load balancer itself is nobody's client.
    let others: Vec<_> = (10..20).map(|n| from(&format!("192.0.2.{n}:1"))).collect();
    let checks: Vec<_> = (0..5).map(|_| connect(local(Version::V2))).collect();
    assert!(others.iter().chain(&checks).all(|(_, welcome)| *welcome));
}

#[test]
fn allow_is_about_the_real_client() {
    let stage = Balanced::new();
    let said = heard(
        stage.pop3,
        &[&of(Version::V1, "192.0.2.7:1")[..], b"QUIT\r\n"].concat(),
    );
    assert!(said.starts_with("+OK"), "{said}");
    assert_eq!(heard(stage.pop3, &of(Version::V1, "203.0.113.1:1")), "");
}
