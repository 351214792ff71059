//! The record layer of a connection after its handshake, for the server's side: data, alerts, and the
//! few handshake messages that may still come. Octets in, octets out; rustls keeps the key schedule.

use std::ops::Range;

use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets, SupportedCipherSuite};

use super::protect::{Alert, Form, HEADER, PLAIN_MAX, Protection, kind};

/// Warnings, renegotiations and empty records that a peer may send between two pieces of data, and key
/// updates likewise: each costs work and moves nothing.
pub(super) const IDLE_MAX: u8 = 32;

const CLOSE_NOTIFY: u8 = 0;
const NO_RENEGOTIATION: u8 = 100;
const USER_CANCELED: u8 = 90;
const WARNING: u8 = 1;
const FATAL: u8 = 2;
const KEY_UPDATE: u8 = 24;
const CLIENT_HELLO: u8 = 1;

/// What the front of the octets received is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// Not a whole record yet; this many octets would be one.
    More { record: usize },
    /// Data: where it is, and the length of its record.
    Data { text: Range<usize>, record: usize },
    /// Something that is not the reader's business; `reply` may have grown, once in a connection.
    Control { record: usize },
    /// The peer says that nothing will follow.
    End,
}

/// Why nothing more can be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The peer broke the rules: it is told so.
    Rules(Alert),
    /// The peer gave up with this alert.
    Peer(u8),
}

impl From<Alert> for Broken {
    fn from(alert: Alert) -> Self {
        Broken::Rules(alert)
    }
}

/// Where the keys of a TLS 1.3 connection come from when they change: a sequence number and a key.
pub(super) trait Schedule {
    fn next_read(&mut self) -> Option<(u64, ConnectionTrafficSecrets)>;
    fn next_write(&mut self) -> Option<(u64, ConnectionTrafficSecrets)>;
}

impl Schedule for KernelConnection<ServerConnectionData> {
    fn next_read(&mut self) -> Option<(u64, ConnectionTrafficSecrets)> {
        self.update_rx_secret().ok()
    }

    fn next_write(&mut self) -> Option<(u64, ConnectionTrafficSecrets)> {
        self.update_tx_secret().ok()
    }
}

/// Both directions.
pub(super) struct Records<S = KernelConnection<ServerConnectionData>> {
    pub(super) write: Protection,
    read: Protection,
    schedule: S,
    form: Form,
    /// Records a key may protect before it is changed (RFC 8446 §5.5).
    pub(super) limit: u64,
    /// See [`IDLE_MAX`].
    idle: u8,
    update: Update,
    renegotiation: Renegotiation,
}

/// Whether the peer waits for our key to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Update {
    No,
    /// It asked, once or many times: our next data has a new key before it (RFC 8446 §4.6.3: one update
    /// may answer several requests). Nothing is kept for a peer that asks and does not read.
    Owed,
}

/// Whether the peer wanted to shake hands again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renegotiation {
    NotAsked,
    /// It was told no, at once, as it may wait for that; asking a second time ends the connection.
    Declined,
}

impl Records {
    /// Goes on where a handshake left off. `None`: a cipher that we do not know.
    pub(super) fn new(
        secrets: ExtractedSecrets,
        schedule: KernelConnection<ServerConnectionData>,
    ) -> Option<Self> {
        let suite = schedule.negotiated_cipher_suite();
        let form = Form::of(suite, &secrets.tx.1);
        let common = match suite {
            SupportedCipherSuite::Tls13(suite) => &suite.common,
            SupportedCipherSuite::Tls12(suite) => &suite.common,
        };
        Self::with_keys(form, secrets, common.confidentiality_limit, schedule)
    }
}

impl<S: Schedule> Records<S> {
    /// The same for keys that are known; a key protects at most `limit` records.
    pub(super) fn with_keys(
        form: Form,
        secrets: ExtractedSecrets,
        limit: u64,
        schedule: S,
    ) -> Option<Self> {
        let (to_write, write) = secrets.tx;
        let (to_read, read) = secrets.rx;
        Some(Records {
            write: Protection::new(form, to_write, &write)?,
            read: Protection::new(form, to_read, &read)?,
            form,
            limit,
            schedule,
            idle: 0,
            update: Update::No,
            renegotiation: Renegotiation::NotAsked,
        })
    }

