//! POP3 made from Dovecot's IMAP, compared octet for octet with Dovecot's own POP3 on the same
//! mailbox, and what QUIT deletes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::reload::Play;
use crate::support::exchanges::Exchanges;
use crate::support::gateway::{Gateway, Settings};
use crate::support::mail::{crlf_ended, mailbox, samples};
use crate::support::need::{DOVECOT, needs};
use crate::support::pki::Pki;
use crate::support::pop3::{Way, unstuffed};
use crate::support::scratch::own;
use crate::support::{ALICE, BOB, Dovecot, Pop3, Scratch, Stage, scripted};

/// Dovecot's own POP3 does not stuff a dot that is the very first octet of a message.
fn first_octet_is_a_dot(message: &[u8]) -> bool {
    message.starts_with(b".")
}

#[test]
fn every_octet_is_as_dovecot_sends_it() {
    needs!(DOVECOT);
    let messages = mailbox(64);
    let stage = Stage::new().delivered(ALICE, &messages);
    let mut native = Pop3::logged_in(stage.dovecot.pop3, ALICE);
    let mut ours = Pop3::logged_in(stage.gateway.ports.pop3, ALICE);

    assert_eq!(ours.ok("STAT"), native.ok("STAT"));
    assert_eq!(ours.lines("LIST"), native.lines("LIST"));
    assert_eq!(ours.lines("UIDL"), native.lines("UIDL"));
    assert_eq!(ours.ok("LIST 7"), native.ok("LIST 7"));
    assert_eq!(ours.ok("UIDL 7"), native.ok("UIDL 7"));

    let what: Vec<&str> = samples().iter().map(|sample| sample.what).collect();
    for (n, message) in (1..).zip(&messages) {
        let what = what.get(n - 1).unwrap_or(&"ordinary");
        let got = ours.multi(&format!("RETR {n}"));
        same(
            &unstuffed(&got),
            &crlf_ended(message),
            &format!("RETR {n} ({what}) and the mailbox file"),
        );
        if first_octet_is_a_dot(message) {
            continue;
        }
        let theirs = native.multi(&format!("RETR {n}"));
        same(&got, &theirs, &format!("RETR {n} ({what})"));
        for lines in [0, 1, 2, 10, 1_000_000] {
            let command = format!("TOP {n} {lines}");
            let (got, theirs) = (ours.multi(&command), native.multi(&command));
            same(&got, &theirs, &format!("{command} ({what})"));
        }
    }
    ours.ok("QUIT");
    assert_eq!(ours.conn.rest(), b"");
}

#[test]
fn over_tls_and_in_many_small_sessions() {
    needs!(DOVECOT);
    let messages = mailbox(20);
    let stage = Stage::new().delivered(ALICE, &messages);
    for (n, message) in (1..).zip(&messages) {
        let mut pop3 = Pop3::tls(stage.gateway.ports.pop3s);
        pop3.ok(&format!("USER {}", ALICE.name));
        pop3.ok(&format!("PASS {}", ALICE.password));
        let got = pop3.multi(&format!("RETR {n}"));
        same(
            &unstuffed(&got),
            &crlf_ended(message),
            &format!("RETR {n} over TLS"),
        );
        pop3.ok("QUIT");
    }
}

#[test]
fn quit_deletes_exactly_what_was_marked() {
    needs!(DOVECOT);
    let stage = Stage::new().delivered(ALICE, &mailbox(20));
    deletes_exactly(&stage);
}

#[test]
fn quit_deletes_exactly_what_was_marked_without_uidplus() {
    needs!(DOVECOT);
    let stage = Stage::on(
        |scratch, pki| Dovecot::with(scratch, pki, "imap_capability = IMAP4rev1 ID"),
        |dovecot, _| Settings::to(format!("imap://127.0.0.1:{}", dovecot.imap)),
    )
    .delivered(ALICE, &mailbox(20));
    deletes_exactly(&stage);
}

