//! A client that writes down what it saw.

use std::time::{Duration, Instant};

use super::{Doors, left};
use crate::proxy_protocol::{Version, of};
use crate::support::wire::{Conn, Heard};

/// Longer than the gateway leaves any client that waits: a translated message may take a minute to go on, and
/// the same on one more connection; a hold two.
const LONGEST: Duration = Duration::from_secs(200);

/// What hosts say of a message that they break off, and clients of one that they store.
pub(super) const HALF: &[u8] = b"half of it";

/// A conversation and what was heard in it, in short.
pub(super) struct Talk {
    conn: Option<Conn>,
    saw: Vec<String>,
    /// What the gateway has for it, and for who is beside it.
    inodes: Vec<u64>,
    beside: Vec<Conn>,
    /// How long the gateway kept it when it had ended its half.
    kept: Option<Duration>,
}

/// What came of a conversation.
pub(super) struct Said {
    /// In a cell of a table.
    pub(super) saw: String,
    /// What the gateway had for its clients.
    pub(super) inodes: Vec<u64>,
    pub(super) kept: Option<Duration>,
}

impl Talk {
    pub(super) fn new(port: u16) -> Talk {
        Talk::on(Conn::plain(port), port)
    }

    fn on(conn: Conn, door: u16) -> Talk {
        Talk {
            inodes: left::accepted(door, conn.local_port())
                .into_iter()
                .collect(),
            conn: Some(conn),
            saw: Vec::new(),
            beside: Vec::new(),
            kept: None,
        }
    }

    /// Greeted.
    pub(super) fn greeted(port: u16) -> Talk {
        Talk::new(port).hear()
    }

    /// Behind a load balancer, greeted.
    pub(super) fn behind(doors: &Doors, from: &str) -> Talk {
        Talk::new(doors.proxied).send(of(Version::V2, from)).hear()
    }

    /// Under TLS from the first byte, greeted.
    pub(super) fn tls(port: u16) -> Talk {
        Talk::on(Conn::tls(port), port).hear()
    }

    /// Another client is there, too, until this one is done.
    pub(super) fn beside(mut self, other: Talk) -> Talk {
        self.inodes.extend(other.inodes);
        self.beside.extend(other.conn);
        self
    }

    pub(super) fn send(mut self, octets: impl AsRef<[u8]>) -> Talk {
        if let Some(conn) = &mut self.conn {
            conn.try_send(octets);
        }
        self
    }

    /// Octet for octet, until the gateway closes: it does so before they end.
    pub(super) fn drip(mut self, octets: &[u8], pause: Duration) -> Talk {
        let closed_after = |octet: &u8| {
            let conn = self.conn.as_mut().unwrap();
            conn.try_send([*octet]);
            conn.heard_within(pause) == Heard::End
        };
        assert!(
            octets.iter().any(closed_after),
            "all octets were waited for"
        );
        self
    }

    /// One line.
    pub(super) fn hear(mut self) -> Talk {
        let patiently = |conn: &mut Conn| {
            conn.patient_for(LONGEST);
            conn.line_or_end()
        };
        let line = self.conn.as_mut().and_then(patiently);
        match line {
            Some(line) => self.saw.push(short(&line)),
            None => self.closed(),
        }
        self
    }

    /// Lines up to the tagged one, or one that is POP3's.
    pub(super) fn answer(mut self) -> Talk {
        loop {
            let count = self.saw.len();
            self = self.hear();
            let last = self.saw.get(count).map_or("closed", String::as_str);
            let more = last.starts_with("* ") || last == "+";
            if !more || last.starts_with("* BYE") {
                return self;
            }
        }
    }

    /// Over to TLS.
    pub(super) fn start_tls(mut self) -> Talk {
        if let Some(conn) = &mut self.conn {
            conn.start_tls();
        }
        self
    }

    /// Everything until the gateway closes.
    pub(super) fn end(mut self) -> Talk {
        let to_the_end = |conn: &mut Conn| {
            conn.patient_for(LONGEST);
            conn.rest()
        };
        let rest = self.conn.as_mut().map(to_the_end).unwrap_or_default();
        self.take(&rest);
        self.closed();
        self
    }

    /// Everything until the gateway closes, which it should not have to be asked for twice.
    pub(super) fn fin(mut self) -> Talk {
        if let Some(conn) = &mut self.conn {
            conn.try_close_write();
        }
        self.saw.push("(FIN)".to_owned());
        let begun = Instant::now();
        let mut ended = self.end();
        ended.kept = Some(begun.elapsed());
        ended
    }

    pub(super) fn reset(mut self) -> Talk {
        if let Some(conn) = self.conn.take() {
            conn.reset();
        }
        self.saw.push("(RST)".to_owned());
        self
    }

    /// Forgets all but the first lines of many alike.
    pub(super) fn only(mut self, lines: usize) -> Talk {
        self.saw.truncate(lines);
        self.saw.push("…".to_owned());
        self
    }

    fn take(&mut self, octets: &[u8]) {
        if octets.first() == Some(&0x15) {
            return self.saw.push("a TLS alert".to_owned());
        }
        // Behind the half of a message each octet counts: the gateway's own words would be taken for the rest.
        let half = octets.windows(HALF.len()).position(|it| it == HALF);
        let (lines, half) = octets.split_at(half.unwrap_or(octets.len()));
        for line in lines.split(|octet| *octet == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                self.saw.push(short(line));
            }
        }
        if !half.is_empty() {
            self.saw.push(half.escape_ascii().to_string());
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.saw.last().is_some_and(|last| last == "closed")
    }

    fn closed(&mut self) {
        if !self.is_closed() {
            self.saw.push("closed".to_owned());
        }
    }

    /// The end of it: all connections are closed.
    pub(super) fn said(mut self) -> Said {
        Said {
            inodes: std::mem::take(&mut self.inodes),
            kept: self.kept,
            saw: self.saw(),
        }
    }

    /// The whole in a cell of a table.
    fn saw(self) -> String {
        let mut saw: Vec<String> = Vec::new();
        for line in self.saw {
            let line = line.replace('|', "\\|");
            if !(saw.last() == Some(&line) && line == "…") {
                saw.push(line);
            }
        }
        let quoted = saw.iter().map(|line| match line.as_str() {
            "closed" | "(FIN)" | "(RST)" | "a TLS alert" | "…" => line.clone(),
            line => format!("`{line}`"),
        });
        quoted.collect::<Vec<_>>().join(", ")
    }
}

/// A line's status and code: words may change.
fn short(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let first = words.next().unwrap_or_default();
    let plain = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic());
    if first.len() > 4 || !plain(first) {
        return "…".to_owned();
    }
    let mut short = first.to_owned();
    if !first.starts_with(['+', '-']) {
        let status = words.next().unwrap_or_default();
        short = format!("{short} {status}");
        if status.parse::<u32>().is_ok() {
            return format!("{short} {}", words.next().unwrap_or_default());
        }
    }
    match words.next() {
        Some(code) if code.starts_with('[') && code.ends_with(']') => format!("{short} {code}"),
        _ => short,
    }
}
