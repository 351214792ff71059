//! What a mailbox held when a maildrop was opened: UID and size of every message, ascending by UID.
//!
//! Message n of the maildrop is the n-th smallest UID (RFC 1939 §4 asks for numbers that stay fixed;
//! RFC 9051 §2.3.1.1 gives UIDs that do). 8 octets a message; sizes of 4 GiB and more stand aside.

mod builder;

use std::collections::BTreeMap;

use super::uid_set::UidSet;
pub use builder::Builder;
use builder::PLACEHOLDER;

/// Most messages a maildrop may have: 8 octets each, 64 MiB.
pub const MOST_MESSAGES: usize = 8 * 1024 * 1024;

/// Stands for a size that is in the side table.
const BIG: u32 = u32::MAX;

/// One message of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its UID.
    pub uid: u32,
    /// Its size in octets, as LIST tells it.
    pub size: u64,
}

/// Whether every message of the mailbox is known by its UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complete {
    /// As many messages as EXISTS says.
    Yes,
    /// The host left rows out.
    No,
}

/// Where the sizes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// From the host, but for those that were learned.
    No,
    /// Every message was fetched and counted.
    Yes,
}

/// The messages of a mailbox, fixed for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// UIDVALIDITY; 0 and values beyond 32 bits exist in the wild.
    pub uid_validity: u64,
    /// A UID that none of them reaches and every later message does (UIDNEXT, or what follows from
    /// the rows). Beyond 32 bits when the largest UID is taken.
    pub uid_next: u64,
    /// Whether UIDNEXT was told by the host.
    pub uid_next_told: bool,
    /// HIGHESTMODSEQ when the mailbox was selected, before the list was asked for (RFC 7162
    /// §3.1.2.1): what changed since then, the host can tell.
    pub mod_seq: Option<u64>,
    /// Whether every message is known.
    pub complete: Complete,
    /// Whether the sizes are those of what is really sent.
    pub measured: Measured,
    rows: Vec<(u32, u32)>,
    big: BTreeMap<u32, u64>,
    /// Messages that are there and not shown.
    hidden: UidSet,
    /// EMAILIDs, one after the other, and where each ends.
    email_ids: Option<(Vec<u8>, Vec<u32>)>,
    total: u64,
}

impl Snapshot {
    /// How many messages are shown.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether it shows every message that is known.
    pub fn shows_all(&self) -> bool {
        self.hidden.is_empty()
    }

    /// The sum of all sizes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The message at a place, from 0.
    pub fn get(&self, index: usize) -> Option<Message> {
        let &row = self.rows.get(index)?;
        Some(self.message(row))
    }

    /// The place of a UID, from 0.
    pub fn index_of(&self, uid: u32) -> Option<usize> {
        self.rows.binary_search_by_key(&uid, |row| row.0).ok()
    }

    /// Every message in order.
    pub fn iter(&self) -> impl Iterator<Item = Message> {
        self.rows.iter().map(|&row| self.message(row))
    }

