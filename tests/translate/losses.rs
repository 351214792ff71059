//! The connection to the host is lost, and another one takes its place.

use gatepost::protocol::pop3::config::Delete;
use tokio::time::Instant;

use super::host::Host;
use super::{Later, ONE, Play, Session, TWO};

const THREE: &[&[u8]] = &[ONE, TWO, b"c\r\n"];
const BODY: &str = "Subject: one\r\n\r\nfirst\r\n.dot\r\n";
const GOT: &str = "+OK 29 octets\nSubject: one\n\nfirst\n..dot\n.\n";
const LOST: &str = "-ERR [SYS/TEMP] the mail server cannot be reached, try again later (S1)\n";
const CHANGED: &str = "-ERR [SYS/TEMP] the mailbox changed, log in again (S1)\n";

async fn play(host: Host, later: Vec<Host>, commands: &str) -> Session {
    let play = Play {
        later: Later::of(later),
        ..Play::default()
    };
    play.run(host, commands).await.expect("opened")
}

fn three() -> Host {
    Host::with(THREE)
}

/// Between commands, and before the first octet of an answer, nobody notices.
#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_replaced() {
    const FETCH: &str = "UID FETCH 1 (UID BODY";
    for answer in [
        "$CLOSE",
        "* BYE x\r\n",
        "* 1 FETCH (UID 1 BODY$CLOSE",
        "* 1 FETCH ((((",
        "",
    ] {
        let session = play(
            three().rule(FETCH, answer),
            vec![three()],
            "DELE 2\r\nRETR 1\r\nRETR 3\r\nSTAT\r\nQUIT\r\n",
        )
        .await;
        assert_eq!(
            session.text(),
            format!(
                "+OK message deleted\n{GOT}+OK 3 octets\nc\n.\n+OK 2 32\n\
                 +OK bye, deleted messages removed\n"
            ),
            "{answer}"
        );
        assert_eq!(session.host.uids(), [1, 2, 3]);
        assert_eq!(session.later[0].uids(), [1, 3]);
        assert_eq!(session.later[0].log[..1], ["SELECT \"INBOX\""]);
    }
    // The second is no better; the session goes on without a host.
    let bad = || three().rule(FETCH, "$CLOSE");
    let session = play(bad(), vec![bad()], "RETR 1\r\nSTAT\r\n").await;
    assert_eq!(session.text(), format!("{LOST}+OK 3 57\n"));
    let session = play(
        bad(),
        vec![three().rule("SELECT", "$T NO x\r\n")],
        "RETR 1\r\nSTAT\r\n",
    )
    .await;
    assert_eq!(session.text(), format!("{LOST}+OK 3 57\n"));
    // Other messages by now.
    let mut other = three();
    other.uid_validity += 1;
    let session = play(bad(), vec![other], "DELE 2\r\nRETR 1\r\nSTAT\r\n").await;
    assert_eq!(session.text(), format!("+OK message deleted\n{CHANGED}"));
    assert_eq!(session.later[0].log, ["SELECT \"INBOX\""]);
}

/// A silence may be a connection that died; two are a host that does not answer, and nobody waits for more.
#[tokio::test(start_paused = true)]
async fn a_host_that_stays_silent_is_asked_once_more() {
    const BODY: &str = "UID FETCH 1 (";
    const HALF: &str = "* 1 FETCH (UID 1 BODY[] {29}\r\nSubject";
    const UNKNOWN: &str =
        "-ERR [SYS/TEMP] the mail server was lost, some deleted messages may not be removed (S1)\n";
    let (retrieves, removes) = ("RETR 1\r\nQUIT\r\n", "DELE 1\r\nQUIT\r\n");
    for (command, first, commands, silence, told) in [
        (BODY, "", retrieves, 60, format!("{LOST}+OK bye\n")),
        (
            BODY,
            HALF,
            retrieves,
            60,
            "+OK 29 octets\nSubject".to_owned(),
        ),
        // A large mailbox takes its time.
        (
            "UID EXPUNGE",
            "",
            removes,
            300,
            format!("+OK message deleted\n{UNKNOWN}"),
        ),
    ] {
        let says = |words| three().rule(command, words);
        let later = (0..4).map(|_| says("")).collect();
        let begun = Instant::now();
        let session = play(says(first), later, commands).await;
        assert_eq!(session.text(), told);
        let took = begun.elapsed().as_secs();
        assert!((2 * silence..2 * silence + 10).contains(&took), "{took}");
        assert_eq!(session.later.len(), 1, "{command} {first}");
    }
}

