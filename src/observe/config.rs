//! Settings of the log.

use std::path::PathBuf;

use super::Transcript;

/// `log:` as meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Lowest level written.
    pub level: Level,
    /// For people or for machines.
    pub format: Format,
    /// Where to.
    pub output: Output,
    /// Whose conversations are written down, if anybody's.
    pub transcript: Option<Transcript>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            level: Level::Info,
            format: Format::Text,
            output: Output::Stderr,
            transcript: None,
        }
    }
}

/// A level of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `error`
    Error,
    /// `warn`
    Warn,
    /// `info`
    Info,
    /// `debug`
    Debug,
    /// `trace`
    Trace,
}

/// The shape of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text`
    Text,
    /// `json`: one flat object a line.
    Json,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// `stderr`
    Stderr,
    /// `syslog`
    Syslog,
    /// A file, opened anew at SIGHUP.
    File(PathBuf),
}
