//! `gatepost schema`: the JSON Schema of proxy.yaml, from the description that `check` walks along.

use std::process::ExitCode;

use super::say;
use crate::config;

pub(super) fn schema() -> ExitCode {
    say(&format!("{:#}", config::json_schema()));
    ExitCode::SUCCESS
}
