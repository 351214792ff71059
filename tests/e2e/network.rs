//! A host behind a network that loses packets, swallows them, or has its cable pulled: in network
//! namespaces of its own, which take root, and iptables. Where those are not to be had, it says so, or
//! fails where they are required.
//!
//! The namespaces are held by processes that die with the test, and the cables go with them: nothing is
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
const NEEDS: [Need; 4] = [
    Need::Namespace,
    Need::Program("ip"),
    Need::Program("iptables"),
    Need::Program("sysctl"),
];

/// A cable from here to a router, and one from there to the host: a namespace each. What is lost is lost
/// at the router. A packet that is dropped where it is sent is an error to the system that sends it, and
/// no loss: it forgets a client whose SYN-ACK it could not repeat, and that client waits for a greeting.
struct Cable {
    router: Holder,
    host: Holder,
    /// The router's end of our cable.
    plug: String,
    address: String,
}

/// A network namespace, for as long as this lives.
struct Holder(Running);

fn run(line: &str) -> Result<String, String> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    let output = command.args(words).stdin(Stdio::null()).output();
    match output {
        Err(error) => Err(format!("{line}: {error}")),
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => Err(format!(
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

impl Holder {
    /// The error says why there can be none.
    fn new(what: &'static str, scratch: &Scratch) -> Result<Holder, String> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]);
        let log = scratch.join(&(what.replace(' ', "-") + ".log"));
        let mut holder = Running::start(what, &command, &log);
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
        Ok(Holder(holder))
    }

    fn inside(&self, line: &str) -> Result<String, String> {
        run(&format!("nsenter -t {} -n {line}", self.0.pid()))
    }
}

impl Cable {
    /// The error says why there can be none.
    fn new(number: u8, scratch: &Scratch) -> Result<Cable, String> {
        let router = Holder::new("the router", scratch)?;
        let host = Holder::new("the far network", scratch)?;
        let pid = std::process::id();
        // Addresses of RFC 2544's benchmarks, which nobody routes; eight of its own for each process.
        let net = format!("198.{}.{}", 18 + pid % 2, pid / 2 % 256);
        let base = u32::from(number) * 8 + 64 * (pid / 512 % 4);
        let address = |nth: u32| format!("{net}.{}", base + nth);
        let (ours, plug) = (format!("gp{number}a{pid}"), format!("gp{number}b{pid}"));
        let cable = Cable {
            router,
            host,
            plug: plug.clone(),
            address: address(6),
        };
        let to_router = format!("peer name {plug} netns {}", cable.router.0.pid());
        run(&format!("ip link add {ours} type veth {to_router}"))?;
        run(&format!("ip addr add {}/30 dev {ours}", address(1)))?;
        run(&format!("ip link set {ours} up"))?;
        let to_host = format!("peer name host netns {}", cable.host.0.pid());
        for line in [
            format!("ip addr add {}/30 dev {plug}", address(2)),
            format!("ip link set {plug} up"),
            format!("ip link add router type veth {to_host}"),
            format!("ip addr add {}/30 dev router", address(5)),
            "ip link set router up".to_owned(),
            "sysctl -qw net.ipv4.ip_forward=1".to_owned(),
        ] {
            cable.router.inside(&line)?;
        }
        for line in [
            format!("ip addr add {}/30 dev host", address(6)),
            "ip link set host up".to_owned(),
            format!("ip route add default via {}", address(5)),
        ] {
            cable.host.inside(&line)?;
        }
        let way = format!("{}/32 via {}", cable.address, address(2));
        run(&format!("ip route add {way} dev {ours}"))?;
        Ok(cable)
    }

    /// Loses every tenth packet of both ways together: one that is sent again is not lost again, so no
    /// run takes longer than another.
    fn lose(&self) -> Result<String, String> {
        let some = "-m statistic --mode nth --every 10 --packet 0 -j DROP";
        self.router.inside(&format!("iptables -A FORWARD {some}"))
    }

    /// How many packets it lost.
    fn lost(&self) -> u64 {
        let listed = self.router.inside("iptables -nvxL FORWARD").unwrap();
        let rule = listed.lines().find(|line| line.contains("DROP")).unwrap();
        rule.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Swallows everything.
    fn swallow(&self) -> Result<String, String> {
        self.router.inside("iptables -A FORWARD -j DROP")
    }

    fn heal(&self) -> Result<String, String> {
        self.router.inside("iptables -F")
    }

    /// The router's end, plugged in (`up`) or not: ours has no carrier then, and keeps its route.
    fn plug(&self, state: &str) -> Result<String, String> {
        let line = format!("ip link set {} {state}", self.plug);
        self.router.inside(&line)
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
        command.args(["-t", &cable.host.0.pid().to_string(), "-n"]);
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
fn cannot(what: Result<String, String>) -> bool {
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
    assert!(stage.cable.lost() > 0, "nothing was lost");
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
