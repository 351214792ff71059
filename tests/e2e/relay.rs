//! IMAP through the gateway is what the host says, octet for octet, in both directions.

use crate::support::imap::literals;
use crate::support::mail::{crlf, mailbox, message};
use crate::support::need::{DOVECOT, needs};
use crate::support::{ALICE, BOB, Imap, Stage};

#[test]
fn every_octet_is_as_the_host_sends_it() {
    needs!(DOVECOT);
    let messages = mailbox(30);
    let stage = Stage::new().delivered(ALICE, &messages);
    let mut direct = Imap::logged_in(stage.dovecot.imap, ALICE);
    let mut ours = Imap::logged_in(stage.gateway.ports.imap, ALICE);
    for command in [
        "CAPABILITY",
        "NAMESPACE",
        "LIST \"\" \"*\"",
        "STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)",
        "EXAMINE INBOX",
        "FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE)",
        "UID SEARCH RETURN (ALL COUNT) UNSEEN",
        "UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)]",
        "UID FETCH 1:* BODY.PEEK[]",
        "UID FETCH 11 BODY.PEEK[]<1000.70000>",
        "NO SUCH COMMAND",
    ] {
        let (got, want) = (ours.command(command), direct.command(command));
        assert!(got.untagged == want.untagged, "{command}");
        assert_eq!(timeless(&got.status), timeless(&want.status), "{command}");
    }
    for (uid, message) in (1..).zip(&messages) {
        assert!(ours.fetch(uid) == crlf(message), "UID {uid}");
    }
}

#[test]
fn append_takes_any_literal() {
    needs!(DOVECOT);
    let stage = Stage::new();
    let mut ours = Imap::logged_in(stage.gateway.ports.imap, ALICE);
    let messages: Vec<Vec<u8>> = mailbox(20).iter().map(|octets| crlf(octets)).collect();
    for message in &messages {
        ours.command_with_literal("APPEND INBOX (\\Seen)", message)
            .ok();
    }
    // A literal that does not wait, with a command behind it in the same packet.
    let last = crlf(&message("not waited for", b"x\n"));
    let mut burst = format!("b1 APPEND INBOX {{{}+}}\r\n", last.len()).into_bytes();
    burst.extend_from_slice(&last);
    burst.extend_from_slice(b"\r\nb2 NOOP\r\n");
    ours.conn.send(burst);
    ours.answer("b1").ok();
    ours.answer("b2").ok();
    let mut direct = stage.dovecot.inbox(ALICE);
    for (uid, message) in (1..).zip(messages.iter().chain([&last])) {
        assert!(direct.fetch(uid) == *message, "UID {uid}");
    }
}

#[test]
fn commands_sent_behind_login_are_answered_in_order() {
    needs!(DOVECOT);
    let stage = Stage::new().delivered(BOB, &mailbox(2));
    let mut imap = Imap::plain(stage.gateway.ports.imap);
    imap.conn.send(format!(
        "a1 LOGIN {} {}\r\na2 SELECT INBOX\r\na3 UID FETCH 1 BODY.PEEK[]\r\na4 LOGOUT\r\n",
        BOB.name, BOB.password
    ));
    imap.answer("a1").ok();
    imap.answer("a2").ok();
    let fetched = imap.answer("a3").ok();
    assert_eq!(literals(&fetched.untagged), [crlf(&mailbox(2)[0])]);
    let bye = imap.answer("a4").ok();
    assert!(bye.text().starts_with("* BYE"), "{}", bye.text());
    assert_eq!(imap.conn.rest(), b"");
}

#[test]
fn commands_sent_behind_a_failed_login_are_not_carried_out() {
    needs!(DOVECOT);
    let stage = Stage::new();
    let mut imap = Imap::plain(stage.gateway.ports.imap);
    imap.conn.send(format!(
        "a1 LOGIN {} wrong\r\na2 CREATE stolen\r\na3 NOOP\r\n",
        BOB.name
    ));
    imap.answer("a1").no("AUTHENTICATIONFAILED");
    let refused = imap.answer("a2");
    assert!(refused.status.starts_with("BAD"), "{}", refused.status);
    imap.answer("a3").ok();
    imap.login(
        crate::support::imap::Way::LoginQuoted,
        BOB.name,
        BOB.password,
    )
    .ok();
    let list = imap.command("LIST \"\" stolen").ok();
    assert_eq!(list.untagged, b"");
}

#[test]
fn idle_hears_of_new_mail() {
    needs!(DOVECOT);
    let stage = Stage::new();
    let mut ours = Imap::logged_in(stage.gateway.ports.imap, ALICE);
    ours.command("SELECT INBOX").ok();
    let tag = ours.tag();
    ours.conn.send(format!("{tag} IDLE\r\n"));
    assert!(ours.invited(&tag).is_none());
    let mut other = Imap::logged_in(stage.dovecot.imap, ALICE);
    other
        .command_with_literal("APPEND INBOX", b"Subject: x\r\n\r\nx\r\n")
        .ok();
    loop {
        let line = ours.conn.text();
        if line == "* 1 EXISTS" {
            break;
        }
        assert!(line.starts_with("* "), "{line}");
    }
    ours.conn.send("DONE\r\n");
    ours.answer(&tag).ok();
}

#[test]
fn a_half_closed_connection_gets_its_answers() {
    needs!(DOVECOT);
    let messages = mailbox(12);
    let mut stage = Stage::new().delivered(ALICE, &messages);
    let mut imap = Imap::logged_in(stage.gateway.ports.imap, ALICE);
    imap.conn
        .send("h1 SELECT INBOX\r\nh2 UID FETCH 11 BODY.PEEK[]\r\nh3 LOGOUT\r\n");
    imap.conn.close_write();
    imap.answer("h1").ok();
    let fetched = imap.answer("h2").ok();
    assert!(literals(&fetched.untagged) == [crlf(&messages[10])]);
    imap.answer("h3").ok();
    assert_eq!(imap.conn.rest(), b"");
    stage
        .gateway
        .logged(&["event=session_end", "user=alice", "protocol=imap"]);
}

/// Dovecot says how long a command took.
fn timeless(status: &str) -> &str {
    status.split(" (").next().unwrap()
}
