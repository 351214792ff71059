//! The users map as a compact table: a million entries in some 50 MB, looked up without allocating.
//!
//! Keys lie one behind the other in one buffer, each with a slot of 16 octets; destinations are kept
//! once however many entries lead there (`leads`). Names, domains and parent domains are found by hash, patterns
//! are tried in file order. Letters compare without regard to ASCII case.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::config::{Destination, Entry, Place};
use super::index::{Index, hash};
use super::leads::{Lead, Leads};
use super::rule::{self, Key};
use crate::protocol::UserName;
use regex::{Captures, Regex};

/// The users map: built by [`insert`](Map::insert), asked by [`find`](Map::find).
#[derive(Clone, Default)]
pub struct Map {
    keys: Vec<u8>,
    slots: Vec<Slot>,
    leads: Leads,
    files: Vec<Arc<Path>>,
    exact: Index,
    domain: Index,
    below: Index,
    patterns: Vec<(Regex, u32)>,
    default: Option<u32>,
}

/// An entry: where its key lies, where it leads, where it stands.
#[derive(Clone, Copy)]
struct Slot {
    key: u32,
    line: u32,
    to: u32,
    /// Longest key: [`MAX_KEY`].
    len: u16,
    file: u16,
}

/// Longest key in octets; patterns may be longer than names.
pub const MAX_KEY: usize = 4096;

/// Why an entry was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The key is none; what is expected.
    Key(&'static str),
    /// The pattern does not compile, and why.
    Pattern(String),
    /// The same source has this key already, there.
    Duplicate(Place),
    /// The table is full: 4 GiB of keys, or 65,535 files.
    Full,
}

/// An entry that matches a name.
pub struct Found<'m, 'n> {
    map: &'m Map,
    slot: u32,
    /// What kind of key matched.
    pub how: How,
    /// The groups of a pattern.
    pub groups: Option<Captures<'n>>,
}

/// What kind of key matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The name itself.
    Exact,
    /// `@example.org`
    Domain,
    /// `@*.example.org`
    Below,
    /// `/regex/`
    Pattern,
    /// `*`
    Default,
}

impl Map {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether both have the same entries in the same order, wherever those stand.
    pub fn leads_alike(&self, other: &Map) -> bool {
        let slots = self.slots.iter().zip(&other.slots);
        self.slots.len() == other.slots.len()
            && self.keys == other.keys
            && self.leads.are(&other.leads)
            && { slots }.all(|(a, b)| (a.key, a.len, a.to) == (b.key, b.len, b.to))
    }

    /// How many octets its keys, entries, destinations and indexes take; patterns and names of
    /// backends, of which there are few, come besides.
    pub fn octets(&self) -> usize {
        let indexes = [&self.exact, &self.domain, &self.below];
        self.keys.capacity()
            + self.slots.capacity() * size_of::<Slot>()
            + indexes.iter().map(|it| it.octets()).sum::<usize>()
            + self.leads.octets()
    }

