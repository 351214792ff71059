//! What runs beside the sessions: upkeep of metrics, files that are looked at again.
//!
//! Files are asked for their times, not the system for their changes: that sees a rewrite, a rename
//! and the `..data` link of a Kubernetes volume being swapped alike, and works on NFS.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::App;
use super::reload::By;
use crate::config::Source;
use crate::observe::metrics::{self, Metrics, Outcome};
use crate::session::authenticate;
use crate::tls::{self, Stamp, Unrest};

/// How often the files of the settings are looked at.
const EVERY: Duration = Duration::from_millis(500);

/// Keeps the metrics' histograms small.
pub(super) async fn upkeep(metrics: Metrics) {
    loop {
        sleep(Metrics::UPKEEP).await;
        metrics.upkeep();
    }
}

/// The files that were read last, as they were then: also those of settings that were refused.
pub(super) struct Seen(Mutex<Vec<(PathBuf, Option<Stamp>)>>);

impl Seen {
    pub(super) fn new(source: Source) -> Self {
        Seen(Mutex::new(source.files))
    }

    pub(super) fn set(&self, source: Source) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = source.files;
    }

    /// All of them as they are now, if some are not as they were. Blocks on the file system.
    fn look(&self) -> Option<Vec<Option<Stamp>>> {
        let seen = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let now: Vec<_> = seen.iter().map(|(file, _)| Stamp::of(file)).collect();
        let same = seen.iter().map(|(_, then)| then).eq(&now);
        (!same).then_some(now)
    }
}

/// Reloads when a file of the settings is another one, once it has come to rest: what is still being
/// written would be refused, and read again when it is whole.
pub(super) async fn settings(app: Arc<App>, seen: Arc<Seen>) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut since = Unrest::default();
    loop {
        tick.tick().await;
        let looking = seen.clone();
        let Ok(look) = spawn_blocking(move || looking.look()).await else {
            continue;
        };
        if since.is_over(look) {
            // It is in the log.
            let _ = app.wishes.reload(By::File).await;
        }
    }
}

/// Swaps certificates as their files change, and counts it.
pub(super) async fn certificates(app: Arc<App>) {
    let present = || app.built.load().tls.clone();
    tls::watch(present, |tls, changes| {
        tell_certificates(&app, tls, changes)
    })
    .await;
}

/// Counts what a look at the certificates found, and tells when they end.
pub(super) fn tell_certificates(app: &App, tls: &tls::Front, changes: &[tls::Change]) {
    let gateway = app.current.load().gateway.clone();
    for change in changes {
        gateway.metrics.certificate_reload(match change {
            tls::Change::Swapped { .. } => Outcome::Taken,
            tls::Change::Refused { .. } => Outcome::Failed,
        });
    }
    tell_expiries(tls);
}

/// Takes the file of passwords as it changes, and counts it: that is no reload of the settings.
pub(super) async fn passwords(app: Arc<App>) {
    let counts = metrics::Gateway::new();
    let count = move |change: &authenticate::Change| {
        counts.password_reload(match change {
            authenticate::Change::Swapped => Outcome::Taken,
            authenticate::Change::Refused(_) => Outcome::Failed,
        });
    };
    let present = move || app.current.load().gateway.authenticate.clone();
    authenticate::watch(present, count).await;
}

pub(super) fn tell_expiries(tls: &tls::Front) {
    for expiry in tls.expiries() {
        metrics::certificate_expiry(&expiry.name, expiry.at);
    }
}
