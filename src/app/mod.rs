//! Builds all parts from the settings, in order; starts them, and lets them finish.
//!
//! Nothing listens before everything could be built, so a wrong file starts nothing.

mod build;
mod control;
mod drain;
mod notify;
mod signals;
mod sockets;
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

/// Serves until SIGTERM or SIGINT, then drains; calls `ready` once every listener serves.
///
/// # Errors
/// What kept it from starting, in words; once it serves, there is none.
pub fn run(config: Config, ready: Box<dyn FnOnce()>) -> Result<(), String> {
    start(config, ready).map_err(|error| error.to_string())
}

fn start(config: Config, ready: Box<dyn FnOnce()>) -> Result<(), StartError> {
    let legacy = Legacy::take();
    let log = observe::init(&config.log).map_err(|e| StartError::new("open the log", e))?;
    let metrics = Metrics::install().map_err(|e| StartError::new("set up metrics", e))?;
    let runtime = runtime_of(config.threads)
        .enable_all()
        .build()
        .map_err(|error| StartError::new("start the runtime", error))?;
    let served = runtime.block_on(serve(config, legacy, &log, metrics, ready));
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
    log: &observe::Handle,
    metrics: Metrics,
    ready: Box<dyn FnOnce()>,
) -> Result<(), StartError> {
    let mut signals = Signals::new().map_err(|e| StartError::new("watch for signals", e))?;
    let app = Arc::new(App::build(&config, metrics)?);
    let (stop, stopped) = channel::channel(false);
    // The admin port tells of a drain, so it stays open for that.
    let (_hand_over, handed_over) = channel::channel(false);
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
    if let Some(admin) = &config.admin {
        let doing = || format!("listen on admin ({})", admin.bind);
        let socket = legacy
            .sockets
            .open(admin.bind)
            .map_err(|e| StartError::new(doing(), e))?;
        let admin = admin::serve(socket, admin.token.clone(), app.clone(), handed_over);
        tokio::spawn(admin);
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
    notify::ready();
    tokio::spawn(notify::watchdog());
    while signals.next().await == Wish::Reload {
        notify::reloading();
        log.reopen();
        notify::ready();
    }
    app.set_readiness(Readiness::Draining);
    notify::stopping(config.timeouts.drain_delay + config.timeouts.drain);
    tokio::select! {
        () = drain::drain(&app, &config, stop) => {}
        () = signals.stop() => {
            tracing::warn!(event = "stop", "asked again: not waiting for sessions");
        }
    }
    tracing::info!(event = "stopped", sessions_left = app.registry.count());
    log.flush();
    Ok(())
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
    fn set_readiness(&self, to: Readiness) {
        *self
            .readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = to;
    }
}
