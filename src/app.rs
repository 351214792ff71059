//! Builds all parts from the settings, in order; starts them, and lets them finish.
//!
//! Nothing listens before everything could be built, so a wrong file starts nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::admin::{HostState, Readiness};
use crate::backend::host::State;
use crate::backend::{Backends, Host, Surroundings};
use crate::config::Config;
use crate::listen::{self, Listener, TlsMode};
use crate::observe::metrics::{self, Metrics, Outcome};
use crate::observe::{self, SessionIds};
use crate::protocol::{Farewell, Protocol, UserName};
use crate::route::{Ask, explain};
use crate::session::registry::Filter;
use crate::session::{Authenticator, Front, Gateway, Registry, Upgrade, authenticate, limits};
use crate::{admin, backend, tls};

/// How often a drain looks whether the last session is gone.
const DRAIN_TICK: Duration = Duration::from_millis(50);

/// Why the gateway did not start.
#[derive(Debug)]
struct StartError {
    /// What was attempted: `listen on imaps://0.0.0.0:993`.
    doing: String,
    /// What went wrong.
    cause: String,
}

impl StartError {
    fn new(doing: impl Into<String>, cause: impl ToString) -> Self {
        StartError {
            doing: doing.into(),
            cause: cause.to_string(),
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.doing, self.cause)
    }
}

/// Serves until SIGTERM or SIGINT, then drains; calls `ready` once every listener serves.
///
/// # Errors
/// What kept it from starting, in words; once it serves, there is none.
pub fn run(config: Config, ready: Box<dyn FnOnce()>) -> Result<(), String> {
    start(config, ready).map_err(|error| error.to_string())
}

fn start(config: Config, ready: Box<dyn FnOnce()>) -> Result<(), StartError> {
    let log = observe::init(&config.log).map_err(|e| StartError::new("open the log", e))?;
    let metrics = Metrics::install().map_err(|e| StartError::new("set up metrics", e))?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.threads {
        runtime.worker_threads(threads);
    }
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|error| StartError::new("start the runtime", error))?;
    let served = runtime.block_on(serve(config, &log, metrics, ready));
    // Sessions that did not finish in time are ended with the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

async fn serve(
    config: Config,
    log: &observe::Handle,
    metrics: Metrics,
    ready: Box<dyn FnOnce()>,
) -> Result<(), StartError> {
    let mut signals = Signals::new().map_err(|e| StartError::new("watch for signals", e))?;
    let app = Arc::new(App::build(&config, metrics)?);
    let (stop, stopped) = watch::channel(false);
    let mut sockets = Vec::new();
    for listener in &app.listeners {
        let bind = listener.config.bind;
        let doing = || format!("listen on {} ({bind})", listener.config.name);
        let socket = listen::bind(bind).map_err(|e| StartError::new(doing(), e))?;
        sockets.push((listener.clone(), socket));
    }
    if let Some(admin) = &config.admin {
        let doing = || format!("listen on admin ({})", admin.bind);
        let socket = listen::bind(admin.bind).map_err(|e| StartError::new(doing(), e))?;
        tokio::spawn(admin::serve(socket, admin.token.clone(), app.clone()));
    }
    tokio::spawn(upkeep(app.metrics.clone()));
    tokio::spawn(watch_certificates(app.clone()));
    if let Some(authenticator) = app.gateway.load().authenticate.clone() {
        tokio::spawn(watch_passwords(authenticator));
    }
    for (listener, socket) in sockets {
        tokio::spawn(listener.serve(socket, stopped.clone()));
    }
    app.set_readiness(Readiness::Ready);
    tracing::info!(target: "gatepost", event = "ready", listeners = app.listeners.len());
    ready();
    while signals.next().await == Wish::Reload {
        log.reopen();
    }
    app.set_readiness(Readiness::Draining);
    tokio::select! {
        () = drain(&app, &config, stop) => {}
        () = signals.stop() => {
            tracing::warn!(event = "stop", "asked again: not waiting for sessions");
        }
    }
    tracing::info!(event = "stopped", sessions_left = app.registry.count());
    log.flush();
    Ok(())
}

/// Lets the world notice, closes the listeners, says goodbye to sessions, waits for them.
async fn drain(app: &App, config: &Config, stop: watch::Sender<bool>) {
    tracing::info!(event = "drain", sessions = app.registry.count());
    sleep(config.timeouts.drain_delay).await;
    let _ = stop.send(true);
    let gone = async {
        loop {
            // Again and again: a login that was in flight becomes a session meanwhile.
            app.registry.end(&Filter::default(), Farewell::Shutdown);
            let tick = Instant::now() + DRAIN_TICK;
            if app.registry.count() == 0 {
                return;
            }
            tokio::time::sleep_until(tick).await;
        }
    };
    let _ = timeout(config.timeouts.drain, gone).await;
}

/// Every part, built.
struct App {
    listeners: Vec<Arc<Listener>>,
    gateway: Arc<ArcSwap<Gateway>>,
    registry: Arc<Registry>,
    tls: Arc<tls::Front>,
    backends: BTreeMap<String, backend::Config>,
    metrics: Metrics,
    readiness: Mutex<Readiness>,
}

