//! Sets of message numbers (RFC 3501 §9 `sequence-set`): as written, with `*`; resolved against a
//! mailbox; and written again for COPYUID and ESEARCH.

use std::fmt::Write as _;

/// A `sequence-set` as the client wrote it. `None` stands for `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(pub(super) Vec<(Option<u32>, Option<u32>)>);

impl Set {
    /// What the set means where the largest number in use is `last` (0 in an empty mailbox, where
    /// `*` is nothing).
    pub(super) fn resolve(&self, last: u32) -> Ranges {
        let number = |bound: Option<u32>| bound.unwrap_or(last);
        let mut ranges: Vec<(u32, u32)> = self
            .0
            .iter()
            .map(|&(a, b)| (number(a), number(b)))
            .map(|(a, b)| (a.min(b), a.max(b)))
            .collect();
        // Sorted and merged, so that a long and silly set costs no more than a short one.
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (low, high) in ranges {
            match merged.last_mut() {
                Some((_, end)) if low <= end.saturating_add(1) => *end = high.max(*end),
                _ => merged.push((low, high)),
            }
        }
        Ranges(merged)
    }

    /// The largest number that must exist, 0 if there is none. `n:*` is borne whatever `n` is: with
    /// it clients ask for what is new, and scripts for all of an empty mailbox.
    pub(super) fn largest(&self) -> u32 {
        let closed = self.0.iter().filter_map(|&(a, b)| Some(a?.max(b?)));
        closed.max().unwrap_or(0)
    }
}

/// Numbers as ranges in ascending order that neither meet nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// Whether `number` is one of them.
    pub(super) fn contains(&self, number: u32) -> bool {
        let after = self.0.partition_point(|&(low, _)| low <= number);
        let range = after.checked_sub(1).and_then(|index| self.0.get(index));
        range.is_some_and(|&(_, high)| number <= high)
    }
}

/// Writes ascending numbers as a set: `1:3,7`.
pub(super) fn compact(numbers: &[u32]) -> String {
    let mut text = String::new();
    let mut rest = numbers.iter().copied().peekable();
    while let Some(low) = rest.next() {
        let mut high = low;
        while let Some(next) = rest.next_if(|next| high.checked_add(1) == Some(*next)) {
            high = next;
        }
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = match high == low {
            true => write!(text, "{comma}{low}"),
            false => write!(text, "{comma}{low}:{high}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolved_sets() {
        type Row = (
            &'static [(Option<u32>, Option<u32>)],
            u32,
            &'static [(u32, u32)],
        );
        let rows: [Row; 6] = [
            (&[(Some(1), Some(1))], 9, &[(1, 1)]),
            (&[(Some(1), None)], 9, &[(1, 9)]),
            (&[(Some(12), None)], 9, &[(9, 12)]),
            (&[(Some(5), Some(2)), (Some(6), Some(7))], 9, &[(2, 7)]),
            (&[(None, None), (Some(2), Some(2))], 9, &[(2, 2), (9, 9)]),
            (
                &[(Some(4), Some(u32::MAX)), (Some(9), Some(9))],
                9,
                &[(4, u32::MAX)],
            ),
        ];
        for (bounds, last, ranges) in rows {
            let resolved = Set(bounds.to_vec()).resolve(last);
            assert_eq!(resolved.0, ranges, "{bounds:?}");
            assert!(
                ranges
                    .iter()
                    .all(|r| resolved.contains(r.0) && resolved.contains(r.1))
            );
            assert!(!resolved.contains(0) && !resolved.contains(3) || resolved.contains(2));
        }
    }

    #[test]
    fn compact_sets() {
        for (numbers, text) in [
            (&[][..], ""),
            (&[1], "1"),
            (&[1, 2, 3, 7], "1:3,7"),
            (&[2, 4, 5], "2,4:5"),
            (&[u32::MAX - 1, u32::MAX], "4294967294:4294967295"),
        ] {
            assert_eq!(compact(numbers), text);
        }
    }
}
