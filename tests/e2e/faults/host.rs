//! An IMAP host and a POP3 host that know just enough to be logged in to, and break at one point.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use super::left;
use crate::support::process::wait_for;
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
    tls: Option<Arc<ServerConfig>>,
}

/// What a host offers that is not told otherwise.
pub(super) const OFFERS: &str = "IMAP4rev1 LITERAL+";

/// What a host does after its last words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It goes on as if nothing was.
    GoesOn,
    /// As is proper: under TLS with a close_notify.
    Closes,
    /// Without one.
    Cuts,
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
            tls: None,
        }
    }

    /// The same with other capabilities; none are not told before they are asked for.
    pub(super) fn offering(self, offers: &'static str) -> Trouble {
        Trouble { offers, ..self }
    }

    /// The same of a host that speaks TLS from the first octet.
    pub(super) fn within(self, tls: Option<Arc<ServerConfig>>) -> Trouble {
        Trouble { tls, ..self }
    }

    /// A host that breaks as is told here.
    fn host(self, talk: impl Fn(&Trouble, Reader) + Send + Sync + Clone + 'static) -> u16 {
        scripted::host(move |tcp| {
            left::called(&tcp);
            let line = match &self.tls {
                None => Line::Clear(tcp),
                Some(tls) => {
                    let tls = ServerConnection::new(tls.clone()).unwrap();
                    Line::Tls(Box::new(StreamOwned::new(tls, tcp)))
                }
            };
            talk(&self, BufReader::new(line));
        })
    }

    /// Whether the host breaks now; it has done so when this returns.
    fn struck(&self, at: &str, tag: &str, reader: &mut Reader) -> Option<Then> {
        if self.at != at {
            return None;
        }
        reader.say(&self.words.replace("$T", tag));
        match self.then {
            Then::GoesOn | Then::Cuts => {}
            Then::Closes => reader.get_mut().close(),
            Then::Resets => {
                // What was said before is heard before.
                std::thread::sleep(Duration::from_millis(100));
                let _ = SockRef::from(reader.get_ref().tcp()).set_linger(Some(Duration::ZERO));
            }
            Then::Hangs => while reader.read(&mut [0; 512]).is_ok_and(|n| n > 0) {},
        }
        Some(self.then)
    }
}

/// What hosts were sent as messages, by their ports; nothing yet while more may come.
static MESSAGES: Mutex<Vec<(u16, Option<Vec<u8>>)>> = Mutex::new(Vec::new());

fn note(port: u16, message: Option<Vec<u8>>) {
    let mut messages = MESSAGES.lock().unwrap();
    messages.retain(|(of, _)| *of != port);
    messages.push((port, message));
}

/// What the host at this port was sent as a message, if it was sent one; its connections are closed.
pub(super) fn message(port: u16) -> Option<Vec<u8>> {
    let mut found = None;
    wait_for("the end of a message", || {
        let messages = MESSAGES.lock().unwrap();
        let of_port = messages.iter().find(|(of, _)| *of == port);
        found = of_port.and_then(|(_, message)| message.clone());
        of_port.is_none() || found.is_some()
    });
    found
}

/// A host's connection to the gateway.
enum Line {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

type Reader = BufReader<Line>;

impl Line {
    fn tcp(&self) -> &TcpStream {
        match self {
            Line::Clear(tcp) => tcp,
            Line::Tls(tls) => &tls.sock,
        }
    }

    /// Says that nothing follows, where TLS has words for that.
    fn close(&mut self) {
        if let Line::Tls(tls) = self {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    }
}

impl Read for Line {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Line::Clear(tcp) => tcp.read(into),
            Line::Tls(tls) => tls.read(into),
        }
    }
}

trait Says {
    /// Whether it could be said: the gateway may be gone.
    fn say(&mut self, words: &str) -> bool;
}

impl Says for Reader {
    fn say(&mut self, words: &str) -> bool {
        let said = match self.get_mut() {
            Line::Clear(tcp) => tcp.write_all(words.as_bytes()),
            Line::Tls(tls) => tls.write_all(words.as_bytes()).and_then(|()| tls.flush()),
        };
        said.is_ok()
    }
}

/// An IMAP host with one message of 100 octets.
pub(super) fn imap(trouble: Trouble) -> u16 {
    trouble.host(|trouble, mut reader| {
        match trouble.struck("connect", "*", &mut reader) {
            None => {
                reader.say(&match trouble.offers {
                    "" => "* OK here\r\n".to_owned(),
                    offers => format!("* OK [CAPABILITY {offers}] here\r\n"),
                });
            }
            Some(Then::GoesOn) => {}
            Some(_) => return,
        }
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
            match trouble.struck(verb, tag, &mut reader) {
                None => {}
                Some(Then::GoesOn) => continue,
                Some(_) => return,
            }
            if verb == "IDLE" {
                idling = tag.to_owned();
                reader.say("+ idling\r\n");
                continue;
            }
            let tag = if verb == "DONE" { &idling } else { tag };
            if verb == "APPEND" {
                // The message, which never comes whole.
                let port = reader.get_ref().tcp().local_addr().unwrap().port();
                note(port, None);
                let mut message = Vec::new();
                let _ = reader.read_to_end(&mut message);
                return note(port, Some(message));
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
            let said = reader.say(&format!("{untagged}{tag} {verdict} done\r\n"));
            if !said || verb == "LOGOUT" {
                return reader.get_mut().close();
            }
        }
    })
}

/// A POP3 host with one message of 100 octets.
pub(super) fn pop3(trouble: Trouble) -> u16 {
    trouble.host(|trouble, mut reader| {
        match trouble.struck("connect", "", &mut reader) {
            None => {
                reader.say("+OK here\r\n");
            }
            Some(Then::GoesOn) => {}
            Some(_) => return,
        }
        let mut line = String::new();
        while {
            line.clear();
            reader.read_line(&mut line).is_ok_and(|n| n > 0)
        } {
            let verb = line.split_whitespace().next().unwrap_or_default();
            let verb = verb.to_ascii_uppercase();
            match trouble.struck(&verb, "", &mut reader) {
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
            if !reader.say(&answer) || verb == "QUIT" {
                return reader.get_mut().close();
            }
        }
    })
}
