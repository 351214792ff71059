//! The real thing: whole sessions over streams inside the process, and what a test asks of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use gatepost::backend::{Answered, Backends, Inside, Surroundings};
use gatepost::config::Config;
use gatepost::observe::{SessionIds, metrics};
use gatepost::protocol::{ClearLogin, Farewell, Protocol, UserName};
use gatepost::session::registry::Filter;
use gatepost::session::{Authenticator, Certificates, Front, Gateway, Registry, authenticate};
use gatepost::state::State;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

use super::hosts::{Client, Hosts, line};
use super::reference::CLIENTS;

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

pub(crate) struct Real {
    pub(super) runtime: Runtime,
    pub(super) gateway: Arc<Gateway>,
    pub(super) front: Arc<Front>,
    pub(super) clients: [Option<Client>; CLIENTS],
    pub(super) hosts: Arc<Hosts>,
    pub(super) visits: u16,
    pub(super) passwords: u32,
}

pub(super) fn name(user: Option<usize>) -> String {
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
        let hosts = Arc::new(Hosts::new());
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

    /// Its connection ends without another word.
    pub(crate) fn hears_the_end(&mut self, client: usize) {
        let stream = self.clients[client].as_mut().unwrap();
        assert_eq!(self.runtime.block_on(line(stream)), "");
    }

    /// What the hosts heard is their own users' only.
    pub(crate) fn looks_right(&self) {
        self.hosts.heard_their_own_only();
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.runtime.block_on(async { sleep(time).await });
    }

    /// Lets everybody do what is to be done now.
    pub(super) fn settle(&self) {
        self.runtime.block_on(async {
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
        });
    }
}
