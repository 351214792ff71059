//! Hosts that are broken, or lie: what their users are told.

use super::host::{self, Then, Trouble};
use super::talk::Talk;
use super::{Doors, Fault, Left, Pace};
use crate::support::scratch::free_port;
use crate::support::users::WRONG;

fn imap_login(doors: &Doors, user: &str) -> Talk {
    Talk::greeted(doors.ports.imap)
        .send(format!("a LOGIN {user} {WRONG}\r\n"))
        .answer()
}

fn pop3_login(doors: &Doors, user: &str) -> Talk {
    Talk::greeted(doors.ports.pop3)
        .send(format!("USER {user}\r\n"))
        .hear()
        .send(format!("PASS {WRONG}\r\n"))
        .hear()
}

/// A host that is asked by an IMAP client.
fn told(class: &'static str, name: &str, scheme: &str, trouble: Trouble) -> Fault {
    let port = host::imap(trouble);
    Fault {
        class,
        name: name.to_owned(),
        pace: Pace::Patient,
        left: Left::Nothing,
        backend: Some(format!("hosts: [\"{scheme}://127.0.0.1:{port}\"]")),
        play: Box::new(|doors, user| imap_login(doors, user).fin()),
    }
}

/// The same of a host that loses each session again, and is logged in to anew as often as can be.
fn losing(fault: Fault) -> Fault {
    Fault {
        pace: Pace::Hasty,
        left: Left::ForPolls,
        ..fault
    }
}

/// A host that is asked by a POP3 client, in IMAP.
fn translated(class: &'static str, name: &str, trouble: Trouble, then: &'static [&str]) -> Fault {
    let port = host::imap(trouble);
    Fault {
        class,
        name: name.to_owned(),
        pace: Pace::Patient,
        left: Left::Nothing,
        backend: Some(format!("hosts: [\"imap://127.0.0.1:{port}\"]")),
        play: Box::new(move |doors, user| {
            let mut talk = pop3_login(doors, user);
            for command in then {
                talk = talk.send(format!("{command}\r\n")).hear();
            }
            talk.fin()
        }),
    }
}