fn deletes_exactly(stage: &Stage) {
    let mut pop3 = Pop3::logged_in(stage.gateway.ports.pop3, ALICE);
    pop3.ok("DELE 1");
    pop3.ok("DELE 20");
    pop3.ok("RSET");
    for n in [2, 5, 6, 7, 11] {
        pop3.ok(&format!("DELE {n}"));
    }
    pop3.err("DELE 5");
    pop3.err("RETR 5");
    pop3.err("LIST 5");
    pop3.err("UIDL 5");
    pop3.err("TOP 5 0");
    pop3.err("DELE 21");
    pop3.err("DELE 0");
    assert!(pop3.ok("STAT").starts_with("15 "));
    let numbers: Vec<String> = pop3
        .lines("LIST")
        .iter()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    let rest = [1, 3, 4, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20];
    assert_eq!(numbers, rest.map(|n| n.to_string()));
    // New mail and another's reading are none of this session's business.
    let mut imap = stage.dovecot.inbox(ALICE);
    assert_eq!(imap.uids().len(), 20, "nothing is deleted before QUIT");
    imap.command_with_literal("APPEND INBOX", b"Subject: new\r\n\r\nnew\r\n")
        .ok();
    pop3.err("RETR 21");
    pop3.ok("QUIT");
    assert_eq!(pop3.conn.rest(), b"");

    imap.command("NOOP").ok();
    let mut left: Vec<u32> = rest.to_vec();
    left.push(21);
    assert_eq!(imap.uids(), left);
    let mut native = Pop3::logged_in(stage.dovecot.pop3, ALICE);
    assert!(native.ok("STAT").starts_with("16 "));
}

/// Dovecot is told what was known, and names what is gone: a changed mailbox is not searched.
#[test]
fn a_changed_mailbox_is_resynced() {
    needs!(DOVECOT);
    let stage = Stage::on(
        |scratch, pki| {
            let raw = scratch.dir("raw");
            own(&raw);
            let dovecot = Dovecot::with(scratch, pki, &format!("rawlog_dir = {}", raw.display()));
            dovecot.deliver(ALICE.name, &mailbox(20));
            dovecot
        },
        |dovecot, _| Settings::to(format!("imap://127.0.0.1:{}", dovecot.imap)),
    );
    let poll = || {
        let mut ours = Pop3::logged_in(stage.gateway.ports.pop3, ALICE);
        let listed = (ours.lines("UIDL"), ours.lines("LIST"));
        ours.ok("QUIT");
        listed
    };
    assert_eq!(poll().0.len(), 20);
    // The first change has Dovecot keep what it needs for the next one.
    for gone in ["13", "2,7,20"] {
        let mut imap = stage.dovecot.inbox(ALICE);
        imap.command(&format!("UID STORE {gone} +FLAGS.SILENT (\\Deleted)"))
            .ok();
        imap.command(&format!("UID EXPUNGE {gone}")).ok();
        imap.command_with_literal("APPEND INBOX", b"Subject: new\r\n\r\nnew\r\n")
            .ok();
        let mut native = Pop3::logged_in(stage.dovecot.pop3, ALICE);
        assert_eq!(poll(), (native.lines("UIDL"), native.lines("LIST")));
        native.ok("QUIT");
    }
    let logs = std::fs::read_dir(stage.scratch.join("raw")).unwrap();
    let log: String = logs
        .map(|file| {
            String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned()
        })
        .collect();
    assert!(log.contains("(QRESYNC ("), "{log}");
    assert!(log.contains("* VANISHED (EARLIER) 2,7,20"), "{log}");
    assert_eq!(log.matches("UID SEARCH").count(), 1, "{log}");
    // And what QUIT removes is what was marked.
    let mut ours = Pop3::logged_in(stage.gateway.ports.pop3, ALICE);
    ours.ok("DELE 1");
    ours.ok("DELE 18");
    ours.ok("QUIT");
    let left = [3, 4, 5, 6, 8, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19, 21];
    assert_eq!(stage.dovecot.inbox(ALICE).uids(), left);
}