    /// The EMAILID of the message at a place.
    pub fn email_id(&self, index: usize) -> Option<&[u8]> {
        let (octets, ends) = self.email_ids.as_ref()?;
        let end = *ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => *ends.get(before)?,
            None => 0,
        };
        octets
            .get(start as usize..end as usize)
            .filter(|id| !id.is_empty())
    }

    /// Whether it tells the EMAILIDs of its messages.
    pub fn has_email_ids(&self) -> bool {
        self.email_ids.is_some() || self.is_empty()
    }

    /// The set of the messages at the given places (ascending): no other UID is in it. That a host counts
    /// as many messages as are listed does not prove that none is between two of them: one may not have
    /// been told of, where another one went, or be stored by now.
    pub fn set(&self, indices: impl Iterator<Item = usize>) -> UidSet {
        let rows = indices.filter_map(|index| self.rows.get(index));
        rows.map(|row| row.0).collect()
    }

    /// The same without some messages: those that were deleted.
    pub fn without(&self, gone: &UidSet) -> Snapshot {
        let mut builder = Builder::default();
        builder.reserve(self.rows.len());
        for (index, message) in self.iter().enumerate() {
            if !gone.contains(message.uid) {
                let id = self.email_id(index);
                builder.push(message.uid, Some(message.size), id);
            }
        }
        // What is not shown is still there.
        builder.hide(self.hidden.clone());
        builder
            .finish(self.uid_validity, None, self.complete)
            .with_next(self)
    }

    /// Takes other sizes for some messages, given by UID.
    pub fn learn(&mut self, sizes: impl IntoIterator<Item = (u32, u64)>) {
        for (uid, size) in sizes {
            let Ok(index) = self.rows.binary_search_by_key(&uid, |row| row.0) else {
                continue;
            };
            self.big.remove(&uid);
            if let Some(row) = self.rows.get_mut(index) {
                row.1 = small(size);
                if row.1 == BIG {
                    self.big.insert(uid, size);
                }
            }
        }
        self.total = self.sum();
    }

    /// Takes over what was learned or measured of the same messages before: the host, asked for all
    /// of them again, has told its own sizes again.
    pub fn recall(&mut self, known: &Snapshot) {
        if self.uid_validity != known.uid_validity {
            return;
        }
        let mut rows = self.rows.iter().peekable();
        let mut others = Vec::new();
        for &(uid, size) in &known.rows {
            while rows.next_if(|row| row.0 < uid).is_some() {}
            let here = rows.next_if(|row| row.0 == uid);
            if here.is_some_and(|row| row.1 != size) && size != small(PLACEHOLDER) {
                others.push((uid, known.message((uid, size)).size));
            }
        }
        self.learn(others);
    }

    /// Octets of memory it takes.
    pub fn memory(&self) -> usize {
        let ids = self.email_ids.as_ref();
        size_of::<Self>()
            .saturating_add(self.rows.capacity().saturating_mul(8))
            .saturating_add(self.big.len().saturating_mul(64))
            .saturating_add(self.hidden.ranges().len().saturating_mul(8))
            .saturating_add(ids.map_or(0, |(octets, _)| octets.capacity()))
            .saturating_add(ids.map_or(0, |(_, ends)| ends.capacity().saturating_mul(4)))
    }

    fn with_next(mut self, other: &Snapshot) -> Snapshot {
        self.uid_next = self.uid_next.max(other.uid_next);
        self.uid_next_told = other.uid_next_told;
        self.mod_seq = other.mod_seq;
        self.measured = other.measured;
        self
    }

    fn message(&self, (uid, size): (u32, u32)) -> Message {
        let size = match size {
            BIG => self.big.get(&uid).copied().unwrap_or(u64::from(BIG)),
            size => size.into(),
        };
        Message { uid, size }
    }

    fn sum(&self) -> u64 {
        self.iter()
            .fold(0, |sum, message| sum.saturating_add(message.size))
    }
}

fn small(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(BIG)
}

#[cfg(test)]
mod tests {
    use super::super::fetch::OBJECT_ID_MAX;
    use super::*;

    fn snapshot(rows: &[(u32, Option<u64>)], hidden: &[u32], complete: Complete) -> Snapshot {
        let mut builder = Builder::default();
        for &(uid, size) in rows {
            builder.push(uid, size, None);
        }
        builder.hide(hidden.iter().copied().collect());
        builder.finish(9, Some(50), complete)
    }

    #[test]
    fn what_is_hidden_stays_when_others_go() {
        let rows = [(1, Some(1)), (3, Some(1)), (5, Some(1)), (7, Some(1))];
        let before = snapshot(&rows, &[3], Complete::Yes);
        let after = before.without(&[1].into_iter().collect());
        assert!(!before.shows_all() && !after.shows_all());
    }

    #[test]
    fn rows_in_any_order_and_twice() {
        let got = snapshot(
            &[
                (7, Some(70)),
                (3, None),
                (5, Some(5_000_000_000)),
                (3, Some(30)),
                (7, Some(70)),
                (9, None),
            ],
            &[],
            Complete::Yes,
        );
        let rows: Vec<_> = got.iter().map(|m| (m.uid, m.size)).collect();
        assert_eq!(rows, [(3, 30), (5, 5_000_000_000), (7, 70), (9, 1)]);
        assert_eq!(got.total(), 5_000_000_101);
        assert_eq!((got.index_of(7), got.index_of(8)), (Some(2), None));
        assert_eq!(got.uid_next, 50);
        assert_eq!(snapshot(&[(60, Some(1))], &[], Complete::Yes).uid_next, 61);
    }

