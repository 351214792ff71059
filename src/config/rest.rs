//! `tls:`, `admin:`, `state:`, `log:` from the checked tree, and secrets with their twins.

use std::path::Path;

use super::check::Report;
use super::files;
use super::node::Mark;
use super::problem::{Code, Problem, quoted};
use super::raw::Raw;
use super::url;
use super::value::{self, Wrong};
use crate::admin;
use crate::observe::{self, Format, Level, Output, Transcript};
use crate::protocol::Secret;
use crate::session::authenticate;
use crate::state;
use crate::tls::{self, Pair, Version};

/// `tls:`. Each pair is loaded once, to see that certificate and key belong together.
pub(super) fn tls(root: Raw<'_>, report: &mut Report<'_>) -> tls::Config {
    let raw = root.get("tls");
    let mut pairs = Vec::new();
    let alone = raw.get("cert").is_there() || raw.get("key").is_there();
    if alone && raw.get("certificates").is_there() {
        let mark = raw.get("certificates").mark();
        let message = "`certificates` and `cert` exclude each other";
        report.say(
            mark,
            Code::E016,
            message,
            "expected one pair, or a list of pairs",
        );
    }
    for pair in raw.get("certificates").items().chain(alone.then_some(raw)) {
        let (cert, key) = (pair.get("cert"), pair.get("key"));
        // Pairs of the list have both by their description.
        if alone && cert.is_there() != key.is_there() {
            let (there, missing) = match cert.is_there() {
                true => (cert, "`key` is missing"),
                false => (key, "`cert` is missing"),
            };
            report.say(
                there.mark(),
                Code::E012,
                missing,
                "expected both `cert` and `key`",
            );
        }
        let (Some(cert_path), Some(key_path)) = (cert.path(report.base), key.path(report.base))
        else {
            continue;
        };
        let files = Pair {
            cert: cert_path,
            key: key_path,
        };
        if !has_errors_at(report, &[cert.mark(), key.mark()]) {
            let trial = tls::Config {
                certificates: vec![files.clone()],
                ..tls::Config::default()
            };
            for problem in tls::Front::new(trial).err().unwrap_or_default() {
                let at = if problem.file == files.key { key } else { cert };
                let named = at.text().unwrap_or_default();
                let message = format!("{} {}", quoted(named), problem.text);
                let expected = "expected a certificate and its key";
                report.say(at.mark(), Code::E041, message, expected);
            }
        }
        pairs.push(files);
    }
    let ticket_key_file = raw.get("ticket_key_file").path(report.base);
    if ticket_key_file.is_some() && !has_errors_at(report, &[raw.get("ticket_key_file").mark()]) {
        let named = raw.get("ticket_key_file");
        let tried = ticket_key_file.as_deref().map(tls::try_ticket_key);
        if let Some(Err(problem)) = tried {
            let message = format!(
                "{} {}",
                quoted(named.text().unwrap_or_default()),
                problem.text
            );
            report.say(named.mark(), Code::E041, message, "expected a ticket key");
        }
    }
    let no_pair = !alone && raw.get("certificates").items().next().is_none();
    if no_pair && root.is_there() {
        let wrong = Wrong::new(Code::W002, "clients will not trust it")
            .help("tls: { cert: /etc/gatepost/tls.crt, key: /etc/gatepost/tls.key }");
        let (mark, message) = match raw.is_there() {
            true => (
                raw.mark(),
                "no certificate in `tls:`: a self-signed one is made at start",
            ),
            false => (
                root.mark(),
                "no `tls:`: a self-signed certificate is made at start",
            ),
        };
        report.add(mark, Code::W002, message, wrong);
    }
    tls::Config {
        certificates: pairs,
        min_version: match raw.get("min_version").text() {
            Some("TLSv1.3") => Version::Tls13,
            _ => Version::Tls12,
        },
        ticket_key_file,
    }
}

/// Whether something at one of these places keeps the file from being used.
pub(super) fn has_errors_at(report: &Report<'_>, marks: &[Mark]) -> bool {
    let at = |p: &Problem| {
        marks
            .iter()
            .any(|m| (m.line, m.column) == (p.line, p.column))
    };
    let is_error = |p: &Problem| p.code.severity() == super::Severity::Error;
    report.problems.iter().any(|p| is_error(p) && at(p))
}

/// A secret: `x:`, or the file that `x_file:` names.
pub(super) fn secret(
    raw: Raw<'_>,
    key: &str,
    twin: &str,
    report: &mut Report<'_>,
) -> Option<Secret> {
    let (here, file) = (raw.get(key), raw.get(twin));
    if here.is_there() && file.is_there() {
        let message = format!("{} and {} exclude each other", quoted(key), quoted(twin));
        report.say(file.mark(), Code::E016, message, "expected one of the two");
    }
    match here.text() {
        Some(text) => Secret::new(text.as_bytes()).ok(),
        None => secret_of(file, report),
    }
}

/// The secret in the file that is named there. It was looked at before: what became of it since would
/// otherwise be settings without a secret, which may let anybody in.
pub(super) fn secret_of(file: Raw<'_>, report: &mut Report<'_>) -> Option<Secret> {
    let wrong = match files::secret(&file.path(report.base)?) {
        Ok(secret) => return Some(secret),
        Err(wrong) => wrong,
    };
    if !has_errors_at(report, &[file.mark()]) {
        let message = format!("{} cannot be used", quoted(file.text().unwrap_or_default()));
        report.add(file.mark(), wrong.code, message, wrong);
    }
    None
}

