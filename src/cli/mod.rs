//! The command line: one file a subcommand.
//!
//! Exit codes: 0 done, 1 it failed, 2 the command or the file is wrong. Results go to standard output,
//! errors to standard error with a cause and a next step.

mod banner;
mod check;
mod connect;
mod explain;
mod help;
mod hosts;
mod man;
mod moves;
mod probe;
mod reload;
mod remote;
mod run;
mod schema;
mod sessions;
mod table;
mod upgrade;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::{Code, Colour, Config, Problem, Severity};
use crate::protocol::Protocol;
use crate::state::times::{self, BadDuration};

/// It failed.
const FAILED: u8 = 1;

/// The command or the file is wrong.
const WRONG: u8 = 2;

/// An IMAP and POP3 gateway: ends TLS, routes each user to the right mail store, relays IMAP and
/// serves POP3 from IMAP.
#[derive(Debug, Parser)]
#[command(
    name = "gatepost",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
struct Args {
    /// The settings
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "GATEPOST_CONFIG",
        default_value = "proxy.yaml"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT; what is done without a command
    Run,
    /// Read the settings and report every problem in them; exit code 2 if there is one
    Check {
        /// Then look at each host: connection, TLS, greeting; exit code 1 if one cannot be used
        #[arg(long)]
        connect: bool,
        /// The list of problems for editors and machines, on standard output
        #[arg(long)]
        json: bool,
    },
    /// Say where a user's login goes, and why; exit code 1 if no entry matches
    Explain {
        /// The name as the user types it
        user: String,
        /// What the client speaks
        #[arg(long, default_value = "imap", value_parser = protocol)]
        protocol: Protocol,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Look at a mail port as a client would: greeting, capabilities, certificate, login, timing;
    /// exit code 1 if one of them is not well
    Probe(probe::Args),
    /// List the live sessions of the running gateway
    Sessions(sessions::Which),
    /// End sessions with a goodbye; exit code 1 if there is none
    Kick(sessions::Whose),
    /// List the backends and their hosts: state, weight, sessions
    Backends {
        /// The list as the admin API tells it
        #[arg(long)]
        json: bool,
    },
    /// Give a host no new users; those with sessions there keep it
    Drain {
        /// `HOST`, or `BACKEND/HOST` where two backends have one of this name
        host: String,
        /// End the sessions that are left after this time
        #[arg(long, value_name = "TIME", value_parser = duration)]
        after: Option<Duration>,
    },
    /// Give a host users again
    Undrain {
        /// As for `drain`
        host: String,
    },
    /// Change a host's share of the users
    Weight {
        /// As for `drain`
        host: String,
        /// Its weight; 0 gives it none
        #[arg(allow_negative_numbers = true)]
        weight: u32,
    },
    /// Move users to another store: their sessions end with a goodbye, then they log in there
    Move(moves::Move),
    /// List who was moved
    Moves {
        /// The list as the admin API tells it
        #[arg(long)]
        json: bool,
    },
    /// Undo a move: the user goes where the map says
    Unmove {
        /// The user
        user: String,
    },
    /// Let a user's logins wait while mail is copied, at most 120 seconds
    Hold {
        /// The user
        user: String,
    },
    /// End a hold
    Release {
        /// The user
        user: String,
    },
    /// Let the running gateway read its settings anew: whole, or not at all
    Reload {
        /// What changed, or the list of problems, for machines
        #[arg(long)]
        json: bool,
    },
    /// Read the manual: a topic, a command, or the list of both
    Help {
        /// A topic like `tls`, or a command like `explain`
        topic: Option<String>,
    },
    /// Write the man page, gatepost(1)
    Man,
    /// Let a new process of this program take over from the running gateway: it gets the sockets, and
    /// the old one drains; exit code 1 if it does not start and the old one goes on
    Upgrade {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write the JSON Schema of proxy.yaml: for editors, charts and other tools
    Schema,
    /// Write a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Serves with these settings until it is told to stop, and logs their warnings; calls the function
/// once every listener serves. The error says what was attempted and what went wrong.
pub type Serve = fn(Config, Vec<Problem>, Box<dyn FnOnce()>) -> Result<(), String>;

/// Runs a command line, the program's name first.
pub fn main(args: impl IntoIterator<Item = OsString>, serve: Serve) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // Help and version come this way too, on standard output and with code 0.
            let _ = error.print();
            return match error.use_stderr() {
                true => ExitCode::from(WRONG),
                false => ExitCode::SUCCESS,
            };
        }
    };
    match args.command.unwrap_or(Command::Run) {
        Command::Run => match load(&args.config) {
            Ok((config, warnings)) => run::run(&args.config, config, warnings, serve),
            Err(code) => code,
        },
        Command::Check {
            connect: true,
            json,
        } => check::check_and_connect(&args.config, Form::of(json)),
        Command::Check { json: false, .. } => check::check(&args.config),
        Command::Check { json: true, .. } => check::check_json(&args.config),
        Command::Explain {
            user,
            protocol,
            json,
        } => explain::explain(&args.config, &user, protocol, Form::of(json)),
        Command::Probe(args) => probe::probe(&args),
        Command::Sessions(which) => sessions::sessions(&args.config, &which),
        Command::Kick(whose) => sessions::kick(&args.config, &whose),
        Command::Backends { json } => hosts::backends(&args.config, Form::of(json)),
        Command::Drain { host, after } => {
            hosts::change(&args.config, &host, hosts::Change::Drain(after))
        }
        Command::Undrain { host } => hosts::change(&args.config, &host, hosts::Change::Undrain),
        Command::Weight { host, weight } => {
            hosts::change(&args.config, &host, hosts::Change::Weight(weight))
        }
        Command::Move(what) => moves::moved(&args.config, &what),
        Command::Moves { json } => moves::moves(&args.config, Form::of(json)),
        Command::Unmove { user } => moves::unmove(&args.config, &user),
        Command::Hold { user } => moves::hold(&args.config, &user),
        Command::Release { user } => moves::release(&args.config, &user),
        Command::Reload { json } => reload::reload(&args.config, Form::of(json)),
        Command::Help { topic } => help::help(topic.as_deref(), Args::command()),
        Command::Man => man::man(Args::command()),
        Command::Upgrade { json } => upgrade::upgrade(&args.config, Form::of(json)),
        Command::Schema => schema::schema(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "gatepost", &mut script);
            let _ = io::stdout().write_all(&script);
            ExitCode::SUCCESS
        }
    }
}

