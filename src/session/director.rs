//! What an operator may order: drain and weigh hosts, move and hold users. Checked here against the
//! settings and the map; carried out and remembered by the state.
//!
//! USER is the name as its owner types it, or the login name where the map knows no such name. What is
//! moved or held is the user behind it, by whatever name it logs in.

use std::collections::HashSet;
use std::time::Duration;

use super::Gateway;
use crate::protocol::{Protocol, UserName};
use crate::route::Ask;
use crate::state::mover::Wish;
use crate::state::orders::now;
use crate::state::{Change, Drain, Hold, Owner, Place};

/// What is to become of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostChange {
    /// It takes no new users; those that are still there after the time, if one is given, are sent away.
    Drain(Option<Duration>),
    /// It takes new users.
    Up,
    /// It has this share of the users.
    Weight(u32),
}

/// Why an order is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// There is nothing of this name.
    Unknown(String),
    /// It could not be remembered.
    NotKept(String),
}

impl Wrong {
    /// In words.
    pub fn text(&self) -> &str {
        match self {
            Wrong::Unknown(text) | Wrong::NotKept(text) => text,
        }
    }
}

impl Gateway {
    /// Changes a host.
    ///
    /// # Errors
    /// There is no such backend or host, or it cannot be remembered.
    pub async fn change_host(
        &self,
        backend: &str,
        host: &str,
        change: HostChange,
    ) -> Result<(), Wrong> {
        self.known(backend, Some(host))?;
        let place = Place::new(backend, host);
        let settings = self.backends.get(backend).and_then(|it| it.host(host));
        let changes = vec![match change {
            HostChange::Drain(after) => Change::Drain(
                place,
                Drain {
                    since: now(),
                    end: after.map(|after| now().saturating_add(after.as_secs())),
                },
            ),
            HostChange::Up => Change::Undrain(place),
            HostChange::Weight(weight) => match settings.map(|host| host.weight()) {
                Some(same) if same == weight => Change::Unweight(place),
                _ => Change::Weight(place, weight),
            },
        }];
        self.state.order(changes).await.map_err(Wrong::NotKept)
    }

    /// What is asked of the state to move a user: to a backend and a host of it, if that is fixed.
    ///
    /// # Errors
    /// There is no such backend or host.
    pub fn wish(&self, user: &UserName, backend: &str, host: Option<&str>) -> Result<Wish, Wrong> {
        self.known(backend, host)?;
        let (owner, name) = self.owner_of(user);
        Ok(Wish {
            owner,
            user: name.to_string(),
            to: Some((backend.to_owned(), host.map(str::to_owned))),
        })
    }

    /// What is asked of the state to undo a user's move: whatever is listed under a name can be undone by it.
    ///
    /// # Errors
    /// The user is not moved.
    pub fn wish_back(&self, user: &UserName) -> Result<Wish, Wrong> {
        let (owner, name) = self.owner_of(user);
        let orders = self.state.orders();
        match orders.moved_by(&owner, &Owner::named(&name)) {
            Some((owner, moved)) => Ok(Wish {
                owner: owner.clone(),
                user: moved.user.clone(),
                to: None,
            }),
            None => Err(Wrong::Unknown(format!("{name} is not moved"))),
        }
    }

    /// Has a user's logins wait: of the user as the map knows it, and of that name wherever the map leads
    /// it later.
    ///
    /// # Errors
    /// It cannot be remembered.
    pub async fn hold(&self, user: &UserName) -> Result<(), Wrong> {
        let (owner, name) = self.owner_of(user);
        let hold = Hold {
            user: name.to_string(),
            since: now(),
            until: None,
            of: None,
        };
        let mut keys = vec![owner, Owner::named(&name)];
        keys.dedup();
        let changes = { keys.into_iter() }.map(|key| Change::Hold(key, hold.clone()));
        let changes = changes.collect();
        self.state.order(changes).await.map_err(Wrong::NotKept)
    }

    /// Has a user's logins go on: whatever holds that user is released, also where it was held by another
    /// name of it, or the map has changed since.
    ///
    /// # Errors
    /// It cannot be remembered.
    pub async fn release(&self, user: &UserName) -> Result<(), Wrong> {
        let (owner, name) = self.owner_of(user);
        let named = Owner::named(&name);
        // What this gateway may not have heard of yet, too.
        let mut keys = HashSet::from([owner.clone(), named.clone()]);
        let held: Vec<(Owner, String)> = {
            let orders = self.state.orders();
            let followed = orders.moved(&owner, &named);
            keys.extend(followed.map(|(key, _)| key.clone()));
            let held = orders.holds().filter(|(_, hold)| hold.until.is_none());
            let held = held.map(|(key, hold)| (key.clone(), hold.user.clone()));
            held.collect()
        };
        let same = |user: &str| {
            let Ok(user) = UserName::new(user.as_bytes()) else {
                return false;
            };
            let (its_owner, its_name) = self.owner_of(&user);
            its_owner == owner || Owner::named(&its_name) == named
        };
        let held = held.into_iter().filter(|(_, user)| same(user));
        keys.extend(held.map(|(key, _)| key));
        let changes = keys.into_iter().map(Change::Release).collect();
        self.state.order(changes).await.map_err(Wrong::NotKept)
    }

    /// The key of a user by the name as it is typed, and that name with its domain.
    pub fn owner_of(&self, user: &UserName) -> (Owner, UserName) {
        let ask = Ask::of(user, Protocol::Imap);
        let decision = self.router.decide(ask);
        (decision.owners().0, decision.user)
    }

    /// Whether there is such a backend, and such a host in it.
    fn known(&self, backend: &str, host: Option<&str>) -> Result<(), Wrong> {
        let Some(found) = self.backends.get(backend) else {
            let names: Vec<String> = self
                .backends
                .iter()
                .map(|it| it.name().to_owned())
                .collect();
            return Err(unknown(
                &format!("there is no backend {backend}"),
                backend,
                &names,
            ));
        };
        let Some(host) = host else { return Ok(()) };
        let hosts = found.hosts();
        if hosts.iter().any(|known| known.name() == host) {
            return Ok(());
        }
        let names: Vec<String> = hosts.iter().map(|host| host.name().to_owned()).collect();
        let text = format!("backend {backend} has no host {host}");
        Err(unknown(&text, host, &names))
    }
}

/// How alike names must be for one to be meant by the other.
const ALIKE: f64 = 0.75;

fn unknown(text: &str, name: &str, names: &[String]) -> Wrong {
    // One slip of the finger, two letters swapped included, is always meant.
    let likeness = |known: &String| match strsim::osa_distance(name, known) {
        0 | 1 => 1.0,
        _ => strsim::jaro_winkler(name, known),
    };
    let nearest = names
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    Wrong::Unknown(match nearest.filter(|known| likeness(known) > ALIKE) {
        Some(known) => format!("{text}: did you mean {known}?"),
        None => format!("{text}, expected one of: {}", names.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_told_with_known_ones() {
        let names = ["store-1".to_owned(), "10.0.0.5".to_owned()];
        for (name, want) in [
            ("stor-1", "no: did you mean store-1?"),
            ("sotre-1", "no: did you mean store-1?"),
            ("xyz", "no, expected one of: store-1, 10.0.0.5"),
        ] {
            assert_eq!(unknown("no", name, &names).text(), want);
        }
    }
}
