//! Records under keys that both ends know, without a handshake: for who plays the other end
//! (`tests/fuzz/entry/records.rs`). And what a handshake is given of the octets that come.

use std::ops::Range;

use rustls::crypto::cipher::{AeadKey, Iv};
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets};

use super::protect::{Form, HEADER, Protection};
use super::received::Received;
use super::records::{Opened, Records, Schedule};

/// How a record looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// TLS 1.3.
    Inner,
    /// TLS 1.2, AES-GCM.
    ExplicitNonce,
    /// TLS 1.2, ChaCha20-Poly1305.
    Plain,
}

impl Look {
    fn form(self) -> Form {
        match self {
            Look::Inner => Form::Inner,
            Look::ExplicitNonce => Form::ExplicitNonce,
            Look::Plain => Form::Plain,
        }
    }

    /// The longest record that is waited for.
    pub fn record_max(self) -> usize {
        HEADER.saturating_add(self.form().body_max())
    }
}

/// One direction's keys, by their number.
#[derive(Clone, Copy)]
struct Keys {
    form: Form,
    direction: u8,
    number: u8,
}

impl Keys {
    fn first(look: Look, direction: u8) -> Self {
        Keys {
            form: look.form(),
            direction,
            number: 0,
        }
    }

    fn now(self) -> ConnectionTrafficSecrets {
        let (key, iv) = (
            AeadKey::from([self.number; 32]),
            Iv::new([self.direction; 12]),
        );
        match self.form {
            Form::Plain => ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv },
            Form::Inner | Form::ExplicitNonce => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
        }
    }

    fn next(&mut self) -> ConnectionTrafficSecrets {
        self.number = self.number.wrapping_add(1);
        self.now()
    }
}

/// The keys of both directions.
struct Known {
    read: Keys,
    write: Keys,
}

impl Schedule for Known {
    fn next_read(&mut self) -> Option<(u64, ConnectionTrafficSecrets)> {
        Some((0, self.read.next()))
    }

    fn next_write(&mut self) -> Option<(u64, ConnectionTrafficSecrets)> {
        Some((0, self.write.next()))
    }
}

/// What a client or a server says under its keys.
pub struct Sealing {
    keys: Keys,
    protection: Protection,
}

impl Sealing {
    /// A client's records; none where its key is not taken.
    pub fn client(look: Look) -> Option<Self> {
        Self::of(Keys::first(look, 1))
    }

    /// A server's, to open them.
    pub fn server(look: Look) -> Option<Self> {
        Self::of(Keys::first(look, 2))
    }

    fn of(keys: Keys) -> Option<Self> {
        let protection = Protection::new(keys.form, 0, &keys.now())?;
        Some(Sealing { keys, protection })
    }

    /// Appends a record; whether it could be one.
    pub fn seal(&mut self, kind: u8, plain: &[u8], out: &mut Vec<u8>) -> bool {
        self.protection.seal(kind, plain, out).is_ok()
    }

    /// Opens a whole record: its kind and its text.
    pub fn open<'a>(&mut self, record: &'a mut [u8]) -> Option<(u8, &'a [u8])> {
        let (header, body) = record.split_at_mut_checked(HEADER)?;
        let (kind, text) = self.protection.open(*header.first()?, body).ok()?;
        Some((kind, body.get(text)?))
    }

    /// Goes on with the next key.
    pub fn next_key(&mut self) -> Option<()> {
        self.protection = Protection::new(self.keys.form, 0, &self.keys.next())?;
        Some(())
    }
}

/// What the front of the octets received is.
#[derive(Debug, PartialEq, Eq)]
pub enum Front {
    /// Not a whole record yet; this many octets would be one.
    More(usize),
    /// Data: where it is, and the length of its record.
    Data(Range<usize>, usize),
    /// Nothing for the reader, of this length.
    Control(usize),
    /// The peer says that nothing will follow.
    End,
    /// An error.
    Broken,
}

/// Our end of a connection.
pub struct Ours(Records<Known>);

impl Ours {
    /// From its first record on; a key protects at most `limit` of them.
    pub fn new(look: Look, limit: u64) -> Option<Self> {
        let (read, write) = (Keys::first(look, 1), Keys::first(look, 2));
        let secrets = ExtractedSecrets {
            tx: (0, write.now()),
            rx: (0, read.now()),
        };
        let known = Known { read, write };
        Records::with_keys(look.form(), secrets, limit, known).map(Ours)
    }

    /// Opens the record at the front of `received`, in place; `reply` grows by what must be said.
    pub fn open(&mut self, received: &mut [u8], reply: &mut Vec<u8>) -> Front {
        match self.0.open(received, reply) {
            Ok(Opened::More { record }) => Front::More(record),
            Ok(Opened::Data { text, record }) => Front::Data(text, record),
            Ok(Opened::Control { record }) => Front::Control(record),
            Ok(Opened::End) => Front::End,
            Err(_) => Front::Broken,
        }
    }

    /// Appends data, as the connection does; whether it could be sealed.
    pub fn seal(&mut self, data: &[u8], out: &mut Vec<u8>) -> bool {
        self.0.seal(data, out).is_ok()
    }
}

/// What a handshake is given of the octets that have come.
#[derive(Default)]
pub struct Given(Received);

impl Given {
    /// More has come.
    pub fn receive(&mut self, octets: &[u8]) {
        self.0.octets.extend_from_slice(octets);
    }

    /// Gives the rest of a record, or what there is of the next one; whether there was any.
    pub fn more(&mut self) -> bool {
        self.0.give()
    }

    /// What is given and not done with.
    pub fn given(&mut self) -> &[u8] {
        self.0.given()
    }

    /// The first so many are done with.
    pub fn done(&mut self, octets: usize) {
        self.0.discard(octets);
    }

    /// Octets that are kept.
    pub fn kept(&self) -> usize {
        self.0.octets.len()
    }
}
