//! Sockets that listen: how they are opened, also beside one that is about to close, and who is still let
//! in when one stops.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// Connections the kernel keeps for us between two accepts.
pub(super) const BACKLOG: usize = 4096;

/// How long a listener that stops looks for connections the kernel has let in already.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// How long it does so in all: time for as many as the kernel keeps. It lets in more meanwhile, and there may
/// be no end of them.
const LAST_LOOKS: Duration = Duration::from_secs(2);

/// Opens a listening socket. `[::]` takes IPv4 as well.
///
/// # Errors
/// The system's: the address is taken, the port needs privileges, …
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    open(address, &[])
}

/// The same where sockets that are about to close stand in the way: an address of the wildcard's port,
/// or the other way round. They and the new one share the port until then.
///
/// # Errors
/// As [`bind`] has them.
pub fn bind_beside(address: SocketAddr, others: &[&TcpListener]) -> io::Result<TcpListener> {
    for other in others {
        socket2::SockRef::from(*other).set_reuse_port(true)?;
    }
    let opened = open(address, others);
    // It is asked for when an address is bound: nobody else is to share theirs afterwards.
    for other in others {
        socket2::SockRef::from(*other).set_reuse_port(false)?;
    }
    opened
}

fn open(address: SocketAddr, others: &[&TcpListener]) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_port(!others.is_empty())?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG as i32)?;
    // Nobody else is to share the port from now on.
    socket.set_reuse_port(false)?;
    TcpListener::from_std(socket.into())
}

/// Welcomes those that the kernel has let in already.
pub(super) async fn last_looks(
    socket: &TcpListener,
    mut welcome: impl FnMut(TcpStream, SocketAddr),
) {
    let end = Instant::now() + LAST_LOOKS;
    while Instant::now() < end
        && let Ok(Ok((tcp, client))) = timeout(LAST_LOOK, socket.accept()).await
    {
        welcome(tcp, client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_takes_over_from_the_wildcard_and_back() {
        let wide = bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = wide.local_addr().unwrap().port();
        let one = SocketAddr::from(([127, 0, 0, 1], port));
        assert!(bind(one).is_err(), "taken");
        let narrow = bind_beside(one, &[&wide]).unwrap();
        let shares = |it: &TcpListener| socket2::SockRef::from(it).reuse_port().unwrap();
        assert!(!shares(&wide) && !shares(&narrow));
        // Where it comes to nothing, too.
        let elsewhere = "192.0.2.1:0".parse().unwrap();
        assert!(bind_beside(elsewhere, &[&wide]).is_err() && !shares(&wide));
        drop(wide);
        assert!(TcpStream::connect(one).await.is_ok());
        narrow.accept().await.unwrap();
        let all = SocketAddr::from(([0, 0, 0, 0], port));
        assert!(bind(all).is_err(), "taken again");
        let wide = bind_beside(all, &[&narrow]).unwrap();
        drop(narrow);
        assert!(TcpStream::connect(one).await.is_ok());
        wide.accept().await.unwrap();
        assert!(bind(all).is_err(), "and not shared with anybody");
    }

    /// Whoever comes often enough could hold up a reload for ever otherwise.
    #[tokio::test]
    async fn a_listener_stops_however_many_come() {
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let connect = || {
            let stream = std::net::TcpStream::connect(address).unwrap();
            // Thousands come: their ports are free again at once.
            let socket = socket2::SockRef::from(&stream);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
            stream
        };
        let mut next = connect();
        let mut came = 0_u32;
        // With each that is welcomed the next one is there.
        let looks = last_looks(&socket, |_, client| {
            assert_eq!(client, next.local_addr().unwrap());
            next = connect();
            came += 1;
        });
        assert!(timeout(Duration::from_secs(30), looks).await.is_ok());
        assert!(came > 0);
        // It is not for want of them that it stopped.
        let (_, client) = socket.accept().await.unwrap();
        assert_eq!(client, next.local_addr().unwrap());
    }
}
