//! Hosts that lie about the login, and clients that smuggle: no credential leaves, and the client gets
//! the reply that its failure has. Users told apart by no word are in `failures`, logins that reach
//! one host only in `mixup`, PROXY headers in `proxy_protocol`, octets behind the client's own STARTTLS
//! in `tls`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::gateway::Settings;
use crate::support::imap::Way;
use crate::support::pop3::Way as PopWay;
use crate::support::users::ANYBODYS;
use crate::support::{Gateway, Imap, Pop3, Scratch, pki::Pki, scripted};

/// Beyond ASCII: where a host has no SASL it goes by a literal.
const PASSWORD: &str = crate::support::users::ANYBODYS_UTF_8;

/// What a host says to a command, by its verb: `$T` is the command's tag, `$N` the one that would come
/// next if tags were counted.
type Answers = &'static [(&'static str, &'static str)];

/// A host that is not what it should be.
struct Liar {
    name: &'static str,
    scheme: &'static str,
    greeting: &'static str,
    answers: Answers,
    /// The codes for an IMAP and for a POP3 client; a POP3 host has no IMAP clients.
    told: (&'static str, &'static str),
}

const BUG: (&str, &str) = ("SERVERBUG", "SYS/PERM");
const SETUP: (&str, &str) = ("CONTACTADMIN", "SYS/PERM");
const DOWN: (&str, &str) = ("UNAVAILABLE", "SYS/TEMP");

/// Response injection, and hosts that are somebody else.
const INJECTIONS: &[Liar] = &[
    liar("preauth", "imap", "* PREAUTH welcome\r\n", &[], BUG),
    liar("bye", "imap", "* BYE go away\r\n", &[], DOWN),
    liar("smtp", "imap", "220 mx ESMTP\r\n", &[], BUG),
    liar("pop", "imap", "+OK here\r\n", &[], BUG),
    liar(
        "tls-stripped",
        "imap+starttls",
        "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] in clear\r\n",
        &[("STARTTLS", "$T BAD unknown\r\n")],
        SETUP,
    ),
    liar(
        "tls-refused",
        "imap+starttls",
        "* OK [CAPABILITY IMAP4rev1 STARTTLS] x\r\n",
        &[("STARTTLS", "$T NO not today\r\n")],
        SETUP,
    ),
    liar(
        "tls-preauth",
        "imap+starttls",
        "* PREAUTH no TLS for you\r\n",
        &[],
        BUG,
    ),
    liar(
        "tls-injected",
        "imap+starttls",
        "* OK [CAPABILITY IMAP4rev1 STARTTLS] x\r\n",
        &[(
            "STARTTLS",
            "$T OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
        )],
        BUG,
    ),
    liar("imap-for-pop", "pop3", "* OK IMAP4rev1\r\n", &[], BUG),
    liar("pop-closed", "pop3", "-ERR go away\r\n", &[], DOWN),
    liar(
        "stls-refused",
        "pop3+starttls",
        "+OK here\r\n",
        &[("STLS", "-ERR what\r\n")],
        SETUP,
    ),
    liar(
        "stls-injected",
        "pop3+starttls",
        "+OK here\r\n",
        &[("STLS", "+OK go\r\n+OK\r\nSASL PLAIN\r\n.\r\n")],
        BUG,
    ),
];

/// Answers that come before the question.
const PREMATURE: &[Liar] = &[
    liar(
        "guessed",
        "imap",
        "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] x\r\na OK in\r\nA1 OK in\r\nL OK in\r\n1 OK in\r\n",
        &[],
        BUG,
    ),
    liar(
        "counted",
        "imap",
        "* OK x\r\n",
        &[(
            "CAPABILITY",
            "* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\n$T OK done\r\n$N OK in\r\n",
        )],
        BUG,
    ),
    liar(
        "before-the-literal",
        "imap",
        "* OK [CAPABILITY IMAP4rev1] x\r\n",
        &[("LOGIN", "$T OK in\r\n")],
        BUG,
    ),
    liar(
        "before-the-message",
        "imap",
        "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] x\r\n",
        &[("AUTHENTICATE", "$T OK in\r\n")],
        BUG,
    ),
    liar(
        "pop-before",
        "pop3",
        "+OK here\r\n+OK\r\n.\r\n+OK\r\n+OK in\r\n",
        &[],
        BUG,
    ),
    liar(
        "pop-before-pass",
        "pop3",
        "+OK here\r\n",
        &[("CAPA", "-ERR\r\n"), ("USER", "+OK\r\n+OK in\r\n")],
        BUG,
    ),
];

