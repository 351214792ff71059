//! What holds of each front's core, whatever its language.

use super::{READ_CHUNK, Server, Step};

/// A TTL that came in clear may have come from anybody: the one who is asked for a login is another. `told` says 1
/// in a line of its own, `again` says 2; `secure` asks for TLS.
pub(in crate::protocol) fn forgets_a_ttl_told_in_clear(
    server: &mut dyn Server,
    told: &[u8],
    secure: &[u8],
    again: &[u8],
) {
    server.receive(told);
    assert!(matches!(server.step(), Step::Write(_)));
    assert_eq!(server.ttl(), Some(1));
    server.receive(secure);
    assert!(matches!(server.step(), Step::Write(_)));
    assert!(matches!(server.step(), Step::StartTls));
    server.tls_started();
    assert_eq!(server.ttl(), None);
    // Told again under TLS it counts.
    server.receive(again);
    assert!(matches!(server.step(), Step::Write(_)));
    assert_eq!(server.ttl(), Some(2));
}

/// `long` begins the longest line; others are behind it, and `secure`, with more behind it than is read at a time.
pub(in crate::protocol) fn holds_nothing_while_tls_is_asked_for(
    server: &mut dyn Server,
    long: &[u8],
    other: &[u8],
    secure: &[u8],
) {
    let mut octets = long.to_vec();
    octets.resize(octets.len() + 32_700, b'x');
    octets.extend(b"\r\n");
    octets.extend(other.repeat(3));
    octets.extend(secure);
    octets.resize(octets.len() + READ_CHUNK, b'x');
    let mut chunks = octets.chunks(READ_CHUNK);
    loop {
        match server.step() {
            Step::Read => server.receive(chunks.next().unwrap()),
            Step::Write(_) => {}
            Step::StartTls => break,
            step => panic!("{step:?}"),
        }
    }
    assert_eq!(server.held(), 0);
}
