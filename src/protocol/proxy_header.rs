//! The PROXY protocol (version 1 and 2, as HAProxy's specification has it): who the client of a
//! load balancer really is, in; who our client is, out.
//!
//! The crate `proxy-header` reads the shapes; what it is lenient about is refused here: signs and
//! leading zeros in numbers, a checksum that does not match. TLS claims of a header are not looked
//! at: nothing is trusted because a header says so.

use std::net::SocketAddr;

use crc::{CRC_32_ISCSI, Crc};
use proxy_header::{Error, ParseConfig, ProxiedAddress, ProxyHeader, Tlv};

/// Longest header we read: addresses of version 2 (up to 216 octets for UNIX sockets) and TLVs, of
/// which none that we use is longer than a host name.
pub const MAX: usize = 2048;

/// Longest header of version 1, its CRLF among them.
const MAX_V1: usize = 107;

/// The checksum of version 2 (PP2_TYPE_CRC32C).
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// The first octets of a version 2 header.
const SIGNATURE: &[u8] = b"\r\n\r\n\x00\r\nQUIT\n";

/// Signature, command, family and length of a version 2 header.
const FIXED: usize = 16;

/// Version 2 and its command LOCAL, in the octet behind the signature.
const LOCAL: u8 = 0x20;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The sender speaks for itself (LOCAL, UNKNOWN): a health check.
    Sender,
    /// The sender speaks for a client.
    Client {
        /// The client's address and port.
        client: SocketAddr,
        /// The address and port it connected to.
        connected: SocketAddr,
    },
}

/// Octets that are no PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// How many of the octets that wait to be read belong to a header of which `header` was read so far:
/// nothing behind a header is touched, it belongs to TLS or to the mail protocol.
pub fn due(header: &[u8], waiting: &[u8]) -> usize {
    let octet = |at: usize| match at.checked_sub(header.len()) {
        None => header.get(at).copied(),
        Some(at) => waiting.get(at).copied(),
    };
    let missing = match octet(0) {
        Some(b'\r') => match (octet(FIXED - 2), octet(FIXED - 1)) {
            (Some(high), Some(low)) => FIXED + usize::from(u16::from_be_bytes([high, low])),
            _ => FIXED,
        }
        .saturating_sub(header.len()),
        _ => (waiting.iter().position(|octet| *octet == b'\n'))
            .map_or(usize::MAX, |at| at.saturating_add(1)),
    };
    missing.min(waiting.len())
}

