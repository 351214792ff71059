//! `gatepost upgrade`: asks the running gateway to let a new process take over.

use std::path::Path;
use std::process::ExitCode;

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::remote::{Remote, Trouble, finish};
use super::{FAILED, Form, say, tell};

pub(super) fn upgrade(path: &Path, form: Form) -> ExitCode {
    let asked =
        Remote::of(path).and_then(|remote| remote.ask(Method::POST, "/api/v1/upgrade", None));
    match (asked, form) {
        (Ok(done), Form::Json) => say(&format!("{done:#}")),
        (Ok(done), Form::Text) => say(&in_words(&done)),
        (Err(Trouble::Refused(StatusCode::INTERNAL_SERVER_ERROR, said)), _) => {
            let why = said.get("error").and_then(Value::as_str);
            let why = why.unwrap_or("it does not say why");
            tell(&format!(
                "error: not upgraded, the gateway goes on as it was: {why}"
            ));
            return ExitCode::from(FAILED);
        }
        (Err(trouble), _) => return finish(path, Err(trouble)),
    }
    ExitCode::SUCCESS
}

fn in_words(done: &Value) -> String {
    let number = |key: &str| done.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (pid, draining) = (number("pid"), number("draining"));
    match draining {
        0 => format!("process {pid} serves; the one before it ends, it had no session"),
        1 => format!("process {pid} serves; the one before it drains 1 session and ends"),
        n => format!("process {pid} serves; the one before it drains {n} sessions and ends"),
    }
}
