//! RETR and TOP (RFC 1939 §5, §7): asking for octets, passing them on, and what is said when they do
//! not come. After `+OK` the only way to tell a failure is to close without the final dot.

use std::io::Write as _;

use super::super::grammar::MessageNumber;
use super::super::reply::ResponseCode;
use super::super::sending::{Sending, Shown, Unlike};
use super::super::wish::Wish;
use super::{Doing, Host, Maildrop, Why};
use crate::protocol::imap::ask::{Ask, Cut, Fetch, NoBody, Span, When};
use crate::protocol::imap::snapshot::Message;
use crate::protocol::pop3::config::Sizes;

impl Maildrop {
    /// RETR (RFC 1939 §5): `"RETR" SP msg`.
    pub(super) fn retr(&mut self, number: MessageNumber, out: &mut Vec<u8>) {
        let Some((index, message)) = self.message(number, out) else {
            return;
        };
        self.start(index, message, Sending::whole(), out);
    }

    /// TOP (RFC 1939 §7): `"TOP" SP msg SP n`.
    pub(super) fn top(&mut self, number: MessageNumber, lines: u32, out: &mut Vec<u8>) {
        let Some((index, message)) = self.message(number, out) else {
            return;
        };
        self.start(index, message, Sending::top(lines, message.size), out);
    }

    pub(super) fn start(
        &mut self,
        index: usize,
        message: Message,
        sending: Sending,
        out: &mut Vec<u8>,
    ) {
        if self.gone.has(index) {
            out.extend_from_slice(b"-ERR message expunged\r\n");
            return self.bad(out);
        }
        if self.host == Host::Poisoned {
            return self.poisoned(out);
        }
        let span = sending.span;
        self.asks
            .push_back(Ask::Fetch(fetch(message, span), When::Now));
        self.ahead.asked(index, span, sending.lines);
        self.doing = Doing::Waiting(index, sending);
        self.read_ahead();
    }

    /// Asks for what will probably be asked for next.
    pub(super) fn read_ahead(&mut self) {
        if self.host != Host::Fine {
            return;
        }
        let (index, sending) = match &self.doing {
            Doing::Waiting(index, sending) | Doing::Sending(index, sending) => (*index, sending),
            _ => return,
        };
        let lines = sending.lines;
        let (snapshot, deleted, gone) = (&self.snapshot, &self.deleted, &self.gone);
        let there = |index: &usize| {
            let listed = snapshot.get(*index).is_some();
            listed && !deleted.has(*index) && !gone.has(*index)
        };
        let said = self.input.waiting().filter_map(|wish| {
            let (number, lines) = match wish {
                Wish::Retr(number) => (number, None),
                Wish::Top(number, lines) => (number, Some(*lines)),
                _ => return None,
            };
            let index = number.index().filter(there)?;
            let message = snapshot.get(index)?;
            Some((index, Sending::span(lines, message.size)))
        });
        let place = |index: usize| {
            let index = Some(index).filter(there)?;
            Some(Sending::span(lines, snapshot.get(index)?.size))
        };
        let asks = &mut self.asks;
        self.ahead.plan(
            index,
            said,
            place,
            |index| snapshot.get(index).map_or(0, |message| message.size),
            |index, span| {
                if let Some(message) = snapshot.get(index) {
                    asks.push_back(Ask::Fetch(fetch(message, span), When::Ahead));
                }
            },
        );
    }

    pub(super) fn body_start(&mut self, octets: u64, origin: u64, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Waiting(index, mut sending) => {
                let _ = match sending.shown {
                    Shown::All => write!(out, "+OK {octets} octets\r\n"),
                    Shown::Top(_) => write!(out, "+OK\r\n"),
                };
                let _ = sending.begin(octets, origin);
                self.doing = Doing::Sending(index, sending);
            }
            // Another window of TOP, or the rest of a body that broke off.
            Doing::Sending(index, mut sending) => {
                self.doing = match sending.begin(octets, origin) {
                    Ok(()) => Doing::Sending(index, sending),
                    Err(Unlike) => Doing::Over(Why::Truncated),
                };
            }
            other => self.doing = other,
        }
    }

    pub(super) fn body(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let Doing::Sending(_, sending) = &mut self.doing else {
            return;
        };
        sending.push(octets, out);
        if sending.is_over() {
            self.asks.push_back(Ask::Enough);
            self.sent(out);
        }
    }

    /// The rest is asked for where it is certain that it is the rest; otherwise the client must see
    /// that something is missing.
    pub(super) fn body_broken(&mut self, cut: Cut) {
        let Doing::Sending(index, sending) = &mut self.doing else {
            return;
        };
        let rest = match (cut, self.snapshot.get(*index)) {
            (Cut::Lost, Some(message)) if self.host != Host::Poisoned => sending
                .resume(message.size)
                .map(|span| fetch(message, span)),
            _ => None,
        };
        match rest {
            Some(fetch) => self.asks.push_back(Ask::Fetch(fetch, When::Now)),
            None => self.doing = Doing::Over(Why::Truncated),
        }
    }

    pub(super) fn body_end(&mut self, out: &mut Vec<u8>) {
        let Doing::Sending(index, sending) = &mut self.doing else {
            return;
        };
        let Some(message) = self.snapshot.get(*index) else {
            return;
        };
        match sending.next_window(message.size) {
            Some(span) => self
                .asks
                .push_back(Ask::Fetch(fetch(message, span), When::Now)),
            None => self.sent(out),
        }
    }

    /// The answer is complete: its end, in one piece.
    pub(super) fn sent(&mut self, out: &mut Vec<u8>) {
        let Doing::Sending(index, sending) = std::mem::replace(&mut self.doing, Doing::Nothing)
        else {
            return;
        };
        let whole = matches!(sending.shown, Shown::All);
        let octets = sending.finish(out);
        if whole {
            self.counts.retrieved = self.counts.retrieved.saturating_add(1);
            self.unflushed.push(index);
            if let Some(message) = self.snapshot.get(index)
                && message.size != octets
                && self.sizes != Sizes::Trust
            {
                self.learned.push((message.uid, octets));
            }
        } else {
            self.counts.topped = self.counts.topped.saturating_add(1);
        }
    }

    pub(super) fn no_body(&mut self, why: NoBody, out: &mut Vec<u8>) {
        let index = match self.doing {
            Doing::Waiting(index, _) => index,
            // A later window of TOP: the answer has begun.
            Doing::Sending(..) => {
                self.doing = Doing::Over(Why::Truncated);
                return;
            }
            _ => return,
        };
        self.doing = Doing::Nothing;
        self.ahead.forget();
        if self.host == Host::Poisoned {
            return self.poisoned(out);
        }
        let text = match why {
            NoBody::Gone => {
                self.gone.set(index);
                out.extend_from_slice(b"-ERR message expunged\r\n");
                return;
            }
            NoBody::Unreadable => "the message cannot be read now, try again later",
            NoBody::Throttled => {
                self.ahead.rest();
                "the mail server is at a limit, try again later"
            }
            NoBody::Lost => "the mail server cannot be reached, try again later",
        };
        self.err(ResponseCode::SysTemp, text, out);
    }
}

fn fetch(message: Message, span: Span) -> Fetch {
    Fetch {
        uid: message.uid,
        span,
        expect: message.size,
    }
}
