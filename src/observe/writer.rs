//! Log lines on their way out: a bounded queue and one thread that writes.
//!
//! Whoever logs never waits. When the queue is full, because a disk hangs or a pipe is not read,
//! lines are dropped, counted, and mentioned as soon as writing goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use tracing::Level;

use super::Output;

/// Lines that may wait: some seconds of a busy gateway, about a megabyte.
const QUEUE: usize = 4096;

/// Octets gathered for one write to a file.
const BATCH: usize = 64 * 1024;

/// How long the first line waits for others: a thread that is woken for each line of a busy gateway
/// costs more than the line.
const GATHER: Duration = Duration::from_millis(5);

/// How long a flush may take: a shutdown must not hang on a disk that does.
const FLUSH: Duration = Duration::from_secs(2);

/// The way to the writing thread.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

/// What the log says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mention {
    /// So many lines are not there.
    Dropped(u64),
    /// A file could not be opened anew: what it was before stays in use.
    NotReopened {
        /// Its name.
        file: PathBuf,
        /// Why.
        cause: String,
    },
}

enum Message {
    Line(Level, String),
    Reopen,
    Replace(Sink),
    Flush(SyncSender<()>),
}

impl Queue {
    /// Starts the thread. It ends when the last queue is gone. `mention` makes the line about the log
    /// itself.
    pub(super) fn start(
        sink: Sink,
        mention: impl Fn(Mention) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            receiver,
            sink,
            dropped: dropped.clone(),
            mentioned: 0,
            torn: false,
            mention,
        };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run())?;
        Ok(Queue { sender, dropped })
    }

    /// Hands over a line, or drops it.
    pub(super) fn line(&self, level: Level, line: String) {
        match self.sender.try_send(Message::Line(level, line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => lost(&self.dropped, 1),
        }
    }

    /// Lines that were not written since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Opens a file anew, as after it was rotated away.
    pub(super) fn reopen(&self) {
        self.send(Message::Reopen);
    }

    /// Writes elsewhere from here on.
    pub(super) fn replace(&self, sink: Sink) {
        self.send(Message::Replace(sink));
    }

    /// Waits until all that was logged before is written, at most two seconds.
    pub(super) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        self.send(Message::Flush(done));
        let _ = wait.recv_timeout(FLUSH);
    }

    /// For the rare messages that must arrive; gives up after the time of a flush.
    fn send(&self, mut message: Message) {
        let pause = Duration::from_millis(10);
        let mut waited = Duration::ZERO;
        while let Err(TrySendError::Full(back)) = self.sender.try_send(message) {
            if waited >= FLUSH {
                return;
            }
            std::thread::sleep(pause);
            waited += pause;
            message = back;
        }
    }
}

fn lost(dropped: &AtomicU64, lines: u64) {
    dropped.fetch_add(lines, Ordering::Relaxed);
    metrics::counter!("gatepost_log_dropped_total").increment(lines);
}

struct Writer<M> {
    receiver: Receiver<Message>,
    sink: Sink,
    dropped: Arc<AtomicU64>,
    mentioned: u64,
    /// What was written last is a line without its end.
    torn: bool,
    mention: M,
}

impl<M: Fn(Mention) -> String> Writer<M> {
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Ok(first) = self.receiver.recv() {
            if matches!(first, Message::Line(..)) {
                std::thread::sleep(GATHER);
            }
            let mut next = Some(first);
            while let Some(message) = next {
                self.take(message, &mut batch);
                next = match batch.len() < BATCH {
                    true => self.receiver.try_recv().ok(),
                    false => None,
                };
            }
            self.write(&mut batch);
            self.mention_dropped();
        }
    }

    fn take(&mut self, message: Message, batch: &mut Vec<u8>) {
        match message {
            Message::Line(level, line) => match &mut self.sink {
                Sink::Syslog(syslog) => {
                    if syslog.send(level, &line).is_err() {
                        lost(&self.dropped, 1);
                    }
                }
                _ => batch.extend_from_slice(line.as_bytes()),
            },
            Message::Reopen => {
                self.write(batch);
                if let Err((file, cause)) = self.sink.reopen() {
                    self.mention(Mention::NotReopened { file, cause });
                }
            }
            Message::Replace(sink) => {
                self.write(batch);
                self.sink = sink;
            }
            Message::Flush(done) => {
                self.write(batch);
                let _ = done.try_send(());
            }
        }
    }

    fn write(&mut self, batch: &mut Vec<u8>) {
        if batch.is_empty() {
            return;
        }
        let mut left = batch.as_slice();
        // Also where the sink is another by now: a blank line does no harm.
        if !self.torn || self.sink.write(b"\n") == 1 {
            let (written, rest) = batch.split_at(self.sink.write(batch).min(batch.len()));
            self.torn = written.last().is_some_and(|last| *last != b'\n');
            left = rest;
        }
        if !left.is_empty() {
            let lines = memchr::memchr_iter(b'\n', left).count();
            lost(&self.dropped, u64::try_from(lines).unwrap_or(1));
        }
        batch.clear();
    }

    fn mention_dropped(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > self.mentioned {
            let lines = dropped - self.mentioned;
            self.mentioned = dropped;
            self.mention(Mention::Dropped(lines));
        }
    }

    fn mention(&mut self, what: Mention) {
        let line = (self.mention)(what);
        let mut batch = Vec::new();
        self.take(Message::Line(Level::WARN, line), &mut batch);
        self.write(&mut batch);
    }
}

