//! The host dies at every octet of what it says, in every kind of session: the client never reads
//! an end that is none, nothing is removed that was not marked, and where another connection can be
//! had, nobody notices.

use std::sync::Arc;

use gatepost::protocol::imap::snapshot::Snapshot;

use super::host::{Host, Shared};
use super::{Later, ONE, Play, Session, TWO};

const MAILS: &[&[u8]] = &[ONE, TWO, b"c\r\n"];

/// What a client does, and what is in the mailbox when it was told that all is well.
const SESSIONS: &[(&str, &[u32])] = &[
    ("STAT\r\nQUIT\r\n", &[1, 2, 3]),
    ("UIDL\r\nLIST\r\nUIDL 2\r\nQUIT\r\n", &[1, 2, 3]),
    ("RETR 1\r\nRETR 2\r\nRETR 3\r\nQUIT\r\n", &[1, 2, 3]),
    ("TOP 1 1\r\nTOP 2 0\r\nQUIT\r\n", &[1, 2, 3]),
    ("DELE 1\r\nDELE 3\r\nQUIT\r\n", &[2]),
    ("RETR 3\r\nDELE 3\r\nQUIT\r\n", &[1, 2]),
];

/// Whether there is another host when the first is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Nobody,
    /// With the mailbox as it was left.
    Another,
}

async fn session(
    host: &Host,
    cached: Option<Arc<Snapshot>>,
    commands: &str,
    (dies_after, after): (usize, After),
) -> Option<Session> {
    let shared = Shared::default();
    let host = Host {
        shared: Some(shared),
        ..host.clone()
    };
    let later = match after {
        After::Nobody => vec![],
        After::Another => vec![host.clone()],
    };
    let play = Play {
        cached,
        later: Later::of(later),
        ..Play::default()
    };
    let host = Host {
        dies_after: Some(dies_after),
        ..host
    };
    // None: the login was refused, and nothing was asked for.
    play.run(host, commands).await.ok()
}

/// Every answer is the one of a session without trouble, or `-ERR [SYS/TEMP]`, or the last one and
/// without an end.
fn answers_are_honest(got: &str, want: &str, what: &str) {
    let wanted = answers(want);
    for (n, answer) in answers(got).into_iter().enumerate() {
        let right = wanted.get(n).unwrap_or_else(|| panic!("{what}: {got}"));
        let begun = answer.trim_end_matches('\r');
        let cut = right.starts_with(begun) && got.ends_with(&answer) && right.ends_with("\n.\n");
        let nothing_to_do = answer == "+OK bye\n" && !got.contains("message deleted");
        assert!(
            answer == *right || answer.starts_with("-ERR [SYS/TEMP] ") || cut || nothing_to_do,
            "{what}: {answer:?} for {right:?}"
        );
    }
}

/// A conversation cut into answers: a list or a message is one.
fn answers(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut within = false;
    for line in text.split_inclusive('\n') {
        match all.last_mut().filter(|_| within) {
            Some(last) => last.push_str(line),
            None => all.push(line.to_owned()),
        }
        within = match within {
            true => line != ".\n",
            false => line.ends_with(" octets\n") || line.contains(" messages") || line == "+OK\n",
        };
    }
    all
}

#[tokio::test(start_paused = true)]
async fn the_host_dies_at_every_octet_of_every_session() {
    let mut cuts = 0;
    for uid_plus in [true, false] {
        let mut host = Host::with(MAILS);
        host.uid_plus = uid_plus;
        let first = Play::default().run(host.clone(), "QUIT\r\n").await;
        let known = first.expect("opened").served.remainder;
        for cached in [None, known] {
            for (commands, left) in SESSIONS {
                let whole = session(&host, cached.clone(), commands, (usize::MAX, After::Nobody));
                let whole = whole.await.expect("opened");
                assert_eq!(whole.host.uids(), *left);
                let octets = usize::MAX - whole.host.dies_after.expect("counted");
                for after in [After::Nobody, After::Another] {
                    for cut in 0..octets {
                        let warm = cached.is_some();
                        let what = format!(
                            "{commands:?} cut at {cut}, then {after:?}, UIDPLUS {uid_plus}, {warm}"
                        );
                        let played = session(&host, cached.clone(), commands, (cut, after));
                        let Some(session) = played.await else {
                            continue;
                        };
                        cuts += 1;
                        let text = session.text();
                        answers_are_honest(&text, &whole.text(), &what);
                        let last = session.later.last().unwrap_or(&session.host);
                        let said = text.ends_with("+OK bye, deleted messages removed\n");
                        let uids = last.uids();
                        match said {
                            true => assert_eq!(uids, *left, "{what}"),
                            false => assert!(left.iter().all(|uid| uids.contains(uid)), "{what}"),
                        }
                        // What TOP shows is made of several fetches, and is not resumed.
                        if after == After::Another && !commands.contains("TOP") {
                            assert_eq!(text, whole.text(), "{what}");
                        }
                    }
                }
            }
        }
    }
    assert!(cuts > 5_000, "{cuts}");
}
