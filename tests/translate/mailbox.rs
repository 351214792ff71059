//! Opening a mailbox, QUIT, and everything that goes wrong with either.

use gatepost::protocol::pop3::config::{Delete, HideDeleted, MarkSeen, Settings};

use super::host::Host;
use super::{ONE, Play, TWO, play};

const LIST: &str = "UID FETCH 1:* (UID RFC822.SIZE)";
const SELECT: &str = "SELECT";
const THREE: &[&[u8]] = &[ONE, TWO, b"c\r\n"];
const LISTED: &str = "+OK 3 messages (57 octets)\n1 29\n2 25\n3 3\n.\n";

fn settings(change: impl FnOnce(&mut Settings)) -> Play {
    let mut settings = Settings::default();
    change(&mut settings);
    Play {
        settings,
        ..Play::default()
    }
}

/// However the rows come, the list is right.
#[tokio::test(start_paused = true)]
async fn rows_in_every_shape() {
    let row = |uid: u32, size: u32| format!("* {uid} FETCH (UID {uid} RFC822.SIZE {size})\r\n");
    let [one, two, three] = [row(1, 29), row(2, 25), row(3, 3)];
    let ok = "$T OK done\r\n";
    for (name, answer) in [
        ("in order", format!("{one}{two}{three}{ok}")),
        ("backwards", format!("{three}{two}{one}{ok}")),
        ("twice", format!("{one}{two}{two}{three}{one}{ok}")),
        ("one missing", format!("{one}{three}{ok}")),
        ("all missing", ok.to_owned()),
        (
            "without a size",
            format!("{one}* 2 FETCH (UID 2 )\r\n{three}{ok}"),
        ),
        (
            "without any size",
            format!("* 2 FETCH (UID 2)\r\n* 1 FETCH (UID 1)\r\n* 3 FETCH (UID 3)\r\n{ok}"),
        ),
        ("cut rows", format!("* 1 FETCH (UID 1\r\n{two}{three}{ok}")),
        (
            "blanks and flags",
            format!(
                "*  1  FETCH ( FLAGS (\\Seen) UID 1  RFC822.SIZE 29 )\r\n* 2 fetch (rfc822.size 2.5e1 uid 2)\r\n{three}{ok}"
            ),
        ),
        (
            "others' responses between",
            format!("{one}* 3 EXISTS\r\n* OK still here\r\n{two}* FLAGS (\\X)\r\n{three}{ok}"),
        ),
        ("refused the first time", "$T NO not yet\r\n".to_owned()),
        (
            "not understood the first time",
            "$T BAD what\r\n".to_owned(),
        ),
    ] {
        let host = Host::with(THREE).rule(LIST, &answer).rule(LIST, "$MODEL");
        let session = play(host, "LIST\r\nRETR 3\r\n").await;
        assert_eq!(
            session.text(),
            format!("{LISTED}+OK 3 octets\nc\n.\n"),
            "{name}"
        );
    }
}

/// Expunges and arrivals while the list comes.
#[tokio::test(start_paused = true)]
async fn changes_while_the_list_comes() {
    let rows = "* 1 FETCH (UID 1 RFC822.SIZE 29)\r\n* 1 EXPUNGE\r\n\
                * 1 FETCH (UID 2 RFC822.SIZE 25)\r\n* 2 FETCH (UID 3 RFC822.SIZE 3)\r\n$T OK\r\n";
    let mut host = Host::with(THREE).rule(LIST, rows);
    host.mail.remove(&1);
    let host = host.rule(
        "SELECT",
        "* 3 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n$T OK\r\n",
    );
    let session = play(host, "LIST\r\nRETR 1\r\n").await;
    assert_eq!(
        session.text(),
        "+OK 2 messages (28 octets)\n1 25\n2 3\n.\n+OK 25 octets\n..\nSubject: two\n\nno end\n.\n"
    );
    // New mail is not seen before the next login.
    let host = Host::with(THREE).rule("UID FETCH 1 (UID BODY", "* 4 EXISTS\r\n$MODEL");
    let session = play(host, "RETR 1\r\nSTAT\r\nRETR 4\r\n").await;
    assert!(session.text().ends_with("+OK 3 57\n-ERR no such message\n"));
}

