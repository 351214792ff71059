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

/// What there was to see at a time.
struct Look {
    at: Instant,
    listed: Vec<Socket>,
    /// Inodes of the sockets that the gateways have descriptors of.
    held: HashSet<u64>,
}

/// The last look: the kernel takes its time for the list where many are looked for at once.
static LAST: Mutex<Option<Look>> = Mutex::new(None);

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

/// What a look at some time after this one says.
fn seen<T>(after: Instant, say: impl FnOnce(&Look) -> T) -> T {
    let mut last = lock(&LAST);
    match &*last {
        Some(look) if look.at >= after && look.at.elapsed() < LOOK => say(look),
        _ => say(last.insert(Look {
            at: Instant::now(),
            listed: listed(),
            held: lock(&GATEWAYS).iter().copied().flat_map(held_by).collect(),
        })),
    }
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
        let found = seen(Instant::now(), |look| {
            look.listed.iter().find(is_it).copied()
        });
        let socket = found?;
        if socket.inode.is_some() || !socket.established {
            return socket.inode;
        }
        assert!(begun.elapsed() < ACCEPTED, "nobody accepts at port {local}");
        std::thread::sleep(Duration::from_millis(2));
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

/// What the gateway had for this host.
fn callers_of(host: Option<u16>) -> Vec<u64> {
    let callers = lock(&CALLERS);
    let of_host = callers.as_ref().and_then(|all| all.get(&host?));
    of_host.cloned().unwrap_or_default()
}

/// Whose sockets are looked for.
pub(super) struct Of<'a> {
    /// Where its clients came from, and where they may have gone: others may come from the same port to
    /// somebody else.
    pub(super) clients: &'a [u16],
    pub(super) doors: &'a [u16],
    /// What the gateway had for them.
    pub(super) inodes: &'a [u64],
    pub(super) host: Option<u16>,
}

impl Of<'_> {
    /// How many connections to clients and to the host the gateway has, at some time after this.
    fn counted(&self, after: Instant) -> (usize, usize) {
        let callers = callers_of(self.host);
        seen(after, |look| {
            let of = |inodes: &[u64], listed: &dyn Fn(&Socket) -> bool| {
                let listed = look.listed.iter().filter(|socket| listed(socket));
                let open = listed.filter_map(|socket| socket.inode);
                let held = look.held.iter().copied();
                let all: HashSet<u64> = held
                    .filter(|inode| inodes.contains(inode))
                    .chain(open)
                    .collect();
                all.len()
            };
            // The other ends have the same ports the other way round.
            let to_client = |socket: &Socket| {
                self.doors.contains(&socket.local) && self.clients.contains(&socket.remote)
            };
            let to_host = |socket: &Socket| self.host == Some(socket.remote);
            (of(self.inodes, &to_client), of(&callers, &to_host))
        })
    }

    /// Waits until there are none; what is left, if they stay longer than clients and hosts may.
    pub(super) fn wait(&self, for_clients: Duration, for_hosts: Duration) -> String {
        let begun = Instant::now();
        loop {
            // Looked at before: whoever is looked at late was not there for longer.
            let now = begun.elapsed();
            match self.counted(begun) {
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

    /// Waits until there is one to the host; whether one came.
    pub(super) fn wait_for_host(&self, patience: Duration) -> bool {
        let begun = Instant::now();
        while self.counted(begun).1 == 0 {
            if begun.elapsed() > patience {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
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
    let left = |inodes: &[u64], patience| {
        let of = Of {
            clients: &[port],
            doors: &[door],
            inodes,
            host: None,
        };
        of.wait(patience, patience)
    };
    let (short, long) = (Duration::from_millis(1), Duration::from_secs(60));
    let one = "connections: 1 to clients, 0 to hosts";
    assert_eq!(left(&[inode], short), one);
    let _ = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
    drop(client);
    assert!(held.read(&mut [0]).is_err());
    // The kernel lists it no more.
    assert_eq!(left(&[], short), "nothing");
    assert_eq!(left(&[inode], short), one);
    drop(held);
    assert_eq!(left(&[inode], long), "nothing");
}