#[test]
fn anothers_deleted_mail_stays() {
    needs!(DOVECOT);
    let stage = Stage::new().delivered(ALICE, &mailbox(5));
    let mut imap = stage.dovecot.inbox(ALICE);
    imap.command("UID STORE 3 +FLAGS.SILENT (\\Deleted)").ok();
    let mut pop3 = Pop3::logged_in(stage.gateway.ports.pop3, ALICE);
    pop3.ok("DELE 4");
    pop3.ok("QUIT");
    imap.command("NOOP").ok();
    assert_eq!(imap.uids(), [1, 2, 3, 5]);
    assert_eq!(imap.search("DELETED"), [3]);
}

#[test]
fn a_connection_that_is_lost_deletes_nothing() {
    needs!(DOVECOT);
    let stage = Stage::new().delivered(ALICE, &mailbox(5));
    let mut pop3 = Pop3::logged_in(stage.gateway.ports.pop3, ALICE);
    pop3.ok("DELE 1");
    pop3.conn.close_write();
    pop3.conn.rest();
    let mut imap = stage.dovecot.inbox(ALICE);
    assert_eq!(imap.uids(), [1, 2, 3, 4, 5]);
    assert!(imap.search("DELETED").is_empty());
}

#[test]
fn messages_read_whole_are_marked_seen() {
    needs!(DOVECOT);
    let stage = Stage::new().delivered(ALICE, &mailbox(6));
    let mut pop3 = Pop3::logged_in(stage.gateway.ports.pop3, ALICE);
    pop3.multi("RETR 2");
    pop3.multi("TOP 3 10");
    pop3.multi("RETR 5");
    pop3.ok("QUIT");
    assert_eq!(stage.dovecot.inbox(ALICE).search("SEEN"), [2, 5]);
}

#[test]
fn a_message_expunged_elsewhere_is_an_error_and_not_an_empty_message() {
    needs!(DOVECOT);
    let messages = mailbox(6);
    let stage = Stage::new().delivered(ALICE, &messages);
    let mut pop3 = Pop3::logged_in(stage.gateway.ports.pop3, ALICE);
    let mut imap = stage.dovecot.inbox(ALICE);
    imap.command("UID STORE 2 +FLAGS.SILENT (\\Deleted)").ok();
    imap.command("EXPUNGE").ok();
    pop3.err("RETR 2");
    let got = pop3.multi("RETR 5");
    same(
        &unstuffed(&got),
        &crlf_ended(&messages[4]),
        "numbers stay where they were",
    );
    pop3.ok("DELE 1");
    pop3.ok("QUIT");
    imap.command("NOOP").ok();
    assert_eq!(imap.uids(), [3, 4, 5, 6]);
}

#[test]
fn a_whole_session_in_one_packet() {
    needs!(DOVECOT);
    let stage = Stage::new().delivered(BOB, &mailbox(3));
    let mut pop3 = Pop3::plain(stage.gateway.ports.pop3);
    pop3.conn.send(format!(
        "CAPA\r\nUSER {}\r\nPASS {}\r\nSTAT\r\nUIDL 1\r\nRETR 1\r\nDELE 1\r\nNOOP\r\nQUIT\r\n",
        BOB.name, BOB.password
    ));
    let all = String::from_utf8(pop3.conn.rest()).unwrap();
    let statuses = all.lines().filter(|line| line.starts_with("+OK")).count();
    assert_eq!(statuses, 9, "{all}");
    assert!(!all.contains("-ERR"), "{all}");
    assert_eq!(stage.dovecot.inbox(BOB).uids(), [2, 3]);
}

#[test]
fn an_empty_mailbox() {
    needs!(DOVECOT);
    let stage = Stage::new();
    let mut pop3 = Pop3::logged_in(stage.gateway.ports.pop3, ALICE);
    assert_eq!(pop3.ok("STAT"), "0 0");
    assert_eq!(pop3.multi("LIST"), b".\r\n");
    assert_eq!(pop3.multi("UIDL"), b".\r\n");
    pop3.err("RETR 1");
    pop3.ok("QUIT");
}

