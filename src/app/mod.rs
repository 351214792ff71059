//! Builds all parts from the settings, in order; starts them, and lets them finish.
//!
//! Nothing listens before everything could be built, so a wrong file starts nothing.

mod build;
mod control;
mod drain;
mod notify;
mod signals;
mod sockets;
mod upgrade;
mod watch;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch as channel;

use crate::admin::{self, Readiness};
use crate::config::Config;
use crate::listen::Listener;
use crate::observe;
use crate::observe::metrics::Metrics;
use crate::session::{Gateway, Registry};
use crate::{backend, tls};

use build::StartError;
use signals::{Signals, Wish};
use sockets::Legacy;
use upgrade::{Line, Upgrades};

/// Serves until SIGTERM or SIGINT, then drains; calls `ready` once every listener serves.
///
/// # Errors
/// What kept it from starting, in words; once it serves, there is none.
pub fn run(config: Config, ready: Box<dyn FnOnce()>) -> Result<(), String> {
    let mut legacy = Legacy::take();
    let line = Line::new(legacy.line.take());
    start(config, legacy, &line, ready).map_err(|error| {
        line.failed(&error);
        error.to_string()
    })
}

fn start(
    config: Config,
    legacy: Legacy,
    line: &Line,
    ready: Box<dyn FnOnce()>,
) -> Result<(), StartError> {
    let log = observe::init(&config.log).map_err(|e| StartError::new("open the log", e))?;
    let metrics = Metrics::install().map_err(|e| StartError::new("set up metrics", e))?;
    let runtime = runtime_of(config.threads)
        .enable_all()
        .build()
        .map_err(|error| StartError::new("start the runtime", error))?;
    let served = runtime.block_on(serve(config, legacy, line, &log, metrics, ready));
    // Sessions that did not finish in time are ended with the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

/// A runtime of so many threads; one core is served by one thread that hands nothing over.
fn runtime_of(threads: Option<usize>) -> tokio::runtime::Builder {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    match threads.unwrap_or(cores) {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(threads);
            runtime
        }
    }
}

async fn serve(
    config: Config,
    legacy: Legacy,
    line: &Line,
    log: &observe::Handle,
    metrics: Metrics,
    ready: Box<dyn FnOnce()>,
) -> Result<(), StartError> {
    let mut signals = Signals::new().map_err(|e| StartError::new("watch for signals", e))?;
    let upgrades = Upgrades::new(legacy.sockets.clone());
    let app = Arc::new(App::build(&config, metrics, upgrades)?);
    let (stop, stopped) = channel::channel(false);
    // The admin port tells of a drain, so it stays open for that.
    let (hand_over, handed_over) = channel::channel(false);
    let mut sockets = Vec::new();
    for listener in &app.listeners {
        let bind = listener.config.bind;
        let doing = || format!("listen on {} ({bind})", listener.config.name);
        let socket = legacy
            .sockets
            .open(bind)
            .map_err(|e| StartError::new(doing(), e))?;
        sockets.push((listener.clone(), socket));
    }
    let mut admin_port = None;
    if let Some(admin) = &config.admin {
        let doing = || format!("listen on admin ({})", admin.bind);
        let socket = legacy
            .sockets
            .open(admin.bind)
            .map_err(|e| StartError::new(doing(), e))?;
        let admin = admin::serve(socket, admin.token.clone(), app.clone(), handed_over);
        admin_port = Some(tokio::spawn(admin));
    }
    app.gateway.load().backends.start();
    tokio::spawn(watch::upkeep(app.metrics.clone()));
    tokio::spawn(watch::certificates(app.clone()));
    if let Some(authenticator) = app.gateway.load().authenticate.clone() {
        tokio::spawn(watch::passwords(authenticator));
    }
    legacy.tell_unused();
    for (listener, socket) in sockets {
        tokio::spawn(listener.serve(socket, stopped.clone()));
    }
    app.set_readiness(Readiness::Ready);
    tracing::info!(target: "gatepost", event = "ready", listeners = app.listeners.len());
    ready();
    line.ready().await;
    tokio::spawn(notify::serve());
    let end = loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Reload => {
                    notify::reloading();
                    log.reopen();
                    notify::ready();
                }
                Wish::Upgrade => {
                    let app = app.clone();
                    tokio::spawn(async move { app.upgrade().await });
                }
                Wish::Stop => break End::Stops,
            },
            () = app.upgrades.succeeded() => break End::IsFollowed,
        }
    };
    app.set_readiness(Readiness::Draining);
    let tables = app.gateway.load().tables.clone();
    let drained = drain::drain(&app.registry, &tables, &config.timeouts, end, stop);
    match end {
        End::Stops => drain::until(drained, signals.stop()).await,
        End::IsFollowed => {
            let _ = hand_over.send(true);
            // The next process is told to end as well, by systemd: that is not for us.
            let stop = async {
                signals.stop().await;
                signals.stop().await;
            };
            drain::until(drained, stop).await;
            if let Some(answers) = admin_port {
                let _ = answers.await;
            }
        }
    }
    tracing::info!(event = "stopped", sessions_left = app.registry.count());
    log.flush();
    Ok(())
}

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was told to.
    Stops,
    /// Another process has taken over.
    IsFollowed,
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
    upgrades: Upgrades,
}

impl App {
    fn set_readiness(&self, to: Readiness) {
        *self
            .readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = to;
    }
}
