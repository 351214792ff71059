//! `gatepost probe TARGET …`: what a mail client meets there, through a gateway or straight at a host:
//! address, TLS, certificate, greeting, capabilities and, with `--user`, a login; each with its time.
//!
//! It connects to nothing but its targets and reads no settings. A password leaves only through
//! TLS whose certificate is believed, unless it is told otherwise.

mod talk;
mod trust;
mod wire;

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::{FAILED, WRONG, duration, say, tell};
use crate::backend::config::Verify;
use crate::protocol::{Protocol, Secret, UserName};
use trust::Trust;
use wire::Wire;

/// Longest password that is read.
const MAX_PASSWORD: u64 = Secret::MAX as u64 + 2;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to connect: HOST (imaps, 993), HOST:PORT (143, 993, 110, 995, the same plus 1000), or
    /// a URL like imap://HOST:10143
    #[arg(required = true, value_name = "HOST[:PORT]")]
    targets: Vec<Target>,
    /// Log in as this user, with the password from --password-file, GATEPOST_PASSWORD or the input
    #[arg(long, value_name = "U")]
    user: Option<String>,
    /// The file that holds the password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// The certificate must be of a CA in this PEM file; without it, the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The name to ask for and to find in the certificate, instead of HOST
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,
    /// Show the certificate, believe any
    #[arg(long, conflicts_with = "ca")]
    no_verify: bool,
    /// Log in without TLS, or where the certificate is not verified
    #[arg(long, requires = "user")]
    exposed_login: bool,
    /// Longest wait for a target in all
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    timeout: Duration,
}

/// How TLS comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// From the first byte.
    Tls,
    /// By STARTTLS or STLS, if it is offered.
    Clear,
}

/// What is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    protocol: Protocol,
    begin: Begin,
    /// Without brackets.
    host: String,
    port: u16,
}

impl Target {
    fn scheme(&self) -> &'static str {
        match (self.protocol, self.begin) {
            (Protocol::Imap, Begin::Clear) => "imap",
            (Protocol::Imap, Begin::Tls) => "imaps",
            (Protocol::Pop3, Begin::Clear) => "pop3",
            (Protocol::Pop3, Begin::Tls) => "pop3s",
        }
    }
}

/// Scheme, protocol, how TLS comes in, port.
const SCHEMES: [(&str, Protocol, Begin, u16); 4] = [
    ("imap", Protocol::Imap, Begin::Clear, 143),
    ("imaps", Protocol::Imap, Begin::Tls, 993),
    ("pop3", Protocol::Pop3, Begin::Clear, 110),
    ("pop3s", Protocol::Pop3, Begin::Tls, 995),
];

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, authority) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest.strip_suffix('/').unwrap_or(rest)),
            None => (None, text),
        };
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or("`[` is not closed by a `]`")?;
                (
                    host,
                    behind
                        .strip_prefix(':')
                        .or((!behind.is_empty()).then_some("")),
                )
            }
            None if authority.matches(':').count() > 1 => (authority, None),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() || host.contains(|c: char| "/?#@ ".contains(c)) {
            return Err("expected HOST, HOST:PORT or a URL like imaps://HOST".into());
        }
        let port = port.map(|port| {
            let number = port.parse::<u16>().ok().filter(|number| *number != 0);
            number.ok_or_else(|| format!("{port:?} is no port"))
        });
        let port = port.transpose()?;
        let known = match (scheme, port) {
            (Some(scheme), _) => SCHEMES.iter().find(|known| known.0 == scheme).ok_or(
                "expected one of imap, imaps, pop3, pop3s before ://",
            )?,
            (None, None) => &SCHEMES[1],
            (None, Some(port)) => SCHEMES
                .iter()
                .find(|known| port == known.3 || port == known.3 + 1000)
                .ok_or_else(|| {
                    format!("port {port} does not tell the protocol: write imap://{authority}, or imaps, pop3, pop3s")
                })?,
        };
        Ok(Target {
            protocol: known.1,
            begin: known.2,
            host: host.to_owned(),
            port: port.unwrap_or(known.3),
        })
    }
}

/// Who logs in.
struct Login {
    user: UserName,
    password: Secret,
    exposed: Exposed,
}

/// Whether a password may go where others could read it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exposed {
    Allowed,
    Refused,
}

pub(super) fn probe(args: &Args) -> ExitCode {
    let verify = match args.no_verify {
        true => Verify::No,
        false => Verify::Yes,
    };
    let trust = match Trust::new(args.ca.as_deref(), verify) {
        Ok(trust) => trust,
        Err(error) => {
            tell(&format!("error: {error}"));
            return ExitCode::from(WRONG);
        }
    };
    let login = match args
        .user
        .as_deref()
        .map(|user| login(user, args))
        .transpose()
    {
        Ok(login) => login,
        Err(error) => {
            tell(&format!("error: {error}"));
            return ExitCode::from(WRONG);
        }
    };
    let mut code = ExitCode::SUCCESS;
    for target in &args.targets {
        let shown = match target.host.contains(':') {
            true => format!("[{}]", target.host),
            false => target.host.clone(),
        };
        say(&format!("{}://{shown}:{}", target.scheme(), target.port));
        let name = args.tls_name.as_deref().unwrap_or(&target.host);
        match visit(target, name, &trust, login.as_ref(), args.timeout) {
            Ok(()) => line("well", "yes"),
            Err(error) => {
                line("well", "no");
                tell(&format!("error: {error}"));
                code = ExitCode::from(FAILED);
            }
        }
    }
    code
}

