//! A host behind a network that loses packets, swallows them, or has its cable pulled: in a network
//! namespace of its own, which takes root, and iptables. Where those are not to be had, it says so, or
//! fails where they are required.
//!
//! The namespace is held by a process that dies with the test, and the cable goes with it: nothing is
//! left behind, however a test ends.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::gateway::{Settings, binary};
use crate::support::imap::Way;
use crate::support::need::{Need, all_there, skip};
use crate::support::pki::Pki;
use crate::support::process::Running;
use crate::support::{Gateway, Imap, Scratch};

/// What a cable takes.
const NEEDS: [Need; 3] = [
    Need::Namespace,
    Need::Program("ip"),
    Need::Program("iptables"),
];

/// Two ends of a cable: ours here, the host's in a namespace.
struct Cable {
    holder: Running,
    theirs: String,
    address: String,
}

fn run(line: &str) -> Result<(), String> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    let output = command.args(words).stdin(Stdio::null()).output();
    match output {
        Err(error) => Err(format!("{line}: {error}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

impl Cable {
    /// The error says why there can be none.
    fn new(number: u8, scratch: &Scratch) -> Result<Cable, String> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]);
        let log = scratch.join("namespace.log");
        let mut holder = Running::start("the namespace", &command, &log);
        let holders = holder.pid();
        let namespace = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/net")).ok();
        let (ours, patience) = (namespace("self"), Instant::now() + Duration::from_secs(60));
        // Its own namespace, once it is there; one that may not have it is gone then.
        while namespace(&holders.to_string()).is_none_or(|it| Some(it) == ours) {
            if holder.is_gone() || Instant::now() > patience {
                return Err(holder.words());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let pid = std::process::id();
        // Addresses of RFC 2544's benchmarks, which nobody routes; a pair of its own for each process.
        let net = format!("198.{}.{}", 18 + pid % 2, pid / 2 % 256);
        let base = u32::from(number) * 4 + 64 * (pid / 512 % 4);
        let (ours, theirs) = (format!("gp{number}a{pid}"), format!("gp{number}b{pid}"));
        let cable = Cable {
            holder,
            theirs: theirs.clone(),
            address: format!("{net}.{}", base + 2),
        };
        let peer = format!("peer name {theirs} netns {holders}");
        run(&format!("ip link add {ours} type veth {peer}"))?;
        run(&format!("ip addr add {net}.{}/30 dev {ours}", base + 1))?;
        run(&format!("ip link set {ours} up"))?;
        cable.inside(&format!("ip addr add {}/30 dev {theirs}", cable.address))?;
        cable.plug("up")?;
        Ok(cable)
    }

    fn inside(&self, line: &str) -> Result<(), String> {
        run(&format!("nsenter -t {} -n {line}", self.holder.pid()))
    }

    /// Loses a packet in ten, each way.
    fn lose(&self) -> Result<(), String> {
        let some = "-m statistic --mode random --probability 0.1 -j DROP";
        self.inside(&format!("iptables -A INPUT {some}"))?;
        self.inside(&format!("iptables -A OUTPUT {some}"))
    }

    /// Swallows everything.
    fn swallow(&self) -> Result<(), String> {
        self.inside("iptables -A INPUT -j DROP")
    }

    fn heal(&self) -> Result<(), String> {
        self.inside("iptables -F")
    }

    /// The host's end, plugged in (`up`) or not: ours has no carrier then, and keeps its route.
    fn plug(&self, state: &str) -> Result<(), String> {
        self.inside(&format!("ip link set {} {state}", self.theirs))
    }
}

/// A gateway with a user behind the cable (`demo`) and one on this side (`near`).
struct Stage {
    gateway: Gateway,
    cable: Cable,
    _far: Running,
    _near: Gateway,
    _scratch: [Scratch; 4],
}

impl Stage {
    /// None, with a word about it, where there are no namespaces to be had.
    fn new(number: u8) -> Option<Stage> {
        if !all_there(&NEEDS) {
            return None;
        }
        let scratch = [(); 4].map(|()| Scratch::new());
        let cable = match Cable::new(number, &scratch[3]) {
            Ok(cable) => cable,
            Err(why) => {
                skip(&format!("a network namespace ({})", why.trim()));
                return None;
            }
        };
        let file = scratch[1].write(
            "proxy.yaml",
            format!(
                "listeners: [{{ bind: \"imap://{}:143\", cleartext_login: true }}]
backends: {{ demo: \"demo://\" }}
users: {{ demo: demo }}
limits: {{ trusted: [198.18.0.0/15] }}
",
                cable.address
            ),
        );
        let mut command = Command::new("nsenter");
        command.args(["-t", &cable.holder.pid().to_string(), "-n"]);
        command.arg(binary()).args(["run", "-c"]).arg(file);
        let mut far = Running::start("the far host", &command, &scratch[1].join("far.log"));
        let address = format!("{}:143", cable.address);
        far.wait_until("the far host", || {
            std::net::TcpStream::connect(&address).is_ok()
        });
        let near = Gateway::to("demo://", &scratch[2], &Pki::new(&scratch[2]));
        // Only a host that is not reached is given up soon.
        let waits = "health: none, connect_timeout: 3s, greeting_timeout: 40s, login_timeout: 40s";
        let hosts = |address: &str, retry: &str| {
            format!("{{ hosts: [\"imap://{address}\"], {waits}, retry_for: {retry} }}")
        };
        let gateway = Settings::new()
            .backend("far", hosts(&address, "0s"))
            .backend("lossy", hosts(&address, "40s"))
            .backend(
                "near",
                hosts(&format!("127.0.0.1:{}", near.ports.imap), "0s"),
            )
            .user("far@x", "{ backend: far, login: demo }")
            .user("lossy@x", "{ backend: lossy, login: demo }")
            .user("near@x", "{ backend: near, login: demo }")
            .limits("per_user: 1000, per_user_ip: 1000")
            .start(&scratch[0], &Pki::new(&scratch[0]));
        Some(Stage {
            gateway,
            cable,
            _far: far,
            _near: near,
            _scratch: scratch,
        })
    }

    fn log_in(&self, user: &str) -> (Imap, String) {
        let mut imap = Imap::plain(self.gateway.ports.imap);
        let status = imap.login(Way::LoginQuoted, user, "demo").status;
        (imap, status)
    }

    fn in_as(&self, user: &str) -> Imap {
        let (imap, status) = self.log_in(user);
        assert!(status.starts_with("OK"), "{user}: {status}");
        imap
    }

    /// The far user is let in again: a host that was away is asked twice a second.
    fn far_is_back(&self) {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let (_, status) = self.log_in("far@x");
            if status.starts_with("OK") {
                return;
            }
            assert!(Instant::now() < patience, "it never comes back: {status}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The far user is told that it is not the password; the near one notices nothing.
    fn far_is_away(&self, what: &str) {
        let (_, status) = self.log_in("far@x");
        assert!(status.starts_with("NO [UNAVAILABLE]"), "{what}: {status}");
        self.in_as("near@x").command("NOOP").ok();
    }
}

/// All mail of the demonstration, as a client gets it.
fn mail(imap: &mut Imap) -> Vec<u8> {
    imap.command("EXAMINE INBOX").ok();
    let answer = imap.command("FETCH 1:* (BODY.PEEK[])");
    assert!(answer.status.starts_with("OK"), "{}", answer.status);
    answer.untagged
}

/// Needed to lose or swallow anything.
fn cannot(what: Result<(), String>) -> bool {
    if let Err(why) = &what {
        skip(&format!("packets that can be lost ({why})"));
    }
    what.is_err()
}

#[test]
fn lost_packets_lose_no_mail() {
    let Some(stage) = Stage::new(0) else { return };
    let whole = mail(&mut stage.in_as("lossy@x"));
    assert!(whole.len() > 1000);
    if cannot(stage.cable.lose()) {
        return;
    }
    for _ in 0..6 {
        let mut imap = stage.in_as("lossy@x");
        assert!(mail(&mut imap) == whole, "other octets than without loss");
        imap.command("LOGOUT");
    }
}

#[test]
fn a_host_in_a_black_hole_is_told_of_and_sessions_outlive_it() {
    let Some(stage) = Stage::new(1) else { return };
    let mut there = stage.in_as("far@x");
    if cannot(stage.cable.swallow()) {
        return;
    }
    stage.far_is_away("black hole");
    there.conn.send("z NOOP\r\n");
    stage.far_is_away("black hole, and a session in it");
    stage.cable.heal().unwrap();
    let answer = there.conn.text();
    assert!(answer.starts_with("z OK"), "{answer}");
    stage.far_is_back();
}

#[test]
fn a_cable_that_was_pulled_comes_back_with_its_sessions() {
    let Some(stage) = Stage::new(2) else { return };
    let mut there = stage.in_as("far@x");
    stage.cable.plug("down").unwrap();
    stage.far_is_away("link down");
    stage.cable.plug("up").unwrap();
    there.command("NOOP").ok();
    stage.far_is_back();
}
