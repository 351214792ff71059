//! Failed logins that count on all gateways which share a store: each tells the others what it has
//! counted, four times a second.
//!
//! What is told are hashes under a key that the gateways of a site have in common: no name, address or
//! password. Nobody waits for it, and with the store away each goes on with what it knows.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Tables;
use crate::session::Limits;
use crate::state::State;

/// How often is told and heard.
const BEAT: Duration = Duration::from_millis(250);

/// What a gateway tells the others, in hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// A login failed that had not been counted before.
    Failed {
        address: u64,
        /// None: the user is known at the address, its window does not count this.
        user: Option<u64>,
        from_here: u64,
        from_anywhere: u64,
    },
    /// A user logged in from an address.
    Known { here: u64 },
}

impl Note {
    fn write(&self) -> String {
        match self {
            Note::Failed {
                address,
                user,
                from_here,
                from_anywhere,
            } => {
                let user = user.map_or_else(|| "-".to_owned(), |user| format!("{user:x}"));
                format!("f {address:x} {user} {from_here:x} {from_anywhere:x}")
            }
            Note::Known { here } => format!("k {here:x}"),
        }
    }

    fn read(line: &str) -> Option<Self> {
        let number = |word: &str| u64::from_str_radix(word, 16).ok();
        let words: Vec<&str> = line.split(' ').collect();
        match *words.as_slice() {
            ["f", address, user, from_here, from_anywhere] => Some(Note::Failed {
                address: number(address)?,
                user: match user {
                    "-" => None,
                    user => Some(number(user)?),
                },
                from_here: number(from_here)?,
                from_anywhere: number(from_anywhere)?,
            }),
            ["k", here] => Some(Note::Known {
                here: number(here)?,
            }),
            _ => None,
        }
    }
}

/// Tells and hears for ever, where a store is shared. `limits` are those of the moment.
pub async fn share(tables: Arc<Tables>, state: Arc<State>, limits: impl Fn() -> Limits) {
    if !state.is_shared() {
        return;
    }
    let mut secret: Option<String> = None;
    let mut gate = None;
    let mut last = String::new();
    loop {
        // On each new link: the store may have lost its data.
        if gate != state.gate() {
            let now = state.gate();
            let common = state.common_secret(secret.as_deref()).await;
            let Some((stored, key)) = common else {
                sleep(BEAT).await;
                continue;
            };
            if secret.as_ref() != Some(&stored) {
                tables.penalties.use_key(key.as_bytes());
                secret = Some(stored);
                last.clear();
            }
            gate = now;
        }
        let told = tables.penalties.take_outbox();
        let told: Vec<String> = told.iter().map(Note::write).collect();
        let mut told = told.join("\n");
        loop {
            let heard = state.tell_failures(&last, &std::mem::take(&mut told)).await;
            let Some(heard) = heard.filter(|heard| !heard.is_empty()) else {
                break;
            };
            let limits = limits();
            for entry in heard {
                let notes = entry.notes.lines().filter_map(Note::read);
                notes.for_each(|note| tables.penalties.hear(&note, entry.age, &limits));
                last = entry.id;
            }
        }
        sleep(BEAT).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_are_written() {
        let failed = |user| Note::Failed {
            address: u64::MAX,
            user,
            from_here: 0,
            from_anywhere: 7,
        };
        for note in [failed(Some(9)), failed(None), Note::Known { here: 1 }] {
            assert_eq!(Note::read(&note.write()), Some(note));
        }
        for damage in ["", "f", "f 1 2 3", "f 1 2 3 x", "k", "k 1 2", "q 1", "k -1"] {
            assert_eq!(Note::read(damage), None, "{damage}");
        }
    }
}
