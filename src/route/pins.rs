//! Backends that are known before the name is: those of listeners, and of the servers that TLS clients
//! ask for (SNI, RFC 6066 §3) on a listener. A listener's own goes before the map; a server's takes the
//! place of the map's default, so that a client cannot choose where somebody's mail is.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Destination, Entry, Place};

/// A backend that is known before the name is: `backend` or `server_names` of a listener.
#[derive(Clone, Debug)]
pub struct Pin {
    /// The listener's name.
    pub listener: String,
    /// The server that clients ask for, in lower case, `*.` for any one label; none: all of them.
    pub server_name: Option<String>,
    /// The backend's name.
    pub backend: String,
    /// Where it stands.
    pub place: Place,
}

/// All of them, by listener.
#[derive(Debug, Default)]
pub(super) struct Pins(HashMap<String, Pinned>);

/// Those of a listener.
#[derive(Debug, Default)]
struct Pinned {
    all: Option<Arc<Entry>>,
    /// By whole name, or by `*.` and what follows it.
    servers: HashMap<String, Arc<Entry>>,
}

impl Pins {
    /// Where all logins of a listener go.
    pub(super) fn of_listener(&self, listener: &str) -> Option<&Arc<Entry>> {
        self.0.get(listener)?.all.as_ref()
    }

    /// Where those go that no other entry is for: the exact name first, then the wildcard of one
    /// label, as certificates are chosen.
    pub(super) fn of_server(&self, listener: &str, name: Option<&str>) -> Option<&Arc<Entry>> {
        let (servers, name) = (&self.0.get(listener)?.servers, name?);
        servers.get(name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            servers.get(&format!("*.{parent}"))
        })
    }
}

impl FromIterator<Pin> for Pins {
    fn from_iter<T: IntoIterator<Item = Pin>>(pins: T) -> Self {
        let mut all = Pins::default();
        for pin in pins {
            let key = match &pin.server_name {
                None => format!("listener {}", pin.listener),
                Some(name) => format!("server name {name}"),
            };
            let entry = Arc::new(Entry {
                key,
                to: Destination::backend(pin.backend),
                place: pin.place,
            });
            let pinned = all.0.entry(pin.listener).or_default();
            match pin.server_name {
                None => pinned.all = Some(entry),
                Some(name) => drop(pinned.servers.insert(name, entry)),
            }
        }
        all
    }
}
