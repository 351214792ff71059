//! `gatepost reload`: the running gateway reads its settings anew, whole or not at all.

use std::path::Path;
use std::process::ExitCode;

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::remote::{Remote, Trouble, finish};
use super::table::printable;
use super::{FAILED, Form, say, tell};

pub(super) fn reload(path: &Path, form: Form) -> ExitCode {
    let remote = match Remote::of(path) {
        Ok(remote) => remote,
        Err(trouble) => return finish(path, Err(trouble)),
    };
    match remote.ask(Method::POST, "/api/v1/reload", None) {
        Ok(changed) => {
            match form {
                Form::Json => say(&format!("{changed:#}")),
                Form::Text => say(taken(&changed).trim_end()),
            }
            ExitCode::SUCCESS
        }
        Err(Trouble::Refused(StatusCode::UNPROCESSABLE_ENTITY, problems)) => {
            match form {
                Form::Json => say(&format!("{problems:#}")),
                Form::Text => tell(refused(&problems).trim_end()),
            }
            ExitCode::from(FAILED)
        }
        Err(trouble) => finish(path, Err(trouble)),
    }
}

/// What changed, a line each.
fn taken(changed: &Value) -> String {
    let list = changed.get("changed").unwrap_or(changed);
    let lines: Vec<String> = match list {
        Value::Array(items) => items.iter().map(in_words).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !matches!(value, Value::Null))
            .map(|(key, value)| format!("{key}: {}", in_words(value)))
            .collect(),
        _ => Vec::new(),
    };
    let told = match lines.is_empty() {
        true => "reloaded, nothing changed\n".into(),
        false => format!("reloaded\n  {}\n", lines.join("\n  ")),
    };
    let keys = changed.get("at_restart").and_then(Value::as_array);
    match keys.map(Vec::as_slice).unwrap_or_default() {
        [] => told,
        keys => {
            let keys: Vec<_> = keys.iter().map(in_words).collect();
            format!("{told}at the next start: {}\n", keys.join(", "))
        }
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Array(items) => items.iter().map(in_words).collect::<Vec<_>>().join(", "),
        Value::Object(change) if change.contains_key("how") => {
            let words = ["what", "name", "how"].into_iter();
            let words = words.filter_map(|key| change.get(key)?.as_str());
            printable(&words.collect::<Vec<_>>().join(" "))
        }
        other => printable(&other.to_string()),
    }
}

/// Every problem, as `check` has them, a line each.
fn refused(problems: &Value) -> String {
    let list = problems.get("problems").unwrap_or(problems);
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut out = String::new();
    for problem in list {
        let text = |key: &str| {
            let value = problem.get(key).and_then(Value::as_str);
            printable(value.unwrap_or_default())
        };
        let number = |key: &str| problem.get(key).and_then(Value::as_u64).unwrap_or(0);
        let place = match number("line") {
            0 => text("file"),
            line => format!("{}:{line}:{}", text("file"), number("column")),
        };
        let (severity, code) = (text("severity"), text("code"));
        let expected = match text("expected") {
            expected if expected.is_empty() => expected,
            expected => format!(", {expected}"),
        };
        out.push_str(&format!(
            "{severity}[{code}]: {place}: {}{expected}\n",
            text("message")
        ));
    }
    format!(
        "{out}error: the new settings are refused, the old ones stay in use\n\n\
         next: `gatepost check` shows each problem with its line\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changed_is_told() {
        for (answer, want) in [
            (json!({"changed": []}), "reloaded, nothing changed\n"),
            (
                json!({"changed": [{"what": "users", "name": null, "how": "changed"},
                    {"what": "backend", "name": "new", "how": "added"}], "at_restart": ["threads"]}),
                "reloaded\n  users changed\n  backend new added\nat the next start: threads\n",
            ),
            (
                json!({"changed": ["backends", "users"]}),
                "reloaded\n  backends\n  users\n",
            ),
            (
                json!({"listeners": {"added": 1}, "none": null}),
                "reloaded\n  listeners: {\"added\":1}\n",
            ),
        ] {
            assert_eq!(taken(&answer), want);
        }
    }

    #[test]
    fn problems_are_told_with_their_place() {
        let problem = json!({"severity": "error", "code": "E011", "file": "proxy.yaml", "line": 3, "column": 5,
            "message": "no backend is named `nwe`", "expected": "did you mean `new`?"});
        let want = "error[E011]: proxy.yaml:3:5: no backend is named `nwe`, did you mean `new`?\n\
                    error: the new settings are refused, the old ones stay in use\n\n\
                    next: `gatepost check` shows each problem with its line\n";
        assert_eq!(refused(&json!([problem])), want);
        assert_eq!(refused(&json!({ "problems": [problem] })), want);
    }
}
