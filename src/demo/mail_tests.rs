//! How a mail is taken apart, and that damaged ones end nowhere bad.

use super::*;

fn text<'a>(raw: &'a [u8], range: &Range<usize>) -> &'a str {
    std::str::from_utf8(&raw[range.clone()]).unwrap()
}

/// `type/subtype "body"` of each leaf, nesting shown by brackets.
fn outline(raw: &[u8], part: &Part) -> String {
    match &part.content {
        Content::Leaf => format!(
            "{}/{} {:?}",
            part.content_type.major,
            part.content_type.minor,
            text(raw, &part.body)
        ),
        Content::Parts(parts) => {
            let parts: Vec<_> = parts.iter().map(|part| outline(raw, part)).collect();
            format!("[{}]", parts.join(", "))
        }
        Content::Message(message) => format!("<{}>", outline(raw, message)),
    }
}

#[test]
fn structures() {
    for (raw, expected) in [
        ("", "TEXT/PLAIN \"\""),
        ("\r\nbody", "TEXT/PLAIN \"body\""),
        ("A: b\r\n\r\nbody", "TEXT/PLAIN \"body\""),
        ("A: b\n\nbody", "TEXT/PLAIN \"body\""),
        ("A: b\r\n", "TEXT/PLAIN \"\""),
        ("Content-Type: nonsense\r\n\r\nx", "TEXT/PLAIN \"x\""),
        (
            "Content-Type: multipart/mixed\r\n\r\nx",
            "APPLICATION/OCTET-STREAM \"x\"",
        ),
        (
            "Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\n\r\none\r\n--bc\r\n\
             --b \r\nContent-Type: TEXT/html (hi); charset=\"x\\\"y\"\r\n\r\ntwo\r\n--b--\r\npost",
            "[TEXT/PLAIN \"one\\r\\n--bc\", TEXT/HTML \"two\"]",
        ),
        (
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ncut off",
            "[TEXT/PLAIN \"cut off\"]",
        ),
        (
            "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: b\r\n\r\nc\r\n--b--",
            "[<TEXT/PLAIN \"c\">]",
        ),
    ] {
        assert_eq!(
            outline(raw.as_bytes(), &parse(raw.as_bytes())),
            expected,
            "{raw}"
        );
    }
}

#[test]
fn fields_and_folding() {
    let header = b"Subject: a\r\n b\r\nno field\r\nFROM : x\r\n\r\nBody: y";
    let found: Vec<_> = fields(header)
        .map(|field| (field.name, unfold(field.value)))
        .collect();
    let expected: [(&[u8], Vec<u8>); 3] = [
        (b"Subject", b"a b".to_vec()),
        (b"", b"no field".to_vec()),
        (b"FROM", b"x".to_vec()),
    ];
    assert_eq!(found, expected);
    assert_eq!(field(header, "subject"), Some(b"a b".to_vec()));
    assert_eq!(field(header, "Body"), None);
}

#[test]
fn nesting_has_an_end() {
    let mut raw = String::new();
    for _ in 0..100 {
        raw.push_str("Content-Type: message/rfc822\r\n\r\n");
    }
    assert!(outline(raw.as_bytes(), &parse(raw.as_bytes())).contains("OCTET-STREAM"));

    let mut raw = "Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned();
    raw.push_str(&"--b\r\n".repeat(10_000));
    let Content::Parts(parts) = parse(raw.as_bytes()).content else {
        panic!("expected parts");
    };
    assert!(parts.len() < PARTS);
}

#[test]
fn a_header_without_end_is_bounded() {
    let raw = "a: b\r\n".repeat(HEADER / 3);
    assert!(parse(raw.as_bytes()).header.len() <= HEADER);
}

proptest::proptest! {
    #[test]
    fn any_octets_have_a_reading(raw in "(Content-Type: (multipart/mixed|message/rfc822|text/\\*)(; boundary=\"?[ab]\"?)?|--[ab]|--|\\(|\"|;|=|:|[ab]|\r\n|\n|\r| |é){0,60}") {
        let part = parse(raw.as_bytes());
        proptest::prop_assert!(part.header.end <= part.body.start && part.body.end <= raw.len());
    }
}
