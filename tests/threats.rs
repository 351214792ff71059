//! Every class of `tests/THREATS.md` has tests, and each test that is named there is there.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::path::Path;

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
            let signature = format!("fn {name}(");
            let at = code.find(&signature);
            let at = at.unwrap_or_else(|| panic!("{class}: no test {name} in {file}"));
            let before: String = code[..at].chars().rev().take(300).collect();
            let is_test = ["]tset[#", "(tset::oikot[#", "]tset::oikot[#"];
            assert!(
                is_test.iter().any(|it| before.contains(it)),
                "{class}: {name} is no test"
            );
        }
    }
    assert!(classes >= 20, "{classes} classes");
}
