//! The gateway under test: its binary, a proxy.yaml written for the test, and its log.
//!
//! Whatever a test does, the log is read at its end: at the finest level it holds no password and
//! no panic.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::Scratch;
use super::pki::Pki;
use super::process::{self, Running};
use super::scratch::free_port;
use super::users::{ANYBODYS, ANYBODYS_UTF_8, AWKWARD, User, WRONG};

/// The gateway's binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_gatepost");

/// The same, or another build that is to be measured: `GATEPOST_BINARY`.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("GATEPOST_BINARY").map_or_else(|| BINARY.into(), PathBuf::from)
}

/// A proxy.yaml in the making. All listeners are there already; what a test is about is added.
pub(crate) struct Settings {
    listeners: String,
    backends: String,
    users: String,
    limits: String,
    top: String,
    log: String,
    token: Option<&'static str>,
    certificate: Certificate,
    under: Vec<String>,
    env: Vec<(String, String)>,
    binary: PathBuf,
}

enum Certificate {
    Ours,
    MadeAtStart,
}

/// A gateway that runs until this is dropped.
pub(crate) struct Gateway {
    running: Running,
    pub(crate) ports: Ports,
    pub(crate) config: PathBuf,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// A login in clear is allowed here.
    pub(crate) imap: u16,
    pub(crate) pop3: u16,
    /// STARTTLS and STLS are required here.
    pub(crate) imap_strict: u16,
    pub(crate) pop3_strict: u16,
    pub(crate) imaps: u16,
    pub(crate) pop3s: u16,
    pub(crate) admin: u16,
}

impl Ports {
    pub(crate) fn free() -> Ports {
        Ports {
            imap: free_port(),
            pop3: free_port(),
            imap_strict: free_port(),
            pop3_strict: free_port(),
            imaps: free_port(),
            pop3s: free_port(),
            admin: free_port(),
        }
    }
}

impl Settings {
    pub(crate) fn new() -> Settings {
        Settings {
            listeners: String::new(),
            backends: String::new(),
            users: String::new(),
            // The tests fail logins on purpose, many from one address.
            limits: "failure_delay: 10ms, trusted: [127.0.0.0/8]".to_owned(),
            top: String::new(),
            log: "level: trace".to_owned(),
            token: None,
            certificate: Certificate::Ours,
            under: Vec::new(),
            env: Vec::new(),
            binary: binary(),
        }
    }

    /// One backend for everybody, at a URL.
    pub(crate) fn to(url: impl AsRef<str>) -> Settings {
        Settings::new().backend("store", url).user("\"*\"", "store")
    }

    /// One more listener, as YAML writes it on one line.
    pub(crate) fn listener(mut self, value: &str) -> Settings {
        writeln!(self.listeners, "  - {value}").unwrap();
        self
    }

    /// One more listener, which asks its clients for certificates of this authority.
    pub(crate) fn asks_for_certificates(self, scheme: &str, port: u16, ca: &Path) -> Settings {
        self.listener(&format!(
            "{{ bind: \"{scheme}://127.0.0.1:{port}\", client_ca: \"{}\" }}",
            ca.display()
        ))
    }

    /// One more listener, behind a balancer on this machine that sends PROXY headers.
    pub(crate) fn behind_balancer(self, scheme: &str, port: u16) -> Settings {
        self.listener(&format!(
            "{{ bind: \"{scheme}://127.0.0.1:{port}\", cleartext_login: true, proxy_protocol: [127.0.0.0/8] }}"
        ))
    }

    /// A backend: its value as YAML writes it on one line.
    pub(crate) fn backend(mut self, name: &str, value: impl AsRef<str>) -> Settings {
        writeln!(self.backends, "  {name}: {}", value.as_ref()).unwrap();
        self
    }

    /// A line of the users map.
    pub(crate) fn user(mut self, key: &str, value: impl AsRef<str>) -> Settings {
        writeln!(self.users, "  {key}: {}", value.as_ref()).unwrap();
        self
    }

    /// Further limits.
    pub(crate) fn limits(mut self, yaml: &str) -> Settings {
        write!(self.limits, ", {yaml}").unwrap();
        self
    }

    /// Failed logins are held back so long.
    pub(crate) fn failure_delay(mut self, time: &str) -> Settings {
        let delay = format!("failure_delay: {time}");
        self.limits = self.limits.replace("failure_delay: 10ms", &delay);
        self
    }

