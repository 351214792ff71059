//! What every mail connection wants of its socket: no delay, keepalive. Set on the listening socket,
//! which hands it down to what the kernel lets in from then on (four calls a connection saved);
//! connections that were in before are seen to one by one.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::socket::BACKLOG;
use crate::net::keepalive::Keepalive;

/// What a listening socket hands down.
#[derive(Default)]
pub(super) struct Options {
    /// `timeouts.keepalive`, once it is handed down.
    keepalive: Option<Duration>,
    /// Connections accepted next that may be older than the options: as many as may wait.
    older: usize,
}

impl Options {
    /// Sets the options on the listening socket, if they are not there.
    pub(super) fn hand_down(&mut self, socket: &TcpListener, keepalive: Duration) {
        if self.keepalive != Some(keepalive) {
            self.keepalive = Some(keepalive);
            self.older = BACKLOG;
            set(&SockRef::from(socket), keepalive);
        }
    }

    /// Sets them on a connection that may have come before.
    pub(super) fn see_to(&mut self, tcp: &TcpStream) {
        if let (1.., Some(keepalive)) = (self.older, self.keepalive) {
            let socket = SockRef::from(tcp);
            if has(&socket, keepalive) {
                // They come in order: those behind it have them, too.
                self.older = 0;
            } else {
                self.older -= 1;
                set(&socket, keepalive);
            }
        }
    }
}

/// What fails is not worth a connection.
fn set(socket: &SockRef<'_>, keepalive: Duration) {
    // Commands and answers are small and waited for: never hold one back.
    let _ = socket.set_tcp_nodelay(true);
    let _ = match Keepalive::new(keepalive, keepalive) {
        Some(keepalive) => keepalive.set(socket),
        None => socket.set_keepalive(false),
    };
}

/// Whether they are set.
fn has(socket: &SockRef<'_>, keepalive: Duration) -> bool {
    socket.tcp_nodelay().is_ok_and(|it| it)
        && match Keepalive::new(keepalive, keepalive) {
            Some(keepalive) => keepalive.is_on(socket),
            None => socket.keepalive().is_ok_and(|on| !on),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No delay, keepalive, and its time in seconds.
    fn seen(tcp: &TcpStream) -> (bool, bool, u64) {
        let socket = SockRef::from(tcp);
        let time = socket.tcp_keepalive_time().unwrap().as_secs();
        (
            socket.tcp_nodelay().unwrap(),
            socket.keepalive().unwrap(),
            time,
        )
    }

    #[tokio::test]
    async fn connections_have_them_whenever_they_came() {
        let socket = super::super::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let to = socket.local_addr().unwrap();
        let mut options = Options::default();
        let early = TcpStream::connect(to).await.unwrap();
        options.hand_down(&socket, Duration::from_secs(60));
        let late = TcpStream::connect(to).await.unwrap();
        let (first, _) = socket.accept().await.unwrap();
        assert_eq!((seen(&first).0, seen(&first).1), (false, false));
        options.see_to(&first);
        assert_eq!(seen(&first), (true, true, 60));
        let (second, _) = socket.accept().await.unwrap();
        assert_eq!(seen(&second), (true, true, 60), "handed down");
        options.see_to(&second);
        assert_eq!(options.older, 0, "nothing older comes behind it");
        options.hand_down(&socket, Duration::from_secs(7));
        let other = TcpStream::connect(to).await.unwrap();
        let (third, _) = socket.accept().await.unwrap();
        assert_eq!(seen(&third), (true, true, 7));
        // What the system refuses is the nearest it takes.
        for (keepalive, seconds) in [(1, 1), (5500, 5), (36_000_000, 32767)] {
            options.hand_down(&socket, Duration::from_millis(keepalive));
            let client = TcpStream::connect(to).await.unwrap();
            let (accepted, _) = socket.accept().await.unwrap();
            assert_eq!(seen(&accepted), (true, true, seconds));
            options.see_to(&accepted);
            assert_eq!(options.older, 0, "{keepalive} ms are seen to be there");
            drop(client);
        }
        options.hand_down(&socket, Duration::ZERO);
        let none = TcpStream::connect(to).await.unwrap();
        let (fourth, _) = socket.accept().await.unwrap();
        assert_eq!((seen(&fourth).0, seen(&fourth).1), (true, false));
        drop((early, late, other, none));
    }
}
