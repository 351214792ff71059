//! One direction's record protection: a key, an IV, a sequence number (RFC 8446 §5.2 and §5.3;
//! RFC 5246 §6.2.3.3 with RFC 5288 and RFC 7905). Octets in, octets out.

use std::ops::Range;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce,
    UnboundKey,
};
use rustls::{ConnectionTrafficSecrets, SupportedCipherSuite};

/// What a record is.
pub(super) mod kind {
    pub(in super::super) const ALERT: u8 = 21;
    pub(in super::super) const HANDSHAKE: u8 = 22;
    pub(in super::super) const DATA: u8 = 23;
}

/// Why a connection cannot go on, in the words of an alert (RFC 8446 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alert {
    UnexpectedMessage = 10,
    BadRecordMac = 20,
    RecordOverflow = 22,
    IllegalParameter = 47,
    DecodeError = 50,
    InternalError = 80,
}

/// Octets of a record's header.
pub(super) const HEADER: usize = 5;

/// Octets of plaintext in a record (RFC 8446 §5.1).
pub(super) const PLAIN_MAX: usize = 1 << 14;

/// What protection may add to them: 1.3 allows 256 (RFC 8446 §5.2), 1.2 allows 2048.
const ADDED_13: usize = 256;
const ADDED_12: usize = 2048;

const TAG: usize = 16;
/// The part of a nonce that AES-GCM in TLS 1.2 sends with each record (RFC 5288 §3).
const EXPLICIT: usize = 8;
const SALT: usize = NONCE_LEN - EXPLICIT;

/// How a record of this connection looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// TLS 1.3: the kind is inside.
    Inner,
    /// TLS 1.2, AES-GCM: eight octets of the nonce go with the record.
    ExplicitNonce,
    /// TLS 1.2, ChaCha20-Poly1305.
    Plain,
}

impl Form {
    pub(super) fn of(suite: SupportedCipherSuite, secrets: &ConnectionTrafficSecrets) -> Form {
        match (suite, secrets) {
            (SupportedCipherSuite::Tls13(_), _) => Form::Inner,
            (_, ConnectionTrafficSecrets::Chacha20Poly1305 { .. }) => Form::Plain,
            _ => Form::ExplicitNonce,
        }
    }

    /// The longest body of a record.
    pub(super) fn body_max(self) -> usize {
        match self {
            Form::Inner => PLAIN_MAX + ADDED_13,
            Form::ExplicitNonce | Form::Plain => PLAIN_MAX + ADDED_12,
        }
    }
}

/// A direction's key and where it stands.
pub(super) struct Protection {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
    form: Form,
}

