//! A new process takes over from the old: nobody is refused, nobody is reset, old sessions live on.
//!
//! `GATEPOST_UPGRADES=20` makes as many upgrades, under `GATEPOST_RATE=200` connections a second.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use tokio::task::JoinSet;

use crate::support::crowd::{self, Client};
use crate::support::gateway::{BINARY, Settings, admin_get, cli};
use crate::support::need::{Need, needs};
use crate::support::pki::Pki;
use crate::support::process::{self, Running, signal};
use crate::support::scratch::free_port;
use crate::support::{Gateway, Scratch};

fn asked(name: &str, small: usize) -> usize {
    let asked = std::env::var(name).ok();
    asked.map_or(small, |number| number.parse().unwrap())
}

/// The process that serves now. It is no child of the test's, so it is ended here.
pub(super) struct Last(pub(super) u32);

impl Last {
    /// `gatepost upgrade`, and the process that serves from then on.
    fn upgrade(&mut self, gateway: &Gateway) {
        let said = cli(&["upgrade"], &gateway.config);
        assert!(said.status.success(), "{}\n{}", text(&said), gateway.log());
        self.is_now(&said);
    }

    /// The process that `gatepost upgrade` said has taken over.
    #[track_caller]
    pub(super) fn is_now(&mut self, said: &Output) {
        let words = text(said);
        assert!(said.status.success(), "{words}");
        let pid = words.strip_prefix("process ").unwrap();
        self.0 = pid.split(' ').next().unwrap().parse().unwrap();
    }

    pub(super) fn end(&self) {
        if runs(self.0) {
            // Twice: not to wait for sessions.
            for _ in 0..2 {
                let _ = Command::new("kill").arg(self.0.to_string()).output();
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.end();
        let gone = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            !runs(self.0)
        });
        if !gone {
            let _ = Command::new("kill")
                .arg("-KILL")
                .arg(self.0.to_string())
                .output();
        }
    }
}

/// Whether a process is there and not only waits to be missed by its parent.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

fn text(said: &Output) -> String {
    let out = String::from_utf8_lossy(&said.stdout).into_owned();
    out + &String::from_utf8_lossy(&said.stderr)
}

#[derive(Default)]
struct Visits {
    whole: AtomicUsize,
    told: AtomicUsize,
    failed: AtomicUsize,
}

/// Comes, logs in, asks something, and leaves.
async fn visit(port: u16, number: usize) -> std::io::Result<bool> {
    let mut client = Client::logged_in(port, &format!("guest{number}")).await?;
    for command in ["SELECT INBOX", "NOOP", "LOGOUT"] {
        if client.command(command).await?.starts_with("* BYE") {
            // Its own LOGOUT, or the gateway's goodbye.
            client.rest().await?;
            return Ok(command == "LOGOUT");
        }
    }
    Ok(true)
}

