//! Opening a mailbox, and everything that goes wrong with it or with the mailbox later.

use gatepost::protocol::pop3::config::{HideDeleted, Settings};

use super::host::Host;
use super::{ONE, Play, TWO, play};

const LIST: &str = "UID FETCH 1:* (UID RFC822.SIZE)";
const SELECT: &str = "SELECT";
pub(super) const THREE: &[&[u8]] = &[ONE, TWO, b"c\r\n"];
const LISTED: &str = "+OK 3 messages (57 octets)\n1 29\n2 25\n3 3\n.\n";

pub(super) fn settings(change: impl FnOnce(&mut Settings)) -> Play {
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

/// A row is left out, and a message goes whose row has come: as many as the host counts, and others.
#[tokio::test(start_paused = true)]
async fn a_count_that_fell_while_the_list_came_proves_nothing() {
    let mails: Vec<Vec<u8>> = (1..=10).map(|n| vec![b'x'; n]).collect();
    let mails: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    let row = |uid: u32| format!("* {uid} FETCH (UID {uid} RFC822.SIZE {uid})\r\n");
    let rows = |of: &[u32]| of.iter().copied().map(row).collect::<String>();
    let head = |exists: u32| {
        format!(
            "* {exists} EXISTS\r\n* OK [UIDVALIDITY 1700000000] x\r\n* OK [UIDNEXT 11] x\r\n$T OK x\r\n"
        )
    };
    let without = |gone: &[u32], next: u32| {
        let mut host = Host::with(&mails);
        host.mail
            .retain(|uid, _| *uid < next && !gone.contains(uid));
        host.uid_next = next;
        host
    };
    let fresh = play(without(&[7], 11), "UIDL\r\nQUIT\r\n").await;
    let all = rows(&[1, 2, 3, 4, 6, 7, 8, 9, 10]);
    for fall in ["* 7 EXPUNGE\r\n", "* 9 EXISTS\r\n", "* VANISHED 7\r\n"] {
        let host = without(&[7], 11)
            .rule("SELECT", &head(10))
            .rule(LIST, &format!("{all}{fall}$T OK x\r\n"));
        let session = play(host, "UIDL\r\nQUIT\r\n").await;
        assert_eq!(session.text(), fresh.text(), "{fall}");
        assert_eq!(session.served.remainder, fresh.served.remainder, "{fall}");
        // The same where the list is looked through once more.
        let host = without(&[7], 11)
            .rule("SELECT", &head(11))
            .rule(LIST, &format!("{all}$T OK x\r\n"))
            .rule(
                "NOOP",
                &format!("* 10 EXISTS\r\n{fall}* 9 EXISTS\r\n$T OK x\r\n"),
            )
            .rule("UID SEARCH UID 1:*", "$T NO x\r\n");
        let doubtful = play(host, "UIDL\r\nQUIT\r\n").await;
        let next = Play {
            cached: doubtful.served.remainder,
            ..Play::default()
        };
        let next = next
            .run(without(&[7], 11), "UIDL\r\nQUIT\r\n")
            .await
            .expect("opened");
        assert_eq!(next.text(), fresh.text(), "{fall}");
    }
    // New mail beside a list that was known, with a search for what is left of that, and without.
    let known = play(without(&[], 5), "QUIT\r\n").await.served.remainder;
    let fresh = play(without(&[2], 11), "UIDL\r\nQUIT\r\n").await;
    let new = rows(&[5, 6, 7, 8, 10]);
    for esearch in [true, false] {
        let mut host = without(&[2], 11)
            .rule("SELECT", &head(10))
            .rule("UID FETCH 5:*", &format!("{new}* 2 EXPUNGE\r\n$T OK x\r\n"));
        host.esearch = esearch;
        if esearch {
            host = host.rule(
                "UID SEARCH RETURN",
                "* ESEARCH (TAG \"x\") UID ALL 1:4\r\n$T OK x\r\n",
            );
        }
        let play = Play {
            cached: known.clone(),
            ..Play::default()
        };
        let warm = play.run(host, "UIDL\r\nQUIT\r\n").await.expect("opened");
        assert_eq!(
            warm.text(),
            fresh.text(),
            "esearch {esearch}: {:?}",
            warm.host.log
        );
    }
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
            "{}-ERR too many bad commands (S1)\n",
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
