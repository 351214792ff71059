//! Rows as hosts write them, and what only looks like one.

use super::*;

#[test]
fn rows_are_read() {
    let base = Row {
        sequence: 3,
        end: End::Shut,
        ..Row::default()
    };
    let uid = Row {
        uid: Uid::Is(7),
        ..base
    };
    let unreadable = Row {
        uid: Uid::Unreadable,
        ..base
    };
    for (line, want) in [
        (
            "* 3 FETCH (UID 7 RFC822.SIZE 12)",
            Some(Row {
                size: Some(12),
                ..uid
            }),
        ),
        (
            "* 3 fetch (rfc822.size 12 uid 7)",
            Some(Row {
                size: Some(12),
                ..uid
            }),
        ),
        (
            "*  3  FETCH  ( UID  7  RFC822.SIZE  12 )",
            Some(Row {
                size: Some(12),
                ..uid
            }),
        ),
        (
            "* 3 FETCH (FLAGS (\\Seen $x) ENVELOPE (\"a)\\\"\" NIL (\"(\")) UID 7)",
            Some(uid),
        ),
        ("* 3 FETCH (UID 7 )", Some(uid)),
        (
            "* 3 FETCH (UID 7",
            Some(Row {
                end: End::Open,
                ..uid
            }),
        ),
        (
            "* 3 FETCH (UID 7) x",
            Some(Row {
                end: End::Open,
                ..uid
            }),
        ),
        ("* 3 FETCH (UID 7 RFC822.SIZE)", Some(uid)),
        (
            "* 3 FETCH (UID 7 RFC822.SIZE 9.3736e+06)",
            Some(Row {
                size: Some(9_373_600),
                ..uid
            }),
        ),
        ("* 3 FETCH (UID 7 RFC822.SIZE -1)", Some(uid)),
        (
            "* 3 FETCH (UID 0 RFC822.SIZE 1)",
            Some(Row {
                size: Some(1),
                ..unreadable
            }),
        ),
        ("* 3 FETCH (UID 4294967296)", Some(unreadable)),
        ("* 3 FETCH (UID 0 UID 7)", Some(unreadable)),
        ("* 3 FETCH (UID 7 UID 7)", Some(uid)),
        ("* 3 FETCH (UID 7 UID 8)", Some(unreadable)),
        (
            "* 3 FETCH (UID 7 BODY[] \0 UID 8)",
            Some(Row {
                body: Some(Body::Literal),
                ..unreadable
            }),
        ),
        (
            "* 3 FETCH (UID 7 MODSEQ (5) EMAILID (M1))",
            Some(Row {
                email_id: Some(b"M1"),
                ..uid
            }),
        ),
        ("* 3 FETCH (UID 7 EMAILID NIL)", Some(uid)),
        (
            "* 3 FETCH (UID 7 BODY[] NIL)",
            Some(Row {
                body: Some(Body::Nil),
                ..uid
            }),
        ),
        (
            "* 3 FETCH (BODY[] UID 7)",
            Some(Row {
                body: Some(Body::Nil),
                ..base
            }),
        ),
        (
            "* 3 FETCH (UID 7 BODY[])",
            Some(Row {
                body: Some(Body::Missing),
                ..uid
            }),
        ),
        (
            "* 3 FETCH (UID 7 BODY[] \"\")",
            Some(Row {
                body: Some(Body::Quoted(Section::Whole, b"")),
                ..uid
            }),
        ),
        (
            "* 3 FETCH (BODY[]<0> \"a\\\"b) \" UID 7)",
            Some(Row {
                body: Some(Body::Quoted(Section::From(0), b"a\\\"b) ")),
                ..uid
            }),
        ),
        (
            "* 3 FETCH (BODY[] \0 UID 7)",
            Some(Row {
                body: Some(Body::Literal),
                ..uid
            }),
        ),
        (
            "* 3 FETCH (BODY[HEADER.FIELDS (A B)] \"x\" UID 7 BODY[] ",
            Some(Row {
                awaits: Some(Section::Whole),
                end: End::Torn,
                ..uid
            }),
        ),
        (
            "* 3 FETCH (BODY[]<4096> ",
            Some(Row {
                awaits: Some(Section::From(4096)),
                end: End::Open,
                ..base
            }),
        ),
        (
            "* 3 FETCH (BODY[HEADER] ",
            Some(Row {
                awaits: Some(Section::Other),
                end: End::Open,
                ..base
            }),
        ),
        (
            "* 3 FETCH (X-FOO ",
            Some(Row {
                awaits: Some(Section::Other),
                end: End::Open,
                ..base
            }),
        ),
        (
            "* 3 FETCH (UID 7 BODY[TEXT] \0 BODY[] ",
            Some(Row {
                awaits: Some(Section::Whole),
                end: End::Torn,
                ..uid
            }),
        ),
        ("* 3 EXISTS", None),
        ("* FETCH (UID 7)", None),
        ("* 0 FETCH (UID 7)", None),
        ("* 3 FETCH", None),
        ("* 3 FETCHED (UID 7)", None),
        ("* 3 FETCH UID 7", None),
        ("", None),
    ] {
        assert_eq!(row(line.as_bytes()), want, "{line:?}");
    }
    assert_eq!(unquoted(b"a\\\"\\\\b\\"), b"a\"\\b");
}

