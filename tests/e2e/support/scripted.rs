//! Hosts that misbehave: small servers in threads that say what they are told to.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use super::scratch::free_port;

/// A port where each connection is handled by `play`, until the test process ends.
pub(crate) fn host(play: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, play) = (stream.unwrap(), play.clone());
            std::thread::spawn(move || play(stream));
        }
    });
    port
}

/// Accepts and never says a word.
pub(crate) fn silent() -> u16 {
    host(|stream| {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {}
    })
}

/// Accepts and closes.
pub(crate) fn closing() -> u16 {
    host(drop)
}

/// Says `greeting` and then nothing more, whatever it hears.
pub(crate) fn greeting(greeting: &'static str) -> u16 {
    host(move |mut stream| {
        // The other side may be gone already, that is its right.
        let _ = write!(stream, "{greeting}\r\n");
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {}
    })
}

/// An IMAP host that knows LOGIN only and answers it with `verdict` (`OK`, `NO [UNAVAILABLE] …`).
/// ID, CAPABILITY and NOOP are OK, as with any server.
pub(crate) fn imap_verdict(verdict: &'static str) -> u16 {
    host(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let _ = write!(stream, "* OK here\r\n");
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
            let mut words = line.split_whitespace();
            let tag = words.next().unwrap_or("*");
            let answer = match words.next().map(str::to_ascii_uppercase).as_deref() {
                Some("CAPABILITY") => format!("* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n"),
                Some("LOGIN") => format!("{tag} {verdict}\r\n"),
                Some("LOGOUT") => format!("* BYE\r\n{tag} OK bye\r\n"),
                _ => format!("{tag} BAD unknown\r\n"),
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            line.clear();
        }
    })
}

/// A POP3 host with USER and PASS only, which answers PASS with `verdict`.
pub(crate) fn pop3_verdict(verdict: &'static str) -> u16 {
    host(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let _ = write!(stream, "+OK here\r\n");
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
            let word = line.split_whitespace().next().unwrap_or_default();
            let answer = match word.to_ascii_uppercase().as_str() {
                "USER" | "NOOP" | "QUIT" => "+OK".to_owned(),
                "PASS" => verdict.to_owned(),
                _ => "-ERR unknown".to_owned(),
            };
            if write!(stream, "{answer}\r\n").is_err() {
                return;
            }
            line.clear();
        }
    })
}

/// An IMAP host with an empty INBOX that throws away whatever reached it together with a LOGIN.
pub(crate) fn imap_losing_bursts() -> u16 {
    host(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let _ = write!(stream, "* OK [CAPABILITY IMAP4rev1 LITERAL+] here\r\n");
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
            let mut words = line.split_whitespace();
            let tag = words.next().unwrap_or("*");
            let untagged = match words.next().map(str::to_ascii_uppercase).as_deref() {
                Some("LOGIN") => {
                    let lost = reader.buffer().len();
                    reader.consume(lost);
                    ""
                }
                Some("SELECT") => "* 0 EXISTS\r\n* OK [UIDVALIDITY 1] v\r\n* OK [UIDNEXT 1] n\r\n",
                Some("CAPABILITY") => "* CAPABILITY IMAP4rev1 LITERAL+\r\n",
                _ => "",
            };
            if write!(stream, "{untagged}{tag} OK done\r\n").is_err() {
                return;
            }
            line.clear();
        }
    })
}

/// An IMAP host with an empty INBOX that takes every login and keeps its LOGIN lines, tags left out.
pub(crate) fn imap_recording(seen: std::sync::Arc<std::sync::Mutex<Vec<String>>>) -> u16 {
    host(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let _ = write!(stream, "* OK [CAPABILITY IMAP4rev1 LITERAL+] here\r\n");
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
            let (tag, rest) = line.trim_end().split_once(' ').unwrap_or(("*", ""));
            let verb = rest.split(' ').next().unwrap_or("").to_ascii_uppercase();
            let untagged = match verb.as_str() {
                "LOGIN" => {
                    seen.lock().unwrap().push(rest.to_owned());
                    ""
                }
                "SELECT" => "* 0 EXISTS\r\n* OK [UIDVALIDITY 1] v\r\n* OK [UIDNEXT 1] n\r\n",
                "CAPABILITY" => "* CAPABILITY IMAP4rev1 LITERAL+\r\n",
                "STATUS" => "* STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1)\r\n",
                _ => "",
            };
            if write!(stream, "{untagged}{tag} OK done\r\n").is_err() {
                return;
            }
            line.clear();
        }
    })
}

/// An IMAP host that takes every login and answers NOOP with its name, as `* OK [name] here`.
pub(crate) fn imap_named(name: &'static str) -> u16 {
    host(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let _ = write!(stream, "* OK [CAPABILITY IMAP4rev1 LITERAL+] here\r\n");
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
            let mut words = line.split_whitespace();
            let tag = words.next().unwrap_or("*");
            let untagged = match words.next().map(str::to_ascii_uppercase).as_deref() {
                Some("CAPABILITY") => "* CAPABILITY IMAP4rev1 LITERAL+\r\n".to_owned(),
                Some("NOOP") => format!("* OK [{name}] here\r\n"),
                _ => String::new(),
            };
            if write!(stream, "{untagged}{tag} OK done\r\n").is_err() {
                return;
            }
            line.clear();
        }
    })
}
