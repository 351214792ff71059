//! Hosts in whose words the observer could lose its place: mail passes as it is, whatever they say.

use super::*;

/// A mail that would be changed, were it read as responses.
const MAIL: &str = "Subject: a mail\r\n\r\n\
                    * CAPABILITY IMAP4rev1 UNAUTHENTICATE COMPRESS=DEFLATE\r\n\
                    * OK [CAPABILITY UNAUTHENTICATE]\r\n\
                    d OK [CAPABILITY UNAUTHENTICATE]\r\n";

const LIST: &str = "* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE UNAUTHENTICATE\r\n";

/// What the client hears, cut at `most`.
fn heard(framing: &mut Framing, said: &str, most: usize) -> String {
    let mut bytes = said.as_bytes().to_vec();
    bytes
        .chunks_mut(most)
        .for_each(|part| framing.host_to_client(part));
    String::from_utf8(bytes).unwrap()
}

fn after(framing: &Framing) -> &'static str {
    outcome(framing, Verdict::Pass)
}

/// Ways to cut.
const CUTS: [usize; 9] = [1, 2, 3, 5, 7, 16, 19, 20, 1000];

/// The text of a status response and of a `+` may end in anything (RFC 9051 §9 `resp-text`).
#[test]
fn the_text_of_a_status_announces_no_literal() {
    for text in [
        "b OK nothing new {30}",
        "b NO nothing new {30}",
        "b bad {30}",
        "b OK [UIDNEXT 3] {30+}",
        "b OK",
        "* OK still here {30}\r\nb OK",
        "* NO [ALERT] ~{30}\r\nb OK",
        "* bad {30}\r\nb OK",
        "*  BYE {30}\r\nb OK",
        "* PREAUTH {30}\r\nb OK",
        "+ idling {30}\r\nb OK",
        "+{30}\r\nb OK",
        "\r\n\r* OK {30}\r\nb OK",
    ] {
        for most in CUTS {
            let mut framing = Framing::new("S1", None, UnauthenticateOffer::Yes);
            framing.client_to_host(b"b NOOP\r\n");
            let answer = format!("{text}\r\n");
            assert_eq!(heard(&mut framing, &answer, most), answer);
            assert_eq!(after(&framing), "bye", "{text}, cut at {most}");
            // While the client waits for a list, too.
            framing.client_to_host(b"c FETCH 1 BODY[]\r\nd CAPABILITY\r\n");
            let body = format!(
                "* 1 FETCH (BODY[] {{{}}}\r\n{MAIL})\r\nc OK\r\n",
                MAIL.len()
            );
            assert_eq!(heard(&mut framing, &body, most), body, "{text}");
            assert_eq!(after(&framing), "wait");
            let list = heard(&mut framing, LIST, most);
            assert!(list.ends_with("COMPRESS-DEFLATE UNAUTHENTICATX\r\n"));
            assert_eq!(heard(&mut framing, "d OK\r\n", most), "d OK\r\n");
            assert_eq!(after(&framing), "bye", "{text}, cut at {most}");
        }
    }
}

#[test]
fn data_of_any_kind_announces_literals() {
    for data in [
        "* LIST () \"/\" ",
        "* LSUB () NIL ",
        "* 1 FETCH (BODY[] ",
        "* 1 FETCH (BINARY[1] ~",
        "* 1 FETCH (BODY[HEADER.FIELDS (",
        "* STATUS ",
        "* SEARCH ",
        "* ESEARCH (TAG ",
        "* NAMESPACE ((",
        "* ID (\"name\" ",
        "* METADATA \"\" (/shared/comment ",
        "* ACL ",
        "* bye.bye ",
        "*  QUOTAROOT ",
        "\r\n* X {1}\r\nx (",
    ] {
        for most in CUTS {
            let mut framing = Framing::new("S1", None, UnauthenticateOffer::Yes);
            framing.client_to_host(b"d CAPABILITY\r\n");
            let said = format!("{data}{{{}}}\r\n{MAIL})\r\n", MAIL.len());
            assert_eq!(heard(&mut framing, &said, most), said, "cut at {most}");
            let list = heard(&mut framing, LIST, most);
            assert_ne!(list, LIST, "{data}, cut at {most}");
            assert_eq!(heard(&mut framing, "d OK\r\n", most), "d OK\r\n");
            assert_eq!(after(&framing), "bye", "{data}, cut at {most}");
        }
    }
}

