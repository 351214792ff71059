//! Finds slots of the users map by the hash of a name, without regard to ASCII case.

use xxhash_rust::xxh3::xxh3_64;

use crate::protocol::UserName;

/// A hash index over slots: open addressing, linear probing. A cell holds the slot's number plus one.
///
/// Who can choose the keys is who writes the map, so crafted collisions are not a concern; at most
/// three quarters of the cells are taken, which bounds what a crafted look-up can cost.
#[derive(Clone, Default)]
pub(super) struct Index {
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
        if self.used == 0 {
            return None;
        }
        let mut at = hash;
        loop {
            let slot = self.cell(at).checked_sub(1)?;
            if same(slot) {
                return Some(slot);
            }
            at = at.wrapping_add(1);
        }
    }

    fn cell(&self, at: u64) -> u32 {
        let mask = (self.cells.len() as u64).wrapping_sub(1);
        self.cells.get((at & mask) as usize).copied().unwrap_or(0)
    }

    /// Takes a slot.
    pub(super) fn add(&mut self, slot: u32, hash: u64) {
        if self.cells.is_empty() {
            self.cells = vec![0; 8];
        }
        self.used += 1;
        let mask = (self.cells.len() as u64) - 1;
        let mut at = hash;
        loop {
            match self.cells.get_mut((at & mask) as usize) {
                Some(cell) if *cell == 0 => {
                    *cell = slot + 1;
                    return;
                }
                Some(_) => at = at.wrapping_add(1),
                None => return,
            }
        }
    }

    /// Makes room when three quarters are taken; `rehash` tells a slot's hash.
    pub(super) fn grow(&mut self, rehash: impl Fn(u32) -> u64) {
        if self.used * 4 <= self.cells.len() * 3 {
            return;
        }
        let doubled = vec![0; self.cells.len() * 2];
        let old = std::mem::replace(&mut self.cells, doubled);
        self.used = 0;
        for slot in old.into_iter().filter_map(|cell| cell.checked_sub(1)) {
            self.add(slot, rehash(slot));
        }
    }
}

/// The hash of a name without regard to ASCII case, without allocating for any name a client can show.
pub(super) fn hash(name: &str) -> u64 {
    let mut lower = [0; UserName::MAX];
    match lower.get_mut(..name.len()) {
        Some(lower) => {
            lower.copy_from_slice(name.as_bytes());
            lower.make_ascii_lowercase();
            xxh3_64(lower)
        }
        None => xxh3_64(name.to_ascii_lowercase().as_bytes()),
    }
}
