//! Orders in a file: read at the start, followed while another process writes them, written by us.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::turn::{Turn, Whose};
use super::{Kept, Orders, Owner, State, file, orders};

/// How often is looked whether another process has written, or has let go.
const LOOK: Duration = Duration::from_millis(50);

/// How long moves under way are waited for before the turn is another process's: one waits up to 42
/// seconds for sessions to leave.
const MOVES: Duration = Duration::from_secs(60);

/// Opens a file of orders; what is ordered, and whose turn it is to write. Blocks on the file system.
///
/// # Errors
/// Why it cannot be, for the operator: a file that is damaged or cannot be written.
pub(super) fn open(path: &Path) -> Result<(Orders, Turn), String> {
    let told = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
    let turn = Turn::at(path).map_err(|error| told(&error))?;
    turn.is_other();
    let orders = read(path)?;
    if turn.whose() == Whose::Ours {
        // Better now than at the first move: what cannot be written is told before anything starts.
        file::replace(path, &orders.write()).map_err(|error| told(&error))?;
    }
    Ok((orders, turn))
}

/// Whether a file of orders can be read, if it is there. Nothing is written. Blocks on the file system.
///
/// # Errors
/// Why not, for the operator; without the file's name.
pub fn try_file(path: &Path) -> Result<(), String> {
    content(path).map(drop)
}

fn read(path: &Path) -> Result<Orders, String> {
    content(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn content(path: &Path) -> Result<Orders, String> {
    let content = file::read(path).map_err(|error| error.to_string())?;
    let Some(text) = content else {
        return Ok(Orders::default());
    };
    Orders::read(&text).map_err(|wrong| {
        format!(
            "the state is damaged: {wrong}; put a good copy in its place, or move it away to begin \
             without moves, drains and weights"
        )
    })
}

impl State {
    /// While another process writes the file, goes by what it writes; takes over when it lets go.
    pub(super) fn follow(self: &Arc<Self>) {
        let Kept::InFile(turn) = &self.kept else {
            return;
        };
        if turn.whose() != Whose::Others {
            return;
        }
        let file = turn.path.display();
        tracing::info!(target: "gatepost", event = "state_followed", %file, "another process writes it");
        let (state, turn) = (self.clone(), turn.clone());
        tokio::spawn(async move {
            let mut told = None;
            while turn.whose() == Whose::Others {
                sleep(LOOK).await;
                let error = state.look(&turn).await.err();
                if let Some(error) = &error {
                    // It is looked at until it can be read.
                    if told.as_ref() != Some(error) {
                        tracing::warn!(target: "gatepost", event = "state_followed", error);
                    }
                    sleep(LOOK * 20).await;
                }
                told = error;
            }
        });
    }

    async fn look(&self, turn: &Arc<Turn>) -> Result<(), String> {
        let looking = turn.clone();
        let found = spawn_blocking(move || {
            // Locked first: what is read then is the last that others wrote.
            let lock = looking.locked().map_err(|error| error.to_string())?;
            let orders = match lock.is_some() || looking.is_other() {
                true => Some(read(&looking.path).inspect_err(|_| looking.forget())?),
                false => None,
            };
            Ok::<_, String>((lock, orders))
        });
        let (lock, orders) = found.await.map_err(|error| error.to_string())??;
        if let Some(next) = orders {
            self.go_by(next);
        }
        if let Some(lock) = lock {
            turn.keep(lock);
            let file = turn.path.display();
            tracing::info!(target: "gatepost", event = "state_taken", %file, "this process writes it");
        }
        Ok(())
    }

    /// Goes by orders that others gave while this process did not hear them. Sessions that came here by
    /// another way are asked to leave, as they would have been there.
    pub(super) fn go_by(&self, next: Orders) {
        let moved = moved_between(&self.orders(), &next);
        self.replace(next, &moved);
    }

    /// Finishes the moves that are under way, and leaves the file to the process that follows this one.
    /// Orders that come later are refused.
    pub async fn let_go(&self) {
        let Kept::InFile(turn) = &self.kept else {
            return;
        };
        let done = async {
            for job in self.jobs() {
                job.finished().await;
            }
        };
        let _ = timeout(MOVES, done).await;
        let _turn = self.writing.lock().await;
        turn.let_go();
    }
}

/// The keys of those whose way is another one.
fn moved_between(before: &Orders, after: &Orders) -> Vec<Owner> {
    let lacks = |of: &Orders, other: &Orders| -> Vec<Owner> {
        let moves = of.moves();
        let other: std::collections::HashMap<_, _> = other.moves().collect();
        let changed = moves.filter(|(owner, moved)| other.get(owner) != Some(moved));
        let keys = changed.flat_map(|(owner, moved)| orders::keys_of(owner, &moved.user));
        keys.collect()
    };
    let mut moved = lacks(after, before);
    moved.extend(lacks(before, after));
    moved
}

#[cfg(test)]
mod tests {
    use super::super::orders::Change;
    use super::super::tests::{hold, moved};
    use super::super::{Config, Place};
    use super::*;
    use crate::protocol::UserName;

    #[tokio::test]
    async fn what_the_old_process_writes_last_is_not_lost() {
        let dir = crate::state::tests::scratch("follow");
        let config = Config::File(dir.join("state"));
        let owner = |name: &str| Owner::new("old", &UserName::new(name.as_bytes()).unwrap());
        let moved = |name: &str| Change::Move(owner(name), moved(name, "new", 1));
        let held = |name: &str| Change::Hold(owner(name), hold(name));
        let old = State::open(&config).unwrap();
        old.order(vec![moved("a")]).await.unwrap();
        let new = State::open(&config).unwrap();
        new.start().await;
        assert_eq!(new.orders().moves().len(), 1);
        // An order of the new one waits; the old one's are seen meanwhile.
        let place = Place::new("old", "h1");
        let (waits, weight) = (new.clone(), Change::Weight(place.clone(), 7));
        let waiting = tokio::spawn(async move { waits.order(vec![weight]).await });
        old.order(vec![moved("b"), held("c")]).await.unwrap();
        while new.orders().moves().len() < 2 {
            sleep(LOOK).await;
        }
        assert!(!waiting.is_finished());
        old.order(vec![moved("d")]).await.unwrap();
        old.let_go().await;
        assert!(old.order(vec![moved("e")]).await.is_err());
        assert_eq!(waiting.await.unwrap(), Ok(()));
        drop((old, new));
        let orders = read(&dir.join("state")).unwrap();
        assert_eq!(orders.moves().len(), 3);
        assert_eq!(orders.weight(&place), Some(7));
        assert!(orders.held(&owner("c"), &owner("c")));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn what_could_not_be_read_once_is_read_again() {
        let dir = crate::state::tests::scratch("again");
        let path = dir.join("state");
        let config = Config::File(path.clone());
        let _old = State::open(&config).unwrap();
        let new = State::open(&config).unwrap();
        let Kept::InFile(turn) = &new.kept else {
            panic!("it is in a file");
        };
        let weight = || {
            let orders = new.orders();
            orders.weight(&Place::new("old", "h1"))
        };
        let mut orders = Orders::default();
        orders.apply(Change::Weight(Place::new("old", "h1"), 7));
        let text = orders.write();
        // The same file to whoever looks at it from outside.
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let put = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(time).unwrap();
        };
        put(&vec![b'x'; text.len()]);
        assert!(new.look(turn).await.is_err());
        assert_eq!(weight(), None);
        put(&text);
        new.look(turn).await.unwrap();
        assert_eq!(weight(), Some(7));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
