//! QUIT: what is in the mailbox afterwards, and what the client was told of it.

use gatepost::protocol::pop3::config::{Delete, HideDeleted, MarkSeen};

use super::host::Host;
use super::mailbox::{THREE, settings};
use super::polls::{again, poll};
use super::{Play, play};

/// What is in the mailbox after QUIT, and what the client was told.
#[tokio::test(start_paused = true)]
async fn quit_removes_exactly_what_was_marked() {
    const DONE: &str = "+OK bye, deleted messages removed";
    const LEFT: &str = "-ERR [SYS/TEMP] 1 of 2 deleted messages not removed (S1)";
    const ALL_LEFT: &str = "-ERR [SYS/TEMP] 2 of 2 deleted messages not removed (S1)";
    const UNKNOWN: &str =
        "-ERR [SYS/TEMP] the mail server was lost, some deleted messages may not be removed (S1)";
    const OTHERS: &str = "-ERR [SYS/TEMP] deleted messages not removed: the mail server would remove others with them (S1)";
    const NOT: &str = "-ERR [SYS/TEMP] deleted messages not removed (S1)";
    let store = "UID STORE 1:2 +FLAGS.SILENT (\\Deleted)";
    let with = |plus: bool| {
        let mut host = Host::with(THREE);
        host.uid_plus = plus;
        host
    };
    let others = |plus: bool| {
        let mut host = with(plus);
        host.mail.get_mut(&3).unwrap().deleted = true;
        host
    };
    let rest: &[u32] = &[3];
    let all: &[u32] = &[1, 2, 3];
    for (name, host, want, left) in [
        ("UIDPLUS", with(true), DONE, rest),
        ("UIDPLUS, others' marks", others(true), DONE, rest),
        (
            "STORE refused but done",
            with(true).rule(store, "$MODEL$T NO x\r\n"),
            DONE,
            rest,
        ),
        (
            "STORE refused",
            with(true).rule(store, "$T NO [EXPUNGEISSUED] x\r\n"),
            ALL_LEFT,
            all,
        ),
        (
            "EXPUNGE refused",
            with(true).rule("UID EXPUNGE", "$T NO x\r\n"),
            ALL_LEFT,
            all,
        ),
        (
            "EXPUNGE says OK and removes nothing, once",
            with(true)
                .rule("UID EXPUNGE", "* 4 EXISTS\r\n$T OK\r\n")
                .rule("UID EXPUNGE", "$MODEL"),
            DONE,
            rest,
        ),
        (
            "EXPUNGE says OK and removes nothing",
            with(true).rule("UID EXPUNGE", "$T OK\r\n"),
            ALL_LEFT,
            all,
        ),
        (
            "EXPUNGE says OK and removes another's",
            with(true).rule(
                "UID EXPUNGE",
                "* 3 EXPUNGE\r\n* 3 EXPUNGE\r\n* 3 EXPUNGE\r\n$T OK\r\n",
            ),
            ALL_LEFT,
            all,
        ),
        (
            "EXPUNGE says OK, removes nothing and tells of another's end",
            with(true).rule("UID EXPUNGE", "* 3 EXPUNGE\r\n* 3 EXPUNGE\r\n$T OK\r\n"),
            ALL_LEFT,
            all,
        ),
        (
            "the same, and removes them when asked again",
            with(true)
                .rule("UID EXPUNGE", "* 3 EXPUNGE\r\n* 3 EXPUNGE\r\n$T OK\r\n")
                .rule("UID EXPUNGE", "$MODEL"),
            DONE,
            rest,
        ),
        (
            "another's end is told of before, and EXPUNGE removes nothing",
            with(true)
                .rule(store, "* 3 EXPUNGE\r\n* 3 EXPUNGE\r\n$MODEL")
                .rule("UID EXPUNGE", "$T OK\r\n"),
            ALL_LEFT,
            all,
        ),
        (
            "VANISHED names ours and nothing is removed",
            with(true).rule("UID EXPUNGE", "* VANISHED 1:2\r\n$T OK\r\n"),
            ALL_LEFT,
            all,
        ),
        (
            "plain, another's end is told of and EXPUNGE removes nothing",
            with(false).rule("EXPUNGE", "* 3 EXPUNGE\r\n* 3 EXPUNGE\r\n$T OK\r\n"),
            ALL_LEFT,
            all,
        ),
        (
            "plain, EXPUNGE says OK and removes nothing",
            with(false).rule("EXPUNGE", "$T OK\r\n"),
            ALL_LEFT,
            all,
        ),
        (
            "EXPUNGE not understood",
            with(true).rule("UID EXPUNGE", "$T BAD x\r\n"),
            ALL_LEFT,
            all,
        ),
        (
            "one left",
            with(true)
                .rule("UID EXPUNGE", "$T NO x\r\n")
                .rule("UID SEARCH UID 1:2", "* SEARCH 2 3\r\n$T OK\r\n"),
            LEFT,
            all,
        ),
        (
            "verify refused",
            with(true)
                .rule("UID EXPUNGE", "$T NO x\r\n")
                .rule("UID SEARCH", "$T NO x\r\n"),
            UNKNOWN,
            all,
        ),
        (
            "lost before STORE",
            with(true).rule(store, "$CLOSE"),
            UNKNOWN,
            all,
        ),
        (
            "lost before EXPUNGE",
            with(true).rule("UID EXPUNGE", "$CLOSE"),
            UNKNOWN,
            all,
        ),
        (
            "lost behind EXPUNGE",
            with(true).rule("UID EXPUNGE", "$MODEL$CLOSE"),
            UNKNOWN,
            rest,
        ),
        (
            "BYE",
            with(true).rule("UID EXPUNGE", "* BYE x\r\n"),
            UNKNOWN,
            all,
        ),
        // Without UIDPLUS.
        ("plain", with(false), DONE, rest),
        ("plain, others' marks", others(false), OTHERS, all),
        (
            "plain, others' marks in between",
            with(false)
                .rule("UID SEARCH UID 1:* DELETED", "$MODEL")
                .rule("UID SEARCH UID 1:* DELETED", "* SEARCH 1 2 3\r\n$T OK\r\n"),
            OTHERS,
            all,
        ),
        (
            "plain, search refused",
            with(false).rule("UID SEARCH", "$T NO x\r\n"),
            NOT,
            all,
        ),
        (
            "plain, second search refused",
            with(false)
                .rule("UID SEARCH", "$MODEL")
                .rule("UID SEARCH", "$T NO x\r\n"),
            OTHERS,
            all,
        ),
        (
            "plain, STORE refused",
            with(false).rule(store, "$T NO x\r\n"),
            ALL_LEFT,
            all,
        ),
        (
            "plain, EXPUNGE refused",
            with(false).rule("EXPUNGE", "$T NO x\r\n"),
            ALL_LEFT,
            all,
        ),
    ] {
        let session = play(host, "DELE 1\r\nDELE 2\r\nQUIT\r\n").await;
        let text = session.text();
        assert_eq!(text.lines().last(), Some(want), "{name}");
        assert_eq!(session.host.uids(), left, "{name}");
        let log = &session.host.log;
        assert!(!log.iter().any(|command| command == "CLOSE"), "{name}");
        if want == OTHERS {
            let marked = session.host.mail.iter().filter(|mail| mail.1.deleted);
            let marked: Vec<u32> = marked.map(|mail| *mail.0).collect();
            let before: &[u32] = if name == "plain, others' marks" {
                &[3]
            } else {
                &[]
            };
            assert_eq!(marked, before, "{name}: our marks are taken back");
        }
    }
}

