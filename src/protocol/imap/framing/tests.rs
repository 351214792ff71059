//! Conversations of both sides, cut at any place, and what may be said or passed then.

use super::*;

mod astray;
mod early;
mod hidden;
mod smuggled;

/// `c` is fed from the client, `h` from the host; behind each: may a BYE be said? `blind` and
/// `end` are the other outcomes.
type Script<'a> = &'a [(char, &'a [u8], &'a str)];

fn outcome(framing: &Framing, verdict: Verdict) -> &'static str {
    match (verdict, framing.goodbye(Farewell::Shutdown)) {
        (Verdict::End, _) => "end",
        (_, None) => "wait",
        (_, Some(words)) if words.is_empty() => "blind",
        (_, Some(words)) => {
            assert!(words.starts_with(b"* BYE ") && words.ends_with(b" (S1)\r\n"));
            "bye"
        }
    }
}

/// Plays each script, cut in many ways.
fn play_all(scripts: &[(Option<&str>, Script)]) {
    for (capabilities, script) in scripts {
        for most in [1, 2, 3, 5, 7, 16, 17, 18, 1000] {
            play(*capabilities, script, most);
        }
    }
}

/// Plays the script with each piece cut into parts of at most `most` octets.
fn play(capabilities: Option<&str>, script: Script, most: usize) {
    let list: Option<Vec<String>> = capabilities.map(|c| c.split(' ').map(Into::into).collect());
    let unauthenticate = match capabilities {
        None => UnauthenticateOffer::Unknown,
        Some(list) if list.contains("COMPRESS") => UnauthenticateOffer::No,
        Some(_) => UnauthenticateOffer::Yes,
    };
    let mut framing = Framing::new("S1", list.as_deref(), unauthenticate);
    for (nth, (side, bytes, want)) in script.iter().enumerate() {
        let mut verdict = Verdict::Pass;
        for part in bytes.chunks(most) {
            match side {
                'c' => verdict = framing.client_to_host(part),
                _ => framing.host_to_client(&mut part.to_vec()),
            }
            if verdict == Verdict::End {
                break;
            }
        }
        let shown = bytes.escape_ascii();
        assert_eq!(
            outcome(&framing, verdict),
            *want,
            "piece {nth} {side} {shown}, cut at {most}"
        );
    }
}

const PLUS: Option<&str> = Some("IMAP4rev1 LITERAL+ IDLE");
const COMPRESS: Option<&str> = Some("IMAP4rev1 LITERAL- COMPRESS=DEFLATE");

#[test]
fn where_a_bye_may_stand() {
    let scripts: &[(Option<&str>, Script)] = &[
        // Between commands, between responses.
        (
            None,
            &[
                ('h', b"", "bye"),
                ('h', b"* OK x", "wait"),
                ('h', b"\r", "wait"),
                ('h', b"\n", "bye"),
            ],
        ),
        (
            None,
            &[
                ('c', b"a NOOP", "wait"),
                ('c', b"\r\n", "wait"),
                ('h', b"* 1 EXISTS\r\n", "wait"),
                ('h', b"a OK x\r\n", "bye"),
            ],
        ),
        (
            None,
            &[
                ('c', b"a NOOP\nb NOOP\n", "wait"),
                ('h', b"a OK\n", "wait"),
                ('h', b"b OK\n", "bye"),
            ],
        ),
        (None, &[('c', b"\r\n\r\n", "bye")]),
        // The host's literals hide what looks like answers.
        (
            None,
            &[
                ('c', b"a FETCH 1 BODY[]\r\n", "wait"),
                ('h', b"* 1 FETCH (BODY[] {9}\r\na OK x\r\n", "wait"),
                ('h', b"b", "wait"),
                ('h', b")\r\na OK\r\n", "bye"),
            ],
        ),
        (
            None,
            &[
                ('c', b"a X\r\n", "wait"),
                ('h', b"* X {0}\r\n {0}\r\n {2}\r\n)\n", "wait"),
                ('h', b"\r\n", "wait"),
                ('h', b"a NO\r\n", "bye"),
            ],
        ),
        (
            None,
            &[
                ('c', b"a X\r\n", "wait"),
                (
                    'h',
                    b"* X {x}\r\n* Y }\r\n* Z ~{3}\r\n{9}\r\na OK\r\n",
                    "bye",
                ),
            ],
        ),
        // IDLE and its DONE.
        (
            None,
            &[
                ('c', b"a IDLE\r\n", "bye"),
                ('h', b"+ idling\r\n", "bye"),
                ('h', b"* 2 EX", "wait"),
                ('h', b"ISTS\r\n", "bye"),
                ('c', b"done\r\n", "wait"),
                ('h', b"a OK\r\n", "bye"),
            ],
        ),
        (
            None,
            &[
                ('c', b"a idle\r\nDONE\r\n", "wait"),
                ('h', b"+ \r\na OK\r\n", "bye"),
                ('c', b"DONE\r\n", "wait"),
            ],
        ),
        (
            None,
            &[
                ('c', b"a IDLE\r\n", "bye"),
                ('h', b"a BAD\r\n", "bye"),
                ('c', b"b NOOP\r\n", "wait"),
                ('h', b"b OK\r\n", "bye"),
            ],
        ),
        (
            None,
            &[
                ('c', b"a NOOP\r\nb IDLE\r\n", "wait"),
                ('h', b"a OK\r\n+ x\r\n", "bye"),
            ],
        ),
        // The client's literals, by consent, refused, and without asking.
        (
            None,
            &[
                ('c', b"a APPEND x {9}\r\n", "wait"),
                ('h', b"+ go\r\n", "wait"),
                ('c', b"b NOOP\r\nx", "wait"),
                ('c', b"\r\n", "wait"),
                ('h', b"a OK\r\n", "bye"),
            ],
        ),
        (
            None,
            &[
                ('c', b"a APPEND x {9}\r\n", "wait"),
                ('h', b"* 1 EXISTS\r\na NO\r\n", "bye"),
                ('c', b"b NOOP\r\n", "wait"),
                ('h', b"b OK\r\n", "bye"),
            ],
        ),
        (
            PLUS,
            &[
                (
                    'c',
                    b"a APPEND x {9+}\r\nb NOOP\r\nx {3+}\r\n\r\n\n\r\n",
                    "wait",
                ),
                ('h', b"a OK\r\n", "bye"),
            ],
        ),
        (
            None,
            &[
                ('c', b"a APPEND x {9+}\r\nb NOOP\r\nx\r\n", "wait"),
                ('h', b"a OK\r\n", "bye"),
            ],
        ),
        (
            None,
            &[
                ('c', b"a NOOP\r\nb APPEND x {3}\r\n", "wait"),
                ('h', b"a OK\r\n+ x\r\n", "wait"),
                ('c', b"abc\r\n", "wait"),
                ('h', b"b OK\r\n", "bye"),
            ],
        ),
        (
            None,
            &[
                ('c', b"a LOGIN {0}\r\n", "wait"),
                ('h', b"+\r\n", "wait"),
                ('c', b" {0}\r\n", "wait"),
                ('h', b"+\r\n", "wait"),
                ('c', b"\r\n", "wait"),
                ('h', b"a BAD\r\n", "bye"),
            ],
        ),
    ];
    play_all(scripts);
}

