//! The few words of IMAP (RFC 9051 §6.1, §6.2) and POP3 (RFC 1939, RFC 2449, RFC 2595) that a probe says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::wire::{Wire, shown};
use crate::protocol::{Protocol, Secret, UserName};

/// Most lines of one answer.
const MAX_LINES: usize = 1000;

/// `* OK …`, `+OK …`
pub(super) fn greeting(wire: &mut Wire, protocol: Protocol) -> Result<String, String> {
    let line = wire
        .line()
        .map_err(|error| format!("no greeting came: {error}"))?;
    let good = match protocol {
        Protocol::Imap => starts(&line, b"* OK"),
        Protocol::Pop3 => starts(&line, b"+OK"),
    };
    match good {
        true => Ok(shown(&line)),
        false => Err(format!("the greeting is no welcome: {}", shown(&line))),
    }
}

/// CAPABILITY, CAPA.
pub(super) fn capabilities(wire: &mut Wire, protocol: Protocol) -> Result<Vec<String>, String> {
    match protocol {
        Protocol::Imap => {
            let mut words = Vec::new();
            wire.send(b"c CAPABILITY\r\n")?;
            let said = tagged(wire, b"c", |line| {
                if let Some(list) = line.get(13..).filter(|_| starts(line, b"* CAPABILITY ")) {
                    words = shown(list)
                        .split(' ')
                        .map(str::to_ascii_uppercase)
                        .collect();
                }
            })?;
            good(&said, b"OK", "CAPABILITY")?;
            match words.is_empty() {
                true => Err("CAPABILITY was answered with nothing".into()),
                false => Ok(words),
            }
        }
        Protocol::Pop3 => {
            wire.send(b"CAPA\r\n")?;
            let first = wire.line()?;
            if !starts(&first, b"+OK") {
                // Old hosts do not know it: that is an answer too.
                return Ok(Vec::new());
            }
            let mut list = Vec::new();
            for _ in 0..MAX_LINES {
                let line = wire.line()?;
                if line == b"." {
                    return Ok(list);
                }
                list.push(shown(&line).to_ascii_uppercase().replace(' ', "="));
            }
            Err("CAPA does not end".into())
        }
    }
}

/// Whether STARTTLS, STLS is among them.
pub(super) fn offers_tls(protocol: Protocol, capabilities: &[String]) -> bool {
    let word = match protocol {
        Protocol::Imap => "STARTTLS",
        Protocol::Pop3 => "STLS",
    };
    capabilities.iter().any(|capability| capability == word)
}

/// STARTTLS, STLS, until the host's yes.
pub(super) fn start_tls(wire: &mut Wire, protocol: Protocol) -> Result<(), String> {
    match protocol {
        Protocol::Imap => {
            wire.send(b"s STARTTLS\r\n")?;
            let said = tagged(wire, b"s", |_| {})?;
            good(&said, b"OK", "STARTTLS")
        }
        Protocol::Pop3 => {
            wire.send(b"STLS\r\n")?;
            let said = wire.line()?;
            good(&said, b"+OK", "STLS")
        }
    }
}

/// The login by PLAIN if it is offered, else by LOGIN or USER and PASS; the host's words.
pub(super) fn login(
    wire: &mut Wire,
    protocol: Protocol,
    capabilities: &[String],
    user: &UserName,
    password: &Secret,
) -> Result<String, String> {
    let mut message = Zeroizing::new(vec![0]);
    message.extend_from_slice(user.as_str().as_bytes());
    message.push(0);
    message.extend_from_slice(password.reveal());
    let mut plain = Zeroizing::new(STANDARD.encode(&message).into_bytes());
    plain.extend_from_slice(b"\r\n");
    let offered = |word: &str| capabilities.iter().any(|capability| capability == word);
    let said = match protocol {
        Protocol::Imap if offered("AUTH=PLAIN") => {
            wire.send(b"l AUTHENTICATE PLAIN\r\n")?;
            let mut said = wire.line()?;
            if starts(&said, b"+") {
                wire.send(&plain)?;
                said = tagged(wire, b"l", |_| {})?;
            }
            said
        }
        Protocol::Imap => {
            wire.send(format!("l LOGIN {{{}}}\r\n", user.as_str().len()).as_bytes())?;
            let mut said = wire.line()?;
            if starts(&said, b"+") {
                let length = password.reveal().len();
                wire.send(format!("{user} {{{length}}}\r\n").as_bytes())?;
                said = wire.line()?;
            }
            if starts(&said, b"+") {
                wire.send(&Zeroizing::new([password.reveal(), b"\r\n"].concat()))?;
                said = tagged(wire, b"l", |_| {})?;
            }
            said
        }
        Protocol::Pop3 => {
            let mechanisms = capabilities.iter().find_map(|c| c.strip_prefix("SASL="));
            if mechanisms.is_some_and(|list| list.split('=').any(|word| word == "PLAIN")) {
                wire.send(b"AUTH PLAIN\r\n")?;
                let mut said = wire.line()?;
                if starts(&said, b"+ ") || said == b"+" {
                    wire.send(&plain)?;
                    said = wire.line()?;
                }
                said
            } else {
                wire.send(format!("USER {user}\r\n").as_bytes())?;
                let mut said = wire.line()?;
                if starts(&said, b"+OK") {
                    wire.send(&Zeroizing::new(
                        [b"PASS ", password.reveal(), b"\r\n"].concat(),
                    ))?;
                    said = wire.line()?;
                }
                said
            }
        }
    };
    let word: &[u8] = match protocol {
        Protocol::Imap => b"OK",
        Protocol::Pop3 => b"+OK",
    };
    let said = said.strip_prefix(b"l ").unwrap_or(&said);
    good(said, word, "the login")?;
    Ok(shown(said))
}

/// LOGOUT, QUIT; that nobody answers is no fault.
pub(super) fn goodbye(wire: &mut Wire, protocol: Protocol) {
    let _ = match protocol {
        Protocol::Imap => wire
            .send(b"q LOGOUT\r\n")
            .and_then(|()| tagged(wire, b"q", |_| {}).map(drop)),
        Protocol::Pop3 => wire.send(b"QUIT\r\n").and_then(|()| wire.line().map(drop)),
    };
}

/// Lines up to the tagged one; what stands behind the tag.
fn tagged(wire: &mut Wire, tag: &[u8], mut untagged: impl FnMut(&[u8])) -> Result<Vec<u8>, String> {
    for _ in 0..MAX_LINES {
        let line = wire.line()?;
        let behind = line
            .strip_prefix(tag)
            .and_then(|rest| rest.strip_prefix(b" "));
        match behind {
            Some(said) => return Ok(said.to_vec()),
            None => untagged(&line),
        }
    }
    Err("the answer does not end".into())
}

fn good(said: &[u8], word: &[u8], what: &str) -> Result<(), String> {
    match starts(said, word) {
        true => Ok(()),
        false => Err(format!("{what} was refused: {}", shown(said))),
    }
}

/// Whether a line begins with a word, without regard to case.
fn starts(line: &[u8], word: &[u8]) -> bool {
    line.get(..word.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(word))
}
