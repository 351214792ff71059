//! What Prometheus users expect of every process: its memory, descriptors, processor time, start; and
//! how many tasks the runtime has.
//!
//! Read from `/proc` when asked for; where there is none, the series are left out.

use std::fmt::Write as _;
use std::fs;

/// Adds the process's own series to an exposition.
pub(super) fn render(text: &mut String) {
    let all = [
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory.",
            resident().map(|bytes| bytes.to_string()),
        ),
        (
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            open_descriptors().map(|n| n.to_string()),
        ),
        (
            "process_max_fds",
            "gauge",
            "How many file descriptors the process may open.",
            max_descriptors().map(|n| n.to_string()),
        ),
        (
            "process_cpu_seconds_total",
            "counter",
            "Processor time, user and system.",
            times().map(|times| centi(times.cpu)),
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "When the process was started, in Unix time.",
            times().and_then(|times| Some(centi(boot()? * TICKS + times.started))),
        ),
        (
            "gatepost_tasks",
            "gauge",
            "Tasks of the runtime that have not ended: one or two a connection, and some of the gateway's own.",
            tasks().map(|tasks| tasks.to_string()),
        ),
    ];
    for (name, kind, help, value) in all {
        if let Some(value) = value {
            let _ = write!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n"
            );
        }
    }
}

/// Ticks a second in `/proc`: fixed by Linux for user space on all that we build for.
const TICKS: u64 = 100;

fn centi(ticks: u64) -> String {
    format!("{}.{:02}", ticks / TICKS, ticks % TICKS)
}

fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes: u64 = field(&status, "VmRSS:")?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

fn max_descriptors() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    field(&limits, "Max open files")?.parse().ok()
}

fn open_descriptors() -> Option<u64> {
    // Linux tells the number as the size since 6.2; listing tens of thousands would take a while.
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok(),
        n => Some(n),
    }
}

/// Known wherever somebody asks by HTTP.
fn tasks() -> Option<usize> {
    let runtime = tokio::runtime::Handle::try_current().ok()?;
    Some(runtime.metrics().num_alive_tasks())
}

struct Times {
    /// Ticks of processor time.
    cpu: u64,
    /// Ticks after boot.
    started: u64,
}

fn times() -> Option<Times> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks = |field: usize| rest.split_whitespace().nth(field - 3)?.parse::<u64>().ok();
    Some(Times {
        cpu: ticks(14)?.checked_add(ticks(15)?)?,
        started: ticks(22)?,
    })
}

/// Unix time of the machine's start.
fn boot() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    field(&stat, "btime")?.parse().ok()
}

/// The first word behind a name at the start of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()
}