#[test]
fn nobody_is_refused_or_reset_and_old_sessions_live_on() {
    let upgrades = asked("GATEPOST_UPGRADES", 2);
    let rate = asked("GATEPOST_RATE", 20);
    let runtime = crowd::runtime();
    let host = crowd::host(&runtime);
    let scratch = Scratch::new();
    let mut gateway = Settings::to(format!("imap://127.0.0.1:{host}"))
        .top("timeouts: { drain: 20s }")
        .log("level: info")
        .start(&scratch, &Pki::new(&scratch));
    let (port, admin) = (gateway.ports.imap, gateway.ports.admin);
    let mut last = Last(gateway.pid());
    let visits = Arc::new(Visits::default());
    let over = Arc::new(AtomicBool::new(false));

    let (seen, ended) = (visits.clone(), over.clone());
    let crowd = runtime.spawn(async move {
        let mut often =
            tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate).unwrap());
        let mut all = JoinSet::new();
        let mut number = 0;
        while !ended.load(Ordering::Relaxed) {
            often.tick().await;
            number += 1;
            let seen = seen.clone();
            all.spawn(async move {
                let count = match visit(port, number).await {
                    Ok(true) => &seen.whole,
                    Ok(false) => &seen.told,
                    Err(error) => {
                        eprintln!("visit {number}: {error}");
                        &seen.failed
                    }
                };
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        all.join_all().await;
    });
    let ended = over.clone();
    // The admin port is never away either.
    let monitor = std::thread::spawn(move || {
        let mut answers = 0;
        while !ended.load(Ordering::Relaxed) {
            assert_eq!(
                admin_get(admin, "/healthz").map(|(status, _)| status),
                Some(200)
            );
            answers += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
        answers
    });
    let mut stayed = JoinSet::new();
    for round in 0..upgrades {
        for number in 0..10 {
            let user = format!("old{round}-{number}");
            let mut client = runtime.block_on(Client::logged_in(port, &user)).unwrap();
            let handle = runtime.handle().clone();
            stayed.spawn_on(
                async move {
                    // Answered until the goodbye, and then there is an end, no reset.
                    let mut answers = 0;
                    while client.command("NOOP").await.unwrap().starts_with("a OK") {
                        answers += 1;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    client.rest().await.unwrap();
                    answers
                },
                &handle,
            );
        }
        last.upgrade(&gateway);
        assert_eq!(admin_get(admin, "/readyz").unwrap().0, 200);
    }
    // The first process is the test's own child.
    assert_eq!(gateway.wait().code(), Some(0));
    over.store(true, Ordering::Relaxed);
    runtime.block_on(crowd).unwrap();
    let checks = monitor.join().unwrap();
    last.end();
    let answers = runtime.block_on(stayed.join_all());
    let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    let (whole, told) = (count(&visits.whole), count(&visits.told));
    eprintln!(
        "{upgrades} upgrades: {whole} visits whole, {told} told goodbye, {} failed; {checks} checks \
         of /healthz; {} old sessions, {} answers",
        count(&visits.failed),
        answers.len(),
        answers.iter().sum::<i32>()
    );
    assert_eq!(count(&visits.failed), 0);
    assert!(whole > 0 && answers.iter().all(|answers| *answers > 0));
}

#[test]
fn what_cannot_start_leaves_the_old_process_as_it_was() {
    let runtime = crowd::runtime();
    let host = crowd::host(&runtime);
    let scratch = Scratch::new();
    let binary = scratch.join("gatepost");
    std::fs::copy(BINARY, &binary).unwrap();
    let mut gateway = Settings::to(format!("imap://127.0.0.1:{host}"))
        .binary(binary.clone())
        .start(&scratch, &Pki::new(&scratch));
    let settings = std::fs::read_to_string(&gateway.config).unwrap();
    let refused = |gateway: &Gateway| {
        let said = cli(&["upgrade"], &gateway.config);
        assert_eq!(said.status.code(), Some(1), "{}", text(&said));
        assert!(runs(gateway.pid()));
        assert_eq!(admin_get(gateway.ports.admin, "/readyz").unwrap().0, 200);
        text(&said)
    };
    // Settings that are wrong: told as `check` tells it.
    std::fs::write(&gateway.config, settings.replace("users:", "usres:")).unwrap();
    let said = refused(&gateway);
    assert!(said.contains("usres") && said.contains("E0"), "{said}");
    // Settings that cannot be met.
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap();
    let listener = format!("listeners:\n  - imap://{taken}");
    std::fs::write(&gateway.config, settings.replace("listeners:", &listener)).unwrap();
    let said = refused(&gateway);
    assert!(
        said.contains("cannot listen on") && said.contains(&taken.to_string()),
        "{said}"
    );
    drop(held);
    // A program that is none, and one that is away.
    std::fs::write(&gateway.config, &settings).unwrap();
    std::fs::rename(&binary, scratch.join("gatepost.old")).unwrap();
    let said = refused(&gateway);
    assert!(said.contains("cannot start"), "{said}");
    std::fs::rename(scratch.join("gatepost.old"), &binary).unwrap();
    gateway.logged(&["event=upgrade", "this process goes on"]);
    // And then it works.
    let mut last = Last(gateway.pid());
    last.upgrade(&gateway);
    assert_ne!(last.0, gateway.pid());
    assert_eq!(gateway.wait().code(), Some(0));
    runtime.block_on(async {
        let mut client = Client::logged_in(gateway.ports.imap, "new").await.unwrap();
        assert!(client.command("NOOP").await.unwrap().starts_with("a OK"));
    });
}

#[test]
fn the_service_manager_is_told() {
    let scratch = Scratch::new();
    let heard = UnixDatagram::bind(scratch.join("notify")).unwrap();
    heard
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let next = || {
        let mut words = [0; 1024];
        let length = heard.recv(&mut words).unwrap();
        String::from_utf8_lossy(&words[..length]).into_owned()
    };
    let mut gateway = Settings::to("demo://")
        .env("NOTIFY_SOCKET", scratch.join("notify").to_str().unwrap())
        .start(&scratch, &Pki::new(&scratch));
    assert!(next().starts_with("READY=1\n"));
    signal(gateway.pid(), "HUP");
    let words = next();
    assert!(words.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{words}");
    assert!(next().starts_with("READY=1\n"));
    let mut last = Last(gateway.pid());
    last.upgrade(&gateway);
    let words = next();
    assert!(
        words.starts_with(&format!("MAINPID={}\n", last.0)),
        "{words}"
    );
    // The next one's own.
    assert!(next().starts_with("READY=1\n"));
    assert_eq!(gateway.wait().code(), Some(0));
    signal(last.0, "TERM");
    let words = next();
    assert!(
        words.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000\n"),
        "{words}"
    );
}

#[test]
fn the_watchdog_is_fed() {
    let scratch = Scratch::new();
    let heard = UnixDatagram::bind(scratch.join("notify")).unwrap();
    heard
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let _gateway = Settings::to("demo://")
        .env("NOTIFY_SOCKET", scratch.join("notify").to_str().unwrap())
        .env("WATCHDOG_USEC", "200000")
        .start(&scratch, &Pki::new(&scratch));
    let mut fed = 0;
    while fed < 3 {
        let mut words = [0; 1024];
        let length = heard.recv(&mut words).unwrap();
        fed += usize::from(words[..length].starts_with(b"WATCHDOG=1"));
    }
}

/// Blocks of the manual's page with this word behind their fence.
fn blocks(word: &str) -> Vec<&'static str> {
    let page = include_str!("../../src/manual/upgrade.md");
    let fence = format!("```{word}\n");
    let parts = page.split(fence.as_str()).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap())
        .collect()
}

#[test]
fn the_manuals_units_are_sound() {
    needs!(Need::Program("systemd-analyze"));
    let scratch = Scratch::new();
    let [service, socket] = blocks("ini")[..] else {
        panic!("two units");
    };
    let service = service.replace("/usr/local/bin/gatepost", BINARY);
    let files = [
        scratch.write("gatepost.service", service),
        scratch.write("gatepost.socket", socket),
    ];
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(files)
        .output()
        .unwrap();
    let words = text(&verify);
    assert!(verify.status.success() && words.is_empty(), "{words}");
}

/// Starts the gateway as systemd starts a service with sockets.
fn with_sockets(config: &Path, sockets: Vec<std::net::TcpListener>, log: &Path) -> Running {
    let mut command = Command::new("/bin/sh");
    let count = sockets.len().to_string();
    let script = r#"LISTEN_PID=$$ exec "$0" "$@""#;
    command
        .args(["-c", script, BINARY, "run", "-c"])
        .arg(config);
    command
        .env("LISTEN_FDS", count)
        .env("LISTEN_FDNAMES", "mail:other");
    let mappings = (3..).zip(sockets).map(|(child_fd, socket)| FdMapping {
        parent_fd: socket.into(),
        child_fd,
    });
    command.fd_mappings(mappings.collect()).unwrap();
    Running::start_as_is("gatepost", command, log)
}

#[test]
fn sockets_of_systemd_go_to_their_listeners() {
    let scratch = Scratch::new();
    let mail = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, unused) = (mail.local_addr().unwrap(), other.local_addr().unwrap());
    let admin = free_port();
    let config = scratch.write(
        "proxy.yaml",
        format!(
            "listeners:\n  - imap://{port}\nbackends:\n  demo: demo://\nusers:\n  \"*\": demo\n\
             admin: {{ bind: 127.0.0.1:{admin} }}\n"
        ),
    );
    // It listens already: who comes before the gateway is there waits for it.
    let mut early = std::net::TcpStream::connect(port).unwrap();
    let log = scratch.join("gatepost.log");
    let mut running = with_sockets(&config, vec![mail, other], &log);
    let mut greeting = [0; 5];
    std::io::Read::read_exact(&mut early, &mut greeting).unwrap();
    assert_eq!(&greeting, b"* OK ");
    let told = running.logged(&["event=socket_unused"]);
    assert!(told.contains(&format!("{unused} (other)")), "{told}");
    assert!(std::net::TcpStream::connect(unused).is_err());
    // An upgrade hands on what systemd gave.
    let mut last = Last(running.pid());
    let said = process::run(Command::new(BINARY).arg("upgrade").arg("-c").arg(&config));
    last.is_now(&said);
    assert!(std::net::TcpStream::connect(port).is_ok());
    drop(early);
    assert_eq!(running.wait().code(), Some(0));
}
