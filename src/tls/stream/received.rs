//! What a client sends in its handshake.

use std::io;

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::protect::HEADER;

/// Most octets that a client may send in a handshake, in all. A hello has 300 to 2,000, with keys that
/// outlive quantum computers, with an encrypted name and a ticket less than 10,000; a chain of four
/// certificates of RSA 4096 has 8,000. Others take much more (rustls 64 KiB a message, OpenSSL 128 KiB of
/// a hello and 100 KiB of certificates, Go 64 and 256), and have promised nothing of what a stranger
/// may cost. What is done with counts too: rustls may have kept a copy, see [`HANDSHAKE_MAX`].
pub(super) const RECEIVED_MAX: usize = 16 * 1024;

/// What rustls has of its own in a handshake, and our part of it: the certificates of a server.
const OWN: usize = 16 * 1024;

/// Most octets that a handshake holds. Where clients are asked for certificates rustls keeps all that
/// was said until they have shown theirs (the signature is over it), in a buffer that doubles as it
/// grows, or the chain they have shown; what waits for its end is beside it.
pub const HANDSHAKE_MAX: usize = 3 * RECEIVED_MAX + OWN;

/// Octets read at a time: a client's hello has 300 to 2000.
const READ: usize = 4096;

/// What the client has sent and rustls is not done with. It is given one record at a time: behind the
/// client's Finished may come more in the same write (data, a new key), which rustls would go on to read,
/// and answer in words that are lost when its part ends here.
#[derive(Default)]
pub(super) struct Received {
    pub(super) octets: Vec<u8>,
    /// How many of them rustls has been given.
    given: usize,
    /// The end of the record that those end with.
    end: usize,
    /// How many there have been, those that rustls is done with included.
    heard: usize,
}

impl Received {
    pub(super) fn given(&mut self) -> &mut [u8] {
        self.octets.get_mut(..self.given).unwrap_or_default()
    }

    pub(super) fn discard(&mut self, octets: usize) {
        let octets = octets.min(self.given);
        self.octets.drain(..octets);
        self.given = self.given.saturating_sub(octets);
        self.end = self.end.saturating_sub(octets);
        if self.octets.is_empty() {
            // The client's next words may be long in coming.
            self.octets = Vec::new();
        }
    }

    /// Gives rustls the rest of a record, or what there is of the next one. Whether there was any.
    pub(super) fn give(&mut self) -> bool {
        let header = self.octets.get(self.end..).unwrap_or_default();
        if self.given == self.end
            && let [_, _, _, high, low, ..] = *header
        {
            let record = HEADER + usize::from(u16::from_be_bytes([high, low]));
            self.end = self.end.saturating_add(record);
        }
        let before = self.given;
        self.given = self.end.min(self.octets.len());
        self.given > before
    }

    /// Waits for more of them, and makes no more room than they may need.
    pub(super) async fn more(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        let most = READ.min(RECEIVED_MAX.saturating_sub(self.heard));
        if most == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a handshake without end",
            ));
        }
        self.octets.reserve_exact(most);
        match from.read_buf(&mut (&mut self.octets).limit(most)).await? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "tls handshake eof",
            )),
            heard => {
                self.heard = self.heard.saturating_add(heard);
                Ok(())
            }
        }
    }
}
