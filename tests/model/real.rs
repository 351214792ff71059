//! The real thing: whole sessions over streams inside the process, and scripted hosts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::backend::{Answered, Backends, Inside, Surroundings};
use gatepost::config::Config;
use gatepost::net::{Peer, Stream};
use gatepost::observe::{SessionIds, metrics};
use gatepost::protocol::{ClearLogin, Farewell, Protocol, UserName};
use gatepost::session::registry::Filter;
use gatepost::session::{
    Arrival, Authenticator, Certificates, Front, Gateway, Registry, authenticate,
};
use gatepost::state::State;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout};

use super::reference::{Action, CLIENTS, Came, Mood, PAUSE, SLOW, USERS};

/// The settings that the reference knows the figures of.
const SETTINGS: &str = r#"
listeners:
  - { bind: "imap://127.0.0.1:143", cleartext_login: true }
backends:
  b0: { hosts: ["imap://host0:143"], health: none, retry_for: 0s, greeting_timeout: 5s, login_timeout: 10s }
  b1: { hosts: ["imap://host1:143"], health: none, retry_for: 0s, greeting_timeout: 5s, login_timeout: 10s }
  b2: { hosts: ["imap://host2:143"], health: none, retry_for: 0s, greeting_timeout: 5s, login_timeout: 10s }
users:
  user0@model.example: b0
  "/^user1@model\\.example$/": b1
  "@two.example": b2
limits: { per_user: 2, failure_delay: 2s, logins_per_session: 3, failed_logins: { per_ip: 10000/1h, per_user: 10000/1h } }
timeouts: { login: 60s, idle: 5m }
"#;

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(100);

type Client = BufReader<DuplexStream>;

pub(crate) struct Real {
    runtime: Runtime,
    gateway: Arc<Gateway>,
    front: Arc<Front>,
    clients: [Option<Client>; CLIENTS],
    hosts: Arc<Hosts>,
    visits: u16,
    passwords: u32,
}

/// What the hosts do, and all that they heard.
struct Hosts {
    moods: Mutex<[Mood; USERS]>,
    heard: Mutex<[Vec<String>; USERS]>,
}

fn name(user: Option<usize>) -> String {
    // A stranger's domain has no route.
    match user {
        Some(2) => "User2@Two.example".into(),
        Some(n) => format!("User{n}@Model.example"),
        None => "stranger@elsewhere.example".into(),
    }
}

impl Real {
    pub(crate) fn new() -> Self {
        Real::with_settings(str::to_owned)
    }

