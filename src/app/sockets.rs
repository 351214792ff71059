//! The listening sockets: opened here, or taken over from systemd (`sd_listen_fds(3)`) or from the
//! process that this one follows.
//!
//! A socket that is taken over is matched to its listener by the address it is bound to. The
//! process keeps no socket open here: whoever serves one holds it, and while it does the socket
//! can be handed to the next process.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use listenfd::ListenFd;
use socket2::{Domain, SockRef, Type};
use tokio::net::TcpListener;

use crate::listen;

/// The name, in `LISTEN_FDNAMES`, of the line to the process before this one.
pub(super) const LINE: &str = "gatepost-upgrade";

/// The listening sockets of the process.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    inherited: Mutex<Vec<Inherited>>,
    open: Mutex<Vec<Open>>,
}

/// What a process was started with.
#[derive(Debug, Default)]
pub(super) struct Legacy {
    /// Sockets that wait for their listeners.
    pub(super) sockets: Arc<Sockets>,
    /// The line to the process that started this one to follow it.
    pub(super) line: Option<UnixStream>,
    /// Descriptors that are nothing we could use, in words.
    pub(super) strange: Vec<String>,
}

#[derive(Debug)]
struct Inherited {
    name: String,
    address: SocketAddr,
    socket: std::net::TcpListener,
}

#[derive(Debug)]
struct Open {
    address: SocketAddr,
    socket: Weak<TcpListener>,
}

impl Legacy {
    /// Takes what the environment announces. To be called once, before there are threads and before
    /// anything else opens descriptors.
    pub(super) fn take() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut fds = ListenFd::from_env();
        let mut names = names.split(':');
        let mut legacy = Legacy::default();
        for at in 0..fds.len() {
            let name = names.next().unwrap_or("unknown");
            if name == LINE {
                let (family, kind) = (Domain::UNIX.into(), Type::STREAM.into());
                let line = fds.take_custom(at, family, kind, "unix stream");
                legacy.line = line.ok().flatten();
                continue;
            }
            let taken = fds.take_tcp_listener(at).and_then(|socket| {
                let socket = socket.ok_or(io::ErrorKind::NotFound)?;
                if !SockRef::from(&socket).is_listener()? {
                    return Err(io::Error::other("the socket does not listen"));
                }
                let address = socket.local_addr()?;
                Ok((address, socket))
            });
            match taken {
                Ok((address, socket)) => legacy.sockets.inherit(name, address, socket),
                Err(error) => legacy.strange.push(format!("{name}: {error}")),
            }
        }
        legacy
    }

    /// Says in the log what was taken over and nobody wants, and closes it. To be called once every
    /// listener has its socket.
    pub(super) fn tell_unused(&self) {
        for what in &self.strange {
            tracing::warn!(event = "socket_unused", what, "not a listening TCP socket");
        }
        for address in self.sockets.close_unused() {
            tracing::warn!(
                event = "socket_unused",
                address,
                "no listener is bound to this address: the socket that was handed over is closed"
            );
        }
    }
}

impl Sockets {
    /// The socket that listens at an address: one that is open already, one that was taken over, or
    /// a new one. Sockets that are `leaving` may have its port until they are closed.
    ///
    /// # Errors
    /// The system's: the address is taken, the port needs privileges, …
    pub(super) fn open(
        &self,
        address: SocketAddr,
        leaving: &[&TcpListener],
    ) -> io::Result<Arc<TcpListener>> {
        let mut open = locked(&self.open);
        open.retain(|open| open.socket.strong_count() > 0);
        // Any free port is another one each time.
        let known = open
            .iter()
            .find(|open| open.address == address && address.port() != 0);
        if let Some(socket) = known.and_then(|open| open.socket.upgrade()) {
            return Ok(socket);
        }
        let inherited = {
            let mut waiting = locked(&self.inherited);
            let at = waiting.iter().position(|one| one.address == address);
            at.map(|at| waiting.swap_remove(at))
        };
        let socket = match inherited {
            Some(inherited) => {
                inherited.socket.set_nonblocking(true)?;
                TcpListener::from_std(inherited.socket)?
            }
            None => listen::bind_beside(address, leaving)
                .map_err(|error| self.explained(address, error))?,
        };
        let socket = Arc::new(socket);
        open.push(Open {
            address,
            socket: Arc::downgrade(&socket),
        });
        Ok(socket)
    }

