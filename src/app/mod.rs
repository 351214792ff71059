//! Builds all parts from the settings, in order; starts them, and lets them finish.
//!
//! Nothing listens before everything could be built, so a wrong file starts nothing. A reload goes the
//! same way: built, opened, then swapped at once.

mod build;
mod changes;
mod control;
mod drain;
mod listeners;
mod notify;
mod orders;
mod reload;
mod signals;
mod sockets;
#[cfg(test)]
mod tests;
mod upgrade;
mod watch;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch as channel;
use tokio::task::spawn_blocking;

use crate::admin::Readiness;
use crate::config::{Config, Problem};
use crate::listen::Current;
use crate::observe;
use crate::observe::metrics::Metrics;

use build::{Built, Lasting, StartError};
use changes::ForLife;
use listeners::Listeners;
use reload::{By, Reloader, Wishes};
use signals::{Signals, Wish};
use sockets::Legacy;
use upgrade::{Line, Upgrades};

/// Serves until SIGTERM or SIGINT, then drains; calls `ready` once every listener serves. `warnings` are
/// those of the settings, for the log.
///
/// # Errors
/// What kept it from starting, in words; once it serves, there is none.
pub fn run(config: Config, warnings: Vec<Problem>, ready: Box<dyn FnOnce()>) -> Result<(), String> {
    let mut legacy = Legacy::take();
    let line = Line::new(legacy.line.take());
    start(config, &warnings, legacy, &line, ready).map_err(|error| {
        line.failed(&error);
        error.to_string()
    })
}

fn start(
    config: Config,
    warnings: &[Problem],
    legacy: Legacy,
    line: &Line,
    ready: Box<dyn FnOnce()>,
) -> Result<(), StartError> {
    let log = observe::init(&config.log).map_err(|e| StartError::new("open the log", e))?;
    reload::tell_warnings("start_warning", warnings);
    let served = serve_logged(config, legacy, line, &log, ready);
    // Also why it did not start, if it did not.
    log.flush();
    served
}