    /// With settings that are made from those above.
    pub(crate) fn with_settings(change: impl Fn(&str) -> String) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(1)
            .start_paused(true)
            .build()
            .unwrap();
        let hosts = Arc::new(Hosts {
            moods: Mutex::new([Mood::Well; USERS]),
            heard: Mutex::default(),
        });
        let guard = runtime.enter();
        let (settings, here) = (change(SETTINGS), Path::new("/"));
        let (config, _) =
            Config::parse(Path::new("proxy.yaml"), &settings, here, &|_| None).unwrap();
        let (reached, state) = (hosts.clone(), State::memory());
        let around = Surroundings {
            state: state.clone(),
            inside: Some(Inside::new(move |host, _| reached.dial(host))),
            ..Surroundings::default()
        };
        let gateway = Gateway {
            router: config.router(),
            backends: Backends::new(config.backends.values(), &around).unwrap(),
            answered: Arc::new(Answered::new(around)),
            authenticate: None,
            limits: config.limits.clone(),
            timeouts: config.timeouts.clone(),
            tables: Arc::default(),
            registry: Arc::new(Registry::default()),
            maildrops: Arc::default(),
            state,
            ids: Arc::new(SessionIds::new()),
            metrics: Arc::new(metrics::Gateway::new()),
            backend_metrics: BTreeMap::new(),
        };
        let front = Front {
            name: "imap".into(),
            protocol: Protocol::Imap,
            greeting: "ready".into(),
            capabilities: None,
            clear_login: ClearLogin::Allowed,
            upgrade: None,
            certificates: Certificates::NotAsked,
        };
        drop(guard);
        Real {
            runtime,
            gateway: Arc::new(gateway),
            front: Arc::new(front),
            clients: Default::default(),
            hosts,
            visits: 0,
            passwords: 0,
        }
    }

    /// With a limit of its own on connections.
    pub(crate) fn with_connections(most: usize) -> Self {
        let mut real = Real::new();
        let gateway = Arc::get_mut(&mut real.gateway).unwrap();
        gateway.limits.connections = most;
        real
    }

    /// With clients that speak POP3, and hosts that speak IMAP all the same.
    pub(crate) fn with_pop3_clients() -> Self {
        let mut real = Real::new();
        Arc::get_mut(&mut real.front).unwrap().protocol = Protocol::Pop3;
        real
    }

    /// Whether a host is given one command at a time.
    pub(crate) fn loses_bursts(&self, host: usize) -> bool {
        let backend = self.gateway.backends.get(&format!("b{host}")).unwrap();
        backend.host(&format!("host{host}")).unwrap().loses_bursts()
    }

    /// With a gateway that looks passwords up in this file.
    pub(crate) fn checks_passwords(&mut self, passwords: &Path) {
        let passwords = passwords.to_owned();
        let checks = Authenticator::new(authenticate::Config { passwords }).unwrap();
        let gateway = Arc::get_mut(&mut self.gateway).unwrap();
        gateway.authenticate = Some(Arc::new(checks));
    }

    /// From now on no password can be checked, until what this gives is dropped.
    pub(crate) fn can_check_nothing(&self) -> Sender<()> {
        let (ends, wait) = channel();
        self.runtime.spawn_blocking(move || wait.recv());
        ends
    }

    /// How many connections are counted now.
    pub(crate) fn connections(&self) -> usize {
        self.settle();
        self.gateway.tables.connections()
    }

    /// The sessions that a host has seats for now, and those that the registry has of its user.
    pub(crate) fn sessions(&self, user: usize) -> (u32, usize) {
        self.settle();
        let backend = self.gateway.backends.get(&format!("b{user}")).unwrap();
        let seats = backend.host(&format!("host{user}")).unwrap().sessions();
        let filter = Filter {
            user: Some(name(Some(user))),
            ..Filter::default()
        };
        (seats, self.gateway.registry.list(&filter).len())
    }

    /// Has a user's logins wait.
    pub(crate) fn hold(&self, user: usize) {
        let user = UserName::new(name(Some(user)).as_bytes()).unwrap();
        self.runtime.block_on(self.gateway.hold(&user)).unwrap();
    }

    /// Has them go on.
    pub(crate) fn release(&self, user: usize) {
        let user = UserName::new(name(Some(user)).as_bytes()).unwrap();
        self.runtime.block_on(self.gateway.release(&user)).unwrap();
    }

    /// Asks all sessions to end, also those that are none yet.
    pub(crate) fn kick_all(&self) {
        let everybody = Filter::default();
        self.gateway.registry.end(&everybody, Farewell::Kicked);
    }

    /// What the clock says.
    pub(crate) fn now(&self) -> Instant {
        self.runtime.block_on(async { Instant::now() })
    }

    /// A client says something, and nobody waits for what comes of it.
    pub(crate) fn says(&mut self, client: usize, what: &str) {
        let stream = self.clients[client].as_mut().unwrap();
        let written = stream.write_all(what.as_bytes());
        self.runtime.block_on(written).unwrap();
        self.settle();
    }

    /// What a client hears that begins so; it stays.
    pub(crate) fn hears(&mut self, client: usize, begins: &str) -> String {
        let stream = self.clients[client].as_mut().unwrap();
        self.runtime.block_on(async {
            loop {
                let said = line(stream).await;
                assert!(!said.is_empty(), "closed before {begins:?}");
                if said.starts_with(begins) {
                    return said;
                }
            }
        })
    }

    pub(crate) fn does(&mut self, action: &Action) -> Came {
        match *action {
            Action::Connect(client) => self.connect(client),
            Action::LogIn {
                client,
                user,
                right,
            } => self.log_in(client, user, right),
            Action::Noop(client) => self.noop(client),
            Action::Leave(client) => {
                self.clients[client] = None;
                self.settle();
                Came::Nothing
            }
            Action::Mood(host, mood) => {
                self.hosts.moods.lock().unwrap()[host] = mood;
                Came::Nothing
            }
            Action::Kick(user) => {
                let filter = Filter {
                    user: Some(name(Some(user)).to_ascii_lowercase()),
                    ..Filter::default()
                };
                self.gateway.registry.end(&filter, Farewell::Kicked);
                Came::Closed(self.closed())
            }
            Action::Pass(seconds) => {
                self.pass(Duration::from_secs(seconds));
                Came::Closed(self.closed())
            }
        }
    }

    /// What the hosts heard is their own users' only.
    pub(crate) fn looks_right(&self) {
        let heard = self.hosts.heard.lock().unwrap();
        for (host, lines) in heard.iter().enumerate() {
            for line in lines {
                let others = (0..USERS).filter(|n| *n != host);
                for other in others {
                    let marks = [format!("user{other}"), format!("of-{other}-")];
                    let line = line.to_ascii_lowercase();
                    assert!(
                        !marks.iter().any(|mark| line.contains(mark)),
                        "host {host} heard {line}"
                    );
                }
                assert!(!line.contains("stranger"), "host {host} heard {line}");
            }
        }
    }

    fn connect(&mut self, client: usize) -> Came {
        self.visits += 1;
        let [high, low] = self.visits.to_be_bytes();
        let (ours, theirs) = duplex(64 * 1024);
        let (front, gateway) = (self.front.clone(), self.gateway.clone());
        let mut stream = BufReader::new(ours);
        let greeting = self.runtime.block_on(async {
            let address = std::net::Ipv4Addr::new(10, 0, high, low).into();
            let place = gateway.tables.connect(&gateway.limits, address).unwrap();
            let arrival = Arrival {
                stream: Stream::Memory(theirs),
                peer: Peer {
                    client: (address, 4711).into(),
                    local: ([127, 0, 0, 1], 143).into(),
                },
                place,
                accepted: Instant::now(),
                greeted: None,
            };
            tokio::spawn(gatepost::session::run(arrival, front, gateway));
            line(&mut stream).await
        });
        let ready = match self.front.protocol {
            Protocol::Imap => "* OK ",
            Protocol::Pop3 => "+OK ",
        };
        assert!(greeting.starts_with(ready), "{greeting}");
        self.clients[client] = Some(stream);
        Came::Greeted
    }

    fn log_in(&mut self, client: usize, user: Option<usize>, right: bool) -> Came {
        let mut stream = self.clients[client].take().unwrap();
        self.passwords += 1;
        let password = match (right, user) {
            (true, Some(user)) => format!("secret-of-{user}-"),
            (_, user) => format!("wrong{}-of-{}-", self.passwords, user.unwrap_or(9)),
        };
        let command = format!("a LOGIN {} {password}\r\n", name(user));
        let begun = self.runtime.block_on(async { Instant::now() });
        let (said, after) = self.runtime.block_on(async {
            stream.write_all(command.as_bytes()).await.unwrap();
            let mut said = line(&mut stream).await;
            while said.starts_with("* CAPABILITY ") {
                said = line(&mut stream).await;
            }
            (said, begun.elapsed())
        });
        if said.starts_with("a OK") {
            self.clients[client] = Some(stream);
            // Who is at the other end tells.
            let Came::Answered(host) = self.noop(client) else {
                panic!("nobody answers")
            };
            return Came::In(host);
        }
        let code = ["AUTHENTICATIONFAILED", "UNAVAILABLE", "LIMIT", "SERVERBUG"]
            .into_iter()
            .find(|code| said.starts_with(&format!("a NO [{code}] ")))
            .unwrap_or_else(|| panic!("{said}"));
        let (_, id) = said.rsplit_once(" (").expect("an id");
        assert!(id.ends_with(")\r\n"), "{said}");
        assert!(
            !said.contains("host") && !said.contains("10.0."),
            "it tells of hosts: {said}"
        );
        let closed = self.runtime.block_on(async {
            match timeout(Duration::from_millis(1), line(&mut stream)).await {
                Ok(text) => text.starts_with("* BYE ") || text.is_empty(),
                Err(_) => false,
            }
        });
        if !closed {
            self.clients[client] = Some(stream);
        }
        self.pass(PAUSE);
        Came::No {
            code,
            after: whole(after),
            closed,
        }
    }

    fn noop(&mut self, client: usize) -> Came {
        let mut stream = self.clients[client].take().unwrap();
        let (first, second) = self.runtime.block_on(async {
            stream.write_all(b"n NOOP\r\n").await.unwrap();
            let first = line(&mut stream).await;
            match first.starts_with("n ") {
                true => (first, String::new()),
                false => {
                    let second = line(&mut stream).await;
                    (first, second)
                }
            }
        });
        self.clients[client] = Some(stream);
        if first.starts_with("n OK") {
            return Came::AnsweredByUs;
        }
        assert!(second.starts_with("n OK"), "{first} {second}");
        let host = first
            .trim_end()
            .strip_prefix("* OK host ")
            .unwrap_or_else(|| panic!("{first}"));
        Came::Answered(host.parse().unwrap())
    }

    /// The clients that were closed meanwhile.
    fn closed(&mut self) -> Vec<usize> {
        self.settle();
        let mut closed = Vec::new();
        for n in 0..CLIENTS {
            let Some(mut stream) = self.clients[n].take() else {
                continue;
            };
            let over = self.runtime.block_on(async {
                match timeout(Duration::from_micros(1), line(&mut stream)).await {
                    Ok(text) => text.starts_with("* BYE ") || text.is_empty(),
                    Err(_) => false,
                }
            });
            match over {
                true => closed.push(n),
                false => self.clients[n] = Some(stream),
            }
        }
        closed
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.runtime.block_on(async { sleep(time).await });
    }

    /// Lets everybody do what is to be done now.
    fn settle(&self) {
        self.runtime.block_on(async {
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
        });
    }
}

