//! What operators ordered: moves, drains, weights, holds. Changed by [`Change`]s only, so that every
//! replica and every restart comes to the same. What a later build may add to one of them is passed over:
//! gateways of two builds share a store while they are exchanged. A file has a format of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::owner::{Owner, Place};

/// A user that was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// As the operator named it, with its domain.
    pub user: String,
    /// Where to.
    pub backend: String,
    /// A fixed host there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// In seconds of Unix time.
    pub since: u64,
    /// No two moves of a user have the same.
    pub version: u64,
}

/// A host that takes no new users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// In seconds of Unix time.
    pub since: u64,
    /// From then on (seconds of Unix time) those that are still there are sent away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
}

impl Drain {
    /// Whether those that are still there are to go.
    pub fn is_over(&self) -> bool {
        self.end.is_some_and(|end| end <= now())
    }
}

/// A user whose logins wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// As the operator named it, with its domain.
    pub user: String,
    /// In seconds of Unix time.
    pub since: u64,
    /// Of a move under way: it ends by itself then (seconds of Unix time), should whoever moves die.
    /// A hold that an operator asked for has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Which move it is of: two moves of a user have different numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
}

impl Hold {
    fn holds(&self) -> bool {
        self.until.is_none_or(|until| now() < until)
    }
}

/// One step from what was ordered to what is ordered now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// A user goes elsewhere from now on.
    Move(Owner, Move),
    /// A user goes by the map again.
    Unmove(Owner),
    /// A host takes no new users.
    Drain(Place, Drain),
    /// A host takes new users again.
    Undrain(Place),
    /// A host has another weight than in the settings.
    Weight(Place, u32),
    /// A host has the weight of the settings.
    Unweight(Place),
    /// A user's logins wait.
    Hold(Owner, Hold),
    /// They go on.
    Release(Owner),
}

impl Change {
    /// Whose way or hold it changes, if any user's.
    pub(super) fn user(&self) -> Option<&Owner> {
        match self {
            Change::Move(owner, _) | Change::Unmove(owner) => Some(owner),
            Change::Hold(owner, _) | Change::Release(owner) => Some(owner),
            Change::Drain(..) | Change::Undrain(_) => None,
            Change::Weight(..) | Change::Unweight(_) => None,
        }
    }
}

/// Everything that is ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    moves: HashMap<Owner, Move>,
    /// Which move is meant by the name that its operator used: found also where the map has led that
    /// name elsewhere since.
    names: HashMap<Owner, Owner>,
    drains: BTreeMap<Place, Drain>,
    weights: BTreeMap<Place, u32>,
    holds: HashMap<Owner, Hold>,
}

