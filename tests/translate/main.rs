//! POP3 served from scripted IMAP hosts: what a client reads, what a host is asked, what is left in
//! the mailbox.

#![allow(clippy::unwrap_used)]

mod ahead;
mod bodies;
mod cuts;
mod ends;
mod exchanges;
mod guarded;
mod hanging;
mod host;
mod losses;
mod mailbox;
mod octets;
mod polls;
mod pooled;
mod quit;
mod sizes;
mod steps;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::protocol::imap::snapshot::Snapshot;
use gatepost::protocol::pop3::config::Settings;
use gatepost::protocol::{Behind, Failure, Welcome};
use gatepost::session::maildrop_cache::Home;
use gatepost::session::translate::{
    Again, Connecting, First, Guard, Pipelining, Served, Terms, open, prepare, serve,
};
use host::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

/// A session: what the client read, how it ended, and the host afterwards.
struct Session {
    read: Vec<u8>,
    served: Served,
    host: Host,
    /// The hosts of later connections.
    later: Vec<Host>,
}

/// Hosts for the connections after the first, in turn.
#[derive(Clone, Default)]
struct Later {
    hosts: Arc<Mutex<VecDeque<Host>>>,
    served: Arc<Mutex<Vec<JoinHandle<Host>>>>,
}

impl Later {
    fn of(hosts: Vec<Host>) -> Later {
        Later {
            hosts: Arc::new(Mutex::new(hosts.into())),
            ..Later::default()
        }
    }
}

impl Again<DuplexStream> for Later {
    fn again(&mut self, _behind: Vec<u8>) -> Connecting<'_, DuplexStream> {
        Box::pin(async {
            let host = self.hosts.lock().unwrap().pop_front()?;
            let (to_host, hosts_end) = duplex(64 * 1024);
            let welcome = Welcome {
                capabilities: Some(host.capabilities()),
                ..Welcome::default()
            };
            let served = tokio::spawn(host.serve(hosts_end));
            self.served.lock().unwrap().push(served);
            Some((to_host, welcome))
        })
    }
}

impl Session {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).replace("\r\n", "\n")
    }
}

/// How a session is played.
#[derive(Clone)]
struct Play {
    settings: Settings,
    cached: Option<Arc<Snapshot>>,
    /// Whose list that is, and whose mail it is today.
    homes: [Home; 2],
    /// Octets a write of the client; 0: all at once.
    cut: usize,
    /// Whether the client stays until the gateway closes.
    stays: bool,
    knows_capabilities: bool,
    later: Later,
    /// Taken by the one who plays.
    guard: Option<Arc<Mutex<Option<Guard>>>>,
    pipelining: Pipelining,
}

impl Default for Play {
    fn default() -> Self {
        Play {
            settings: Settings::default(),
            cached: None,
            homes: [home("mail1"), home("mail1")],
            cut: 0,
            stays: true,
            knows_capabilities: true,
            later: Later::default(),
            guard: None,
            pipelining: Pipelining::Kept,
        }
    }
}

/// A host of this name.
fn home(name: &str) -> Home {
    Home {
        host: name.into(),
        address: format!("{name} 143"),
    }
}