impl Protection {
    /// Goes on where a handshake left off. `None`: a cipher that we do not know.
    pub(super) fn new(
        form: Form,
        sequence: u64,
        secrets: &ConnectionTrafficSecrets,
    ) -> Option<Self> {
        let (algorithm, key, iv): (&Algorithm, _, _) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return None,
        };
        Some(Protection {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).ok()?),
            iv: iv.as_ref().try_into().ok()?,
            sequence,
            form,
        })
    }

    /// How many records this key has protected.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The IV with the sequence number over its last eight octets (RFC 8446 §5.3).
    fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        let sequence = self.sequence.to_be_bytes();
        for (octet, over) in nonce.iter_mut().rev().zip(sequence.iter().rev()) {
            *octet ^= over;
        }
        nonce
    }

    fn next(&mut self) -> Result<(), Alert> {
        self.sequence = self.sequence.checked_add(1).ok_or(Alert::InternalError)?;
        Ok(())
    }

    /// What TLS 1.2 vouches for besides the text.
    fn additional_12(&self, kind: u8, plain: usize) -> Result<[u8; 13], Alert> {
        let mut text = [0; 13];
        let (sequence, rest) = text.split_at_mut(8);
        sequence.copy_from_slice(&self.sequence.to_be_bytes());
        rest.copy_from_slice(&header(kind, plain)?);
        Ok(text)
    }

    /// Appends one record to `out`. `plain` has at most [`PLAIN_MAX`] octets.
    pub(super) fn seal(&mut self, kind: u8, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Alert> {
        if plain.len() > PLAIN_MAX {
            return Err(Alert::InternalError);
        }
        let nonce = self.nonce();
        let (outer, added) = match self.form {
            Form::Inner => (kind::DATA, 1 + TAG),
            Form::ExplicitNonce => (kind, EXPLICIT + TAG),
            Form::Plain => (kind, TAG),
        };
        let header = header(outer, plain.len().saturating_add(added))?;
        out.extend_from_slice(&header);
        if self.form == Form::ExplicitNonce {
            out.extend_from_slice(nonce.get(SALT..).unwrap_or_default());
        }
        let start = out.len();
        out.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = match self.form {
            Form::Inner => {
                out.push(kind);
                let text = out.get_mut(start..).unwrap_or_default();
                self.key
                    .seal_in_place_separate_tag(nonce, Aad::from(header), text)
            }
            Form::ExplicitNonce | Form::Plain => {
                let additional = self.additional_12(kind, plain.len())?;
                let text = out.get_mut(start..).unwrap_or_default();
                self.key
                    .seal_in_place_separate_tag(nonce, Aad::from(additional), text)
            }
        };
        out.extend_from_slice(tag.map_err(|_| Alert::InternalError)?.as_ref());
        self.next()
    }

    /// Opens the record whose header says `outer` and whose body is `body`, in place: its kind, and
    /// where in `body` its text is.
    pub(super) fn open(&mut self, outer: u8, body: &mut [u8]) -> Result<(u8, Range<usize>), Alert> {
        let (kind, text) = match self.form {
            Form::Inner => self.open_13(outer, body)?,
            Form::ExplicitNonce => (outer, self.open_12(outer, EXPLICIT, body)?),
            Form::Plain => (outer, self.open_12(outer, 0, body)?),
        };
        if text.len() > PLAIN_MAX {
            return Err(Alert::RecordOverflow);
        }
        self.next()?;
        Ok((kind, text))
    }

    fn open_13(&self, outer: u8, body: &mut [u8]) -> Result<(u8, Range<usize>), Alert> {
        // Nothing comes in clear after the handshake (RFC 8446 §5).
        if outer != kind::DATA {
            return Err(Alert::UnexpectedMessage);
        }
        let header = header(outer, body.len())?;
        let nonce = Nonce::assume_unique_for_key(self.nonce());
        let opened = self.key.open_in_place(nonce, Aad::from(header), body);
        let inner = opened.map_err(|_| Alert::BadRecordMac)?;
        // Text, its kind, zeros (RFC 8446 §5.4).
        let end = inner.iter().rposition(|octet| *octet != 0);
        let end = end.ok_or(Alert::UnexpectedMessage)?;
        match inner.get(end) {
            Some(kind) if inner.len() <= PLAIN_MAX + 1 => Ok((*kind, 0..end)),
            _ => Err(Alert::RecordOverflow),
        }
    }

    fn open_12(&self, kind: u8, explicit: usize, body: &mut [u8]) -> Result<Range<usize>, Alert> {
        let end = body.len().saturating_sub(TAG);
        let (sent, sealed) = (body.split_at_mut_checked(explicit)).ok_or(Alert::DecodeError)?;
        let text = sealed.len().checked_sub(TAG).ok_or(Alert::DecodeError)?;
        let additional = self.additional_12(kind, text)?;
        let mut nonce = self.nonce();
        if let Some(part) = nonce.get_mut(SALT..)
            && part.len() == sent.len()
        {
            part.copy_from_slice(sent);
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(additional), sealed);
        opened.map_err(|_| Alert::BadRecordMac)?;
        Ok(explicit..end)
    }
}

/// A record's header; the version is 1.2's for both (RFC 8446 §5.1).
fn header(kind: u8, length: usize) -> Result<[u8; HEADER], Alert> {
    let [high, low] = u16::try_from(length)
        .map_err(|_| Alert::InternalError)?
        .to_be_bytes();
    Ok([kind, 3, 3, high, low])
}
