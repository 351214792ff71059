//! Servers and clients as child processes: started, watched, waited for, ended by their own id.

use std::fs::{self, File};
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use super::need;

/// No wait lasts longer; it is not a measure, only an end to hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs until this is dropped.
pub(crate) struct Running {
    name: String,
    child: Child,
    log: PathBuf,
    end: &'static str,
}

impl Running {
    /// Starts `command` with its output in `log`. Should the test process be killed, it dies too
    /// (setpriv sees to that, where it is installed).
    pub(crate) fn start(name: &str, command: &Command, log: &Path) -> Running {
        Running::start_as_is(name, with_death_signal(command), log)
    }

    /// The same, without a word to the kernel.
    pub(crate) fn start_as_is(name: &str, mut command: Command, log: &Path) -> Running {
        let out = File::create(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Running {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            end: "TERM",
        }
    }

    /// It is ended by KILL: unshare ignores TERM, and takes all that it started along.
    pub(crate) fn ended_by_kill(mut self) -> Running {
        self.end = "KILL";
        self
    }

    /// Waits until a port takes connections.
    pub(crate) fn wait_for_port(&mut self, port: u16) {
        self.wait_until(&format!("port {port}"), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }

    /// Waits until its output has a line with all of `words`, and gives it.
    pub(crate) fn logged(&mut self, words: &[&str]) -> String {
        let log = self.log.clone();
        let mut found = None;
        self.wait_until(&format!("a log line with {words:?}"), || {
            let log = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
            let line = log
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)));
            found = line.map(str::to_owned);
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits until something holds.
    pub(crate) fn wait_until(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds() {
            let gone = self.child.try_wait().unwrap();
            assert!(
                gone.is_none() && Instant::now() < end,
                "{}: waited for {what} in vain ({gone:?}); it says:\n{}",
                self.name,
                self.words()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it ended.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// What it wrote to stdout and stderr so far.
    pub(crate) fn words(&self) -> String {
        let log = fs::read(&self.log).expect("a log that can be read");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Where its output goes.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.log.clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end and waits for it.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        if self.child.try_wait().unwrap().is_none() {
            signal(self.pid(), self.end);
        }
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > end {
                self.child.kill().unwrap();
                panic!("{} did not stop; it says:\n{}", self.name, self.words());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}:\n{}", self.name, tail(&self.words(), 60));
        }
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            signal(self.pid(), self.end);
            let end = Instant::now() + Duration::from_secs(10);
            while self.child.try_wait().is_ok_and(|status| status.is_none()) {
                if Instant::now() > end {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Waits until something holds that no one process of ours is to be looked at for.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE * 5;
    while !holds() {
        assert!(Instant::now() < end, "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A connection to a port of this machine, on which no read lasts for ever.
pub(crate) fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE * 2))?;
    Ok(stream)
}

/// Sends a signal to one process.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status();
    assert!(sent.unwrap().success(), "kill -{name} {pid}");
}

/// Runs a client to its end. Its output comes back whatever its exit code says.
pub(crate) fn run(command: &mut Command) -> Output {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = child.id();
    // Read both at once: a client that fills one pipe would wait for us for ever.
    let mut stderr = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut stderr, &mut bytes).map(|_| bytes)
    });
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if wait.recv_timeout(PATIENCE * 2) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            signal(pid, "KILL");
        }
    });
    let mut output = child.wait_with_output().unwrap();
    drop(done);
    watch.join().unwrap();
    output.stderr = errors.join().unwrap().unwrap();
    output
}

/// Runs a client that must succeed, and gives what it printed.
pub(crate) fn run_ok(command: &mut Command) -> Vec<u8> {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn with_death_signal(command: &Command) -> Command {
    let Some(setpriv) = need::program("setpriv") else {
        let mut plain = Command::new(command.get_program());
        plain.args(command.get_args());
        plain.envs(
            command
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
        return plain;
    };
    let mut wrapped = Command::new(setpriv);
    wrapped.args(["--pdeathsig", "KILL", "--"]);
    wrapped.arg(command.get_program()).args(command.get_args());
    wrapped.envs(
        command
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    wrapped
}
