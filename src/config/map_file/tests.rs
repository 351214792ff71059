//! Whatever stands in a map file, it reads as the YAML reader reads it.

use super::plain::{Span, Value};
use super::*;
use crate::config::tests::chance;

/// YAML's word for it. Its reader looks ahead, and gives fewer entries before a fault than there
/// are: those that it gives must be ours. And what is read as a stream says what it says as a text.
fn same_as_yaml(text: &[u8]) {
    let (ours, yaml) = both_ways(text);
    let shown = String::from_utf8_lossy(text);
    assert_eq!(ours.ended, yaml.ended, "{shown}");
    match yaml.ended {
        Ok(()) => {
            assert_eq!(ours.entries, yaml.entries, "{shown}");
            let settings = as_settings(text).unwrap_or_default();
            assert_eq!(ours.entries, settings, "{shown}");
        }
        Err(_) => assert!(
            ours.entries.starts_with(&yaml.entries),
            "{shown}\n{ours:?}\n{yaml:?}"
        ),
    }
}

/// A name that looks like a number is a name: the user of another spelling is somebody else.
#[test]
fn names_that_look_like_numbers_are_as_written() {
    const NAMES: [&str; 22] = [
        "5",
        "-5",
        "+491701234567",
        "12e3",
        "12000",
        "12E+3",
        "1.50",
        "1.5",
        "-0",
        "0.0",
        "5.",
        ".5",
        "0x1F",
        "0xFFFFFFFF",
        "0b11",
        "0o17",
        "18446744073709551616",
        "12345678901234567890123",
        "1e999",
        ".inf",
        "-.INF",
        ".nan",
    ];
    let nodes = |text: &[u8]| {
        let mut seen = Vec::new();
        read(text, |key, value| {
            let of_it = |node: &Node| node.scalar().map(str::to_owned);
            let inside = value.entries().iter().map(|(_, value)| of_it(value));
            let inside: Vec<_> = inside.collect();
            seen.push((of_it(&key), of_it(&value), inside));
        })
        .unwrap_or_else(|fault| panic!("{fault:?} {}", String::from_utf8_lossy(text)));
        seen
    };
    for name in NAMES {
        let is = Some(name.to_owned());
        for (text, key) in [
            (format!("{name}: {name}\n"), 0),
            (format!("a@b: c\n{name}: {name} # why\nd@e: f\n"), 1),
            (format!("é: ü\r\n\r\n王: x\r\n{name}: {name}\r\n"), 2),
            (format!("\u{feff}é: ü\n{name}: {name}\n"), 1),
            (format!("# é\n--- # ü\n  {name}: {name}\n"), 0),
            (format!("{{ é: ü, {name}: {name} }}\n"), 1),
            (format!("\"\\u00e9\": 'ü'\n? {name}\n: {name}\n"), 1),
        ] {
            let seen = nodes(text.as_bytes());
            assert_eq!(seen[key], (is.clone(), is.clone(), vec![]), "{text}");
            same_as_yaml(text.as_bytes());
        }
        for text in [
            format!("a: {{ backend: {name}, host: {name} }}\n"),
            format!("é: ü\na:\n  backend: {name}\n  host: {name}\n"),
            format!("é: ü\na:\n  backend: {name} # ö\n\n  host: {name}"),
        ] {
            let seen = nodes(text.as_bytes());
            let inside = &seen.last().unwrap().2;
            assert_eq!(inside[..], [is.clone(), is.clone()], "{text}");
            same_as_yaml(text.as_bytes());
        }
    }
    // With YAML's word for it that it is a number.
    let tagged = nodes("é: ü\n!!int 0x1F: x\n!!float 1.50 : x\n? !!int 12\n: y\n".as_bytes());
    let tagged: Vec<_> = tagged.into_iter().filter_map(|(key, ..)| key).collect();
    assert_eq!(tagged, ["é", "0x1F", "1.50", "12"]);
    for text in ["!!int \"12\": x\n", "a: x\n\n!!float '1.50': x\n"] {
        let fault = read(text.as_bytes(), |_, _| {}).unwrap_err();
        let mark = fault.mark.unwrap();
        assert_eq!(mark.line as usize, text.lines().count(), "{text}");
        assert!(fault.message.ends_with("without its tag"), "{fault:?}");
        same_as_yaml(text.as_bytes());
    }
    // All of them beside each other, behind more than is read at a time.
    let mut text = "é@example.com: { a: [1.50, x] }\n".repeat(20_000);
    let before = 20_000;
    for name in NAMES {
        text += &format!("{name}: {name}\n\"{name}\": x\n");
    }
    let seen = nodes(text.as_bytes());
    assert_eq!(seen.len(), before + 2 * NAMES.len());
    for (two, name) in seen[before..].chunks(2).zip(NAMES) {
        let is = Some(name.to_owned());
        assert_eq!(two[0], (is.clone(), is.clone(), vec![]));
        assert_eq!(two[1].0, is);
    }
}