#[test]
fn commands_that_must_not_pass() {
    let scripts: &[(Option<&str>, Script)] = &[
        (
            PLUS,
            &[
                ('c', b"a UNAUTHENTICATE\r\n", "end"),
                ('c', b"b NOOP\r\n", "end"),
            ],
        ),
        (PLUS, &[('c', b"a NOOP\r\nb unauthenticate \r\n", "end")]),
        (PLUS, &[('c', b" \r\n\ta \0 Unauthenticate\n", "end")]),
        (PLUS, &[('c', b"a NOOP\rb UNAUTHENTICATE\r\n", "end")]),
        (PLUS, &[('c', b"a UNAUTHENTICATED\r\n", "wait")]),
        // In a literal that the host has said it takes, it is text.
        (
            PLUS,
            &[('c', b"a APPEND x {20+}\r\nthe UNAUTHENTICATE x\r\n", "wait")],
        ),
        (
            None,
            &[
                ('c', b"a APPEND x {20}\r\n", "wait"),
                ('h', b"+\r\n", "wait"),
                ('c', b"the UNAUTHENTICATE x\r\n", "wait"),
            ],
        ),
        // In one that it may refuse, it may be a command.
        (
            None,
            &[
                ('c', b"a APPEND x {20+}\r\n", "wait"),
                ('c', b"c UNAUTHENTICATE\r\n", "end"),
            ],
        ),
        (
            COMPRESS,
            &[('c', b"a APPEND x {5000+}\r\nc UNAUTHENTICATE\r\n", "end")],
        ),
        (
            PLUS,
            &[('c', b"a APPEND x {99}\r\nc UNAUTHENTICATE\r\n", "end")],
        ),
        (
            PLUS,
            &[
                ('c', b"a APPEND x {99}\r\nc UN", "wait"),
                ('h', b"a NO\r\n", "wait"),
                ('c', b"AUTHENTICATE\r\n", "end"),
            ],
        ),
        (
            PLUS,
            &[
                ('c', b"a IDLE\r\nb APPEND x {99}\r\n", "wait"),
                ('h', b"+ idling\r\n", "wait"),
                ('c', b"c UNAUTHENTICATE\r\n", "end"),
            ],
        ),
        (
            PLUS,
            &[(
                'c',
                b"a IDLE\r\nb APPEND x {99+}\r\nc UNAUTHENTICATE\r\n",
                "end",
            )],
        ),
        (
            PLUS,
            &[(
                'c',
                b"a APPEND x {000000000000000000000000099+}\r\nc UNAUTHENTICATE\r\n",
                "end",
            )],
        ),
        // COMPRESS would blind us: only where the host is known to have nothing to hide.
        (PLUS, &[('c', b"a COMPRESS DEFLATE\r\n", "end")]),
        (None, &[('c', b"a COMPRESS DEFLATE\r\n", "end")]),
        (
            None,
            &[('c', b"a APPEND x {30+}\r\nto compress mail\r\n", "wait")],
        ),
        (
            COMPRESS,
            &[
                ('c', b"a COMPRESS DEFLATE\r\n", "wait"),
                ('h', b"a NO\r\n", "bye"),
                ('c', b"b UNAUTHENTICATE\r\n", "end"),
            ],
        ),
        (
            COMPRESS,
            &[
                ('c', b"a COMPRESS DEFLATE\r\n", "wait"),
                ('h', b"a OK\r\n\0\x01\x02", "blind"),
                ('c', b"\n\n", "blind"),
            ],
        ),
    ];
    play_all(scripts);
}

