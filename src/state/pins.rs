//! Where each user's live sessions are, as far as this process knows.
//!
//! A user's sessions belong together: mail stores cache, lock and notify within one host. So a login
//! claims its host before the host is asked. While others of the user are elsewhere the claim is not
//! granted; they can be told to leave, and when the last is gone it is.

use std::sync::Arc;

use dashmap::DashMap;

use super::owner::{Owner, Place};

/// Every user with live sessions, and every login under way.
#[derive(Default)]
pub(super) struct Pins(DashMap<Owner, Pin>);

struct Pin {
    /// Where new sessions go.
    at: Place,
    /// Few: one of a device, or of a folder that it watches.
    members: Vec<Member>,
}

struct Member {
    id: u64,
    place: Place,
    leave: Leave,
}

enum Leave {
    /// Nobody has asked it to.
    NotAsked(Option<Ask>),
    Asked,
}

/// How a session is asked to leave; more than once is as once.
pub type Ask = Arc<dyn Fn() + Send + Sync>;

/// What a user has on a host, as far as this process knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A session that nobody has asked to leave.
    Session,
    /// A login under way.
    Login,
    /// Nothing, or what is on its way out.
    Absent,
}

/// Why a claim is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// The user's sessions are there.
    At(Place),
    /// The user's sessions elsewhere were asked to leave, and have not all left.
    Leaving,
}

impl Pins {
    /// Where new sessions under these keys go: the first that has any decides.
    pub(super) fn of(&self, keys: &[Owner]) -> Option<Place> {
        let mut pins = keys.iter().filter_map(|key| self.0.get(key));
        pins.next().map(|pin| pin.at.clone())
    }

    /// What the user has there under these keys.
    pub(super) fn presence(&self, keys: &[Owner], place: &Place) -> Presence {
        let mut presence = Presence::Absent;
        for pin in keys.iter().filter_map(|key| self.0.get(key)) {
            for member in pin.members.iter().filter(|it| it.place == *place) {
                match member.leave {
                    Leave::NotAsked(Some(_)) => return Presence::Session,
                    Leave::NotAsked(None) => presence = Presence::Login,
                    Leave::Asked => {}
                }
            }
        }
        presence
    }

    /// Takes a place for a session under all of its keys, or under none.
    pub(super) fn claim(&self, keys: &[Owner], place: &Place, id: u64) -> Result<(), Denied> {
        for (n, key) in keys.iter().enumerate() {
            if let Err(denied) = self.claim_one(key, place, id) {
                self.remove(keys.get(..n).unwrap_or_default(), id);
                return Err(denied);
            }
        }
        Ok(())
    }

    fn claim_one(&self, owner: &Owner, place: &Place, id: u64) -> Result<(), Denied> {
        let mut pin = self.0.entry(owner.clone()).or_insert_with(|| Pin {
            at: place.clone(),
            members: Vec::with_capacity(1),
        });
        if pin.at != *place {
            return Err(Denied::At(pin.at.clone()));
        }
        if pin.members.iter().any(|member| member.place != *place) {
            return Err(Denied::Leaving);
        }
        pin.add(id, place);
        Ok(())
    }

    /// Asks a user's sessions to leave, but for those at `to`, and lets new ones in only there. How
    /// many are still elsewhere.
    pub(super) fn send_all_to(&self, keys: &[Owner], to: &Place) -> usize {
        let left = keys.iter().map(|key| self.send_to(key, to));
        left.max().unwrap_or_default()
    }

    /// As [`send_all_to`](Self::send_all_to), of one key.
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
    pub(super) fn on_leave(&self, keys: &[Owner], id: u64, ask: &Ask) {
        for key in keys {
            if let Some(mut pin) = self.0.get_mut(key)
                && let Some(member) = pin.members.iter_mut().find(|it| it.id == id)
            {
                match &mut member.leave {
                    Leave::NotAsked(how) => *how = Some(ask.clone()),
                    Leave::Asked => ask(),
                }
            }
        }
    }