/// What an answer was given to, be it a refusal, is not asked again when a later command loses its host.
#[tokio::test(start_paused = true)]
async fn what_was_answered_is_not_asked_again() {
    const UNREADABLE: &str =
        "-ERR [SYS/TEMP] the message cannot be read now, try again later (S1)\n";
    const SECOND: &str = "+OK 25 octets\n..\nSubject: two\n\nno end\n.\n";
    for (later, want) in [
        (
            vec![three().rule("UID FETCH 2 (UID BODY", "$CLOSE"), three()],
            SECOND,
        ),
        (
            vec![three().rule("SELECT", "$T NO [LIMIT] x\r\n"), three()],
            LOST,
        ),
    ] {
        let host = three().rule("UID FETCH 1 (UID BODY", "$T BAD x\r\n");
        let session = play(host, later, "RETR 1\r\nRETR 2\r\nQUIT\r\n").await;
        assert_eq!(session.text(), format!("{UNREADABLE}{want}+OK bye\n"));
    }
    // DELE has asked whether one may; QUIT is not taken for that question.
    let first = play(three(), vec![], "QUIT\r\n").await;
    let again = Play {
        cached: first.served.remainder,
        later: Later::of(vec![three().rule("SELECT", "$T NO x\r\n")]),
        ..Play::default()
    };
    let host = three().rule("UID FETCH 2 (UID BODY", "$T BAD x\r\n");
    let session = again.run(host, "DELE 1\r\nRETR 2\r\nQUIT\r\n").await;
    assert_eq!(
        session.expect("opened").text(),
        format!(
            "+OK message deleted\n{UNREADABLE}-ERR [SYS/TEMP] deleted messages not removed (S1)\n"
        )
    );
}

/// Every command has an answer while there is no host at all, QUIT too.
#[tokio::test(start_paused = true)]
async fn without_a_host_every_command_is_answered() {
    let commands = "DELE 3\r\nRETR 1\r\nRETR 2\r\nRETR 2\r\nNOOP\r\nQUIT\r\n";
    let host = three().rule("UID FETCH 1 (UID BODY", "$MODEL$CLOSE");
    let session = play(host, vec![], commands).await;
    assert_eq!(
        session.text(),
        format!(
            "+OK message deleted\n{GOT}{LOST}{LOST}+OK\n\
             -ERR [SYS/TEMP] deleted messages not removed (S1)\n"
        )
    );
    assert_eq!(session.host.uids(), [1, 2, 3]);
}

/// A body that broke off goes on where it stopped, if what comes is certainly the rest.
#[tokio::test(start_paused = true)]
async fn a_body_is_resumed() {
    let whole = format!("* 1 FETCH (UID 1 BODY[] {{29}}\r\n{BODY})\r\n");
    let start = whole.find("Subject").unwrap();
    for cut in start..whole.len() {
        let host = three().rule("UID FETCH 1 (", &format!("{}$CLOSE", &whole[..cut]));
        let session = play(host, vec![three()], "RETR 1\r\nRETR 3\r\n").await;
        assert_eq!(
            session.text(),
            format!("{GOT}+OK 3 octets\nc\n.\n"),
            "{cut}"
        );
    }
    let cut = format!("{}$CLOSE", &whole[..start + 10]);
    let part = "+OK 29 octets\nSubject: o";
    for (answer, want) in [
        // Longer, shorter, all of it, another message, none.
        (
            "* 1 FETCH (UID 1 BODY[]<10> {20}\r\nne\r\n\r\nfirst\r\n.dot.\r\n)\r\n$T OK\r\n",
            part,
        ),
        ("* 1 FETCH (UID 1 BODY[]<10> {2}\r\nne)\r\n$T OK\r\n", part),
        ("* 1 FETCH (UID 1 BODY[] {2}\r\nne)\r\n$T OK\r\n", part),
        (
            "* 1 FETCH (UID 2 BODY[]<10> {19}\r\nne\r\n\r\nfirst\r\n.dot\r\n)\r\n$T OK\r\n",
            part,
        ),
        ("$T OK\r\n", part),
        ("$T NO x\r\n", part),
        ("* 1 FETCH (UID 1 BODY[]<10> \"short\")\r\n$T OK\r\n", part),
    ] {
        let later = three().rule("UID FETCH 1 (UID BODY", answer);
        let session = play(
            three().rule("UID FETCH 1 (", &cut),
            vec![later],
            "RETR 1\r\nNOOP\r\n",
        )
        .await;
        assert_eq!(session.text(), want, "{answer}");
    }
    // Not from a host whose sizes were not the true ones, nor where the message was not named yet.
    let mut liar = three().rule("UID FETCH 1 (", &cut);
    liar.mail.get_mut(&1).unwrap().size = Some(30);
    assert_eq!(play(liar, vec![three()], "RETR 1\r\n").await.text(), part);
    let unnamed = three().rule(
        "UID FETCH 1 (",
        "* 1 FETCH (BODY[] {29}\r\nSubject: o$CLOSE",
    );
    assert_eq!(
        play(unnamed, vec![three()], "RETR 1\r\n").await.text(),
        part
    );
    let mut other = three();
    other.uid_validity += 1;
    let session = play(
        three().rule("UID FETCH 1 (", &cut),
        vec![other],
        "RETR 1\r\n",
    )
    .await;
    assert_eq!(session.text(), part);
}

