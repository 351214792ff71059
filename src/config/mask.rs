//! Secrets in what is said about proxy.yaml: in source lines and in messages, octet for octet as long as
//! before, so that marks stay where they are.
//!
//! Of a file that was read the tree tells where its secrets stand. Of one that is no YAML only lines are
//! known: there what follows the name of a secret is masked, rather too much than too little.

use std::ops::Range;

use super::node::{Kind, Node};

/// Keys whose values are secrets.
const SECRETS: [&str; 4] = ["password", "token", "secret", "passphrase"];

/// The key whose values are headers: any of them may be a token.
const HEADERS: &str = "headers";

/// Where the secrets of a file stand. A value that is one `${NAME}` and nothing else may be shown.
pub(super) fn secrets(tree: &Node) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    // A map of users may have a million names, and no secret.
    let others = { tree.entries().iter() }.filter(|(key, _)| key.scalar() != Some("users"));
    others.for_each(|entry| find_in(entry, Inside::Open, &mut found));
    found
}

/// Whether a value belongs to a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Open,
    Secret,
}

fn find(node: &Node, inside: Inside, found: &mut Vec<Range<usize>>) {
    match &node.kind {
        Kind::Map(entries) => {
            { entries.iter() }.for_each(|entry| find_in(entry, inside, found));
        }
        Kind::List(items) => items.iter().for_each(|item| find(item, inside, found)),
        Kind::Null => {}
        _ if inside == Inside::Open || is_variable(node.scalar().unwrap_or_default()) => {}
        _ => {
            let (start, end) = (node.mark.start as usize, node.mark.end as usize);
            found.push(start..end.max(start + 1));
        }
    }
}

fn find_in((key, value): &(Node, Node), inside: Inside, found: &mut Vec<Range<usize>>) {
    let name = key.scalar().unwrap_or_default();
    let inside = match name {
        // Where a secret is read from is none.
        "file" => Inside::Open,
        name if name == HEADERS || is_secret(name) => Inside::Secret,
        _ => inside,
    };
    find(value, inside, found);
}

/// The name of a secret, or nearly: who wrote `passwort:` has written a password behind it.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key != "passwords" && !key.ends_with("file") && { SECRETS.iter() }.any(|name| {
        key.ends_with(name) || (!key.contains('@') && strsim::jaro_winkler(name, &key) > 0.9)
    })
}

/// `${NAME}` and nothing else.
fn is_variable(text: &str) -> bool {
    text.strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|name| name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_'))
}

/// A line of the file that starts at this octet, with what lies in these masked.
pub(super) fn ranges(line: &str, starts: usize, secrets: &[Range<usize>]) -> String {
    let ends = starts + line.len();
    let mut masked = line.to_owned();
    for secret in secrets {
        if secret.start < ends && secret.end > starts {
            let from = secret.start.saturating_sub(starts);
            masked = mask(&masked, from..secret.end - starts);
        }
    }
    masked
}

/// A source line by itself: what follows the name of a secret, and the passwords of URLs.
pub(super) fn line(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut masked = urls(line);
    for secret in SECRETS {
        for (at, _) in lower.match_indices(secret) {
            let before = lower.get(..at).unwrap_or_default();
            let rest = lower.get(at + secret.len()..).unwrap_or_default();
            let Some(value) = value_of(rest) else {
                continue;
            };
            let start = line.len() - value.len();
            let end = match before.contains(['{', ',']) {
                true => end_in_braces(value),
                false => value.len(),
            };
            let text = value.get(..end).unwrap_or_default();
            if !is_variable(text.trim_matches([' ', '"', '\''])) {
                masked = mask(&masked, start..start + end);
            }
        }
    }
    masked
}

