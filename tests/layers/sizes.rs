//! How long a file and a function may be. What belongs together decides; this only tells where nobody
//! has asked for long.

use std::fs;
use std::path::Path;

use super::{attributes, code, sources};

/// Most lines of a file under `src`, tests in it counted.
const MOST: usize = 450;

/// Files that are longer for now, with the lines they have. The list only ever becomes shorter.
const LONGER: &[(&str, usize)] = &[];

/// What is wrong with the sizes of these files, and what to do.
fn too_long(files: &[(String, String)], longer: &[(&str, usize)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, text) in files {
        let lines = text.lines().count();
        let has = format!("{file} has {lines} lines");
        match longer.iter().find(|(name, _)| name == file) {
            None if lines > MOST => wrong.push(format!(
                "{has}, {MOST} are the most: put its second subject, or its tests, in a file of their own"
            )),
            Some((_, had)) if lines > *had => wrong.push(format!(
                "{has}, {had} before: put what is new in a file of its own"
            )),
            Some(_) if lines <= MOST => {
                wrong.push(format!("{has}: take it off the list LONGER in {}", file!()));
            }
            Some((_, had)) if lines < *had => {
                wrong.push(format!("{has}: write so in the list LONGER in {}", file!()));
            }
            _ => {}
        }
    }
    let gone = longer
        .iter()
        .filter(|(name, _)| files.iter().all(|(file, _)| file != name));
    wrong.extend(gone.map(|(name, _)| format!("{name} is gone: take it off the list LONGER")));
    wrong
}

#[test]
fn no_file_is_too_long() {
    let wrong = too_long(&sources(), LONGER);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_exception_only_ever_becomes_smaller() {
    let files = |lines: usize| [("a.rs".to_owned(), "x\n".repeat(lines))];
    let longer = [("a.rs", 500)];
    assert_eq!(too_long(&files(MOST), &[]), [""; 0]);
    assert_eq!(too_long(&files(500), &longer), [""; 0]);
    for (lines, longer, told) in [
        (MOST + 1, &[][..], "in a file of their own"),
        (501, &longer, "in a file of its own"),
        (499, &longer, "write so"),
        (MOST, &longer, "take it off"),
    ] {
        let wrong = too_long(&files(lines), longer);
        assert!(wrong.len() == 1 && wrong[0].contains(told), "{wrong:?}");
    }
    assert_eq!(too_long(&[], &longer).len(), 1);
}

/// Clippy counts the lines of functions, without comments; here is only seen that it is asked to, and that
/// nothing is excepted.
#[test]
fn no_function_outside_tests_is_too_long() {
    const DENIED: &str = "#![cfg_attr(not(test),deny(clippy::too_many_lines))]";
    for (file, text) in sources() {
        let all = attributes(&code(&text));
        let named: Vec<&String> = all
            .iter()
            .filter(|it| it.contains("too_many_lines"))
            .collect();
        match file == "lib.rs" {
            true => assert_eq!(named, [DENIED]),
            false => assert!(named.is_empty(), "{file}: {named:?}"),
        }
    }
    let settings = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".clippy.toml"));
    let most = "too-many-lines-threshold = 150";
    assert!(settings.unwrap().lines().any(|line| line == most));
}
