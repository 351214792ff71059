//! File descriptors: how many the process may have, and the last of them, which mail leaves alone so
//! that the admin port, logs and files are still served when mail has taken all others.
//!
//! The kernel gives the lowest number that is free: a new descriptor with a high number says that
//! all below it are in use. So whether they run out costs no counting.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The part of all descriptors that mail leaves alone, and its bounds.
const PART: usize = 8;
const LEAST: usize = 8;
const MOST: usize = 128;

/// How many descriptors the process may have (`RLIMIT_NOFILE`); `None`: no end of them. The soft limit is
/// raised to the hard one first: shells and services begin with 1024, for programs that cannot count
/// beyond, and leave it to others to ask for more.
pub fn limit() -> Option<usize> {
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: now.maximum,
        ..now
    };
    let current = match now.current == now.maximum || setrlimit(Resource::Nofile, raised).is_err() {
        true => now.current,
        false => now.maximum,
    };
    current.map(|most| usize::try_from(most).unwrap_or(usize::MAX))
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