/// What looking costs in time is no part of an answer's.
fn whole(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}

/// A line; nothing at the end of the stream.
async fn line(stream: &mut Client) -> String {
    let mut line = String::new();
    let read = timeout(PATIENCE, stream.read_line(&mut line)).await;
    assert!(read.is_ok(), "no answer within {PATIENCE:?}");
    line
}

impl Hosts {
    fn dial(self: &Arc<Self>, host: &str) -> Option<DuplexStream> {
        let host: usize = host.strip_prefix("host")?.parse().ok()?;
        let mood = self.moods.lock().unwrap()[host];
        if mood == Mood::Away {
            return None;
        }
        let (theirs, ours) = duplex(64 * 1024);
        let hosts = self.clone();
        tokio::spawn(async move {
            let mut stream = BufReader::new(ours);
            hosts
                .serve(host, mood, &mut stream)
                .await
                .unwrap_or_default();
        });
        Some(theirs)
    }

    async fn serve(&self, host: usize, mood: Mood, stream: &mut Client) -> std::io::Result<()> {
        let greeting = match mood {
            Mood::Mute => {
                // As long as the gateway stays.
                stream.read_line(&mut String::new()).await?;
                return Ok(());
            }
            Mood::Closes => return Ok(()),
            Mood::Bye => "* BYE busy\r\n",
            Mood::Smtp => "220 host ESMTP\r\n",
            Mood::Preauth => "* PREAUTH welcome\r\n",
            Mood::Hasty => "* OK [CAPABILITY IMAP4rev1] here\r\nA1 OK in\r\n",
            _ => "* OK [CAPABILITY IMAP4rev1] here\r\n",
        };
        stream.write_all(greeting.as_bytes()).await?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            self.heard.lock().unwrap()[host].push(line.clone());
            let mut words = line.split(' ');
            let tag = words.next().unwrap_or_default();
            let login = words.next() == Some("LOGIN");
            let right = line.contains(&format!("\"secret-of-{host}-\""));
            let answer = match (mood, login) {
                (Mood::Stuck, true) => continue,
                (Mood::ClosesAtLogin, true) => return Ok(()),
                (Mood::Unavailable, true) => format!("{tag} NO [UNAVAILABLE] later\r\n"),
                (Mood::Drowsy(_), false) if !line.contains(" SELECT ") => continue,
                (Mood::Drowsy(_), false) => {
                    format!("* 1 EXISTS\r\n* OK [UIDVALIDITY 7]\r\n{tag} OK [READ-WRITE] open\r\n")
                }
                (_, true) if right => {
                    if let Mood::Drowsy(takes) = mood {
                        sleep(takes).await;
                    }
                    format!("{tag} OK in\r\n")
                }
                (_, true) => {
                    if mood == Mood::Slow {
                        sleep(SLOW).await;
                    }
                    format!("{tag} NO no such user at host{host}\r\n")
                }
                (_, false) => format!("* OK host {host}\r\n{tag} OK done\r\n"),
            };
            stream.write_all(answer.as_bytes()).await?;
        }
    }
}
