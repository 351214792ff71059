//! TLS on both sides: from the first byte and by STARTTLS/STLS towards clients, the same towards
//! hosts, with certificates checked.

use crate::support::gateway::Settings;
use crate::support::imap::Way;
use crate::support::mail::{crlf, crlf_ended, mailbox};
use crate::support::need::{DOVECOT, needs};
use crate::support::pop3::unstuffed;
use crate::support::{ALICE, BOB, Imap, Pop3, Stage};

#[test]
fn starttls() {
    needs!(DOVECOT);
    let stage = Stage::new();
    let mut imap = Imap::plain(stage.gateway.ports.imap_strict);
    let before = imap.command("CAPABILITY").ok().text();
    assert!(before.contains(" STARTTLS"), "{before}");
    assert!(before.contains(" LOGINDISABLED"), "{before}");
    assert!(!before.contains("AUTH="), "{before}");
    imap.login(Way::LoginQuoted, ALICE.name, ALICE.password)
        .no("PRIVACYREQUIRED");
    imap.start_tls();
    let after = imap.command("CAPABILITY").ok().text();
    assert!(!after.contains("STARTTLS"), "{after}");
    assert!(!after.contains("LOGINDISABLED"), "{after}");
    assert!(after.contains(" AUTH=PLAIN"), "{after}");
    imap.login(Way::LoginQuoted, ALICE.name, ALICE.password)
        .ok();
    imap.command("SELECT INBOX").ok();
}

#[test]
fn stls() {
    needs!(DOVECOT);
    let stage = Stage::new();
    let mut pop3 = Pop3::plain(stage.gateway.ports.pop3_strict);
    let before = pop3.lines("CAPA");
    assert!(before.iter().any(|line| line == "STLS"), "{before:?}");
    let login = |line: &String| line == "USER" || line.starts_with("SASL");
    assert!(!before.iter().any(login), "{before:?}");
    let answer = pop3.login(
        crate::support::pop3::Way::UserPass,
        ALICE.name,
        ALICE.password,
    );
    assert!(answer.starts_with("-ERR [AUTH]"), "{answer}");
    pop3.start_tls();
    let after = pop3.lines("CAPA");
    assert!(!after.iter().any(|line| line == "STLS"), "{after:?}");
    assert!(after.iter().any(|line| line == "USER"), "{after:?}");
    pop3.ok(&format!("USER {}", ALICE.name));
    pop3.ok(&format!("PASS {}", ALICE.password));
    pop3.ok("STAT");
    pop3.ok("QUIT");
}

#[test]
fn bytes_sent_behind_starttls_never_act() {
    needs!(DOVECOT);
    let stage = Stage::new();
    let mut imap = Imap::plain(stage.gateway.ports.imap_strict);
    imap.conn.send(format!(
        "a1 STARTTLS\r\na2 LOGIN {} {}\r\n",
        BOB.name, BOB.password
    ));
    imap.answer("a1").ok();
    imap.conn.start_tls();
    imap.conn.send("a3 SELECT INBOX\r\n");
    let answer = imap.answer("a3");
    assert!(answer.status.starts_with("BAD"), "{}", answer.status);

    let mut pop3 = Pop3::plain(stage.gateway.ports.pop3_strict);
    pop3.conn.send(format!("STLS\r\nUSER {}\r\n", BOB.name));
    assert!(pop3.conn.text().starts_with("+OK"));
    pop3.conn.start_tls();
    pop3.err(&format!("PASS {}", BOB.password));
}

#[test]
fn from_the_first_byte_on_both_sides() {
    needs!(DOVECOT);
    let endpoint = "imaps";
    all_of_it(endpoint, None);
}

#[test]
fn starttls_towards_the_host() {
    needs!(DOVECOT);
    all_of_it("imap+starttls", None);
}

#[test]
fn pop3s_towards_the_host() {
    needs!(DOVECOT);
    all_of_it("imaps", Some("pop3s"));
}

#[test]
fn stls_towards_the_host() {
    needs!(DOVECOT);
    all_of_it("imap+starttls", Some("pop3+starttls"));
}

/// Mail by IMAP and POP3, the host's certificate checked against our authority.
fn all_of_it(imap: &str, pop3: Option<&str>) {
    let messages = mailbox(14);
    let stage = Stage::with(|dovecot, pki| {
        let port = |scheme: &str| match scheme {
            "imaps" => dovecot.imaps,
            "imap+starttls" => dovecot.imap,
            "pop3s" => dovecot.pop3s,
            _ => dovecot.pop3,
        };
        let mut endpoints = format!("imap: \"{imap}://localhost:{}\"", port(imap));
        if let Some(pop3) = pop3 {
            endpoints += &format!(", pop3: \"{pop3}://localhost:{}\"", port(pop3));
        }
        Settings::to(format!(
            "{{ hosts: [{{ name: store, {endpoints} }}], tls: {{ ca: \"{}\" }} }}",
            pki.ca.display()
        ))
    })
    .delivered(ALICE, &messages);
    let mut imap = Imap::tls(stage.gateway.ports.imaps);
    imap.login(Way::LoginLiteral, ALICE.name, ALICE.password)
        .ok();
    imap.command("SELECT INBOX").ok();
    let mut pop3 = Pop3::tls(stage.gateway.ports.pop3s);
    pop3.ok(&format!("USER {}", ALICE.name));
    pop3.ok(&format!("PASS {}", ALICE.password));
    for (n, message) in (1..).zip(&messages) {
        assert!(imap.fetch(n) == crlf(message), "IMAP {n}");
        let got = pop3.multi(&format!("RETR {n}"));
        // Dovecot's own POP3 does not stuff a dot that is the first octet of all.
        if !message.starts_with(b".") {
            assert!(unstuffed(&got) == crlf_ended(message), "POP3 {n}");
        }
    }
    imap.command("LOGOUT").ok();
    pop3.ok("QUIT");
}

#[test]
fn without_a_certificate_one_is_made() {
    let scratch = crate::support::Scratch::new();
    let pki = crate::support::pki::Pki::new(&scratch);
    let mut gateway = Settings::to("demo://")
        .without_certificate()
        .start(&scratch, &pki);
    let mut imap = Imap::tls(gateway.ports.imaps);
    imap.login(Way::LoginQuoted, "demo", "demo").ok();
    gateway.logged(&["warning", "self-signed"]);
}
