//! `gatepost man`: the man page gatepost(1), from the description of the command line, so that it cannot
//! go stale.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{FAILED, tell};
use crate::manual::Topic;

pub(super) fn man(command: clap::Command) -> ExitCode {
    match page(command) {
        Ok(page) => {
            let _ = io::stdout().write_all(&page);
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell(&format!("error: cannot write the man page: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn page(mut command: clap::Command) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    command.build();
    let man = Man::new(command.clone())
        .section("1")
        .manual("Gatepost")
        .source(format!("gatepost {}", env!("CARGO_PKG_VERSION")));
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    commands(&command, &mut out)?;
    let mut rest = Roff::new();
    rest.control("SH", ["TOPICS"]);
    rest.text([bold("gatepost help TOPIC"), roman(" shows these pages:")]);
    for topic in Topic::all() {
        rest.control("TP", []);
        rest.text([bold(topic.name)]);
        rest.text([roman(topic.title())]);
    }
    rest.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in [
        ("0", "It is done."),
        ("1", "It failed."),
        ("2", "The command or the file is wrong."),
    ] {
        rest.control("TP", []);
        rest.text([bold(code)]);
        rest.text([roman(meaning)]);
    }
    rest.to_writer(&mut out)?;
    Ok(out)
}

/// Every command with its usage and its own options.
fn commands(command: &clap::Command, out: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for sub in command.get_subcommands() {
        let mut sub = sub.clone();
        let usage = sub.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").to_owned();
        roff.control("SS", [sub.get_name()]);
        roff.text([bold(usage)]);
        if let Some(about) = sub.get_long_about().or(sub.get_about()) {
            roff.control("PP", []);
            roff.text([roman(about.to_string())]);
        }
        for arg in sub.get_arguments().filter(|arg| !arg.is_global_set()) {
            if arg.is_hide_set() || arg.get_id() == "help" {
                continue;
            }
            let Some(help) = arg.get_long_help().or(arg.get_help()) else {
                continue;
            };
            roff.control("TP", []);
            roff.text([bold(arg.to_string())]);
            roff.text([roman(help.to_string())]);
        }
    }
    roff.to_writer(out)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Args;

    #[test]
    fn every_command_and_topic_is_in_the_page() {
        let command = Args::command();
        let page = String::from_utf8(page(command.clone()).unwrap()).unwrap();
        for sub in command.get_subcommands() {
            let heading = format!(".SS {}\n", sub.get_name());
            assert!(page.contains(&heading), "{heading} in {page}");
        }
        for topic in Topic::all() {
            let name = topic.name.replace('-', "\\-");
            assert!(page.contains(&name), "{name}");
        }
    }
}
