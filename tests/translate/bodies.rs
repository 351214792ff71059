//! RETR and TOP: what hosts answer to a FETCH, and what a client is told then.

use super::host::Host;
use super::{ONE, Play, TWO, play};

const FETCH: &str = "UID FETCH 1 (UID BODY.PEEK[])";
const PROBE: &str = "UID FETCH 1 (UID)";

/// The end of every session below: the connection to the client works on.
const LATER: &str = "+OK 2 54\n+OK bye\n";
const ERR_GONE: &str = "-ERR message expunged\n";
const ERR_UNREADABLE: &str =
    "-ERR [SYS/TEMP] the message cannot be read now, try again later (S1)\n";
const ERR_LIMIT: &str = "-ERR [SYS/TEMP] the mail server is at a limit, try again later (S1)\n";
const ERR_LOST: &str = "-ERR [SYS/TEMP] the mail server cannot be reached, try again later (S1)\n";
const GOT: &str = "+OK 29 octets\nSubject: one\n\nfirst\n..dot\n.\n";
/// As it stands on the host's side.
const BODY: &str = "Subject: one\r\n\r\nfirst\r\n.dot\r\n";

/// What a host answers to the FETCH of message 1, and what the client reads.
fn answers() -> Vec<(&'static str, String, &'static str, String)> {
    let there = "$MODEL";
    let gone = "$T OK done\r\n";
    let row = |items: &str| format!("* 1 FETCH ({items})\r\n$T OK done\r\n");
    let literal = format!("{{29}}\r\n{BODY}");
    let then = |answer: &str| format!("{answer}{LATER}");
    let half = "+OK 29 octets\nSubject: one\n\nfirs";
    vec![
        // No row at all.
        (
            "no row, gone",
            "$T OK done\r\n".into(),
            gone,
            then(ERR_GONE),
        ),
        (
            "no row, there",
            "$T OK done\r\n".into(),
            there,
            then(ERR_UNREADABLE),
        ),
        (
            "no row, probe refused",
            "$T OK done\r\n".into(),
            "$T NO x\r\n",
            then(ERR_UNREADABLE),
        ),
        // Rows that bring nothing.
        ("NIL, gone", row("UID 1 BODY[] NIL"), gone, then(ERR_GONE)),
        (
            "NIL, there",
            row("UID 1 BODY[] NIL"),
            there,
            then(ERR_UNREADABLE),
        ),
        (
            "empty string, gone",
            row("UID 1 BODY[] \"\""),
            gone,
            then(ERR_GONE),
        ),
        (
            "empty string, there",
            row("UID 1 BODY[] \"\""),
            there,
            then(ERR_UNREADABLE),
        ),
        (
            "empty literal, gone",
            row("UID 1 BODY[] {0}\r\n"),
            gone,
            then(ERR_GONE),
        ),
        (
            "empty literal, there",
            row("BODY[] {0}\r\n UID 1"),
            there,
            then(ERR_UNREADABLE),
        ),
        ("no value", row("UID 1 BODY[]"), gone, then(ERR_UNREADABLE)),
        ("no item", row("UID 1 "), gone, then(ERR_UNREADABLE)),
        (
            "cannot open",
            "* 1 FETCH (UID 1)\r\n* NO [ALERT] Cannot open message\r\n$T OK done\r\n".into(),
            gone,
            then(ERR_UNREADABLE),
        ),
        // Refusals.
        (
            "NO, gone",
            "$T NO [EXPUNGEISSUED] x\r\n".into(),
            gone,
            then(ERR_GONE),
        ),
        (
            "NO, there",
            "$T NO x\r\n".into(),
            there,
            then(ERR_UNREADABLE),
        ),
        (
            "LIMIT",
            "$T NO [LIMIT] Rate limit hit\r\n".into(),
            gone,
            then(ERR_LIMIT),
        ),
        (
            "THROTTLED",
            "$T NO [THROTTLED] x\r\n".into(),
            gone,
            then(ERR_LIMIT),
        ),
        ("BAD", "$T BAD x\r\n".into(), gone, then(ERR_UNREADABLE)),
        // Ends of the connection.
        (
            "BYE",
            "* BYE x\r\n* BYE x\r\n$CLOSE".into(),
            gone,
            then(ERR_LOST),
        ),
        ("close", "$CLOSE".into(), gone, then(ERR_LOST)),
        (
            "close in the row",
            "* 1 FETCH (UID 1 BOD$CLOSE".into(),
            gone,
            then(ERR_LOST),
        ),
        (
            "close in the body",
            "* 1 FETCH (UID 1 BODY[] {29}\r\nSubject: one\r\n\r\nfirs$CLOSE".into(),
            gone,
            half.into(),
        ),
        (
            "BYE instead of the list's end",
            format!("* 1 FETCH (UID 1 BODY[] {literal}* BYE\r\n"),
            gone,
            "+OK 29 octets\nSubject: one\n\nfirst\n..dot\n".into(),
        ),
        (
            "close behind the body",
            format!("* 1 FETCH (UID 1 BODY[] {literal}$CLOSE"),
            gone,
            "+OK 29 octets\nSubject: one\n\nfirst\n..dot\n".into(),
        ),
        (
            "close behind an unnamed body",
            format!("* 1 FETCH (BODY[] {literal}$CLOSE"),
            gone,
            "+OK 29 octets\nSubject: one\n\nfirst\n..dot\n".into(),
        ),
        (
            "NO behind the body",
            format!("* 1 FETCH (UID 1 BODY[] {literal})\r\n$T NO x\r\n"),
            gone,
            then(GOT),
        ),
        // Whose body is it?
        (
            "UID behind the body",
            row(&format!("BODY[] {literal} UID 1")),
            gone,
            then(GOT),
        ),
        (
            "another UID before",
            row("UID 2 BODY[] {3}\r\nabc"),
            gone,
            then(ERR_UNREADABLE),
        ),
        (
            "another UID behind",
            row("BODY[] {3}\r\nabc UID 2"),
            gone,
            "+OK 3 octets\nabc".into(),
        ),
        (
            "UID 0 before",
            row("UID 0 BODY[] {3}\r\nabc"),
            gone,
            then(ERR_UNREADABLE),
        ),
        (
            "UID 0 behind",
            row("BODY[] {3}\r\nabc UID 0"),
            gone,
            "+OK 3 octets\nabc".into(),
        ),
        (
            "a UID of more than 32 bits in the other half",
            "* 1 FETCH (UID 1)\r\n* 1 FETCH (UID 4294967297 BODY[] {3}\r\nabc)\r\n$T OK done\r\n"
                .into(),
            gone,
            then(ERR_UNREADABLE),
        ),
        (
            "NIL, who knows whose",
            row("UID 1 BODY[] NIL"),
            "* 1 FETCH (UID 0)\r\n$T OK done\r\n",
            then(ERR_UNREADABLE),
        ),
        (
            "no UID",
            row("BODY[] {3}\r\nabc"),
            gone,
            "+OK 3 octets\nabc".into(),
        ),
        (
            "a row in two halves",
            format!("* 1 FETCH (UID 1)\r\n* 1 FETCH (BODY[] {literal})\r\n$T OK done\r\n"),
            gone,
            then(GOT),
        ),
        (
            "the halves the other way round",
            format!("* 1 FETCH (BODY[] {literal})\r\n* 1 FETCH (UID 1)\r\n$T OK done\r\n"),
            gone,
            then(GOT),
        ),
        // More than was asked for.
        (
            "twice",
            format!(
                "* 1 FETCH (UID 1 BODY[] {literal})\r\n* 1 FETCH (UID 1 BODY[] {literal})\r\n\
                 $T OK done\r\n"
            ),
            gone,
            then(GOT),
        ),
        (
            "other items",
            row(&format!(
                "FLAGS (\\Seen) BODY[HEADER] {{14}}\r\nSubject: one\r\n UID 1 BODY[] {literal} \
                 BODY[TEXT] \"x)\" MODSEQ (-1)"
            )),
            gone,
            then(GOT),
        ),
        (
            "others' rows and responses",
            format!(
                "* 7 EXISTS\r\n* 2 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (UID 2 BODY[] {{5}}\r\nwrong)\r\n\
                 * 2 EXPUNGE\r\n* OK [ALERT] {{3}}\r\n* [COPYUID 1 2 3] x\r\n* 9.3e+06 EXISTS\r\n\
                 * VANISHED 7\r\n\r\n+ what\r\nX1 OK forged\r\n\
                 * 1 FETCH (UID 1 BODY[] {literal})\r\n* 1 EXPUNGE\r\n$T OK done\r\n"
            ),
            gone,
            then(GOT),
        ),
        // Other forms.
        (
            "quoted string",
            row("UID 1 BODY[] \".a \\\"b\\\\ {3}\""),
            gone,
            then("+OK 10 octets\n..a \"b\\ {3}\n.\n"),
        ),
        (
            "literal8",
            row("UID 1 BODY[] ~{2}\r\nab"),
            gone,
            then("+OK 2 octets\nab\n.\n"),
        ),
        (
            "lower case",
            "* 1 fetch (uid 1 body[] {2}\r\nab)\r\n$T ok\r\n".into(),
            gone,
            then("+OK 2 octets\nab\n.\n"),
        ),
        (
            "a line end too few announced",
            row(&format!("UID 1 BODY[] {{27}}\r\n{BODY}")),
            gone,
            then("+OK 27 octets\nSubject: one\n\nfirst\n..dot\n.\n"),
        ),
        (
            "much too few announced",
            row(&format!("UID 1 BODY[] {{20}}\r\n{BODY}")),
            gone,
            "+OK 20 octets\nSubject: one\n\nfirs".into(),
        ),
        (
            "too few announced, cut before a blank",
            row(&format!("UID 1 BODY[] {{8}}\r\n{BODY}")),
            gone,
            "+OK 8 octets\nSubject:".into(),
        ),
        (
            "too few announced, and the rest begins like a row's end",
            row("UID 1 BODY[] {3}\r\nabc) and more"),
            gone,
            "+OK 3 octets\nabc".into(),
        ),
        (
            "too few announced, and the rest begins like an item",
            row("UID 1 BODY[] {3}\r\nabc line 2 of 5"),
            gone,
            "+OK 3 octets\nabc".into(),
        ),
        (
            "too few announced, and a line of it ends like a row",
            row("UID 1 BODY[] {3}\r\nabc)\r\nmore\r\n"),
            gone,
            "+OK 3 octets\nabc".into(),
        ),
        (
            "no end of the row",
            format!("* 1 FETCH (UID 1 BODY[] {literal} FLAGS (\\Seen)\r\n$T OK done\r\n"),
            gone,
            "+OK 29 octets\nSubject: one\n\nfirst\n..dot\n".into(),
        ),
        (
            "something behind the row",
            format!("* 1 FETCH (UID 1 BODY[] {literal}) x\r\n$T OK done\r\n"),
            gone,
            "+OK 29 octets\nSubject: one\n\nfirst\n..dot\n".into(),
        ),
        (
            "a quoted string that goes on",
            row("UID 1 BODY[] \"abc\"def\""),
            gone,
            then(ERR_LOST),
        ),
        (
            "a string nobody asked for that goes on",
            row(&format!(
                "BODY[HEADER] {{10}}\r\nSubject: one\r\n UID 1 BODY[] {literal}"
            )),
            gone,
            then(ERR_LOST),
        ),
        (
            "all kinds of items behind the body",
            row(&format!(
                "BODY[] {literal} UID 1 FLAGS (\\Seen $x (a) \"b)\") RFC822.SIZE -1 MODSEQ (7) \
                 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" ENVELOPE (NIL (\"a)\" NIL) \"\") \
                 BODY[HEADER.FIELDS (\"A\" B)]<0> {{2}}\r\n)  BINARY.SIZE[1] 7 X-GM-MSGID 12 \
                 x-guid \"7 (\" SNIPPET (FUZZY NIL) EMAILID (M1) THREADID NIL "
            )),
            gone,
            then(GOT),
        ),
        (
            "negative length",
            row(&format!("UID 1 BODY[] {{-1}}\r\n{BODY}")),
            gone,
            then(ERR_LOST),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_answer_to_fetch_has_its_meaning() {
    for (name, answer, probe, want) in answers() {
        for cut in [0, 1] {
            let mut host = Host::with(&[ONE, TWO])
                .rule(FETCH, &answer)
                .rule(PROBE, probe);
            host.cut = cut;
            let session = play(host, "RETR 1\r\nSTAT\r\nQUIT\r\n").await;
            assert_eq!(session.text(), want, "{name}, cut {cut}");
            assert_eq!(session.host.uids(), [1, 2], "{name}");
        }
    }
}

/// The connection to the host is cut at every octet of an answer: the client never reads an end
/// that is none.
#[tokio::test(start_paused = true)]
async fn a_body_cut_at_every_octet_never_looks_whole() {
    let answer = format!("* 1 FETCH (UID 1 BODY[] {{29}}\r\n{BODY})\r\n$T OK\r\n");
    for cut in 0..=answer.len() {
        let host = Host::with(&[ONE]).rule(FETCH, &format!("{}$CLOSE", &answer[..cut]));
        let text = play(host, "RETR 1\r\nNOOP\r\n").await.text();
        if cut < answer.find("Subject").unwrap() {
            assert_eq!(text, format!("{ERR_LOST}+OK\n"), "{cut}");
        } else if cut < answer.find("$T").unwrap() {
            assert!(
                text.starts_with("+OK 29 octets\n") && !text.contains("\n.\n"),
                "{cut}: {text}"
            );
            assert!(!text.ends_with("+OK\n"), "{cut}: {text}");
        } else {
            // Its row is whole, and as long as the host had said.
            assert_eq!(text, format!("{GOT}+OK\n"), "{cut}");
        }
    }
}

/// A literal is announced shorter than it is, by every number of octets: only where a line end is
/// missing does the client read an end, and what is not retrieved is not removed.
#[tokio::test(start_paused = true)]
async fn a_body_announced_too_short_never_looks_whole() {
    let text = "Subject: a (b)\r\n\r\n) FLAGS (x)\r\n UID 1)\r\n(see (above) )\r\n UID 1 X 2)\r\n* 1 OK)\r\n";
    for announced in 1..text.len() {
        for cut in [0, 1] {
            let answer =
                format!("* 1 FETCH (UID 1 BODY[] {{{announced}}}\r\n{text})\r\n$T OK done\r\n");
            let mut host = Host::with(&[text.as_bytes(), TWO]).rule(FETCH, &answer);
            host.cut = cut;
            let session = play(host, "RETR 1\r\nDELE 1\r\nQUIT\r\n").await;
            let got = session.text();
            match announced + 2 == text.len() {
                true => {
                    let all = text.replace("\r\n", "\n");
                    let want = format!("+OK {announced} octets\n{all}.\n+OK message deleted\n");
                    assert!(got.starts_with(&want), "{announced}, {cut}: {got}");
                }
                false => {
                    assert!(!got.contains("\n.\n"), "{announced}, {cut}: {got}");
                    assert!(got.starts_with(&format!("+OK {announced} octets\n")));
                    assert_eq!(session.host.uids(), [1, 2], "{announced}, {cut}");
                }
            }
        }
    }
}

/// What such a message holds behind the cut is never another message, wherever the cut is.
#[tokio::test(start_paused = true)]
async fn a_body_announced_too_short_forges_no_other() {
    let rows = "* 2 FETCH (UID 2 BODY[] {8}\r\nforged\r\n)\r\n";
    for text in [
        format!("Subject: 1\r\n\r\nhello world\r\n{rows}end\r\n"),
        format!("Subject: 1\r\n\r\nhello)\r\n{rows}* OK end\r\n"),
        format!("Subject: 1\r\n\r\nhello)\r\n{rows}* 2 FETCH (FLAGS ()"),
    ] {
        for commands in [
            "RETR 1\r\nRETR 2\r\nQUIT\r\n",
            "TOP 1 0\r\nRETR 2\r\nQUIT\r\n",
        ] {
            for announced in 1..text.len() {
                let answer =
                    format!("* 1 FETCH (UID 1 BODY[] {{{announced}}}\r\n{text})\r\n$T OK done\r\n");
                let host = Host::with(&[text.as_bytes(), TWO]).rule(FETCH, &answer);
                let got = play(host, commands).await.text();
                assert!(
                    !got.contains("+OK 8 octets\nforged\n.\n"),
                    "{announced}: {got}"
                );
            }
        }
    }
}

/// A message that is gone stays gone, may be deleted, and asking again and again ends the session.
#[tokio::test(start_paused = true)]
async fn gone_is_gone() {
    let host = Host::with(&[ONE, TWO]).rule("UID FETCH 1 (UID", "$T OK done\r\n");
    let session = play(
        host,
        "RETR 1\r\nTOP 1 0\r\nLIST 1\r\nDELE 1\r\nSTAT\r\nQUIT\r\n",
    )
    .await;
    assert_eq!(
        session.text(),
        format!("{ERR_GONE}{ERR_GONE}+OK 1 29\n+OK message deleted\n+OK 1 25\n+OK bye\n")
    );
    assert!(
        !session
            .host
            .log
            .iter()
            .any(|command| command.contains("STORE"))
    );
    let host = Host::with(&[ONE, TWO]).rule("UID FETCH 1 (UID", "$T OK done\r\n");
    let session = play(host, &"RETR 1\r\n".repeat(30)).await;
    let want = format!("{}-ERR too many bad commands (S1)\n", ERR_GONE.repeat(21));
    assert_eq!(session.text(), want);
}

#[tokio::test(start_paused = true)]
async fn an_empty_message_is_believed_where_it_was_announced() {
    let session = play(Host::with(&[b"", TWO]), "RETR 1\r\nTOP 1 5\r\nQUIT\r\n").await;
    assert_eq!(session.text(), "+OK 0 octets\n.\n+OK\n.\n+OK bye\n");
}

#[tokio::test(start_paused = true)]
async fn top_shows_what_it_should() {
    let mut long = b"Subject: long\r\n\r\n".to_vec();
    (0..5000).for_each(|n| long.extend_from_slice(format!("line {n}\r\n").as_bytes()));
    let mut header = b"".to_vec();
    (0..900).for_each(|n| header.extend_from_slice(format!("X-{n}: y\r\n").as_bytes()));
    let mails: &[&[u8]] = &[ONE, &long, &header, b"\r\nno header\r\n", b"a: b\n\n.c\nd"];
    let ask =
        "TOP 1 0\r\nTOP 1 1\r\nTOP 2 0\r\nTOP 2 2\r\nTOP 3 0\r\nTOP 4 0\r\nTOP 4 1\r\nTOP 5 1\r\n";
    let part = "Subject: long\n\nline 0\nline 1\n";
    let header = String::from_utf8(header.clone())
        .unwrap()
        .replace("\r\n", "\n");
    let want = format!(
        "+OK\nSubject: one\n\n.\n+OK\nSubject: one\n\nfirst\n.\n+OK\n{}.\n+OK\n{part}.\n\
         +OK\n{header}.\n+OK\n\n.\n+OK\n\nno header\n.\n+OK\na: b\n\n..c\n.\n",
        &part[..15],
    );
    for factor in [1.0, 3.0, 0.3, 0.0] {
        // However wrong the sizes are.
        let mut host = Host::with(mails);
        for mail in host.mail.values_mut() {
            mail.size = Some((mail.octets.len() as f64 * factor) as u64);
        }
        assert_eq!(play(host, ask).await.text(), want, "sizes times {factor}");
    }
    // A host that knows no parts: the whole message comes, and what is too much is drained.
    let whole = format!(
        "* 2 FETCH (UID 2 BODY[] {{{}}}\r\n{})\r\n$T OK done\r\n",
        long.len(),
        String::from_utf8(long.clone()).unwrap()
    );
    let host = Host::with(mails).rule("UID FETCH 2 (UID BODY.PEEK[]<", &whole);
    assert_eq!(play(host, ask).await.text(), want);
    // All of a long message, by windows.
    let text = play(Host::with(mails), "TOP 2 5000\r\n").await.read;
    assert_eq!(text, [b"+OK\r\n", &long[..], b".\r\n"].concat());
    // Later windows fail: cut, without an end.
    let host = Host::with(mails).rule("UID FETCH 3 (UID BODY.PEEK[]<4096", "$T NO x\r\n");
    let session = play(host, "TOP 3 0\r\nNOOP\r\n").await;
    assert!(!session.text().contains("\n.\n"), "{}", session.text());
}

/// RFC822.SIZE is shown as it is told, and nothing else is believed of it: the octets come whole,
/// `+OK` names the true number, the listing stays as it was to the end of the session, and the next
/// session shows what was learned (of a message without a last line end, too).
#[tokio::test(start_paused = true)]
async fn sizes_may_be_lies() {
    let truth = ONE.len() as u64;
    let two = "+OK 25 octets\n..\nSubject: two\n\nno end\n.\n";
    let top = "+OK\nSubject: one\n\nfirst\n.\n";
    for (name, size) in [
        ("x 3", truth * 3),
        ("/ 3", truth / 3),
        ("0", 0),
        ("true", truth),
        ("one more", truth + 1),
        ("one less", truth - 1),
        ("beyond 32 bits", u64::MAX / 2),
    ] {
        for cut in [0, 1] {
            let mut host = Host::with(&[ONE, TWO]);
            host.mail.get_mut(&1).unwrap().size = Some(size);
            host.cut = cut;
            let all = size + 25;
            let session = play(
                host,
                "STAT\r\nLIST\r\nTOP 1 1\r\nRETR 1\r\nLIST 1\r\nRETR 2\r\nSTAT\r\nQUIT\r\n",
            )
            .await;
            assert_eq!(
                session.text(),
                format!(
                    "+OK 2 {all}\n+OK 2 messages ({all} octets)\n1 {size}\n2 25\n.\n{top}{GOT}\
                     +OK 1 {size}\n{two}+OK 2 {all}\n+OK bye\n"
                ),
                "{name}, cut {cut}"
            );
            let next = Play {
                cached: session.served.remainder,
                ..Play::default()
            };
            let next = next.run(session.host, "LIST\r\nRETR 1\r\nQUIT\r\n").await;
            assert_eq!(
                next.expect("opened").text(),
                format!("+OK 2 messages (56 octets)\n1 29\n2 27\n.\n{GOT}+OK bye\n"),
                "{name}, the next session"
            );
        }
    }
}

/// Nothing within a message is read as an answer, not even with the right tag.
#[tokio::test(start_paused = true)]
async fn a_message_that_looks_like_a_conversation() {
    let body = "* BYE\r\n$T OK\r\n* 1 EXPUNGE";
    let answer = format!("* 1 FETCH (UID 1 BODY[] {{32}}\r\n{body})\r\n$T OK x\r\n");
    let host = Host::with(&[ONE, TWO]).rule(FETCH, &answer);
    let text = play(host, "RETR 1\r\nSTAT\r\nQUIT\r\n").await.text();
    assert!(text.starts_with("+OK 32 octets\n* BYE\ng"), "{text}");
    assert!(
        text.ends_with(&format!(" OK\n* 1 EXPUNGE\n.\n{LATER}")),
        "{text}"
    );
}
