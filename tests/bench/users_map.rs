//! A users map of a million entries: how long it loads, what it takes, how fast a name is found:
//! `cargo bench --bench users_map [ENTRIES]`.
//!
//! Half of the process's memory would be the allocator's habits, so the peak is the kernel's word for
//! the whole process (`VmHWM`), read after the first load and again after a reload beside it.

#![allow(clippy::print_stdout, reason = "that is its result")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a bench may fail")]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use gatepost::config::Config;
use gatepost::protocol::UserName;

/// Hosts of the backend `new`, for the entries that fix one.
const SETTINGS: &str = "listeners: [imap://127.0.0.1:1143]\n\
    backends: {old: imap://10.0.0.5, new: {hosts: [imap://10.0.1.1, imap://10.0.1.2]}}\n\
    users: {\"*\": old}\nusers_from: [{file: users.yaml}]\n";

/// How the entries are written: each form in a process of its own.
const FORMS: [&str; 5] = ["lines", "braces", "nested", "indented", "logins"];

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let asked = words.iter().find_map(|word| word.parse().ok());
    let entries: u32 = asked.unwrap_or(1_000_000);
    let form = words.iter().find(|word| FORMS.contains(&word.as_str()));
    match form {
        Some(form) => measure(form, entries),
        None => {
            for form in FORMS {
                let mut command = std::process::Command::new(std::env::current_exe().unwrap());
                let done = command.args([form, &entries.to_string()]).status().unwrap();
                assert!(done.success());
            }
        }
    }
}

fn measure(form: &str, entries: u32) {
    let dir = std::env::temp_dir().join(format!("gatepost-users-map-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let settings = dir.join("proxy.yaml");
    fs::write(&settings, SETTINGS).unwrap();
    let file = dir.join("users.yaml");
    write_map(&file, form, entries);
    println!(
        "{form}: {entries} entries, {:.1} MB",
        fs::metadata(&file).unwrap().len() as f64 / 1e6
    );
    println!("  before: peak {:.1} MiB", peak());

    let (first, seconds) = load(&settings);
    println!("  load: {seconds:.2} s, peak {:.1} MiB", peak());
    let (second, seconds) = load(&settings);
    println!(
        "  load beside the first: {seconds:.2} s, peak {:.1} MiB",
        peak()
    );
    drop(first);
    look_up(&second, entries);
    fs::remove_dir_all(&dir).unwrap();
}

/// `lines`: nine plain entries, then one with a login of its own in braces; every thousandth is a domain.
/// `braces` and `nested`: each with a login and a host; `indented`: as below a key; `logins`: each with
/// another login.
fn write_map(path: &Path, form: &str, entries: u32) {
    let mut text = String::with_capacity(entries as usize * 40);
    for n in 0..entries {
        let name = format!("user.number{n}@customer{}.example.org", n % 977);
        match form {
            "lines" if n % 1000 == 999 => writeln!(text, "\"@domain{n}.example.org\": old"),
            "braces" => writeln!(
                text,
                "{name}: {{ backend: new, login: \"{{local}}\", host: 10.0.1.2 }}"
            ),
            "lines" if n % 10 == 9 => writeln!(
                text,
                "{name}: {{ backend: new, login: \"{{local}}\", host: 10.0.1.2 }}"
            ),
            "nested" => writeln!(text, "{name}:\n  backend: new\n  login: \"{{local}}\""),
            "indented" => writeln!(text, "  {name}: new"),
            "logins" => writeln!(text, "{name}: {{ backend: new, login: u{n}@new.example }}"),
            _ => writeln!(text, "{name}: new"),
        }
        .unwrap();
    }
    fs::write(path, text).unwrap();
}

fn load(settings: &Path) -> (Config, f64) {
    let begun = Instant::now();
    let (config, _) = Config::load(settings).expect("good settings");
    (config, begun.elapsed().as_secs_f64())
}

/// Each name once, in an order that is not the file's: the time of every tenth is taken by itself.
fn look_up(config: &Config, entries: u32) {
    let map = &config.routes.map;
    let name = |n: u32, sort: &str| {
        let n = (u64::from(n) * 7_368_787 % u64::from(entries)) as u32;
        UserName::new(format!("{sort}.Number{n}@customer{}.example.org", n % 977).as_bytes())
            .unwrap()
    };
    for sort in ["user", "nobody"] {
        let names: Vec<UserName> = (0..200_000).map(|n| name(n, sort)).collect();
        let mut took: Vec<u64> = Vec::with_capacity(names.len());
        for name in &names {
            let begun = Instant::now();
            black_box(map.find(black_box(name)).is_some());
            took.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        took.sort_unstable();
        println!(
            "  look-up of {sort}: median {} ns, p99 {} ns (the clock's own {} ns with it)",
            took[took.len() / 2],
            took[took.len() * 99 / 100],
            clock()
        );
    }
}

fn clock() -> u64 {
    let mut took: Vec<u64> = (0..10_001)
        .map(|_| u64::try_from(black_box(Instant::now()).elapsed().as_nanos()).unwrap_or(0))
        .collect();
    took.sort_unstable();
    took[took.len() / 2]
}

/// The most memory the process ever had, in MiB.
fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}
