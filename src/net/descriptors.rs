//! File descriptors: how many the process may have, and the last of them, which mail leaves alone so
//! that the admin port, logs and files are still served when mail has taken all others.
//!
//! The kernel gives the lowest number that is free: a new descriptor with a high number says that
//! all below it are in use. So whether they run out costs no counting.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::OnceLock;

/// The part of all descriptors that mail leaves alone, and its bounds.
const PART: usize = 8;
const LEAST: usize = 8;
const MOST: usize = 128;

/// How many descriptors the process may have (`RLIMIT_NOFILE`, the soft limit), where that can be known.
pub fn limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// Whether a descriptor, just made, is one of the last: whoever made it for mail is to give it back.
pub fn is_reserved(descriptor: &impl AsFd) -> bool {
    static FIRST: OnceLock<RawFd> = OnceLock::new();
    let first = FIRST.get_or_init(|| limit().map_or(RawFd::MAX, first_reserved));
    descriptor.as_fd().as_raw_fd() >= *first
}

/// Whether descriptors are short right now: then a connection that could not be made says nothing of
/// who it was to be made to.
pub fn are_scarce() -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    match std::fs::File::open("/dev/null") {
        Ok(file) => is_reserved(&file),
        Err(error) => matches!(error.raw_os_error(), Some(ENFILE | EMFILE)),
    }
}

fn first_reserved(limit: usize) -> RawFd {
    let reserve = (limit / PART).clamp(LEAST, MOST);
    RawFd::try_from(limit.saturating_sub(reserve)).unwrap_or(RawFd::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_reserved() {
        for (limit, first) in [
            (0, 0),
            (64, 56),
            (256, 224),
            (1024, 896),
            (1_048_576, 1_048_448),
            (usize::MAX, RawFd::MAX),
        ] {
            assert_eq!(first_reserved(limit), first, "of {limit}");
        }
    }
}
