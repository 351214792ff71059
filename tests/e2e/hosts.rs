//! The same round of IMAP and POP3 on each server there is: Dovecot, Courier, Cyrus, GNU Mailutils,
//! pymap, popa3d, and the built-in store.

use crate::support::gateway::Settings;
use crate::support::imap::{Way, literals};
use crate::support::legacy::Kind;
use crate::support::mail::{crlf, message};
use crate::support::need::{DOVECOT, all_there, needs};
use crate::support::pop3::{Way as PopWay, unstuffed};
use crate::support::stage::both;
use crate::support::users::{User, WRONG};
use crate::support::{ALICE, Gateway, Imap, Pop3, Scratch, Stage, pki::Pki};

#[test]
fn dovecot() {
    needs!(DOVECOT);
    let stage = Stage::new();
    imap_round(&stage.gateway, ALICE);
    pop3_round(&stage.gateway, ALICE);
}

#[test]
fn demo() {
    let scratch = Scratch::new();
    let gateway = Gateway::to("demo://", &scratch, &Pki::new(&scratch));
    let user = User {
        name: "demo",
        password: "demo",
    };
    imap_round(&gateway, user);
    pop3_round(&gateway, user);
}

#[test]
fn courier() {
    translated(Kind::Courier);
}

#[test]
fn courier_relayed() {
    relayed(Kind::Courier);
}

#[test]
fn cyrus() {
    translated(Kind::Cyrus);
}

#[test]
fn cyrus_relayed() {
    relayed(Kind::Cyrus);
}

#[test]
fn mailutils() {
    translated(Kind::Mailutils);
}

#[test]
fn mailutils_relayed() {
    relayed(Kind::Mailutils);
}

#[test]
fn pymap() {
    translated(Kind::Pymap);
}

/// IMAP is relayed, POP3 made from it.
fn translated(kind: Kind) {
    if !all_there(kind.needs()) {
        return;
    }
    let scratch = Scratch::new();
    let server = kind.start(&scratch);
    let url = format!("imap://127.0.0.1:{}", server.imap);
    let gateway = Gateway::to(url, &scratch, &Pki::new(&scratch));
    imap_round(&gateway, ALICE);
    pop3_round(&gateway, ALICE);
}

/// POP3 is relayed to the server's own.
fn relayed(kind: Kind) {
    if !all_there(kind.needs()) {
        return;
    }
    let scratch = Scratch::new();
    let server = kind.start(&scratch);
    server.deliver(&messages());
    let gateway = Gateway::to(
        both(server.imap, server.pop3),
        &scratch,
        &Pki::new(&scratch),
    );
    pop3_relay_round(&gateway, server.pop3, messages().len());
}

/// A server that knows neither CAPA nor AUTH nor SASL.
#[test]
fn popa3d() {
    if !all_there(Kind::Popa3d.needs()) {
        return;
    }
    let scratch = Scratch::new();
    let mut mbox = Vec::new();
    for message in messages() {
        mbox.extend_from_slice(b"From ann@example.org Sat Nov 21 10:00:00 2026\n");
        mbox.extend(message.iter().filter(|&&octet| octet != b'\r'));
        mbox.push(b'\n');
    }
    scratch.write("mbox", mbox);
    let server = Kind::Popa3d.start(&scratch);
    let host = format!(
        "{{ hosts: [{{ name: old, pop3: \"pop3://127.0.0.1:{}\" }}] }}",
        server.pop3
    );
    let gateway = Settings::to(host).start(&scratch, &Pki::new(&scratch));
    pop3_relay_round(&gateway, server.pop3, messages().len());
}

/// What every server takes: ASCII headers, CRLF line ends.
fn messages() -> Vec<Vec<u8>> {
    [
        message("first", b"Hello.\n"),
        message("dots", b".\n..\n.x\n\n.\n"),
        message("eight bit", "ünïcödé €\n".as_bytes()),
        message(
            "large",
            &b".a line of some length, to be many\n".repeat(10_000),
        ),
        message("last", b"Bye.\n"),
    ]
    .iter()
    .map(|octets| crlf(octets))
    .collect()
}