fn login(user: &str, args: &Args) -> Result<Login, String> {
    let user = UserName::new(user.as_bytes()).map_err(
        |_| "no user can have this name: expected 1 to 512 octets without control characters",
    )?;
    let mut octets = Zeroizing::new(Vec::new());
    match (&args.password_file, std::env::var_os("GATEPOST_PASSWORD")) {
        (Some(file), _) => {
            let opened =
                fs::File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
            let read = opened.take(MAX_PASSWORD).read_to_end(&mut octets);
            read.map_err(|error| format!("{}: {error}", file.display()))?;
        }
        (None, Some(password)) => octets.extend_from_slice(password.as_encoded_bytes()),
        (None, None) => {
            if io::stdin().is_terminal() {
                tell(&format!(
                    "Password of {user} (it shows as you type; end with Ctrl-D):"
                ));
            }
            let read = io::stdin().take(MAX_PASSWORD).read_to_end(&mut octets);
            read.map_err(|error| format!("the password cannot be read: {error}"))?;
        }
    }
    let password = octets.strip_suffix(b"\n").unwrap_or(&octets);
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    let password = Secret::new(password).map_err(|_| {
        "the password cannot be one: expected a line that is not empty, without control characters"
    })?;
    let exposed = match args.exposed_login {
        true => Exposed::Allowed,
        false => Exposed::Refused,
    };
    Ok(Login {
        user,
        password,
        exposed,
    })
}

/// The visit, told line by line as it goes; the error is what a person should look at first.
fn visit(
    target: &Target,
    name: &str,
    trust: &Trust,
    login: Option<&Login>,
    limit: Duration,
) -> Result<(), String> {
    let begin = Instant::now();
    let mut wire = Wire::connect(&target.host, target.port, begin + limit)?;
    line("address", &format!("{} {}", wire.peer(), took(begin)));
    if target.begin == Begin::Tls {
        secure(&mut wire, name, trust)?;
    }
    let asked = Instant::now();
    let greeting = talk::greeting(&mut wire, target.protocol)?;
    line("greeting", &format!("{greeting} {}", took(asked)));
    let asked = Instant::now();
    let mut capabilities = talk::capabilities(&mut wire, target.protocol)?;
    line(
        "capabilities",
        &format!("{} {}", capabilities.join(" "), took(asked)),
    );
    if target.begin == Begin::Clear {
        match talk::offers_tls(target.protocol, &capabilities) {
            true => {
                talk::start_tls(&mut wire, target.protocol)?;
                secure(&mut wire, name, trust)?;
                let asked = Instant::now();
                capabilities = talk::capabilities(&mut wire, target.protocol)?;
                line(
                    "in tls",
                    &format!("{} {}", capabilities.join(" "), took(asked)),
                );
            }
            false => line("tls", "not offered"),
        }
    }
    if let Some(login) = login {
        if login.exposed == Exposed::Refused && !(wire.is_tls() && trust.verifies()) {
            return Err(
                "the password was not sent: others could read it (--exposed-login sends it)".into(),
            );
        }
        let asked = Instant::now();
        let said = talk::login(
            &mut wire,
            target.protocol,
            &capabilities,
            &login.user,
            &login.password,
        )?;
        line("login", &format!("{}: {said} {}", login.user, took(asked)));
    }
    talk::goodbye(&mut wire, target.protocol);
    Ok(())
}

/// The handshake, and what was shown in it.
fn secure(wire: &mut Wire, name: &str, trust: &Trust) -> Result<(), String> {
    let begin = Instant::now();
    let shaken = wire.start_tls(name, trust);
    let facts = shaken.map_err(|error| format!("the TLS handshake failed: {error}"))?;
    line(
        "tls",
        &format!("{} {} {}", facts.version, facts.cipher, took(begin)),
    );
    if let Some(certificate) = facts.certificate {
        line("certificate", &certificate);
    }
    match facts.verdict {
        Ok(()) if trust.verifies() => Ok(()),
        Ok(()) => {
            line("trust", "not verified");
            Ok(())
        }
        Err(cause) => Err(format!("the certificate is not believed: {cause}")),
    }
}

fn line(what: &str, text: &str) {
    say(&format!("  {what:<13}{text}"));
}

/// `(1.2 ms)`
fn took(since: Instant) -> String {
    format!("({:.1} ms)", since.elapsed().as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (text, want) in [
            ("mail.example.org", Some("imaps mail.example.org 993")),
            ("mail:143", Some("imap mail 143")),
            ("mail:1995", Some("pop3s mail 1995")),
            ("10.0.0.5:110", Some("pop3 10.0.0.5 110")),
            ("::1", Some("imaps ::1 993")),
            ("[::1]:1143", Some("imap ::1 1143")),
            ("[::1]", Some("imaps ::1 993")),
            ("imap://old:10143", Some("imap old 10143")),
            ("pop3s://old/", Some("pop3s old 995")),
            ("old:10143", None),
            ("old:", None),
            ("old:0", None),
            ("[::1]x", None),
            ("http://old", None),
            ("imap://", None),
            ("imap://a@b", None),
            ("", None),
        ] {
            let got = text.parse::<Target>().ok();
            let got = got.map(|t| format!("{} {} {}", t.scheme(), t.host, t.port));
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }
}
