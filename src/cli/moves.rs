//! `gatepost move`, `moves`, `unmove`, `hold`, `release`: users on their way to another store.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hyper::Method;
use serde_json::{Value, json};

use super::remote::{Remote, Trouble, encode, finish};
use super::table::{self, Table, cell};
use super::{Form, say};

/// Moves in a request: they fit into what a request's body may have, whatever the names are.
const A_REQUEST: usize = 500;

/// Longest list that is read.
const LONGEST: u64 = 256 * 1024 * 1024;

/// Who is moved, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Move {
    /// The user
    #[arg(required_unless_present = "file", requires = "backend")]
    user: Option<String>,
    /// The backend's name
    backend: Option<String>,
    /// A host of that backend
    #[arg(long, value_name = "H", requires = "user")]
    host: Option<String>,
    /// A list instead: lines of `USER BACKEND [HOST]`; `-` reads it from the input
    #[arg(long, value_name = "LIST", conflicts_with_all = ["user", "backend", "host"])]
    file: Option<PathBuf>,
}

pub(super) fn moved(path: &Path, what: &Move) -> ExitCode {
    finish(path, post_moves(path, what))
}

fn post_moves(path: &Path, what: &Move) -> Result<(), Trouble> {
    if let (Some(user), Some(backend)) = (&what.user, &what.backend) {
        let body = one(user, backend, what.host.as_deref());
        Remote::of(path)?.ask(Method::POST, "/api/v1/move", Some(&body))?;
        let host = what
            .host
            .as_ref()
            .map_or_else(String::new, |host| format!(", host {host}"));
        say(&format!("{user} is moved to {backend}{host}"));
        return Ok(());
    }
    let file = what.file.as_deref().unwrap_or(Path::new("-"));
    let text = read(file).map_err(|error| {
        Trouble::Asked(format!(
            "the list {} cannot be read: {error}",
            file.display()
        ))
    })?;
    let moves = parse(&text).map_err(|problems| {
        let name = file.display();
        let lines: Vec<_> = problems
            .iter()
            .map(|(n, why)| format!("{name}:{n}: {why}"))
            .collect();
        Trouble::Asked(format!(
            "the list has lines that are no moves, nobody was moved\n{}\n\n\
             next: write `USER BACKEND` or `USER BACKEND HOST` on each line",
            lines.join("\n")
        ))
    })?;
    if moves.is_empty() {
        return Err(Trouble::Asked(format!(
            "the list {} names nobody",
            file.display()
        )));
    }
    let remote = Remote::of(path)?;
    let mut done = 0;
    for part in moves.chunks(A_REQUEST) {
        let body = Value::Array(part.to_vec());
        let answer = remote.ask(Method::POST, "/api/v1/move", Some(&body));
        answer.inspect_err(|_| say(&format!("{done} of {} users are moved", moves.len())))?;
        done += part.len();
    }
    say(&format!(
        "{done} {} moved",
        if done == 1 { "user is" } else { "users are" }
    ));
    Ok(())
}

fn one(user: &str, backend: &str, host: Option<&str>) -> Value {
    match host {
        Some(host) => json!({ "user": user, "backend": backend, "host": host }),
        None => json!({ "user": user, "backend": backend }),
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let from: Box<dyn std::io::Read> = match file == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(std::fs::File::open(file)?),
    };
    from.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// The moves of a list; or the numbers of its bad lines, and why.
fn parse(text: &str) -> Result<Vec<Value>, Vec<(usize, String)>> {
    let (mut moves, mut problems) = (Vec::new(), Vec::new());
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [user, backend] => moves.push(one(user, backend, None)),
            [user, backend, host] => moves.push(one(user, backend, Some(host))),
            words => problems.push((n + 1, format!("expected 2 or 3 words, got {}", words.len()))),
        }
    }
    if problems.is_empty() {
        Ok(moves)
    } else {
        Err(problems)
    }
}

pub(super) fn moves(path: &Path, form: Form) -> ExitCode {
    finish(path, list(path, form))
}

fn list(path: &Path, form: Form) -> Result<(), Trouble> {
    let answer = Remote::of(path)?.get("/api/v1/moves")?;
    match form {
        Form::Json => say(&format!("{answer:#}")),
        Form::Text => say(shown(&answer, table::width()).trim_end()),
    }
    Ok(())
}

fn shown(answer: &Value, width: Option<usize>) -> String {
    let moves = answer.get("moves").and_then(Value::as_array);
    let moves = moves.map(Vec::as_slice).unwrap_or_default();
    if moves.is_empty() {
        return "nobody is moved\n".into();
    }
    let mut table = Table::new(&["user", "backend", "host"]);
    for moved in moves {
        table.row(
            ["user", "backend", "host"]
                .iter()
                .map(|key| cell(moved.get(*key)))
                .collect(),
        );
    }
    table.render(width)
}

pub(super) fn unmove(path: &Path, user: &str) -> ExitCode {
    let undone = Remote::of(path).and_then(|remote| {
        remote.delete(&format!("/api/v1/moves/{}", encode(user)))?;
        say(&format!("{user} goes where the map says"));
        Ok(())
    });
    finish(path, undone)
}

pub(super) fn hold(path: &Path, user: &str) -> ExitCode {
    let words =
        format!("logins of {user} wait, at most 120 seconds, until `gatepost release {user}`");
    finish(path, post_user(path, "/api/v1/hold", user, &words))
}

pub(super) fn release(path: &Path, user: &str) -> ExitCode {
    let words = format!("{user} may log in");
    finish(path, post_user(path, "/api/v1/release", user, &words))
}

fn post_user(path: &Path, at: &str, user: &str, done: &str) -> Result<(), Trouble> {
    Remote::of(path)?.ask(Method::POST, at, Some(&json!({ "user": user })))?;
    say(done);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_moves() {
        let text = "# the third floor\nalice new\n\n  bob@example.org\tnew  store-2 \n";
        let want = vec![
            json!({"user": "alice", "backend": "new"}),
            json!({"user": "bob@example.org", "backend": "new", "host": "store-2"}),
        ];
        assert_eq!(parse(text).unwrap(), want);
        assert_eq!(
            parse("alice\nbob new\na b c d\n").unwrap_err(),
            [
                (1, "expected 2 or 3 words, got 1".to_owned()),
                (3, "expected 2 or 3 words, got 4".to_owned()),
            ]
        );
    }

    #[test]
    fn a_table_of_moves() {
        let answer = json!({"moves": [
            {"user": "alice", "backend": "new", "host": null},
            {"user": "bob", "backend": "new", "host": "store-2"},
        ]});
        let want = "USER   BACKEND  HOST\nalice  new      -\nbob    new      store-2\n";
        assert_eq!(shown(&answer, None), want);
        assert_eq!(shown(&json!({"moves": []}), None), "nobody is moved\n");
    }
}
