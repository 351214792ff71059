//! `gatepost move`, `moves`, `unmove`, `hold`, `release`: users on their way to another store.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use hyper::Method;
use serde_json::{Value, json};

use super::remote::{Remote, Trouble, encode, finish};
use super::table::{self, Table, cell, span};
use super::{Form, say, tell};

/// Moves in a request: of names of the longest kind there are, they fit into a body of 16 MiB. Names are
/// checked request by request; with one that is wrong nobody of its request is moved.
const A_REQUEST: usize = 20_000;

/// Between two questions how far it is.
const BETWEEN: Duration = Duration::from_millis(200);

/// Between two words about how far it is.
const TOLD: Duration = Duration::from_secs(2);

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
    let (mut done, mut failed) = (0, Vec::new());
    for part in moves.chunks(A_REQUEST) {
        let body = Value::Array(part.to_vec());
        let started = remote.ask(Method::POST, "/api/v1/move?wait=false", Some(&body));
        let started = started.inspect_err(|_| say(&moved_of(done, moves.len())))?;
        let far = |moved: u64| tell(&format!("{} so far", moved_of(done + moved, moves.len())));
        let job = finished(&remote, started, far)?;
        done += job.get("moved").and_then(Value::as_u64).unwrap_or(0);
        let stayed = job.get("failed").and_then(Value::as_array);
        failed.extend(stayed.cloned().unwrap_or_default());
    }
    for stayed in &failed {
        let (user, why) = (cell(stayed.get("user")), cell(stayed.get("error")));
        tell(&format!("{user} was not moved: {why}"));
    }
    say(&moved_of(done, moves.len()));
    match done == moves.len() as u64 {
        true => Ok(()),
        false => Err(Trouble::Nothing(
            "some users were not moved\n\nnext: run it again with those, once the cause is gone"
                .into(),
        )),
    }
}

fn moved_of(done: u64, all: usize) -> String {
    match (done, all) {
        (1, 1) => "1 user is moved".into(),
        (done, all) if done == all as u64 => format!("{done} users are moved"),
        (done, all) => format!("{done} of {all} users are moved"),
    }
}

/// Waits for the end of work that goes on in the gateway, and tells how far it is: the job, as it is in
/// the end.
fn finished(remote: &Remote, started: Value, far: impl Fn(u64)) -> Result<Value, Trouble> {
    let mut answer = started;
    let mut told = Instant::now();
    loop {
        let job = answer.get("job").cloned().unwrap_or_default();
        let id = cell(job.get("id"));
        if job.get("finished").and_then(Value::as_bool) != Some(false) {
            return Ok(job);
        }
        if told.elapsed() >= TOLD {
            told = Instant::now();
            far(job.get("moved").and_then(Value::as_u64).unwrap_or(0));
        }
        std::thread::sleep(BETWEEN);
        answer = remote.get(&format!("/api/v1/moves?job={}", encode(&id)))?;
    }
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
        Form::Text => say(shown(&answer, SystemTime::now(), table::width()).trim_end()),
    }
    Ok(())
}

fn shown(answer: &Value, now: SystemTime, width: Option<usize>) -> String {
    let list = |key: &str| {
        let list = answer.get(key).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let (moves, holds) = (list("moves"), list("holds"));
    if moves.is_empty() && holds.is_empty() {
        return "nobody is moved\n".into();
    }
    let age = |entry: &Value| {
        let since = entry.get("since").and_then(Value::as_str);
        let since = since.and_then(|since| humantime::parse_rfc3339(since).ok());
        let age = since.and_then(|since| now.duration_since(since).ok());
        age.map_or_else(|| "-".into(), |age| span(age.as_secs()))
    };
    let mut table = Table::new(&["user", "backend", "host", "#age"]);
    for moved in &moves {
        let text = |key: &str| cell(moved.get(key));
        table.row(vec![
            text("user"),
            text("backend"),
            text("host"),
            age(moved),
        ]);
    }
    for held in &holds {
        let user = cell(held.get("user"));
        table.row(vec![user, "(held)".into(), "-".into(), age(held)]);
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
            {"user": "alice", "backend": "new", "host": null, "since": "1970-01-01T00:00:00Z"},
            {"user": "bob", "backend": "new", "host": "store-2"},
        ], "holds": [{"user": "carol", "since": "1970-01-01T00:01:00Z"}]});
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(90);
        let want = "\
USER   BACKEND  HOST       AGE
alice  new      -        1m30s
bob    new      store-2      -
carol  (held)   -          30s
";
        assert_eq!(shown(&answer, now, None), want);
        assert_eq!(shown(&json!({"moves": []}), now, None), "nobody is moved\n");
    }
}
