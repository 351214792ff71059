//! Commands that a host reads where RFC 9051 has none: in what it does not take for a literal, behind an
//! error that it resumes from in its own way, or in words that only it puts together.

use super::*;

const HIDDEN: &str = "b UNAUTHENTICATE\r\n";

/// Plays what the client and the host say in turn, the last being the client's, cut in many ways.
fn last_outcome(said: &[&str], want: &str) {
    for most in [1, 2, 3, 5, 7, 16, 17, 18, 1000] {
        let list = ["LITERAL+".to_owned()];
        let mut framing = Framing::new("S1", Some(&list), UnauthenticateOffer::Yes);
        let mut verdict = Verdict::Pass;
        for (turn, text) in said.iter().enumerate() {
            for part in text.as_bytes().chunks(most) {
                match turn % 2 {
                    0 if verdict == Verdict::Pass => verdict = framing.client_to_host(part),
                    0 => {}
                    _ => framing.host_to_client(&mut part.to_vec()),
                }
            }
            let early = turn + 1 < said.len() && verdict == Verdict::End;
            assert!(!early, "{said:?}: ended at turn {turn}, cut at {most}");
        }
        assert_eq!(outcome(&framing, verdict), want, "{said:?}, cut at {most}");
    }
}

#[test]
fn a_literal_is_read_where_a_host_may_see_none() {
    for before in [
        "a {18+}",
        "{18+}",
        "a LIST \"\" \"x {18+}",
        "a FOO {18+}",
        "a FOO x{18+}",
        "a LIST \"\" x{18+}",
        "a APPEND {18+}",
        "a APPEND x{18+}",
        "a APPEND \"x {18+}",
        "a APPEND \"x\\\" {18+}",
        "a APPEND \"x\"{18+}",
        "a APPEND x y {18+}",
        "a APPEND x \"yesterday\" {18+}",
        "a APPEND x \"1-Jan-2024 00:00:00 +0000\" {18+}",
        "a APPEND x (\\Seen {18+}",
        "a APPEND x ((\\Seen)) {18+}",
        "a APPEND x(\\Seen) {18+}",
        "a APPEND x \"\" {18+}",
        "a APPEND x% {18+}",
        "a APPEND  x {18+}",
        "a  APPEND x {18+}",
        "a APPEND x  {18+}",
        " a APPEND x {18+}",
        "a+ APPEND x {18+}",
        "a APPENDS x {18+}",
        "a APPEN x {18+}",
        "a UID APPEND x {18+}",
        "a APPEND x ~{18+}",
        "a APPEND x CATENATE (TEXT {18+}",
        "a APPEND x {018+}",
        "a APPEND x {000000000000018+}",
        "a APPEND x {4294967296+}",
        "a APPEND x {1+}\r\nm {18+}",
        "c NOOP\r\na APPEND x {18+}",
        "c FOO\r\na APPEND x {18+}",
        "\r\na APPEND x {18+}",
    ] {
        last_outcome(&[&format!("{before}\r\n{HIDDEN}")], "end");
        last_outcome(&[&format!("{before}\n{HIDDEN}")], "end");
    }
    last_outcome(&[&format!("a APPEND x {{18+}}\n{HIDDEN}")], "end");
    last_outcome(&[&format!("a APPEND x \r {{18+}}\r\n{HIDDEN}")], "end");
    let long = format!("a APPEND {} {{18+}}\r\n{HIDDEN}", "x".repeat(8001));
    last_outcome(&[&long], "end");
    // Of one that is asked for, it is the same.
    for before in [
        "a IDLE {18}",
        "a FOO {18}",
        "a SEARCH TEXT {18}",
        "a APPEND x(\\Seen) {18}",
    ] {
        last_outcome(&[&format!("{before}\r\n"), "+ go\r\n", HIDDEN], "end");
    }
}

/// What every host takes stays mail.
#[test]
fn a_mail_is_stored_whatever_it_says() {
    for append in [
        "a APPEND INBOX ",
        "A1.x append inbox ",
        "a APPEND \"Sent \\\"x\\\\ M\u{fc}ll\" ",
        "a APPEND INBOX () ",
        "a APPEND INBOX (\\Seen $Label1) ",
        "a APPEND INBOX \" 1-Jan-2024 00:00:00 +0000\" ",
        "a APPEND INBOX (\\Seen) \"31-Dec-2024 23:59:59 -0130\" ",
    ] {
        let sync = format!("{append}{{18}}\r\n");
        last_outcome(&[&sync, "+ go\r\n", &format!("{HIDDEN}\r\n")], "wait");
        let said = format!("{append}{{18+}}\r\n{HIDDEN}\r\n");
        last_outcome(&[&said], "wait");
        // Behind commands that were answered, and an IDLE that is over.
        let (idle, done) = ("c SELECT x\r\n", "d IDLE\r\n");
        last_outcome(
            &[
                idle, "c OK\r\n", done, "+\r\n", "DONE\r\n", "d OK\r\n", &said, "a OK\r\n", "",
            ],
            "bye",
        );
    }
    // Text that is no such word, and other words in what is read both ways.
    last_outcome(&["a SEARCH TEXT UNAUTHENTICATED\r\n"], "wait");
    last_outcome(&["a SEARCH TEXT \"UNAUTHENTICATE\"\r\n"], "wait");
    last_outcome(&["c NOOP\r\na APPEND x {9+}\r\nx DEFLATE\r\n"], "wait");
}