#[test]
fn many_messages_are_listed_as_dovecot_lists_them() {
    needs!(DOVECOT);
    let messages: Vec<Vec<u8>> = (0..3000)
        .map(|n| format!("Subject: {n}\n\n{}\n", "x".repeat(n % 97)).into_bytes())
        .collect();
    let stage = Stage::new().delivered(ALICE, &messages);
    // Holes in the UIDs, as any mailbox of age has them.
    let mut imap = stage.dovecot.inbox(ALICE);
    imap.command("STORE 3,5:40,100,200:260,2999 +FLAGS.SILENT (\\Deleted)")
        .ok();
    imap.command("EXPUNGE").ok();
    let mut native = Pop3::logged_in(stage.dovecot.pop3, ALICE);
    let mut ours = Pop3::logged_in(stage.gateway.ports.pop3, ALICE);
    assert_eq!(ours.ok("STAT"), native.ok("STAT"));
    assert_eq!(ours.lines("LIST"), native.lines("LIST"));
    assert_eq!(ours.lines("UIDL"), native.lines("UIDL"));
    native.ok("QUIT");
    let count: usize = ours.ok("STAT").split(' ').next().unwrap().parse().unwrap();
    for n in (1..=count).step_by(3) {
        ours.ok(&format!("DELE {n}"));
    }
    let left = ours.lines("UIDL");
    ours.ok("QUIT");
    let mut native = Pop3::logged_in(stage.dovecot.pop3, ALICE);
    let ids = |lines: Vec<String>| -> Vec<String> {
        lines
            .iter()
            .map(|line| line.split(' ').nth(1).unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(native.lines("UIDL")), ids(left));
}

/// Counted at Dovecot itself: behind its greeting a first poll takes one exchange, and so does every
/// later one, which asks for three numbers and nothing else. Only a message that is asked for opens
/// the mailbox.
#[test]
fn a_poll_of_dovecot_is_one_exchange() {
    needs!(DOVECOT);
    const STATUS: &str = "STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY)";
    const LIST: &str = "UID FETCH 1:* (UID RFC822.SIZE)";
    let mut wire = None;
    let stage = Stage::with(|dovecot, _| {
        let to_dovecot = Exchanges::to(dovecot.imap);
        let settings = Settings::to(format!("imap://127.0.0.1:{}", to_dovecot.port));
        wire = Some(to_dovecot);
        settings
    })
    .delivered(ALICE, &mailbox(30));
    let wire = wire.unwrap();
    let poll = || {
        let mut pop3 = Pop3::logged_in(stage.gateway.ports.pop3, ALICE);
        let answers = (pop3.ok("STAT"), pop3.lines("UIDL"), pop3.lines("LIST"));
        pop3.ok("QUIT");
        assert_eq!(pop3.conn.rest(), b"");
        answers
    };
    wire.expect(&[&["ID", "LOGIN", "SELECT \"INBOX\"", LIST]]);
    let first = poll();
    assert_eq!(wire.asked().len(), 4);
    assert!(first.0.starts_with("30 "));
    for _ in 0..3 {
        wire.expect(&[&["ID", "LOGIN", STATUS]]);
        assert_eq!(poll(), first);
        let asked = wire.asked();
        assert_eq!(asked[1..], ["LOGIN", STATUS], "{asked:?}");
    }
    wire.expect(&[
        &["ID", "LOGIN", STATUS],
        &["SELECT \"INBOX\"", "UID FETCH 3 (UID BODY.PEEK[])"],
    ]);
    let mut pop3 = Pop3::logged_in(stage.gateway.ports.pop3, ALICE);
    pop3.multi("RETR 3");
    pop3.ok("QUIT");
}

/// Compares octets; says where they part.
#[track_caller]
fn same(got: &[u8], want: &[u8], what: &str) {
    if got == want {
        return;
    }
    let at = got
        .iter()
        .zip(want)
        .position(|(a, b)| a != b)
        .unwrap_or_else(|| got.len().min(want.len()));
    let around = |octets: &[u8]| {
        let from = at.saturating_sub(40).min(octets.len());
        let to = octets.len().min(at + 40);
        String::from_utf8_lossy(&octets[from..to]).into_owned()
    };
    panic!(
        "{what}: {} octets, expected {}; they part at {at}: got {:?}, expected {:?}",
        got.len(),
        want.len(),
        around(got),
        around(want)
    );
}

/// A gateway before the demo store that locks maildrops.
struct Locked {
    gateway: Gateway,
    _scratch: Scratch,
}

impl Locked {
    fn start() -> Locked {
        let scratch = Scratch::new();
        let pki = Pki::new(&scratch);
        let gateway = Settings::to("demo://")
            .top("pop3: { lock: true }")
            .start(&scratch, &pki);
        Locked {
            gateway,
            _scratch: scratch,
        }
    }

    /// Logs in with the password of `demo`; and what was answered.
    fn login(&self, user: &str) -> (Pop3, String) {
        let mut pop3 = Pop3::plain(self.gateway.ports.pop3);
        let answer = pop3.login(Way::UserPass, user, "demo");
        (pop3, answer)
    }
}

/// A maildrop is free as soon as its session has left the host, also while the old connection is there.
#[test]
fn a_locked_maildrop_is_free_after_quit() {
    let gateway = Locked::start();
    let (mut first, answer) = gateway.login("demo");
    assert!(answer.starts_with("+OK"), "{answer}");
    assert!(gateway.login("demo").1.starts_with("-ERR [IN-USE]"));
    first.ok("QUIT");
    // The client does not close, and the gateway waits for that a while. It says bye before it leaves the
    // host.
    let free = (0..20).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        gateway.login("demo").1.starts_with("+OK")
    });
    assert!(free, "still in use");
    drop(first);
}

