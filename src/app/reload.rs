//! Reloads: the settings are read anew, checked whole, and take the place of the old ones at once, or
//! not at all.
//!
//! One task does them one after the other. Whoever wished for one while another was under way gets the
//! next one's answer: it reads the files as they are then, so the newest that is good wins.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::build::{Built, StartError};
use super::changes::Changes;
use super::listeners::{Listeners, Opened};
use super::watch::{Seen, tell_certificates};
use super::{App, notify};
use crate::admin::Readiness;
use crate::config::{Code, Config, Places, Problem, Problems, Source};
use crate::observe;
use crate::observe::metrics::Outcome;
use crate::tls;

/// Wishes that may wait; whoever comes then waits until there is room.
const WISHES: usize = 64;

/// Most problems of settings that get a line in the log.
const MOST_TOLD: usize = 20;

/// Who wants a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Signal,
    Admin,
    /// A file is another one.
    File,
}

/// What came of a reload: what changed and the warnings, or everything that is wrong.
type Outcomes = Result<Arc<Done>, Arc<Vec<Problem>>>;

struct Done {
    changes: Changes,
    warnings: Vec<Problem>,
}

/// A wish for a reload.
pub(super) struct Wish {
    by: By,
    answer: oneshot::Sender<Outcomes>,
}

/// Where wishes go.
#[derive(Clone)]
pub(super) struct Wishes(mpsc::Sender<Wish>);

impl Wishes {
    pub(super) fn new() -> (Self, mpsc::Receiver<Wish>) {
        let (wishes, coming) = mpsc::channel(WISHES);
        (Wishes(wishes), coming)
    }

    /// Reloads; what changed as JSON, or every problem as `check --json` has them. Dropping the future
    /// does not stop it.
    pub(super) async fn reload(&self, by: By) -> Result<Value, Value> {
        let (answer, answered) = oneshot::channel();
        // The task is gone only when the process is about to be.
        let _ = self.0.send(Wish { by, answer }).await;
        let json = |problems: &[Problem]| problems.iter().map(Problem::json).collect();
        match answered.await {
            Ok(Ok(done)) => {
                let mut told = done.changes.json();
                if let Some(told) = told.as_object_mut() {
                    told.insert("warnings".into(), json(&done.warnings));
                }
                Ok(told)
            }
            Ok(Err(problems)) => Err(json(&problems)),
            Err(_) => Err(json(&[ending(&PathBuf::new())])),
        }
    }
}

/// The task that reloads.
pub(super) struct Reloader {
    pub(super) app: Arc<App>,
    pub(super) log: observe::Handle,
    /// What the watch is to look at.
    pub(super) seen: Arc<Seen>,
}

impl Reloader {
    /// Reloads when it is wished, for ever.
    pub(super) async fn run(self, mut coming: mpsc::Receiver<Wish>) {
        let mut wishes = Vec::new();
        while coming.recv_many(&mut wishes, WISHES).await > 0 {
            let by = wishes.first().map_or(By::Signal, |wish| wish.by);
            let outcome = self.reload(by).await;
            for wish in wishes.drain(..) {
                // Who is gone does not want to know.
                let _ = wish.answer.send(outcome.clone());
            }
        }
    }

    async fn reload(&self, by: By) -> Outcomes {
        let begun = Instant::now();
        let counts = self.app.current.load().gateway.metrics.clone();
        if self.app.is_draining() {
            return Err(Arc::new(vec![ending(&self.app.file())]));
        }
        notify::reloading();
        let attempted = self.attempt().await;
        if !self.app.is_draining() && !self.app.upgrades.has_succeeded() {
            notify::ready();
        }
        match attempted {
            Ok(done) => {
                counts.reload(Outcome::Taken);
                tell(&done, by, begun.elapsed());
                Ok(Arc::new(done))
            }
            Err(problems) => {
                counts.reload(Outcome::Failed);
                tell_refused(&problems, by, begun.elapsed());
                Err(Arc::new(problems))
            }
        }
    }

