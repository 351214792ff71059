//! Medians, ratios, and what a process tree has used of the processor.

use std::collections::BTreeMap;
use std::fs;

/// The middle of some measurements; of an even number the lower one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

/// Processor seconds of a process and all below it, ended children included.
pub fn cpu_seconds(root: u32) -> f64 {
    let mut processes = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let Some((_, fields)) = stat.rsplit_once(") ") else {
            continue;
        };
        let fields: Vec<u64> = fields.split(' ').map(|f| f.parse().unwrap_or(0)).collect();
        let at = |index: usize| fields.get(index).copied().unwrap_or(0);
        // Run time of live threads in nanoseconds where the kernel keeps it, else ticks.
        let ended_children = (at(13) + at(14)) as f64 / 100.0;
        let own = run_time(pid).unwrap_or((at(11) + at(12)) as f64 / 100.0);
        processes.insert(pid, (at(1) as u32, own + ended_children));
    }
    let mut sum = 0.0;
    for (&pid, &(_, seconds)) in &processes {
        let mut up = pid;
        while up != root && up > 1 {
            up = processes.get(&up).map_or(0, |(parent, _)| *parent);
        }
        if up == root {
            sum += seconds;
        }
    }
    sum
}

fn run_time(pid: u32) -> Option<f64> {
    let mut nanoseconds = 0_u64;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        nanoseconds += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(nanoseconds as f64 / 1e9)
}

/// The proportional set size of a process.
pub fn pss_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps");
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}