/// Where lines go, opened.
pub(super) enum Sink {
    Stderr,
    File(File, PathBuf),
    Syslog(Syslog),
    #[cfg(test)]
    Test(Box<dyn Write + Send>),
}

impl Sink {
    /// Opens it; what is wrong, in words, if it cannot be.
    pub(super) fn open(output: &Output) -> Result<Self, String> {
        match output {
            Output::Stderr => Ok(Sink::Stderr),
            Output::Syslog => syslog().map(Sink::Syslog),
            Output::File(path) => append(path)
                .map(|file| Sink::File(file, path.clone()))
                .map_err(|e| format!("{}: {e}", path.display())),
        }
    }

    /// Writes octets; how many of them, all if nothing goes wrong.
    fn write(&mut self, octets: &[u8]) -> usize {
        let mut left = octets;
        while !left.is_empty() {
            let written = match self {
                Sink::Stderr => io::stderr().write(left),
                Sink::File(file, _) => file.write(left),
                // It has its lines one by one.
                Sink::Syslog(_) => Ok(left.len()),
                #[cfg(test)]
                Sink::Test(sink) => sink.write(left),
            };
            match written {
                Ok(0) => break,
                Ok(written) => left = left.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        octets.len() - left.len()
    }

    /// The file that stays in use where its name cannot be opened, and why not.
    fn reopen(&mut self) -> Result<(), (PathBuf, String)> {
        if let Sink::File(file, path) = self {
            *file = append(path).map_err(|error| (path.clone(), error.to_string()))?;
        }
        Ok(())
    }
}

fn syslog() -> Result<Syslog, String> {
    Syslog::connect(Path::new("/dev/log")).map_err(|e| format!("/dev/log: {e}"))
}

/// Whether there is a syslog; nothing is sent.
///
/// # Errors
/// Why there is none, in words.
pub fn try_syslog() -> Result<(), String> {
    syslog().map(drop)
}

fn append(path: &Path) -> io::Result<File> {
    // User names and addresses are nobody else's business.
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640);
    // To open a pipe waits for its reader otherwise, and there may never be one.
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path).map_err(|error| {
        match Errno::from_io_error(&error) == Some(Errno::NXIO) {
            true => io::Error::other("it is a pipe that nobody reads"),
            false => error,
        }
    })?;
    // To write waits again, as long as somebody reads.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// The local syslog daemon (RFC 3164's form, as libc's `syslog()` sends it). No time: every daemon
/// on the local socket uses its own.
pub(super) struct Syslog {
    path: PathBuf,
    socket: UnixDatagram,
}

/// `LOG_MAIL`, RFC 3164 §4.1.1.
const FACILITY: u8 = 2;

impl Syslog {
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Syslog {
            path: path.to_owned(),
            socket,
        })
    }

    fn send(&mut self, level: Level, line: &str) -> io::Result<()> {
        let severity = match level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        let datagram = format!(
            "<{}>gatepost[{}]: {}",
            FACILITY * 8 + severity,
            std::process::id(),
            line.trim_end_matches('\n')
        );
        match self.socket.send(datagram.as_bytes()) {
            Ok(_) => Ok(()),
            // The daemon was started anew.
            Err(_) => {
                self.socket.connect(&self.path)?;
                self.socket.send(datagram.as_bytes()).map(|_| ())
            }
        }
    }
}

#[cfg(test)]
mod tests;
