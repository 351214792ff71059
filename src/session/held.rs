//! What peers that do not read hold up, over all sessions, and a cap on it: past it a session reads
//! small pieces only.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::tls;

/// Octets that may be held up before sessions read less.
const MOST: usize = 256 * 1024 * 1024;

/// Octets read at a time by then: nobody stands still for others, so each direction may keep that much beyond
/// the cap.
const SMALL: usize = 4 * 1024;

/// What sessions hold together.
#[derive(Debug)]
pub(super) struct Pool {
    held: AtomicUsize,
    most: usize,
}

/// That of the process. What TLS towards clients keeps is counted where it is kept.
pub(super) static POOL: Pool = Pool::new(MOST);

impl Pool {
    pub(super) const fn new(most: usize) -> Self {
        Pool {
            held: AtomicUsize::new(0),
            most,
        }
    }

    /// How much may be read at a time by who would like to read so much.
    pub(super) fn room(&self, wanted: usize) -> usize {
        let held = self.held.load(Ordering::Relaxed);
        match held.saturating_add(tls::stream::waiting()) < self.most {
            true => wanted,
            false => wanted.min(SMALL),
        }
    }

    /// What is held now.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The share of one session's direction, nothing yet.
    pub(super) fn share(&'static self) -> Share {
        Share {
            pool: self,
            octets: 0,
        }
    }
}

/// What one direction of a session holds, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    pool: &'static Pool,
    octets: usize,
}

impl Share {
    /// The pool that this is a share of.
    pub(super) fn pool(&self) -> &'static Pool {
        self.pool
    }

    /// It holds so many octets now.
    pub(super) fn set(&mut self, octets: usize) {
        match octets.checked_sub(self.octets) {
            Some(0) => {}
            Some(more) => {
                self.pool.held.fetch_add(more, Ordering::Relaxed);
            }
            None => {
                let less = self.octets - octets;
                self.pool.held.fetch_sub(less, Ordering::Relaxed);
            }
        }
        self.octets = octets;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_cap_little_is_read() {
        static SMALL_POOL: Pool = Pool::new(100_000);
        let (mut one, mut two) = (SMALL_POOL.share(), SMALL_POOL.share());
        one.set(60_000);
        assert_eq!(SMALL_POOL.room(65_536), 65_536);
        two.set(60_000);
        assert_eq!(SMALL_POOL.room(65_536), SMALL);
        assert_eq!(SMALL_POOL.room(100), 100);
        one.set(10_000);
        assert_eq!(SMALL_POOL.room(65_536), 65_536);
        one.set(60_000);
        drop(two);
        assert_eq!(SMALL_POOL.room(65_536), 65_536);
    }
}
