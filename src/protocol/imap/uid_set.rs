//! Sets of UIDs (RFC 9051 §9 `sequence-set`, RFC 4731): kept as ranges, read from a host's answers,
//! written into commands of bounded length.
//!
//! A set read from a host is bounded by [`MOST_RANGES`].

use std::io::Write as _;

/// Most ranges a set read from a host may have: 8 octets each, 64 MiB at worst.
pub const MOST_RANGES: usize = 8 * 1024 * 1024;

/// Longest set written into one command. Servers of old take 1000 octets a line (RFC 2683
/// §3.2.1.5); the rest is for tag, verb and flag list.
pub const CHUNK: usize = 880;

/// A set of UIDs as ascending, disjoint ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UidSet {
    ranges: Vec<(u32, u32)>,
    order: Order,
}

/// Whether the ranges are sorted and disjoint yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Sorted,
    AsItCame,
}

impl UidSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `first..=last`. Ranges pushed in ascending order grow into each other where they touch.
    pub fn push(&mut self, first: u32, last: u32) {
        let (first, last) = (first.min(last), first.max(last));
        match self.ranges.last_mut() {
            Some(end) if first.checked_sub(1) == Some(end.1) => {
                end.1 = last;
                return;
            }
            Some(end) if first > end.1 => {}
            Some(_) => self.order = Order::AsItCame,
            None => {}
        }
        if self.ranges.len() < MOST_RANGES {
            self.ranges.push((first, last));
        }
    }

    /// Sorts and joins what was pushed out of order.
    pub fn normalise(&mut self) {
        if self.order == Order::Sorted {
            return;
        }
        self.order = Order::Sorted;
        self.ranges.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(self.ranges.len());
        for &(first, last) in &self.ranges {
            match joined.last_mut() {
                Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        self.ranges = joined;
    }

    /// Reads a `sequence-set` as hosts send it: `1,3:5`. What is no number is left out; `*` has no
    /// place in an answer.
    pub fn read(&mut self, text: &[u8]) {
        for item in text.split(|&b| b == b',') {
            let mut ends = item.splitn(2, |&b| b == b':').map(number);
            match (ends.next().flatten(), ends.next()) {
                (Some(uid), None) => self.push(uid, uid),
                (Some(first), Some(Some(last))) => self.push(first, last),
                _ => {}
            }
        }
    }

    /// Whether a UID is in it. Only on a set that is sorted.
    pub fn contains(&self, uid: u32) -> bool {
        let at = self.ranges.partition_point(|&(_, last)| last < uid);
        self.ranges.get(at).is_some_and(|&(first, _)| first <= uid)
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges, ascending on a sorted set.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// How many UIDs lie in it.
    pub fn count(&self) -> u64 {
        let size = |&(first, last): &(u32, u32)| u64::from(last.saturating_sub(first)) + 1;
        self.ranges.iter().map(size).sum()
    }

    /// Whether every UID of it is in `other`. Both sorted.
    pub fn is_subset(&self, other: &UidSet) -> bool {
        self.ranges.iter().all(|&(first, last)| {
            let at = other.ranges.partition_point(|&(_, end)| end < first);
            other
                .ranges
                .get(at)
                .is_some_and(|&(start, end)| start <= first && last <= end)
        })
    }

    /// What is in it and not in `other`. Both sorted.
    pub fn minus(&self, other: &UidSet) -> UidSet {
        let mut left = UidSet::new();
        for &(first, last) in &self.ranges {
            let mut next = u64::from(first);
            let at = other.ranges.partition_point(|&(_, end)| end < first);
            for &(start, end) in other.ranges.get(at..).unwrap_or_default() {
                if start > last {
                    break;
                }
                if u64::from(start) > next {
                    left.push(next as u32, start.saturating_sub(1));
                }
                next = u64::from(end) + 1;
            }
            if next <= u64::from(last) {
                left.push(next as u32, last);
            }
        }
        left
    }

    /// Appends as many ranges from range number `from` on as fit [`CHUNK`] octets; returns the
    /// number of the next range. At least one range is written if there is one.
    pub fn write_chunk(&self, from: usize, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        let mut next = from;
        for &(first, last) in self.ranges.get(from..).unwrap_or_default() {
            // Two numbers of ten digits, a colon and a comma.
            if next > from && out.len().saturating_sub(start) > CHUNK - 22 {
                break;
            }
            if next > from {
                out.push(b',');
            }
            let _ = match first == last {
                true => write!(out, "{first}"),
                false => write!(out, "{first}:{last}"),
            };
            next = next.saturating_add(1);
        }
        next
    }

    /// The part of the set from range number `from` up to `to`.
    pub fn part(&self, from: usize, to: usize) -> UidSet {
        UidSet {
            ranges: self.ranges.get(from..to).unwrap_or_default().to_vec(),
            order: self.order,
        }
    }
}

impl FromIterator<u32> for UidSet {
    fn from_iter<I: IntoIterator<Item = u32>>(uids: I) -> Self {
        let mut set = UidSet::new();
        uids.into_iter().for_each(|uid| set.push(uid, uid));
        set.normalise();
        set
    }
}

/// A `nz-number` of at most 32 bits, digits only.
pub(super) fn number(text: &[u8]) -> Option<u32> {
    u32::try_from(number64(text)?).ok().filter(|&n| n > 0)
}

/// A number of at most 63 bits, digits only.
pub(super) fn number64(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    let mut value = 0u64;
    for &octet in text {
        let digit = octet.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(digit.into())?;
    }
    (value <= i64::MAX as u64).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> UidSet {
        let mut set = UidSet::new();
        set.read(text.as_bytes());
        set.normalise();
        set
    }

    fn text(set: &UidSet) -> String {
        let mut out = Vec::new();
        assert_eq!(set.write_chunk(0, &mut out), set.ranges().len());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sets_are_read_and_written() {
        for (given, want) in [
            ("1", "1"),
            ("1,2,3", "1:3"),
            ("1:3,4:6,8", "1:6,8"),
            ("9,1:3,2:5", "1:5,9"),
            ("5:3", "3:5"),
            ("", ""),
            ("x,7,0,1:*,4294967296,4294967295", "7,4294967295"),
            ("4294967295,1,4294967294", "1,4294967294:4294967295"),
        ] {
            assert_eq!(text(&set(given)), want, "{given}");
        }
    }

    #[test]
    fn sets_are_compared() {
        for (a, b, minus, subset) in [
            ("1:10", "3:4,7", "1:2,5:6,8:10", false),
            ("1:10", "1:10", "", true),
            ("4,6", "1:10", "", true),
            ("1,4294967295", "4294967295", "1", false),
            ("", "1", "", true),
            ("1:3", "", "1:3", false),
            ("5:9", "1:6,8:20", "7", false),
        ] {
            assert_eq!(text(&set(a).minus(&set(b))), minus, "{a} - {b}");
            assert_eq!(set(a).is_subset(&set(b)), subset, "{a} in {b}");
        }
        assert!(set("1:3,7").contains(7) && !set("1:3,7").contains(4));
        assert_eq!(set("1:3,7").count(), 4);
    }

    #[test]
    fn long_sets_are_cut() {
        let uids: UidSet = (1..=1000).map(|n| n * 4_000_000).collect();
        let (mut from, mut seen) = (0, UidSet::new());
        while from < uids.ranges().len() {
            let mut out = Vec::new();
            let next = uids.write_chunk(from, &mut out);
            assert!(next > from && out.len() <= CHUNK);
            seen.read(&out);
            assert_eq!(uids.part(from, next).ranges().len(), next - from);
            from = next;
        }
        assert_eq!(seen, uids);
    }

    #[test]
    fn numbers_are_digits() {
        for bad in [
            "",
            "-1",
            "1.0",
            "9e3",
            "+1",
            "99999999999999999999",
            "9223372036854775808",
        ] {
            assert_eq!(number64(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(number64(b"9223372036854775807"), Some(i64::MAX as u64));
        assert_eq!(number(b"0"), None);
    }
}