/// What a client sees of a host's capabilities, and whether it may COMPRESS then.
#[test]
fn capabilities_lose_what_must_not_pass() {
    use UnauthenticateOffer::{No, Unknown, Yes};
    let plain = "* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE IDLE\r\n";
    let both = "* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE UNAUTHENTICATE\r\n";
    let other = "* CAPABILITY IMAP4rev1 UNAUTHENTICATED UNAUTH UNSELECT COMPRESSION\r\n";
    for (offer, said, seen, then) in [
        (No, plain, plain, "wait"),
        (
            Yes,
            plain,
            "* CAPABILITY IMAP4rev1 COMPRESS-DEFLATE IDLE\r\n",
            "end",
        ),
        // The first list is looked at before anything is said of COMPRESS.
        (
            Unknown,
            plain,
            "* CAPABILITY IMAP4rev1 COMPRESS-DEFLATE IDLE\r\n",
            "wait",
        ),
        (Unknown, "* 1 EXISTS\r\na OK [UIDNEXT 1] x\r\n", "", "end"),
        (
            Unknown,
            both,
            "* CAPABILITY IMAP4rev1 COMPRESS-DEFLATE UNAUTHENTICATX\r\n",
            "end",
        ),
        // Said after all.
        (
            No,
            both,
            "* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE UNAUTHENTICATX\r\n",
            "end",
        ),
        (
            Yes,
            "a1 OK [capability UnAuthenticate compress=x] UNAUTHENTICATE COMPRESS=x\r\n",
            "a1 OK [capability UnAuthenticatX compress-x] UNAUTHENTICATE COMPRESS=x\r\n",
            "end",
        ),
        (
            Yes,
            "* OK [CAPABILITY UNAUTHENTICATE]\n* 2 FETCH (X UNAUTHENTICATE)\r\n",
            "* OK [CAPABILITY UNAUTHENTICATX]\n* 2 FETCH (X UNAUTHENTICATE)\r\n",
            "end",
        ),
        (
            Yes,
            other,
            "* CAPABILITY IMAP4rev1 UNAUTHENTICATXD UNAUTH UNSELECT COMPRESSION\r\n",
            "end",
        ),
        // Mail is mail.
        (
            Yes,
            "* 1 FETCH (BODY[] {26}\r\n* CAPABILITY UNAUTHENTICATE X {25}\r\n* CAPABILITY COMPRESS=X\r\n)\r\n",
            "",
            "end",
        ),
        (
            Yes,
            "* LIST () \"/\" {26}\r\n* CAPABILITY UNAUTHENTICATE\r\n",
            "",
            "end",
        ),
        (Yes, "+ CAPABILITY UNAUTHENTICATE\r\n", "", "end"),
        (Yes, "* OK CAPABILITY UNAUTHENTICATE\r\n", "", "end"),
        (Yes, "* OK [X CAPABILITY UNAUTHENTICATE]\r\n", "", "end"),
        (Yes, "* CAPABILITYX UNAUTHENTICATE\r\n", "", "end"),
    ] {
        let seen = if seen.is_empty() { said } else { seen };
        for most in [1, 2, 3, 5, 7, 16, 17, 1000] {
            let mut framing = Framing::new("S1", None, offer);
            framing.client_to_host(b"b CAPABILITY\r\n");
            let mut bytes = said.as_bytes().to_vec();
            bytes
                .chunks_mut(most)
                .for_each(|part| framing.host_to_client(part));
            assert_eq!(
                String::from_utf8_lossy(&bytes),
                seen,
                "{offer:?}, cut at {most}"
            );
            let verdict = framing.client_to_host(b"c COMPRESS DEFLATE\r\n");
            assert_eq!(outcome(&framing, verdict), then, "{offer:?} {said}");
        }
    }
}

/// Found by fuzzing: a stray CR hid the first word of a response, or did not, by where it was cut; a
/// command that ran on was then taken for answered.
#[test]
fn a_stray_cr_before_a_response_changes_nothing() {
    for most in [1, 2, 3, 4, 5, 100] {
        play(
            None,
            &[
                ('c', b"a SELECT INBOX\r\n", "wait"),
                ('h', b"\r* OK [CAPABILITY \n", "wait"),
                ('h', b"* 1 EXISTS\r\n", "wait"),
                ('h', b"\ra OK done\r\n", "bye"),
            ],
            most,
        );
    }
}

#[test]
fn it_is_small() {
    assert!(size_of::<Framing>() <= 192, "{}", size_of::<Framing>());
}
