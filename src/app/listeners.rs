//! The sockets the gateway listens on: opened before anything else changes, closed without taking
//! anybody's session along.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::App;
use super::build::StartError;
use super::sockets::Sockets;
use crate::admin::{self, Door};
use crate::config::Config;
use crate::listen::{Listener, Place, Stop, Waiting};

/// Every socket that listens.
pub(super) struct Listeners {
    mail: BTreeMap<Place, Open>,
    admin: Option<(SocketAddr, Open, Arc<Door>)>,
    /// The end of all of them.
    stopped: watch::Receiver<bool>,
}

/// A socket and the task that accepts from it; with the task the socket is closed.
struct Open {
    socket: Weak<TcpListener>,
    stop: watch::Sender<Option<Waiting>>,
    task: JoinHandle<()>,
}

/// Sockets that settings want and that were not there before: they listen, and nobody accepts yet.
pub(super) struct Opened {
    mail: Vec<(Place, Arc<TcpListener>)>,
    admin: Option<Arc<TcpListener>>,
}

impl Listeners {
    /// None yet. `stopped` turns true when the gateway ends.
    pub(super) fn none(stopped: watch::Receiver<bool>) -> Self {
        Listeners {
            mail: BTreeMap::new(),
            admin: None,
            stopped,
        }
    }

    /// Opens what `config` wants and is not there. Nothing that runs changes.
    pub(super) fn open(
        &self,
        config: &Config,
        sockets: &Sockets,
    ) -> Result<Opened, Vec<StartError>> {
        let leaving = self.leaving(config);
        let mut errors = Vec::new();
        let mut open = |place: &str, name: &str, bind: SocketAddr| {
            let doing = || match name == bind.to_string() {
                true => format!("listen on {name}"),
                false => format!("listen on {name} ({bind})"),
            };
            let opened = bind_among(sockets, bind, &leaving);
            opened
                .map_err(|error| {
                    let cause = format!("{error}{}", hint(&error, bind.port()));
                    errors.push(StartError::new(doing(), cause).at(place));
                })
                .ok()
        };
        let mail = config.listeners.iter();
        let mail = mail.filter(|listener| !self.mail.contains_key(&listener.place()));
        let mail = mail
            .filter_map(|listener| {
                let place = format!("listener {}", listener.name);
                let socket = open(&place, &listener.name, listener.bind)?;
                Some((listener.place(), socket))
            })
            .collect();
        let admin = config.admin.as_ref().map(|admin| admin.bind);
        let admin = admin.filter(|bind| !self.admin_is_at(*bind));
        let admin = admin.and_then(|bind| open("admin", "admin", bind));
        match errors.is_empty() {
            true => Ok(Opened { mail, admin }),
            false => Err(errors),
        }
    }

    fn admin_is_at(&self, bind: SocketAddr) -> bool {
        self.admin.as_ref().is_some_and(|(at, ..)| *at == bind)
    }

    /// Those that `config` does not want any more.
    fn leaving(&self, config: &Config) -> Vec<Arc<TcpListener>> {
        let stays = |place: &Place| config.listeners.iter().any(|it| it.place() == *place);
        let admin = config.admin.as_ref().map(|admin| admin.bind);
        let admin_leaves = self.admin.iter().filter(|(at, ..)| Some(*at) != admin);
        let mail_leaves = self.mail.iter().filter(|(place, _)| !stays(place));
        mail_leaves
            .map(|(_, open)| open)
            .chain(admin_leaves.map(|(_, open, _)| open))
            .filter_map(|open| open.socket.upgrade())
            .collect()
    }

    /// Closes those that `config` does not want any more. Who was let in by them is served.
    pub(super) async fn close(&mut self, config: &Config) {
        let stays = |place: &Place| config.listeners.iter().any(|it| it.place() == *place);
        let all = std::mem::take(&mut self.mail);
        let (stay, leave) = all.into_iter().partition(|(place, _)| stays(place));
        self.mail = stay;
        let leave: BTreeMap<_, _> = leave;
        let ending: Vec<_> = { leave.into_values() }.map(Open::leave).collect();
        for task in ending {
            let _ = task.await;
        }
        let admin = config.admin.as_ref().map(|admin| admin.bind);
        if let Some((_, open, _)) = self.admin.take_if(|(at, ..)| Some(*at) != admin) {
            // Whoever asked for this by that very port is answered yet.
            drop(open.leave());
        }
    }

