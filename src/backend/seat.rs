//! A session's place on a host, and where each user's live sessions are.
//!
//! A user's sessions belong together: mail stores cache, lock and notify within one host. So while a
//! user has live sessions, new ones go where those are, whatever hash, weights or load say since.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::host::Host;
use crate::observe::metrics;

/// A session's place on a host, given back when dropped. While a user has one, new sessions of that
/// user go to the same host.
pub struct Seat {
    host: Arc<Host>,
    pin: Option<(Arc<Pins>, String)>,
    _counted: Option<metrics::Counted>,
}

impl Seat {
    /// A place that was counted already.
    pub(super) fn taken(host: Arc<Host>) -> Self {
        Seat {
            host,
            pin: None,
            _counted: None,
        }
    }

    /// The host.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The login succeeded: from now on the user belongs here. Says which other host the user still
    /// has sessions on.
    pub(super) fn pin(&mut self, pins: &Arc<Pins>, canonical: String) -> Option<String> {
        let left = pins.add(&canonical, &self.host);
        self.pin = Some((Arc::clone(pins), canonical));
        self._counted = Some(self.host.metrics.session());
        left
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.host.leave();
        if let Some((pins, canonical)) = self.pin.take() {
            pins.remove(canonical, &self.host);
        }
    }
}

/// Which host each user with live sessions is on.
#[derive(Default)]
pub(super) struct Pins(DashMap<String, Pin>);

struct Pin {
    host: Arc<Host>,
    sessions: u32,
}

impl Pins {
    pub(super) fn of(&self, canonical: &str) -> Option<Arc<Host>> {
        self.0.get(canonical).map(|pin| Arc::clone(&pin.host))
    }

    fn add(&self, canonical: &str, host: &Arc<Host>) -> Option<String> {
        let mut pin = self.0.entry(canonical.to_string()).or_insert_with(|| Pin {
            host: Arc::clone(host),
            sessions: 0,
        });
        let left = match pin.host.name() == host.name() {
            true => None,
            false => Some(pin.host.name().to_string()),
        };
        if left.is_some() {
            *pin = Pin {
                host: Arc::clone(host),
                sessions: 0,
            };
        }
        pin.sessions = pin.sessions.saturating_add(1);
        left
    }

    /// A session ended. One on a host that the user has left since does not count.
    fn remove(&self, canonical: String, host: &Arc<Host>) {
        if let Entry::Occupied(mut pin) = self.0.entry(canonical)
            && pin.get().host.name() == host.name()
        {
            match pin.get().sessions {
                0 | 1 => drop(pin.remove()),
                _ => pin.get_mut().sessions -= 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::host::tests::host;
    use super::*;

    #[test]
    fn a_user_stays_where_the_live_sessions_are() {
        let (a, b, pins) = (host("a", 0), host("b", 0), Arc::new(Pins::default()));
        let on = |pins: &Pins| pins.of("u").map(|host| host.name().to_string());
        let sit = |host: &Arc<Host>| {
            let mut seat = host.sit().unwrap();
            let left = seat.pin(&pins, "u".into());
            (seat, left)
        };
        let (first, _) = sit(&a);
        let (second, left) = sit(&a);
        assert_eq!(left, None);
        drop(first);
        assert_eq!(on(&pins).as_deref(), Some("a"));
        let (moved, left) = sit(&b);
        assert_eq!(left.as_deref(), Some("a"));
        drop(second);
        assert_eq!(on(&pins).as_deref(), Some("b"));
        drop(moved);
        assert_eq!(on(&pins), None);
        assert!(pins.0.is_empty());
    }
}
