//! What the gateway still holds of a fault, while others go on beside it: the sockets of its client and of
//! its host, as the kernel lists them and as the gateway's process has them among its descriptors.
//!
//! The kernel's list alone would not do. It loses a socket that was reset, or of which both halves are
//! closed, though the gateway may hold its descriptor for as long as it likes. So the number that the kernel
//! gave to a socket (its inode, which is never given again) is noted while it is open.

use std::collections::{HashMap, HashSet};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(50);

/// How long until a connection is accepted, at most.
const ACCEPTED: Duration = Duration::from_secs(60);

/// The two ends of a connection of this machine, as one of them has it.
#[derive(Clone, Copy)]
struct Socket {
    local: u16,
    remote: u16,
    /// None where no process has it: it is not accepted yet, or the kernel alone goes on with it, for a last
    /// octet to be taken.
    inode: Option<u64>,
    established: bool,
}

/// What was seen at the last look, and when that began: a look takes its time where many are looked for at once.
type Last<T> = Mutex<Option<(Instant, T)>>;

static LISTED: Last<Vec<Socket>> = Mutex::new(None);

/// Inodes of the sockets that the gateways have descriptors of.
static HELD: Last<HashSet<u64>> = Mutex::new(None);

/// The processes that are looked at.
static GATEWAYS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Of each host's port the inodes of the gateway's sockets that came there.
static CALLERS: Mutex<Option<HashMap<u16, Vec<u64>>>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listed() -> Vec<Socket> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let socket = |line: &str| {
        let cells: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, remote, state, _, _, _, _, _, inode, ..] = cells[..] else {
            return None;
        };
        let port = |end: &str| u16::from_str_radix(end.split_once(':')?.1, 16).ok();
        Some(Socket {
            local: port(local)?,
            remote: port(remote)?,
            inode: inode.parse().ok().filter(|inode| *inode != 0),
            established: state == "01",
        })
    };
    table.lines().skip(1).filter_map(socket).collect()
}

/// Inodes of the sockets of a process; none of one that is gone.
fn held_by(process: u32) -> Vec<u64> {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else {
        return Vec::new();
    };
    let inode = |entry: std::io::Result<std::fs::DirEntry>| {
        let link = std::fs::read_link(entry.ok()?.path()).ok()?;
        let inode = link.to_str()?.strip_prefix("socket:[")?;
        inode.strip_suffix(']')?.parse().ok()
    };
    descriptors.filter_map(inode).collect()
}

/// What a look that begins after this says. Who waits for one meanwhile shares the next.
fn seen<T, U>(last: &Last<T>, look: impl FnOnce() -> T, say: impl FnOnce(&T) -> U) -> U {
    let now = Instant::now();
    let mut last = lock(last);
    match &*last {
        Some((at, seen)) if *at >= now => say(seen),
        _ => {
            let at = Instant::now();
            say(&last.insert((at, look())).1)
        }
    }
}

fn held_now() -> HashSet<u64> {
    let gateways = lock(&GATEWAYS).clone();
    gateways.into_iter().flat_map(held_by).collect()
}

/// The sockets of this process are looked for, too, from now on.
pub(super) fn watch(process: u32) {
    lock(&GATEWAYS).push(process);
}

/// The inode of the socket that somebody on this machine has at `local` for who is at `remote`, once it is
/// accepted; none if it is closed again.
pub(super) fn accepted(local: u16, remote: u16) -> Option<u64> {
    let begun = Instant::now();
    loop {
        let is_it = |socket: &&Socket| socket.local == local && socket.remote == remote;
        let socket = seen(&LISTED, listed, |all| all.iter().find(is_it).copied())?;
        if socket.inode.is_some() || !socket.established {
            return socket.inode;
        }
        assert!(begun.elapsed() < ACCEPTED, "nobody accepts at port {local}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A host has accepted this connection: it is noted what the gateway holds for it.
pub(super) fn called(at_host: &TcpStream) {
    let (Ok(host), Ok(caller)) = (at_host.local_addr(), at_host.peer_addr()) else {
        // A caller that has hung up: its socket is looked for by its port, as long as it is listed.
        return;
    };
    if let Some(inode) = accepted(caller.port(), host.port()) {
        let mut callers = lock(&CALLERS);
        let callers = callers.get_or_insert_default();
        callers.entry(host.port()).or_default().push(inode);
    }
}

/// What the gateway had for this host, so far.
pub(super) fn callers_of(host: Option<u16>) -> Vec<u64> {
    let callers = lock(&CALLERS);
    let of_host = callers.as_ref().and_then(|all| all.get(&host?));
    of_host.cloned().unwrap_or_default()
}

/// Whose sockets are looked for.
pub(super) struct Of<'a> {
    /// What the gateway had for its clients. Their ports would not do: two clients may come from the same one
    /// to different ports of the gateway.
    pub(super) clients: &'a [u64],
    pub(super) host: Option<u16>,
}

impl Of<'_> {
    /// How many connections to clients and to the host the gateway has.
    fn counted(&self) -> (usize, usize) {
        let callers = callers_of(self.host);
        let (clients, mut hosts) = seen(&HELD, held_now, |all| {
            let held = |inodes: &[u64]| -> HashSet<u64> {
                let inodes = inodes.iter().copied();
                inodes.filter(|it| all.contains(it)).collect()
            };
            (held(self.clients), held(&callers))
        });
        // Those that the host has not come to accept are listed at least.
        seen(&LISTED, listed, |all| {
            let to_host = all.iter().filter(|it| self.host == Some(it.remote));
            hosts.extend(to_host.filter_map(|it| it.inode));
        });
        (clients.len(), hosts.len())
    }

    /// Waits until there are none; what is left, if they stay longer than clients and hosts may.
    pub(super) fn wait(&self, for_clients: Duration, for_hosts: Duration) -> String {
        let begun = Instant::now();
        loop {
            // Looked at before: whoever is looked at late was not there for longer.
            let now = begun.elapsed();
            match self.counted() {
                (0, 0) => return "nothing".to_owned(),
                (clients, hosts)
                    if (clients > 0 && now > for_clients) || (hosts > 0 && now > for_hosts) =>
                {
                    return format!("connections: {clients} to clients, {hosts} to hosts");
                }
                _ => std::thread::sleep(LOOK),
            }
        }
    }
}

#[test]
fn what_was_reset_is_seen_for_as_long_as_it_is_held() {
    use std::io::Read as _;
    use std::net::TcpListener;
    watch(std::process::id());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = listener.local_addr().unwrap().port();
    let client = TcpStream::connect(("127.0.0.1", door)).unwrap();
    let port = client.local_addr().unwrap().port();
    let (mut held, _) = listener.accept().unwrap();
    let inode = accepted(door, port).unwrap();
    let left = |patience| {
        let of = Of {
            clients: &[inode],
            host: None,
        };
        of.wait(patience, patience)
    };
    let (short, long) = (Duration::from_millis(1), Duration::from_secs(60));
    let one = "connections: 1 to clients, 0 to hosts";
    assert_eq!(left(short), one);
    let _ = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
    drop(client);
    assert!(held.read(&mut [0]).is_err());
    // The kernel lists it no more.
    assert_eq!(accepted(door, port), None);
    assert_eq!(left(short), one);
    drop(held);
    assert_eq!(left(long), "nothing");
}
