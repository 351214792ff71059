//! `gatepost run`: serve.

use std::path::Path;
use std::process::ExitCode;

use super::{FAILED, tell};
use crate::config::{Config, Problem};

pub(super) fn run(_path: &Path, _config: Config, _warnings: Vec<Problem>) -> ExitCode {
    tell("error: serving is not there yet; `gatepost check` and `gatepost explain` are");
    ExitCode::from(FAILED)
}
