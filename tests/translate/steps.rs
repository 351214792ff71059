//! A whole session with one thing going wrong at each of its steps in turn: no message is lost,
//! doubled or taken for another, and nothing is said to be done that is not.

use std::collections::BTreeSet;
use std::sync::Arc;

use gatepost::protocol::Failure;
use gatepost::protocol::imap::snapshot::Snapshot;
use gatepost::protocol::pop3::config::{Delete, HideDeleted, Settings, Sizes};
use gatepost::session::translate::Pipelining;

use super::host::Host;
use super::{Play, Session};

const MAILS: &[&[u8]] = &[b"one\r\n", b"two\r\n", b"three\r\n", b"four\r\n"];
const COMMANDS: &str =
    "STAT\r\nUIDL\r\nRETR 1\r\nRETR 2\r\nTOP 3 0\r\nDELE 2\r\nDELE 4\r\nQUIT\r\n";

/// Each body that was sent whole is the one that was asked for.
fn bodies_are_right(session: &Session, what: &str) {
    let text = session.text();
    let mut wanted = ["one", "two", "three"].iter();
    for line in text.lines() {
        if MAILS.iter().any(|mail| mail.starts_with(line.as_bytes())) && line.len() > 2 {
            assert!(wanted.any(|word| *word == line), "{what}: {text}");
        }
    }
}

/// Only what was marked is gone, and "removed" is only said when all of it is.
fn removed_as_told(session: &Session, host: &Host, last: u32, what: &str) {
    let left = host.uids();
    assert!(left.contains(&1) && left.contains(&3), "{what}: {left:?}");
    assert!(left.iter().all(|uid| [1, 2, 3, last].contains(uid)));
    let said = session.text().contains("+OK bye, deleted messages removed");
    assert!(!said || left == [1, 3], "{what}: {left:?}");
}

/// A session in which every kind of command occurs: a host, what is known of its mailbox, and how
/// the maildrop is made.
struct Kind {
    name: &'static str,
    host: Host,
    cached: Option<Arc<Snapshot>>,
    settings: Settings,
}

async fn kinds() -> Vec<Kind> {
    let mut all = Vec::new();
    let mut add = |name, host: &Host, cached: &Option<Arc<Snapshot>>, settings: Settings| {
        all.push(Kind {
            name,
            host: host.clone(),
            cached: cached.clone(),
            settings,
        });
    };
    let usual = Settings::default;
    for uid_plus in [true, false] {
        let mut host = Host::with(MAILS);
        host.uid_plus = uid_plus;
        let first = Play::default().run(host.clone(), "QUIT\r\n").await;
        let known = first.unwrap().served.remainder;
        add("a first visit", &host, &None, usual());
        add("another visit", &host, &known, usual());
        if !uid_plus {
            continue;
        }
        // New mail since then, by each of the ways in which what is gone is found out.
        for (name, esearch, qresync) in [
            ("new mail", false, false),
            ("new mail, ESEARCH", true, false),
            ("new mail, QRESYNC", true, true),
        ] {
            let mut host = Host::with(MAILS);
            (host.esearch, host.qresync) = (esearch, qresync);
            let mut before = host.clone();
            before.mail.remove(&4);
            let gone = before.mail[&3].clone();
            before.mail.insert(5, gone);
            before.uid_next = 6;
            let first = Play::default().run(before, "QUIT\r\n").await;
            let known = first.unwrap().served.remainder;
            let mail = host.mail.remove(&4).unwrap();
            host.mail.insert(6, mail);
            host.uid_next = 7;
            add(name, &host, &known, usual());
        }
        let hide = Settings {
            hide_deleted: HideDeleted::Yes,
            ..usual()
        };
        add("hidden ones", &host, &None, hide);
        for (name, moves) in [("to the trash", true), ("copied to the trash", false)] {
            let list = "* LIST (\\Trash) \"/\" Trash\r\n$T OK x\r\n";
            let mut host = host.clone().rule("LIST (SPECIAL-USE)", list);
            host.moves = moves;
            let trash = Settings {
                delete: Delete::Trash,
                ..usual()
            };
            add(name, &host, &None, trash);
        }
    }
    all
}