/// A line of a text that could not be read: besides, everything behind a `headers:` that it belongs to.
pub(super) fn unread(text: &str, starts: usize, shown: &str) -> String {
    let masked = line(shown);
    let here = shown
        .match_indices(HEADERS)
        .find_map(|(at, _)| value_of(shown.get(at + HEADERS.len()..)?));
    if let Some(value) = here {
        return mask(&masked, shown.len() - value.len()..shown.len());
    }
    let mut indent = indent_of(shown);
    let before = text.get(..starts).unwrap_or_default();
    for above in before.rsplit(['\n', '\r']) {
        if above.trim().is_empty() || indent_of(above) >= indent {
            continue;
        }
        indent = indent_of(above);
        let key = above.trim_start_matches([' ', '-', '"', '\'']);
        if key.strip_prefix(HEADERS).and_then(value_of).is_some() {
            let from = shown.find(':').map_or(0, |at| at + 1);
            return mask(&masked, from..shown.len());
        }
    }
    masked
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '-']).len()
}

/// What stands behind the colon, where the end of a key, a quote or blanks may come before it.
fn value_of(behind_key: &str) -> Option<&str> {
    let rest = behind_key.strip_prefix(['"', '\'']).unwrap_or(behind_key);
    rest.trim_start_matches([' ', '\t']).strip_prefix(':')
}

/// Where a value of a map in braces ends.
fn end_in_braces(value: &str) -> usize {
    let blanks = value.len() - value.trim_start().len();
    let text = value.trim_start();
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let length = match quote {
        Some(quote) => text
            .get(1..)
            .and_then(|rest| rest.find(quote))
            .map(|at| at + 2),
        // The brace of a `${NAME}` ends nothing.
        None if text.starts_with("${") => text.find('}').map(|at| at + 1),
        None => text.find([',', '}']),
    };
    blanks + length.unwrap_or(text.len())
}

/// The password of each `scheme://user:password@host` of a text, and what a lookup service is asked with:
/// what follows the `?` of `https://host/path?token=…` may be a secret.
pub(super) fn urls(text: &str) -> String {
    let mut masked = text.to_owned();
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let rest = text.get(start..).unwrap_or_default();
        // A comment, or the next value, is no piece of it. A password may hold anything else.
        let ends = [" #", ", "].map(|end| rest.find(end).unwrap_or(rest.len()));
        let rest = rest.get(..ends[0].min(ends[1])).unwrap_or_default();
        if let Some((user, _)) = rest.rsplit_once('@')
            && let Some((name, _)) = user.split_once(':')
        {
            masked = mask(&masked, start + name.len() + 1..start + user.len());
        }
        let scheme = text.get(..at).unwrap_or_default();
        if scheme.ends_with("http") || scheme.ends_with("https") {
            let query = rest.find('?').map_or(rest.len(), |query| query + 1);
            masked = mask(&masked, start + query..start + rest.len());
        }
    }
    masked
}

