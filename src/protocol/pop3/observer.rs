//! Watches a relayed POP3 session: which answers are due, so that a goodbye stands where one may.
//!
//! POP3 has no unasked goodbye (RFC 1939 §3: a server speaks only when spoken to, and an idle
//! timeout closes without a word). What can be said is `-ERR [SYS/TEMP]` in place of an answer that
//! is due and has not begun. Commands are seen going by and counted, answers are taken off; of a
//! message nothing but its end is looked for.

use std::collections::VecDeque;

use super::grammar::Shape;
use super::multiline::EndFinder;
use super::reply::{self, Charset, ResponseCode};
use crate::protocol::handover::Leave;
use crate::protocol::{Farewell, Observer, Verdict};

/// How much of a command line is looked at: more than any keyword with its number.
const LOOKED_AT: usize = 64;

/// Commands whose answers may be due at once. A client that pipelines more is passed on all the
/// same; only a goodbye is not said to it any more.
const MOST_DUE: usize = 16 * 1024;

/// Pairs commands with answers from the login on.
#[derive(Debug)]
pub struct Pop3Observer {
    session: String,
    command: Vec<u8>,
    due: VecDeque<Due>,
    answer: Answer,
    leave: Leave,
}

/// A command that went to the host and is not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Line,
    MultiLine,
    /// QUIT: the host may be deleting, and its answer says whether it did.
    Quit,
}

/// Where the host's octets stand.
#[derive(Debug)]
enum Answer {
    /// Between answers.
    NotBegun,
    /// In the first line of an answer; its first four octets.
    FirstLine { status: [u8; 4], seen: usize },
    /// In the lines of a multi-line answer.
    Lines(EndFinder),
    /// An answer came that we cannot pair with a command.
    Lost,
}

impl Pop3Observer {
    /// At the start of the TRANSACTION state; `session` ends the words of a goodbye.
    pub fn new(session: String) -> Self {
        Pop3Observer {
            session,
            command: Vec::new(),
            due: VecDeque::new(),
            answer: Answer::NotBegun,
            leave: Leave::NotTaken,
        }
    }

    fn command_ended(&mut self) {
        let line = self.command.strip_suffix(b"\r").unwrap_or(&self.command);
        let due = if line
            .get(..4)
            .is_some_and(|w| w.eq_ignore_ascii_case(b"QUIT"))
        {
            self.leave = Leave::Taken;
            Due::Quit
        } else {
            match Shape::of(line) {
                Shape::Line => Due::Line,
                Shape::MultiLine => Due::MultiLine,
            }
        };
        self.command.clear();
        if self.due.len() < MOST_DUE {
            self.due.push_back(due);
        } else {
            self.lose();
        }
    }

    fn lose(&mut self) {
        self.answer = Answer::Lost;
        self.due = VecDeque::new();
        self.command = Vec::new();
    }

    /// The first line of an answer is complete.
    fn first_line_ended(&mut self, status: [u8; 4]) {
        let accepted = match &status {
            b"+OK " | b"+OK\r" | b"+OK\n" => true,
            b"-ERR" => false,
            _ => return self.lose(),
        };
        self.answer = match self.due.pop_front() {
            Some(Due::MultiLine) if accepted => Answer::Lines(EndFinder::new()),
            Some(_) => Answer::NotBegun,
            // Unasked: a host that says something before it closes.
            None => return self.lose(),
        };
    }
}