#[test]
fn what_a_host_says_of_a_literal_makes_the_rest_doubtful() {
    let append = "a APPEND x {99+}\r\n";
    for answer in [
        "a BAD x\r\n",
        "a NO x\r\n",
        "* BAD x\r\n",
        "b bad x\r\n",
        "a OK\r\n",
    ] {
        last_outcome(&[append, answer, HIDDEN], "end");
        last_outcome(
            &["a APPEND x {99}\r\n", "+\r\n", "mail\r\n", answer, HIDDEN],
            "end",
        );
    }
    // A host that understands less than it seems to: nothing is sure any more.
    for answer in ["c BAD x\r\n", "* BAD x\r\nc OK\r\n"] {
        last_outcome(&["c FOO\r\n", answer, &format!("{append}{HIDDEN}")], "end");
    }
}

/// A host may forget what came before an error and go on anywhere, skip line ends and tabs before a verb
/// and in a tag, or take one word more before it.
#[test]
fn the_word_may_stand_anywhere() {
    for said in [
        "a {xb UNAUTHENTICATE\r\n",
        "a FOO xb UNAUTHENTICATE\r\n",
        "a\tb UNAUTHENTICATE\r\n",
        "a\x01b UNAUTHENTICATE\r\n",
        "a\x0cb UNAUTHENTICATE\r\n",
        "a\r UNAUTHENTICATE\r\n",
        "a \r\nUNAUTHENTICATE\r\n",
        "a UID UNAUTHENTICATE\r\n",
        "a UID\r\nunauthenticate\r\n",
        "a SEARCH UNAUTHENTICATE\r\n",
        "a x COMPRESS DEFLATE\r\n",
        "a\tb COMPRESS  deflate\r\n",
        "a \r\nCOMPRESS DEFLATE\r\n",
    ] {
        last_outcome(&[said], "end");
    }
    let body = "a APPEND x {3+}\r\nabc UNAUTHENTICATE\r\n";
    last_outcome(&[body], "end");
    // A host that is known to have no such command has nothing to hide.
    play_all(&[
        (COMPRESS, &[('c', b"a SEARCH UNAUTHENTICATE\r\n", "wait")]),
        (COMPRESS, &[('c', b"a x COMPRESS DEFLATE\r\n", "wait")]),
    ]);
}

/// A host that starts TLS where it should not hides what follows.
#[test]
fn no_tls_begins_within() {
    last_outcome(
        &["a STARTTLS\r\n", "a OK go\r\n", "\x16\x03\x01\x02\x00\x01"],
        "end",
    );
    last_outcome(&["a\tb STARTTLS\r\n\x16\x03\x01\x02\x00\x01"], "end");
    // Found by fuzzing: a word that was read before hid it.
    last_outcome(
        &["a STARTTLS\r\x08IDLE\r\n", "a OK\r\n", "\x16\x03\x01"],
        "end",
    );
    last_outcome(&["a APPEND x {4+}\r\n\x16\x03\x01\x02\r\n"], "wait");
}

/// To a host in an IDLE that we do not know of, what we take for mail are lines.
#[test]
fn an_idle_that_may_be_makes_no_literal_sure() {
    let append = format!("z APPEND x {{24+}}\r\nDONE\r\n{HIDDEN}");
    for idle in [
        "a\tb IDLE\r\n",
        "a \r\nIDLE\r\n",
        "a FOO b IDLE\r\n",
        "a UID IDLE\r\n",
        "a IDLE\r\nx\r\n",
    ] {
        last_outcome(
            &[idle, "a OK\r\nx OK\r\nIDLE OK\r\nab OK\r\n", &append],
            "end",
        );
    }
    // The answer to another command of the same tag ends none.
    last_outcome(&["a NOOP\r\na IDLE\r\n", "a OK\r\n+\r\n", &append], "end");
    last_outcome(&["a NOOP\rb NOOP\r\n", "a OK\r\nb OK\r\n", &append], "end");
    last_outcome(&["a AUTHENTICATE PLAIN\r\n", "a NO\r\n", &append], "end");
}

/// Where a host turns out to have the command after all, what it was taken to read is in doubt, too.
#[test]
fn a_late_offer_makes_doubtful_what_was_sure() {
    let list = ["LITERAL+".to_owned()];
    let mut framing = Framing::new("S1", Some(&list), UnauthenticateOffer::No);
    let pass = framing.client_to_host(b"a FOO {99+}\r\nx");
    assert_eq!(pass, Verdict::Pass);
    framing.host_to_client(&mut b"* CAPABILITY UNAUTHENTICATE\r\n".to_vec());
    let end = framing.client_to_host(b"\r\nb UNAUTHENTICATE\r\n");
    assert_eq!(end, Verdict::End);
}

/// The OK is that of a command whose tag it shares, and nothing is compressed behind it.
#[test]
fn no_ok_of_another_command_hides_what_follows() {
    last_outcome(
        &[
            "b\nb APPEND {3}\r\n",
            "b BAD x\r\n+ go\r\n",
            "b COMPRESS\n",
            "b OK x\r\n",
            "b COMPRESS DEFLATE\n",
        ],
        "end",
    );
    last_outcome(
        &["b COMPRESS\r\n", "b OK x\r\n", "c UNAUTHENTICATE\r\n"],
        "end",
    );
}
