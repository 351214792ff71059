//! proxy.yaml and the files of users it names.

use std::path::Path;

use gatepost::config::{Config, map_file};
use gatepost::protocol::{Protocol, UserName};
use gatepost::route::Ask;

/// Each of them may multiply what is read.
const MOST_ALIASES: usize = 8;

/// A file of users: the fast reader and YAML's read the same, and what stands in proxy.yaml would.
pub(crate) fn map(octets: &[u8]) {
    let (ours, yaml) = map_file::both_ways(octets);
    // Of a file that is no text and wrong besides, the fault is told that is come to first: one reader
    // looks further ahead than the other.
    let no_text = std::str::from_utf8(octets).is_err();
    // So it is where a tab indents a line: behind a value in quotes YAML says so, behind a plain one it
    // stops at what it makes of that, and the fast reader knows the value no more.
    let may_differ = no_text || octets.split(is_end).any(has_tab);
    if may_differ && ours.ended.is_err() && yaml.ended.is_err() {
        let most = ours.entries.len().min(yaml.entries.len());
        assert_eq!(ours.entries[..most], yaml.entries[..most]);
        return;
    }
    assert_eq!(ours.ended, yaml.ended);
    match yaml.ended {
        Ok(()) => {
            assert_eq!(ours.entries, yaml.entries);
            if let Some(settings) = map_file::as_settings(octets) {
                assert_eq!(ours.entries, settings);
            }
        }
        // YAML's reader looks ahead and gives fewer entries before a fault than there are.
        Err(_) => assert!(ours.entries.starts_with(&yaml.entries), "{ours:?} {yaml:?}"),
    }
}

fn is_end(octet: &u8) -> bool {
    matches!(octet, b'\n' | b'\r')
}

/// Whether a tab is among the blanks that a line begins with.
fn has_tab(line: &[u8]) -> bool {
    let mut blanks = line.iter().take_while(|octet| b" \t".contains(octet));
    blanks.any(|octet| *octet == b'\t')
}

/// Lines as YAML counts them: a bare CR ends one too.
fn lines(text: &str) -> usize {
    text.replace("\r\n", "\n").matches(['\n', '\r']).count() + 1
}

/// A whole proxy.yaml: problems with their places, or settings that route.
pub(crate) fn settings(octets: &[u8]) {
    // What aliases may multiply is bounded, which a test of the reader shows; here they only take time.
    if memchr::memchr_iter(b'*', octets).count() > MOST_ALIASES {
        return;
    }
    let text = String::from_utf8_lossy(octets);
    let env = |name: &str| (name == "NAME").then(|| "value".to_owned());
    let nowhere = Path::new("/nonexistent");
    match Config::parse(Path::new("proxy.yaml"), &text, nowhere, &env) {
        Ok((config, _warnings)) => {
            assert!(!config.listeners.is_empty());
            let router = config.router();
            for name in ["alice@example.com", "bob", "x@sub.example.org"] {
                let user = UserName::new(name.as_bytes()).unwrap();
                let ask = Ask::of(&user, Protocol::Imap);
                let decision = router.decide(ask);
                if let Ok(login) = decision.login {
                    assert!(!login.as_str().chars().any(char::is_control));
                }
            }
        }
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused without a reason");
            for problem in &problems.0 {
                assert!(problem.line as usize <= lines(&text) + 1);
                assert!(!problem.message.is_empty());
                assert!(
                    problem.source.get(problem.marked.clone()).is_some(),
                    "a mark beside its line"
                );
            }
        }
    }
}