/// `authenticate:`
pub(super) fn authenticate(root: Raw<'_>, report: &Report<'_>) -> Option<authenticate::Config> {
    let passwords = root.get("authenticate").get("passwords");
    Some(authenticate::Config {
        passwords: passwords.path(report.base)?,
    })
}

/// `admin:`
pub(super) fn admin(root: Raw<'_>, report: &mut Report<'_>) -> Option<admin::Config> {
    let raw = root.get("admin");
    let token = secret(raw, "token", "token_file", report);
    let bind = url::address(raw.get("bind").text()?).ok()?;
    let has_token = raw.get("token").is_there() || raw.get("token_file").is_there();
    if !bind.ip().is_loopback() && !has_token {
        let wrong = Wrong::new(Code::E052, "whoever reaches this port could end sessions")
            .help("set `token_file: /etc/gatepost/token`, or bind to `127.0.0.1`");
        let message = "the admin port is off loopback and has no token";
        report.add(raw.get("bind").mark(), Code::E052, message, wrong);
    }
    Some(admin::Config { bind, token })
}

/// `state:`
pub(super) fn state(root: Raw<'_>, report: &mut Report<'_>) -> state::Config {
    let raw = root.get("state");
    let beside = if raw.is_map() { raw } else { Raw::default() };
    let url = if raw.is_map() { raw.get("url") } else { raw };
    let password = secret(beside, "password", "password_file", report);
    let text = url.text().unwrap_or("memory");
    let redis = text.starts_with("redis");
    for key in ["password", "password_file", "prefix"] {
        if beside.get(key).is_there() && !redis {
            let message = format!("`{key}` is for a Redis");
            let expected = "expected `url: redis://host:6379/0` beside it";
            report.say(beside.get(key).mark(), Code::E016, message, expected);
        }
    }
    match text.strip_prefix("file://") {
        Some(path) => {
            let path = Path::new(path);
            match files::replaceable(path).and_then(|()| beside_state(path)) {
                Ok(()) => holds_state(url, path, report),
                not => writes(url, not, report),
            }
            state::Config::File(path.into())
        }
        None if !redis => state::Config::Memory,
        None => match Secret::new(text.as_bytes()) {
            Ok(url) => state::Config::Redis(state::config::Redis {
                url,
                password,
                prefix: match beside.get("prefix").text() {
                    Some(prefix) => prefix.to_owned(),
                    None => state::config::Redis::PREFIX.to_owned(),
                },
            }),
            Err(_) => state::Config::Memory,
        },
    }
}

/// What is kept beside a file of the state: its lock and the notes.
fn beside_state(path: &Path) -> Result<(), Wrong> {
    let lock = state::lock_beside(path);
    files::writable(&lock).map_err(|wrong| Wrong {
        expected: format!("{}: {}", lock.display(), wrong.expected),
        ..wrong
    })?;
    files::directory(&state::notes_beside(path))
}

/// Whether a file of the state is one, if it is there at all.
fn holds_state(named: Raw<'_>, path: &Path, report: &mut Report<'_>) {
    if let (Some(node), Err(damage)) = (named.node(), state::try_file(path)) {
        let message = format!("{} does not hold what it should", quoted(node.shown()));
        report.say(node.mark, Code::E041, message, &damage);
    }
}

/// Says it, where a file cannot be written.
fn writes(named: Raw<'_>, can: Result<(), Wrong>, report: &mut Report<'_>) {
    if let (Some(node), Err(wrong)) = (named.node(), can) {
        let message = format!("{} cannot be written", quoted(node.shown()));
        report.add(node.mark, wrong.code, message, wrong);
    }
}

/// `log:`
pub(super) fn log(root: Raw<'_>, report: &mut Report<'_>) -> observe::Config {
    let raw = root.get("log");
    let d = observe::Config::default();
    observe::Config {
        level: match raw.get("level").text() {
            Some("error") => Level::Error,
            Some("warn") => Level::Warn,
            Some("debug") => Level::Debug,
            Some("trace") => Level::Trace,
            _ => d.level,
        },
        format: match raw.get("format").text() {
            Some("json") => Format::Json,
            _ => d.format,
        },
        output: match raw.get("output").text() {
            None | Some("stderr") => Output::Stderr,
            Some(word) if value::output(word).is_err() => Output::Stderr,
            Some("syslog") => {
                let can = observe::try_syslog().map_err(|why| {
                    Wrong::new(
                        Code::E042,
                        format!("expected a syslog on this machine: {why}"),
                    )
                });
                writes(raw.get("output"), can, report);
                Output::Syslog
            }
            Some(path) => {
                let path = report.base.join(path);
                writes(raw.get("output"), files::writable(&path), report);
                Output::File(path)
            }
        },
        transcript: transcript(raw.get("transcript"), report),
    }
}

/// `log.transcript`: of somebody, never of everybody.
fn transcript(raw: Raw<'_>, report: &mut Report<'_>) -> Option<Transcript> {
    if !raw.is_map() {
        return None;
    }
    let (user, ip) = (raw.get("user"), raw.get("ip"));
    if !user.is_there() && !ip.is_there() {
        let expected = "expected `user`, `ip` or both: whose conversations to write down";
        report.say(raw.mark(), Code::E015, "`transcript` is empty", expected);
    }
    Some(Transcript {
        user: user.text().map(Into::into),
        ip: ip.text().and_then(|ip| value::network(ip).ok()),
    })
}
