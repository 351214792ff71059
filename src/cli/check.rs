//! `gatepost check`: reads the settings and reports every problem in them; with `--connect` it looks at each
//! host as well.

use std::path::Path;
use std::process::ExitCode;

use super::connect::{self, Seen};
use super::{FAILED, Form, WRONG, json, say, tell, tell_problems};
use crate::config::{Config, Problem};

/// For people: problems with their source lines on standard error.
pub(super) fn check(path: &Path) -> ExitCode {
    match Config::load(path) {
        Ok((config, warnings)) => {
            fine(path, &config, &warnings);
            ExitCode::SUCCESS
        }
        Err(problems) => {
            tell_problems(path, &problems.0);
            ExitCode::from(WRONG)
        }
    }
}

/// Says what there is, warnings first.
fn fine(path: &Path, config: &Config, warnings: &[Problem]) {
    if !warnings.is_empty() {
        tell_problems(path, warnings);
    }
    let count = |n: usize, one: &str| match n {
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    };
    let entries = match config.routes.map.len() {
        1 => "1 entry".to_owned(),
        n => format!("{n} entries"),
    };
    say(&format!(
        "{} is fine: {}, {}, {entries} in the users map",
        path.display(),
        count(config.listeners.len(), "listener"),
        count(config.backends.len(), "backend"),
    ));
}

/// For editors and machines: the list on standard output, empty if all is well.
pub(super) fn check_json(path: &Path) -> ExitCode {
    match Config::load(path) {
        Ok((_, warnings)) => {
            say(&json(&warnings));
            ExitCode::SUCCESS
        }
        Err(problems) => {
            say(&json(&problems.0));
            ExitCode::from(WRONG)
        }
    }
}

/// As [`check`], and then each host is looked at: exit code 1 if one cannot be used.
pub(super) fn check_and_connect(path: &Path, form: Form) -> ExitCode {
    let (config, warnings) = match (Config::load(path), form) {
        (Ok(loaded), _) => loaded,
        (Err(problems), Form::Text) => {
            tell_problems(path, &problems.0);
            return ExitCode::from(WRONG);
        }
        (Err(problems), Form::Json) => {
            say(&with_hosts(&problems.0, &[]));
            return ExitCode::from(WRONG);
        }
    };
    let hosts = match connect::hosts(&config) {
        Ok(hosts) => hosts,
        Err(error) => {
            tell(&format!("error: no host can be looked at: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let bad = hosts.iter().filter(|seen| !seen.is_well()).count();
    match form {
        Form::Json => say(&with_hosts(&warnings, &hosts)),
        Form::Text => {
            fine(path, &config, &warnings);
            say(connect::table(&hosts).trim_end());
            if bad > 0 {
                tell(&format!("{bad} of {} cannot be used", hosts.len()));
            }
        }
    }
    match bad {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILED),
    }
}

fn with_hosts(problems: &[Problem], hosts: &[Seen]) -> String {
    let problems: Vec<_> = problems.iter().map(Problem::json).collect();
    let hosts: Vec<_> = hosts.iter().map(Seen::json).collect();
    format!(
        "{:#}",
        serde_json::json!({ "problems": problems, "hosts": hosts })
    )
}