/// A mailbox that cannot be opened fails the login, with a reason.
#[tokio::test(start_paused = true)]
async fn refusals_fail_the_login() {
    for (command, answer, code) in [
        (SELECT, "$T NO x\r\n", "UNAVAILABLE"),
        (
            SELECT,
            "$T BAD User is authenticated but not connected.\r\n",
            "UNAVAILABLE",
        ),
        (SELECT, "$T NO [NONEXISTENT] x\r\n", "CONTACTADMIN"),
        (SELECT, "$T NO [NOPERM] x\r\n", "CONTACTADMIN"),
        (SELECT, "$T NO [CORRUPTION] x\r\n", "CONTACTADMIN"),
        (SELECT, "$T NO [INUSE] x\r\n", "INUSE"),
        (
            SELECT,
            "* 3 EXISTS\r\n$T OK no uidvalidity\r\n",
            "CONTACTADMIN",
        ),
        (
            SELECT,
            "* 3 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* NO [UIDNOTSTICKY] x\r\n$T OK x\r\n",
            "CONTACTADMIN",
        ),
        (SELECT, "* BYE too much\r\n", "UNAVAILABLE"),
        (SELECT, "$CLOSE", "UNAVAILABLE"),
        (SELECT, "", "UNAVAILABLE"),
        (LIST, "$T NO [SERVERBUG] x\r\n", "UNAVAILABLE"),
        (LIST, "$T BAD x\r\n", "UNAVAILABLE"),
        (
            LIST,
            "* 1 FETCH (UID 1 RFC822.SIZE 29)\r\n$CLOSE",
            "UNAVAILABLE",
        ),
        (LIST, "", "UNAVAILABLE"),
        (LIST, "* 1 FETCH (UID 1 BODY[] {-1}\r\n", "SERVERBUG"),
    ] {
        let host = Host::with(THREE).rule(command, answer);
        let Err(failure) = Play::default().run(host, "").await else {
            panic!("{command} {answer}: opened");
        };
        assert_eq!(failure.code(), code, "{command} {answer}");
        assert!(!failure.is_credentials());
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_mailbox() {
    for answer in ["$T OK\r\n", "$T BAD x\r\n", "$T NO x\r\n"] {
        let host = Host::with(&[]).rule(LIST, answer);
        let session = play(host, "STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nLIST 0\r\nQUIT\r\n").await;
        assert_eq!(
            session.text(),
            "+OK 0 0\n+OK 0 messages (0 octets)\n.\n+OK 0 messages\n.\n-ERR no such message\n\
             -ERR no such message\n+OK bye\n"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn hidden_messages_are_neither_shown_nor_removed() {
    let mut host = Host::with(&[b"a\r\n", b"b\r\n", b"c\r\n", b"d\r\n"]);
    host.mail.get_mut(&2).unwrap().deleted = true;
    let play = settings(|settings| settings.hide_deleted = HideDeleted::Yes);
    let session = play
        .run(
            host,
            "LIST\r\nRETR 2\r\nDELE 1\r\nDELE 2\r\nDELE 3\r\nQUIT\r\n",
        )
        .await
        .unwrap();
    assert!(
        session
            .text()
            .starts_with("+OK 3 messages (9 octets)\n1 3\n2 3\n3 3\n.\n+OK 3 octets\nc\n.\n")
    );
    assert_eq!(session.host.uids(), [2]);
    let commands = session.host.log.join("\n");
    assert!(commands.contains("UID EXPUNGE 1,3:4\n"), "{commands}");
}

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
            DONE,
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
async fn a_read_only_mailbox_refuses_dele() {
    let base = "* 3 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 4] x\r\n";
    for answer in [
        format!("{base}$T OK [READ-ONLY] x\r\n"),
        format!("{base}* OK [PERMANENTFLAGS ()] x\r\n$T OK [READ-WRITE] x\r\n"),
        format!("{base}* OK [PERMANENTFLAGS (\\Seen \\*)] x\r\n$T OK x\r\n"),
    ] {
        let host = Host::with(THREE).rule(SELECT, &answer);
        let session = play(host, "RETR 3\r\nDELE 1\r\nSTAT\r\nQUIT\r\n").await;
        assert!(
            session
                .text()
                .ends_with("-ERR [SYS/PERM] the mailbox is read-only (S1)\n+OK 3 57\n+OK bye\n")
        );
        assert_eq!(session.host.uids(), [1, 2, 3]);
    }
    let host = Host::with(THREE).rule(SELECT, &format!("{base}$T OK x\r\n"));
    let session = play(host, "DELE 1\r\nQUIT\r\n").await;
    assert_eq!(session.host.uids(), [2, 3]);
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

/// UIDs that mean other messages all of a sudden are never used again.
#[tokio::test(start_paused = true)]
async fn a_changed_uidvalidity_poisons() {
    const FETCH: &str = "UID FETCH 1 (UID BODY";
    for poison in ["* OK [UIDVALIDITY 5] x\r\n", "* OK [CLOSED] x\r\n"] {
        let host = Host::with(THREE).rule(FETCH, &format!("{poison}$MODEL"));
        let session = play(host, "DELE 2\r\nRETR 1\r\nSTAT\r\n").await;
        assert_eq!(
            session.text(),
            "+OK message deleted\n-ERR [SYS/TEMP] the mailbox changed, log in again (S1)\n"
        );
        let host = Host::with(THREE).rule(FETCH, &format!("$MODEL{poison}"));
        let session = play(host, "DELE 2\r\nRETR 1\r\nSTAT\r\nQUIT\r\n").await;
        assert!(session.text().ends_with(
            "+OK 2 32\n\
             -ERR [SYS/TEMP] the mailbox changed, deleted messages were not removed (S1)\n"
        ));
        assert_eq!(session.host.uids(), [1, 2, 3]);
        let log = session.host.log;
        assert!(!log.iter().any(|command| command.contains("STORE")));
    }
}

/// A host that says nothing: given up, and the client is told.
#[tokio::test(start_paused = true)]
async fn a_silent_host() {
    let host = Host::with(THREE).rule("UID FETCH 1 (UID BODY", "");
    let session = play(host, "RETR 1\r\nNOOP\r\n").await;
    assert_eq!(
        session.text(),
        "-ERR [SYS/TEMP] the mail server cannot be reached, try again later (S1)\n+OK\n"
    );
    let host = Host::with(THREE).rule(
        "UID FETCH 1 (UID BODY",
        "* 1 FETCH (UID 1 BODY[] {29}\r\nSub",
    );
    let session = play(host, "RETR 1\r\nNOOP\r\n").await;
    assert_eq!(session.text(), "+OK 29 octets\nSub");
    let host = Host::with(THREE).rule("UID EXPUNGE", "");
    let session = play(host, "DELE 1\r\nQUIT\r\n").await;
    assert!(
        session
            .text()
            .contains("-ERR [SYS/TEMP] the mail server was lost")
    );
}

#[tokio::test(start_paused = true)]
async fn bad_commands_end_the_session() {
    let session = play(Host::with(THREE), &"XYZ\r\n".repeat(30)).await;
    assert_eq!(
        session.text(),
        format!(
            "{}-ERR too many bad commands\n",
            "-ERR unknown command\n".repeat(20)
        )
    );
    let session = play(
        Host::with(THREE),
        &"USER x\r\nPASS y\r\nRETR 9\r\n".repeat(30),
    )
    .await;
    assert_eq!(
        session.text().lines().count(),
        90,
        "known commands are not counted"
    );
    let session = play(
        Host::with(THREE),
        &format!("NOOP {}\r\nNOOP\r\n", "x".repeat(600)),
    )
    .await;
    assert_eq!(session.text(), "-ERR line too long\n");
    let session = play(
        Host::with(THREE),
        "TOP 1\r\nRETR\r\nLIST x\r\nUTF8\r\nLANG\r\nLANG *\r\nRSET\r\nLAST\r\n",
    )
    .await;
    assert_eq!(
        session.text(),
        "-ERR expected a message number and a line count\n-ERR expected a message number\n\
         -ERR expected a number\n+OK\n+OK languages follow\ni-default Default\nen English\n.\n\
         +OK i-default texts are in English\n+OK\n-ERR not after login\n"
    );
}

/// A range spans UIDs that do not exist, never one that does and is not meant.
#[tokio::test(start_paused = true)]
async fn sparse_uids_are_named_in_ranges() {
    let mut host = Host::with(&[b"a\r\n", b"b\r\n", b"c\r\n", b"d\r\n", b"e\r\n", b"f\r\n"]);
    host.mail.remove(&2);
    host.mail.remove(&4);
    // Messages 1 to 4 are UIDs 1, 3, 5 and 6.
    let session = play(host, "DELE 1\r\nDELE 2\r\nDELE 4\r\nQUIT\r\n").await;
    assert_eq!(session.host.uids(), [5]);
    assert_eq!(
        session.host.log[2..],
        [
            "UID STORE 1:3,6 +FLAGS.SILENT (\\Deleted)",
            "UID EXPUNGE 1:3,6",
            "LOGOUT"
        ]
    );
}
