//! From text to tree: YAML with the places of its values; what is not YAML is told in words that help.

use super::check::Report;
use super::node::{Kind, Mark, Node};
use super::problem::{self, Code, Problem};
use super::value::Wrong;
use super::yaml::{self, Fault, FaultKind};

/// Parses; keys that YAML needs quoted are reported one by one and read as if they were.
pub(super) fn read(text: &str, report: &mut Report<'_>) -> Option<Node> {
    /// A file of settings has a few such keys; each costs another parse.
    const MOST: usize = 20;
    let mut patched = text.to_owned();
    for round in 0.. {
        let fault = match yaml::parse(&patched) {
            Ok(tree) if matches!(tree.kind, Kind::Map(_)) || round > 0 => return Some(tree),
            Ok(tree) => {
                let message = format!("proxy.yaml is {}", tree.noun());
                let expected = "expected a map with `listeners`, `backends` and `users`";
                report.say(Mark::default(), Code::E013, message, expected);
                return None;
            }
            Err(fault) => fault,
        };
        let mark = fault
            .mark
            .map(|mark| in_octets(mark, &patched))
            .unwrap_or_default();
        let rest = patched.get(mark.start as usize..).unwrap_or_default();
        let key = unquoted_key(rest);
        let Some(key) = key.filter(|_| fault.kind == FaultKind::Syntax && round < MOST) else {
            let (code, mut wrong) = unparsed(&fault);
            if let Some(address) = unquoted_address(line_at(&patched, mark)) {
                wrong = wrong.help(format!("an IPv6 address needs quotes: `\"{address}\"`"));
            } else if !fault.message.contains("quote")
                && let Some(how) = misindented(&patched, mark.line)
            {
                wrong = wrong.help(how);
            }
            report.add(mark, code, fault.message, wrong);
            return None;
        };
        let mark = Mark {
            end: mark.start + u32::try_from(key.len()).unwrap_or_default(),
            ..mark
        };
        report.say(mark, Code::E002, "", "");
        if let Some(problem) = report.problems.last_mut() {
            must_be_quoted(problem);
        }
        // A letter in place of the sign keeps every place as it was.
        let at = mark.start as usize;
        patched.replace_range(at..at + 1, "_");
    }
    None
}

/// What is wrong with the indentation where YAML's reader stopped, at the line of this number or before the next one.
fn misindented(text: &str, number: u32) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    let indentation = |line: &str| {
        let key = line.trim_start_matches([' ', '\t']);
        line.get(..line.len() - key.len())
            .unwrap_or_default()
            .to_owned()
    };
    for line in [at, at + 1] {
        if indentation(lines.get(line)?).contains('\t') {
            return Some(format!(
                "line {} is indented with a tab: use spaces",
                line + 1
            ));
        }
    }
    let is_key = |line: &&&str| line.contains(':') && !line.trim_start().starts_with('#');
    let here = lines.get(at).filter(is_key)?;
    let above = lines.get(..at)?.iter().rev().find(is_key)?;
    let (here, above) = (indentation(here).len(), indentation(above).len());
    (here != above).then(|| {
        format!("it is indented by {here}, the key above it by {above}: keys of one map begin in one column")
    })
}

/// The code of a fault, and what to do about the commonest.
pub(super) fn unparsed(fault: &Fault) -> (Code, Wrong) {
    if fault.kind == FaultKind::Budget {
        return (
            Code::E006,
            Wrong::new(Code::E006, "more than settings may ask for"),
        );
    }
    let wrong = Wrong::new(Code::E002, "");
    let says = |words: &str| fault.message.contains(words);
    let wrong = if says("quote") {
        wrong.help("is a quote above left open?")
    } else if says("tab") {
        wrong.help("indent with spaces")
    } else if says("mapping values are not allowed") {
        wrong.help("a text with `: ` in it needs quotes")
    } else {
        wrong
    };
    (Code::E002, wrong)
}

/// A problem at a key that YAML needs quoted.
pub(super) fn must_be_quoted(problem: &mut Problem) {
    let key = problem
        .source
        .get(problem.marked.clone())
        .unwrap_or_default()
        .to_owned();
    problem.code = Code::E003;
    problem.message = format!("{} must be quoted", problem::quoted(&key));
    problem.expected = format!("write `\"{key}\"`");
    problem.help =
        Some("YAML gives `@` and `*` at the start of a word a meaning of their own".into());
}

/// The word at a fault, if it starts with a sign that YAML keeps for itself.
fn unquoted_key(rest: &str) -> Option<&str> {
    if !rest.starts_with(['@', '*']) {
        return None;
    }
    let line = rest.lines().next().unwrap_or_default();
    let end = line
        .find(": ")
        .or_else(|| line.trim_end().strip_suffix(':').map(str::len))
        .or_else(|| line.find([' ', ',', '}', ']']))
        .unwrap_or(line.len());
    line.get(..end)
}

/// The line of a place.
fn line_at(text: &str, mark: Mark) -> &str {
    let before = text.get(..mark.start as usize).unwrap_or_default();
    let start = before.rfind(['\n', '\r']).map_or(0, |at| at + 1);
    let rest = text.get(start..).unwrap_or_default();
    rest.split(['\n', '\r']).next().unwrap_or_default()
}

/// An IPv6 address of a URL or with a port that stands in a line without quotes: YAML takes what is in its
/// brackets for a list.
fn unquoted_address(line: &str) -> Option<&str> {
    line.match_indices('[').find_map(|(at, _)| {
        let inside = line.get(at + 1..)?.split(']').next()?;
        let close = at + 1 + inside.len();
        let of_it = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.');
        if inside.matches(':').count() < 2 || !inside.chars().all(of_it) {
            return None;
        }
        let before = line.get(..at)?;
        let start = before.rfind([' ', ',', '[', '{']).map_or(0, |at| at + 1);
        let behind = line.get(close + 1..)?;
        let port = |c: char| c == ':' || c.is_ascii_digit();
        let end = close + 1 + behind.find(|c| !port(c)).unwrap_or(behind.len());
        let word = line.get(start..end)?;
        // Quoted, or the list of one address that YAML sees.
        let is_one = !word.contains(['"', '\'']) && (start < at || end > close + 1);
        is_one.then_some(word)
    })
}

/// A fault's mark knows line and column only.
fn in_octets(mark: Mark, text: &str) -> Mark {
    let skip = mark.line.saturating_sub(1) as usize;
    let mut start = 0;
    for line in yaml::lines(text).take(skip) {
        start += line.len();
    }
    let line = text.get(start..).unwrap_or_default();
    let column = mark.column.saturating_sub(1) as usize;
    let line = line.split(['\n', '\r']).next().unwrap_or_default();
    let at = start
        + line
            .char_indices()
            .nth(column)
            .map_or(line.len(), |(at, _)| at);
    let at = u32::try_from(at).unwrap_or(u32::MAX);
    Mark {
        start: at,
        end: at.saturating_add(1),
        ..mark
    }
}