/// Who may have lost the place changes nothing any more, and puts no words of its own between.
#[test]
fn in_doubt_everything_is_left_alone() {
    for doubtful in [
        // Clients may read a literal here, or none.
        "* LIST () \"/\" a{4}\r\nb OK\r\n",
        "* LIST () \"/\" {4+}\r\nb OK\r\n",
        "* LIST () \"/\" {-4}\r\nb OK\r\n",
        "* LIST () \"/\" a~{4}\r\nb OK\r\n",
        "* LIST () \"/\" {0000000000000000000000000000004}\r\nb OK\r\n",
        "* LIST () \"/\" {3}\r\na/b{4}\r\nb OK\r\n",
        // No response.
        "Subject: a mail\r\n",
        "* \r\n",
        "*\r\n",
        "** OK\r\n",
        "*LIST\r\n",
        " * OK\r\n",
        "b\r\n",
        "b BYE\r\n",
        "b OKAY\r\n",
        "b FETCH {4}\r\n",
        // A literal that was announced one line end short.
        "* 1 FETCH (BODY[] {4}\r\nmail\r\n)\r\n",
        // A literal where none may stand.
        "b NO [BADCHARSET ({8}\r\nUS-ASCII UTF-8)] no\r\n",
    ] {
        for most in CUTS {
            let mut framing = Framing::new("S1", None, UnauthenticateOffer::Yes);
            framing.client_to_host(b"b LIST \"\" *\r\nd CAPABILITY\r\n");
            let said = format!("{doubtful}{LIST}{MAIL}{LIST}b OK\r\nd OK\r\n{LIST}");
            assert_eq!(heard(&mut framing, &said, most), said, "cut at {most}");
            // Where nothing runs, the session may end, without a word.
            assert_eq!(after(&framing), "blind", "{doubtful}, cut at {most}");
            framing.client_to_host(b"f NOOP\r\n");
            assert_eq!(after(&framing), "wait");
            // What must not pass does not.
            let verdict = framing.client_to_host(b"e COMPRESS DEFLATE\r\n");
            assert_eq!(outcome(&framing, verdict), "end");
        }
    }
}

#[test]
fn only_an_answer_to_capability_is_changed() {
    for (commands, before) in [
        ("", ""),
        ("b NOOP\r\n", ""),
        ("b CAPABILITY", ""),
        ("b CAPABILITIES\r\n", ""),
        ("b SEARCH CAPABILITY\r\n", ""),
        ("b CAPABILITY\r\nc NOOP\r\n", "b OK\r\n"),
        ("b CAPABILITY\r\n", "b BAD\r\n"),
    ] {
        for most in CUTS {
            let mut framing = Framing::new("S1", None, UnauthenticateOffer::Yes);
            framing.client_to_host(commands.as_bytes());
            let said = format!("{before}{LIST}* OK [CAPABILITY UNAUTHENTICATE]\r\n");
            assert_eq!(heard(&mut framing, &said, most), said, "{commands}");
        }
    }
    for said in [
        "* LIST [CAPABILITY UNAUTHENTICATE]\r\n",
        "* 1 [CAPABILITY UNAUTHENTICATE]\r\n",
        "x CAPABILITY UNAUTHENTICATE\r\n",
        "x LIST [CAPABILITY UNAUTHENTICATE]\r\n",
        " * CAPABILITY UNAUTHENTICATE\r\n",
        "*\t\r\n* X [CAPABILITY UNAUTHENTICATE]\r\n",
        "+ [CAPABILITY UNAUTHENTICATE]\r\n",
    ] {
        for most in CUTS {
            let mut framing = Framing::new("S1", None, UnauthenticateOffer::Yes);
            framing.client_to_host(b"b CAPABILITY\r\n");
            assert_eq!(heard(&mut framing, said, most), said, "cut at {most}");
        }
    }
}

/// A list that stands in a mail, or that nobody asked for, opens no way to COMPRESS.
#[test]
fn only_an_answer_to_capability_lets_compress_pass() {
    let list = "* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE\r\n";
    for (commands, said, then) in [
        ("", list.to_owned(), "end"),
        ("b NOOP\r\n", list.to_owned(), "end"),
        ("b CAPABILITY\r\n", format!("Subject: x\r\n{list}"), "end"),
        ("b CAPABILITY\r\n", list.to_owned(), "wait"),
    ] {
        for most in CUTS {
            let mut framing = Framing::new("S1", None, UnauthenticateOffer::Unknown);
            framing.client_to_host(commands.as_bytes());
            heard(&mut framing, &said, most);
            let verdict = framing.client_to_host(b"c COMPRESS DEFLATE\r\n");
            assert_eq!(outcome(&framing, verdict), then, "{commands} {said}");
        }
    }
}