impl Orders {
    /// Takes a step.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Move(owner, moved) => {
                self.unmove(&owner);
                if let Some(named) = named(&moved.user) {
                    self.names.insert(named, owner.clone());
                }
                self.moves.insert(owner, moved);
            }
            Change::Unmove(owner) => self.unmove(&owner),
            Change::Drain(place, drain) => drop(self.drains.insert(place, drain)),
            Change::Undrain(place) => drop(self.drains.remove(&place)),
            Change::Weight(place, weight) => drop(self.weights.insert(place, weight)),
            Change::Unweight(place) => drop(self.weights.remove(&place)),
            Change::Hold(owner, hold) => drop(self.holds.insert(owner, hold)),
            Change::Release(owner) => drop(self.holds.remove(&owner)),
        }
    }

    fn unmove(&mut self, owner: &Owner) {
        let Some(old) = self.moves.remove(owner) else {
            return;
        };
        if let Some(named) = named(&old.user)
            && self.names.get(&named) == Some(owner)
        {
            self.names.remove(&named);
        }
    }

    /// Each name means the move of this key from now on, and no other name means any.
    pub(super) fn set_names(&mut self, names: HashMap<Owner, Owner>) {
        self.names = names;
    }

    /// Every move; of several of a name the one that it means is the last.
    fn moves_in_order(&self) -> Vec<(&Owner, &Move)> {
        let meant: HashSet<&Owner> = self.names.values().collect();
        let (mut last, mut moves): (Vec<_>, Vec<_>) =
            { self.moves.iter() }.partition(|(owner, _)| meant.contains(owner));
        last.sort_unstable_by_key(|(owner, _)| *owner);
        moves.sort_unstable_by_key(|(owner, _)| *owner);
        moves.extend(last);
        moves
    }

    /// The names that operators moved somebody by and that mean no move any more: they go by the map.
    pub(super) fn by_map(&self) -> BTreeSet<Owner> {
        // As a rule each move has a name of its own, and that means it.
        if self.names.len() == self.moves.len() {
            return BTreeSet::new();
        }
        let named = self.moves.values().filter_map(|moved| named(&moved.user));
        named.filter(|it| !self.names.contains_key(it)).collect()
    }

    /// The move of a user, under one of the keys it has, and that key.
    pub fn moved(&self, owner: &Owner, named: &Owner) -> Option<(&Owner, &Move)> {
        let found = self.moves.get_key_value(owner);
        found.or_else(|| self.moves.get_key_value(self.names.get(named)?))
    }

    /// The same, and where there is none, one that was ordered by this name and that it does not mean any
    /// more: its user was moved again since, as another of the map's.
    pub fn moved_by(&self, owner: &Owner, by: &Owner) -> Option<(&Owner, &Move)> {
        self.moved(owner, by).or_else(|| {
            let left = { self.moves.iter() }.filter(|(_, it)| named(&it.user).as_ref() == Some(by));
            left.min_by_key(|(owner, _)| *owner)
        })
    }

    /// Whether a user's logins wait.
    pub fn held(&self, owner: &Owner, named: &Owner) -> bool {
        self.held_by(owner, named).is_some()
    }

    /// The hold for which a user's logins wait: under a key it has, or under that of the move it follows,
    /// which is the key it had when it was moved.
    pub fn held_by(&self, owner: &Owner, named: &Owner) -> Option<&Hold> {
        if self.holds.is_empty() {
            return None;
        }
        let followed = self.moved(owner, named).map(|(key, _)| key);
        let keys = [Some(owner), Some(named), followed];
        keys.into_iter().flatten().find_map(|key| self.hold(key))
    }

    /// The hold of a user by its key.
    pub(super) fn hold(&self, owner: &Owner) -> Option<&Hold> {
        self.holds.get(owner).filter(|hold| hold.holds())
    }

    /// The move of a user by its key.
    pub(super) fn standing(&self, owner: &Owner) -> Option<&Move> {
        self.moves.get(owner)
    }

    /// The hold of a user by its key, also one that has ended by itself.
    pub(super) fn last_hold(&self, owner: &Owner) -> Option<&Hold> {
        self.holds.get(owner)
    }

    /// The drain of a host.
    pub fn drain(&self, place: &Place) -> Option<Drain> {
        self.drains.get(place).copied()
    }

    /// The weight of a host, where it is not that of the settings.
    pub fn weight(&self, place: &Place) -> Option<u32> {
        self.weights.get(place).copied()
    }

    /// Every move, in no order.
    pub fn moves(&self) -> impl ExactSizeIterator<Item = (&Owner, &Move)> {
        self.moves.iter()
    }

    /// Every hold, in no order.
    pub fn holds(&self) -> impl Iterator<Item = (&Owner, &Hold)> {
        self.holds.iter().filter(|(_, hold)| hold.holds())
    }

    /// Every drain.
    pub fn drains(&self) -> impl Iterator<Item = (&Place, &Drain)> {
        self.drains.iter()
    }

    /// Every weight that is not that of the settings.
    pub fn weights(&self) -> impl Iterator<Item = (&Place, u32)> {
        self.weights.iter().map(|(place, weight)| (place, *weight))
    }

    /// Whether any of these steps would change what [`write`](Self::write) writes.
    pub(super) fn keeps_any(&self, changes: &[Change]) -> bool {
        let held = |owner| self.holds.get(owner).is_some_and(|it| it.until.is_none());
        changes.iter().any(|change| match change {
            Change::Hold(owner, hold) => hold.until.is_none() || held(owner),
            Change::Release(owner) => held(owner),
            _ => true,
        })
    }

    /// The steps that lead here from nothing, but for the names that [go by the map](Self::by_map).
    pub(super) fn changes(&self) -> Vec<Change> {
        let moves = self.moves_in_order().into_iter();
        let moves = moves.map(|(o, m)| Change::Move(o.clone(), m.clone()));
        let drains = { self.drains.iter() }.map(|(p, d)| Change::Drain(p.clone(), *d));
        let weights = { self.weights.iter() }.map(|(p, w)| Change::Weight(p.clone(), *w));
        let holds = { self.holds.iter() }.map(|(o, h)| Change::Hold(o.clone(), h.clone()));
        moves.chain(drains).chain(weights).chain(holds).collect()
    }

    /// As a text, from which [`read`](Self::read) makes the same again. Holds of moves under way are
    /// not in it: a move that was cut off by the end of the process holds nobody.
    pub fn write(&self) -> Vec<u8> {
        let holds = self.holds.iter().filter(|(_, hold)| hold.until.is_none());
        let operators = |hold: &Hold| Hold {
            of: None,
            ..hold.clone()
        };
        let mut holds: Vec<_> = holds
            .map(|(owner, hold)| (owner, operators(hold)))
            .collect();
        holds.sort_unstable_by_key(|(owner, _)| *owner);
        let kept = Kept {
            gatepost_state: FORMAT,
            moves: self.moves_in_order(),
            by_map: self.by_map(),
            drains: self.drains.iter().collect(),
            weights: self.weights.iter().collect(),
            holds,
        };
        let mut text = serde_json::to_vec(&kept).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// Where it is damaged, in words.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let kept: Kept<Owner, Place, Move, Drain, u32, Hold> =
            serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if kept.gatepost_state != FORMAT {
            let other = kept.gatepost_state;
            return Err(format!("format {other}, expected {FORMAT}"));
        }
        let mut orders = Orders::default();
        let moves = kept.moves.into_iter().map(|(o, m)| Change::Move(o, m));
        let drains = kept.drains.into_iter().map(|(p, d)| Change::Drain(p, d));
        let weights = kept.weights.into_iter().map(|(p, w)| Change::Weight(p, w));
        let holds = kept.holds.into_iter().map(|(o, h)| Change::Hold(o, h));
        for change in moves.chain(drains).chain(weights).chain(holds) {
            orders.apply(change);
        }
        orders.names.retain(|named, _| !kept.by_map.contains(named));
        Ok(orders)
    }
}

/// The present format of a state file.
const FORMAT: u32 = 1;

/// A state file: written from what is borrowed, read into what is owned.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept<O, P, M, D, W, H> {
    gatepost_state: u32,
    /// Each takes its name from those before.
    moves: Vec<(O, M)>,
    /// Names of moves that mean none of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    by_map: BTreeSet<Owner>,
    drains: Vec<(P, D)>,
    weights: Vec<(P, W)>,
    holds: Vec<(O, H)>,
}

/// The key of a name as an operator gave it.
pub(super) fn named(user: &str) -> Option<Owner> {
    let user = crate::protocol::UserName::new(user.as_bytes()).ok()?;
    Some(Owner::named(&user))
}

/// Every key under which sessions of a user may stand, by its key and its name as an operator gave it.
pub(super) fn keys_of(owner: &Owner, user: &str) -> Vec<Owner> {
    let named = named(user);
    Owner::all_keys(owner, named.as_ref().unwrap_or(owner))
}

/// Seconds of Unix time as RFC 3339 has them.
pub fn told_time(seconds: u64) -> String {
    // Far beyond any date that can be written.
    let seconds = seconds.min(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// Seconds of Unix time.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests;