/// How headers begin.
const BEGINNINGS: [&[u8]; 4] = [SIGNATURE, b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN"];

/// The first octets of a mail client, in whatever pieces they come: those of a sender that may send no header.
#[derive(Debug, Default)]
pub struct Beginning {
    octets: [u8; 13],
    length: usize,
}

impl Beginning {
    /// Takes what has come; whether it all begins as a header does.
    pub fn is_header(&mut self, octets: &[u8]) -> bool {
        let room = self.octets.get_mut(self.length..).unwrap_or_default();
        for (place, octet) in room.iter_mut().zip(octets) {
            *place = *octet;
            self.length = self.length.saturating_add(1);
        }
        let so_far = self.octets.get(..self.length).unwrap_or_default();
        BEGINNINGS.iter().any(|start| so_far.starts_with(start))
    }
}

/// Reads a header from the start of a connection: what it says and how long it is, or `None` while
/// octets are missing.
///
/// # Errors
/// [`Malformed`], as soon as no octet to come can mend it.
pub fn parse(octets: &[u8]) -> Result<Option<(Origin, usize)>, Malformed> {
    let v2 = octets.first() == Some(&b'\r');
    let start: &[u8] = if v2 { SIGNATURE } else { b"PROXY " };
    let shared = octets.len().min(start.len());
    if octets.get(..shared) != start.get(..shared) {
        return Err(Malformed);
    }
    if !v2 && octets.len() >= start.len() {
        strict_v1(octets)?;
    }
    let length = if v2 { length_v2(octets) } else { None };
    if length.is_some_and(|length| length > MAX) {
        return Err(Malformed);
    }
    let whole = length.filter(|length| octets.len() >= *length);
    // A receiver must accept LOCAL, and discard the block whatever it holds, the family with it.
    if let (Some(length), Some(&LOCAL)) = (whole, octets.get(SIGNATURE.len())) {
        return Ok(Some((Origin::Sender, length)));
    }
    let config = ParseConfig {
        include_tlvs: true,
        allow_v1: true,
        allow_v2: true,
    };
    let (header, length) = match ProxyHeader::parse(octets, config) {
        Ok(parsed) => parsed,
        Err(Error::BufferTooShort) if octets.len() < MAX && whole.is_none() => return Ok(None),
        Err(_) => return Err(Malformed),
    };
    if v2 {
        checksum(octets.get(..length).ok_or(Malformed)?, &header)?;
    }
    let origin = match header.proxied_address() {
        None => Origin::Sender,
        Some(address) if address.protocol != proxy_header::Protocol::Stream => {
            return Err(Malformed);
        }
        Some(address) => Origin::Client {
            client: canonical(address.source),
            connected: canonical(address.destination),
        },
    };
    Ok(Some((origin, length)))
}

/// How long a header of version 2 is, as it says itself.
fn length_v2(octets: &[u8]) -> Option<usize> {
    match octets.get(FIXED - 2..FIXED) {
        Some(&[high, low]) => Some(FIXED + usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

/// Version 1 in the words of its specification: single spaces, numbers without sign or leading zero.
fn strict_v1(octets: &[u8]) -> Result<(), Malformed> {
    // Where its CRLF is not in time, no octet to come mends it.
    let start = octets.get(..MAX_V1).unwrap_or(octets);
    let line = match memchr::memmem::find(start, b"\r\n") {
        Some(end) => start.get(..end).ok_or(Malformed)?,
        None if start.len() == MAX_V1 => return Err(Malformed),
        None => start.strip_suffix(b"\r").unwrap_or(start),
    };
    // Also behind UNKNOWN: a character that is cut in two would be another word than a whole one.
    if !line.is_ascii() {
        return Err(Malformed);
    }
    let text = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let mut words = text.split(' ').skip(1);
    if text.starts_with("PROXY UNKNOWN") {
        return Ok(());
    }
    for port in words.by_ref().skip(3).take(2) {
        let digits = port.bytes().all(|octet| octet.is_ascii_digit());
        if !digits || (port.len() > 1 && port.starts_with('0')) {
            return Err(Malformed);
        }
    }
    match words.next() {
        None => Ok(()),
        Some(_) => Err(Malformed),
    }
}

/// Where a header of version 2 has a checksum, it must be right.
fn checksum(octets: &[u8], header: &ProxyHeader<'_>) -> Result<(), Malformed> {
    let mut claimed = None;
    let mut at = octets.len();
    // TLVs are the tail of the header: walk them backwards to know where the checksum stands.
    let tlvs: Vec<_> = header
        .tlvs()
        .collect::<Result<_, _>>()
        .map_err(|_| Malformed)?;
    for tlv in tlvs.iter().rev() {
        let mut encoded = Vec::new();
        tlv.encode(&mut encoded);
        at = at.checked_sub(encoded.len()).ok_or(Malformed)?;
        if let Tlv::Crc32c(value) = tlv {
            claimed = Some((*value, at));
        }
    }
    let Some((value, at)) = claimed else {
        return Ok(());
    };
    let mut zeroed = octets.to_vec();
    // Type and length stand before the four octets of the value.
    let field = zeroed
        .get_mut(at.saturating_add(3)..at.saturating_add(7))
        .ok_or(Malformed)?;
    if field != value.to_be_bytes() {
        return Err(Malformed);
    }
    field.fill(0);
    if CRC32C.checksum(&zeroed) == value {
        Ok(())
    } else {
        Err(Malformed)
    }
}

/// An address as it is compared and logged: IPv4 as such, also when it came in IPv6's clothes.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Which version to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Text.
    V1,
    /// Binary, with the session's id (PP2_TYPE_UNIQUE_ID).
    V2,
}

/// The header of a connection that is for nobody: we speak for ourselves.
pub fn local(version: Version) -> Vec<u8> {
    match version {
        Version::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
        // Version 2, LOCAL; no family, no addresses.
        Version::V2 => [SIGNATURE, &[LOCAL, 0x00, 0x00, 0x00]].concat(),
    }
}

/// The header that tells a host who the client is.
pub fn header(
    version: Version,
    client: SocketAddr,
    connected: SocketAddr,
    session: &str,
) -> Vec<u8> {
    let mut octets = Vec::with_capacity(128);
    // Both ends must be of one family: the client's decides.
    let (client, connected) = match (client, connected) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) | (SocketAddr::V6(_), SocketAddr::V6(_)) => {
            (client, connected)
        }
        _ => (mapped(client), mapped(connected)),
    };
    let address = ProxiedAddress::stream(client, connected);
    let written = match version {
        Version::V1 => ProxyHeader::with_address(address).encode_v1(&mut octets),
        Version::V2 => {
            let id = Tlv::UniqueId(session.as_bytes().into());
            ProxyHeader::with_tlvs(Some(address), [id]).encode_v2(&mut octets)
        }
    };
    debug_assert!(written.is_ok(), "addresses of one family always fit");
    octets
}

fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        v6 => v6,
    }
}

#[cfg(test)]
mod tests;