    /// Where everybody goes, if `*` is the only entry.
    pub fn only_default(&self) -> Option<Lead<'_>> {
        let slot = self.default.filter(|_| self.slots.len() == 1)?;
        self.leads.get(self.slot(slot).to)
    }

    /// Takes an entry. The first of two sources that have the same key wins; a source (a file) that
    /// has a key twice is refused the second.
    pub fn insert(&mut self, key: &str, to: &Destination, place: &Place) -> Result<(), Refused> {
        let parsed = Key::parse(key).map_err(Refused::Key)?;
        if key.len() > MAX_KEY {
            return Err(Refused::Key("expected a key of at most 4096 octets"));
        }
        let file = self.file(&place.file)?;
        let earlier = match parsed {
            Key::Exact(name) => self.look(&self.exact, name, Prefix::None),
            Key::Domain(domain) => self.look(&self.domain, domain, Prefix::At),
            Key::Below(domain) => self.look(&self.below, domain, Prefix::AtStarDot),
            Key::Default => self.default,
            Key::Pattern(_) => self
                .patterns
                .iter()
                .map(|(_, slot)| *slot)
                .find(|slot| self.key(*slot) == key),
        };
        if let Some(slot) = earlier {
            let place = self.place(slot);
            return match self.slot(slot).file == file {
                true => Err(Refused::Duplicate(place)),
                false => Ok(()),
            };
        }
        let compiled = match parsed {
            Key::Pattern(pattern) => Some(rule::pattern(pattern).map_err(Refused::Pattern)?),
            _ => None,
        };
        let slot = self.push(key, to.lead(), place.line, file)?;
        match parsed {
            Key::Exact(name) => self.exact.add(slot, hash(name.as_bytes())),
            Key::Domain(domain) => self.domain.add(slot, hash(domain.as_bytes())),
            Key::Below(domain) => self.below.add(slot, hash(domain.as_bytes())),
            Key::Default => self.default = Some(slot),
            Key::Pattern(_) => self.patterns.extend(compiled.map(|regex| (regex, slot))),
        }
        // Indexes grow when they are three quarters full; their hashes come from the keys.
        let slots = &self.slots;
        let keys = &self.keys;
        let rehash = |slot: u32, cut: usize| {
            let key = slots.get(slot as usize).and_then(|s| s.octets(keys));
            hash(key.and_then(|key| key.get(cut..)).unwrap_or_default())
        };
        self.exact.grow(|slot| rehash(slot, 0));
        self.domain.grow(|slot| rehash(slot, 1));
        self.below.grow(|slot| rehash(slot, 3));
        Ok(())
    }

    /// Lets go of what only [`insert`](Map::insert) needs.
    pub fn shrink(&mut self) {
        self.keys.shrink_to_fit();
        self.slots.shrink_to_fit();
        self.leads.shrink();
    }

    /// The most specific entry for a name: the name itself, its domain, the longest parent domain,
    /// patterns in file order. [`default`](Map::default_entry) is asked separately: other sources
    /// come before it.
    pub fn find<'m, 'n>(&'m self, user: &'n UserName) -> Option<Found<'m, 'n>> {
        let found = |slot, how| Found {
            map: self,
            slot,
            how,
            groups: None,
        };
        let name = user.as_str();
        if let Some(slot) = self.look(&self.exact, name, Prefix::None) {
            return Some(found(slot, How::Exact));
        }
        if let Some(domain) = user.domain() {
            if let Some(slot) = self.look(&self.domain, domain, Prefix::At) {
                return Some(found(slot, How::Domain));
            }
            if !self.below.is_empty() {
                let mut rest = domain;
                while let Some((_, parent)) = rest.split_once('.') {
                    if let Some(slot) = self.look(&self.below, parent, Prefix::AtStarDot) {
                        return Some(found(slot, How::Below));
                    }
                    rest = parent;
                }
            }
        }
        self.patterns.iter().find_map(|(regex, slot)| {
            regex.captures(name).map(|groups| Found {
                groups: Some(groups),
                ..found(*slot, How::Pattern)
            })
        })
    }

    /// The entry `"*"`.
    pub fn default_entry(&self) -> Option<Found<'_, '_>> {
        self.default.map(|slot| Found {
            map: self,
            slot,
            how: How::Default,
            groups: None,
        })
    }

    /// Every destination some entry leads to, once each.
    pub fn destinations(&self) -> impl Iterator<Item = Lead<'_>> {
        self.leads.iter()
    }

    fn look(&self, index: &Index, part: &str, prefix: Prefix) -> Option<u32> {
        index.find(hash(part.as_bytes()), |slot| {
            let key = self.slot(slot).octets(&self.keys);
            let key = key.and_then(|key| key.get(prefix as usize..));
            key.is_some_and(|key| key.eq_ignore_ascii_case(part.as_bytes()))
        })
    }

    fn file(&mut self, path: &Arc<Path>) -> Result<u16, Refused> {
        // The last one nearly always: entries come file by file.
        let same = |known: &Arc<Path>| Arc::ptr_eq(known, path) || known == path;
        if let Some(at) = self.files.iter().rposition(same) {
            return u16::try_from(at).map_err(|_| Refused::Full);
        }
        self.files.push(path.clone());
        u16::try_from(self.files.len() - 1).map_err(|_| Refused::Full)
    }

    fn push(&mut self, key: &str, to: Lead<'_>, line: u32, file: u16) -> Result<u32, Refused> {
        let slot = u32::try_from(self.slots.len()).map_err(|_| Refused::Full)?;
        let start = u32::try_from(self.keys.len()).map_err(|_| Refused::Full)?;
        if slot == u32::MAX {
            return Err(Refused::Full);
        }
        let to = self.leads.number(to).ok_or(Refused::Full)?;
        self.keys.extend_from_slice(key.as_bytes());
        self.slots.push(Slot {
            key: start,
            line,
            to,
            len: u16::try_from(key.len()).map_err(|_| Refused::Full)?,
            file,
        });
        Ok(slot)
    }

    fn slot(&self, slot: u32) -> Slot {
        const NONE: Slot = Slot {
            key: 0,
            line: 0,
            to: u32::MAX,
            len: 0,
            file: u16::MAX,
        };
        self.slots.get(slot as usize).copied().unwrap_or(NONE)
    }

    fn key(&self, slot: u32) -> &str {
        let octets = self.slot(slot).octets(&self.keys);
        octets.map_or("", |octets| std::str::from_utf8(octets).unwrap_or_default())
    }

    fn place(&self, slot: u32) -> Place {
        let slot = self.slot(slot);
        match self.files.get(usize::from(slot.file)) {
            Some(file) => Place {
                file: file.clone(),
                line: slot.line,
            },
            None => Place::default().at(slot.line),
        }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("entries", &self.slots.len())
            .field("patterns", &self.patterns.len())
            .field("destinations", &self.leads.len())
            .finish_non_exhaustive()
    }
}

impl Slot {
    fn octets(self, keys: &[u8]) -> Option<&[u8]> {
        let start = self.key as usize;
        keys.get(start..start.checked_add(usize::from(self.len))?)
    }
}

impl<'m> Found<'m, '_> {
    /// Where it leads.
    pub fn to(&self) -> Option<Lead<'m>> {
        self.map.leads.get(self.map.slot(self.slot).to)
    }

    /// The key as written.
    pub fn key(&self) -> &'m str {
        self.map.key(self.slot)
    }

    /// The entry as a value of its own, for the answer.
    pub fn entry(&self) -> Option<Entry> {
        Some(Entry {
            key: self.key().to_owned(),
            to: self.to()?.destination(),
            place: self.map.place(self.slot),
        })
    }
}

/// What stands before the part of a key that is looked up.
#[derive(Clone, Copy)]
enum Prefix {
    None = 0,
    At = 1,
    AtStarDot = 3,
}

#[cfg(test)]
mod tests;