pub(super) fn all() -> Vec<Fault> {
    use Then::{Closes, GoesOn};
    let mut all = Vec::new();
    let class = "Hosts that do not speak IMAP, or speak out of turn";
    for (name, words) in [
        ("an SMTP greeting", "220 mx ESMTP\r\n"),
        ("a POP3 greeting", "+OK here\r\n"),
        ("an HTTP answer", "HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("an SSH greeting", "SSH-2.0-OpenSSH_9.2\r\n"),
        ("octets of TLS", "\x16\x03\x01\x02\x00\x01\r\n"),
        (
            "PREAUTH: somebody is logged in already",
            "* PREAUTH welcome\r\n",
        ),
        ("BYE", "* BYE too busy\r\n"),
        ("a tagged OK for a greeting", "L1 OK logged in\r\n"),
        (
            "greeting and a guessed tag's OK in one segment",
            "* OK here\r\na OK in\r\nA1 OK in\r\n1 OK in\r\n",
        ),
        ("a line that never ends", "* OK "),
        ("NUL in the greeting", "* OK a\0b\r\n"),
    ] {
        let words: &'static str = match name {
            "a line that never ends" => {
                Box::leak(format!("* OK {}\r\n", "x".repeat(200_000)).into_boxed_str())
            }
            _ => words,
        };
        all.push(told(
            class,
            name,
            "imap",
            Trouble::at("connect", words, Closes),
        ));
    }
    let class = "Hosts that answer a login otherwise";
    for (name, words) in [
        ("NO", "$T NO no such user\r\n"),
        ("NO [UNAVAILABLE]", "$T NO [UNAVAILABLE] later\r\n"),
        ("NO [LIMIT]", "$T NO [LIMIT] too many\r\n"),
        ("NO [EXPIRED]", "$T NO [EXPIRED] old\r\n"),
        ("NO [CONTACTADMIN]", "$T NO [CONTACTADMIN] ask\r\n"),
        ("NO with a code nobody knows", "$T NO [X-WHAT] hm\r\n"),
        (
            "NO [REFERRAL]: not followed",
            "$T NO [REFERRAL imap://evil.example/] go there\r\n",
        ),
        ("BAD", "$T BAD what\r\n"),
        ("BYE", "* BYE enough\r\n"),
        ("another command's tag", "zz OK done\r\n"),
        ("control characters in the text", "$T NO a\x07\x1b[31mb\r\n"),
        ("a text of 100 KB", "long"),
        ("a literal of 4 GiB", "* OK {4294967296}\r\n"),
        ("nothing at all", ""),
    ] {
        let words: &'static str = match words {
            "long" => Box::leak(format!("$T NO {}\r\n", "x".repeat(100_000)).into_boxed_str()),
            words => words,
        };
        all.push(told(
            class,
            name,
            "imap",
            Trouble::at("LOGIN", words, Closes),
        ));
    }
    let class = "STARTTLS and TLS towards a host";
    for (name, scheme, trouble) in [
        ("STARTTLS is not offered", "imap+starttls", Trouble::none()),
        (
            "NO to STARTTLS: never in clear",
            "imap+starttls",
            Trouble::at(
                "connect",
                "* OK [CAPABILITY IMAP4rev1 STARTTLS] x\r\n",
                GoesOn,
            ),
        ),
        (
            "a host of imaps that speaks in clear",
            "imaps",
            Trouble::none(),
        ),
    ] {
        all.push(told(class, name, scheme, trouble));
    }
    let port = crate::support::scripted::host(|mut stream| {
        use std::io::{BufRead as _, BufReader, Write as _};
        super::left::called(&stream);
        let _ = stream.write_all(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] x\r\n");
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
            let tag = line.split(' ').next().unwrap_or("*").to_owned();
            // What follows is in clear and would be taken as said under TLS.
            let _ = write!(
                stream,
                "{tag} OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"
            );
            line.clear();
        }
    });
    all.push(Fault {
        class,
        name: "octets in clear behind the OK to STARTTLS".to_owned(),
        pace: Pace::Patient,
        left: Left::Nothing,
        backend: Some(format!("hosts: [\"imap+starttls://127.0.0.1:{port}\"]")),
        play: Box::new(|doors, user| imap_login(doors, user).fin()),
    });
    let nobody = free_port();
    all.push(Fault {
        class: "Hosts that are not there",
        name: "nobody listens".to_owned(),
        pace: Pace::Patient,
        left: Left::Nothing,
        backend: Some(format!("hosts: [\"imap://127.0.0.1:{nobody}\"]")),
        play: Box::new(|doors, user| imap_login(doors, user).fin()),
    });
    all.push(Fault {
        class: "Hosts that are not there",
        name: "nobody listens, two logins more on the same connection".to_owned(),
        pace: Pace::Patient,
        left: Left::Nothing,
        backend: Some(format!("hosts: [\"imap://127.0.0.1:{nobody}\"]")),
        play: Box::new(|doors, user| {
            let again = format!("b LOGIN {user} {WRONG}\r\n");
            let talk = imap_login(doors, user).send(&again).answer();
            talk.send(&again).answer().end()
        }),
    });
    let class = "POP3 from a host that breaks its word";
    all.extend([
        translated(
            class,
            "SELECT is refused",
            Trouble::at("SELECT", "$T NO gone\r\n", GoesOn),
            &[],
        ),
        translated(
            class,
            "a message is gone",
            Trouble::at("BODY", "$T OK done\r\n", GoesOn),
            &["RETR 1"],
        ),
        translated(
            class,
            "NO to a FETCH",
            Trouble::at("BODY", "$T NO broken\r\n", GoesOn),
            &["RETR 1"],
        ),
        translated(
            class,
            "a message is cut off",
            Trouble::at(
                "BODY",
                "* 1 FETCH (UID 1 BODY[] {100}\r\nhalf of it\r\n",
                Closes,
            ),
            &["RETR 1"],
        ),
        translated(
            class,
            "another message than asked for",
            Trouble::at(
                "BODY",
                "* 1 FETCH (UID 9 BODY[] {3}\r\nabc)\r\n$T OK done\r\n",
                GoesOn,
            ),
            &["RETR 1"],
        ),
        losing(translated(
            class,
            "BYE in a session",
            Trouble::at("BODY", "* BYE maintenance\r\n", Closes),
            &["RETR 1"],
        )),
    ]);
    all
}
