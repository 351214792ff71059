//! A host dies under its sessions and comes back, with the whole program between: everybody logs in again,
//! nobody hears that a password is wrong, the host is not stampeded, others notice nothing.

use std::sync::atomic::AtomicUsize;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::*;
use crate::support::Scratch;
use crate::support::pki::Pki;

/// Most logins at once on a host.
const IN_FLIGHT: usize = 50;

/// No wait lasts longer; it is not a measure.
const PATIENCE: Duration = Duration::from_secs(120);

/// Logins in flight on a host, the most there have been, and sessions that are logged in.
#[derive(Default)]
struct Load {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// Lets everybody in, 10 ms later; dies when its tasks are dropped.
async fn mortal(port: u16, load: Arc<Load>) -> (u16, JoinSet<()>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut sessions = JoinSet::new();
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let load = load.clone();
            sessions.spawn(async move {
                let _ = serve(tcp, &load).await;
            });
        }
    });
    (port, tasks)
}

async fn serve(tcp: tokio::net::TcpStream, load: &Load) -> std::io::Result<()> {
    let mut tcp = tokio::io::BufReader::new(tcp);
    tcp.write_all(b"* OK [CAPABILITY IMAP4rev1] here\r\n")
        .await?;
    let mut line = String::new();
    while tcp.read_line(&mut line).await? > 0 {
        let tag = line.split(' ').next().unwrap_or("*");
        let answer = format!("{tag} OK done\r\n");
        if line.contains("LOGIN") {
            let now = load.now.fetch_add(1, Ordering::SeqCst) + 1;
            load.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            load.now.fetch_sub(1, Ordering::SeqCst);
        }
        tcp.write_all(answer.as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

/// A session that is logged in, however often that must be tried; only an outage may be in the way.
async fn persist(port: u16, user: String) -> tokio::io::BufReader<tokio::net::TcpStream> {
    loop {
        if let Ok(session) = log_in(port, &user).await {
            return session;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn log_in(
    port: u16,
    user: &str,
) -> std::io::Result<tokio::io::BufReader<tokio::net::TcpStream>> {
    let tcp = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let mut tcp = tokio::io::BufReader::new(tcp);
    let mut line = String::new();
    tcp.read_line(&mut line).await?;
    tcp.write_all(format!("a LOGIN {user} secret\r\n").as_bytes())
        .await?;
    loop {
        line.clear();
        if tcp.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(status) = line.strip_prefix("a ") {
            if status.starts_with("OK") {
                return Ok(tcp);
            }
            assert!(status.starts_with("NO [UNAVAILABLE]"), "{user}: {status}");
            return Err(std::io::Error::other("an outage"));
        }
    }
}

/// What the others live through meanwhile.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nobody comes or goes.
    Calm,
    /// Everybody logs in at a host that lives.
    Crowd,
    /// The host is dead, everybody tries again and again.
    Dead,
    /// It is back.
    Back,
}

/// Users of another host, who log in all the time.
struct Canaries {
    phase: Arc<AtomicUsize>,
    took: Arc<Mutex<[Vec<Duration>; 4]>>,
    task: tokio::task::JoinHandle<()>,
}

impl Canaries {
    fn start(imap: u16) -> Canaries {
        let phase = Arc::<AtomicUsize>::default();
        let took = Arc::<Mutex<[Vec<Duration>; 4]>>::default();
        let task = tokio::spawn({
            let (phase, took) = (phase.clone(), took.clone());
            async move {
                for n in 0.. {
                    let begun = Instant::now();
                    let user = format!("c{}@canary.example", n % 10);
                    drop(log_in(imap, &user).await.expect("a canary noticed"));
                    took.lock().unwrap()[phase.load(Ordering::SeqCst)].push(begun.elapsed());
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        Canaries { phase, took, task }
    }

    fn now(&self, phase: Phase) {
        self.phase.store(phase as usize, Ordering::SeqCst);
    }

    /// What they lived through, phase by phase; all of them were let in all the time.
    fn end(self) -> String {
        assert!(!self.task.is_finished(), "a canary noticed");
        self.task.abort();
        let mut took = self.took.lock().unwrap();
        let mut told = Vec::new();
        for phase in [Phase::Calm, Phase::Crowd, Phase::Dead, Phase::Back] {
            let took = &mut took[phase as usize];
            took.sort_unstable();
            let at = |share: usize| took.get((took.len() * share / 100).min(took.len().max(1) - 1));
            let at = |share| at(share).map_or(0.0, |it| it.as_secs_f64() * 1e3);
            told.push(format!(
                "{phase:?} {} logins, median {:.1} ms, 95 % {:.1} ms, slowest {:.1} ms",
                took.len(),
                at(50),
                at(95),
                at(100)
            ));
        }
        told.join("; ")
    }
}

#[test]
fn a_host_dies_under_its_sessions_and_comes_back() {
    let (count, death) = match full() {
        true => (2_000, Duration::from_secs(5)),
        false => (60, Duration::from_millis(1200)),
    };
    let runtime = crate::support::crowd::runtime();
    let (load, quiet) = (Arc::<Load>::default(), Arc::<Load>::default());
    let (port, host) = runtime.block_on(mortal(0, load.clone()));
    let (other, _other_host) = runtime.block_on(mortal(0, quiet));
    let scratch = Scratch::new();
    let gateway = Settings::new()
        .backend(
            "store",
            format!("{{ hosts: [\"imap://127.0.0.1:{port}\"], logins_in_flight: {IN_FLIGHT} }}"),
        )
        .backend("canary", format!("imap://127.0.0.1:{other}"))
        .user("\"@canary.example\"", "canary")
        .user("\"*\"", "store")
        .log("level: info")
        .start(&scratch, &Pki::new(&scratch));
    let imap = gateway.ports.imap;
    runtime.block_on(async {
        let everybody = || {
            let mut logins = JoinSet::new();
            for n in 0..count {
                logins.spawn(persist(imap, format!("user{n}")));
            }
            async move { tokio::time::timeout(PATIENCE, logins.join_all()).await.unwrap() }
        };
        let canaries = Canaries::start(imap);
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The same crowd at a host that lives: what the machine makes of that is nobody's death.
        canaries.now(Phase::Crowd);
        let sessions = everybody().await;
        canaries.now(Phase::Calm);
        tokio::time::sleep(Duration::from_secs(1)).await;
        canaries.now(Phase::Dead);
        // Killed: its connections close, its port refuses; its clients notice and come again.
        drop(host);
        let mut ended = JoinSet::new();
        for mut session in sessions {
            ended.spawn(async move {
                let mut rest = Vec::new();
                let _ = session.read_to_end(&mut rest).await;
            });
        }
        load.most.store(0, Ordering::SeqCst);
        load.now.store(0, Ordering::SeqCst);
        let coming_back = everybody();
        let returning = async {
            tokio::time::sleep(death).await;
            canaries.now(Phase::Back);
            let host = mortal(port, load.clone()).await;
            (host, Instant::now())
        };
        let coming = async {
            let sessions = coming_back.await;
            (sessions, Instant::now())
        };
        let ((sessions, all), (_host, back)) = tokio::join!(coming, returning);
        assert_eq!(sessions.len(), count);
        let most = load.most.load(Ordering::SeqCst);
        println!(
            "{count} sessions, dead for {death:?}: all logged in {:?} after the return, at most {most} logins in flight of {IN_FLIGHT}; canaries: {}",
            all - back,
            canaries.end(),
        );
        assert!(most <= IN_FLIGHT, "{most} logins at once");
    });
    assert!(!gateway.log().contains("AUTHENTICATIONFAILED"));
}
