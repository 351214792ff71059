//! What a mailbox held when a maildrop was opened: UID and size of every message, ascending by UID.
//!
//! Message n of the maildrop is the n-th smallest UID (RFC 1939 §4 asks for numbers that stay fixed;
//! RFC 9051 §2.3.1.1 gives UIDs that do). 8 octets a message; sizes of 4 GiB and more stand aside.

use std::collections::BTreeMap;

use super::uid_set::UidSet;

/// Most messages a maildrop may have: 8 octets each, 64 MiB.
pub const MOST_MESSAGES: usize = 8 * 1024 * 1024;

/// Rows there is room for before the first row came, whatever the host announces: 1 MiB.
const FIRST_ROOM: usize = 128 * 1024;

/// Stands for a size that is in the side table.
const BIG: u32 = u32::MAX;

/// Shown for a message whose size the host would not tell; wrong, but the message is there.
const PLACEHOLDER: u64 = 1;

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
    /// As many messages as EXISTS says: a UID that is not here does not exist.
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
    /// Messages that are there and not shown: no range may span them.
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

    /// The set of the messages at the given places (ascending), in ranges as long as they may be: a
    /// range spans only UIDs that are meant or certainly do not exist.
    pub fn set(&self, indices: impl Iterator<Item = usize>) -> UidSet {
        let mut set = UidSet::new();
        let mut open: Option<(u32, u32, usize)> = None;
        for index in indices {
            let Some(&(uid, _)) = self.rows.get(index) else {
                continue;
            };
            open = Some(match open {
                Some((first, last, at))
                    if index == at.saturating_add(1) && self.nothing_between(last, uid) =>
                {
                    (first, uid, index)
                }
                Some((first, last, _)) => {
                    set.push(first, last);
                    (uid, uid, index)
                }
                None => (uid, uid, index),
            });
        }
        if let Some((first, last, _)) = open {
            set.push(first, last);
        }
        set
    }

    /// Whether no message can exist between two neighbours of the list.
    fn nothing_between(&self, first: u32, last: u32) -> bool {
        if last.saturating_sub(first) <= 1 {
            return true;
        }
        let mut gap = UidSet::new();
        gap.push(first.saturating_add(1), last.saturating_sub(1));
        self.complete == Complete::Yes && gap.minus(&self.hidden) == gap
    }

    /// The same without some messages: those that were deleted.
    pub fn without(&self, gone: &UidSet) -> Snapshot {
        let mut builder = Builder::default();
        builder.rows.reserve_exact(self.rows.len());
        for (index, message) in self.iter().enumerate() {
            if !gone.contains(message.uid) {
                let id = self.email_id(index);
                builder.push(message.uid, Some(message.size), id);
            }
        }
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

/// Gathers the rows of a snapshot, in whatever order they come and however often.
#[derive(Debug, Default)]
pub struct Builder {
    rows: Vec<(u32, u32)>,
    /// How many the host says there will be.
    expected: usize,
    big: BTreeMap<u32, u64>,
    /// Rows that came without a size.
    sizeless: Vec<u32>,
    ids: Vec<(u32, Box<[u8]>)>,
    ascending: Ascending,
    hidden: UidSet,
    overflow: bool,
}

/// Whether the rows came in order so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ascending {
    #[default]
    Yes,
    No,
}

impl Builder {
    /// Starts with the rows of an older snapshot.
    pub fn from(old: &Snapshot) -> Builder {
        Builder {
            rows: old.rows.clone(),
            big: old.big.clone(),
            ..Builder::default()
        }
    }

    /// The host says how many rows will come.
    pub fn expect(&mut self, rows: u32) {
        self.expected = rows as usize;
        let room = self.expected.min(FIRST_ROOM);
        self.rows
            .reserve_exact(room.saturating_sub(self.rows.len()));
    }

    /// Takes a row.
    pub fn push(&mut self, uid: u32, size: Option<u64>, email_id: Option<&[u8]>) {
        if self.rows.len() >= MOST_MESSAGES {
            self.overflow = true;
            return;
        }
        if self.rows.last().is_some_and(|&(last, _)| last >= uid) {
            self.ascending = Ascending::No;
        }
        if self.rows.len() == self.rows.capacity() {
            // Up to what was announced at most twice what came; beyond it by a quarter, because
            // doubling a list of a million would waste 8 MiB.
            let rows = self.rows.len();
            let room = match self.expected.checked_sub(rows) {
                Some(left @ 1..) => left.min(rows.max(64)),
                _ => (rows / 4).max(64),
            };
            self.rows.reserve_exact(room);
        }
        let known = match size {
            Some(size) => {
                if small(size) == BIG {
                    self.big.insert(uid, size);
                }
                small(size)
            }
            None => {
                self.sizeless.push(uid);
                0
            }
        };
        self.rows.push((uid, known));
        if let Some(id) = email_id {
            self.ids.push((uid, id.into()));
        }
    }

    /// These are there but not to be shown.
    pub fn hide(&mut self, hidden: UidSet) {
        self.hidden = hidden;
    }