/// Lines that mean something beside each other.
const LINES: &[&str] = &[
    "alice@example.com: store",
    "bob: old  # why",
    "\"@example.org\": new",
    "'@*.example.org': \"new\"",
    "carol: { backend: new, login: \"{local}\" }",
    "dora: {backend: new , host: 10.0.1.2}  # why",
    "emil: { reject: 'moved, call 555-0100' }",
    "fred: {a: b,c: d}",
    "gina: {a: 5, b: 10.0, c: 1.2.3.}",
    "hugo: {a: b, }",
    "inge: {a: {b: c}}",
    "jens: { \"a\": b, a:c }",
    "kurt: {}",
    "lars: {a: b} c",
    "mike: {a: b}#c",
    "nina: {a: true, b: x:y}",
    "otto: 10.0.1.2",
    "dave: {backend: new,",
    "}",
    "  host: x }",
    "eve:",
    "  backend: new",
    "  login: \"a b\"",
    "",
    "   ",
    "# a comment",
    "  # an indented comment",
    "frank: two words",
    "  more words",
    "true: yes",
    "grace: true",
    "5: 6",
    "12e3: 1.50",
    "{ 0x1F: +5 }",
    "zoe: { backend: 0x10, host: 12345678901234567890123 }",
    "王: -.inf",
    ".NaN: 1e999",
    "heidi: 0x10",
    "~: ~",
    "ivan: |\n  a block",
    "karl: >\n  folded\n\n  block",
    "judy: 'it''s'",
    "mallory: \"a\\tb\"",
    "oscar: \"not closed",
    "closed here\"",
    "peggy: é",
    "é: store",
    "quentin : store",
    "rupert:store",
    "- item",
    "? complex",
    ": value",
    "---",
    "...",
    "%YAML 1.2",
    "@unquoted: x",
    "a: b: c",
    "x: &anchor y",
    "z: *anchor",
    "\ttab: x",
    "alice@example.com: again\r",
    "rita:",
    "  login: u1@new.example",
    "  backend: new  # why",
    "    host: 10.0.1.2",
    "  reject: moved elsewhere, call",
    "  reject: moved  elsewhere ",
    "sven: # why",
    "tina:   ",
    "  \"login\": 'x'",
    "  é: ü",
    "  reject: zu spät",
    "jörg@bücher.example: störe # wörum",
    "uwe: { login: jörg, host: x }",
    "\"ü@x\": 'ö'",
    "王@例え.jp: x",
    "٣: x",
    "a\u{301}: x",
    "vera: \u{a0}x",
    "walter: {a: b c, d: e@f }",
    "xaver: two words here",
    "yara: y",
    "  n: yes",
    "--- # a comment",
    "--- ",
    "5@x: 5 6@x",
    "{ a: x }",
    "!!map {a: b}",
];

#[test]
fn every_pair_of_lines_reads_as_yaml_reads_it() {
    for (m, one) in LINES.iter().enumerate() {
        same_as_yaml(one.as_bytes());
        for (n, other) in LINES.iter().enumerate() {
            // Each in one place: in all of them would take a minute.
            let text = match (m * 5 + n) % 7 {
                0 => format!("{one}\n{other}\n"),
                1 => format!("k:\n{one}\n{other}\nc: d\n"),
                2 => format!("---\n  k: v\n  {one}\n  {other}\n"),
                _ => format!("a: b\n{one}\n{other}\nc: d\n"),
            };
            same_as_yaml(text.as_bytes());
        }
    }
}

#[test]
fn any_lines_in_any_order_read_as_yaml_reads_them() {
    let mut next = chance();
    for turn in 0..1000 {
        let count = 1 + next(8);
        // Mostly lines that are fine beside each other, or nothing would be read to the end.
        let lines: Vec<&str> = (0..count)
            .map(|_| {
                LINES[if next(4) == 0 {
                    next(LINES.len())
                } else {
                    next(15)
                }]
            })
            .collect();
        let indented: Vec<String> = lines.iter().map(|line| format!("  {line}")).collect();
        let text = match turn % 4 {
            0 | 1 => lines.join("\n"),
            2 => indented.join("\n"),
            _ => format!("# why\n---\n{}", lines.join("\r\n")),
        };
        same_as_yaml(text.as_bytes());
    }
}