    /// Closes the sockets that were taken over and that no listener wants; what they are called,
    /// for the log.
    pub(super) fn close_unused(&self) -> Vec<String> {
        let unused = std::mem::take(&mut *locked(&self.inherited));
        let said = unused.iter().map(|one| match one.name.as_str() {
            "" | "unknown" => one.address.to_string(),
            name => format!("{} ({name})", one.address),
        });
        said.collect()
    }

    /// Duplicates of all sockets that are open now, with the addresses they are bound to.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(super) fn duplicates(&self) -> io::Result<Vec<(SocketAddr, OwnedFd)>> {
        let open = locked(&self.open);
        let alive = open
            .iter()
            .filter_map(|open| Some((open.address, open.socket.upgrade()?)));
        alive
            .map(|(address, socket)| Ok((address, socket.as_fd().try_clone_to_owned()?)))
            .collect()
    }

    fn inherit(&self, name: &str, address: SocketAddr, socket: std::net::TcpListener) {
        locked(&self.inherited).push(Inherited {
            name: name.to_owned(),
            address,
            socket,
        });
    }

    /// An address is most often taken, where sockets were taken over, by one of those: systemd's
    /// `ListenStream=993` is `[::]:993`, which takes `0.0.0.0:993` along.
    fn explained(&self, address: SocketAddr, error: io::Error) -> io::Error {
        let waiting = locked(&self.inherited);
        let other = waiting
            .iter()
            .find(|one| one.address.port() == address.port());
        match other {
            Some(other) if error.kind() == io::ErrorKind::AddrInUse => {
                let other = other.address;
                let text = format!(
                    "{error}: the socket taken over with this port is bound to {other}; \
                     bind the listener to {other}, or write ListenStream={address}"
                );
                io::Error::new(error.kind(), text)
            }
            _ => error,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(on: &str) -> (SocketAddr, std::net::TcpListener) {
        let socket = std::net::TcpListener::bind(on).unwrap();
        (socket.local_addr().unwrap(), socket)
    }

    #[tokio::test]
    async fn a_socket_goes_to_the_listener_of_its_address_and_is_shared() {
        let sockets = Sockets::default();
        let (wanted, one) = listening("127.0.0.1:0");
        let (unwanted, other) = listening("127.0.0.1:0");
        sockets.inherit("mail", wanted, one);
        sockets.inherit("more", unwanted, other);
        let opened = sockets.open(wanted, &[]).unwrap();
        assert_eq!(opened.local_addr().unwrap(), wanted);
        assert!(Arc::ptr_eq(&opened, &sockets.open(wanted, &[]).unwrap()));
        assert_eq!(sockets.close_unused(), [format!("{unwanted} (more)")]);
        assert_eq!(sockets.duplicates().unwrap().len(), 1);
        // Who served it let go: it is closed, and can be opened anew.
        drop(opened);
        assert!(sockets.duplicates().unwrap().is_empty());
        let again = sockets.open(wanted, &[]).unwrap();
        assert_eq!(again.local_addr().unwrap(), wanted);
    }

    #[tokio::test]
    async fn an_address_taken_by_what_was_handed_over_is_explained() {
        let sockets = Sockets::default();
        let Ok(socket) = std::net::TcpListener::bind("[::]:0") else {
            return;
        };
        let all = socket.local_addr().unwrap();
        sockets.inherit("imaps", all, socket);
        let v4 = SocketAddr::from(([0, 0, 0, 0], all.port()));
        // Where IPv6 sockets do not take IPv4 along it is simply free.
        if let Err(error) = sockets.open(v4, &[]) {
            let text = error.to_string();
            assert!(text.contains(&format!("ListenStream={v4}")), "{text}");
        }
    }
}
