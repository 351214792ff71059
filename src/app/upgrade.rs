//! An upgrade without a gap: a new process takes over the listening sockets, and this one drains.
//!
//! The program is started anew by the name and with the arguments this process was started with. It
//! gets the sockets as systemd would give them (`LISTEN_FDS`), and among them a line to this
//! process. On it the new process says `ready` once every listener serves, or why it cannot; `go`
//! is the answer, and from then on the new process is the service. Both listen meanwhile on the
//! same sockets, so that nobody is refused. If the new process fails, this one goes on.

use std::ffi::OsString;
use std::future::pending;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::notify;
use super::sockets::{LINE, Sockets};
use crate::cli;

/// How long the new process may take until it serves: a map of users may have a gigabyte.
const PATIENCE: Duration = Duration::from_secs(120);

/// Octets that are read of what a process says that cannot start.
const WORDS: u64 = 16 * 1024;

/// The first descriptor of those that are handed over (`SD_LISTEN_FDS_START`).
const FIRST: i32 = 3;

/// The upgrades of a process: one at a time, and one that succeeds.
#[derive(Debug)]
pub(super) struct Upgrades {
    sockets: Arc<Sockets>,
    under_way: Mutex<()>,
    successor: watch::Sender<Option<u32>>,
}

impl Upgrades {
    pub(super) fn new(sockets: Arc<Sockets>) -> Self {
        Upgrades {
            sockets,
            under_way: Mutex::default(),
            successor: watch::Sender::new(None),
        }
    }

    /// Waits until another process has taken over.
    pub(super) async fn succeeded(&self) {
        let mut successor = self.successor.subscribe();
        if successor.wait_for(Option::is_some).await.is_err() {
            pending::<()>().await;
        }
    }

    /// Whether another process has taken over.
    pub(super) fn has_succeeded(&self) -> bool {
        self.successor.borrow().is_some()
    }

    /// Starts the new process and waits until it serves; gives its id. When `given_up` comes first,
    /// the new process is ended again. Nothing else changes what is served while `turn` is held.
    ///
    /// # Errors
    /// Why this process goes on instead, in words.
    pub(super) async fn upgrade(
        &self,
        turn: &Mutex<()>,
        given_up: impl Future<Output = ()>,
    ) -> Result<u32, String> {
        let Ok(_one) = self.under_way.try_lock() else {
            return Err("an upgrade is under way already".into());
        };
        if let Some(pid) = *self.successor.borrow() {
            return Err(format!("process {pid} has taken over already"));
        }
        if std::process::id() == 1 {
            return Err(
                "this is the first process of a container, which ends with it: \
                 start a container of the new version beside it instead"
                    .into(),
            );
        }
        let _turn = turn.lock().await;
        tracing::info!(event = "upgrade", "starting the new process");
        let handing_over = async {
            check().await?;
            start(&self.sockets).await
        };
        let successor = tokio::select! {
            successor = handing_over => successor?,
            () = given_up => return Err("the process was told to end meanwhile".into()),
        };
        let pid = successor.pid;
        notify::succeeded_by(pid);
        successor.go().await;
        self.successor.send_replace(Some(pid));
        tracing::info!(event = "upgrade", pid, "the new process serves");
        Ok(pid)
    }
}

