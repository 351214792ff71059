//! A Redis that gateways of a test share, ways to it that can be cut, and what they say of it.

use std::net::Shutdown;
use std::path::PathBuf;
use std::process::Command;

use gatepost::protocol::Secret;
use gatepost::state::Config;
use gatepost::state::config::Redis as Shared;

use super::*;
use crate::support::need::{Need, unpacked};
use crate::support::process::Running;
use crate::support::scratch::free_port;
use crate::support::{Gateway, Scratch, scripted};

pub(super) const REDIS: Need = Need::Venv("redis");

/// A Redis of the test's own.
pub(super) struct Redis {
    running: Option<Running>,
    pub(super) port: u16,
    log: PathBuf,
    /// Certificate and key, where it speaks TLS only.
    tls: Option<(PathBuf, PathBuf)>,
}

impl Redis {
    pub(super) fn start(scratch: &Scratch) -> Redis {
        Redis::start_with(scratch, None)
    }

    pub(super) fn start_with(scratch: &Scratch, tls: Option<(PathBuf, PathBuf)>) -> Redis {
        let mut redis = Redis {
            running: None,
            port: free_port(),
            log: scratch.join("redis.log"),
            tls,
        };
        redis.again();
        redis
    }

    pub(super) fn again(&mut self) {
        let root = unpacked("redis").join("usr");
        let folder = self.log.parent().unwrap();
        let mut command = Command::new(root.join("bin/redis-server"));
        let port = self.port.to_string();
        command.env("LD_LIBRARY_PATH", root.join("lib/x86_64-linux-gnu"));
        match &self.tls {
            None => command.args(["--port", &port]),
            Some((cert, key)) => {
                command.args([
                    "--port",
                    "0",
                    "--tls-port",
                    &port,
                    "--tls-auth-clients",
                    "no",
                ]);
                command.arg("--tls-cert-file").arg(cert);
                command.arg("--tls-key-file").arg(key)
            }
        };
        command
            .args(["--bind", "127.0.0.1", "--dir"])
            .arg(folder)
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(["--requirepass", "redis-secret"]);
        let mut running = Running::start("redis", &command, &self.log);
        running.wait_for_port(self.port);
        self.running = Some(running);
    }

    pub(super) fn stop(&mut self) {
        self.running.take().unwrap().stop();
    }

    /// Has it answer nobody for so long; connections stay.
    pub(super) fn pause(&self, time: Duration) {
        self.tell(&format!("CLIENT PAUSE {} ALL", time.as_millis()));
    }

    pub(super) fn tell(&self, command: &str) {
        assert_eq!(self.ask(command), "+OK");
    }

    /// The first line of the answer to a command.
    fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "AUTH redis-secret\r\n{command}\r\n").unwrap();
        let mut answers = BufReader::new(stream).lines();
        assert_eq!(answers.next().unwrap().unwrap(), "+OK");
        answers.next().unwrap().unwrap()
    }

    /// Has it hold this, of which no gateway is told.
    pub(super) fn set(&self, hash: &str, field: &str, value: &str) {
        let hash = format!("{}:{hash}", Shared::PREFIX);
        let words = ["HSET", &hash, field, value];
        let words = words.map(|word| format!("${}\r\n{word}", word.len()));
        let answer = self.ask(&format!("*4\r\n{}", words.join("\r\n")));
        assert!(answer.starts_with(':'), "{answer}");
    }

    /// What comes of a call for each key that begins so, summed up.
    fn sum(&self, keys: &str, call: &str) -> u32 {
        let keys = format!("{}:{keys}*", Shared::PREFIX);
        let each = format!("for _, k in ipairs(redis.call('KEYS', ARGV[1])) do n = n + {call} end");
        let answer = self.ask(&format!("EVAL \"local n = 0 {each} return n\" 0 {keys}"));
        answer.trim_start_matches(':').parse().unwrap()
    }

    /// Of the gateways whose lease has not run out, how many there are; those that are cut off keep it
    /// from now on until they are back.
    pub(super) fn keep_leases(&self) -> u32 {
        self.sum("gate:", "redis.call('PERSIST', k)")
    }

    /// Whether somebody's sessions were asked to leave.
    pub(super) fn asks_to_leave(&self) -> bool {
        self.sum("pin:", "redis.call('HEXISTS', k, '!')") > 0
    }

    pub(super) fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// As the state of this process may be kept there, beside that of the gateways.
    pub(super) fn state(&self) -> Config {
        self.state_at(self.port)
    }

    /// The same through another port.
    pub(super) fn state_at(&self, port: u16) -> Config {
        let url = self.url_at(port);
        let secret = |text: &str| Secret::new(text.as_bytes()).unwrap();
        Config::Redis(Shared {
            url: secret(url.split('"').nth(1).unwrap()),
            password: Some(secret("redis-secret")),
            prefix: Shared::PREFIX.into(),
        })
    }

    /// As it is reached through another port.
    pub(super) fn url_at(&self, port: u16) -> String {
        let (scheme, host) = match self.tls {
            None => ("redis", "127.0.0.1"),
            Some(_) => ("rediss", "localhost"),
        };
        format!("{{ url: \"{scheme}://{host}:{port}/0\", password: redis-secret }}",)
    }
}

/// A way to a Redis that can be cut.
pub(super) struct Way {
    pub(super) port: u16,
    open: Arc<AtomicBool>,
}

impl Way {
    pub(super) fn to(port: u16) -> Way {
        let open = Arc::new(AtomicBool::new(true));
        let is_open = open.clone();
        let port = scripted::host(move |near| {
            if is_open.load(Ordering::Relaxed) {
                let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
                pass_on(&near, &far, &is_open);
            }
        });
        Way { port, open }
    }

    /// Whoever is on it is thrown off, and nobody gets through.
    pub(super) fn cut(&self) {
        self.open.store(false, Ordering::Relaxed);
    }

    pub(super) fn mend(&self) {
        self.open.store(true, Ordering::Relaxed);
    }
}

/// Octets both ways until the way is cut, or one side ends.
fn pass_on(near: &TcpStream, far: &TcpStream, open: &AtomicBool) {
    let copy = |mut from: &TcpStream, mut to: &TcpStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    };
    std::thread::scope(|scope| {
        let ways = [(near, far), (far, near)];
        let copies = ways.map(|(from, to)| scope.spawn(move || copy(from, to)));
        while open.load(Ordering::Relaxed) && !copies.iter().all(|it| it.is_finished()) {
            std::thread::sleep(Duration::from_millis(10));
        }
        for stream in [near, far] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
}

/// Whether a gateway reaches the Redis.
#[derive(Clone, Copy)]
pub(super) enum Link {
    Up,
    Away,
}

/// Whether a gateway's link is as wanted, by its metrics.
pub(super) fn link_is(gateway: &Gateway, want: Link) -> bool {
    let value = match want {
        Link::Up => 1,
        Link::Away => 0,
    };
    let metrics = admin_get(gateway.ports.admin, "/metrics").unwrap().1;
    metrics.contains(&format!("gatepost_state_up {value}"))
}

/// A few tries: on a machine that is starved a gateway may miss its Redis, which shows nothing here.
pub(super) fn in_some_try(judged: impl Fn() -> bool) {
    assert!((0..5).any(|_| judged()), "Redis was away each time");
}
