//! What FETCH answers, on one mail with all its parts.

use super::super::input::Piece;
use super::*;

const MAIL: &str = "From: a@b\r\nSubject: one\r\n two\r\nTo: c@d\r\n\
    Content-Type: multipart/mixed; boundary=o\r\n\r\n\
    --o\r\nContent-Type: text/plain\r\n\r\nfirst\r\n\
    --o\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ndeep\r\n--o--\r\n";

fn answer(text: &str) -> Parsed<String> {
    let pieces = [Piece::Text(text.into())];
    let mut cursor = Cursor::new(&pieces);
    let items = items(&mut cursor)?;
    cursor.end()?;
    let subject = Subject {
        number: 3,
        uid: 7,
        flags: "\\Seen".to_owned(),
        date: DateTime::utc(0),
        raw: Bytes::from_static(MAIL.as_bytes()),
    };
    let mut out = Output::default();
    write(&subject, &items, &mut out);
    let all = String::from_utf8(out.take().concat()).unwrap();
    let inside = all.strip_prefix("* 3 FETCH (").unwrap();
    Ok(inside.strip_suffix(")\r\n").unwrap().to_owned())
}

#[test]
fn answers() {
    let whole = format!("{{{}}}\r\n{MAIL}", MAIL.len());
    let date = "INTERNALDATE \" 1-Jan-1970 00:00:00 +0000\"";
    let fast = format!("FLAGS (\\Seen) {date} RFC822.SIZE {}", MAIL.len());
    for (items, expected) in [
        ("FLAGS", "FLAGS (\\Seen)"),
        ("(uid Flags)", "UID 7 FLAGS (\\Seen)"),
        ("FAST", fast.as_str()),
        ("BODY[]", &format!("BODY[] {whole}")),
        ("BODY.PEEK[]", &format!("BODY[] {whole}")),
        ("RFC822", &format!("RFC822 {whole}")),
        ("BODY[]<0.4>", "BODY[]<0> {4}\r\nFrom"),
        ("BODY.PEEK[]<6.3>", "BODY[]<6> {3}\r\na@b"),
        ("BODY[]<99999.4>", "BODY[]<99999> {0}\r\n"),
        ("BODY[1]", "BODY[1] {5}\r\nfirst"),
        (
            "BODY[1.MIME]",
            "BODY[1.MIME] {28}\r\nContent-Type: text/plain\r\n\r\n",
        ),
        (
            "BODY[2.HEADER]",
            "BODY[2.HEADER] {18}\r\nSubject: inner\r\n\r\n",
        ),
        ("BODY[2.TEXT]", "BODY[2.TEXT] {4}\r\ndeep"),
        ("BODY[2.1]", "BODY[2.1] {4}\r\ndeep"),
        ("BODY[1.HEADER]", "BODY[1.HEADER] NIL"),
        ("BODY[9]", "BODY[9] NIL"),
        (
            "BODY.PEEK[HEADER.FIELDS (subject \"X\")]",
            "BODY[HEADER.FIELDS (subject X)] {22}\r\nSubject: one\r\n two\r\n\r\n",
        ),
        (
            "BODY[HEADER.FIELDS.NOT (SUBJECT content-type)]",
            "BODY[HEADER.FIELDS.NOT (SUBJECT content-type)] {22}\r\n\
             From: a@b\r\nTo: c@d\r\n\r\n",
        ),
        (
            "BODY[2.HEADER.FIELDS (SUBJECT)]<0.7>",
            "BODY[2.HEADER.FIELDS (SUBJECT)]<0> {7}\r\nSubject",
        ),
    ] {
        assert_eq!(answer(items).as_deref(), Ok(expected), "{items}");
    }
}

#[test]
fn what_cannot_be_asked() {
    for items in [
        "",
        "(FLAGS",
        "(FLAGS ALL)",
        "BODY[",
        "BODY[MIME]",
        "BODY[1.]",
        "BODY[0]",
        "BODY[1.2.X]",
        "BODY[HEADER.FIELDS]",
        "BODY[HEADER.FIELDS (\"a b\")]",
        "BODY[]<0>",
        "BODY[]<0.0>",
        "BODY[]<0.4294967296>",
        "FLAGSX",
        "NONSENSE",
    ] {
        assert!(answer(items).is_err(), "{items}");
    }
    let many = vec!["UID"; ITEMS + 1].join(" ");
    assert!(answer(&format!("({many})")).is_err());
}

#[test]
fn peeking_is_told_apart() {
    for (text, seen) in [
        ("BODY[]", Seen::Set),
        ("BODY.PEEK[]", Seen::Kept),
        ("RFC822", Seen::Set),
        ("RFC822.TEXT", Seen::Set),
        ("RFC822.HEADER", Seen::Kept),
    ] {
        let pieces = [Piece::Text(text.into())];
        match items(&mut Cursor::new(&pieces)).as_deref() {
            Ok([Item::Content(section)]) => assert_eq!(section.seen, seen, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}