/// Login by every way, APPEND, FETCH, flags, deletion.
fn imap_round(gateway: &Gateway, user: User) {
    for way in crate::support::imap::WAYS {
        let mut imap = Imap::plain(gateway.ports.imap);
        // Some think for seconds about a wrong password: once is enough.
        if way == Way::LoginQuoted {
            imap.login(way, user.name, WRONG).no("AUTHENTICATIONFAILED");
        }
        let answer = imap.login(way, user.name, user.password);
        assert!(answer.status.starts_with("OK"), "{way:?}: {answer:?}");
        imap.command("NOOP").ok();
        let bye = imap.command("LOGOUT").ok().text();
        assert!(bye.contains("* BYE"), "{bye}");
        assert_eq!(imap.conn.rest(), b"");
    }
    let mut imap = Imap::tls(gateway.ports.imaps);
    imap.login(Way::PlainInitial, user.name, user.password).ok();
    imap.command("SELECT INBOX").ok();
    let before = imap.uids();
    // GNU Mailutils writes the mailbox back as it was when this session found it.
    imap.command("LOGOUT").ok();
    imap.conn.rest();
    append(gateway, user);
    let mut imap = Imap::tls(gateway.ports.imaps);
    imap.login(Way::PlainInitial, user.name, user.password).ok();
    imap.command("SELECT INBOX").ok();
    let new: Vec<u32> = imap
        .uids()
        .into_iter()
        .filter(|uid| !before.contains(uid))
        .collect();
    assert_eq!(new.len(), messages().len());
    for (&uid, message) in new.iter().zip(&messages()) {
        let got = imap.fetch(uid);
        assert!(mail(&got) == *message, "UID {uid}");
        let part = imap
            .command(&format!("UID FETCH {uid} BODY.PEEK[]<10.20>"))
            .ok();
        assert_eq!(literals(&part.untagged).pop().unwrap(), got[10..30]);
    }
    let capabilities = imap.command("CAPABILITY").ok().text();
    if capabilities.contains("IDLE") {
        let tag = imap.tag();
        imap.conn.send(format!("{tag} IDLE\r\n"));
        assert!(imap.invited(&tag).is_none());
        imap.conn.send("DONE\r\n");
        imap.answer(&tag).ok();
    }
    for uid in &new {
        imap.command(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"))
            .ok();
    }
    imap.command("EXPUNGE").ok();
    assert_eq!(imap.uids(), before);
    imap.command("LOGOUT").ok();
}

/// One session each: GNU Mailutils loses the second of two messages appended in one.
fn append(gateway: &Gateway, user: User) {
    for message in messages() {
        let mut imap = Imap::logged_in(gateway.ports.imap, user);
        imap.command_with_literal("APPEND INBOX", &message).ok();
        imap.command("LOGOUT").ok();
        imap.conn.rest();
    }
}

/// A message without the header lines by which GNU Mailutils keeps its notes in an mbox.
fn mail(octets: &[u8]) -> Vec<u8> {
    let notes: [&[u8]; 3] = [b"X-UID:", b"X-IMAPbase:", b"Status:"];
    octets
        .split_inclusive(|&octet| octet == b'\n')
        .filter(|line| !notes.iter().any(|note| line.starts_with(note)))
        .flatten()
        .copied()
        .collect()
}

/// A maildrop made from IMAP: read whole, two deleted, the rest left.
fn pop3_round(gateway: &Gateway, user: User) {
    for way in crate::support::pop3::WAYS {
        let mut pop3 = Pop3::plain(gateway.ports.pop3);
        if way == PopWay::UserPass {
            let line = pop3.login(way, user.name, WRONG);
            assert!(line.starts_with("-ERR [AUTH]"), "{way:?}: {line}");
        }
        let line = pop3.login(way, user.name, user.password);
        assert!(line.starts_with("+OK"), "{way:?}: {line}");
        pop3.ok("QUIT");
        assert_eq!(pop3.conn.rest(), b"");
    }
    append(gateway, user);
    let mut pop3 = Pop3::tls(gateway.ports.pop3s);
    let line = pop3.login(PopWay::PlainInitial, user.name, user.password);
    assert!(line.starts_with("+OK"), "{line}");
    let list = pop3.lines("LIST");
    let uidl = pop3.lines("UIDL");
    assert_eq!(list.len(), uidl.len());
    let all = list.len();
    let first = all - messages().len();
    assert!(pop3.ok("STAT").starts_with(&format!("{all} ")));
    for (n, message) in (first + 1..).zip(&messages()) {
        let got = unstuffed(&pop3.multi(&format!("RETR {n}")));
        assert!(mail(&got) == *message, "RETR {n}");
        let size = got.len();
        assert_eq!(pop3.ok(&format!("LIST {n}")), format!("{n} {size}"));
        let end = got.windows(4).position(|four| four == b"\r\n\r\n");
        let head = unstuffed(&pop3.multi(&format!("TOP {n} 0")));
        assert!(head == got[..end.unwrap() + 4], "TOP {n} 0");
    }
    pop3.ok(&format!("DELE {}", first + 2));
    pop3.ok(&format!("DELE {}", first + 4));
    pop3.ok("QUIT");
    assert_eq!(pop3.conn.rest(), b"");

    // The unique ids of what is left are what they were.
    let mut pop3 = Pop3::logged_in(gateway.ports.pop3, user);
    let id = |line: &String| line.split(' ').nth(1).unwrap().to_owned();
    let mut want: Vec<String> = uidl.iter().map(id).collect();
    want.remove(first + 3);
    want.remove(first + 1);
    let got: Vec<String> = pop3.lines("UIDL").iter().map(id).collect();
    assert_eq!(got, want);
    for n in first + 1..=want.len() {
        pop3.ok(&format!("DELE {n}"));
    }
    pop3.ok("QUIT");
    let mut pop3 = Pop3::logged_in(gateway.ports.pop3, user);
    assert!(pop3.ok("STAT").starts_with(&format!("{first} ")));
    pop3.ok("QUIT");
}

/// A relayed session is the server's own: the same octets as straight from it.
fn pop3_relay_round(gateway: &Gateway, port: u16, count: usize) {
    let mut straight = Pop3::logged_in(port, ALICE);
    let list = straight.lines("LIST");
    let uidl = straight.multi("UIDL");
    let all: Vec<Vec<u8>> = (1..=count)
        .map(|n| mail(&straight.multi(&format!("RETR {n}"))))
        .collect();
    straight.ok("QUIT");
    // Some lock the maildrop; its end must be seen before it can be opened again.
    straight.conn.rest();
    for way in crate::support::pop3::WAYS {
        let mut pop3 = Pop3::tls(gateway.ports.pop3s);
        if way == PopWay::UserPass {
            let line = pop3.login(way, ALICE.name, WRONG);
            assert!(line.starts_with("-ERR [AUTH]"), "{way:?}: {line}");
        }
        let line = pop3.login(way, ALICE.name, ALICE.password);
        assert!(line.starts_with("+OK"), "{way:?}: {line}");
        // GNU Mailutils writes what was read into the mailbox: the sizes are not the same.
        assert_eq!(pop3.lines("LIST").len(), list.len());
        assert_eq!(pop3.multi("UIDL"), uidl);
        for (n, message) in (1..).zip(&all) {
            let got = pop3.multi(&format!("RETR {n}"));
            assert!(mail(&got) == *message, "RETR {n}");
        }
        pop3.ok("QUIT");
        assert_eq!(pop3.conn.rest(), b"");
    }
    let mut pop3 = Pop3::logged_in(gateway.ports.pop3, ALICE);
    pop3.ok("DELE 1");
    pop3.ok("QUIT");
    pop3.conn.rest();
    let mut straight = Pop3::logged_in(port, ALICE);
    assert!(straight.ok("STAT").starts_with(&format!("{} ", count - 1)));
    straight.ok("QUIT");
}
