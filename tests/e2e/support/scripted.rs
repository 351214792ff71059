//! Hosts that misbehave: small servers in threads that say what they are told to.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use super::scratch::free_listener;

/// A port where each connection is handled by `play`, until the test process ends.
pub(crate) fn host(play: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    let listener = free_listener();
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

/// A command that an IMAP host heard.
pub(crate) struct Command<'a> {
    pub(crate) tag: &'a str,
    /// In capitals.
    pub(crate) verb: &'a str,
    /// What stands behind the verb.
    pub(crate) rest: &'a str,
}

/// An IMAP host that greets with `* OK` and these words, and says to each command what `answer` makes
/// of it, line ends included.
pub(crate) fn imap(
    greeting: &'static str,
    answer: impl Fn(&Command) -> String + Send + Sync + Clone + 'static,
) -> u16 {
    imap_reading(greeting, move |command, _| answer(command))
}

/// The same, and `answer` is given what comes in behind the command.
fn imap_reading(
    greeting: &'static str,
    answer: impl Fn(&Command, &mut BufReader<TcpStream>) -> String + Send + Sync + Clone + 'static,
) -> u16 {
    host(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let _ = write!(stream, "* OK {greeting}\r\n");
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
            let (tag, rest) = line.trim_end().split_once(' ').unwrap_or(("*", ""));
            let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let verb = &*verb.to_ascii_uppercase();
            let said = answer(&Command { tag, verb, rest }, &mut reader);
            if stream.write_all(said.as_bytes()).is_err() {
                return;
            }
            line.clear();
        }
    })
}

const LITERALS: &str = "[CAPABILITY IMAP4rev1 LITERAL+] here";

/// The OK to a command, behind what a host with [`LITERALS`] and an empty INBOX says to it.
fn ok(command: &Command) -> String {
    let untagged = match command.verb {
        "CAPABILITY" => "* CAPABILITY IMAP4rev1 LITERAL+\r\n",
        "SELECT" => "* 0 EXISTS\r\n* OK [UIDVALIDITY 1] v\r\n* OK [UIDNEXT 1] n\r\n",
        "STATUS" => "* STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1)\r\n",
        _ => "",
    };
    format!("{untagged}{} OK done\r\n", command.tag)
}

/// An IMAP host that knows LOGIN only and answers it with `verdict` (`OK`, `NO [UNAVAILABLE] …`).
/// CAPABILITY is OK, as with any server.
pub(crate) fn imap_verdict(verdict: &'static str) -> u16 {
    imap("here", move |Command { tag, verb, .. }| match *verb {
        "CAPABILITY" => format!("* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n"),
        "LOGIN" => format!("{tag} {verdict}\r\n"),
        "LOGOUT" => format!("* BYE\r\n{tag} OK bye\r\n"),
        _ => format!("{tag} BAD unknown\r\n"),
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
    imap_reading(LITERALS, |command, reader| {
        if command.verb == "LOGIN" {
            let lost = reader.buffer().len();
            reader.consume(lost);
        }
        ok(command)
    })
}

/// An IMAP host with an empty INBOX that takes every login and keeps its LOGIN lines, tags left out.
pub(crate) fn imap_recording(seen: Arc<Mutex<Vec<String>>>) -> u16 {
    imap(LITERALS, move |command| {
        if command.verb == "LOGIN" {
            seen.lock().unwrap().push(format!("LOGIN {}", command.rest));
        }
        ok(command)
    })
}

/// An IMAP host that takes every login and answers NOOP with its name, as `* OK [name] here`.
pub(crate) fn imap_named(name: &'static str) -> u16 {
    imap(LITERALS, move |command| match command.verb {
        "NOOP" => format!("* OK [{name}] here\r\n{}", ok(command)),
        _ => ok(command),
    })
}

/// An IMAP host whose INBOX has messages with these UIDs, of one octet each, UIDVALIDITY 1 and UIDNEXT 9. It
/// says that it does what it is told, and keeps what it heard, tags and the login left out.
pub(crate) fn imap_holding(uids: &'static [u32], heard: Arc<Mutex<Vec<String>>>) -> u16 {
    imap(
        "[CAPABILITY IMAP4rev1 LITERAL+ UIDPLUS] here",
        move |command| {
            let Command { tag, verb, rest } = command;
            if *verb != "LOGIN" {
                heard.lock().unwrap().push(format!("{verb} {rest}"));
            }
            let count = uids.len();
            let untagged = match *verb {
                "CAPABILITY" => "* CAPABILITY IMAP4rev1 LITERAL+ UIDPLUS\r\n".to_owned(),
                "SELECT" => {
                    format!("* {count} EXISTS\r\n* OK [UIDVALIDITY 1] v\r\n* OK [UIDNEXT 9] n\r\n")
                }
                "STATUS" => {
                    format!("* STATUS INBOX (MESSAGES {count} UIDNEXT 9 UIDVALIDITY 1)\r\n")
                }
                "UID" if rest.starts_with("FETCH 1:*") => (1..)
                    .zip(uids)
                    .map(|(n, uid)| format!("* {n} FETCH (UID {uid} RFC822.SIZE 1)\r\n"))
                    .collect(),
                "UID" if rest.starts_with("EXPUNGE") => "* 1 EXPUNGE\r\n".repeat(2),
                _ => String::new(),
            };
            format!("{untagged}{tag} OK done\r\n")
        },
    )
}
