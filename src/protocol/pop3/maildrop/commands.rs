//! The commands that are answered from the snapshot: CAPA, STAT, LIST, UIDL, RSET (RFC 1939 §5, §7),
//! and what is said to commands that are none.

use std::io::Write as _;

use super::super::config::UidlFormat;
use super::super::grammar::MessageNumber;
use super::super::reply::{self, Charset, ResponseCode};
use super::super::unique_id::Source;
use super::super::wish::Wish;
use super::{BAD_COMMANDS, Doing, Listing, Maildrop, ROOM, Why};
use crate::protocol::Farewell;
use crate::protocol::imap::snapshot::Message;

impl Maildrop {
    pub(super) fn command(&mut self, wish: Wish, out: &mut Vec<u8>) {
        if let Some(reason) = self.stopping
            && wish != Wish::Quit
        {
            let text = match reason {
                Farewell::Kicked => "the session was ended, try again later",
                _ => "the server is shutting down, try again later",
            };
            self.err(ResponseCode::SysTemp, text, out);
            self.doing = Doing::Over(Why::Farewell(reason));
            return;
        }
        match wish {
            Wish::Capa => self.capa(out),
            Wish::Stat => self.stat(out),
            Wish::List(None) => self.list(Listing::Sizes, out),
            Wish::Uidl(None) => self.list(Listing::UniqueIds, out),
            Wish::List(Some(number)) => self.list_one(Listing::Sizes, number, out),
            Wish::Uidl(Some(number)) => self.list_one(Listing::UniqueIds, number, out),
            Wish::Retr(number) => self.retr(number, out),
            Wish::Top(number, lines) => self.top(number, lines, out),
            Wish::Dele(number) => self.dele(number, out),
            Wish::Rset => self.rset(out),
            Wish::Noop => out.extend_from_slice(b"+OK\r\n"),
            Wish::Quit => self.quit(out),
            // RFC 6856 §2 has it before login only; Outlook sends it here.
            Wish::Utf8 => out.extend_from_slice(b"+OK\r\n"),
            Wish::Lang(answer) => out.extend_from_slice(&answer),
            Wish::Misplaced => out.extend_from_slice(b"-ERR not after login\r\n"),
            Wish::Bad(expected) => {
                let _ = write!(out, "-ERR expected {expected}\r\n");
                self.bad(out);
            }
            Wish::Unknown => {
                out.extend_from_slice(b"-ERR unknown command\r\n");
                self.bad(out);
            }
            Wish::TooLong => {
                out.extend_from_slice(b"-ERR line too long\r\n");
                self.doing = Doing::Over(Why::BadCommands);
            }
        }
    }

    /// CAPA (RFC 2449 §5): `"CAPA"`. The same in both states, as that section asks.
    pub(super) fn capa(&mut self, out: &mut Vec<u8>) {
        let lines = reply::CAPABILITIES
            .into_iter()
            .chain(reply::LOGIN_CAPABILITIES);
        out.extend(reply::list("capabilities follow", lines));
    }

    /// STAT (RFC 1939 §5): `"STAT"`. Messages marked as deleted are not counted.
    pub(super) fn stat(&mut self, out: &mut Vec<u8>) {
        let (count, octets) = self.sums();
        let _ = write!(out, "+OK {count} {octets}\r\n");
    }

    /// LIST (RFC 1939 §5), UIDL (RFC 1939 §7): `"LIST"`, `"UIDL"`.
    pub(super) fn list(&mut self, listing: Listing, out: &mut Vec<u8>) {
        let (count, octets) = self.sums();
        let _ = match listing {
            Listing::Sizes => write!(out, "+OK {count} messages ({octets} octets)\r\n"),
            Listing::UniqueIds => write!(out, "+OK {count} messages\r\n"),
        };
        self.doing = Doing::Listing(listing, 0);
    }

    /// Lines of a listing, until the buffer is full: a list of a million is never held.
    pub(super) fn list_on(&mut self, listing: Listing, from: usize, out: &mut Vec<u8>) {
        let mut index = from;
        while out.len() < ROOM {
            let Some(message) = self.snapshot.get(index) else {
                out.extend_from_slice(b".\r\n");
                self.doing = Doing::Nothing;
                return;
            };
            if !self.deleted.has(index) {
                self.line(listing, index, message, out);
            }
            index = index.saturating_add(1);
        }
        self.doing = Doing::Listing(listing, index);
    }

    /// LIST and UIDL with an argument: `"LIST" SP msg`, `"UIDL" SP msg`.
    pub(super) fn list_one(&mut self, listing: Listing, number: MessageNumber, out: &mut Vec<u8>) {
        let Some((index, message)) = self.message(number, out) else {
            return;
        };
        out.extend_from_slice(b"+OK ");
        self.line(listing, index, message, out);
    }

    pub(super) fn line(&self, listing: Listing, index: usize, message: Message, out: &mut Vec<u8>) {
        decimal((index as u64).saturating_add(1), out);
        out.push(b' ');
        match listing {
            Listing::Sizes => decimal(message.size, out),
            Listing::UniqueIds => {
                let source = Source {
                    uid: message.uid,
                    uidvalidity: self.snapshot.uid_validity,
                    email_id: self.snapshot.email_id(index),
                };
                if self.uidl.write(source, out).is_err() {
                    // A single message without EMAILID on a host that has them.
                    let _ = UidlFormat::Cyrus.write(source, out);
                }
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// RSET (RFC 1939 §5): `"RSET"`.
    pub(super) fn rset(&mut self, out: &mut Vec<u8>) {
        self.deleted.clear();
        self.deleted_octets = 0;
        out.extend_from_slice(b"+OK\r\n");
    }

    pub(super) fn sums(&self) -> (usize, u64) {
        let count = self.snapshot.len().saturating_sub(self.deleted.count());
        let octets = self.snapshot.total().saturating_sub(self.deleted_octets);
        (count, octets)
    }

    /// The message with a number, or the answer that there is none.
    pub(super) fn message(
        &self,
        number: MessageNumber,
        out: &mut Vec<u8>,
    ) -> Option<(usize, Message)> {
        let found = number
            .index()
            .and_then(|index| Some((index, self.snapshot.get(index)?)));
        match found {
            Some((index, _)) if self.deleted.has(index) => {
                let _ = write!(out, "-ERR message {number} is deleted\r\n");
                None
            }
            Some(found) => Some(found),
            None => {
                out.extend_from_slice(b"-ERR no such message\r\n");
                None
            }
        }
    }

    pub(super) fn bad(&mut self, out: &mut Vec<u8>) {
        self.bad = self.bad.saturating_add(1);
        if self.bad >= BAD_COMMANDS {
            let words = "too many bad commands";
            out.extend(reply::err(None, words, &self.session, Charset::Ascii));
            self.doing = Doing::Over(Why::BadCommands);
        }
    }

    pub(super) fn err(&self, code: ResponseCode, text: &str, out: &mut Vec<u8>) {
        out.extend(reply::err(Some(code), text, &self.session, Charset::Ascii));
    }
}

/// A number in decimal: listings of a million lines are made of little else.
fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0'.saturating_add((number % 10) as u8);
        number /= 10;
        at = at.saturating_sub(1);
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}