    /// A session is over.
    pub(super) fn remove(&self, keys: &[Owner], id: u64) {
        for key in keys {
            if let dashmap::Entry::Occupied(mut entry) = self.0.entry(key.clone()) {
                entry.get_mut().members.retain(|member| member.id != id);
                if entry.get().members.is_empty() {
                    entry.remove();
                }
            }
        }
    }

    /// Every member there is: its user, its number, its place.
    pub(super) fn all(&self) -> Vec<(Owner, u64, Place)> {
        let mut all = Vec::new();
        for pin in &self.0 {
            let owner = pin.key();
            let members = pin.members.iter();
            all.extend(members.map(|it| (owner.clone(), it.id, it.place.clone())));
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
        self.members.push(Member {
            id,
            place: place.clone(),
            leave: Leave::NotAsked(None),
        });
    }

    fn ask(&mut self, who: impl Fn(&Member) -> bool) -> usize {
        let mut left = 0;
        for member in self.members.iter_mut().filter(|member| who(member)) {
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
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::protocol::UserName;

    #[test]
    fn a_user_is_on_one_host_at_a_time() {
        let pins = Pins::default();
        let alice = &Owner::named(&UserName::new(b"alice").unwrap());
        let keys = std::slice::from_ref(alice);
        let (a, b) = (Place::new("x", "a"), Place::new("x", "b"));
        pins.claim(keys, &a, 1).unwrap();
        pins.claim(keys, &a, 2).unwrap();
        assert_eq!(pins.claim(keys, &b, 3), Err(Denied::At(a.clone())));
        let presence = |place| pins.presence(keys, place);
        assert_eq!(
            (presence(&a), presence(&b)),
            (Presence::Login, Presence::Absent)
        );
        let asked = Arc::new(AtomicU32::new(0));
        let ask = || -> Ask {
            let asked = asked.clone();
            Arc::new(move || {
                asked.fetch_add(1, Ordering::Relaxed);
            })
        };
        pins.on_leave(keys, 1, &ask());
        assert_eq!(presence(&a), Presence::Session);
        assert_eq!(pins.send_to(alice, &b), 2);
        assert_eq!(presence(&a), Presence::Absent);
        assert_eq!(pins.send_to(alice, &b), 2);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        // A login that was under way hears of it when it is done.
        pins.on_leave(keys, 2, &ask());
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert_eq!(pins.claim(keys, &a, 3), Err(Denied::At(b.clone())));
        assert_eq!(pins.claim(keys, &b, 3), Err(Denied::Leaving));
        pins.remove(keys, 1);
        assert_eq!(pins.claim(keys, &b, 3), Err(Denied::Leaving));
        pins.remove(keys, 2);
        assert_eq!(pins.send_to(alice, &b), 0);
        pins.claim(keys, &b, 3).unwrap();
        assert_eq!(pins.of(keys), Some(b));
        assert_eq!(pins.clear(alice), 1);
        pins.remove(keys, 3);
        assert!(pins.is_empty());
    }

    #[test]
    fn a_name_that_the_map_leads_elsewhere_is_the_same_user() {
        let pins = Pins::default();
        let alice = UserName::new(b"alice").unwrap();
        let before = [Owner::new("old", &alice), Owner::named(&alice)];
        let after = [Owner::new("new", &alice), Owner::named(&alice)];
        let (a, b) = (Place::new("old", "a"), Place::new("new", "b"));
        pins.claim(&before, &a, 1).unwrap();
        assert_eq!(pins.claim(&after, &b, 2), Err(Denied::At(a.clone())));
        assert_eq!(pins.of(&after), Some(a));
        assert!(pins.of(&after[..1]).is_none(), "nothing stays of a denial");
        assert_eq!(pins.send_all_to(&after, &b), 1);
        pins.remove(&before, 1);
        pins.claim(&after, &b, 2).unwrap();
        pins.remove(&after, 2);
        assert!(pins.is_empty());
    }
}