/// However a user's name is typed, and on a gateway that shares no state.
#[test]
fn a_locked_maildrop_is_locked_in_whatever_case() {
    let gateway = Locked::start();
    let (mut first, answer) = gateway.login("demo");
    assert!(answer.starts_with("+OK"), "{answer}");
    for name in ["Demo", "DEMO"] {
        let (_, answer) = gateway.login(name);
        assert!(answer.starts_with("-ERR [IN-USE]"), "{name}: {answer}");
    }
    first.ok("NOOP");
}

/// A backend's host gives way to another one that has the same numbers and other messages: the client is
/// shown those, and what it deletes is what it was shown.
#[test]
fn a_list_of_one_host_is_not_shown_of_another() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let first = scripted::imap_holding(&[1, 2, 4], Arc::default());
    let other = scripted::imap_holding(&[1, 3, 4], heard.clone());
    let to = |port: u16| Settings::to(format!("imap://127.0.0.1:{port}"));
    let mut play = Play::new(&to(first));
    let port = play.gateway.ports.pop3;
    let poll = |commands: &[&str]| {
        let mut pop3 = Pop3::logged_in(port, ALICE);
        let uidl = pop3.lines("UIDL");
        for command in commands {
            pop3.ok(command);
        }
        pop3.ok("QUIT");
        // Remembered by the time the gateway closes.
        assert_eq!(pop3.conn.rest(), b"");
        uidl
    };
    let ids = |uids: [u32; 3]| {
        let lines = (1..)
            .zip(uids)
            .map(|(n, uid)| format!("{n} {uid:08x}00000001"));
        lines.collect::<Vec<_>>()
    };
    assert_eq!(poll(&[]), ids([1, 2, 4]));
    assert_eq!(poll(&[]), ids([1, 2, 4]));
    play.reload(&to(other));
    assert_eq!(poll(&["DELE 1", "DELE 3"]), ids([1, 3, 4]));
    let heard = heard.lock().unwrap();
    for command in ["UID STORE 1,4 +FLAGS.SILENT (\\Deleted)", "UID EXPUNGE 1,4"] {
        assert!(heard.iter().any(|it| it == command), "{heard:?}");
    }
}