fn mask(line: &str, range: Range<usize>) -> String {
    line.char_indices()
        .flat_map(|(at, c)| {
            let hide = range.contains(&at) && !matches!(c, ' ' | '"' | '\'');
            let width = if hide { c.len_utf8() } else { 1 };
            std::iter::repeat_n(if hide { '*' } else { c }, width)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Colour, Config};
    use super::*;

    #[test]
    fn secrets_are_masked_in_source_lines() {
        for (shown, want) in [
            ("  password: hünter2", "  password: ********"),
            ("  token: \"a b\"  ", "  token: \"* *\"  "),
            ("  token: a,b}c", "  token: *****"),
            ("  \"token\": \"hunter3\"", "  \"token\": \"*******\""),
            ("  'token' : hunter3", "  'token' : *******"),
            ("{\"token\":\"a,b\",\"z\":1}", "{\"token\":\"***\",\"z\":1}"),
            (
                "{ user: x, password: y, z: 1 }",
                "{ user: x, password: *, z: 1 }",
            ),
            ("{ password: ${PW}, z: 1 }", "{ password: ${PW}, z: 1 }"),
            ("password: ${PW}", "password: ${PW}"),
            ("password: \"${PW}\"", "password: \"${PW}\""),
            ("password: ${P!}w", "password: ******"),
            ("password_file: /x", "password_file: /x"),
            (
                "state: redis://u:secret@h:1/0",
                "state: redis://u:******@h:1/0",
            ),
            ("state: redis://:p@s/s@h", "state: redis://:*****@h"),
            (
                "[imap://a:b@c, imap://d:e@f]",
                "[imap://a:*@c, imap://d:*@f]",
            ),
            (
                "http: \"https://h h/?token=s3cret&a\" # b",
                "http: \"https://h h/?**************\" # b",
            ),
            ("- https://h/auth?", "- https://h/auth?"),
            ("  a@b.c: old", "  a@b.c: old"),
            ("- imap://10.0.0.1:143 # a@b", "- imap://10.0.0.1:143 # a@b"),
        ] {
            assert_eq!(line(shown), want);
            assert_eq!(line(shown).len(), shown.len());
        }
    }

    /// Everything that `check`, the log and the API say of a file.
    fn told(text: &str) -> String {
        let file = Path::new("proxy.yaml");
        let read = Config::parse(file, text, Path::new(""), &|_| None);
        let problems = read.map_or_else(|problems| problems.0, |(_, warnings)| warnings);
        let each = problems
            .iter()
            .map(|p| format!("{}\n{p}\n{}\n", p.render(Colour::No), p.json()));
        each.collect()
    }

    #[test]
    fn no_word_about_a_file_holds_a_secret() {
        const GOOD: &str =
            "listeners: ['imap://127.0.0.1:1']\nbackends: {b: imap://h}\nusers: {'*': b}\n";
        for (lines, what) in [
            ("state: redi://user:hunter2@host:6379", "E020"),
            ("state: redis://user:hunter2@host:port", "E020"),
            (
                "state: { url: redis://h, \"password\": hunter2, nono: 1 }",
                "E010",
            ),
            ("state: { url: redis://h, passwort: hunter2 }", "E010"),
            (
                "state:\n  url: redis://h\n  password:\n    [ hunter2 ]",
                "E013",
            ),
            ("admin: { bind: 'http://u:hunter2@127.0.0.1' }", "E020"),
            (
                "admin:\n  bind: 127.0.0.1:1\n  \"token\": \"hunter2\\n\"",
                "E026",
            ),
            (
                "admin:\n  bind: 127.0.0.1:1\n  token: |\n    hunter2\n    more",
                "E026",
            ),
            (
                "admin:\n  bind: 127.0.0.1:1\n  token:\n    - hunter2",
                "E013",
            ),
            ("admin:\n  bind: 127.0.0.1:1\n  token: a${hunter2!}", "E005"),
            ("users_from: [{ http: 'http://u:hunter2@lookup' }]", "E020"),
            ("users_from: [{ http: 'https://l l/?t=hunter2' }]", "E020"),
            (
                "users_from: [{ http: https://l/?t=hunter2, timeout: 1 }]",
                "E021",
            ),
            (
                "users_from: [{ http: http://l, headers: { X: hunter2, 'Y Y': \"hunter2\" } }]",
                "E026",
            ),
            (
                "users_from:\n - http: http://l\n   headers:\n     'Y Y': hunter2",
                "E026",
            ),
            (
                "users_from:\n - http: http://l\n   headers:\n     Y: hunter2 : x",
                "E002",
            ),
            (
                "users_from:\n - { http: http://l, headers: { Y: hunter2 : x } }",
                "E002",
            ),
            ("admin: { \"token\" : \"hunter2, oh\" : }", "E002"),
            ("backends: { b: imap://u:hunter2@h }", "E020"),
        ] {
            let said = told(&format!("{GOOD}{lines}\n"));
            assert!(said.contains(what), "{lines}: {said}");
            assert!(!said.contains("hunter2"), "{lines}: {said}");
        }
    }
}