const fn liar(
    name: &'static str,
    scheme: &'static str,
    greeting: &'static str,
    answers: Answers,
    told: (&'static str, &'static str),
) -> Liar {
    Liar {
        name,
        scheme,
        greeting,
        answers,
        told,
    }
}

/// Octets that a host has heard, over all connections.
type Heard = Arc<Mutex<Vec<u8>>>;

impl Liar {
    fn start(&self) -> (u16, Heard) {
        let (greeting, answers) = (self.greeting, self.answers);
        let heard = Heard::default();
        let hears = heard.clone();
        let port = scripted::host(move |mut stream| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let _ = stream.write_all(greeting.as_bytes());
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                hears.lock().unwrap().extend_from_slice(&line);
                let said = String::from_utf8_lossy(&line).into_owned();
                line.clear();
                let mut words = said.split_whitespace();
                let (first, second) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
                let verb = |verb: &str| [first, second].contains(&verb);
                let Some((_, words)) = answers.iter().find(|answer| verb(answer.0)) else {
                    continue;
                };
                let words = words.replace("$T", first).replace("$N", &next(first));
                // One segment: what comes too early comes together with what is due.
                if stream.write_all(words.as_bytes()).is_err() {
                    return;
                }
            }
        });
        (port, heard)
    }

    fn speaks_imap(&self) -> bool {
        self.scheme.starts_with("imap")
    }
}

/// A tag, its last character counted on.
fn next(tag: &str) -> String {
    let mut tag = tag.to_owned();
    let last = tag.pop().unwrap_or('0');
    tag.push(char::from_u32(u32::from(last) + 1).unwrap());
    tag
}

/// Every form in which a login could be found in what was sent.
fn forms(user: &str) -> Vec<Vec<u8>> {
    vec![
        PASSWORD.as_bytes().to_vec(),
        STANDARD.encode(PASSWORD).into_bytes(),
        STANDARD
            .encode(format!("\0{user}\0{PASSWORD}"))
            .into_bytes(),
    ]
}

fn holds(octets: &[u8], form: &[u8]) -> bool {
    octets.windows(form.len()).any(|window| window == form)
}

/// Each client has a host of its own: what one has shown of itself, the next login goes by.
fn lies(liars: &[Liar]) {
    let scratch = Scratch::new();
    let mut settings = Settings::new().limits("logins_per_session: 100");
    let mut plays = Vec::new();
    for liar in liars {
        for client in ["imap", "pop3"] {
            let host = if liar.speaks_imap() { "imap" } else { "pop3" };
            if (client, host) == ("imap", "pop3") {
                continue;
            }
            let (port, heard) = liar.start();
            let user = format!("{}-by-{client}", liar.name);
            let url = format!("{}://127.0.0.1:{port}", liar.scheme);
            let backend = format!(
                "{{ hosts: [{{ name: h, {host}: \"{url}\" }}], tls: {{ verify: false }}, \
                 greeting_timeout: 60s, retry_for: 0s, health: none }}"
            );
            settings = settings.backend(&user, backend).user(&user, &user);
            plays.push((liar, client, user, heard));
        }
    }
    let mut gateway = settings.start(&scratch, &Pki::new(&scratch));
    let ports = gateway.ports;
    for (liar, client, user, heard) in plays {
        let (imap_code, pop3_code) = liar.told;
        match client {
            "imap" => {
                let mut imap = Imap::plain(ports.imap);
                imap.login(Way::PlainInitial, &user, PASSWORD).no(imap_code);
                imap.command("NOOP").ok();
            }
            _ => {
                let mut pop3 = Pop3::plain(ports.pop3);
                let answer = pop3.login(PopWay::Plain, &user, PASSWORD);
                let want = format!("-ERR [{pop3_code}]");
                assert!(answer.starts_with(&want), "{user}: {answer}");
                pop3.ok("NOOP");
            }
        }
        let (who, result) = (format!("user={user} "), format!("result={imap_code}"));
        gateway.logged(&["event=login", &who, &result]);
        let octets = heard.lock().unwrap().clone();
        assert!(
            !forms(&user).iter().any(|form| holds(&octets, form)),
            "{user}: its host has heard the password: {}",
            octets.escape_ascii()
        );
    }
}

#[test]
fn a_host_that_injects_or_is_another_hears_no_password() {
    lies(INJECTIONS);
}

