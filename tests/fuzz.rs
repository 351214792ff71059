//! Every source of untrusted octets, played as a fuzzer plays it, on the stable toolchain: the seeds
//! in `tests/fuzz/seeds`, then each of them changed at random, the same in every run.
//!
//! `GATEPOST_FUZZ_RUNS=N` plays N inputs a target (2,000 without it; fewer of the slow ones),
//! `GATEPOST_FUZZ_TARGET=NAME` one target only. `tests/fuzz/run` fuzzes them with libFuzzer.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "fuzz/entry/mod.rs"]
mod entry;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use entry::{TARGETS, Target};

fn directory(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz")
        .join(of)
}

/// Numbers that look random and are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

fn seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<(String, Vec<u8>)> = std::fs::read_dir(directory("seeds").join(target.name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    seeds
}

/// The words of a dictionary as libFuzzer writes it: one in quotes a line, `\xNN` for an octet.
fn words(target: &Target) -> Vec<Vec<u8>> {
    let path = directory("words").join(format!("{}.dict", target.name));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    lines
        .map(|line| {
            let mut word = Vec::new();
            let mut rest = line.bytes();
            while let Some(octet) = rest.next() {
                match octet {
                    b'\\' => {
                        assert_eq!(rest.next(), Some(b'x'), "{line}");
                        let digits: String = rest.by_ref().take(2).map(char::from).collect();
                        word.push(u8::from_str_radix(&digits, 16).unwrap());
                    }
                    octet => word.push(octet),
                }
            }
            word
        })
        .collect()
}

/// One to eight changes.
fn changed(
    random: &mut Random,
    seeds: &[(String, Vec<u8>)],
    words: &[Vec<u8>],
    most: usize,
) -> Vec<u8> {
    let mut octets = seeds[random.below(seeds.len())].1.clone();
    for _ in 0..=random.below(8) {
        let at = random.below(octets.len() + 1);
        let end = (at + 1 + random.below(16)).min(octets.len());
        match random.below(8) {
            0 if at < octets.len() => octets[at] ^= 1 << random.below(8),
            1 if at < octets.len() => octets[at] = random.below(256) as u8,
            2 => drop(octets.drain(at..end)),
            3 => octets.insert(at, random.below(256) as u8),
            4 => {
                let part = octets[at..end].to_vec();
                octets.splice(at..at, part);
            }
            5 => {
                let other = &seeds[random.below(seeds.len())].1;
                let from = random.below(other.len() + 1);
                octets.truncate(at);
                octets.extend_from_slice(&other[from..]);
            }
            _ if !words.is_empty() => {
                let word = words[random.below(words.len())].clone();
                octets.splice(at..at, word);
            }
            _ => octets.extend((0..random.below(32)).map(|_| random.below(256) as u8)),
        }
    }
    octets.truncate(most);
    octets
}

fn play(target: &Target, name: &str, octets: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.play)(octets))).is_err() {
        panic!("{} {name}: b\"{}\"", target.name, octets.escape_ascii());
    }
}

#[test]
fn every_target() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|it: String| it.parse::<usize>().unwrap())
    };
    let runs = number("GATEPOST_FUZZ_RUNS").unwrap_or(2_000);
    let only = std::env::var("GATEPOST_FUZZ_TARGET").ok();
    let wanted = |it: &&Target| only.as_ref().is_none_or(|only| only == it.name);
    let targets: Vec<&Target> = TARGETS.iter().filter(wanted).collect();
    assert!(!targets.is_empty(), "there is no target {only:?}");
    for target in targets {
        let (seeds, words) = (seeds(target), words(target));
        for (name, octets) in &seeds {
            play(target, name, octets);
        }
        let mut random = Random(runs as u64);
        for n in 0..runs / target.slow {
            let octets = changed(&mut random, &seeds, &words, target.most);
            play(target, &format!("changed {n}"), &octets);
        }
    }
}

/// Each target has its file for libFuzzer, which plays the same, and is in its manifest.
#[test]
fn every_target_is_built_for_the_fuzzer() {
    let manifest = std::fs::read_to_string(directory("Cargo.toml")).unwrap();
    for target in TARGETS {
        let file = format!("targets/{}.rs", target.name);
        assert!(manifest.contains(&format!("path = \"{file}\"")), "{file}");
        let text = std::fs::read_to_string(directory(&file)).unwrap();
        let plays = format!("entry::{}(octets)", target.plays);
        assert!(text.contains(&plays), "{file} does not play {plays}");
    }
}