/// Another client removes a message while ours is removed, or is not: what is remembered is what the
/// host has.
#[tokio::test(start_paused = true)]
async fn what_another_client_removes_meanwhile_is_not_taken_for_ours() {
    for (removal, answer) in [
        ("UID EXPUNGE", "* 3 EXPUNGE\r\n$T OK\r\n"),
        ("UID STORE 1", "* 3 EXPUNGE\r\n$MODEL"),
    ] {
        for obeys in [true, false] {
            let mut host = Host::with(THREE).rule(removal, answer);
            if !obeys {
                host = host.rule("UID EXPUNGE", "$T OK\r\n");
            }
            host.removed_by_others = vec![(removal.into(), 3)];
            let session = play(host, "DELE 1\r\nQUIT\r\n").await;
            let done = session.text().ends_with("removed\n") && !session.text().contains("-ERR");
            let gone = !session.host.uids().contains(&1);
            assert_eq!(done, gone, "{removal}: {}", session.text());
            let fresh = play(again(&session), "UIDL\r\nQUIT\r\n").await;
            let warm = poll(
                again(&session),
                session.served.remainder.clone(),
                "UIDL\r\nQUIT\r\n",
            )
            .await;
            assert_eq!(warm.text(), fresh.text(), "{removal}, {obeys}");
        }
    }
}

