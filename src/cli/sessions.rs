//! `gatepost sessions`, `gatepost kick`: who is here, and goodbye.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::Value;

use super::remote::{Remote, Trouble, encode, finish};
use super::table::{self, Table, cell, octets, span};
use super::{Form, say};

/// Which sessions are shown.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Only this user's
    user: Option<String>,
    /// Only those of this backend
    #[arg(long, value_name = "B")]
    backend: Option<String>,
    /// Only those on this host
    #[arg(long, value_name = "H")]
    host: Option<String>,
    /// Only those that speak this
    #[arg(long, value_name = "P", value_parser = ["imap", "pop3"])]
    protocol: Option<String>,
    /// Only those from this address
    #[arg(long, value_name = "IP")]
    ip: Option<IpAddr>,
    /// The list as the admin API tells it
    #[arg(long)]
    json: bool,
}

/// Whose sessions are ended: one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Whose {
    /// All sessions of this user
    user: Option<String>,
    /// The session with this id, as `sessions` and the log have it
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// All sessions from this address
    #[arg(long, value_name = "IP")]
    ip: Option<IpAddr>,
}

pub(super) fn sessions(path: &Path, which: &Which) -> ExitCode {
    finish(path, list(path, which))
}

fn list(path: &Path, which: &Which) -> Result<(), Trouble> {
    let ip = which.ip.map(|ip| ip.to_string());
    let query: Vec<_> = [
        ("user", &which.user),
        ("backend", &which.backend),
        ("host", &which.host),
        ("protocol", &which.protocol),
        ("ip", &ip),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(format!("{name}={}", encode(value.as_deref()?))))
    .collect();
    let query = match query.is_empty() {
        true => String::new(),
        false => format!("?{}", query.join("&")),
    };
    let answer = Remote::of(path)?.get(&format!("/api/v1/sessions{query}"))?;
    match Form::of(which.json) {
        Form::Json => say(&format!("{answer:#}")),
        Form::Text => say(shown(&answer, SystemTime::now(), table::width()).trim_end()),
    }
    Ok(())
}

/// The table, and how many there are.
fn shown(answer: &Value, now: SystemTime, width: Option<usize>) -> String {
    let sessions = answer.get("sessions").and_then(Value::as_array);
    let sessions = sessions.map(Vec::as_slice).unwrap_or_default();
    if sessions.is_empty() {
        return "no sessions\n".into();
    }
    let mut table = Table::new(&[
        "id", "user", "client", "protocol", "backend", "host", "state", "tls", "#age", "#in",
        "#out",
    ]);
    for session in sessions {
        let text = |key: &str| cell(session.get(key));
        let count = |key: &str| octets(session.get(key).and_then(Value::as_u64).unwrap_or(0));
        let since = session.get("since").and_then(Value::as_str);
        let since = since.and_then(|since| humantime::parse_rfc3339(since).ok());
        let age = since.and_then(|since| now.duration_since(since).ok());
        table.row(vec![
            text("id"),
            text("user"),
            text("client"),
            text("protocol"),
            text("backend"),
            text("host"),
            text("state"),
            text("tls"),
            age.map_or_else(|| "-".into(), |age| span(age.as_secs())),
            count("bytes_in"),
            count("bytes_out"),
        ]);
    }
    let plural = if sessions.len() == 1 { "" } else { "s" };
    format!(
        "{}{} session{plural}\n",
        table.render(width),
        sessions.len()
    )
}

pub(super) fn kick(path: &Path, whose: &Whose) -> ExitCode {
    finish(path, end(path, whose))
}

fn end(path: &Path, whose: &Whose) -> Result<(), Trouble> {
    let remote = Remote::of(path)?;
    let (place, whose) = match (&whose.user, &whose.id, &whose.ip) {
        (Some(user), ..) => (format!("?user={}", encode(user)), format!("of {user}")),
        (_, Some(id), _) => (format!("/{}", encode(id)), format!("with the id {id}")),
        (_, _, Some(ip)) => (
            format!("?ip={}", encode(&ip.to_string())),
            format!("from {ip}"),
        ),
        // The command line asks for one of them.
        _ => return Err(Trouble::Asked("name a user, --id or --ip".into())),
    };
    let answer = remote.delete(&format!("/api/v1/sessions{place}"))?;
    match answer.get("ended").and_then(Value::as_u64).unwrap_or(0) {
        0 => Err(Trouble::Nothing(format!(
            "there is no session {whose}\n\nnext: `gatepost sessions` lists those there are"
        ))),
        1 => {
            say("1 session ended");
            Ok(())
        }
        n => {
            say(&format!("{n} sessions ended"));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_table_of_sessions() {
        let answer = serde_json::json!({"sessions": [
            {"id": "a1", "protocol": "imap", "user": "alice", "client": "192.0.2.1:50000", "backend": "old",
             "host": "10.0.0.5", "state": "relay", "tls": "TLSv1.3", "since": "1970-01-01T00:00:00Z",
             "bytes_in": 100, "bytes_out": 123_456},
            {"id": "a2", "protocol": "pop3", "user": null, "client": "[2001:db8::1]:5", "backend": null,
             "host": null, "state": "login", "tls": null, "since": "1970-01-01T00:01:00Z",
             "bytes_in": 0, "bytes_out": 0},
        ]});
        let now = UNIX_EPOCH + Duration::from_secs(90);
        let want = "\
ID  USER   CLIENT           PROTOCOL  BACKEND  HOST      STATE  TLS        AGE   IN   OUT
a1  alice  192.0.2.1:50000  imap      old      10.0.0.5  relay  TLSv1.3  1m30s  100  120K
a2  -      [2001:db8::1]:5  pop3      -        -         login  -          30s    0     0
2 sessions
";
        assert_eq!(shown(&answer, now, None), want);
        assert_eq!(
            shown(&serde_json::json!({"sessions": []}), now, None),
            "no sessions\n"
        );
    }
}
