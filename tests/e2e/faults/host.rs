//! An IMAP host and a POP3 host that know just enough to be logged in to, and break at one point.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::left;
use crate::support::scripted;

/// Where a host breaks, and how.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// `connect`, or a command in capitals; it is said with `words` in the place of the answer.
    at: &'static str,
    /// What it still says, `$T` for the tag.
    words: &'static str,
    then: Then,
    /// Capabilities in the greeting of an IMAP host.
    offers: &'static str,
}

/// What a host offers that is not told otherwise.
pub(super) const OFFERS: &str = "IMAP4rev1 LITERAL+";

/// What a host does after its last words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It goes on as if nothing was.
    GoesOn,
    Closes,
    Resets,
    /// It never says a word again.
    Hangs,
}

impl Trouble {
    pub(super) fn none() -> Trouble {
        Trouble::at("never", "", Then::GoesOn)
    }

    pub(super) fn at(at: &'static str, words: &'static str, then: Then) -> Trouble {
        Trouble {
            at,
            words,
            then,
            offers: OFFERS,
        }
    }

    /// The same with other capabilities; none are not told before they are asked for.
    pub(super) fn offering(self, offers: &'static str) -> Trouble {
        Trouble { offers, ..self }
    }

    /// Whether the host breaks now; it has done so when this returns.
    fn struck(&self, at: &str, tag: &str, stream: &mut TcpStream) -> Option<Then> {
        if self.at != at {
            return None;
        }
        let _ = stream.write_all(self.words.replace("$T", tag).as_bytes());
        match self.then {
            Then::GoesOn | Then::Closes => {}
            Then::Resets => {
                // What was said before is heard before.
                std::thread::sleep(Duration::from_millis(100));
                let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            }
            Then::Hangs => while stream.read(&mut [0; 512]).is_ok_and(|n| n > 0) {},
        }
        Some(self.then)
    }
}

/// An IMAP host with one message of 100 octets.
pub(super) fn imap(trouble: Trouble) -> u16 {
    scripted::host(move |mut stream| {
        left::called(&stream);
        match trouble.struck("connect", "*", &mut stream) {
            None => {
                let _ = match trouble.offers {
                    "" => stream.write_all(b"* OK here\r\n"),
                    offers => write!(stream, "* OK [CAPABILITY {offers}] here\r\n"),
                };
            }
            Some(Then::GoesOn) => {}
            Some(_) => return,
        }
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut line, mut idling) = (Vec::new(), String::new());
        while {
            line.clear();
            reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0)
        } {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (tag, rest) = text.split_once(' ').unwrap_or(("*", ""));
            let rest = rest.to_ascii_uppercase();
            let body = rest.contains("BODY");
            let mut words = rest.split(' ');
            let verb = match (words.next().unwrap_or_default(), words.next()) {
                ("UID", _) if body => "BODY",
                ("UID", Some(verb @ ("STORE" | "EXPUNGE"))) => verb,
                ("", _) if text == "DONE" => "DONE",
                (verb, _) => verb,
            };
            match trouble.struck(verb, tag, &mut stream) {
                None => {}
                Some(Then::GoesOn) => continue,
                Some(_) => return,
            }
            if verb == "IDLE" {
                idling = tag.to_owned();
                let _ = stream.write_all(b"+ idling\r\n");
                continue;
            }
            let tag = if verb == "DONE" { &idling } else { tag };
            if verb == "APPEND" {
                // The message, which never comes whole.
                let _ = std::io::copy(&mut reader, &mut std::io::sink());
                return;
            }
            let verdict = if verb == "STARTTLS" { "NO" } else { "OK" };
            let untagged = match verb {
                "CAPABILITY" => "* CAPABILITY IMAP4rev1 LITERAL+\r\n".to_owned(),
                "SELECT" | "EXAMINE" => {
                    "* 1 EXISTS\r\n* FLAGS (\\Seen \\Deleted)\r\n* OK [UIDVALIDITY 7] v\r\n* OK [UIDNEXT 2] n\r\n"
                        .to_owned()
                }
                "STATUS" => "* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7)\r\n".to_owned(),
                "UID" => "* 1 FETCH (UID 1 RFC822.SIZE 100 FLAGS ())\r\n".to_owned(),
                "BODY" => {
                    let text = "x".repeat(98);
                    format!("* 1 FETCH (UID 1 BODY[] {{100}}\r\n{text}\r\n)\r\n")
                }
                "LOGOUT" => "* BYE\r\n".to_owned(),
                _ => String::new(),
            };
            if write!(stream, "{untagged}{tag} {verdict} done\r\n").is_err() || verb == "LOGOUT" {
                return;
            }
        }
    })
}

/// A POP3 host with one message of 100 octets.
pub(super) fn pop3(trouble: Trouble) -> u16 {
    scripted::host(move |mut stream| {
        left::called(&stream);
        match trouble.struck("connect", "", &mut stream) {
            None => {
                let _ = stream.write_all(b"+OK here\r\n");
            }
            Some(Then::GoesOn) => {}
            Some(_) => return,
        }
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while {
            line.clear();
            reader.read_line(&mut line).is_ok_and(|n| n > 0)
        } {
            let verb = line.split_whitespace().next().unwrap_or_default();
            let verb = verb.to_ascii_uppercase();
            match trouble.struck(&verb, "", &mut stream) {
                None => {}
                Some(Then::GoesOn) => continue,
                Some(_) => return,
            }
            let answer = match verb.as_str() {
                "USER" | "PASS" | "NOOP" | "QUIT" => "+OK\r\n".to_owned(),
                "STAT" => "+OK 1 100\r\n".to_owned(),
                "RETR" => format!("+OK\r\n{}\r\n.\r\n", "x".repeat(98)),
                _ => "-ERR unknown\r\n".to_owned(),
            };
            if stream.write_all(answer.as_bytes()).is_err() || verb == "QUIT" {
                return;
            }
        }
    })
}