/// Messages that are only marked are still there, and are remembered.
#[tokio::test(start_paused = true)]
async fn what_is_only_marked_is_remembered() {
    for (hide, want) in [
        (HideDeleted::No, "1 000000016553f100\n2 000000026553f100\n"),
        (HideDeleted::Yes, "1 000000026553f100\n"),
    ] {
        let flag = || {
            settings(|settings| {
                settings.delete = Delete::Flag;
                settings.hide_deleted = hide;
            })
        };
        let first = flag()
            .run(Host::with(THREE), "DELE 1\r\nQUIT\r\n")
            .await
            .unwrap();
        assert!(
            first
                .text()
                .ends_with("+OK bye, deleted messages removed\n")
        );
        let mut host = again(&first);
        host.mail.remove(&3);
        let play = Play {
            cached: first.served.remainder.clone(),
            ..flag()
        };
        let warm = play.run(host, "UIDL\r\nQUIT\r\n").await.unwrap();
        let count = want.lines().count();
        let want = format!("+OK {count} messages\n{want}.\n+OK bye\n");
        assert_eq!(warm.text(), want, "{hide:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn capabilities_are_asked_for_when_they_matter() {
    let play = Play {
        knows_capabilities: false,
        ..Play::default()
    };
    let session = play
        .clone()
        .run(Host::with(THREE), "DELE 2\r\nQUIT\r\n")
        .await
        .unwrap();
    assert_eq!(session.host.uids(), [1, 3]);
    assert_eq!(
        session.host.log[2..],
        [
            "CAPABILITY",
            "UID STORE 2 +FLAGS.SILENT (\\Deleted)",
            "UID EXPUNGE 2",
            "UID SEARCH UID 2",
            "LOGOUT"
        ]
    );
    let session = play.run(Host::with(THREE), "QUIT\r\n").await.unwrap();
    assert_eq!(session.host.log[2..], ["LOGOUT"]);
}

#[tokio::test(start_paused = true)]
async fn without_quit_nothing_is_removed() {
    for (commands, stays) in [
        ("RETR 1\r\nDELE 1\r\n", false),
        ("RETR 1\r\nDELE 1\r\nQUI", false),
    ] {
        let play = Play {
            stays,
            ..Play::default()
        };
        let session = play.run(Host::with(THREE), commands).await.unwrap();
        assert_eq!(session.host.uids(), [1, 2, 3]);
        assert!(
            session.host.mail[&1].seen,
            "what was retrieved is still \\Seen"
        );
        assert_eq!(session.served.ended.reason, "closed");
    }
    // Silence: closed without a word (RFC 1939 §3).
    let session = play(Host::with(THREE), "DELE 1\r\n").await;
    assert_eq!(session.text(), "+OK message deleted\n");
    assert_eq!(session.served.ended.reason, "idle");
    assert_eq!(session.host.uids(), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn seen_only_where_it_is_wanted() {
    let never = settings(|settings| settings.mark_seen = MarkSeen::Never);
    let session = never
        .run(Host::with(THREE), "RETR 1\r\nQUIT\r\n")
        .await
        .unwrap();
    assert!(!session.host.mail[&1].seen);
    let session = play(
        Host::with(THREE),
        "TOP 1 0\r\nTOP 2 999\r\nRETR 3\r\nQUIT\r\n",
    )
    .await;
    let seen: Vec<bool> = session.host.mail.values().map(|mail| mail.seen).collect();
    assert_eq!(seen, [false, false, true]);
    // A host that refuses it does not spoil QUIT.
    let host = Host::with(THREE).rule("UID STORE 1 +FLAGS.SILENT (\\Seen)", "$T NO x\r\n");
    let session = play(host, "RETR 1\r\nDELE 2\r\nQUIT\r\n").await;
    assert!(
        session
            .text()
            .ends_with("+OK bye, deleted messages removed\n")
    );
    assert_eq!(session.host.uids(), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn deleting_by_flag_and_into_trash() {
    let flag = settings(|settings| settings.delete = Delete::Flag);
    let session = flag
        .run(Host::with(THREE), "DELE 2\r\nQUIT\r\n")
        .await
        .unwrap();
    assert_eq!(session.host.uids(), [1, 2, 3]);
    assert!(session.host.mail[&2].deleted && !session.host.mail[&1].deleted);
    let trash = settings(|settings| settings.delete = Delete::Trash);
    let lists = [
        (
            "LIST (SPECIAL-USE)",
            "* LIST (\\Trash) \"/\" \"Deleted &AOQ- Items\"\r\n$T OK\r\n",
        ),
        (
            "LIST (SPECIAL-USE)",
            "* LIST (\\HasNoChildren \\Trash) NIL {19}\r\nDeleted &AOQ- Items\r\n$T OK\r\n",
        ),
    ];
    for (command, list) in lists {
        for (moves, uid_plus) in [(true, true), (false, true), (false, false)] {
            let mut host = Host::with(THREE).rule(command, list);
            (host.moves, host.uid_plus) = (moves, uid_plus);
            let session = trash
                .clone()
                .run(host, "DELE 1\r\nDELE 3\r\nQUIT\r\n")
                .await
                .unwrap();
            assert!(
                session
                    .text()
                    .ends_with("+OK bye, deleted messages removed\n")
            );
            assert_eq!(session.host.uids(), [2]);
            assert_eq!(session.host.trash, [1, 3]);
            let verb = if moves { "UID MOVE" } else { "UID COPY" };
            let command = format!("{verb} 1,3 \"Deleted &AOQ- Items\"");
            assert!(
                session.host.log.contains(&command),
                "{:?}",
                session.host.log
            );
        }
    }
    // What cannot be copied is not removed.
    let mut host = Host::with(THREE)
        .rule(lists[0].0, lists[0].1)
        .rule("UID COPY", "$T NO [OVERQUOTA] x\r\n");
    host.moves = false;
    let session = trash.clone().run(host, "DELE 1\r\nQUIT\r\n").await.unwrap();
    assert!(session.text().contains("-ERR [SYS/TEMP] 1 of 1 deleted"));
    assert_eq!(session.host.uids(), [1, 2, 3]);
    // Nowhere to put it.
    for answer in ["$T BAD x\r\n", "$MODEL"] {
        let host = Host::with(THREE).rule("LIST (SPECIAL-USE)", answer);
        let session = trash.clone().run(host, "DELE 1\r\nQUIT\r\n").await.unwrap();
        assert!(
            session
                .text()
                .starts_with("-ERR [SYS/PERM] there is no \\Trash mailbox (S1)\n")
        );
    }
}

/// A range spans messages that follow each other in UID: one that was not listed is not named, though the
/// host counts as many messages as it lists. It may be stored by now, or not have been told of.
#[tokio::test(start_paused = true)]
async fn no_uid_is_named_that_was_not_listed() {
    let with = |gone: &[u32]| {
        let mut host = Host::with(&[b"a\r\n", b"b\r\n", b"c\r\n", b"d\r\n", b"e\r\n", b"f\r\n"]);
        host.mail.retain(|uid, _| !gone.contains(uid));
        host
    };
    // Messages 1 to 4 are UIDs 1, 3, 5 and 6.
    let commands = "DELE 1\r\nDELE 2\r\nDELE 3\r\nDELE 4\r\nQUIT\r\n";
    let session = play(with(&[2, 4]), commands).await;
    assert_eq!(session.host.uids(), [0; 0]);
    assert_eq!(
        session.host.log[2..],
        [
            "UID STORE 1,3,5:6 +FLAGS.SILENT (\\Deleted)",
            "UID EXPUNGE 1,3,5:6",
            "UID SEARCH UID 1,3,5:6",
            "LOGOUT"
        ]
    );
    let four = "* 4 EXISTS\r\n* OK [UIDVALIDITY 1700000000] x\r\n* OK [UIDNEXT 7] x\r\n$T OK x\r\n";
    let row = |uid: u32| format!("* 9 FETCH (UID {uid} RFC822.SIZE 3)\r\n");
    let rows: String = [1, 3, 5, 6].map(row).concat();
    let rows = format!("{rows}$T OK x\r\n");
    for uid_plus in [true, false] {
        let mut host = with(&[4]).rule("SELECT", four).rule("UID FETCH 1:*", &rows);
        host.uid_plus = uid_plus;
        let session = play(host, &format!("RETR 1\r\n{commands}")).await;
        assert!(
            session
                .text()
                .ends_with("+OK bye, deleted messages removed\n")
        );
        assert_eq!(session.host.uids(), [2]);
        assert!(!session.host.mail[&2].deleted, "{:?}", session.host.log);
    }
}