    /// Whether the host sent more than [`MOST_MESSAGES`].
    pub fn overflowed(&self) -> bool {
        self.overflow
    }

    /// Sorts and merges; how many messages there are then, hidden ones included.
    pub fn settle(&mut self) -> usize {
        if self.ascending == Ascending::No {
            self.ascending = Ascending::Yes;
            let sizeless: UidSet = self.sizeless.iter().copied().collect();
            // Rows that came twice: one that knows the size is preferred.
            let weight = |&(uid, size): &(u32, u32)| {
                (
                    uid,
                    size == 0 && sizeless.contains(uid),
                    std::cmp::Reverse(size),
                )
            };
            self.rows.sort_unstable_by_key(weight);
            self.rows.dedup_by_key(|row| row.0);
        }
        if !self.sizeless.is_empty() {
            let rows = &self.rows;
            self.sizeless.retain(|uid| {
                rows.binary_search_by_key(uid, |row| row.0)
                    .is_ok_and(|at| rows.get(at).is_some_and(|row| row.1 == 0))
            });
            self.sizeless.sort_unstable();
            self.sizeless.dedup();
        }
        self.rows.len()
    }

    /// UIDs whose size is not known, after [`Builder::settle`].
    pub fn sizeless(&self) -> UidSet {
        self.sizeless.iter().copied().collect()
    }

    /// All UIDs, after [`Builder::settle`].
    pub fn uids(&self) -> UidSet {
        self.rows.iter().map(|row| row.0).collect()
    }

    /// Drops every row whose UID is not in the set, after [`Builder::settle`].
    pub fn retain(&mut self, there: &UidSet) {
        self.rows.retain(|row| there.contains(row.0));
    }

    /// Drops every row whose UID is in the set, after [`Builder::settle`].
    pub fn remove(&mut self, gone: &UidSet) {
        self.rows.retain(|row| !gone.contains(row.0));
    }

    /// Makes the snapshot.
    pub fn finish(
        mut self,
        uid_validity: u64,
        uid_next: Option<u64>,
        complete: Complete,
    ) -> Snapshot {
        self.settle();
        for uid in &self.sizeless {
            if let Ok(at) = self.rows.binary_search_by_key(uid, |row| row.0)
                && let Some(row) = self.rows.get_mut(at)
            {
                row.1 = small(PLACEHOLDER);
            }
        }
        let beyond = self.rows.last().map_or(1, |row| u64::from(row.0) + 1);
        if !self.hidden.is_empty() {
            let hidden = &self.hidden;
            self.rows.retain(|row| !hidden.contains(row.0));
        }
        // What growing by quarters left over is given back only where it is worth the copy.
        if self.rows.capacity().saturating_sub(self.rows.len()) > self.rows.len() / 8 {
            self.rows.shrink_to_fit();
        }
        let email_ids = (!self.ids.is_empty()).then(|| {
            self.ids.sort_by_key(|id| id.0);
            let (mut octets, mut ends) = (Vec::new(), Vec::with_capacity(self.rows.len()));
            for row in &self.rows {
                if let Ok(at) = self.ids.binary_search_by_key(&row.0, |id| id.0)
                    && let Some((_, id)) = self.ids.get(at)
                {
                    octets.extend_from_slice(id);
                }
                ends.push(u32::try_from(octets.len()).unwrap_or(u32::MAX));
            }
            (octets, ends)
        });
        let mut snapshot = Snapshot {
            uid_validity,
            uid_next: uid_next.unwrap_or(0).max(beyond),
            uid_next_told: uid_next.is_some(),
            mod_seq: None,
            complete,
            measured: Measured::No,
            rows: self.rows,
            big: self.big,
            hidden: self.hidden,
            email_ids,
            total: 0,
        };
        snapshot.total = snapshot.sum();
        snapshot
    }
}

fn small(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(BIG)
}

#[cfg(test)]
mod tests {
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
    fn ranges_never_span_what_is_not_meant() {
        let rows = [
            (2, Some(1)),
            (4, Some(1)),
            (5, Some(1)),
            (9, Some(1)),
            (12, Some(1)),
        ];
        for (hidden, complete, indices, want) in [
            (&[][..], Complete::Yes, &[0usize, 1, 2, 3, 4][..], "2:12"),
            (&[], Complete::No, &[0, 1, 2, 3, 4], "2,4:5,9,12"),
            (&[], Complete::Yes, &[0, 1, 3, 4], "2:4,9:12"),
            (&[7], Complete::Yes, &[0, 1, 2, 3, 4], "2:5,9:12"),
            (&[4], Complete::Yes, &[0, 1, 2, 3], "2,5:12"),
            (&[], Complete::Yes, &[], ""),
            (&[], Complete::Yes, &[7, 1], "4"),
        ] {
            let mut all = rows.to_vec();
            all.extend(
                hidden
                    .iter()
                    .filter(|uid| **uid == 7)
                    .map(|&uid| (uid, Some(1))),
            );
            let got = snapshot(&all, hidden, complete);
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
