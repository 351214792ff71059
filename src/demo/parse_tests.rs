//! Tables of what the built-in store's grammar takes, and what it refuses.

use super::*;

fn with<T>(text: &str, read: fn(&mut Cursor<'_>) -> Parsed<T>) -> Parsed<T> {
    let pieces = [Piece::Text(text.into())];
    let mut cursor = Cursor::new(&pieces);
    let value = read(&mut cursor)?;
    cursor.end()?;
    Ok(value)
}

#[test]
fn strings() {
    for (text, value) in [
        ("abc]", Some("abc]")),
        ("\"\"", Some("")),
        (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
        (r#""a\c""#, None),
        ("\"a", None),
        ("\"a\0\"", None),
        ("a\"b", None),
        ("", None),
        ("(a)", None),
    ] {
        let read = with(text, |c| c.astring()).ok();
        assert_eq!(read.as_deref(), value.map(str::as_bytes), "{text}");
    }
}

#[test]
fn sets() {
    for (text, set) in [
        ("1", Some(vec![(Some(1), Some(1))])),
        ("1:*,3", Some(vec![(Some(1), None), (Some(3), Some(3))])),
        ("*", Some(vec![(None, None)])),
        ("0", None),
        ("1:", None),
        ("1,", None),
        ("4294967296", None),
        ("", None),
    ] {
        assert_eq!(with(text, |c| c.set()).ok(), set.map(Set), "{text}");
    }
}

#[test]
fn names() {
    for (text, name) in [
        ("inbox", Some("INBOX")),
        ("InBox/x", Some("INBOX/x")),
        ("inboxes", Some("inboxes")),
        ("\"a b\"", Some("a b")),
        ("Entw&APw-rfe", Some("Entw&APw-rfe")),
        ("\"Entwürfe\"", None),
        ("\"a*\"", None),
    ] {
        assert_eq!(with(text, |c| c.mailbox()).ok().as_deref(), name, "{text}");
    }
}

#[test]
fn flag_lists() {
    use FlagName::{Keyword, System};
    for (text, flags) in [
        ("()", Some(vec![])),
        (
            "(\\seen $Junk)",
            Some(vec![System(SEEN), Keyword("$Junk".into())]),
        ),
        (
            "\\Deleted \\Draft",
            Some(vec![System(DELETED), System(DRAFT)]),
        ),
        ("(\\Recent)", Some(vec![])),
        ("(\\Nonsense)", None),
        ("(\\Seen", None),
        ("", None),
    ] {
        assert_eq!(with(text, |c| c.flags()).ok(), flags, "{text}");
    }
}
