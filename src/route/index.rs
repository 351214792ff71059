//! Finds slots of the users map by the hash of a name, without regard to ASCII case.

use xxhash_rust::xxh3::xxh3_64;

use crate::protocol::UserName;

/// A hash index over slots: open addressing, linear probing. A cell holds the slot's number plus one,
/// and beside it a tag of one octet: a part of the hash, never zero where the cell is taken. Tags lie
/// close together and tell nearly all strangers apart, so that a look-up touches one slot and one key.
///
/// Who can choose the keys is who writes the map, so crafted collisions are not a concern; at most
/// three quarters of the cells are taken, which bounds what a crafted look-up can cost.
#[derive(Clone, Default)]
pub(super) struct Index {
    tags: Vec<u8>,
    cells: Vec<u32>,
    used: usize,
}

impl Index {
    /// Whether it holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The slot with this hash for which `same` holds.
    pub(super) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = (self.tags.len() as u64).checked_sub(1)?;
        let wanted = tag(hash);
        let mut at = hash;
        loop {
            let cell = (at & mask) as usize;
            match self.tags.get(cell).copied()? {
                0 => return None,
                tag if tag == wanted => {
                    let slot = self.cells.get(cell)?.checked_sub(1)?;
                    if same(slot) {
                        return Some(slot);
                    }
                }
                _ => {}
            }
            at = at.wrapping_add(1);
        }
    }

    /// Takes a slot.
    pub(super) fn add(&mut self, slot: u32, hash: u64) {
        if self.cells.is_empty() {
            self.cells = vec![0; 8];
            self.tags = vec![0; 8];
        }
        self.used += 1;
        let mask = (self.cells.len() as u64) - 1;
        let mut at = hash;
        loop {
            let here = (at & mask) as usize;
            match (self.cells.get_mut(here), self.tags.get_mut(here)) {
                (Some(cell), Some(mark)) if *cell == 0 => {
                    *cell = slot + 1;
                    *mark = tag(hash);
                    return;
                }
                (Some(_), Some(_)) => at = at.wrapping_add(1),
                _ => return,
            }
        }
    }

    /// Makes room when three quarters are taken; `rehash` tells a slot's hash.
    pub(super) fn grow(&mut self, rehash: impl Fn(u32) -> u64) {
        if self.used * 4 <= self.cells.len() * 3 {
            return;
        }
        let size = self.cells.len() * 2;
        let old = std::mem::replace(&mut self.cells, vec![0; size]);
        self.tags = vec![0; size];
        self.used = 0;
        // In the order in which they were taken: their keys lie one behind the other.
        let mut slots: Vec<u32> = old;
        slots.sort_unstable();
        for slot in slots.into_iter().filter_map(|cell| cell.checked_sub(1)) {
            self.add(slot, rehash(slot));
        }
    }

    /// How many octets it takes.
    pub(super) fn octets(&self) -> usize {
        self.cells.capacity() * size_of::<u32>() + self.tags.capacity()
    }
}

/// The part of a hash that no index of fewer than 2^56 cells looks at.
fn tag(hash: u64) -> u8 {
    ((hash >> 56) as u8).max(1)
}

/// The hash of a name without regard to ASCII case, without allocating for any name a client can show.
pub(super) fn hash(name: &[u8]) -> u64 {
    let mut lower = [0; UserName::MAX];
    match lower.get_mut(..name.len()) {
        Some(lower) => {
            lower.copy_from_slice(name);
            lower.make_ascii_lowercase();
            xxh3_64(lower)
        }
        None => xxh3_64(&name.to_ascii_lowercase()),
    }
}