/// Lets the new program read the settings: what it says of them is worth more than that it ended.
async fn check() -> Result<(), String> {
    let (program, _) = command_line()?;
    let mut command = Command::new(&program);
    command.arg("check");
    if let Some(settings) = cli::settings_named(std::env::args_os()) {
        command.arg("--config").arg(settings);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    for name in ["LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET"] {
        command.env_remove(name);
    }
    let said = match timeout(PATIENCE, command.output()).await {
        Ok(said) => said.map_err(|error| not_started(&program, &error))?,
        Err(_) => return Err(format!("the new program took over {PATIENCE:?} to check")),
    };
    match said.status.success() {
        true => Ok(()),
        false => Err(format!(
            "the new program does not take the settings ({}):\n{}",
            said.status,
            String::from_utf8_lossy(&said.stderr).trim_end()
        )),
    }
}

/// The line of a process to the one before it; none, where there was no such process.
#[derive(Debug)]
pub(super) struct Line(Option<std::os::unix::net::UnixStream>);

impl Line {
    pub(super) fn new(line: Option<std::os::unix::net::UnixStream>) -> Self {
        Line(line)
    }

    /// Every listener serves: says so, and returns when the service is ours.
    pub(super) async fn ready(&self) {
        let Some(line) = &self.0 else { return };
        let told: io::Result<usize> = async {
            let line = line.try_clone()?;
            line.set_nonblocking(true)?;
            let mut line = UnixStream::from_std(line)?;
            line.write_all(b"ready\n").await?;
            line.read(&mut [0; 8]).await
        }
        .await;
        // Where the process before us is gone without a word, the service is ours, too.
        if let Err(error) = told {
            tracing::warn!(event = "upgrade", %error, "no word from the process before this one");
        }
    }

    /// Says why there will be no listeners.
    pub(super) fn failed(&self, why: &dyn std::fmt::Display) {
        if let Some(mut line) = self.0.as_ref() {
            let _ = writeln!(line, "error: {why}");
        }
    }
}

/// A process that serves and waits for its predecessor's word.
struct Successor {
    pid: u32,
    line: UnixStream,
}

impl Successor {
    async fn go(mut self) {
        let _ = self.line.write_all(b"go\n").await;
    }
}

/// Starts the new process and waits until it serves. Dropped before, it ends the new process.
async fn start(sockets: &Sockets) -> Result<Successor, String> {
    let duplicates = sockets
        .duplicates()
        .map_err(|error| format!("cannot hand over the sockets: {error}"))?;
    let (ours, theirs) =
        UnixStream::pair().map_err(|error| format!("cannot make a socket pair: {error}"))?;
    let theirs = theirs
        .into_std()
        .map_err(|error| format!("cannot make a socket pair: {error}"))?;
    let listeners = duplicates.into_iter().map(|(_, fd)| ("listener", fd));
    let all = std::iter::once((LINE, OwnedFd::from(theirs))).chain(listeners);
    let mut starting = Starting(Some(spawn(all.collect())?));
    let mut line = BufReader::new(ours);
    let mut word = String::new();
    let mut bounded = (&mut line).take(WORDS);
    match timeout(PATIENCE, bounded.read_line(&mut word)).await {
        Ok(Ok(_)) if word == "ready\n" => {}
        Ok(_) => {
            let _ = bounded.read_to_string(&mut word).await;
            return Err(starting.failed(word.trim_end()).await);
        }
        Err(_) => return Err(format!("the new process did not serve within {PATIENCE:?}")),
    }
    let pid = starting.serves().ok_or("the new process ended at once")?;
    Ok(Successor {
        pid,
        line: line.into_inner(),
    })
}

/// The program and its arguments, with these descriptors.
fn spawn(descriptors: Vec<(&str, OwnedFd)>) -> Result<Child, String> {
    let (program, arguments) = command_line()?;
    let names: Vec<_> = descriptors.iter().map(|(name, _)| *name).collect();
    let mut command = std::process::Command::new(&program);
    command
        .args(arguments)
        .env("LISTEN_FDS", names.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        .env_remove("LISTEN_PID")
        // The watchdog is the service's; the process that is watched is another now.
        .env_remove("WATCHDOG_PID");
    let mappings = (FIRST..).zip(descriptors);
    let mappings = mappings.map(|(child_fd, (_, parent_fd))| FdMapping {
        parent_fd,
        child_fd,
    });
    command
        .fd_mappings(mappings.collect())
        .map_err(|error| format!("cannot hand over the sockets: {error}"))?;
    Command::from(command)
        .spawn()
        .map_err(|error| not_started(&program, &error))
}

fn command_line() -> Result<(OsString, impl Iterator<Item = OsString>), String> {
    let mut arguments = std::env::args_os();
    let program = arguments.next().ok_or("the program's name is not known")?;
    Ok((program, arguments))
}

fn not_started(program: &OsString, error: &io::Error) -> String {
    format!("cannot start {}: {error}", program.display())
}

/// A process that does not serve yet, and is ended if nobody waits for it any more.
struct Starting(Option<Child>);

impl Starting {
    /// It serves, and is left alone.
    fn serves(&mut self) -> Option<u32> {
        self.0.take().and_then(|child| child.id())
    }

    /// It does not serve; what is known of why.
    async fn failed(&mut self, said: &str) -> String {
        if let Some(said) = said.strip_prefix("error: ") {
            return format!("the new process does not start: {said}");
        }
        let ended = match self.0.as_mut() {
            Some(child) => timeout(Duration::from_secs(5), child.wait()).await,
            None => return "the new process is gone".into(),
        };
        match ended {
            Ok(Ok(status)) => {
                format!("the new process ended ({status}); it may have said more on standard error")
            }
            _ => "the new process does not answer".into(),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.start_kill();
        }
    }
}
