//! `gatepost reload`: the running gateway reads its settings anew, whole or not at all.

use std::path::Path;
use std::process::ExitCode;

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::remote::{Remote, Trouble, finish};
use super::table::{cell, printable};
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

/// What changed, a line each; what a restart is needed for; warnings.
fn taken(told: &Value) -> String {
    let list = |key: &str| {
        let list = told.get(key).and_then(Value::as_array);
        list.map(Vec::as_slice).unwrap_or_default()
    };
    let mut out = match list("changed") {
        [] => "reloaded, nothing changed\n".to_owned(),
        _ => "reloaded\n".to_owned(),
    };
    for change in list("changed") {
        let words = ["what", "name", "how"].map(|key| change.get(key).and_then(Value::as_str));
        let words: Vec<_> = words.into_iter().flatten().map(printable).collect();
        out.push_str(&format!("  {}\n", words.join(" ")));
    }
    let later: Vec<_> = list("at_restart")
        .iter()
        .map(|key| cell(Some(key)))
        .collect();
    if !later.is_empty() {
        out.push_str(&format!("at the next start: {}\n", later.join(", ")));
    }
    out.push_str(&lines(list("warnings")));
    out
}

/// Every problem, as `check` has them, but for those that only the running gateway meets: a port that
/// another program has.
fn refused(problems: &Value) -> String {
    let list = problems.as_array().map(Vec::as_slice).unwrap_or_default();
    let of_running = |problem: &Value| problem.get("code") == Some(&Value::from("E070"));
    let next = match !list.is_empty() && list.iter().all(of_running) {
        true => "`gatepost reload` again, once the cause is gone",
        false => "`gatepost check` shows each problem with its line",
    };
    format!(
        "{}error: the new settings are refused, the old ones stay in use\n\nnext: {next}\n",
        lines(list)
    )
}

/// A problem a line.
fn lines(problems: &[Value]) -> String {
    let mut out = String::new();
    for problem in problems {
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
        let message = text("message");
        out.push_str(&format!(
            "{severity}[{code}]: {place}: {message}{expected}\n"
        ));
    }
    out
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
                json!({"changed": [{"what": "backend", "name": "new", "how": "added"},
                                   {"what": "users", "name": null, "how": "changed"}],
                       "at_restart": ["threads"],
                       "warnings": [{"severity": "warning", "code": "W002", "file": "p", "line": 1, "column": 1,
                                     "message": "no tls", "expected": ""}]}),
                "reloaded\n  backend new added\n  users changed\nat the next start: threads\n\
                 warning[W002]: p:1:1: no tls\n",
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
        let taken = json!({"severity": "error", "code": "E070", "file": "proxy.yaml", "line": 3, "column": 5,
            "message": "cannot listen on imap://[::]:143", "expected": ""});
        let told = refused(&json!([taken]));
        assert!(
            told.ends_with("\n\nnext: `gatepost reload` again, once the cause is gone\n"),
            "{told}"
        );
        assert!(refused(&json!([taken, problem])).contains("next: `gatepost check`"));
    }
}