    /// Opens the record at the front of `received`, in place. What must be said in answer is appended
    /// to `reply`.
    pub(super) fn open(
        &mut self,
        received: &mut [u8],
        reply: &mut Vec<u8>,
    ) -> Result<Opened, Broken> {
        let &mut [outer, major, _, high, low, ref mut rest @ ..] = received else {
            return Ok(Opened::More { record: HEADER });
        };
        if major != 3 {
            return Err(Alert::DecodeError.into());
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > self.form.body_max() {
            return Err(Alert::RecordOverflow.into());
        }
        let record = HEADER + length;
        let Some(body) = rest.get_mut(..length) else {
            return Ok(Opened::More { record });
        };
        let (kind, text) = self.read.open(outer, body)?;
        match kind {
            kind::DATA if text.is_empty() => {
                self.idles()?;
                Ok(Opened::Control { record })
            }
            kind::DATA => {
                self.idle = 0;
                let text = text.start.saturating_add(HEADER)..text.end.saturating_add(HEADER);
                Ok(Opened::Data { text, record })
            }
            kind::ALERT => match body.get(text) {
                Some(&[_, CLOSE_NOTIFY]) => Ok(Opened::End),
                // 1.3 has one warning besides; 1.2 had many.
                Some(&[level, alert])
                    if alert == USER_CANCELED || (level == WARNING && self.form != Form::Inner) =>
                {
                    self.idles()?;
                    Ok(Opened::Control { record })
                }
                Some(&[_, alert]) => Err(Broken::Peer(alert)),
                _ => Err(Alert::DecodeError.into()),
            },
            kind::HANDSHAKE => {
                self.idles()?;
                match (self.form, body.get(text)) {
                    // RFC 8446 §4.6.3: a whole record, as the keys change behind it.
                    (Form::Inner, Some(&[KEY_UPDATE, 0, 0, 1, asked])) => {
                        self.update_read()?;
                        match asked {
                            0 => {}
                            1 => self.update = Update::Owed,
                            _ => return Err(Alert::IllegalParameter.into()),
                        }
                    }
                    // RFC 5246 §7.4.1.1: a renegotiation may be declined.
                    (Form::ExplicitNonce | Form::Plain, Some(&[CLIENT_HELLO, ..]))
                        if self.renegotiation == Renegotiation::NotAsked =>
                    {
                        self.renegotiation = Renegotiation::Declined;
                        let words = [WARNING, NO_RENEGOTIATION];
                        self.write.seal(kind::ALERT, &words, reply)?;
                    }
                    _ => return Err(Alert::UnexpectedMessage.into()),
                }
                Ok(Opened::Control { record })
            }
            _ => Err(Alert::UnexpectedMessage.into()),
        }
    }

    fn idles(&mut self) -> Result<(), Alert> {
        self.idle = self.idle.saturating_add(1);
        match self.idle > IDLE_MAX {
            true => Err(Alert::UnexpectedMessage),
            false => Ok(()),
        }
    }

    fn update_read(&mut self) -> Result<(), Alert> {
        let next = self.schedule.next_read();
        let (sequence, secrets) = next.ok_or(Alert::InternalError)?;
        let next = Protection::new(self.form, sequence, &secrets);
        self.read = next.ok_or(Alert::InternalError)?;
        Ok(())
    }

    /// A new key to write with, announced under the old one.
    fn update_write(&mut self, out: &mut Vec<u8>) -> Result<(), Alert> {
        let words = [KEY_UPDATE, 0, 0, 1, 0];
        self.write.seal(kind::HANDSHAKE, &words, out)?;
        let next = self.schedule.next_write();
        let (sequence, secrets) = next.ok_or(Alert::InternalError)?;
        let next = Protection::new(self.form, sequence, &secrets);
        self.write = next.ok_or(Alert::InternalError)?;
        Ok(())
    }

    /// Appends `data` to `out`, protected; before it a new key that the peer asked for.
    pub(super) fn seal(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Alert> {
        if self.update == Update::Owed && !data.is_empty() {
            self.update = Update::No;
            self.update_write(out)?;
        }
        for piece in data.chunks(PLAIN_MAX) {
            if self.write.sequence() >= self.limit {
                match self.form {
                    Form::Inner => self.update_write(out)?,
                    // 1.2 has no way to change keys without a handshake.
                    Form::ExplicitNonce | Form::Plain => return Err(Alert::InternalError),
                }
            }
            self.write.seal(kind::DATA, piece, out)?;
        }
        Ok(())
    }

    /// Appends the end of our half.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        let _ = self.write.seal(kind::ALERT, &[WARNING, CLOSE_NOTIFY], out);
    }

    /// Appends why the connection ends.
    pub(super) fn fail(&mut self, alert: Alert, out: &mut Vec<u8>) {
        let _ = self.write.seal(kind::ALERT, &[FATAL, alert as u8], out);
    }
}
