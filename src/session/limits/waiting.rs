//! Connections that wait for their client before login, oldest first: when the gateway is full the
//! oldest of them makes room.
//!
//! Whoever asks a host or has logged in is not among them, so nobody's mail is interrupted; a client
//! that dribbles stays where its age puts it. Each holds its place until it is told to go, and then
//! gives it back at once, without a long goodbye.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// All that wait, by their age.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Line>);

#[derive(Default)]
struct Line {
    next: u64,
    wait: BTreeMap<u64, Arc<Notify>>,
}

/// One that may wait: its age, and how it is told.
#[derive(Clone)]
pub(super) struct Ticket {
    age: u64,
    go: Arc<Notify>,
}

/// Why a connection ended before its session began.
#[derive(Debug)]
pub enum Parted {
    /// What it began with failed.
    Failed(io::Error),
    /// It made room for another.
    MadeRoom,
}

/// For the operator's log.
impl fmt::Display for Parted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Parted::Failed(error) => write!(f, "{error}"),
            Parted::MadeRoom => f.write_str("made room"),
        }
    }
}

impl Waiting {
    /// A new connection waits.
    pub(super) fn arrive(&self) -> Ticket {
        let mut line = self.line();
        let age = line.next;
        line.next = line.next.saturating_add(1);
        let go = Arc::new(Notify::new());
        line.wait.insert(age, go.clone());
        Ticket { age, go }
    }

    /// It waits no more; whether it was still let be.
    pub(super) fn leave(&self, ticket: &Ticket) -> bool {
        self.line().wait.remove(&ticket.age).is_some()
    }

    /// It waits again, as old as it is.
    pub(super) fn come_back(&self, ticket: &Ticket) {
        self.line().wait.insert(ticket.age, ticket.go.clone());
    }

    /// The oldest is told to go, if there is one.
    pub(super) fn make_room(&self) -> bool {
        let oldest = self.line().wait.pop_first();
        oldest.is_some_and(|(_, go)| {
            go.notify_one();
            true
        })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Comes back when it is told to go.
    pub(super) async fn told_to_go(&self) {
        self.go.notified().await;
    }
}