impl App {
    fn build(config: &Config, metrics: Metrics) -> Result<Self, StartError> {
        let said = |problems: Vec<String>| problems.join("; ");
        let tls = tls::Front::new(config.tls.clone()).map_err(|problems| {
            let problems = problems.iter().map(ToString::to_string);
            StartError::new("set up tls", said(problems.collect()))
        })?;
        let listens: Vec<_> = config.listeners.iter().map(|l| l.bind).collect();
        let around = Surroundings {
            listens: Arc::new(ArcSwap::from_pointee(listens)),
            keepalive: config.timeouts.keepalive,
        };
        let backends = Backends::new(config.backends.values(), &around)
            .map_err(|problems| StartError::new("set up the backends", said(problems)))?;
        let authenticate = config.authenticate.clone().map(Authenticator::new);
        let authenticate = authenticate
            .transpose()
            .map_err(|problems| StartError::new("read the passwords", said(problems)))?;
        let registry = Arc::new(Registry::default());
        let names = config.backends.keys();
        let gateway = Arc::new(ArcSwap::from_pointee(Gateway {
            router: config.router(),
            backends,
            authenticate: authenticate.map(Arc::new),
            limits: config.limits.clone(),
            timeouts: config.timeouts.clone(),
            tables: Arc::new(limits::Tables::default()),
            registry: registry.clone(),
            maildrops: Arc::default(),
            ids: SessionIds::new(),
            metrics: metrics::Gateway::new(),
            backend_metrics: names
                .map(|name| (name.clone(), metrics::Backend::new(name)))
                .collect(),
        }));
        let mut listeners = Vec::new();
        for listener in &config.listeners {
            let doing = || format!("set up tls for {}", listener.name);
            let settings = tls
                .server_config(listener.protocol, listener.client_ca.as_deref())
                .map_err(|problem| StartError::new(doing(), problem))?;
            let upgrade = Upgrade {
                config: settings,
                timeout: config.timeouts.tls_handshake,
            };
            listeners.push(Arc::new(Listener {
                metrics: metrics::Listener::new(&listener.name),
                front: Arc::new(front(listener, &upgrade)),
                tls: upgrade,
                gateway: gateway.clone(),
                config: listener.clone(),
            }));
        }
        tell_expiries(&tls);
        Ok(App {
            listeners,
            gateway,
            registry,
            tls: Arc::new(tls),
            backends: config.backends.clone(),
            metrics,
            readiness: Mutex::new(Readiness::Starting),
        })
    }

    fn set_readiness(&self, to: Readiness) {
        *self
            .readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = to;
    }
}

impl admin::Gateway for App {
    fn readiness(&self) -> Readiness {
        *self
            .readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn metrics(&self) -> String {
        self.metrics.render()
    }

    fn sessions(&self) -> Arc<Registry> {
        self.registry.clone()
    }

    fn backends(&self) -> Vec<admin::Backend> {
        let gateway = self.gateway.load();
        let backends = gateway.backends.iter().map(|backend| admin::Backend {
            name: backend.name().to_owned(),
            hosts: backend.hosts().iter().map(|host| shown(host)).collect(),
        });
        backends.collect()
    }

    fn explain(
        &self,
        user: UserName,
        protocol: Protocol,
    ) -> Pin<Box<dyn Future<Output = Result<Value, Value>> + Send + '_>> {
        let ask = Ask {
            user: &user,
            protocol,
            listener: None,
        };
        let gateway = self.gateway.load();
        let state = |backend: &str, host: &str| {
            let backend = gateway.backends.get(backend)?;
            let host = backend.hosts().iter().find(|h| h.name() == host)?;
            Some((host.state().as_str(), host.weight()))
        };
        let told = explain::explain(&gateway.router, &self.backends, ask, &state);
        let value = serde_json::to_value(&told).unwrap_or_default();
        let answer = if told.matched() {
            Ok(value)
        } else {
            Err(value)
        };
        Box::pin(std::future::ready(answer))
    }
}

/// A host, as the admin API tells it.
fn shown(host: &Host) -> admin::Host {
    admin::Host {
        name: host.name().to_owned(),
        state: match host.state() {
            State::Up => HostState::Up,
            State::Down => HostState::Down,
        },
        weight: host.weight(),
        sessions: host.sessions().into(),
    }
}

/// Keeps the metrics' histograms small.
async fn upkeep(metrics: Metrics) {
    loop {
        sleep(Metrics::UPKEEP).await;
        metrics.upkeep();
    }
}

/// Swaps certificates as their files change, and counts it.
async fn watch_certificates(app: Arc<App>) {
    let counts = metrics::Gateway::new();
    tls::watch(app.tls.clone(), move |tls, changes| {
        for change in changes {
            counts.certificate_reload(match change {
                tls::Change::Swapped { .. } => Outcome::Taken,
                tls::Change::Refused { .. } => Outcome::Failed,
            });
        }
        tell_expiries(tls);
    })
    .await;
}

/// Takes the file of passwords as it changes, and counts it.
async fn watch_passwords(authenticator: Arc<Authenticator>) {
    let counts = metrics::Gateway::new();
    let count = move |change: &authenticate::Change| {
        counts.reload(match change {
            authenticate::Change::Swapped => Outcome::Taken,
            authenticate::Change::Refused(_) => Outcome::Failed,
        });
    };
    authenticator.watch(count).await;
}

fn tell_expiries(tls: &tls::Front) {
    for expiry in tls.expiries() {
        metrics::certificate_expiry(&expiry.name, expiry.at);
    }
}

/// A listener as its sessions see it.
fn front(listener: &listen::Config, upgrade: &Upgrade) -> Front {
    Front {
        name: listener.name.clone(),
        protocol: listener.protocol,
        greeting: listener.greeting.clone(),
        capabilities: listener.capabilities.clone(),
        clear_login: listener.cleartext_login,
        upgrade: match listener.tls {
            TlsMode::Upgrade => Some(upgrade.clone()),
            TlsMode::Implicit => None,
        },
    }
}

/// What a signal asks for.
#[derive(PartialEq, Eq)]
enum Wish {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}
