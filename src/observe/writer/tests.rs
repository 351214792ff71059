//! Sinks that hang, are full, are rotated away, or are started anew.

use std::io::Read as _;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

/// A sink that waits for a word before each write, and shows what was written.
struct Gate {
    open: Mutex<std::sync::mpsc::Receiver<()>>,
    written: std::sync::mpsc::Sender<String>,
}

impl Write for Gate {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let _ = self.open.lock().map(|open| open.recv());
        let _ = self.written.send(String::from_utf8_lossy(buf).into_owned());
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_sink_that_hangs_costs_lines_but_no_time() {
    let (open, gate) = channel();
    let (written, lines) = channel();
    let gate = Gate {
        open: Mutex::new(gate),
        written,
    };
    let mention = |it| match it {
        Mention::Dropped(n) => format!("dropped={n}\n"),
        other => format!("{other:?}\n"),
    };
    let queue = Queue::start(Sink::Test(Box::new(gate)), mention).unwrap();
    let offered = QUEUE * 3;
    for n in 0..offered {
        queue.line(Level::INFO, format!("n={n:0100}\n"));
    }
    let dropped = queue.dropped();
    assert!(dropped > 0);
    drop(open);
    queue.flush();
    drop(queue);
    let all: String = lines.iter().collect();
    let whole = all.lines().filter(|line| line.starts_with("n=")).count();
    assert_eq!(u64::try_from(whole).unwrap() + dropped, offered as u64);
    let mentions = all.lines().filter_map(|line| line.strip_prefix("dropped="));
    let mentioned: u64 = mentions.map(|count| count.parse::<u64>().unwrap()).sum();
    assert_eq!(mentioned, dropped);
}

/// A log file of one line that has just been renamed, as log rotation does it: its folder, its two names, its queue.
fn renamed(test: &str) -> (PathBuf, PathBuf, PathBuf, Queue) {
    let dir = std::env::temp_dir().join(format!("gatepost-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (path, rotated) = (dir.join("gatepost.log"), dir.join("gatepost.log.1"));
    let sink = Sink::open(&Output::File(path.clone())).unwrap();
    let queue = Queue::start(sink, |it| format!("{it:?}\n")).unwrap();
    queue.line(Level::INFO, "one\n".into());
    queue.flush();
    std::fs::rename(&path, &rotated).unwrap();
    (dir, path, rotated, queue)
}

/// The line between these two, which are all there is beside it.
fn between(file: &Path, first: &str, last: &str) -> String {
    let kept = std::fs::read_to_string(file).unwrap();
    let lines: Vec<_> = kept.lines().collect();
    let [one, between, two] = lines[..] else {
        panic!("{kept}")
    };
    assert_eq!((one, two), (first, last));
    between.to_owned()
}

#[test]
fn a_file_is_opened_anew() {
    let (dir, path, rotated, queue) = renamed("log");
    queue.line(Level::INFO, "two\n".into());
    queue.reopen();
    queue.line(Level::INFO, "three\n".into());
    queue.flush();
    assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "one\ntwo\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    // Where it cannot be, the file that is open stays in use and says so.
    std::fs::rename(&path, dir.join("gatepost.log.2")).unwrap();
    std::fs::create_dir(&path).unwrap();
    queue.reopen();
    queue.line(Level::INFO, "four\n".into());
    queue.flush();
    let told = between(&dir.join("gatepost.log.2"), "three", "four");
    assert!(told.starts_with("NotReopened { file: "), "{told}");
    assert!(Sink::open(&Output::File(dir.join("no/such.log"))).is_err());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn syslog_gets_a_datagram_a_line_and_may_be_started_anew() {
    let dir = std::env::temp_dir().join(format!("gatepost-syslog-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("log");
    let mut daemon = UnixDatagram::bind(&path).unwrap();
    let sink = Sink::Syslog(Syslog::connect(&path).unwrap());
    let queue = Queue::start(sink, |it| format!("{it:?}\n")).unwrap();
    for (level, pri) in [(Level::INFO, 22), (Level::ERROR, 19), (Level::DEBUG, 23)] {
        queue.line(level, "event=login\n".into());
        let mut buf = [0; 256];
        let n = daemon.recv(&mut buf).unwrap();
        let want = format!("<{pri}>gatepost[{}]: event=login", std::process::id());
        assert_eq!(std::str::from_utf8(&buf[..n]).unwrap(), want);
        std::fs::remove_file(&path).unwrap();
        daemon = UnixDatagram::bind(&path).unwrap();
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// A disk that has so much room, and what was written to it.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

impl Disk {
    fn room(&self, octets: usize) {
        self.0.lock().unwrap().0 = octets;
    }

    fn held(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().1.clone()).unwrap()
    }
}

impl Write for Disk {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let (room, held) = &mut *self.0.lock().unwrap();
        let taken = buf.len().min(*room);
        if taken == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        *room -= taken;
        held.extend_from_slice(&buf[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_that_a_full_disk_cut_ends_before_the_next() {
    // Cut behind a line, in it, before its end, at its end.
    for (room, cut) in [
        (6, ""),
        (6 + 3, "tor\n"),
        (6 + 4, "torn\n"),
        (6 + 5, "torn\n"),
    ] {
        let disk = Disk::default();
        disk.room(room);
        let sink = Sink::Test(Box::new(disk.clone()));
        let queue = Queue::start(sink, |it| format!("{it:?}\n")).unwrap();
        queue.line(Level::INFO, "whole\ntorn\nlost\n".into());
        queue.flush();
        queue.line(Level::INFO, "also lost\n".into());
        queue.flush();
        disk.room(1000);
        queue.line(Level::INFO, "next\n".into());
        queue.flush();
        // That lines were lost is mentioned as soon as there is room, before this one or behind it.
        let mut held = disk.held();
        for lost in 1..=3 {
            held = held.replace(&format!("Dropped({lost})\n"), "");
        }
        assert_eq!(held, format!("whole\n{cut}next\n"), "{room}");
    }
}

#[test]
fn a_pipe_that_nobody_reads_is_not_opened_anew() {
    let (dir, path, rotated, queue) = renamed("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    queue.reopen();
    queue.line(Level::INFO, "two\n".into());
    queue.flush();
    let told = between(&rotated, "one", "two");
    assert!(told.contains("nobody reads"), "{told}");
    // With a reader it is as good as a file; the writer waits for it, so that nothing is cut.
    let mut reader = OpenOptions::new();
    let reader = reader
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let mut reader = reader.open(&path).unwrap();
    let flags = fcntl_getfl(append(&path).unwrap()).unwrap();
    assert!(!flags.contains(OFlags::NONBLOCK) && flags.contains(OFlags::APPEND));
    queue.reopen();
    queue.line(Level::INFO, "three\n".into());
    queue.flush();
    let mut read = [0; 64];
    let length = reader.read(&mut read).unwrap();
    assert_eq!(&read[..length], b"three\n");
    // A file again.
    std::fs::remove_file(&path).unwrap();
    queue.reopen();
    queue.line(Level::INFO, "four\n".into());
    queue.flush();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "four\n");
    std::fs::remove_dir_all(&dir).unwrap();
}
