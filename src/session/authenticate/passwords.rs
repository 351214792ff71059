//! The file of passwords: a line each, `user:{SCHEME}hash`.
//!
//! Names are compared without regard to ASCII case, as everywhere. Empty lines and those that start
//! with `#` say nothing; further fields behind a `:` are not looked at, so that a passwd-file of
//! Dovecot's can be used as it is. A file with a wrong line is refused whole.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::scheme::Hash;
use crate::protocol::UserName;

/// Largest file: half a million users.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Most wrong lines that are told.
const MOST_TOLD: usize = 20;

/// The passwords of one file.
pub(super) struct Table {
    hashes: Vec<Hash>,
    /// Index of each canonical name's hash.
    names: HashMap<Box<str>, usize>,
    /// Chooses a hash for names nobody has.
    strangers: RandomState,
}

/// Whose hash a name is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Theirs,
    /// Nobody has the name: it is checked for the time it takes.
    Somebodys,
}

impl Table {
    /// Reads a file. The errors are for an operator and hold nothing of a hash.
    pub(super) fn load(file: &Path) -> Result<Table, Vec<String>> {
        let unreadable = |error: io::Error| vec![format!("cannot be read: {error}")];
        let mut octets = Zeroizing::new(Vec::new());
        File::open(file)
            .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut octets))
            .map_err(unreadable)?;
        match octets.len() as u64 > MAX_FILE {
            true => Err(vec!["larger than 64 MiB".into()]),
            false => Table::parse(&octets),
        }
    }

    fn parse(octets: &[u8]) -> Result<Table, Vec<String>> {
        let mut table = Table {
            hashes: Vec::new(),
            names: HashMap::new(),
            strangers: RandomState::new(),
        };
        let mut wrong = Vec::new();
        // Some editors put a byte order mark there; it is not of the first user's name.
        let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
        for (number, line) in (1..).zip(octets.split(|octet| *octet == b'\n')) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Err(what) = table.line(line) {
                wrong.push(format!("line {number}: {what}"));
                if wrong.len() == MOST_TOLD {
                    break;
                }
            }
        }
        match wrong.is_empty() {
            true => Ok(table),
            false => Err(wrong),
        }
    }

    /// Whether nobody is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    fn line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(());
        }
        let line = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
        let (name, rest) = line.split_once(':').ok_or("expected `user:{SCHEME}hash`")?;
        let name = UserName::new(name.as_bytes())
            .map_err(|_| "expected a user's name before the first `:`")?
            .canonical();
        let hash = Hash::parse(rest.split(':').next().unwrap_or_default())?;
        let at = self.hashes.len();
        if self.names.insert(name.into(), at).is_some() {
            return Err("the user is here twice");
        }
        self.hashes.push(hash);
        Ok(())
    }

    /// Whether this is the user's password. Takes its time, and as much for a name nobody has: that
    /// one is checked against somebody's hash, the same one each time, so that in a file of several
    /// schemes nobody can be told from somebody by the time it takes.
    pub(super) fn verify(&self, name: &UserName, password: &[u8]) -> bool {
        let (hash, whose) = self.hash_for(name);
        let verified = hash.map_or_else(
            || Hash::nobodys().verify(password),
            |hash| hash.verify(password),
        );
        verified && whose == Whose::Theirs
    }

    /// The hash that a name's password is checked against; none in an empty file.
    fn hash_for(&self, name: &UserName) -> (Option<&Hash>, Whose) {
        let canonical = name.canonical();
        let (at, whose) = match self.names.get(canonical.as_str()) {
            Some(at) => (*at, Whose::Theirs),
            None => (self.anybody(&canonical), Whose::Somebodys),
        };
        (self.hashes.get(at), whose)
    }

    fn anybody(&self, name: &str) -> usize {
        let count = u64::try_from(self.hashes.len()).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.strangers.hash_one(name) % count).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "{BLF-CRYPT}$2y$05$QS25kUNq1IDcrkABuq4pfuA7KrAxNFxgmVKy74ew3kXGEauxRm4XG";

    fn name(name: &str) -> UserName {
        UserName::new(name.as_bytes()).unwrap()
    }

    #[test]
    fn a_passwd_file_is_read() {
        let file = format!(
            "# people\n\nAlice@Example.org:{BCRYPT}\r\nbob:{BCRYPT}:1000:1000::/home/bob::\n"
        );
        let Ok(table) = Table::parse(file.as_bytes()) else {
            panic!("not read");
        };
        for (user, password, want) in [
            ("alice@example.org", "tanstaaf", true),
            ("ALICE@example.ORG", "tanstaaf", true),
            ("bob", "tanstaaf", true),
            ("bob", "tanstaafl", false),
            // A stranger is checked against somebody's hash; that its password is theirs is nothing.
            ("eve", "tanstaaf", false),
            ("# people", "tanstaaf", false),
            ("alice", "tanstaaf", false),
            ("bob:x", "tanstaaf", false),
        ] {
            assert_eq!(
                table.verify(&name(user), password.as_bytes()),
                want,
                "{user}"
            );
        }
    }

    #[test]
    fn a_strangers_password_is_checked_against_one_of_the_files_hashes() {
        let file = format!("alice:{BCRYPT}\nbob:{BCRYPT}\n");
        let Ok(table) = Table::parse(file.as_bytes()) else {
            panic!("not read");
        };
        for (user, want) in [
            ("bob", Whose::Theirs),
            ("eve", Whose::Somebodys),
            ("mallory", Whose::Somebodys),
        ] {
            let (hash, whose) = table.hash_for(&name(user));
            assert_eq!(whose, want, "{user}");
            let hash = hash.unwrap();
            assert!(
                table.hashes.iter().any(|it| std::ptr::eq(it, hash)),
                "{user}"
            );
        }
        let theirs = table.hash_for(&name("Bob")).0.unwrap();
        assert!(std::ptr::eq(theirs, &table.hashes[1]));
    }

    #[test]
    fn strangers_find_the_same_hash_each_time_and_not_all_the_same() {
        let file: String = (0..50).map(|n| format!("user{n}:{BCRYPT}\n")).collect();
        let Ok(table) = Table::parse(file.as_bytes()) else {
            panic!("not read");
        };
        let found: std::collections::HashSet<usize> = (0..200)
            .map(|n| table.anybody(&format!("eve{n}")))
            .collect();
        assert!(found.len() > 10 && found.iter().all(|at| *at < 50));
        assert_eq!(table.anybody("eve"), table.anybody("eve"));
    }

    #[test]
    fn an_empty_file_knows_nobody() {
        let Ok(table) = Table::parse(b"# nobody yet\n") else {
            panic!("not read");
        };
        assert!(!table.verify(&name("alice"), b"tanstaaf"));
    }

    #[test]
    fn a_byte_order_mark_is_of_no_name() {
        let file = format!("\u{feff}alice:{BCRYPT}\nbob:{BCRYPT}\n");
        let Ok(table) = Table::parse(file.as_bytes()) else {
            panic!("not read");
        };
        assert!(table.verify(&name("alice"), b"tanstaaf"));
        for nobody in ["\u{feff}", "\u{feff}# nobody yet\n"] {
            assert!(Table::parse(nobody.as_bytes()).is_ok_and(|it| it.is_empty()));
        }
    }

    #[test]
    fn every_wrong_line_is_told_and_no_hash() {
        let file = format!(
            "alice:{BCRYPT}\nalice\n:{BCRYPT}\nALICE:{BCRYPT}\nbob:{{PLAIN}}hunter2\nc:hunter2\n"
        );
        let Err(wrong) = Table::parse(file.as_bytes()) else {
            panic!("read");
        };
        let lines: Vec<_> = wrong.iter().map(|it| it.split(':').next()).collect();
        let want = ["line 2", "line 3", "line 4", "line 5", "line 6"];
        assert_eq!(lines, want.map(Some));
        assert!(!wrong.concat().contains("hunter2"));
        assert!(Table::parse(b"\xff:{PLAIN}\n").is_err());
    }
}