/// What stands behind octets of a message may be more of them.
#[test]
fn behind_octets_a_row_goes_on_as_rows_do() {
    for (behind, want) in [
        (")", End::Shut),
        (" )", End::Shut),
        (" UID 7)", End::Shut),
        (" uid 7 flags (\\Seen))", End::Shut),
        (
            " FLAGS (\\Seen ($x \")\")) MODSEQ (-1) BODY[TEXT] \"x)\")",
            End::Shut,
        ),
        (
            " BODY[HEADER.FIELDS (A \"B\")]<0> \0 RFC822.SIZE 9.3e+06)",
            End::Shut,
        ),
        (
            " ENVELOPE (NIL ((\"a\" NIL))) BODYSTRUCTURE NIL)",
            End::Shut,
        ),
        (
            " internaldate \"x\" EMAILID (M1) X-GM-MSGID 5 x-guid \"7\")",
            End::Shut,
        ),
        (
            " BINARY.SIZE[1] 5 binary[1] \0 SNIPPET (FUZZY NIL))",
            End::Shut,
        ),
        ("", End::Torn),
        (" ", End::Torn),
        (" UID 7", End::Torn),
        (" UID 7) ", End::Torn),
        (") x", End::Torn),
        ("))", End::Torn),
        ("x)", End::Torn),
        ("UID 7)", End::Torn),
        (" UID)", End::Torn),
        (" UID seven)", End::Torn),
        (" FLAGS \\Seen)", End::Torn),
        (" FLAGS (\\Seen)", End::Torn),
        (" FLAGS (\"\\Seen)", End::Torn),
        (" BODY[TEXT] x)", End::Torn),
        (" BODY[TEXT \"x\")", End::Torn),
        (" PREVIEW \"x)", End::Torn),
        (" line 2)", End::Torn),
        (" and (so) on)", End::Torn),
        (" I am)", End::Torn),
        (" (see above))", End::Torn),
        (" \"quoted\" text)", End::Torn),
    ] {
        for octets in ["\0", "\"a \\\"b) \""] {
            let line = format!("* 3 FETCH (UID 7 BODY[] {octets}{behind}");
            assert_eq!(row(line.as_bytes()).unwrap().end, want, "{line:?}");
        }
    }
    // What the host knows of a message is no message.
    let line = b"* 3 FETCH (INTERNALDATE \"x\" odd thing UID 7 ENVELOPE (\"a\") odd";
    assert_eq!(row(line).unwrap().end, End::Open);
}

#[test]
fn ids_are_those_of_the_grammar() {
    let longest = "x".repeat(255);
    let longer = "x".repeat(256);
    for (value, want) in [
        ("(M1)", Some("M1")),
        ("( M1 )", Some("M1")),
        ("(-az_AZ09)", Some("-az_AZ09")),
        (&format!("({longest})"), Some(&longest[..])),
        (&format!("({longer})"), None),
        (&format!("({})", "x".repeat(60_000)), None),
        ("()", None),
        ("( )", None),
        ("(M1 M2)", None),
        ("(M.1)", None),
        ("(M\u{fc})", None),
        ("((M1))", None),
        ("(\"M1\")", None),
        ("M1", None),
        ("NIL", None),
        ("(M1", None),
    ] {
        let line = format!("* 3 FETCH (EMAILID {value} UID 7)");
        let got = row(line.as_bytes()).unwrap();
        assert_eq!(got.email_id, want.map(str::as_bytes), "{value}");
    }
}

#[test]
fn any_octets_are_borne() {
    let line = b"* 3 FETCH (UID 7 BODY[X (a\"] \"b\\\"\" FLAGS ((())) BODY[]<0> \0 E \"a";
    for end in 0..line.len() {
        let _ = row(&line[..end]);
        for octet in [b'(', b')', b'"', b'[', b']', b'\\', b' ', MARK, b'<'] {
            let mut changed = line.to_vec();
            changed[end] = octet;
            let _ = row(&changed);
        }
    }
}
