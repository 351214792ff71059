//! The name of one client connection, in every log line, failure text and towards the host.
//!
//! Twelve characters that can be read out over a telephone, stand in a URL and on a command line,
//! and tell nobody how many connections there were.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// The id of a session: 60 bits as lower-case letters and digits without `i l o u` (Crockford's
/// base 32).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; SessionId::LEN]);

impl SessionId {
    /// Characters of an id.
    pub const LEN: usize = 12;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Never empty: every octet is from the alphabet.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn of(mut bits: u64) -> Self {
        let mut text = [0; SessionId::LEN];
        for place in text.iter_mut().rev() {
            let digit = usize::try_from(bits & 31).unwrap_or_default();
            *place = ALPHABET.get(digit).copied().unwrap_or(b'0');
            bits >>= 5;
        }
        SessionId(text)
    }
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Gives out the ids of a process: all different, in an order nobody can guess.
///
/// A count is put through a keyed permutation (a Feistel network of four rounds over SipHash with a
/// random key), so that two sessions of one process never share an id and those of two processes
/// only by chance.
#[derive(Debug, Default)]
pub struct SessionIds {
    key: RandomState,
    next: AtomicU64,
}

impl SessionIds {
    /// A new sequence with a new key.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next id.
    pub fn next(&self) -> SessionId {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        SessionId::of(self.permuted(count))
    }

    fn permuted(&self, count: u64) -> u64 {
        const HALF: u32 = 30;
        const MASK: u64 = (1 << HALF) - 1;
        let (mut left, mut right) = ((count >> HALF) & MASK, count & MASK);
        for round in 0..4u8 {
            let mixed = self.key.hash_one((round, right)) & MASK;
            (left, right) = (right, left ^ mixed);
        }
        left << HALF | right
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_twelve_plain_characters_and_never_the_same() {
        let ids = SessionIds::new();
        let mut seen = HashSet::new();
        for _ in 0..20_000 {
            let id = ids.next();
            assert_eq!(id.as_str().len(), SessionId::LEN);
            assert!(id.as_str().bytes().all(|b| ALPHABET.contains(&b)));
            assert!(seen.insert(id), "{id} twice");
        }
        assert_ne!(SessionIds::new().next(), SessionIds::new().next());
    }

    #[test]
    fn bits_become_digits_from_the_left() {
        for (bits, want) in [
            (0, "000000000000"),
            (1, "000000000001"),
            (31 << 55, "z00000000000"),
            ((1 << 60) - 1, "zzzzzzzzzzzz"),
        ] {
            assert_eq!(SessionId::of(bits).as_str(), want);
        }
    }
}
