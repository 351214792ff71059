//! `gatepost run`: serve.

use std::path::Path;
use std::process::ExitCode;

use super::{FAILED, Serve, banner, say, tell, tell_problems};
use crate::config::{Config, Problem};

pub(super) fn run(path: &Path, config: Config, warnings: &[Problem], serve: Serve) -> ExitCode {
    if !warnings.is_empty() {
        tell_problems(path, warnings);
    }
    let text = banner::text(&config);
    match serve(config, Box::new(move || say(&text))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("error: {error}"));
            ExitCode::from(FAILED)
        }
    }
}
