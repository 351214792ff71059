//! File descriptors run out: those who are there go on, the admin port answers, the processor rests,
//! and there is room again as soon as somebody leaves.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::crowd::{self, Client};
use crate::support::gateway::{Settings, admin_get};
use crate::support::need::{Need, needs};
use crate::support::pki::Pki;
use crate::support::process::connect;
use crate::support::{Gateway, Scratch};

const CROWD: usize = 500;

#[test]
fn out_of_descriptors_nobody_who_is_there_notices() {
    needs!(Need::Program("prlimit"));
    let runtime = crowd::runtime();
    let host = crowd::host(&runtime);
    let scratch = Scratch::new();
    let mut gateway = Settings::to(format!("imap://127.0.0.1:{host}"))
        .limits("connections: 20000")
        .log("level: info")
        .under(&["prlimit", "--nofile=256:256"])
        .start(&scratch, &Pki::new(&scratch));
    let port = gateway.ports.imap;
    let mut there = Vec::new();
    for number in 0..20 {
        let user = format!("there{number}");
        there.push(runtime.block_on(Client::logged_in(port, &user)).unwrap());
    }
    let began = Instant::now();
    let crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect(port).unwrap()).collect();
    gateway.logged(&["event=accept_rests"]);
    let processor = |gateway: &Gateway| -> f64 {
        let (status, text) = admin_get(gateway.ports.admin, "/metrics").unwrap();
        assert_eq!(status, 200);
        let lines = text.lines();
        let mut seconds = lines.filter_map(|line| line.strip_prefix("process_cpu_seconds_total "));
        seconds.next_back().unwrap().parse().unwrap()
    };
    // For a while, at the limit.
    let before = processor(&gateway);
    for _ in 0..20 {
        for client in &mut there {
            let answer = runtime.block_on(client.command("NOOP")).unwrap();
            assert!(answer.starts_with("a OK"), "{answer}");
        }
        assert_eq!(admin_get(gateway.ports.admin, "/healthz").unwrap().0, 200);
        std::thread::sleep(Duration::from_millis(100));
    }
    let spent = processor(&gateway) - before;
    eprintln!("{spent} s of processor time in 2 s at the limit, 420 commands and checks included");
    // Who does not rest spends both seconds, on one processor at least.
    assert!(spent < 1.0, "{spent} s of processor time");
    let metrics = admin_get(gateway.ports.admin, "/metrics").unwrap().1;
    let counted = metrics.lines().find(|line| {
        line.starts_with("gatepost_accept_errors_total")
            && line.contains(&format!(":{port}"))
            && line.contains("descriptors")
    });
    // Counted once for each connection that waits, however often it is looked at.
    let counted: Option<u64> =
        counted.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap());
    let waited = 1..=u64::try_from(CROWD).unwrap();
    assert!(
        counted.is_some_and(|times| waited.contains(&times)),
        "{counted:?}"
    );
    // Told once in ten seconds, though it rests ten times in one; and no host is to blame.
    let log = gateway.log();
    let told = log.matches("event=accept_rests").count() as u64;
    assert!(told <= 1 + began.elapsed().as_secs() / 10, "{log}");
    assert!(!log.contains("host_down"), "{log}");
    let left = Instant::now();
    drop(crowd);
    let mut new = runtime.block_on(Client::logged_in(port, "new")).unwrap();
    eprintln!(
        "a new client was logged in {:?} after the others left",
        left.elapsed()
    );
    assert!(
        runtime
            .block_on(new.command("NOOP"))
            .unwrap()
            .starts_with("a OK")
    );
    for client in &mut there {
        assert!(
            runtime
                .block_on(client.command("NOOP"))
                .unwrap()
                .starts_with("a OK")
        );
    }
}

#[test]
fn nobody_is_turned_away_when_descriptors_run_out() {
    needs!(Need::Program("prlimit"));
    let scratch = Scratch::new();
    let gateway = Settings::to("demo://")
        .limits("connections: 20000")
        .log("level: info")
        .under(&["prlimit", "--nofile=256:256"])
        .start(&scratch, &Pki::new(&scratch));
    let port = gateway.ports.imap;
    let crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect(port).unwrap()).collect();
    // One after the other leaves and makes room for another, until all had their greeting.
    for mut client in crowd {
        let mut greeting = [0; 5];
        client.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"* OK ");
    }
}

/// Shells and services begin with a soft limit of 1024, whatever they could have.
#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    needs!(Need::Program("prlimit"));
    let scratch = Scratch::new();
    let mut gateway = Settings::to("demo://")
        .log("level: info")
        .under(&["prlimit", "--nofile=64:1000"])
        .start(&scratch, &Pki::new(&scratch));
    gateway.logged(&["event=ready", "connections=372"]);
    let metrics = admin_get(gateway.ports.admin, "/metrics").unwrap().1;
    assert!(metrics.contains("\nprocess_max_fds 1000\n"), "{metrics}");
}
