//! Lines as people and machines read them, and what a client may type.

use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn line(fields: &[(&'static str, Value)], format: Format, dress: Dress) -> String {
    let mut all = Fields::default();
    for (name, value) in fields {
        all.set(name, value.clone());
    }
    let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    write(time, Level::INFO, &all, format, dress)
}

fn text_value(value: &str) -> String {
    let fields = [("user", Value::Text(value.into()))];
    let line = line(&fields, Format::Text, Dress::Timeless);
    line.strip_prefix("info user=")
        .unwrap()
        .trim_end_matches('\n')
        .to_owned()
}

#[test]
fn what_a_client_typed_stays_one_value_of_one_line() {
    for (typed, text, json) in [
        ("bob", "bob", r#""bob""#),
        ("bob@example.org", "bob@example.org", r#""bob@example.org""#),
        ("jürgen", "jürgen", r#""jürgen""#),
        ("a b", r#""a b""#, r#""a b""#),
        ("a=b", r#""a=b""#, r#""a=b""#),
        ("a\"b", r#""a\"b""#, r#""a\"b""#),
        ("a\\b", r#""a\\b""#, r#""a\\b""#),
        (
            "a\r\nevent=login",
            r#""a\r\nevent=login""#,
            r#""a\r\nevent=login""#,
        ),
        ("a\tb", r#""a\tb""#, r#""a\tb""#),
        ("a\0b", r#""a\u{0}b""#, r#""a\u0000b""#),
        ("\x1b[2J", r#""\u{1b}[2J""#, r#""\u001b[2J""#),
        ("\u{85}x\u{9b}", r#""\u{85}x\u{9b}""#, r#""\u0085x\u009b""#),
        ("\u{7f}", r#""\u{7f}""#, r#""\u007f""#),
        ("a\u{2028}b", r#""a\u{2028}b""#, r#""a\u2028b""#),
        ("\u{202e}nimda", r#""\u{202e}nimda""#, r#""\u202enimda""#),
        ("a\u{a0}b", "\"a\u{a0}b\"", "\"a\u{a0}b\""),
        ("\u{e0041}", r#""\u{e0041}""#, r#""\udb40\udc41""#),
    ] {
        assert_eq!(text_value(typed), text, "{typed:?}");
        let fields = [("user", Value::Text(typed.into()))];
        let whole = line(&fields, Format::Json, Dress::Plain);
        let parsed: serde_json::Value = serde_json::from_str(&whole).unwrap();
        assert_eq!(parsed["user"], typed);
        assert_eq!(
            whole.split_once(r#""user":"#).unwrap().1,
            format!("{json}}}\n")
        );
    }
}

#[test]
fn no_character_breaks_a_line() {
    for c in (0..=0x3100)
        .chain(0xfe00..=0xffff)
        .filter_map(char::from_u32)
    {
        let typed = format!("a{c}b");
        for format in [Format::Text, Format::Json] {
            for dress in [Dress::Plain, Dress::Timeless] {
                let fields = [("user", Value::Text(typed.clone()))];
                let whole = line(&fields, format, dress);
                assert_eq!(whole.lines().count(), 1, "{c:?}");
                assert!(!whole.trim_end_matches('\n').contains(char::is_control));
            }
        }
    }
}

/// What Python's `\s` matches, by which filters read the log, and what Unicode calls white space.
#[test]
fn no_space_of_any_script_stands_without_quotes() {
    let of_python = ('\u{1c}'..='\u{1f}').chain(['\u{180e}']);
    let spaces = ('\0'..=char::MAX).filter(|c| c.is_whitespace());
    for c in spaces.chain(of_python) {
        let value = text_value(&format!("a{c}b"));
        assert!(
            value.starts_with('"') && value.ends_with('"'),
            "{c:?}: {value}"
        );
    }
}

#[test]
fn lines_for_people_and_for_machines() {
    let fields = [
        ("result", Value::Text("ok".into())),
        ("event", Value::Text("login".into())),
        ("backend", Value::Text(String::new())),
        ("bytes_in", Value::Unsigned(12)),
        ("left", Value::Signed(-1)),
        ("took", Value::Float(0.012_437)),
        ("seconds", Value::Float(62.25)),
        ("resumed", Value::Bool(true)),
    ];
    for (format, dress, want) in [
        (
            Format::Text,
            Dress::Plain,
            "2023-11-14T22:13:20.123Z info event=login result=ok bytes_in=12 left=-1 \
             took=12.4ms seconds=62.25 resumed=true\n",
        ),
        (
            Format::Text,
            Dress::Timeless,
            "info event=login result=ok bytes_in=12 left=-1 took=12.4ms seconds=62.25 \
             resumed=true\n",
        ),
        (
            Format::Json,
            Dress::Plain,
            "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"info\",\"event\":\"login\",\
             \"result\":\"ok\",\"bytes_in\":12,\"left\":-1,\"took\":0.012437,\
             \"seconds\":62.25,\"resumed\":true}\n",
        ),
    ] {
        assert_eq!(line(&fields, format, dress), want);
    }
    let terminal = line(&fields[..2], Format::Text, Dress::Terminal);
    assert!(terminal.contains("\x1b[32minfo \x1b[0m \x1b[2mevent=\x1b[0mlogin"));
}

#[test]
fn times_have_a_unit() {
    for (seconds, want) in [
        (0.0, "0us"),
        (0.000_87, "870us"),
        (0.0124, "12.4ms"),
        (0.9994, "999.4ms"),
        (1.518, "1.52s"),
        (75.0, "75.00s"),
    ] {
        let mut line = String::new();
        took(&mut line, seconds);
        assert_eq!(line, want);
    }
    let fields = [("took", Value::Float(f64::NAN))];
    let json = line(&fields, Format::Json, Dress::Plain);
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
}

#[test]
fn long_values_and_lines_are_cut() {
    let long = "ä".repeat(MAX_VALUE);
    assert!(cut(&long).len() <= MAX_VALUE + '…'.len_utf8());
    let mut bounded = Bounded(String::new());
    assert!(write!(bounded, "{long}{long}").is_err());
    assert!(bounded.0.len() <= MAX_VALUE + '…'.len_utf8());

    const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let fields = NAMES.map(|name| (name, Value::Text("\u{1}".repeat(MAX_VALUE))));
    for format in [Format::Text, Format::Json] {
        let whole = line(&fields, format, Dress::Plain);
        assert!(whole.len() <= MAX_LINE + 2, "{}", whole.len());
        if format == Format::Json {
            serde_json::from_str::<serde_json::Value>(&whole).unwrap();
        }
    }
}