/// NO, BAD, BYE, silence and a closed connection in place of the answer to every command, and in
/// place of every later one like it, in every kind of session.
#[tokio::test(start_paused = true)]
async fn refusals_at_each_step() {
    const ANSWERS: &[&str] = &[
        "$T NO x\r\n",
        "$T NO [UNAVAILABLE] x\r\n",
        "$T BAD x\r\n",
        "* BYE x\r\n$CLOSE",
        "$MODEL* BYE x\r\n$CLOSE",
        "",
        "$CLOSE",
    ];
    let mut steps = 0;
    let mut seen = BTreeSet::new();
    for kind in kinds().await {
        let last = *kind.host.mail.keys().last().unwrap();
        let play = |host| Play {
            settings: kind.settings.clone(),
            cached: kind.cached.clone(),
            later: super::Later::of(vec![host]),
            ..Play::default()
        };
        let whole = play(kind.host.clone())
            .run(kind.host.clone(), COMMANDS)
            .await;
        let whole = whole.unwrap();
        assert_eq!(whole.host.uids(), [1, 3], "{}", kind.name);
        for command in &whole.host.log {
            seen.insert(verb(command));
            for answer in ANSWERS {
                for once in [true, false] {
                    let what = format!("{}: {command} {answer:?} {once}", kind.name);
                    let mut bad = kind.host.clone();
                    bad.rules
                        .retain(|(beginning, _)| !command.starts_with(beginning.as_str()));
                    bad = bad.rule(command, answer);
                    if once {
                        bad = bad.rule(command, "$MODEL");
                    }
                    let Ok(session) = play(bad.clone()).run(bad, COMMANDS).await else {
                        // The login was refused: nothing happened at all.
                        continue;
                    };
                    steps += 1;
                    bodies_are_right(&session, &what);
                    let host = session.later.last().unwrap_or(&session.host);
                    removed_as_told(&session, host, last, &what);
                }
            }
        }
    }
    let every = [
        "ENABLE",
        "EXPUNGE",
        "LIST",
        "LOGOUT",
        "SELECT",
        "STATUS",
        "UID COPY",
        "UID EXPUNGE",
        "UID FETCH",
        "UID MOVE",
        "UID SEARCH",
        "UID STORE",
    ];
    assert_eq!(seen, every.map(str::to_owned).into_iter().collect());
    assert!(steps > 800, "{steps}");
}

fn verb(command: &str) -> String {
    let mut words = command.split(' ');
    let first = words.next().unwrap();
    match first {
        "UID" => format!("UID {}", words.next().unwrap()),
        first => first.to_owned(),
    }
}