/// QUIT is carried out on another connection; what was done already is not done twice.
#[tokio::test(start_paused = true)]
async fn quit_is_repeated() {
    const DONE: &str = "+OK bye, deleted messages removed\n";
    let commands = "DELE 1\r\nDELE 2\r\nQUIT\r\n";
    for (rule, answer) in [
        ("UID STORE", "$CLOSE"),
        ("UID STORE", "$MODEL$CLOSE"),
        ("UID EXPUNGE", "$CLOSE"),
        ("UID EXPUNGE", "* 1 EXPUNGE\r\n$CLOSE"),
    ] {
        let session = play(three().rule(rule, answer), vec![three()], commands).await;
        assert!(session.text().ends_with(DONE), "{rule} {answer}");
        assert_eq!(session.later[0].uids(), [3]);
    }
    let mut other = three();
    other.uid_validity += 1;
    let session = play(three().rule("UID STORE", "$CLOSE"), vec![other], commands).await;
    assert!(
        session.text().contains("-ERR [SYS/TEMP] "),
        "{}",
        session.text()
    );
    assert_eq!(session.later[0].uids(), [1, 2, 3]);
    let session = play(three().rule("UID STORE", "$CLOSE"), vec![], commands).await;
    assert!(
        session
            .text()
            .contains("-ERR [SYS/TEMP] the mail server was lost")
    );
    // DELE on a mailbox that was never selected, over a connection that is gone.
    let first = play(three(), vec![], "QUIT\r\n").await;
    let play = Play {
        cached: first.served.remainder,
        later: Later::of(vec![three()]),
        ..Play::default()
    };
    let host = three().rule("SELECT", "$CLOSE");
    let session = play
        .run(host, "STAT\r\nDELE 3\r\nQUIT\r\n")
        .await
        .expect("opened");
    assert_eq!(
        session.text(),
        format!("+OK 3 57\n+OK message deleted\n{DONE}")
    );
    assert_eq!(session.later[0].uids(), [1, 2]);
}

/// Where deleted mail goes is found out on another connection, too, and nobody says that nothing was removed
/// after something may have been.
#[tokio::test(start_paused = true)]
async fn quit_is_repeated_into_trash() {
    const DONE: &str = "+OK bye, deleted messages removed\n";
    const LIST: &str = "* LIST (\\Trash) \"/\" Bin\r\n$T OK\r\n";
    let trash = |moves| {
        let mut host = three().rule("LIST (SPECIAL-USE)", LIST);
        host.moves = moves;
        host
    };
    let delete = async |host: Host, later: Vec<Host>, commands: &str| {
        let mut play = Play {
            later: Later::of(later),
            ..Play::default()
        };
        play.settings.delete = Delete::Trash;
        play.run(host, commands).await.expect("opened")
    };
    let commands = "DELE 1\r\nDELE 2\r\nQUIT\r\n";
    for (moves, rule, answer) in [
        (true, "UID MOVE", "$CLOSE"),
        (true, "UID MOVE", "* 1 EXPUNGE\r\n$CLOSE"),
        (false, "UID COPY", "$CLOSE"),
        (false, "UID STORE", "$CLOSE"),
        (false, "UID EXPUNGE", "* 1 EXPUNGE\r\n$CLOSE"),
    ] {
        let session = delete(
            trash(moves).rule(rule, answer),
            vec![trash(moves)],
            commands,
        )
        .await;
        assert!(session.text().ends_with(DONE), "{rule}: {}", session.text());
        assert_eq!(session.later[0].uids(), [3], "{rule}");
        // What the first connection was told is copied is not copied again.
        let copied = matches!(rule, "UID STORE" | "UID EXPUNGE");
        let (before, after): (&[u32], &[u32]) = match copied {
            true => (&[1, 2], &[]),
            false => (&[], &[1, 2]),
        };
        assert_eq!(session.host.trash, before, "{rule}");
        assert_eq!(session.later[0].trash, after, "{rule}");
    }
    // Lost before QUIT: also where the host does not say what it can do.
    let retr = "DELE 1\r\nDELE 2\r\nRETR 3\r\nQUIT\r\n";
    let session = delete(
        trash(true).rule("UID FETCH 3 (UID BODY", "$CLOSE"),
        vec![trash(true)],
        retr,
    )
    .await;
    assert!(session.text().ends_with(DONE), "{}", session.text());
    assert_eq!(session.later[0].trash, [1, 2]);
    // Nowhere to put it any more: nothing was done, or nobody knows.
    let nowhere = || {
        let mut host = three();
        host.moves = true;
        host
    };
    let session = delete(
        trash(true).rule("UID FETCH 3 (UID BODY", "$CLOSE"),
        vec![nowhere()],
        retr,
    )
    .await;
    let text = session.text();
    assert!(
        text.ends_with("-ERR [SYS/TEMP] deleted messages not removed (S1)\n"),
        "{text}"
    );
    assert_eq!(session.later[0].uids(), [1, 2, 3]);
    let lost = trash(true).rule("UID MOVE", "* 1 EXPUNGE\r\n$CLOSE");
    let text = delete(lost, vec![nowhere()], commands).await.text();
    assert!(
        text.contains("-ERR [SYS/TEMP] the mail server was lost, some deleted"),
        "{text}"
    );
}

