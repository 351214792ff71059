//! Tags that nobody can tell beforehand (RFC 9051 §2.2.1): a host (or who sits on the line in clear)
//! that answers a command before it was sent, in the hope that the answer is taken for the real one,
//! has to guess 40 bits; so has whoever wrote a message that a host does not quote well. The tags that a
//! host has seen say nothing of the next: SHA-256 of a secret seed and a number, each of fixed length and
//! both in one block, cannot be told from chance, nor can the seed be computed from it.

use aws_lc_rs::digest;

/// The letters of a seed's n-th tag, five bits each.
pub(super) fn letters(seed: u128, n: u64) -> [u8; 8] {
    let mut input = [0; 24];
    let octets = seed.to_le_bytes().into_iter().chain(n.to_le_bytes());
    for (place, octet) in input.iter_mut().zip(octets) {
        *place = octet;
    }
    let digest = digest::digest(&digest::SHA256, &input);
    let octets = digest.as_ref().iter().take(8).rev();
    let bits = octets.fold(0_u64, |bits, &octet| bits << 8 | u64::from(octet));
    let mut letters = [b'a'; 8];
    for (at, letter) in (0_u32..).zip(&mut letters) {
        *letter = match bits.wrapping_shr(at.saturating_mul(5)) as u8 & 31 {
            five @ 0..26 => b'a'.saturating_add(five),
            five => b'2'.saturating_add(five.saturating_sub(26)),
        };
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As another implementation makes them: SHA-256 of the seed's sixteen octets and the number's
    /// eight, each with the lowest first; of its first 40 bits, from the lowest on, base 32.
    #[test]
    fn tags_are_a_secret_function_of_their_number() {
        for (seed, n, want) in [
            (0, 0, "5ee5yh3w"),
            (0, 1, "fuuwwt6s"),
            (1, 0, "sj3nlbqf"),
            (u128::MAX, u64::MAX, "ekjp7ewc"),
        ] {
            let letters = letters(seed, n);
            assert_eq!(std::str::from_utf8(&letters), Ok(want), "{seed} {n}");
        }
    }

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