impl Observer for Pop3Observer {
    fn client_left(&self) -> Option<&'static str> {
        (self.leave == Leave::Taken).then_some("quit")
    }

    fn client_to_host(&mut self, bytes: &[u8]) -> Verdict {
        let mut rest = bytes;
        while !matches!(self.answer, Answer::Lost) && !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (line, tail) = rest.split_at(end.unwrap_or(rest.len()));
            let room = LOOKED_AT.saturating_sub(self.command.len());
            self.command
                .extend_from_slice(line.get(..room).unwrap_or(line));
            if end.is_some() {
                self.command_ended();
            }
            rest = tail.get(1..).unwrap_or_default();
        }
        Verdict::Pass
    }

    fn host_to_client(&mut self, bytes: &mut [u8]) {
        let mut rest = &*bytes;
        while !rest.is_empty() {
            match &mut self.answer {
                Answer::Lost => return,
                Answer::NotBegun => {
                    self.answer = Answer::FirstLine {
                        status: [0; 4],
                        seen: 0,
                    };
                }
                Answer::FirstLine { status, seen } => {
                    let end = memchr::memchr(b'\n', rest);
                    let line = match end {
                        Some(at) => rest.get(..=at).unwrap_or(rest),
                        None => rest,
                    };
                    for (place, octet) in status.iter_mut().skip(*seen).zip(line) {
                        *place = *octet;
                        *seen = (*seen).saturating_add(1);
                    }
                    rest = rest.get(line.len()..).unwrap_or_default();
                    if end.is_some() {
                        let status = *status;
                        self.first_line_ended(status);
                    }
                }
                Answer::Lines(finder) => match finder.push(rest) {
                    Some(end) => {
                        rest = rest.get(end..).unwrap_or_default();
                        self.answer = Answer::NotBegun;
                    }
                    None => return,
                },
            }
        }
    }

    fn goodbye(&self, reason: Farewell) -> Option<Vec<u8>> {
        match (&self.answer, self.due.front()) {
            // Never into an answer; and whoever has said QUIT hears the host's word on it.
            (Answer::FirstLine { .. } | Answer::Lines(_), _) => None,
            (Answer::NotBegun, Some(_)) if self.due.contains(&Due::Quit) => None,
            (Answer::NotBegun, Some(_)) => {
                let text = match reason {
                    Farewell::Timeout => return Some(Vec::new()),
                    Farewell::Shutdown => "the server is shutting down, try again later",
                    Farewell::TooMany | Farewell::TooManyFailures => "too many sessions",
                    Farewell::Kicked => "the session was ended, log in again",
                };
                Some(reply::err(
                    Some(ResponseCode::SysTemp),
                    text,
                    &self.session,
                    Charset::Ascii,
                ))
            }
            // Nothing is due. A shutdown can wait for the next command to have something to answer;
            // the rest ends now, without a word.
            (Answer::NotBegun, None) => match reason {
                Farewell::Shutdown => None,
                _ => Some(Vec::new()),
            },
            (Answer::Lost, _) => Some(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Can {
        Wait,
        Silent,
        Answer,
    }

    fn can(observer: &Pop3Observer, reason: Farewell) -> Can {
        match observer.goodbye(reason) {
            None => Can::Wait,
            Some(words) if words.is_empty() => Can::Silent,
            Some(words) => {
                assert!(words.starts_with(b"-ERR [SYS/TEMP] ") && words.ends_with(b" (S1)\r\n"));
                Can::Answer
            }
        }
    }

    /// `c` is fed from the client, `h` from the host, `=` checks what a kick may do then.
    #[test]
    fn where_a_goodbye_may_stand() {
        let tables: &[&[(char, &str)]] = &[
            &[('=', "silent")],
            &[
                ('c', "STAT"),
                ('=', "silent"),
                ('c', "\r\n"),
                ('=', "answer"),
            ],
            &[
                ('c', "STAT\r\n"),
                ('h', "+"),
                ('=', "wait"),
                ('h', "OK 1 2\r"),
                ('=', "wait"),
                ('h', "\n"),
                ('=', "silent"),
            ],
            &[
                ('c', "list\n"),
                ('h', "+OK\r\n"),
                ('=', "wait"),
                ('h', "1 2\r\n."),
                ('=', "wait"),
                ('h', "\r\n"),
                ('=', "silent"),
            ],
            &[('c', "LIST 1\r\n"), ('h', "+OK 1 2\r\n"), ('=', "silent")],
            &[
                ('c', "LIST\r\nUIDL\r\n"),
                ('h', "+OK\r\n.\r\n"),
                ('=', "answer"),
                ('h', "+OK\r\n.\r\n"),
                ('=', "silent"),
            ],
            &[('c', "RETR 1\r\n"), ('h', "-ERR no\r\n"), ('=', "silent")],
            &[
                ('c', "RETR 1\r\n"),
                ('h', "+OK\r\na\r\n..\r\n+OK\r\n-ERR\r\n"),
                ('=', "wait"),
                ('h', ".\r\n"),
                ('=', "silent"),
            ],
            &[('c', "RETR 1x\r\n"), ('h', "+OK\r\n"), ('=', "wait")],
            &[
                ('c', "DELE 1\r\nQUIT\r\n"),
                ('=', "wait"),
                ('h', "+OK\r\n"),
                ('=', "wait"),
                ('h', "+OK\r\n"),
                ('=', "silent"),
            ],
            // Unasked, or not to be understood: nothing is said any more.
            &[
                ('h', "-ERR Disconnected for inactivity.\r\n"),
                ('=', "silent"),
                ('c', "STAT\r\n"),
                ('=', "silent"),
            ],
            &[
                ('c', "XTND XLST\r\n"),
                ('h', "+OK\r\n1 a\r\n"),
                ('=', "silent"),
                ('c', "STAT\r\n"),
                ('=', "silent"),
            ],
            &[
                ('c', "AUTH PLAIN\r\n"),
                ('h', "+ \r\n"),
                ('=', "silent"),
                ('c', "x\r\n"),
                ('=', "silent"),
            ],
        ];
        for (number, table) in tables.iter().enumerate() {
            for step in [usize::MAX, 1] {
                let mut observer = Pop3Observer::new("S1".into());
                for (side, text) in *table {
                    match side {
                        '=' => {
                            let want = match *text {
                                "wait" => Can::Wait,
                                "silent" => Can::Silent,
                                _ => Can::Answer,
                            };
                            assert_eq!(can(&observer, Farewell::Kicked), want, "row {number}");
                        }
                        _ => {
                            for chunk in text.as_bytes().chunks(step) {
                                match side {
                                    'c' => {
                                        assert_eq!(observer.client_to_host(chunk), Verdict::Pass)
                                    }
                                    _ => observer.host_to_client(&mut chunk.to_vec()),
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_shutdown_waits_for_the_next_command_and_a_timeout_says_nothing() {
        let mut observer = Pop3Observer::new("S1".into());
        assert_eq!(can(&observer, Farewell::Shutdown), Can::Wait);
        assert_eq!(can(&observer, Farewell::Timeout), Can::Silent);
        observer.client_to_host(b"NOOP\r\n");
        assert_eq!(can(&observer, Farewell::Shutdown), Can::Answer);
        assert_eq!(can(&observer, Farewell::Timeout), Can::Silent);
    }

    #[test]
    fn a_client_that_never_listens_costs_no_memory() {
        let mut observer = Pop3Observer::new("S1".into());
        for _ in 0..100 {
            observer.client_to_host(&b"NOOP\r\n".repeat(1000));
        }
        assert_eq!(can(&observer, Farewell::Kicked), Can::Silent);
        let mut observer = Pop3Observer::new("S1".into());
        for _ in 0..100 {
            observer.client_to_host(&[b'x'; 10_000]);
        }
        assert!(observer.command.capacity() <= 2 * LOOKED_AT);
    }
}
