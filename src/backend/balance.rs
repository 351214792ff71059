//! Which host a user belongs to: weighted rendezvous hashing.
//!
//! Every replica and every restart must choose the same host, and a host that leaves may move only
//! its own users. Each host draws a number from the hash of user and host name, and the highest
//! score wins; no table is kept, nothing has to be agreed on. The hash (XXH3, 64 bit, seed 0) and
//! the formula are a promise: other programs compute them too, so the vectors below never change.

use std::cmp::Ordering;

use xxhash_rust::xxh3::Xxh3;

/// The hosts in the order in which a user prefers them, as indices into `hosts`: first its own, then
/// the one it moves to when that is gone, and so on. Every host is in it once.
///
/// `canonical` is the user's canonical name, `hosts` are names and weights. For each host,
/// `h = XXH3_64(canonical ‖ 0x00 ‖ name)`, `u = max(h >> 11, 1) / 2^53`, `score = -weight / ln(u)`;
/// the highest score is first. A host of weight 0 gets users only when no other is left: those come
/// last, in the order they would have with equal weights. Equal scores go by name.
pub fn rank(canonical: &str, hosts: &[(&str, u32)]) -> Vec<usize> {
    let mut drawn: Vec<(usize, bool, f64, &str)> = hosts
        .iter()
        .enumerate()
        .map(|(index, &(name, weight))| {
            let score = -f64::from(weight.max(1)) / draw(canonical, name).ln();
            (index, weight == 0, score, name)
        })
        .collect();
    drawn.sort_by(|a, b| {
        (a.1.cmp(&b.1))
            .then(b.2.partial_cmp(&a.2).unwrap_or(Ordering::Equal))
            .then(a.3.cmp(b.3))
    });
    drawn.into_iter().map(|(index, ..)| index).collect()
}

/// A number in (0, 1), uniform over users, the same everywhere for this user and host. Its 53 bits
/// are what a double holds exactly; a zero counts as the smallest number above it, for the logarithm.
fn draw(canonical: &str, host: &str) -> f64 {
    let mut hash = Xxh3::new();
    hash.update(canonical.as_bytes());
    hash.update(&[0]);
    hash.update(host.as_bytes());
    let bits = (hash.digest() >> 11).max(1);
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(user: &str, hosts: &[(&'a str, u32)]) -> Vec<&'a str> {
        rank(user, hosts).into_iter().map(|i| hosts[i].0).collect()
    }

    /// Users of a test population.
    fn users() -> impl Iterator<Item = String> {
        (0..10_000).map(|n| format!("user{n}@example.org"))
    }

    #[test]
    fn vectors() {
        let three = [("10.0.1.1", 1), ("store-2", 1), ("store-3:1143", 2)];
        for (user, want) in [
            ("alice@example.com", ["store-2", "store-3:1143", "10.0.1.1"]),
            ("bob@example.com", ["store-2", "store-3:1143", "10.0.1.1"]),
            ("carol@example.org", ["store-2", "10.0.1.1", "store-3:1143"]),
            ("dave", ["10.0.1.1", "store-3:1143", "store-2"]),
            (
                "jürgen@example.org",
                ["10.0.1.1", "store-3:1143", "store-2"],
            ),
            ("", ["store-2", "store-3:1143", "10.0.1.1"]),
        ] {
            assert_eq!(names(user, &three), want, "{user}");
        }
    }

    #[test]
    fn hashes() {
        for (user, host, want) in [
            ("alice@example.com", "10.0.1.1", 0x434f895feda9a664_u64),
            ("alice@example.com", "store-2", 0xfbab1a9192051e62_u64),
            ("jürgen@example.org", "store-3:1143", 0x9f79d2be41be5071_u64),
            ("", "", 0xc44bdff4074eecdb_u64),
        ] {
            assert_eq!(
                draw(user, host),
                (want >> 11) as f64 / 2f64.powi(53),
                "{user} {host}"
            );
        }
    }

    #[test]
    fn shares_follow_the_weights() {
        let hosts = [("a", 1), ("b", 1), ("c", 2)];
        let mut shares = [0.0f64; 3];
        for user in users() {
            shares[rank(&user, &hosts)[0]] += 0.01;
        }
        for (share, want) in shares.iter().zip([25.0, 25.0, 50.0]) {
            assert!((share - want).abs() < 3.0, "{shares:?}");
        }
    }

    #[test]
    fn a_host_that_leaves_moves_only_its_users() {
        let all = [("a", 1), ("b", 3), ("c", 2), ("d", 1)];
        for gone in 0..all.len() {
            let left: Vec<_> = (all.iter().copied())
                .filter(|host| host.0 != all[gone].0)
                .collect();
            for user in users().take(1000) {
                let mut before = names(&user, &all);
                before.retain(|name| *name != all[gone].0);
                assert_eq!(names(&user, &left), before);
            }
        }
    }

    #[test]
    fn more_weight_takes_users_and_gives_none_away() {
        for user in users().take(2000) {
            let before = names(&user, &[("a", 1), ("b", 1), ("c", 1)])[0];
            let after = names(&user, &[("a", 1), ("b", 5), ("c", 1)])[0];
            assert!(after == before || after == "b");
        }
    }

    #[test]
    fn the_order_of_the_file_does_not_matter() {
        for user in users().take(200) {
            assert_eq!(
                names(&user, &[("a", 1), ("b", 2), ("c", 0), ("d", 0)]),
                names(&user, &[("d", 0), ("c", 0), ("b", 2), ("a", 1)])
            );
        }
    }

    #[test]
    fn weight_zero_is_the_last_resort() {
        for user in users().take(200) {
            assert_eq!(names(&user, &[("z", 0), ("a", 1)]), ["a", "z"]);
        }
        assert!(rank("a", &[]).is_empty());
    }
}
