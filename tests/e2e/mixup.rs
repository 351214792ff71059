//! Many users at once, each with a host of their own: what a user shows reaches that user's host, and
//! no other; and what a user is shown comes from there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::gateway::Settings;
use crate::support::imap::Way;
use crate::support::pop3::Way as PopWay;
use crate::support::{Imap, Pop3, Scratch, pki::Pki, scripted};

const USERS: usize = 12;
const ROUNDS: usize = 8;

/// What a host has heard: who logged in, with which password.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// The one message of a host says which one it is.
fn message(n: usize) -> String {
    format!("Subject: the mail of host {n}\r\n\r\nhost {n}\r\n")
}

/// An IMAP host that takes every login, names itself in its NOOP and has a message.
fn imap_host(n: usize, seen: Seen) -> u16 {
    scripted::imap("[CAPABILITY IMAP4rev1 LITERAL+] here", move |command| {
        let message = message(n);
        let size = message.len();
        let untagged = match (command.verb, command.rest.to_ascii_uppercase()) {
            ("LOGIN", _) => {
                let (name, password) = command.rest.split_once(' ').unwrap();
                let shown = |word: &str| word.replace('"', "");
                seen.lock().unwrap().push((shown(name), shown(password)));
                String::new()
            }
            ("CAPABILITY", _) => "* CAPABILITY IMAP4rev1 LITERAL+\r\n".to_owned(),
            ("NOOP", _) => format!("* OK [host{n}] here\r\n"),
            ("SELECT", _) => {
                "* 1 EXISTS\r\n* OK [UIDVALIDITY 1] v\r\n* OK [UIDNEXT 2] n\r\n".to_owned()
            }
            ("STATUS", _) => "* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 1)\r\n".to_owned(),
            ("UID", rest) if rest.contains("BODY") => {
                format!("* 1 FETCH (UID 1 BODY[] {{{size}}}\r\n{message})\r\n")
            }
            ("UID", _) => format!("* 1 FETCH (UID 1 RFC822.SIZE {size} FLAGS ())\r\n"),
            _ => String::new(),
        };
        format!("{untagged}{} OK done\r\n", command.tag)
    })
}

/// A POP3 host with the same message.
fn pop3_host(n: usize, seen: Seen) -> u16 {
    scripted::host(move |mut stream| {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let _ = stream.write_all(b"+OK here\r\n");
        let mut name = String::new();
        for line in lines.map_while(Result::ok) {
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let answer = match verb {
                "CAPA" => "+OK\r\nUSER\r\n.\r\n".to_owned(),
                "RETR" => format!("+OK\r\n{}.\r\n", message(n)),
                "USER" => {
                    rest.clone_into(&mut name);
                    "+OK\r\n".to_owned()
                }
                "PASS" => {
                    let shown = (name.clone(), rest.to_owned());
                    seen.lock().unwrap().push(shown);
                    "+OK\r\n".to_owned()
                }
                _ => "+OK\r\n".to_owned(),
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

#[test]
fn every_users_login_reaches_that_users_host_only() {
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let mut settings = Settings::new().limits("per_user: 1000, per_user_ip: 1000, per_ip: 1000");
    let mut hosts = Vec::new();
    for n in 0..USERS {
        let seen = Seen::default();
        let imap = imap_host(n, seen.clone());
        // POP3 is translated for some users, relayed for others.
        let relayed = match n % 2 {
            0 => String::new(),
            _ => {
                let pop3 = pop3_host(n, seen.clone());
                format!(", pop3: \"pop3://127.0.0.1:{pop3}\"")
            }
        };
        let backend = format!("host{n}");
        settings = settings
            .backend(
                &backend,
                format!("{{ hosts: [{{ name: h{n}, imap: \"imap://127.0.0.1:{imap}\"{relayed} }}], health: none }}"),
            )
            .user(&format!("user{n}@mixup.example"), &backend);
        hosts.push(seen);
    }
    let gateway = settings.start(&scratch, &pki);
    let ports = gateway.ports;
    let users = (0..USERS).map(|n| {
        thread::spawn(move || {
            // Names differ in case from visit to visit: the map does not mind, nor may anything else.
            let names = [
                format!("user{n}@mixup.example"),
                format!("USER{n}@Mixup.Example"),
            ];
            let password = format!("secret-of-{n}-");
            let own = format!("* OK [host{n}] here\r\n");
            for round in 0..ROUNDS {
                let name = &names[round % 2];
                let mut imap = Imap::plain(ports.imap);
                imap.login(Way::LoginQuoted, name, &password).ok();
                let mut pop3 = Pop3::plain(ports.pop3);
                let said = pop3.login(PopWay::UserPass, name, &password);
                assert!(said.starts_with("+OK"), "{said}");
                let noop = imap.command("NOOP");
                assert_eq!(String::from_utf8_lossy(&noop.untagged), own, "user {n}");
                let mail = String::from_utf8(pop3.multi("RETR 1")).unwrap();
                assert_eq!(mail, format!("{}.\r\n", message(n)), "user {n}");
                pop3.ok("QUIT");
                imap.command("LOGOUT").ok();
            }
        })
    });
    let users: Vec<_> = users.collect();
    users.into_iter().for_each(|user| user.join().unwrap());
    for (n, seen) in hosts.iter().enumerate() {
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2 * ROUNDS, "host {n}: {seen:?}");
        let (name, password) = (format!("user{n}@mixup.example"), format!("secret-of-{n}-"));
        for (shown, secret) in seen.iter() {
            assert!(
                shown.eq_ignore_ascii_case(&name) && *secret == password,
                "host {n}: {shown} {secret}"
            );
        }
    }
}
