//! Every class of `tests/THREATS.md` has tests, and each test that is named there is there.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::path::Path;

/// The attributes of a function, each on the lines right above it, where comments may stand too.
fn attributes<'a>(code: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let lines: Vec<&str> = code.lines().map(str::trim_start).collect();
    let (plain, waits) = (format!("fn {name}("), format!("async fn {name}("));
    let at = lines
        .iter()
        .position(|line| line.starts_with(&plain) || line.starts_with(&waits))?;
    let above = lines[..at].iter().rev();
    let above = above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    Some(
        above
            .copied()
            .filter(|line| line.starts_with('#'))
            .collect(),
    )
}

fn is_test(attribute: &str) -> bool {
    attribute == "#[test]"
        || attribute == "#[tokio::test]"
        || attribute.starts_with("#[tokio::test(")
}

#[test]
fn only_what_stands_right_above_a_function_makes_it_a_test() {
    let code =
        "#[test]\nfn one() {}\nfn two() {}\n#[test]\n// Never.\n#[cfg(any())]\nfn three() {}\n";
    assert_eq!(attributes(code, "one"), Some(vec!["#[test]"]));
    assert_eq!(attributes(code, "two"), Some(vec![]));
    assert_eq!(
        attributes(code, "three"),
        Some(vec!["#[cfg(any())]", "#[test]"])
    );
    assert_eq!(attributes(code, "four"), None);
}

#[test]
fn each_promise_is_held_by_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/THREATS.md")).unwrap();
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let mut classes = 0;
    for row in rows.skip(1) {
        let (class, tests) = row.split_once(" | ").unwrap();
        classes += 1;
        for test in tests.split(", ") {
            let (file, name) = test.split_once("` ").unwrap();
            let path = root.join(file.trim_start_matches('`'));
            let code = fs::read_to_string(&path).unwrap_or_else(|_| panic!("{class}: no {file}"));
            let attributes = attributes(&code, name);
            let attributes = attributes.unwrap_or_else(|| panic!("{class}: no {name} in {file}"));
            // Whatever else stands there could keep it from being run.
            assert!(
                !attributes.is_empty() && attributes.iter().all(|it| is_test(it)),
                "{class}: {name} is no test, or not always: {attributes:?}"
            );
        }
    }
    assert!(classes >= 20, "{classes} classes");
}
