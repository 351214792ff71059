//! `gatepost backends`, `drain`, `undrain`, `weight`: the hosts, and how many users they get.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::remote::{Remote, Trouble, encode, finish};
use super::table::{self, Table, cell};
use super::{Form, say};

pub(super) fn backends(path: &Path, form: Form) -> ExitCode {
    finish(path, list(path, form))
}

fn list(path: &Path, form: Form) -> Result<(), Trouble> {
    let answer = Remote::of(path)?.get("/api/v1/backends")?;
    match form {
        Form::Json => say(&format!("{answer:#}")),
        Form::Text => say(shown(&answer, table::width()).trim_end()),
    }
    Ok(())
}

fn shown(answer: &Value, width: Option<usize>) -> String {
    let mut table = Table::new(&["backend", "host", "state", "#weight", "#sessions"]);
    for (backend, host) in hosts(answer) {
        let text = |key: &str| cell(host.get(key));
        table.row(vec![
            cell(Some(&backend.into())),
            text("name"),
            text("state"),
            text("weight"),
            text("sessions"),
        ]);
    }
    table.render(width)
}

/// All hosts, each with its backend's name.
fn hosts(answer: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let backends = answer.get("backends").and_then(Value::as_array);
    backends.into_iter().flatten().flat_map(|backend| {
        let name = backend
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let hosts = backend.get("hosts").and_then(Value::as_array);
        hosts.into_iter().flatten().map(move |host| (name, host))
    })
}

/// What is done to a host.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// No new users; after the time the remaining sessions are ended, if one is given.
    Drain(Option<Duration>),
    /// In use again.
    Undrain,
    /// Its share of the users.
    Weight(u32),
}

pub(super) fn change(path: &Path, host: &str, change: Change) -> ExitCode {
    finish(path, put(path, host, change))
}

fn put(path: &Path, named: &str, change: Change) -> Result<(), Trouble> {
    let remote = Remote::of(path)?;
    let answer = remote.get("/api/v1/backends")?;
    let (backend, host, sessions) = find(&answer, named)?;
    let at = format!(
        "/api/v1/backends/{}/hosts/{}",
        encode(backend),
        encode(host)
    );
    let body = match change {
        Change::Drain(None) => json!({ "state": "drain" }),
        Change::Drain(Some(after)) => {
            let after = format!("{}ms", after.as_millis());
            json!({ "state": "drain", "after": after })
        }
        Change::Undrain => json!({ "state": "up" }),
        Change::Weight(weight) => json!({ "weight": weight }),
    };
    remote.ask(Method::PUT, &at, Some(&body))?;
    say(&match change {
        Change::Drain(None) => format!(
            "{backend}/{host} is drained: new users go elsewhere, {} there now stay",
            count(sessions)
        ),
        Change::Drain(Some(after)) => format!(
            "{backend}/{host} is drained: new users go elsewhere, {} there now end after {}",
            count(sessions),
            humantime::format_duration(after)
        ),
        Change::Undrain => format!("{backend}/{host} takes users again"),
        Change::Weight(weight) => format!("{backend}/{host} has the weight {weight}"),
    });
    Ok(())
}

fn count(sessions: u64) -> String {
    match sessions {
        1 => "1 session".into(),
        n => format!("{n} sessions"),
    }
}

/// The host of this name, or of `backend/host` where two backends have one of it.
fn find<'a>(answer: &'a Value, named: &str) -> Result<(&'a str, &'a str, u64), Trouble> {
    let all: Vec<_> = hosts(answer)
        .filter_map(|(backend, host)| {
            let sessions = host.get("sessions").and_then(Value::as_u64).unwrap_or(0);
            Some((backend, host.get("name")?.as_str()?, sessions))
        })
        .collect();
    let full = |(backend, host, _): &(&str, &str, u64)| format!("{backend}/{host}");
    let by_name: Vec<_> = all.iter().filter(|(_, host, _)| *host == named).collect();
    match by_name.as_slice() {
        [one] => return Ok(**one),
        [] => {}
        several => {
            let names: Vec<_> = several.iter().map(|host| full(host)).collect();
            return Err(Trouble::Asked(format!(
                "several backends have a host {named}\n\nnext: say which: {}",
                names.join(", ")
            )));
        }
    }
    if let Some(one) = all.iter().find(|host| full(host) == named) {
        return Ok(*one);
    }
    let names: Vec<_> = all.iter().map(|(_, host, _)| (*host).to_owned()).collect();
    Err(Trouble::Asked(format!(
        "no backend has a host {named}\n\nnext: the gateway's hosts are {}",
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Value {
        json!({"backends": [
            {"name": "old", "hosts": [{"name": "10.0.0.5", "state": "up", "weight": 1, "sessions": 12}]},
            {"name": "new", "hosts": [
                {"name": "a:1143", "state": "down", "weight": 2, "sessions": 0},
                {"name": "10.0.0.5", "state": "drain", "weight": 1, "sessions": 1}]},
        ]})
    }

    #[test]
    fn a_table_of_hosts() {
        let want = "\
BACKEND  HOST      STATE  WEIGHT  SESSIONS
old      10.0.0.5  up          1        12
new      a:1143    down        2         0
new      10.0.0.5  drain       1         1
";
        assert_eq!(shown(&answer(), None), want);
    }

    #[test]
    fn hosts_are_found_by_name_or_with_their_backend() {
        let answer = answer();
        assert_eq!(find(&answer, "a:1143").unwrap(), ("new", "a:1143", 0));
        assert_eq!(
            find(&answer, "old/10.0.0.5").unwrap(),
            ("old", "10.0.0.5", 12)
        );
        for (named, want) in [
            ("10.0.0.5", "say which: old/10.0.0.5, new/10.0.0.5"),
            ("b", "no backend has a host b"),
            ("old/a:1143", "no backend has a host old/a:1143"),
        ] {
            let Err(Trouble::Asked(text)) = find(&answer, named) else {
                panic!("{named} is found");
            };
            assert!(text.contains(want), "{text}");
        }
    }
}
