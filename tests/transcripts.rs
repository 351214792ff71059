//! Conversations as data: every `tests/transcripts/*/*.txt` is played against the core it names,
//! whole, cut in every way, and damaged. `tests/transcripts/runner/script.rs` says how one is written.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "transcripts/runner/damage.rs"]
mod damage;
#[path = "transcripts/runner/play.rs"]
mod play;
#[path = "transcripts/runner/script.rs"]
mod script;

use std::path::{Path, PathBuf};

use gatepost::protocol::Protocol;
use play::{Cut, play};
use script::Script;

/// Every transcript of a front protocol, in order. Other directories are other tests' business.
fn scripts() -> Vec<Script> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| Protocol::ALL.iter().any(|p| path.ends_with(p.as_str())))
        .flat_map(|dir| std::fs::read_dir(dir).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.iter().map(|path| Script::read(path)).collect()
}

#[test]
fn as_written() {
    let scripts = scripts();
    let failed: Vec<String> = scripts
        .iter()
        .filter_map(|script| play(script, Cut::Whole).err())
        .collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n\n"));
    println!("{} transcripts", scripts.len());
}

/// The same conversation, however the client's octets are cut.
#[test]
fn cut_anywhere() {
    for script in scripts() {
        for cut in Cut::all(&script) {
            if let Err(error) = play(&script, cut) {
                panic!("cut {cut:?}: {error}");
            }
        }
    }
}

/// No octet changed, left out or put in makes a core panic, grow, or go on for ever.
#[test]
fn damaged_anywhere() {
    for script in scripts() {
        damage::everywhere(&script);
    }
}