fn serve_logged(
    config: Config,
    legacy: Legacy,
    line: &Line,
    log: &observe::Handle,
    ready: Box<dyn FnOnce()>,
) -> Result<(), StartError> {
    let metrics = Metrics::install().map_err(|e| StartError::new("set up metrics", e))?;
    let runtime = runtime_of(config.threads)
        .enable_all()
        .build()
        .map_err(|error| StartError::new("start the runtime", error))?;
    let served = runtime.block_on(serve(config, legacy, line, log, metrics, ready));
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
    let (stop, stopped) = channel::channel(false);
    let (wishes, wished) = Wishes::new();
    let seen = Arc::new(watch::Seen::new(config.source.clone()));
    let app = Arc::new(App::build(config, legacy, metrics, wishes, stopped)?);
    let present = app.built.load_full();
    present.current.gateway.state.start().await;
    {
        let mut listeners = app.listeners.lock().await;
        let sockets = &app.legacy.sockets;
        let opened = listeners.open(&present.config, sockets);
        let opened = opened.map_err(StartError::all)?;
        app.legacy.tell_unused();
        app.metrics.set_present(present.present());
        watch::tell_expiries(&present.tls);
        listeners.serve(opened, &present.config, &app);
    }
    present.current.gateway.backends.start();
    let reloader = Reloader {
        app: app.clone(),
        log: log.clone(),
        seen: seen.clone(),
    };
    tokio::spawn(reloader.run(wished));
    tokio::spawn(watch::upkeep(app.metrics.clone()));
    let state = present.current.gateway.state.clone();
    tokio::spawn(orders::carry_out(
        state.clone(),
        app.lasting.registry.clone(),
    ));
    let tables = present.current.gateway.tables.clone();
    let limits_of = app.clone();
    let limits = move || limits_of.current.load().gateway.limits.clone();
    tokio::spawn(crate::session::limits::share(tables, state, limits));
    tokio::spawn(watch::certificates(app.clone()));
    tokio::spawn(watch::passwords(app.clone()));
    tokio::spawn(watch::settings(app.clone(), seen));
    app.set_readiness(Readiness::Ready);
    let listeners = present.config.listeners.len();
    let connections = present.config.limits.connections;
    drop(present);
    tracing::info!(target: "gatepost", event = "ready", listeners, connections);
    ready();
    line.ready().await;
    tokio::spawn(notify::serve());
    let end = loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Reload => {
                    let (log, wishes) = (log.clone(), app.wishes.clone());
                    // Told in the log; the next signal is not to wait for it.
                    tokio::spawn(async move {
                        // The file system may hang, or the queue be full of what it has not taken.
                        let _ = spawn_blocking(move || log.reopen()).await;
                        wishes.reload(By::Signal).await
                    });
                }
                Wish::Reopen => {
                    let log = log.clone();
                    tokio::spawn(spawn_blocking(move || log.reopen()));
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
    // Where another process has taken over the service goes on: whoever has reached this one's admin port
    // meanwhile, and asks for /readyz, asks for that.
    if end == End::Stops {
        app.set_readiness(Readiness::Draining);
    }
    let last = app.built.load_full();
    let registry = &app.lasting.registry;
    let tables = &last.current.gateway.tables;
    let drained = drain::drain(registry, tables, &last.config.timeouts, end, stop);
    match end {
        End::Stops => drain::until(drained, signals.stop()).await,
        End::IsFollowed => {
            let admin = app.listeners.lock().await.end_admin();
            let state = last.current.gateway.state.clone();
            let left = tokio::spawn(async move {
                // Orders that were given here are answered before the next process gives its own; long moves
                // go on beside them.
                if let Some(answers) = admin {
                    let _ = answers.await;
                }
                state.let_go().await;
            });
            // The next process is told to end as well, by systemd: that is not for us.
            let stop = async {
                signals.stop().await;
                signals.stop().await;
            };
            let ended = async {
                drained.await;
                let _ = left.await;
            };
            drain::until(ended, stop).await;
        }
    }
    tracing::info!(
        event = "stopped",
        sessions_left = app.lasting.registry.count()
    );
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
    /// What connections go by; the same as in `built`.
    current: Arc<ArcSwap<Current>>,
    /// All that the settings in use have made.
    built: ArcSwap<Built>,
    /// What outlives settings.
    lasting: Lasting,
    /// The settings that no reload changes.
    for_life: ForLife,
    /// What the process was started with, and which sockets are open.
    legacy: Legacy,
    /// Held by whoever opens or closes listeners.
    listeners: tokio::sync::Mutex<Listeners>,
    /// Held by whoever changes what is served, from the first look at the files to the end: a reload, an
    /// upgrade.
    turn: tokio::sync::Mutex<()>,
    /// Where reloads are asked for.
    wishes: Wishes,
    metrics: Metrics,
    readiness: Mutex<Readiness>,
    upgrades: Upgrades,
}

impl App {
    fn build(
        config: Config,
        legacy: Legacy,
        metrics: Metrics,
        wishes: Wishes,
        stopped: channel::Receiver<bool>,
    ) -> Result<Self, StartError> {
        let listens: Vec<_> = config.listeners.iter().map(|l| l.bind).collect();
        let lasting = Lasting {
            listens: Arc::new(ArcSwap::from_pointee(listens)),
            registry: Arc::default(),
        };
        let for_life = ForLife::of(&config);
        let built = Built::new(config, &lasting, None).map_err(StartError::all)?;
        let upgrades = Upgrades::new(legacy.sockets.clone());
        Ok(App {
            upgrades,
            current: Arc::new(ArcSwap::new(built.current.clone())),
            built: ArcSwap::from_pointee(built),
            lasting,
            for_life,
            legacy,
            listeners: tokio::sync::Mutex::new(Listeners::none(stopped)),
            turn: tokio::sync::Mutex::default(),
            wishes,
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
