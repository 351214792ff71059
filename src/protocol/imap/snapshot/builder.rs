//! Gathering the rows of a snapshot, in whatever order a host sends them, twice, or without sizes.

use std::collections::BTreeMap;

use super::super::uid_set::UidSet;
use super::{BIG, Complete, MOST_MESSAGES, Measured, Snapshot, small};

/// Octets that all EMAILIDs of a maildrop may have: as many as the rows of the largest one, 64 MiB. That is
/// two million ids of 32 octets, the longest in use.
pub(super) const MOST_ID_OCTETS: usize = 64 * 1024 * 1024;

/// Messages of 4 GiB or more that a maildrop may have: their sizes are kept apart from the rows, at some
/// fifty octets each. No maildrop has so much mail; a host that says so is not to cost 400 MiB.
pub(super) const MOST_BIG: usize = 64 * 1024;

/// Rows there is room for before the first row came, whatever the host announces: 1 MiB.
const FIRST_ROOM: usize = 128 * 1024;

/// Shown for a message whose size the host would not tell; wrong, but the message is there.
pub(super) const PLACEHOLDER: u64 = 1;

/// Gathers the rows of a snapshot, in whatever order they come and however often.
#[derive(Debug, Default)]
pub struct Builder {
    rows: Vec<(u32, u32)>,
    /// How many the host says there will be.
    expected: usize,
    big: BTreeMap<u32, u64>,
    /// Rows that came without a size.
    sizeless: Vec<u32>,
    /// UIDs, and where in `id_octets` the EMAILID of each begins.
    ids: Vec<(u32, u32)>,
    /// EMAILIDs, each behind its length.
    id_octets: Vec<u8>,
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

    /// Makes room for rows that are known to come.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.rows.reserve_exact(rows);
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
        make_room(&mut self.rows, self.expected);
        let known = match size {
            Some(size) => {
                if small(size) == BIG {
                    self.overflow |= self.big.len() >= MOST_BIG;
                    if !self.overflow {
                        self.big.insert(uid, size);
                    }
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
            self.push_id(uid, id);
        }
    }

    fn push_id(&mut self, uid: u32, id: &[u8]) {
        let start = self.id_octets.len();
        let (Ok(length), Ok(at)) = (u8::try_from(id.len()), u32::try_from(start)) else {
            return;
        };
        if start.saturating_add(id.len()) >= MOST_ID_OCTETS {
            self.overflow = true;
            return;
        }
        make_room(&mut self.ids, self.expected);
        self.ids.push((uid, at));
        self.id_octets.push(length);
        self.id_octets.extend_from_slice(id);
    }

    /// The EMAILID that begins there.
    fn id_at(&self, start: u32) -> Option<&[u8]> {
        let (&length, rest) = self.id_octets.get(start as usize..)?.split_first()?;
        rest.get(..usize::from(length))
    }

    /// These are there but not to be shown.
    pub fn hide(&mut self, hidden: UidSet) {
        self.hidden = hidden;
    }

    /// Whether the host sent more than [`MOST_MESSAGES`], or more EMAILIDs or sizes of 4 GiB
    /// than are kept.
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
            self.ids.sort_unstable();
            let mut octets = Vec::with_capacity(self.id_octets.len());
            let mut ends = Vec::with_capacity(self.rows.len());
            for row in &self.rows {
                if let Ok(at) = self.ids.binary_search_by_key(&row.0, |id| id.0)
                    && let Some(&(_, start)) = self.ids.get(at)
                    && let Some(id) = self.id_at(start)
                {
                    octets.extend_from_slice(id);
                }
                ends.push(u32::try_from(octets.len()).unwrap_or(u32::MAX));
            }
            octets.shrink_to_fit();
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

/// Makes room for one more: up to what was announced at most twice what came; beyond it by a quarter,
/// because doubling a list of a million would waste 8 MiB.
fn make_room(list: &mut Vec<(u32, u32)>, expected: usize) {
    if list.len() < list.capacity() {
        return;
    }
    let have = list.len();
    let room = match expected.checked_sub(have) {
        Some(left @ 1..) => left.min(have.max(64)),
        _ => (have / 4).max(64),
    };
    list.reserve_exact(room);
}
