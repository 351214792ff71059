//! Polls of a mailbox that was seen before: what is asked of the host, and that nothing is believed
//! which the host's numbers do not prove.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use gatepost::protocol::Welcome;
use gatepost::protocol::imap::snapshot::Snapshot;
use gatepost::protocol::pop3::config::{Settings, Sizes, UidlFormat};
use gatepost::session::translate::{First, Terms, open, prepare, serve};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex};
use tokio::time::Instant;

use super::host::{Host, Mail};
use super::{Later, ONE, Play, Session, TWO};

const THREE: &[&[u8]] = &[ONE, TWO, b"c\r\n"];
const STATUS: &str = "STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY)";
const LIST: &str = "LIST\r\nUIDL\r\nQUIT\r\n";

async fn poll(host: Host, cached: Option<Arc<Snapshot>>, commands: &str) -> Session {
    let play = Play {
        cached,
        ..Play::default()
    };
    play.run(host, commands).await.expect("opened")
}

/// A host as it was left, with an empty log and no rules.
fn again(session: &Session) -> Host {
    Host {
        log: Vec::new(),
        rules: Vec::new(),
        ..session.host.clone()
    }
}

fn add(host: &mut Host, octets: &[u8]) {
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
    // What QUIT removed is told by VANISHED as well; none of it is verified by another command.
    let delete = "DELE 1\r\nDELE 3\r\nQUIT\r\n";
    let quit = poll(changed(&[]), cached(), delete).await;
    assert!(quit.text().ends_with("+OK bye, deleted messages removed\n"));
    assert_eq!(quit.host.uids(), [4]);
    assert_eq!(
        quit.host.log[4..],
        [
            "UID STORE 2,5 +FLAGS.SILENT (\\Deleted)",
            "UID EXPUNGE 2,5",
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

/// True sizes are shown from the next session on.
#[tokio::test(start_paused = true)]
async fn sizes_are_learned() {
    let lying = || {
        let mut host = Host::with(&[ONE, b"a\nb"]);
        host.mail.get_mut(&1).expect("there").size = Some(7);
        host
    };
    let commands = "LIST\r\nRETR 1\r\nRETR 2\r\nLIST 1\r\nSTAT\r\nQUIT\r\n";
    let first = poll(lying(), None, commands).await;
    assert!(
        first
            .text()
            .starts_with("+OK 2 messages (10 octets)\n1 7\n2 3\n")
    );
    assert!(first.text().ends_with("+OK 1 7\n+OK 2 10\n+OK bye\n"));
    let second = poll(
        again(&first),
        first.served.remainder.clone(),
        "LIST\r\nQUIT\r\n",
    )
    .await;
    assert!(
        second
            .text()
            .starts_with("+OK 2 messages (35 octets)\n1 29\n2 6\n")
    );
    assert_eq!(second.host.log, [STATUS, "LOGOUT"]);
    let trust = Play {
        settings: Settings {
            sizes: Sizes::Trust,
            ..Settings::default()
        },
        ..Play::default()
    };
    let first = trust.run(lying(), commands).await.expect("opened");
    let second = poll(
        again(&first),
        first.served.remainder.clone(),
        "STAT\r\nQUIT\r\n",
    )
    .await;
    assert!(second.text().starts_with("+OK 2 10\n"));
}

/// Measured before they are shown, each message once.
#[tokio::test(start_paused = true)]
async fn sizes_are_measured() {
    let exact = |cached| Play {
        settings: Settings {
            sizes: Sizes::Exact,
            ..Settings::default()
        },
        cached,
        ..Play::default()
    };
    let mails: Vec<Vec<u8>> = (0..50).map(|n| vec![b'\n'; n]).collect();
    let mails: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    let mut host = Host::with(&mails);
    host.mail.get_mut(&7).expect("there").size = Some(1 << 40);
    let first = exact(None)
        .run(host, "LIST\r\nQUIT\r\n")
        .await
        .expect("opened");
    let want: String = (0..50).map(|n| format!("{} {}\n", n + 1, 2 * n)).collect();
    assert_eq!(
        first.text(),
        format!("+OK 50 messages (2450 octets)\n{want}.\n+OK bye\n")
    );
    let mut host = again(&first);
    add(&mut host, b"new\n");
    let second = exact(first.served.remainder)
        .run(host, "STAT\r\nQUIT\r\n")
        .await
        .expect("opened");
    assert_eq!(second.text(), "+OK 51 2455\n+OK bye\n");
    let fetched = second
        .host
        .log
        .iter()
        .filter(|command| command.contains("BODY.PEEK"));
    assert_eq!(fetched.count(), 1);
    let third = exact(second.served.remainder.clone())
        .run(again(&second), "STAT\r\nQUIT\r\n")
        .await
        .expect("opened");
    assert_eq!(
        (third.text(), third.host.log),
        (second.text(), vec![STATUS.into(), "LOGOUT".into()])
    );
    // A message that cannot be read does not keep the others away.
    let host = Host::with(&mails).rule("UID FETCH 3 (UID BODY", "$T NO x\r\n");
    let session = exact(None)
        .run(host, "STAT\r\nRETR 2\r\nQUIT\r\n")
        .await
        .expect("opened");
    assert_eq!(session.text(), "+OK 50 2448\n+OK 1 octets\n\n.\n+OK bye\n");
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

/// Sequential and pipelined downloads have their next messages on the way.
#[tokio::test(start_paused = true)]
async fn reading_ahead() {
    let mails: Vec<Vec<u8>> = (0..40)
        .map(|n| format!("mail {n}\r\n").into_bytes())
        .collect();
    let mails: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    let want: String = (0..40)
        .map(|n| format!("+OK {} octets\nmail {n}\n.\n", 7 + n.to_string().len()))
        .collect();
    let commands: String = (1..=40).map(|n| format!("RETR {n}\r\n")).collect();
    for prefetch in [0, 50, 4 << 20] {
        for cut in [0, 8, 9] {
            let play = Play {
                settings: Settings {
                    prefetch,
                    ..Settings::default()
                },
                cut,
                ..Play::default()
            };
            let session = play
                .run(Host::with(&mails), &commands)
                .await
                .expect("opened");
            assert_eq!(session.text(), want, "prefetch {prefetch}, cut {cut}");
            let fetches = session
                .host
                .log
                .iter()
                .filter(|command| command.contains("BODY.PEEK"));
            assert_eq!(fetches.count(), 40, "prefetch {prefetch}, cut {cut}");
        }
    }
    // What was foreseen wrongly is drained, not delivered.
    let mut commands = String::new();
    let mut want = String::new();
    for n in [1, 2, 3, 9, 4, 5, 6, 20, 21, 22, 2, 3, 40, 1] {
        commands.push_str(&format!("RETR {n}\r\nNOOP\r\n"));
        let octets = format!("mail {}\n", n - 1);
        want.push_str(&format!(
            "+OK {} octets\n{octets}.\n+OK\n",
            octets.len() + 1
        ));
    }
    commands.push_str("DELE 39\r\nQUIT\r\n");
    want.push_str("+OK message deleted\n+OK bye, deleted messages removed\n");
    for cut in [0, 1, 8, 14] {
        for host_cut in [0, 1, 33] {
            let mut host = Host::with(&mails);
            host.cut = host_cut;
            let play = Play {
                cut,
                ..Play::default()
            };
            let session = play.run(host, &commands).await.expect("opened");
            assert_eq!(session.text(), want, "cut {cut}, {host_cut}");
            assert_eq!(session.host.mail.len(), 39);
        }
    }
}

/// Something is wrong with a message that was asked for ahead.
#[tokio::test(start_paused = true)]
async fn trouble_ahead() {
    const MAILS: &[&[u8]] = &[b"1\r\n", b"2\r\n", b"3\r\n", b"4\r\n", b"5\r\n"];
    let commands = "RETR 1\r\nRETR 2\r\nRETR 3\r\nRETR 4\r\nRETR 5\r\nQUIT\r\n";
    let got = |n: u32| format!("+OK 3 octets\n{n}\n.\n");
    let gone = "-ERR message expunged\n";
    let wait = "-ERR [SYS/TEMP] the message cannot be read now, try again later (S1)\n";
    for (answer, probe, third) in [
        ("$T OK\r\n", "$T OK\r\n", gone),
        ("$T OK\r\n", "$MODEL", wait),
        (
            "* 3 FETCH (UID 3 BODY[] NIL)\r\n$T OK\r\n",
            "$T OK\r\n",
            gone,
        ),
        ("* 3 FETCH (UID 3)\r\n$T OK\r\n", "$T OK\r\n", wait),
        ("$T NO x\r\n", "$T OK\r\n", gone),
        // The answer comes behind the next one's.
        ("", "$T OK\r\n", "silent"),
        (
            "* 3 FETCH (UID 3 BODY[] \"3\")\r\n$T OK\r\n",
            "",
            "+OK 1 octets\n3\n.\n",
        ),
    ] {
        let host = Host::with(MAILS)
            .rule("UID FETCH 3 (UID BODY", answer)
            .rule("UID FETCH 3 (UID)", probe);
        let text = poll(host, None, commands).await.text();
        let (one, two, four, five) = (got(1), got(2), got(4), got(5));
        let third = match third {
            // Never answered: given up with the connection, and so are the others.
            "silent" => {
                assert!(
                    text.starts_with(&format!("{one}{two}-ERR [SYS/TEMP] ")),
                    "{text}"
                );
                continue;
            }
            third => third,
        };
        assert_eq!(
            text,
            format!("{one}{two}{third}{four}{five}+OK bye\n"),
            "{answer}"
        );
    }
    // Answers in another order than asked, tags later than rows.
    let host = Host::with(MAILS)
        .rule("UID FETCH 2 (UID BODY", "")
        .rule(
            "UID FETCH 3 (UID BODY",
            "$MODEL* 2 FETCH (UID 2 BODY[] {3}\r\n2\r\n)\r\n",
        )
        .rule("UID FETCH 3 (UID BODY", "$MODEL");
    let text = poll(host, None, commands).await.text();
    let all: String = (1..=5).map(got).collect();
    assert_eq!(text, format!("{all}+OK bye\n"));
}

/// Asks one command after the other, each when the answer to the last one is complete; how long it
/// took.
async fn in_turn(host: Host, commands: impl IntoIterator<Item = String>) -> Duration {
    let (to_host, hosts_end) = duplex(1 << 20);
    tokio::spawn(host.serve(hosts_end));
    let settings = Settings::default();
    let opening = prepare(&settings, 7, None);
    let opened = open(
        to_host,
        &mut Welcome::default(),
        opening,
        Duration::from_secs(9),
    )
    .await
    .expect("opened");
    let (client, mut clients_end) = duplex(1 << 20);
    let session = tokio::spawn(async move {
        let terms = Terms {
            settings: &Settings::default(),
            session: "S1".into(),
            idle: Duration::from_secs(600),
        };
        let first = First::default();
        serve(
            &mut clients_end,
            first,
            opened,
            terms,
            Later::default(),
            pending(),
        )
        .await
    });
    let mut client = BufReader::new(client);
    let start = Instant::now();
    for command in commands {
        client
            .write_all(format!("{command}\r\n").as_bytes())
            .await
            .expect("writes");
        let multi = command.starts_with("RETR") || command.starts_with("TOP");
        let mut line = String::new();
        client.read_line(&mut line).await.expect("a line");
        assert!(line.starts_with("+OK"), "{line}");
        while multi && line != ".\r\n" {
            line.clear();
            client.read_line(&mut line).await.expect("a line");
        }
    }
    let took = start.elapsed();
    drop(client);
    session.await.expect("ended");
    took
}

/// Virtual time: a round trip to the host is 20 ms, everything else takes none.
#[tokio::test(start_paused = true)]
async fn a_download_takes_few_round_trips() {
    let mails: Vec<Vec<u8>> = (0..100).map(|n| vec![b'a'; 1000 + n]).collect();
    let mails: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    let host = || {
        let mut host = Host::with(&mails);
        host.delay = Duration::from_millis(20);
        host
    };
    let retr = (1..=100).map(|n| format!("RETR {n}"));
    let took = in_turn(host(), retr).await;
    assert!(took <= Duration::from_millis(100), "RETR: {took:?}");
    let both = (1..=100).flat_map(|n| [format!("RETR {n}"), format!("DELE {n}")]);
    let took = in_turn(host(), both).await;
    assert!(took <= Duration::from_millis(100), "RETR, DELE: {took:?}");
    let top = (1..=100).map(|n| format!("TOP {n} 0"));
    let took = in_turn(host(), top).await;
    assert!(took <= Duration::from_millis(100), "TOP: {took:?}");
}
