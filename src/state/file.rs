//! Files that are either the old one or the new one, never half of it: written beside, synced, and
//! renamed; the directory is synced, too, so that the name survives a loss of power.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Largest file that is read: half a million moves.
const LARGEST: u64 = 256 * 1024 * 1024;

/// What stands between a file's name and a number while it is written; such a file is of no use
/// after a crash.
const UNFINISHED: &str = ".new-";

/// Replaces a file's content, or makes it; durable on return. Only its owner may read it. Blocks.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    static UNIQUE: AtomicU64 = AtomicU64::new(0);
    let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!("{UNFINISHED}{}-{unique}", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = (|| {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        sync_directory_of(path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Removes a file, durably; fine where there is none. Blocks.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory_of(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Reads a file; none where there is none. Blocks.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content)?;
    match content.len() as u64 > LARGEST {
        true => Err(io::Error::other("larger than 256 MiB")),
        false => Ok(Some(content)),
    }
}

/// Whether a name is that of a file whose writing was not finished.
pub(super) fn is_unfinished(name: &str) -> bool {
    name.contains(UNFINISHED)
}

/// Whether a name is that of a file whose writing was not finished and never will be. At an upgrade the
/// process before is still writing; nobody writes under this one's number before it looks.
pub(super) fn is_left_unfinished(name: &str) -> bool {
    let Some((_, behind)) = name.rsplit_once(UNFINISHED) else {
        return false;
    };
    let writer = behind.split_once('-').and_then(|(id, _)| id.parse().ok());
    writer.is_none_or(|id: u32| id == std::process::id() || !is_running(id))
}

fn is_running(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_process_is_writing_is_left_alone() {
        let own = std::process::id();
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        for (name, left) in [
            ("abc".to_owned(), false),
            ("abc.lock".to_owned(), false),
            // The first process of the machine lives as long as that.
            ("abc.new-1-0".to_owned(), false),
            (format!("abc.new-{own}-7"), true),
            (format!("abc.new-{}-7", ended.id()), true),
            ("abc.new-".to_owned(), true),
        ] {
            assert_eq!(is_left_unfinished(&name), left, "{name}");
        }
        let dir = crate::state::tests::scratch("unfinished");
        for name in ["a.new-1-0".to_owned(), format!("b.new-{own}-0")] {
            fs::write(dir.join(name), b"half").unwrap();
        }
        crate::state::Journal::in_directory(dir.clone()).unwrap();
        assert!(dir.join("a.new-1-0").exists());
        assert!(!dir.join(format!("b.new-{own}-0")).exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = crate::state::tests::scratch("replace");
        let path = dir.join("state");
        assert_eq!(read(&path).unwrap(), None);
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some(&b"two"[..]));
        let names: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["state"]);
        assert!(replace(&dir.join("nowhere/state"), b"x").is_err());
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(read(&path).unwrap(), None);
        fs::remove_dir_all(dir).unwrap();
    }
}
