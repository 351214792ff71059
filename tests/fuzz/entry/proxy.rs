//! PROXY headers of load balancers, version 1 and 2.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use gatepost::protocol::proxy_header::{self, MAX, Malformed, Origin, Version};

/// What is read is the header and nothing behind it, however it comes; what we write we read.
pub(crate) fn header(octets: &[u8]) {
    let whole = proxy_header::parse(octets);
    if let Ok(Some((_, length))) = whole {
        assert!(length <= octets.len(), "longer than what was there");
        assert_eq!(
            proxy_header::parse(&octets[..length]).map(|it| it.map(|it| it.1)),
            Ok(Some(length)),
            "what stands behind a header matters"
        );
        // All octets together choose where it is cut: those behind it, which nobody reads, among them.
        let sum: usize = octets.iter().map(|octet| usize::from(*octet)).sum();
        let cut = sum % length;
        let part = proxy_header::parse(&octets[..cut]);
        assert_eq!(part, Ok(None), "{cut} octets of {length} decide");
        assert_eq!(by_parts(octets), Some(length), "octets behind were taken");
    }
    written(octets);
}

/// Reads as the gateway does: looks at what waits, takes what is due.
fn by_parts(octets: &[u8]) -> Option<usize> {
    let mut taken = 0;
    for _ in 0..=octets.len() {
        let (header, waiting) = octets.split_at(taken);
        // Half of what is there at a time, at least an octet.
        let waiting = &waiting[..waiting.len().div_ceil(2)];
        let due = proxy_header::due(header, waiting);
        assert!(due <= waiting.len());
        taken += due;
        match proxy_header::parse(&octets[..taken]) {
            Ok(Some((_, length))) => {
                assert_eq!(length, taken, "more was taken than the header");
                return Some(length);
            }
            Ok(None) if taken < MAX && due > 0 => {}
            Ok(None) | Err(Malformed) => return None,
        }
    }
    None
}

/// The header of any two addresses reads as those.
fn written(octets: &[u8]) {
    let mut number = [0; 36];
    let most = octets.len().min(36);
    number[..most].copy_from_slice(&octets[..most]);
    let port = |at: usize| u16::from_be_bytes([number[at], number[at + 1]]);
    let v4 = |at: usize| Ipv4Addr::new(number[at], number[at + 1], number[at + 2], number[at + 3]);
    let v6 = |at: usize| {
        let bits: [u8; 16] = number[at..at + 16].try_into().unwrap();
        Ipv6Addr::from(bits)
    };
    let client = match number[0] % 2 {
        0 => SocketAddr::new(v4(1).into(), port(32)),
        _ => SocketAddr::new(v6(0).to_canonical(), port(32)),
    };
    let connected = match number[0] / 2 % 2 {
        0 => SocketAddr::new(v4(5).into(), port(34)),
        _ => SocketAddr::new(v6(16).to_canonical(), port(34)),
    };
    for version in [Version::V1, Version::V2] {
        let header = proxy_header::header(version, client, connected, "S1");
        let want = Origin::Client { client, connected };
        assert_eq!(proxy_header::parse(&header), Ok(Some((want, header.len()))));
    }
}
