//! Tags that nobody can tell beforehand (RFC 9051 §2.2.1): a host (or who sits on the line in clear)
//! that answers a command before it was sent, in the hope that the answer is taken for the real one,
//! has to guess 40 bits; so has whoever wrote a message that a host does not quote well.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The letters of a seed's n-th tag, five bits each.
pub(super) fn letters(seed: u64, n: u64) -> [u8; 8] {
    let hash = xxh3_64_with_seed(&n.to_le_bytes(), seed);
    let mut letters = [b'a'; 8];
    for (at, letter) in (0_u32..).zip(&mut letters) {
        *letter = match hash.wrapping_shr(at.saturating_mul(5)) as u8 & 31 {
            five @ 0..26 => b'a'.saturating_add(five),
            five => b'2'.saturating_add(five.saturating_sub(26)),
        };
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of letters that owe nothing to those before them, one in 32 is the same: 0.25 of 8.
    #[test]
    fn a_tag_says_nothing_of_the_next() {
        for seed in 0..50 {
            let agree = |n| {
                let (one, next) = (letters(seed, n), letters(seed, n + 1));
                one.iter().zip(next).filter(|(a, b)| *a == b).count()
            };
            let agreed: usize = (0..200).map(agree).sum();
            assert!(agreed < 200, "seed {seed}: {agreed} of 1600 letters agree");
        }
    }
}
