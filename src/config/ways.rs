//! Which way logins come in: listeners, and servers of theirs, with a backend of their own. For the
//! router, and for who explains a login without saying how it came.

use super::Config;
use crate::protocol::{Protocol, UserName};
use crate::route::explain::Explanation;
use crate::route::{Ask, Pin, Place, Router};

impl Config {
    /// The listeners that have a backend of their own, for the router.
    pub fn pins(&self) -> impl Iterator<Item = Pin> + '_ {
        self.listeners.iter().flat_map(|listener| {
            let own = listener.backend.iter().map(|backend| (None, backend));
            let names = listener.server_names.iter();
            let names = names.map(|(name, backend)| (Some(name), backend));
            own.chain(names).map(|(server_name, backend)| Pin {
                listener: listener.name.clone(),
                server_name: server_name.cloned(),
                backend: backend.clone(),
                place: Place {
                    file: self.source.file.as_path().into(),
                    line: self.places.line(&format!("listener {}", listener.name)),
                },
            })
        })
    }

    /// The router of these settings.
    pub fn router(&self) -> Router {
        Router::new(self.routes.clone(), self.pins())
    }

    /// What is asked for a login of this name, whichever listener of the protocol it comes in by.
    ///
    /// # Errors
    /// What there is to explain where that depends on the listener: each has a backend of its own, and
    /// not all the same.
    pub fn ask<'a>(
        &'a self,
        user: &'a UserName,
        protocol: Protocol,
    ) -> Result<Ask<'a>, Box<Explanation>> {
        let ask = Ask::of(user, protocol);
        let listeners = self.listeners.iter();
        let listeners = listeners.filter(|listener| listener.protocol == protocol);
        let pinned: Option<Vec<(&str, &str)>> = listeners
            .map(|it| Some((it.name.as_str(), it.backend.as_deref()?)))
            .collect();
        match pinned.as_deref() {
            // Some logins go by the map.
            None | Some([]) => Ok(ask),
            Some([(first, backend), others @ ..]) if others.iter().all(|it| it.1 == *backend) => {
                Ok(Ask {
                    listener: Some(first),
                    ..ask
                })
            }
            Some(several) => {
                let user = self.router().full_name(user);
                Err(Box::new(Explanation::by_listeners(&user, several)))
            }
        }
    }
}
