//! Where each user's live sessions are, as far as this process knows.
//!
//! A user's sessions belong together: mail stores cache, lock and notify within one host. So a login
//! claims its host before the host is asked. While others of the user are elsewhere the claim is not
//! granted; they can be told to leave, and when the last is gone it is.

use std::collections::HashMap;

use dashmap::DashMap;

use super::owner::{Owner, Place};

/// Every user with live sessions, and every login under way.
#[derive(Default)]
pub(super) struct Pins(DashMap<Owner, Pin>);

struct Pin {
    /// Where new sessions go.
    at: Place,
    members: HashMap<u64, Member>,
}

struct Member {
    place: Place,
    leave: Leave,
}

enum Leave {
    /// Nobody has asked it to.
    NotAsked(Option<Ask>),
    Asked,
}

/// How a session is asked to leave.
pub type Ask = Box<dyn Fn() + Send + Sync>;

/// Why a claim is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// The user's sessions are there.
    At(Place),
    /// The user's sessions elsewhere were asked to leave, and have not all left.
    Leaving,
}

impl Pins {
    pub(super) fn of(&self, owner: &Owner) -> Option<Place> {
        self.0.get(owner).map(|pin| pin.at.clone())
    }

    /// Takes a place for a session.
    pub(super) fn claim(&self, owner: &Owner, place: &Place, id: u64) -> Result<(), Denied> {
        let mut pin = self.0.entry(owner.clone()).or_insert_with(|| Pin {
            at: place.clone(),
            members: HashMap::new(),
        });
        if pin.at != *place {
            return Err(Denied::At(pin.at.clone()));
        }
        if pin.members.values().any(|member| member.place != *place) {
            return Err(Denied::Leaving);
        }
        pin.add(id, place);
        Ok(())
    }

    /// Asks a user's sessions to leave, but for those at `to`, and lets new ones in only there. How
    /// many are still elsewhere.
    pub(super) fn send_to(&self, owner: &Owner, to: &Place) -> usize {
        let Some(mut pin) = self.0.get_mut(owner) else {
            return 0;
        };
        pin.at = to.clone();
        pin.ask(|member| member.place != *to)
    }

    /// Asks all of a user's sessions to leave. How many there still are.
    pub(super) fn clear(&self, owner: &Owner) -> usize {
        self.0.get_mut(owner).map_or(0, |mut pin| pin.ask(|_| true))
    }

    /// How a session is asked to leave; it is at once, if it was to already.
    pub(super) fn on_leave(&self, owner: &Owner, id: u64, ask: Ask) {
        if let Some(mut pin) = self.0.get_mut(owner)
            && let Some(member) = pin.members.get_mut(&id)
        {
            match &mut member.leave {
                Leave::NotAsked(how) => *how = Some(ask),
                Leave::Asked => ask(),
            }
        }
    }

    /// A session is over.
    pub(super) fn remove(&self, owner: &Owner, id: u64) {
        if let dashmap::Entry::Occupied(mut entry) = self.0.entry(owner.clone()) {
            entry.get_mut().members.remove(&id);
            if entry.get().members.is_empty() {
                entry.remove();
            }
        }
    }

    /// Every member there is: its user, its number, its place.
    pub(super) fn all(&self) -> Vec<(Owner, u64, Place)> {
        let mut all = Vec::new();
        for pin in &self.0 {
            let owner = pin.key();
            let members = pin.members.iter();
            all.extend(members.map(|(id, it)| (owner.clone(), *id, it.place.clone())));
        }
        all
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Pin {
    fn add(&mut self, id: u64, place: &Place) {
        let member = Member {
            place: place.clone(),
            leave: Leave::NotAsked(None),
        };
        self.members.insert(id, member);
    }

    fn ask(&mut self, who: impl Fn(&Member) -> bool) -> usize {
        let mut left = 0;
        for member in self.members.values_mut().filter(|member| who(member)) {
            left += 1;
            if let Leave::NotAsked(how) = std::mem::replace(&mut member.leave, Leave::Asked)
                && let Some(ask) = how
            {
                ask();
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::protocol::UserName;

    #[test]
    fn a_user_is_on_one_host_at_a_time() {
        let pins = Pins::default();
        let alice = Owner::named(&UserName::new(b"alice").unwrap());
        let (a, b) = (Place::new("x", "a"), Place::new("x", "b"));
        pins.claim(&alice, &a, 1).unwrap();
        pins.claim(&alice, &a, 2).unwrap();
        assert_eq!(pins.claim(&alice, &b, 3), Err(Denied::At(a.clone())));
        let asked = Arc::new(AtomicU32::new(0));
        let ask = || -> Ask {
            let asked = asked.clone();
            Box::new(move || {
                asked.fetch_add(1, Ordering::Relaxed);
            })
        };
        pins.on_leave(&alice, 1, ask());
        assert_eq!(pins.send_to(&alice, &b), 2);
        assert_eq!(pins.send_to(&alice, &b), 2);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        // A login that was under way hears of it when it is done.
        pins.on_leave(&alice, 2, ask());
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert_eq!(pins.claim(&alice, &a, 3), Err(Denied::At(b.clone())));
        assert_eq!(pins.claim(&alice, &b, 3), Err(Denied::Leaving));
        pins.remove(&alice, 1);
        assert_eq!(pins.claim(&alice, &b, 3), Err(Denied::Leaving));
        pins.remove(&alice, 2);
        assert_eq!(pins.send_to(&alice, &b), 0);
        pins.claim(&alice, &b, 3).unwrap();
        assert_eq!(pins.of(&alice), Some(b));
        assert_eq!(pins.clear(&alice), 1);
        pins.remove(&alice, 3);
        assert!(pins.is_empty());
    }
}
