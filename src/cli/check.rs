//! `gatepost check`: reads the settings and reports every problem in them.

use std::path::Path;
use std::process::ExitCode;

use super::{WRONG, json, say, tell_problems};
use crate::config::Config;

/// For people: problems with their source lines on standard error.
pub(super) fn check(path: &Path) -> ExitCode {
    match Config::load(path) {
        Ok((config, warnings)) => {
            if !warnings.is_empty() {
                tell_problems(path, &warnings);
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
            ExitCode::SUCCESS
        }
        Err(problems) => {
            tell_problems(path, &problems.0);
            ExitCode::from(WRONG)
        }
    }
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