    #[test]
    fn a_set_has_no_uid_that_is_not_meant() {
        let rows = [2, 4, 5, 7, 9, 10, 12].map(|uid| (uid, Some(1)));
        let got = snapshot(&rows, &[7], Complete::Yes);
        for (indices, want) in [
            (&[0usize, 1, 2, 3, 4, 5][..], "2,4:5,9:10,12"),
            (&[1, 2, 4, 5], "4:5,10,12"),
            (&[], ""),
            (&[1, 7], "4"),
        ] {
            let mut out = Vec::new();
            got.set(indices.iter().copied()).write_chunk(0, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    #[test]
    fn email_ids_belong_to_their_messages() {
        let mut builder = Builder::default();
        builder.push(9, Some(1), Some(b"nine"));
        builder.push(3, Some(1), Some(b"three"));
        builder.push(5, Some(1), None);
        let got = builder.finish(1, None, Complete::Yes);
        let ids: Vec<_> = (0..4).map(|at| got.email_id(at)).collect();
        assert_eq!(ids, [Some(&b"three"[..]), None, Some(b"nine"), None]);
    }

    #[test]
    fn emailids_have_a_bound_together() {
        let id = [b'x'; OBJECT_ID_MAX];
        let most = builder::MOST_ID_OCTETS / (OBJECT_ID_MAX + 1);
        let mut builder = Builder::default();
        for uid in 1..=most as u32 {
            builder.push(uid, Some(1), Some(&id));
        }
        assert!(!builder.overflowed());
        builder.push(u32::MAX, Some(1), Some(b"M1"));
        assert!(builder.overflowed(), "{most} and one more");
        let got = builder.finish(1, None, Complete::Yes);
        assert_eq!(got.email_id(most - 1), Some(&id[..]));
        assert!(got.memory() < builder::MOST_ID_OCTETS + 13 * (most + 64));
        // One that is too long is none.
        let mut builder = Builder::default();
        builder.push(1, Some(1), Some(&[b'x'; OBJECT_ID_MAX + 1]));
        builder.push(2, Some(1), Some(&id));
        let got = builder.finish(1, None, Complete::Yes);
        assert_eq!((got.email_id(0), got.email_id(1)), (None, Some(&id[..])));
    }

    #[test]
    fn sizes_of_4_gib_have_a_bound_together() {
        let most = builder::MOST_BIG as u32;
        let mut builder = Builder::default();
        for uid in 1..=most {
            builder.push(uid, Some(1 << 32), None);
        }
        // Small ones go on.
        builder.push(most + 1, Some(7), None);
        assert!(!builder.overflowed());
        builder.push(most + 2, Some(u64::MAX), None);
        assert!(builder.overflowed(), "{most} and one more");
        let got = builder.finish(1, None, Complete::Yes);
        let size = |at| got.get(at).map(|message| message.size);
        assert_eq!(size(0), Some(1 << 32));
        assert_eq!(size(builder::MOST_BIG), Some(7));
    }

    #[test]
    fn memory_is_eight_octets_a_message() {
        let mut builder = Builder::default();
        builder.expect(u32::MAX);
        for uid in 1..=1_000_000 {
            builder.push(uid, Some(u64::from(uid)), None);
        }
        let got = builder.finish(1, Some(1_000_001), Complete::Yes);
        assert!(got.memory() < 9_100_000, "{}", got.memory());
        let gone: UidSet = [1, 1_000_000].into_iter().collect();
        assert_eq!(got.without(&gone).len(), 999_998);
        assert_eq!(got.without(&gone).uid_next, 1_000_001);
        let mut learned = got;
        learned.learn([(2, 77), (5, 1 << 40)]);
        assert_eq!(learned.get(1).map(|m| m.size), Some(77));
        assert_eq!(learned.get(4).map(|m| m.size), Some(1 << 40));
    }
}