#[test]
fn long_and_broken_lines_are_yamls() {
    let long = format!("a: b\nlong: {}\nc: d\n", "x".repeat(3 * MAX_LINE));
    let pieces = format!("a: b\n{}c: d\n", "e: {f: g}\n".repeat(MAX_PIECE / 8));
    // Each line belongs to the piece before it: looking through all of it for each would take minutes.
    let blanks = format!("{}a: b\n", "#\t\n".repeat(MAX_PIECE / 3));
    for text in [
        long.as_bytes(),
        pieces.as_bytes(),
        blanks.as_bytes(),
        b"a: b\nc: \xFF\nd: e\n",
        b"\xEF\xBB\xBFa: b\nc: d\n",
        b"a: b\n\0: d\n",
        b"a: b\nc: d\n ",
        b"a: b\r\n\r\nc: d\r\n",
        b"a: b\rc: d\r",
    ] {
        same_as_yaml(text);
    }
}

/// Found by fuzzing: places behind a line break that is YAML's only.
#[test]
fn a_bare_cr_ends_a_line_as_yaml_has_it() {
    for text in [
        "a: st'ore\nb: old \r # Why\nc: new\n",
        "a: b\n# c\rd: e\nf: g\n",
        "a: b\r",
        "a: b\r\r\nc: d\n",
        "a: b c\n\r mob\nd: e\n",
        "  a: b c\n\r  mob\n  d: e\n",
    ] {
        same_as_yaml(text.as_bytes());
    }
}

/// Found by fuzzing: where an empty block stands depends on what follows it.
#[test]
fn an_empty_block_is_read_as_empty() {
    same_as_yaml(b"karl: >\nhost: x\n");
    same_as_yaml(b"true: ~\nkarl: >\nhost:   foldedy\ndy\nz: *anchor\n");
    for indicators in ["|+", ">+", "|2+", "|+ # why", "|-", "?", "a|", "a>+"] {
        for behind in [
            "c: d\nx",
            "c: d\ny: z\n",
            "",
            "\n\nc: d\nx\n",
            " \n  e\nc: d\n",
        ] {
            same_as_yaml(format!("true: ~\nkarl: {indicators}\n\n{behind}").as_bytes());
        }
    }
}

/// Found by fuzzing: a tab where a key could stand.
#[test]
fn a_tab_is_found_where_yaml_finds_it() {
    same_as_yaml(b"  reject: moved  elsewhere \n\ttab: x");
    same_as_yaml(b"reject: moved  elsewhere \n\ttab: x\n");
    same_as_yaml(b"a: b\n \ttab: x\nc: d\n");
}

/// Found by fuzzing: a map that ends where a line is indented by less than its first.
#[test]
fn a_first_entry_that_is_indented_is_the_measure() {
    for before in [
        "#\t\n",
        "# why\n",
        "\n#\t\n",
        " \t\n",
        "#\t\n \t# why\n",
        "",
    ] {
        for first in ["  \tt:  \n", "  t: 1\n", " t: {\n a: b}\n", "  t: x\n"] {
            for rest in ["ve:\nis: x\n", "ve: x\n", "  ve: x\n", " ve: x\n"] {
                same_as_yaml(format!("{before}{first}{rest}").as_bytes());
            }
        }
    }
}

#[test]
fn plain_lines() {
    for (line, want) in [
        ("a@b: c", Some((("a@b", 1), ("c", 6)))),
        ("\"@b\":   'c d' # e", Some((("@b", 1), ("c d", 9)))),
        ("a: b#c", None),
        ("a: b #c", Some((("a", 1), ("b", 4)))),
        ("a:b", None),
        ("a: ", None),
        ("a: b c ", Some((("a", 1), ("b c", 4)))),
        ("ä: ö", Some((("ä", 1), ("ö", 4)))),
        ("a: -", None),
        ("null: b", None),
        ("a: \"\"", None),
        ("a: 'b' c", None),
        ("1@b: c", Some((("1@b", 1), ("c", 6)))),
        ("1b: c", None),
    ] {
        let got = match plain(line.as_bytes(), 0) {
            Plain::Entry {
                key,
                value: Value::Scalar(value),
            } => {
                let text = |span: Span| (&line[span.text.0..span.text.1], span.column);
                Some((text(key), text(value)))
            }
            _ => None,
        };
        assert_eq!(got, want, "{line}");
    }
}
