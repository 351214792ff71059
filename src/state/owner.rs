//! Whose sessions, and where: the keys of everything that is remembered.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::protocol::{Protocol, UserName};

/// One user, whose sessions belong on one host: the backend that the map names, and the canonical
/// login name there. Two people may have the same login name on two backends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(Arc<str>);

impl Owner {
    /// The user as the map knows it, before any move.
    pub fn new(backend: &str, login: &UserName) -> Self {
        Owner(format!("{backend}/{}", login.canonical()).into())
    }

    /// A user of whom nothing but the name is known, as it would be typed.
    pub fn named(user: &UserName) -> Self {
        Owner(format!("/{}", user.canonical()).into())
    }

    /// The sessions of one protocol of a user whose hosts a lookup service names by address: it may
    /// name another one for each protocol.
    fn lane(&self, protocol: Protocol) -> Self {
        Owner(format!("{}\t{protocol}", self.0).into())
    }

    /// Every key under which sessions of whoever is known by these two may stand.
    pub(super) fn all_keys(owner: &Owner, named: &Owner) -> Vec<Owner> {
        let mut keys = vec![owner.clone()];
        if named != owner {
            keys.push(named.clone());
        }
        keys.extend(Protocol::ALL.map(|protocol| named.lane(protocol)));
        keys
    }

    /// A key that [`as_str`](Self::as_str) told.
    pub(super) fn from_key(key: &str) -> Self {
        Owner(key.into())
    }

    /// `backend/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A host of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The backend's name.
    pub backend: Arc<str>,
    /// The host's name.
    pub host: Arc<str>,
}

impl Place {
    /// A host of a backend, by their names.
    pub fn new(backend: &str, host: &str) -> Self {
        Place {
            backend: backend.into(),
            host: host.into(),
        }
    }

    /// Reads what `Display` writes. Names of backends have no slash.
    pub fn parse(text: &str) -> Option<Self> {
        let (backend, host) = text.split_once('/')?;
        Some(Place::new(backend, host))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.backend, self.host)
    }
}

/// What a login brings to be let in: who it is, and what was decided for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The user as the map knows it.
    pub owner: Owner,
    /// The user by the name that was typed, with its domain.
    pub named: Owner,
    /// The [`version`](super::Move::version) of the move that was followed; 0: none.
    pub moved: u64,
    /// What its sessions are known by beside the name.
    pub lane: Lane,
}

/// Which of a user's sessions belong on one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lane {
    /// All of them: of the user as the map knows it, and of the name that was typed, also where the
    /// map has changed since the others came.
    #[default]
    Whole,
    /// Those of this protocol: a lookup service named the server by its address.
    Protocol(Protocol),
}

impl Pass {
    /// Of a login that follows no move, known by its login name only: probes, tools.
    pub fn plain(backend: &str, login: &UserName) -> Self {
        Pass {
            owner: Owner::new(backend, login),
            named: Owner::named(login),
            moved: 0,
            lane: Lane::Whole,
        }
    }

    /// Every key under which its session stands; all sessions under one key are on one host.
    pub fn keys(&self) -> Vec<Owner> {
        match self.lane {
            Lane::Protocol(protocol) => vec![self.named.lane(protocol)],
            // Known by the name only: a service says where, and may have named addresses before.
            Lane::Whole if self.owner == self.named => Owner::all_keys(&self.owner, &self.named),
            Lane::Whole => vec![self.owner.clone(), self.named.clone()],
        }
    }
}
