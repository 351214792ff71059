//! `gatepost help [TOPIC]`: a page of the manual, a command's help, or the list of both.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use super::{WRONG, colour_of, say, tell};
use crate::config::Colour;
use crate::manual::{Dress, Topic, render};

pub(super) fn help(topic: Option<&str>, mut command: clap::Command) -> ExitCode {
    let Some(name) = topic else {
        let _ = command.print_help();
        say(&format!("\n{}", topics().trim_end()));
        return ExitCode::SUCCESS;
    };
    if let Some(topic) = Topic::find(name) {
        let dress = match colour_of(io::stdout().is_terminal()) {
            Colour::Yes => Dress::Terminal,
            Colour::No => Dress::Plain,
        };
        say(render(topic.text, dress).trim_end());
        return ExitCode::SUCCESS;
    }
    // With its full name, and the options that every command has.
    command.build();
    if let Some(command) = command.find_subcommand_mut(name) {
        let _ = command.print_long_help();
        return ExitCode::SUCCESS;
    }
    let near = nearest(name, &command)
        .map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
    tell(&format!(
        "error: there is no topic and no command {name:?}{near}\n\n{}",
        topics().trim_end()
    ));
    ExitCode::from(WRONG)
}

fn topics() -> String {
    let mut out = "Topics (gatepost help TOPIC):\n".to_owned();
    let widest = Topic::all().iter().map(|t| t.name.len()).max().unwrap_or(0);
    for topic in Topic::all() {
        let _ = writeln!(out, "  {:<widest$}  {}", topic.name, topic.title());
    }
    out
}

fn nearest<'a>(name: &str, command: &'a clap::Command) -> Option<&'a str> {
    let commands = command.get_subcommands().map(clap::Command::get_name);
    let words = Topic::all().iter().map(|topic| topic.name).chain(commands);
    let scored = words.map(|word| (strsim::jaro_winkler(name, word), word));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(score, _)| *score > 0.8).map(|(_, word)| word)
}
