//! What the gateway still holds of a fault, while others go on beside it: the sockets of its client and of
//! its host, as the kernel lists them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(50);

/// The two ends of a connection of this machine, as one of them has it.
struct Socket {
    local: u16,
    remote: u16,
}

/// The last look: the kernel takes its time for the list where many are looked for at once.
static LAST: Mutex<Option<(Instant, Vec<Socket>)>> = Mutex::new(None);

/// Those that some process holds. What the kernel alone goes on with, for a last octet to be taken, has no
/// inode any more and is nobody's descriptor.
fn held() -> Vec<Socket> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let socket = |line: &str| {
        let cells: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, remote, _, _, _, _, _, _, inode, ..] = cells[..] else {
            return None;
        };
        let port = |end: &str| u16::from_str_radix(end.split_once(':')?.1, 16).ok();
        let (local, remote) = (port(local)?, port(remote)?);
        (inode != "0").then_some(Socket { local, remote })
    };
    table.lines().skip(1).filter_map(socket).collect()
}

/// Whose sockets are looked for.
pub(super) struct Of<'a> {
    /// Where its clients came from, and where they may have gone: others may come from the same port to
    /// somebody else.
    pub(super) clients: &'a [u16],
    pub(super) doors: &'a [u16],
    pub(super) host: Option<u16>,
}

impl Of<'_> {
    /// How many connections to clients and to the host the gateway has, at some time after this.
    fn counted(&self, after: Instant) -> (usize, usize) {
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        let sockets = match &mut *last {
            Some((at, sockets)) if *at >= after && at.elapsed() < LOOK => sockets,
            old => &mut old.insert((Instant::now(), held())).1,
        };
        let (mut clients, mut hosts) = (0, 0);
        for Socket { local, remote } in sockets {
            // The other ends have the same ports the other way round.
            let ours = self.doors.contains(local) && self.clients.contains(remote);
            clients += usize::from(ours);
            hosts += usize::from(self.host == Some(*remote));
        }
        (clients, hosts)
    }

    /// Waits until there are none; what is left, if they stay.
    pub(super) fn wait(&self, patience: Duration) -> String {
        let begun = Instant::now();
        loop {
            // Looked at before: whoever is looked at late was not there for longer.
            let late = begun.elapsed() > patience;
            match self.counted(begun) {
                (0, 0) => return "nothing".to_owned(),
                (clients, hosts) if late => {
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
