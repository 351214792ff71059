//! `gatepost run`: serve.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use super::{FAILED, Serve, banner, say, tell, tell_problems};
use crate::config::{Config, Problem};
use crate::observe::{Format, Output};

pub(super) fn run(path: &Path, config: Config, warnings: Vec<Problem>, serve: Serve) -> ExitCode {
    // They are in the log as well: with their source lines only where somebody reads them.
    let is_read = config.log.output == Output::Stderr && config.log.format == Format::Text;
    if !warnings.is_empty() && (is_read || io::stderr().is_terminal()) {
        tell_problems(path, &warnings);
    }
    let text = banner::text(&config);
    match serve(config, warnings, Box::new(move || say(&text))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("error: {error}"));
            ExitCode::from(FAILED)
        }
    }
}
