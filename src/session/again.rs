//! Logs in to a user's host again when the connection under a translated session was lost: the
//! client need not notice.

use std::sync::Arc;

use super::translate::{Again, Connecting};
use crate::backend::{Backend, Request, Seat};
use crate::net::Stream;
use crate::protocol::{Credentials, Origin, Protocol, UserName};
use crate::state::Pass;

/// How a user's session logged in: all that is needed to do it once more.
pub(super) struct Ticket {
    pub(super) backend: Arc<Backend>,
    /// The host it was: another one may hold other messages.
    pub(super) host: String,
    pub(super) user: UserName,
    /// Held in memory, wiped with the session.
    pub(super) credentials: Credentials,
    pub(super) origin: Origin,
    /// Who the user is to the state.
    pub(super) pass: Pass,
}

/// Logs in on the same host.
pub(super) struct SameHost<'a> {
    pub(super) ticket: Ticket,
    /// The session's place on the host: however often it logs in again, it counts once.
    pub(super) first: &'a Seat,
    /// That of the connection that was made last.
    pub(super) last: Option<Seat>,
}

impl Again<Stream> for SameHost<'_> {
    fn again(&mut self, behind: Vec<u8>) -> Connecting<'_, Stream> {
        Box::pin(async move {
            self.last = None;
            let Ticket {
                backend,
                host,
                user,
                credentials,
                origin,
                pass,
            } = &self.ticket;
            let request = Request {
                protocol: Protocol::Pop3,
                user,
                credentials,
                host: Some(host),
                origin: Some(origin.clone()),
                behind: &behind,
                pass: Some(pass),
                seat: Some(self.first),
            };
            let connected = backend.connect(request).await.ok()?;
            if connected.speaks != Protocol::Imap {
                return None;
            }
            self.last = Some(connected.seat);
            Some((connected.stream, connected.welcome))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::backend::config::{Endpoint, HostConfig, Security, Target};
    use crate::backend::{Config, Connected, Inside, Refusal, Surroundings};
    use crate::protocol::{Secret, Transport};

    /// A host with room for one session, that lets everybody in.
    fn host_of_one() -> Arc<Backend> {
        let inside = Inside::new(|_, _| {
            let (ours, mut theirs) = duplex(4096);
            tokio::spawn(async move {
                let greeting = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n";
                let _ = theirs.write_all(greeting).await;
                let mut heard = Vec::new();
                while theirs.read_buf(&mut heard).await.is_ok_and(|n| n > 0) {
                    let tag = heard.split(|octet| *octet == b' ').next().unwrap();
                    let _ = theirs.write_all(&[tag, b" OK in\r\n"].concat()).await;
                    heard.clear();
                }
            });
            Some(ours)
        });
        let imap = Endpoint {
            protocol: Protocol::Imap,
            security: Security::Clear,
            target: Target::Network {
                host: "h".into(),
                port: 143,
            },
        };
        let host = HostConfig {
            name: "h".into(),
            imap: Some(imap),
            pop3: None,
            weight: 1,
        };
        let config = Config {
            max_sessions: 1,
            ..Config::new("b", vec![host])
        };
        let around = Surroundings {
            inside: Some(inside),
            ..Surroundings::default()
        };
        Arc::new(Backend::new(config, around).unwrap())
    }

    fn ticket(backend: &Arc<Backend>, name: &str) -> Ticket {
        let user = UserName::new(name.as_bytes()).unwrap();
        let at: SocketAddr = "192.0.2.7:4711".parse().unwrap();
        Ticket {
            backend: backend.clone(),
            host: "h".into(),
            pass: Pass::plain("b", &user),
            user,
            credentials: Credentials::Password(Secret::new(b"secret").unwrap()),
            origin: Origin {
                client: at,
                connected: at,
                transport: Transport::Insecure,
                session: "s".into(),
                ttl: 5,
            },
        }
    }

    async fn log_in(ticket: &Ticket) -> Result<Connected, Refusal> {
        let request = Request {
            protocol: Protocol::Pop3,
            user: &ticket.user,
            credentials: &ticket.credentials,
            host: None,
            origin: None,
            behind: b"",
            pass: Some(&ticket.pass),
            seat: None,
        };
        ticket.backend.connect(request).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_logs_in_again_is_one_on_its_host() {
        let backend = host_of_one();
        let ticket = ticket(&backend, "alice");
        let first = log_in(&ticket).await.unwrap().seat;
        let mut again = SameHost {
            ticket,
            first: &first,
            last: None,
        };
        let mut last = None;
        for _ in 0..3 {
            last = Some(again.again(Vec::new()).await.expect("there is room"));
            assert_eq!(first.host().sessions(), 1);
        }
        // The place is taken all the same, and the user stays where the session is.
        let bob = self::ticket(&backend, "bob");
        assert!(log_in(&bob).await.is_err());
        drop((last, again));
        assert!(log_in(&bob).await.is_err());
        drop(first);
        assert!(log_in(&bob).await.is_ok());
    }
}