impl Play {
    async fn run(self, host: Host, commands: &str) -> Result<Session, Failure> {
        let (to_host, hosts_end) = duplex(64 * 1024);
        let mut welcome = Welcome {
            capabilities: self.knows_capabilities.then(|| host.capabilities()),
            behind: Behind::NotSent,
            ..Welcome::default()
        };
        let host = tokio::spawn(host.serve(hosts_end));
        let guard = (self.guard.as_ref()).and_then(|guard| guard.lock().unwrap().take());
        let [told_by, home] = &self.homes;
        let mut opening = prepare(&self.settings, 7, self.cached.clone())
            .told_by(Some(told_by.clone()))
            .on(home)
            .guarded(guard);
        opening.pipelining(self.pipelining);
        let opened = open(to_host, &mut welcome, opening, Duration::from_secs(45)).await?;
        let (client, mut clients_end) = duplex(64 * 1024);
        let commands = commands.as_bytes().to_vec();
        let client = tokio::spawn(async move {
            let mut read = Vec::new();
            let (mut reader, mut writer) = tokio::io::split(client);
            let write = async {
                let size = if self.cut == 0 {
                    commands.len().max(1)
                } else {
                    self.cut
                };
                for piece in commands.chunks(size) {
                    if writer.write_all(piece).await.is_err() {
                        break;
                    }
                }
                if !self.stays {
                    let _ = writer.shutdown().await;
                }
            };
            let (_, end) = tokio::join!(write, reader.read_to_end(&mut read));
            let _ = end;
            read
        });
        let served = serve(
            &mut clients_end,
            First::default(),
            opened,
            Terms {
                settings: &self.settings,
                session: "S1".into(),
                idle: Duration::from_secs(600),
                traffic: &Default::default(),
            },
            self.later.clone(),
            |_| pending(),
        )
        .await;
        drop(clients_end);
        let mut later = Vec::new();
        let serving = std::mem::take(&mut *self.later.served.lock().unwrap());
        for served in serving {
            later.push(served.await.unwrap());
        }
        Ok(Session {
            later,
            read: client.await.unwrap(),
            served,
            host: host.await.unwrap(),
        })
    }
}

async fn play(host: Host, commands: &str) -> Session {
    Play::default().run(host, commands).await.expect("opened")
}

const ONE: &[u8] = b"Subject: one\r\n\r\nfirst\r\n.dot\r\n";
const TWO: &[u8] = b".\r\nSubject: two\r\n\r\nno end";

#[tokio::test(start_paused = true)]
async fn a_plain_session() {
    let session = play(
        Host::with(&[ONE, TWO]),
        "STAT\r\nLIST\r\nUIDL\r\nLIST 2\r\nUIDL 1\r\nRETR 1\r\nRETR 2\r\nTOP 1 0\r\nTOP 1 1\r\nDELE 1\r\n\
         STAT\r\nLIST\r\nRETR 1\r\nDELE 1\r\nNOOP\r\nQUIT\r\n",
    )
    .await;
    assert_eq!(
        session.text(),
        "+OK 2 54\n\
         +OK 2 messages (54 octets)\n1 29\n2 25\n.\n\
         +OK 2 messages\n1 000000016553f100\n2 000000026553f100\n.\n\
         +OK 2 25\n\
         +OK 1 000000016553f100\n\
         +OK 29 octets\nSubject: one\n\nfirst\n..dot\n.\n\
         +OK 25 octets\n..\nSubject: two\n\nno end\n.\n\
         +OK\nSubject: one\n\n.\n\
         +OK\nSubject: one\n\nfirst\n.\n\
         +OK message deleted\n\
         +OK 1 25\n\
         +OK 1 messages (25 octets)\n2 25\n.\n\
         -ERR message 1 is deleted\n\
         -ERR message 1 is deleted\n\
         +OK\n\
         +OK bye, deleted messages removed\n"
    );
    assert_eq!(session.host.uids(), [2]);
    assert!(session.host.mail[&2].seen);
    let commands = session.host.log;
    assert_eq!(
        commands[..2],
        ["SELECT \"INBOX\"", "UID FETCH 1:* (UID RFC822.SIZE)"]
    );
    assert_eq!(
        commands[commands.len() - 5..],
        [
            "UID STORE 2 +FLAGS.SILENT (\\Seen)",
            "UID STORE 1 +FLAGS.SILENT (\\Deleted)",
            "UID EXPUNGE 1",
            "UID SEARCH UID 1",
            "LOGOUT"
        ]
    );
    assert_eq!(session.served.counts.retrieved, 2);
    assert_eq!(session.served.counts.deleted, 1);
    assert_eq!(session.served.ended.reason, "quit");
}
