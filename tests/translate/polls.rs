//! Polls of a mailbox that was seen before: what is asked of the host, and that nothing is believed
//! which the host's numbers do not prove.

use std::sync::Arc;

use gatepost::protocol::imap::snapshot::Snapshot;
use gatepost::protocol::pop3::config::{Delete, HideDeleted, Settings, Sizes, UidlFormat};

use super::host::{Host, Mail};
use super::{ONE, Play, Session, TWO, home};

const THREE: &[&[u8]] = &[ONE, TWO, b"c\r\n"];
pub(crate) const STATUS: &str = "STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY)";
const LIST: &str = "LIST\r\nUIDL\r\nQUIT\r\n";

pub(crate) async fn poll(host: Host, cached: Option<Arc<Snapshot>>, commands: &str) -> Session {
    let play = Play {
        cached,
        ..Play::default()
    };
    play.run(host, commands).await.expect("opened")
}

/// A host as it was left, with an empty log and no rules.
pub(crate) fn again(session: &Session) -> Host {
    Host {
        log: Vec::new(),
        rules: Vec::new(),
        ..session.host.clone()
    }
}

pub(crate) fn add(host: &mut Host, octets: &[u8]) {
    let mail = Mail {
        octets: octets.to_vec(),
        size: None,
        deleted: false,
        seen: false,
    };
    host.mail.insert(host.uid_next, mail);
    host.uid_next += 1;
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_mailbox_costs_one_exchange() {
    let first = poll(Host::with(THREE), None, LIST).await;
    let cached = first.served.remainder.clone();
    assert!(cached.is_some());
    let second = poll(again(&first), cached.clone(), LIST).await;
    assert_eq!(second.text(), first.text());
    assert_eq!(second.host.log, [STATUS, "LOGOUT"]);
    // The mailbox is selected when a message is wanted, in the same breath.
    let third = poll(
        again(&first),
        cached.clone(),
        "STAT\r\nRETR 3\r\nTOP 1 0\r\nQUIT\r\n",
    )
    .await;
    assert_eq!(
        third.text(),
        "+OK 3 57\n+OK 3 octets\nc\n.\n+OK\nSubject: one\n\n.\n+OK bye\n"
    );
    assert_eq!(
        third.host.log[..4],
        [
            STATUS,
            "SELECT \"INBOX\"",
            "UID FETCH 3 (UID BODY.PEEK[])",
            "UID FETCH 1 (UID BODY.PEEK[])"
        ]
    );
    let fourth = poll(again(&first), cached, "DELE 2\r\nDELE 3\r\nQUIT\r\n").await;
    assert_eq!(fourth.host.uids(), [1]);
    assert_eq!(fourth.host.log[..2], [STATUS, "SELECT \"INBOX\""]);
    // What is left is known without asking.
    let fifth = poll(again(&fourth), fourth.served.remainder.clone(), LIST).await;
    assert_eq!(fifth.host.log, [STATUS, "LOGOUT"]);
    assert!(
        fifth
            .text()
            .starts_with("+OK 1 messages (29 octets)\n1 29\n.\n")
    );
}

/// Every change between two sessions gives the list that a fresh session would give.
#[tokio::test(start_paused = true)]
async fn changes_are_found() {
    type Change = fn(&mut Host);
    let changes: &[(&str, Change)] = &[
        ("nothing", |_| {}),
        ("new", |host| add(host, b"new\r\n")),
        ("new, twice", |host| {
            add(host, b"new\r\n");
            add(host, b"newer\r\n");
        }),
        ("gone, first", |host| drop(host.mail.remove(&1))),
        ("gone, last", |host| drop(host.mail.remove(&3))),
        ("all gone", |host| host.mail.clear()),
        ("one new, one gone", |host| {
            add(host, b"new\r\n");
            host.mail.remove(&2);
        }),
        ("new and gone at once", |host| {
            add(host, b"new\r\n");
            host.mail.remove(&4);
        }),
        ("all gone, one new", |host| {
            host.mail.clear();
            add(host, b"new\r\n");
        }),
        ("another mailbox", |host| {
            host.uid_validity += 1;
            host.mail.get_mut(&2).expect("there").octets = b"different\r\n".to_vec();
        }),
        ("another mailbox, same numbers", |host| {
            host.uid_validity += 1;
            host.mail.get_mut(&1).expect("there").octets = b"x\r\n".to_vec();
        }),
        ("UIDNEXT went back", |host| host.uid_next -= 1),
    ];
    let first = poll(Host::with(THREE), None, LIST).await;
    let mut resync = Host::with(THREE);
    resync.qresync = true;
    let resync = poll(resync, None, LIST).await;
    for (esearch, first) in [(false, &first), (true, &first), (true, &resync)] {
        for (name, change) in changes {
            let mut host = again(first);
            host.esearch = esearch;
            change(&mut host);
            let fresh = poll(host.clone(), None, LIST).await;
            let warm = poll(host, first.served.remainder.clone(), LIST).await;
            assert_eq!(warm.text(), fresh.text(), "{name}, esearch {esearch}");
            let left = warm.served.remainder.expect("certain");
            assert_eq!(Some(left), fresh.served.remainder, "{name}");
            assert!(warm.host.log.len() <= 6, "{name}: {:?}", warm.host.log);
        }
    }
}

/// Ids that the host gives are kept with the list, or asked for again with it.
#[tokio::test(start_paused = true)]
async fn emailids_stay_with_their_messages() {
    let play = |cached| Play {
        settings: Settings {
            uidl: UidlFormat::parse("{emailid}").expect("a format"),
            ..Settings::default()
        },
        cached,
        ..Play::default()
    };
    let uidl = "UIDL\r\nQUIT\r\n";
    let run =
        async |host, cached, commands| play(cached).run(host, commands).await.expect("opened");
    let first = run(Host::with(THREE), None, "DELE 2\r\nQUIT\r\n").await;
    let second = run(again(&first), first.served.remainder.clone(), uidl).await;
    assert_eq!(second.text(), "+OK 2 messages\n1 M1\n2 M3\n.\n+OK bye\n");
    assert_eq!(second.host.log, [STATUS, "LOGOUT"]);
    let mut host = again(&second);
    add(&mut host, b"new\r\n");
    let third = run(host, second.served.remainder.clone(), uidl).await;
    assert_eq!(
        third.text(),
        "+OK 3 messages\n1 M1\n2 M3\n3 M4\n.\n+OK bye\n"
    );
    // Known from sessions that needed none.
    let without = poll(Host::with(THREE), None, LIST).await;
    let with = run(again(&without), without.served.remainder.clone(), uidl).await;
    assert!(with.text().contains("\n3 M3\n"), "{}", with.text());
}

/// Ids that nobody asked for, and what is no id (RFC 8474 §7), take no room.
#[tokio::test(start_paused = true)]
async fn emailids_are_kept_only_where_they_are_wanted() {
    let long = "x".repeat(256);
    for (uidl, id, kept) in [
        ("{uid}", "M1", None),
        ("{emailid}", "M1", Some(&b"M1"[..])),
        ("{emailid}", &long[1..], Some(&long.as_bytes()[1..])),
        ("{emailid}", &long, None),
        ("{emailid}", "M.1", None),
    ] {
        let settings = Settings {
            uidl: UidlFormat::parse(uidl).expect("a format"),
            ..Settings::default()
        };
        let rows = format!("* 1 FETCH (UID 1 RFC822.SIZE 29 EMAILID ({id}))\r\n$T OK\r\n");
        let host = Host::with(&[ONE]).rule("UID FETCH 1:*", &rows);
        let play = Play {
            settings,
            ..Play::default()
        };
        let session = play.run(host, "QUIT\r\n").await.expect("opened");
        let left = session.served.remainder.expect("a list that is kept");
        assert_eq!(left.email_id(0), kept, "{uidl} {id}");
        assert_eq!(left.has_email_ids(), kept.is_some(), "{uidl} {id}");
    }
}

/// Where the host keeps QRESYNC it names what is gone, and nothing is searched for.
#[tokio::test(start_paused = true)]
async fn a_host_that_resyncs_names_the_gone() {
    let seen = |rules: &[(&str, &str)]| {
        let mut host = Host::with(&[ONE, TWO, b"c\r\n", b"d\r\n"]);
        host.qresync = true;
        host.rules = (rules.iter())
            .map(|(command, answer)| ((*command).into(), (*answer).into()))
            .collect();
        host
    };
    let first = poll(seen(&[]), None, LIST).await;
    let changed = |rules: &[(&str, &str)]| {
        let mut host = seen(rules);
        host.mail.remove(&1);
        host.mail.remove(&3);
        add(&mut host, b"five\r\n");
        host
    };
    const WANT: &str = "+OK 3 messages (34 octets)\n1 25\n2 3\n3 6\n.\n";
    const ENABLE: &str = "ENABLE QRESYNC";
    const SINCE: &str = "SELECT \"INBOX\" (QRESYNC (1700000000 77))";
    const NEW: &str = "UID FETCH 5:* (UID RFC822.SIZE)";
    let cached = || first.served.remainder.clone();
    let warm = poll(changed(&[]), cached(), LIST).await;
    assert!(warm.text().starts_with(WANT), "{}", warm.text());
    assert_eq!(warm.host.log, [STATUS, ENABLE, SINCE, NEW, "LOGOUT"]);
    // What QUIT removed is told by VANISHED, and looked for as everywhere.
    let delete = "DELE 1\r\nDELE 3\r\nQUIT\r\n";
    let quit = poll(changed(&[]), cached(), delete).await;
    assert!(quit.text().ends_with("+OK bye, deleted messages removed\n"));
    assert_eq!(quit.host.uids(), [4]);
    assert_eq!(
        quit.host.log[4..],
        [
            "UID STORE 2,5 +FLAGS.SILENT (\\Deleted)",
            "UID EXPUNGE 2,5",
            "UID SEARCH UID 2,5",
            "LOGOUT"
        ]
    );
    let next = poll(again(&quit), quit.served.remainder.clone(), LIST).await;
    assert_eq!(next.host.log, [STATUS, "LOGOUT"]);
    // Whatever is odd drops what was known, and the whole list is fetched.
    let all = "UID FETCH 1:* (UID RFC822.SIZE)".to_owned();
    let head = "* 3 EXISTS\r\n* OK [UIDVALIDITY 1700000000] x\r\n* OK [UIDNEXT 6] x\r\n";
    for (name, command, answer) in [
        ("ENABLE refused", ENABLE, "$T BAD x\r\n".to_owned()),
        ("SELECT refused", SINCE, "$T BAD x\r\n".into()),
        ("nothing vanished", SINCE, format!("{head}$T OK x\r\n")),
        (
            "too few",
            SINCE,
            format!("{head}* VANISHED (EARLIER) 1\r\n$T OK x\r\n"),
        ),
        (
            "too many",
            SINCE,
            format!("{head}* VANISHED (EARLIER) 1:4294967295\r\n$T OK x\r\n"),
        ),
        (
            "nonsense",
            SINCE,
            format!("{head}* VANISHED (EARLIER) x,,3:a,*\r\n$T OK x\r\n"),
        ),
        (
            "a message that was never there",
            SINCE,
            format!(
                "{head}* VANISHED (EARLIER) 1,3\r\n* 9 FETCH (UID 1 FLAGS ())\r\n* 9 FETCH (UID 999 RFC822.SIZE 1)\r\n$T OK x\r\n"
            ),
        ),
        ("new ones refused", NEW, "$T NO x\r\n".into()),
        (
            "another mailbox",
            SINCE,
            format!("{head}* OK [UIDVALIDITY 5] x\r\n$T OK x\r\n"),
        ),
    ] {
        let warm = poll(changed(&[(command, &answer)]), cached(), LIST).await;
        assert!(warm.text().starts_with(WANT), "{name}: {}", warm.text());
        assert!(warm.host.log.contains(&all), "{name}: {:?}", warm.host.log);
    }
    // A host that tells no HIGHESTMODSEQ by itself is asked to keep it, when something changes.
    for answer in ["$MODEL", "$T BAD x\r\n"] {
        let mut host = again(&poll(Host::with(THREE), None, LIST).await);
        let cached = poll(host.clone(), None, LIST).await.served.remainder;
        host.qresync = true;
        host.mail.remove(&2);
        let host = host.rule("SELECT \"INBOX\" (CONDSTORE)", answer);
        let session = poll(host, cached, LIST).await;
        assert!(
            session
                .text()
                .starts_with("+OK 2 messages (32 octets)\n1 29\n2 3\n")
        );
        let left = session.served.remainder.expect("certain");
        assert_eq!(left.mod_seq, Some(77), "{answer}");
    }
    // Gone in the middle of a session: numbered or named, the listing stays.
    let host = changed(&[("UID FETCH 2 (UID BODY", "* VANISHED 4\r\n$MODEL")]);
    let session = poll(host, cached(), "RETR 1\r\nSTAT\r\nQUIT\r\n").await;
    assert!(session.text().ends_with(".\n+OK 3 34\n+OK bye\n"));
}

/// What a host shows does not depend on what the client can read, so one list serves both: UTF8 is
/// answered and changes nothing at the host, whatever that offers.
#[tokio::test(start_paused = true)]
async fn utf8_makes_no_other_maildrop() {
    let mail: &[u8] = "Subject: gr\u{fc}n\r\n\r\n\u{e4}\r\n".as_bytes();
    let commands = "UTF8\r\nRETR 1\r\nLIST\r\nQUIT\r\n";
    let host = || {
        let offers = "* OK [CAPABILITY IMAP4rev1 ENABLE UTF8=ACCEPT UIDPLUS] x\r\n$MODEL";
        Host::with(&[mail]).rule("SELECT", offers)
    };
    let with = poll(host(), None, commands).await;
    let without = poll(host(), None, &commands["UTF8\r\n".len()..]).await;
    assert_eq!(with.text(), format!("+OK\n{}", without.text()));
    assert_eq!(with.host.log, without.host.log);
    assert!(
        !with
            .host
            .log
            .iter()
            .any(|command| command.contains("ENABLE"))
    );
    assert_eq!(with.served.remainder, without.served.remainder);
    assert!(with.read.windows(mail.len()).any(|octets| octets == mail));
}

/// STATUS and SELECT may disagree, STATUS may be refused, or say less than it should.
#[tokio::test(start_paused = true)]
async fn an_odd_status_is_not_believed() {
    let first = poll(Host::with(THREE), None, LIST).await;
    for answer in [
        "$T NO x\r\n",
        "$T BAD x\r\n",
        "$T OK no data\r\n",
        "* STATUS INBOX (MESSAGES 3)\r\n$T OK\r\n",
        "* STATUS INBOX (MESSAGES 3 UIDNEXT 4)\r\n$T OK\r\n",
        "* STATUS INBOX ()\r\n$T OK\r\n",
        "* STATUS INBOX (UIDVALIDITY 1 UIDNEXT 4 MESSAGES 3)\r\n$T OK\r\n",
        "* STATUS INBOX (MESSAGES 7 UIDNEXT 9 UIDVALIDITY 1700000000)\r\n$T OK\r\n",
        "* STATUS INBOX (MESSAGES 2 UIDNEXT 4 UIDVALIDITY 1700000000)\r\n$T OK\r\n",
    ] {
        let host = again(&first).rule("STATUS", answer);
        let warm = poll(host, first.served.remainder.clone(), LIST).await;
        assert_eq!(warm.text(), first.text(), "{answer}");
        assert!(
            warm.host.log.contains(&"SELECT \"INBOX\"".to_owned()),
            "{answer}"
        );
    }
    // The mailbox is another one by the time it is selected: nothing of it is shown or removed.
    let host = again(&first).rule(
        "SELECT",
        "* 3 EXISTS\r\n* OK [UIDVALIDITY 5] x\r\n* OK [UIDNEXT 4] x\r\n$T OK x\r\n",
    );
    for commands in ["STAT\r\nRETR 1\r\n", "STAT\r\nDELE 1\r\nQUIT\r\n"] {
        let session = poll(host.clone(), first.served.remainder.clone(), commands).await;
        assert!(
            session.text().starts_with("+OK 3 57\n-ERR [SYS/TEMP] "),
            "{}",
            session.text()
        );
        assert!(!session.text().contains("Subject"));
        assert!(
            !session
                .host
                .log
                .iter()
                .any(|command| command.contains("EXPUNGE"))
        );
    }
    // It cannot be selected any more.
    let host = again(&first).rule("SELECT", "$T NO x\r\n");
    let session = poll(host, first.served.remainder.clone(), "RETR 1\r\nSTAT\r\n").await;
    assert!(session.text().starts_with("-ERR [SYS/TEMP] "));
    assert!(session.text().ends_with("+OK 3 57\n"));
}

/// Courier tells UIDNEXT to STATUS only: from the second session on an unchanged mailbox is known.
#[tokio::test(start_paused = true)]
async fn uidnext_of_status_is_enough() {
    let select = "* 3 EXISTS\r\n* OK [UIDVALIDITY 1700000000] v\r\n$T OK [READ-WRITE] x\r\n";
    let host = |before: Host| before.rule("SELECT", select);
    let first = poll(host(Host::with(THREE)), None, LIST).await;
    let second = poll(host(again(&first)), first.served.remainder.clone(), LIST).await;
    assert!(second.host.log.iter().any(|it| it.starts_with("SELECT")));
    let third = poll(host(again(&second)), second.served.remainder.clone(), LIST).await;
    assert_eq!(third.host.log, [STATUS, "LOGOUT"]);
    assert_eq!((third.text(), second.text()), (first.text(), first.text()));
    // New mail is seen all the same.
    let mut more = again(&third);
    add(&mut more, b"new\r\n");
    let select = select.replace("3 EXISTS", "4 EXISTS");
    let fourth = poll(more.rule("SELECT", &select), third.served.remainder, LIST).await;
    assert_eq!(fourth.text().matches("\n4 ").count(), 2);
}

/// What is not certain is not remembered.
#[tokio::test(start_paused = true)]
async fn doubts_are_not_cached() {
    for (command, answer, commands) in [
        ("UID EXPUNGE", "$T NO x\r\n", "DELE 1\r\nQUIT\r\n"),
        ("UID FETCH 1 (UID", "$T OK gone\r\n", "RETR 1\r\nQUIT\r\n"),
        (
            "UID FETCH 1 (UID BODY",
            "* OK [UIDVALIDITY 3] x\r\n$T OK\r\n",
            "RETR 1\r\nQUIT\r\n",
        ),
    ] {
        let host = Host::with(THREE).rule(command, answer);
        let session = poll(host, None, commands).await;
        assert_eq!(session.served.remainder, None, "{command}");
    }
}

/// A list that left messages out is no list of the whole mailbox, as soon as they are to be shown.
#[tokio::test(start_paused = true)]
async fn a_list_without_what_was_hidden_is_not_believed_where_it_is_shown() {
    let mut host = Host::with(THREE);
    host.mail.get_mut(&3).expect("there").deleted = true;
    let hiding = Play {
        settings: Settings {
            hide_deleted: HideDeleted::Yes,
            ..Settings::default()
        },
        ..Play::default()
    };
    let first = hiding.run(host, LIST).await.expect("opened");
    assert!(first.text().starts_with("+OK 2 messages"));
    type Change = fn(&mut Host);
    let changes: [Change; 2] = [|_| {}, |host| add(host, b"new\r\n")];
    for change in changes {
        // As many as before, and others.
        let mut host = again(&first);
        host.mail.remove(&2);
        host.mail.get_mut(&3).expect("there").deleted = false;
        change(&mut host);
        let fresh = poll(host.clone(), None, LIST).await;
        let warm = poll(host, first.served.remainder.clone(), LIST).await;
        assert_eq!(warm.text(), fresh.text());
    }
}

/// A host that has the numbers of a list and other messages, as one does that took another's place: nothing
/// is marked or removed that the client was not shown.
#[tokio::test(start_paused = true)]
async fn no_range_spans_what_only_numbers_say_is_not_there() {
    let with = |uids: &[u32], next: u32| {
        let mut host = Host::with(&[]);
        for &uid in uids {
            host.uid_next = uid;
            add(&mut host, b"c\r\n");
        }
        host.uid_next = next;
        host
    };
    let first = poll(with(&[1, 2, 4], 5), None, LIST).await;
    for (esearch, qresync) in [(false, false), (true, false), (true, true)] {
        for delete in [Delete::Expunge, Delete::Trash, Delete::Flag] {
            for (uids, next) in [(&[1, 3, 4][..], 5), (&[1, 3, 4, 5], 6), (&[1, 3, 5], 6)] {
                let mut host = with(uids, next);
                (host.esearch, host.qresync) = (esearch, qresync);
                let play = Play {
                    settings: Settings {
                        delete,
                        ..Settings::default()
                    },
                    cached: first.served.remainder.clone(),
                    ..Play::default()
                };
                let commands = "UIDL\r\nRETR 1\r\nDELE 2\r\nDELE 3\r\nDELE 4\r\nQUIT\r\n";
                let session = play.run(host, commands).await.expect("opened");
                let text = session.text();
                let told = |uid: u32| text.contains(&format!(" {uid:08x}6553f100\n"));
                for uid in uids {
                    let there = session.host.mail.get(uid);
                    let touched = there.is_none_or(|mail| mail.deleted || mail.seen);
                    assert!(
                        told(*uid) || !touched,
                        "{delete:?} {uid} of {uids:?}: {text}"
                    );
                }
            }
        }
    }
}

/// A list of one host is none of another's, whatever numbers they share: neither messages nor sizes.
#[tokio::test(start_paused = true)]
async fn a_list_is_believed_of_the_host_that_told_it() {
    for sizes in [Sizes::Trust, Sizes::Learn, Sizes::Exact] {
        let settings = Settings {
            sizes,
            ..Settings::default()
        };
        let play = |cached, on: &str| Play {
            settings: settings.clone(),
            cached,
            homes: [home("mail1"), home(on)],
            ..Play::default()
        };
        let mut host = Host::with(&[ONE, TWO, b"c\r\n", b"d\r\n"]);
        host.mail.remove(&3);
        let first = play(None, "mail1").run(host.clone(), "RETR 1\r\nQUIT\r\n");
        let first = first.await.expect("opened").served.remainder;
        let mut other = Host::with(&[b"one\r\n", TWO, b"three\r\n", b"four\r\n"]);
        other.mail.remove(&2);
        let fresh = play(None, "mail2").run(other.clone(), LIST);
        let fresh = fresh.await.expect("opened");
        let warm = play(first.clone(), "mail2").run(other, LIST);
        let warm = warm.await.expect("opened");
        assert_eq!(warm.text(), fresh.text(), "{sizes:?}");
        assert_eq!(warm.host.log[0], STATUS);
        assert_eq!(warm.served.remainder, fresh.served.remainder);
        let same = play(first, "mail1").run(host, LIST).await.expect("opened");
        assert_eq!(same.host.log, [STATUS, "LOGOUT"]);
    }
}