/// Sequence numbers shift under the answers: rows are matched by UID, so nobody notices.
#[tokio::test(start_paused = true)]
async fn an_expunge_in_the_middle_of_fetches() {
    let body = |n: u32, uid: u32, text: &str| {
        format!(
            "* {n} FETCH (UID {uid} BODY[] {{{}}}\r\n{text}\r\n)\r\n",
            text.len() + 2
        )
    };
    // Another session removes message 2 while 3 and 4 are on their way.
    let host = Host::with(MAILS)
        .rule(
            "UID FETCH 3 (UID BODY",
            &format!("* 2 EXPUNGE\r\n{}$T OK x\r\n", body(2, 3, "three")),
        )
        .rule(
            "UID FETCH 4 (UID BODY",
            &format!("{}* 3 EXISTS\r\n$T OK x\r\n", body(3, 4, "four")),
        );
    let commands = "RETR 1\r\nRETR 2\r\nRETR 3\r\nRETR 4\r\nLIST\r\nDELE 3\r\nQUIT\r\n";
    for cut in [0, 1, 8] {
        let play = Play {
            cut,
            ..Play::default()
        };
        let session = play.run(host.clone(), commands).await.unwrap();
        assert_eq!(
            session.text(),
            "+OK 5 octets\none\n.\n+OK 5 octets\ntwo\n.\n+OK 7 octets\nthree\n.\n\
             +OK 6 octets\nfour\n.\n+OK 4 messages (23 octets)\n1 5\n2 5\n3 7\n4 6\n.\n\
             +OK message deleted\n+OK bye, deleted messages removed\n"
        );
        assert_eq!(session.host.uids(), [1, 2, 4]);
    }
    // And while the list is on its way: by EXISTS and a search it is found out.
    let mut host = Host::with(MAILS);
    host.mail.remove(&2);
    let rows = "* 1 FETCH (UID 1 RFC822.SIZE 5)\r\n* 2 FETCH (UID 2 RFC822.SIZE 5)\r\n\
                * 2 EXPUNGE\r\n* 2 FETCH (UID 3 RFC822.SIZE 7)\r\n* 3 FETCH (UID 4 RFC822.SIZE 6)\r\n";
    let host = host
        .rule(
            "SELECT",
            "* 4 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 5] x\r\n$T OK x\r\n",
        )
        .rule("UID FETCH 1:*", &format!("{rows}$T OK x\r\n"));
    let session = Play::default()
        .run(host, "LIST\r\nRETR 2\r\nQUIT\r\n")
        .await;
    assert_eq!(
        session.unwrap().text(),
        "+OK 3 messages (18 octets)\n1 5\n2 7\n3 6\n.\n+OK 7 octets\nthree\n.\n+OK bye\n"
    );
}

/// Only a host that answers some of a burst and then nothing looks as if it lost the others: not one that
/// is slow, nor one that was not sent a burst.
#[tokio::test(start_paused = true)]
async fn a_slow_host_is_not_taken_for_one_that_loses_bursts() {
    const BURST: &str = "select, in one burst";
    const SOME: &str = "* 1 FETCH (UID 1 RFC822.SIZE 5)\r\n";
    for (rule, answer, pipelining, want) in [
        ("SELECT", "", Pipelining::Kept, "select"),
        ("UID FETCH 1:*", "", Pipelining::Kept, BURST),
        ("UID FETCH 1:*", SOME, Pipelining::Kept, "select"),
        ("UID FETCH 1:*", "", Pipelining::Lost, "select"),
        ("SELECT", "", Pipelining::Lost, "select"),
    ] {
        let play = Play {
            pipelining,
            ..Play::default()
        };
        let session = play
            .run(Host::with(MAILS).rule(rule, answer), COMMANDS)
            .await;
        let failure = session.err().unwrap();
        assert_eq!(
            failure,
            Failure::TimedOut { state: want },
            "{rule} {answer}"
        );
    }
    // Nor is one that has opened the mailbox, and is slow with what comes then.
    let mut exact = Play::default();
    exact.settings.sizes = Sizes::Exact;
    let host = Host::with(MAILS).rule("UID FETCH 2 ", "");
    let failure = exact.run(host, COMMANDS).await.err().unwrap();
    assert_eq!(failure, Failure::TimedOut { state: "select" });
}

/// A host that loses what is sent ahead is given one command at a time, whatever is done with it.
#[tokio::test(start_paused = true)]
async fn a_host_that_loses_bursts() {
    for uid_plus in [true, false] {
        let mut host = Host::with(MAILS);
        (host.forgetful, host.uid_plus) = (true, uid_plus);
        let play = Play {
            pipelining: Pipelining::Lost,
            ..Play::default()
        };
        let session = play.run(host.clone(), COMMANDS).await.unwrap();
        let plain = Play::default();
        host.forgetful = false;
        let usual = plain.run(host, COMMANDS).await.unwrap();
        assert_eq!(session.text(), usual.text());
        assert_eq!(session.host.uids(), [1, 3]);
    }
}