    /// Ends the admin port once the answers that are due are given, some seconds later at the latest:
    /// another process has it now.
    pub(super) fn end_admin(&mut self) -> Option<JoinHandle<()>> {
        self.admin.take().map(|(_, open, _)| open.leave())
    }

    /// Accepts from those that were opened. Settings that know them are in use already.
    pub(super) fn serve(&mut self, opened: Opened, config: &Config, app: &Arc<App>) {
        for (place, socket) in opened.mail {
            let listener = Listener {
                place: place.clone(),
                current: app.current.clone(),
            };
            let mut stopped = self.stopped.clone();
            let open = Open::new(socket, |socket, stop, told| {
                tokio::spawn(async move {
                    let all = async {
                        let _ = stopped.wait_for(|stopped| *stopped).await;
                        stop.send_replace(Some(Waiting::Leave));
                        std::future::pending::<()>().await;
                    };
                    tokio::select! {
                        () = listener.serve(socket, told) => {}
                        () = all => {}
                    }
                })
            });
            self.mail.insert(place, open);
        }
        let Some(admin) = &config.admin else { return };
        if let Some((_, _, door)) = &self.admin {
            door.set_token(admin.token.clone());
        }
        if let Some(socket) = opened.admin {
            let door = Arc::new(Door::new(admin.token.clone()));
            let (shown, gateway) = (door.clone(), app.clone());
            let open = Open::new(socket, |socket, _, mut told| {
                let (end, ended) = watch::channel(false);
                tokio::spawn(async move {
                    // The admin port tells of a drain, so it stays open for that.
                    let left = async {
                        if told.changed().await.is_ok() {
                            end.send_replace(true);
                        }
                        std::future::pending::<()>().await;
                    };
                    tokio::select! {
                        () = admin::serve(socket, shown, gateway, ended) => {}
                        () = left => {}
                    }
                })
            });
            self.admin = Some((admin.bind, open, door));
        }
    }
}

impl Open {
    fn new(
        socket: Arc<TcpListener>,
        serve: impl FnOnce(Arc<TcpListener>, watch::Sender<Option<Waiting>>, Stop) -> JoinHandle<()>,
    ) -> Self {
        let (stop, told) = watch::channel(None);
        Open {
            socket: Arc::downgrade(&socket),
            task: serve(socket, stop.clone(), told),
            stop,
        }
    }

    /// Who was let in already is served.
    fn leave(self) -> JoinHandle<()> {
        self.stop.send_replace(Some(Waiting::Serve));
        self.task
    }
}

/// What an operator may do about a port that cannot be had, behind the system's words.
fn hint(error: &io::Error, port: u16) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there (`ss -ltnp` names it)",
        io::ErrorKind::PermissionDenied if port < 1024 => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE (systemd's AmbientCapabilities=) or a lower \
             net.ipv4.ip_unprivileged_port_start"
        }
        _ => "",
    }
}

/// Opens a socket; those that are about to leave may have its port until then.
fn bind_among(
    sockets: &Sockets,
    bind: SocketAddr,
    leaving: &[Arc<TcpListener>],
) -> io::Result<Arc<TcpListener>> {
    let same_port = |other: &&TcpListener| {
        let at = other.local_addr();
        at.is_ok_and(|at| at.port() == bind.port())
    };
    let leaving = leaving.iter().map(|socket| &**socket);
    let others: Vec<&TcpListener> = leaving.filter(same_port).collect();
    sockets.open(bind, &others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_cannot_be_had_is_told_with_a_way_out() {
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
        for (kind, port, want) in [
            (PermissionDenied, 143, "CAP_NET_BIND_SERVICE"),
            (PermissionDenied, 143, "net.ipv4.ip_unprivileged_port_start"),
            (AddrInUse, 1143, "another program listens there"),
        ] {
            let told = hint(&kind.into(), port);
            assert!(told.starts_with("; ") && told.contains(want), "{told}");
        }
        // Some other rule of the system's, and an address that is not this machine's.
        for (kind, port) in [(PermissionDenied, 1143), (AddrNotAvailable, 143)] {
            assert_eq!(hint(&kind.into(), port), "");
        }
    }
}