    /// A line of the file's top level.
    pub(crate) fn top(mut self, yaml: &str) -> Settings {
        writeln!(self.top, "{yaml}").unwrap();
        self
    }

    /// Another log than the finest in text.
    pub(crate) fn log(mut self, yaml: &str) -> Settings {
        self.log = yaml.to_owned();
        self
    }

    /// The admin port asks for this token.
    pub(crate) fn token(mut self, token: &'static str) -> Settings {
        self.token = Some(token);
        self
    }

    /// No certificate is given: the gateway makes one.
    pub(crate) fn without_certificate(mut self) -> Settings {
        self.certificate = Certificate::MadeAtStart;
        self
    }

    /// It is started by another program: `prlimit`, a shell.
    pub(crate) fn under(mut self, command: &[&str]) -> Settings {
        self.under = command.iter().map(ToString::to_string).collect();
        self
    }

    /// With a variable in its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Settings {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another file than the one just built, a copy of it.
    pub(crate) fn binary(mut self, path: PathBuf) -> Settings {
        self.binary = path;
        self
    }

    /// Writes the file and starts the gateway; returns when it says that it is ready.
    pub(crate) fn start(self, scratch: &Scratch, pki: &Pki) -> Gateway {
        let ports = Ports::free();
        let config = scratch.write("proxy.yaml", self.yaml(&ports, pki));
        let mut words = self.under.iter();
        let mut command = match words.next() {
            Some(program) => Command::new(program),
            None => Command::new(&self.binary),
        };
        if !self.under.is_empty() {
            command.args(words).arg(&self.binary);
        }
        command.arg("run").arg("-c").arg(&config);
        command.envs(self.env);
        Gateway::start(&command, config, ports, scratch)
    }