/// How a result is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// For people.
    Text,
    /// JSON.
    Json,
}

impl Form {
    /// As `--json` asks.
    fn of(json: bool) -> Self {
        if json { Form::Json } else { Form::Text }
    }
}

/// Where a program on this machine reaches a bound address.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        // Not every listener on all of IPv6 takes IPv4.
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bind.port())
}

/// A time as proxy.yaml writes it: `30s`, `5m`.
fn duration(text: &str) -> Result<Duration, String> {
    match times::duration(text) {
        Ok(time) if !time.is_zero() => Ok(time),
        Err(BadDuration::TooLong) => Err("expected at most a year".into()),
        _ => Err("expected a time, like 250ms, 15s, 5m or 1h".into()),
    }
}

/// The file of settings that a command line names; none, if it is no command line of ours.
pub fn settings_named(args: impl IntoIterator<Item = OsString>) -> Option<PathBuf> {
    Args::try_parse_from(args).ok().map(|args| args.config)
}

fn protocol(word: &str) -> Result<Protocol, String> {
    Protocol::ALL
        .into_iter()
        .find(|protocol| protocol.as_str() == word)
        .ok_or_else(|| "expected imap or pop3".into())
}

/// Reads the settings; problems are told on standard error.
fn load(path: &Path) -> Result<(Config, Vec<Problem>), ExitCode> {
    Config::load(path).map_err(|problems| {
        tell_problems(path, &problems.0);
        ExitCode::from(WRONG)
    })
}

/// Every problem with its source line, and how many there are; words that make a file where there is
/// none.
fn tell_problems(path: &Path, problems: &[Problem]) {
    if let [problem] = problems
        && problem.code == Code::E001
        && !path.exists()
    {
        tell(&no_file(path));
        return;
    }
    let colour = colour();
    for problem in problems {
        tell(&problem.render(colour));
        tell("");
    }
    tell(&format!("{}: {}", path.display(), summary(problems)));
}

/// `5 errors, 1 warning`
fn summary(problems: &[Problem]) -> String {
    let errors = problems
        .iter()
        .filter(|p| p.code.severity() == Severity::Error)
        .count();
    let plural = |n: usize, word: &str| match n {
        1 => format!("1 {word}"),
        _ => format!("{n} {word}s"),
    };
    match (errors, problems.len() - errors) {
        (errors, 0) => plural(errors, "error"),
        (0, warnings) => plural(warnings, "warning"),
        (errors, warnings) => format!(
            "{}, {}",
            plural(errors, "error"),
            plural(warnings, "warning")
        ),
    }
}

fn no_file(path: &Path) -> String {
    let path = path.display();
    format!(
        "error: there is no {path}\n\n\
         This makes one that serves a small store that is built in (user demo, password demo):\n\n\
         cat > {path} <<'END'\n\
         listeners:\n  \
           - imap://127.0.0.1:1143\n  \
           - pop3://127.0.0.1:1110\n\
         backends:\n  \
           demo: demo://\n\
         users:\n  \
           \"*\": demo\n\
         END\n\n\
         Settings elsewhere are named with --config FILE or GATEPOST_CONFIG."
    )
}

/// Colours of what goes to standard error.
fn colour() -> Colour {
    colour_of(io::stderr().is_terminal())
}

/// Colours on a terminal, unless `NO_COLOR` is set to something (no-color.org).
fn colour_of(terminal: bool) -> Colour {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    match terminal && !no_color && !dumb {
        true => Colour::Yes,
        false => Colour::No,
    }
}

/// A line for whoever runs the command. That nobody reads is no error.
fn tell(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A line of the result.
fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// The list of problems as JSON.
fn json(problems: &[Problem]) -> String {
    let list: Vec<_> = problems.iter().map(Problem::json).collect();
    format!("{:#}", serde_json::Value::Array(list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }
}