#[test]
fn an_answer_before_its_question_lets_nobody_in() {
    lies(PREMATURE);
}

/// Names, passwords and tokens that would be a second command for a host.
#[test]
fn what_would_be_a_second_command_is_shown_to_no_host() {
    let connections = Arc::new(Mutex::new(0));
    let counted = connections.clone();
    let port = scripted::host(move |mut stream| {
        *counted.lock().unwrap() += 1;
        let _ = stream.write_all(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] x\r\n");
    });
    let scratch = Scratch::new();
    let gateway = Settings::to(format!(
        "{{ hosts: [\"imap://127.0.0.1:{port}\"], health: none }}"
    ))
    .limits("bad_commands: 1000, logins_per_session: 1000")
    .start(&scratch, &Pki::new(&scratch));
    imap_smuggles(&gateway);
    pop3_smuggles(&gateway);
    assert_eq!(*connections.lock().unwrap(), 0, "the host was asked");
    // One line a login: what was typed has broken none.
    let log = gateway.log();
    assert!(
        !log.lines().any(|line| line.starts_with("x LOGOUT")),
        "{log}"
    );
}

/// Octets no name, password or token may hold.
const CONTROLS: [&str; 5] = ["\r\n", "\n", "\r", "\0", "\x7f"];

fn imap_smuggles(gateway: &Gateway) {
    let mut imap = Imap::plain(gateway.ports.imap);
    for control in CONTROLS {
        let bad = format!("ann{control}x LOGOUT");
        for (name, password) in [(bad.as_str(), ANYBODYS), ("ann", bad.as_str())] {
            // By literals, which may hold what a line cannot; NUL may stand in neither.
            if control != "\0" {
                let tag = imap.tag();
                imap.conn
                    .send(format!("{tag} LOGIN {{{}}}\r\n", name.len()));
                assert!(imap.invited(&tag).is_none());
                imap.conn.send(format!("{name} {{{}}}\r\n", password.len()));
                assert!(imap.invited(&tag).is_none());
                imap.conn.send(format!("{password}\r\n"));
                imap.answer(&tag).no("AUTHENTICATIONFAILED");
            }
            let plain = STANDARD.encode(format!("\0{name}\0{password}"));
            imap.command(&format!("AUTHENTICATE PLAIN {plain}"))
                .no("AUTHENTICATIONFAILED");
            let (name, password) = (STANDARD.encode(name), STANDARD.encode(password));
            let tag = imap.tag();
            imap.conn
                .send(format!("{tag} AUTHENTICATE LOGIN {name}\r\n"));
            assert!(imap.invited(&tag).is_none());
            imap.conn.send(format!("{password}\r\n"));
            imap.answer(&tag).no("AUTHENTICATIONFAILED");
        }
        for token in [
            format!("user={bad}\x01auth=Bearer token\x01\x01"),
            format!("user=ann\x01auth=Bearer {bad}\x01\x01"),
        ] {
            let token = STANDARD.encode(token);
            imap.command(&format!("AUTHENTICATE XOAUTH2 {token}"))
                .no("AUTHENTICATIONFAILED");
        }
    }
    // Another's identity is no better.
    let plain = STANDARD.encode("root\0ann\0secret");
    imap.command(&format!("AUTHENTICATE PLAIN {plain}"))
        .no("AUTHENTICATIONFAILED");
}

fn pop3_smuggles(gateway: &Gateway) {
    let mut pop3 = Pop3::plain(gateway.ports.pop3);
    for control in CONTROLS {
        let bad = format!("ann{control}x LOGOUT");
        for (name, password) in [(bad.as_str(), ANYBODYS), ("ann", bad.as_str())] {
            let plain = STANDARD.encode(format!("\0{name}\0{password}"));
            let answer = pop3.command(&format!("AUTH PLAIN {plain}"));
            assert!(answer.starts_with("-ERR [AUTH]"), "{control:?}: {answer}");
        }
        let token = STANDARD.encode(format!("n,a=ann,\x01auth=Bearer {bad}\x01\x01"));
        let answer = pop3.command(&format!("AUTH OAUTHBEARER {token}"));
        assert!(answer.starts_with("-ERR [AUTH]"), "{control:?}: {answer}");
    }
    // What a line can hold of it.
    pop3.ok("USER ann");
    let answer = pop3.command("PASS sec\x07ret");
    assert!(answer.starts_with("-ERR [AUTH]"), "{answer}");
}