    /// The text of the file.
    pub(crate) fn yaml(&self, ports: &Ports, pki: &Pki) -> String {
        let Ports {
            imap,
            pop3,
            imap_strict,
            pop3_strict,
            imaps,
            pop3s,
            admin,
        } = ports;
        let tls = match self.certificate {
            Certificate::Ours => format!(
                "tls: {{ cert: {}, key: {} }}",
                pki.cert.display(),
                pki.key.display()
            ),
            Certificate::MadeAtStart => String::new(),
        };
        let token = self
            .token
            .map_or_else(String::new, |token| format!(", token: {token}"));
        format!(
            "listeners:
  - {{ bind: \"imap://127.0.0.1:{imap}\", cleartext_login: true }}
  - {{ bind: \"pop3://127.0.0.1:{pop3}\", cleartext_login: true }}
  - imap://127.0.0.1:{imap_strict}
  - pop3://127.0.0.1:{pop3_strict}
  - imaps://127.0.0.1:{imaps}
  - pop3s://127.0.0.1:{pop3s}
{}{tls}
backends:
{}users:
{}limits: {{ {} }}
admin: {{ bind: \"127.0.0.1:{admin}\"{token} }}
log: {{ {} }}
{}",
            self.listeners, self.backends, self.users, self.limits, self.log, self.top
        )
    }
}

impl Gateway {
    /// Starts it with a file that is there; returns when it says that it is ready.
    pub(crate) fn run(config: &Path, ports: Ports, scratch: &Scratch) -> Gateway {
        let mut command = Command::new(binary());
        command.arg("run").arg("-c").arg(config);
        Gateway::start(&command, config.to_owned(), ports, scratch)
    }

    /// The same by a command of the test's own.
    pub(crate) fn start(
        command: &Command,
        config: PathBuf,
        ports: Ports,
        scratch: &Scratch,
    ) -> Gateway {
        let mut running = Running::start("gatepost", command, &scratch.join("gatepost.log"));
        running.wait_until("/readyz", || ready(ports.admin));
        Gateway {
            running,
            ports,
            config,
        }
    }

    /// Reloads by the admin port: status and answer.
    pub(crate) fn reload(&self) -> (u16, serde_json::Value) {
        let asked = admin_ask(self.ports.admin, "POST", "/api/v1/reload");
        let (status, body) = asked.unwrap();
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, name: &str) {
        process::signal(self.running.pid(), name);
    }

    /// A gateway with one backend for everybody.
    pub(crate) fn to(url: impl AsRef<str>, scratch: &Scratch, pki: &Pki) -> Gateway {
        Settings::to(url).start(scratch, pki)
    }

    /// What it has logged so far, for words that are not to be there. What is to come is waited for:
    /// [`logged`](Gateway::logged).
    pub(crate) fn log(&self) -> String {
        // Lines are gathered for some milliseconds before they are written.
        std::thread::sleep(std::time::Duration::from_millis(250));
        self.running.words()
    }

    /// Where that is written.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.running.log_path()
    }

    /// Waits until the log has a line with all of `words`, and gives it.
    pub(crate) fn logged(&mut self, words: &[&str]) -> String {
        self.running.logged(words)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Waits until something holds.
    pub(crate) fn wait_until(&mut self, what: &str, holds: impl FnMut() -> bool) {
        self.running.wait_until(what, holds);
    }

    /// Waits for the end of the process, which something else has asked for.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        self.running.wait()
    }

    /// Descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        let dir = format!("/proc/{}/fd", self.running.pid());
        std::fs::read_dir(dir).map_or(0, Iterator::count)
    }

    /// SIGTERM, and the end of the process.
    pub(crate) fn stop(&mut self) -> std::process::ExitStatus {
        self.running.stop()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_clean(&self.log());
        }
    }
}

/// Runs a subcommand to its end.
pub(crate) fn cli(args: &[&str], config: &Path) -> Output {
    process::run(Command::new(binary()).args(args).arg("-c").arg(config))
}

/// GET on the admin port; gives status and body.
pub(crate) fn admin_get(port: u16, path: &str) -> Option<(u16, String)> {
    admin_ask(port, "GET", path)
}

/// A request without a body on the admin port; gives status and body.
pub(crate) fn admin_ask(port: u16, method: &str, path: &str) -> Option<(u16, String)> {
    use std::io::{Read as _, Write as _};
    let mut stream = process::connect(port).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

fn ready(admin: u16) -> bool {
    admin_get(admin, "/readyz").is_some_and(|(status, _)| status == 200)
}

/// No panic, no password in any form it may have had on the way.
#[track_caller]
pub(crate) fn assert_clean(log: &str) {
    for line in log.lines() {
        assert!(!line.contains("panicked at"), "a panic: {line}");
    }
    let name = "somebody";
    let others = [ANYBODYS, ANYBODYS_UTF_8].map(|password| User { name, password });
    for user in AWKWARD.iter().copied().chain(others) {
        for form in forms(user) {
            assert!(
                !log.contains(&form),
                "{}'s password is in the log, as {form:?}:\n{}",
                user.name,
                log.lines().find(|line| line.contains(&form)).unwrap_or("")
            );
        }
    }
}

/// A password as it is, as IMAP and Rust quote it, and in base64 at each alignment it can have
/// behind a user name of any length.
fn forms(user: User) -> Vec<String> {
    let mut forms = Vec::new();
    for password in [user.password, WRONG] {
        forms.push(password.to_owned());
        forms.push(super::imap::quoted(password));
        let debug = format!("{password:?}");
        forms.push(debug.trim_matches('"').to_owned());
        forms.push(STANDARD.encode(password));
        forms.push(super::imap::plain(user.name, password));
        for lead in 0..3 {
            // What stands before shares the first characters, what follows the last ones.
            let encoded = STANDARD_NO_PAD.encode([&b"\0\0"[..lead], password.as_bytes()].concat());
            let skip = [0, 2, 3][lead];
            forms.push(encoded[skip..encoded.len() - 1].to_owned());
        }
    }
    forms
}

#[test]
fn a_password_would_be_found_in_every_form() {
    use super::ALICE;
    for leaked in [
        format!(
            "LOGIN {} {}",
            ALICE.name,
            super::imap::quoted(ALICE.password)
        ),
        format!("PASS {}", ALICE.password),
        format!("{:?}", format!("PASS {}", ALICE.password)),
        STANDARD.encode(format!("\0someone@example.com\0{}", ALICE.password)),
        STANDARD.encode(format!("\0someone@example.co\0{}", ALICE.password)),
        STANDARD.encode(format!("\0someone@example.c\0{}", ALICE.password)),
    ] {
        let found = std::panic::catch_unwind(|| assert_clean(&leaked)).is_err();
        assert!(found, "{leaked}");
    }
    assert_clean("event=login result=ok user=alice");
}