    /// Everything that can fail comes first; nothing that runs has changed by then.
    async fn attempt(&self) -> Result<Done, Vec<Problem>> {
        let app = &self.app;
        // A process that is about to follow has what listened when it was started, and has read the
        // files then or reads them anew: what changes here meanwhile it would not have.
        let _turn = app.turn.lock().await;
        if app.is_draining() || app.upgrades.has_succeeded() {
            return Err(vec![followed(&app.file())]);
        }
        let before = app.built.load_full();
        let file = app.file();
        let (lasting, earlier) = (app.lasting.clone(), before.clone());
        let path = file.clone();
        // Reading may take seconds where the users map is long, or the file system hangs.
        let read = spawn_blocking(move || {
            let (read, source) = Config::load_from(&path);
            let built =
                read.map_err(|Problems(problems)| problems)
                    .and_then(|(config, warnings)| {
                        let places = config.places.clone();
                        let built = Built::new(config, &lasting, Some(&earlier));
                        let built = built.map_err(|errors| cannot(&path, &places, &errors));
                        Ok((built?, warnings))
                    });
            (built, source)
        });
        let (built, source) = match read.await {
            Ok((built, source)) => (built, source),
            // A panic, which is in the log.
            Err(error) => {
                let message = format!("the settings could not be read: {error}");
                let problem = Problem::of_file(&file, Code::E070, message);
                return Err(vec![problem]);
            }
        };
        self.watch_for(source);
        let (after, warnings) = built?;
        let places = &after.config.places;
        let mut listeners = app.listeners.lock().await;
        let opened = listeners
            .open(&after.config, &app.legacy.sockets)
            .map_err(|errors| cannot(&file, places, &errors))?;
        if after.config.log != before.config.log {
            let (log, settings) = (self.log.clone(), after.config.log.clone());
            // The new place may hang when it is opened, the old one when it is left.
            let changed = spawn_blocking(move || log.reconfigure(&settings)).await;
            let changed = changed.unwrap_or_else(|error| Err(error.to_string()));
            let told = |error| StartError::new("open the log", error).at("log");
            changed.map_err(|error| cannot(&file, places, &[told(error)]))?;
        }
        let changes = Changes::between(&before, &after, &app.for_life);
        self.swap(&mut listeners, opened, after).await;
        Ok(Done { changes, warnings })
    }

    /// From here on nothing fails.
    async fn swap(&self, listeners: &mut Listeners, opened: Opened, after: Built) {
        let app = &self.app;
        let after = Arc::new(after);
        let listens = after.config.listeners.iter().map(|it| it.bind).collect();
        listeners.close(&after.config).await;
        app.lasting.listens.store(Arc::new(listens));
        let before = app.built.swap(after.clone());
        let (old, new) = (&before.current.gateway, &after.current.gateway);
        new.backends.start();
        old.backends.stop_but(&new.backends);
        app.current.store(after.current.clone());
        app.metrics.set_present(after.present());
        // Who asks for a reload does not want to wait for the next look at these.
        let found = tls::look(&after.tls).await;
        tell_certificates(app, &after.tls, &found);
        listeners.serve(opened, &after.config, app);
    }

    fn watch_for(&self, source: Source) {
        self.seen.set(source);
    }
}

impl App {
    /// proxy.yaml, as it was named.
    fn file(&self) -> PathBuf {
        self.built.load().config.source.file.clone()
    }

    fn is_draining(&self) -> bool {
        use crate::admin::Gateway as _;
        self.readiness() == Readiness::Draining
    }
}

fn followed(file: &std::path::Path) -> Problem {
    let message = "another process takes over, which reads the settings anew: ask again";
    Problem::of_file(file, Code::E070, message)
}

fn ending(file: &std::path::Path) -> Problem {
    Problem::of_file(file, Code::E070, "the gateway is about to end")
}

/// What the settings ask for and cannot have, as problems of the file.
fn cannot(file: &std::path::Path, places: &Places, errors: &[StartError]) -> Vec<Problem> {
    let each = errors.iter().map(|error| {
        let place = error.place.as_deref().unwrap_or_default();
        places.problem(file, place, Code::E070, error.to_string())
    });
    each.collect()
}

impl By {
    fn as_str(self) -> &'static str {
        match self {
            By::Signal => "signal",
            By::Admin => "admin",
            By::File => "file",
        }
    }
}

fn tell(done: &Done, by: By, took: Duration) {
    tracing::info!(
        target: "gatepost",
        event = "reload",
        result = "ok",
        by = by.as_str(),
        changed = %done.changes,
        took = took.as_secs_f64(),
    );
    for key in &done.changes.at_restart {
        tracing::warn!(
            target: "gatepost",
            event = "reload_at_restart",
            key,
            hint = "the new value counts from the next start on",
        );
    }
    tell_warnings("reload_warning", &done.warnings);
}

/// Warnings of settings that are taken.
pub(super) fn tell_warnings(event: &str, warnings: &[Problem]) {
    for warning in warnings.iter().take(MOST_TOLD) {
        tracing::warn!(target: "gatepost", event, problem = %warning);
    }
}

fn tell_refused(problems: &[Problem], by: By, took: Duration) {
    tracing::warn!(
        target: "gatepost",
        event = "reload",
        result = "failed",
        by = by.as_str(),
        problems = problems.len(),
        hint = "the settings before stay in use",
        took = took.as_secs_f64(),
    );
    for problem in problems.iter().take(MOST_TOLD) {
        tracing::warn!(target: "gatepost", event = "reload_problem", %problem);
    }
}