/// The mailbox of the new connection is another one, wherever in a session the old one was lost:
/// nothing of it is shown, nothing in it is marked or removed, and nothing is remembered.
#[tokio::test(start_paused = true)]
async fn uidvalidity_changed_on_reconnect() {
    const FETCH: &str = "UID FETCH 1 (UID BODY";
    // Of what was sent to the old one it is not known whether it was done.
    const UNKNOWN: &str =
        "-ERR [SYS/TEMP] the mail server was lost, some deleted messages may not be removed (S1)\n";
    let half = "* 1 FETCH (UID 1 BODY[] {29}\r\nSubject: o$CLOSE";
    let deleted = "+OK message deleted\n";
    // Messages of the same UIDs and sizes.
    let other = || {
        let mut host = Host::with(&[
            b"Subject: new\r\n\r\nfirst\r\n.dot\r\n",
            b".\r\nSubject: new\r\n\r\nno end",
            b"X\r\n",
        ]);
        host.uid_validity += 1;
        host
    };
    let known = play(three(), vec![], "QUIT\r\n").await.served.remainder;
    for (name, rule, answer, commands, want) in [
        (
            "RETR",
            FETCH,
            "$CLOSE",
            "RETR 1\r\nSTAT\r\n",
            CHANGED.to_owned(),
        ),
        (
            "TOP",
            FETCH,
            "$CLOSE",
            "TOP 1 0\r\nSTAT\r\n",
            CHANGED.into(),
        ),
        (
            "within a body",
            FETCH,
            half,
            "RETR 1\r\nSTAT\r\n",
            "+OK 29 octets\nSubject: o".into(),
        ),
        (
            "the next RETR",
            FETCH,
            "$MODEL$CLOSE",
            "RETR 1\r\nDELE 1\r\nRETR 3\r\nQUIT\r\n",
            format!("{GOT}{deleted}{CHANGED}"),
        ),
        (
            "STORE",
            "UID STORE",
            "$CLOSE",
            "DELE 1\r\nDELE 2\r\nQUIT\r\n",
            format!("{deleted}{deleted}{UNKNOWN}"),
        ),
        (
            "EXPUNGE",
            "UID EXPUNGE",
            "$CLOSE",
            "DELE 1\r\nDELE 2\r\nQUIT\r\n",
            format!("{deleted}{deleted}{UNKNOWN}"),
        ),
    ] {
        let session = play(three().rule(rule, answer), vec![other()], commands).await;
        assert_eq!(session.text(), want, "{name}");
        let there = &session.later[0];
        assert_eq!(there.uids(), [1, 2, 3], "{name}");
        assert!(!there.mail.values().any(|mail| mail.deleted || mail.seen));
        assert_eq!(there.log[0], "SELECT \"INBOX\"", "{name}");
        let uids = there.log.iter().any(|command| command.starts_with("UID"));
        assert!(!uids, "{name}: {:?}", there.log);
        assert_eq!(session.served.remainder, None, "{name}");
    }
    // The list was known from before, and nothing was selected yet: STATUS spoke of the old mailbox.
    for (commands, want) in [
        ("STAT\r\nRETR 1\r\nSTAT\r\n", format!("+OK 3 57\n{CHANGED}")),
        ("STAT\r\nDELE 1\r\nSTAT\r\n", format!("+OK 3 57\n{CHANGED}")),
    ] {
        let play = Play {
            cached: known.clone(),
            later: Later::of(vec![other()]),
            ..Play::default()
        };
        let session = play.run(three().rule("SELECT", "$CLOSE"), commands).await;
        let session = session.expect("opened");
        assert_eq!(session.text(), want);
        assert_eq!(session.later[0].uids(), [1, 2, 3]);
        assert_eq!(session.served.remainder, None);
    }
}
