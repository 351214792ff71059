//! XCLIENT for POP3: tells a host that trusts us who the client really is.
//!
//! No RFC has it; the hosts that know it say so by `[XCLIENT]` at the start of their greeting's text
//! and take `NAME=value` pairs with a space between them.

use std::fmt::Write as _;

use crate::protocol::{Origin, Transport};

/// The whole command for a client.
pub(super) fn command(origin: &Origin) -> Vec<u8> {
    let transport = match origin.transport {
        Transport::Tls => "tls",
        Transport::Insecure => "insecure",
    };
    let mut line = format!(
        "XCLIENT ADDR={} PORT={} DESTADDR={} DESTPORT={}",
        origin.client.ip().to_canonical(),
        origin.client.port(),
        origin.connected.ip().to_canonical(),
        origin.connected.port(),
    );
    // A value cannot be quoted: one that would need it stays at home.
    if !origin.session.is_empty() && origin.session.bytes().all(|b| b.is_ascii_graphic()) {
        let _ = write!(line, " SESSION={}", origin.session);
    }
    let _ = write!(line, " TTL={} CLIENT-TRANSPORT={transport}\r\n", origin.ttl);
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let mut origin = Origin {
            client: "[::ffff:192.0.2.7]:5000".parse().unwrap(),
            connected: "[2001:db8::1]:995".parse().unwrap(),
            session: "k3Jx".into(),
            ttl: 4,
            transport: Transport::Tls,
        };
        assert_eq!(
            command(&origin),
            b"XCLIENT ADDR=192.0.2.7 PORT=5000 DESTADDR=2001:db8::1 DESTPORT=995 \
              SESSION=k3Jx TTL=4 CLIENT-TRANSPORT=tls\r\n"
        );
        origin.session = "a b\r\nQUIT".into();
        origin.transport = Transport::Insecure;
        assert!(command(&origin).ends_with(b"DESTPORT=995 TTL=4 CLIENT-TRANSPORT=insecure\r\n"));
    }
}
