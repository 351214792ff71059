//! What runs beside the sessions: upkeep of metrics, files that are looked at again.

use std::sync::Arc;

use tokio::time::sleep;

use super::App;
use crate::observe::metrics::{self, Metrics, Outcome};
use crate::session::{Authenticator, authenticate};
use crate::tls;

/// Keeps the metrics' histograms small.
pub(super) async fn upkeep(metrics: Metrics) {
    loop {
        sleep(Metrics::UPKEEP).await;
        metrics.upkeep();
    }
}

/// Swaps certificates as their files change, and counts it.
pub(super) async fn certificates(app: Arc<App>) {
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
pub(super) async fn passwords(authenticator: Arc<Authenticator>) {
    let counts = metrics::Gateway::new();
    let count = move |change: &authenticate::Change| {
        counts.reload(match change {
            authenticate::Change::Swapped => Outcome::Taken,
            authenticate::Change::Refused(_) => Outcome::Failed,
        });
    };
    authenticator.watch(count).await;
}

pub(super) fn tell_expiries(tls: &tls::Front) {
    for expiry in tls.expiries() {
        metrics::certificate_expiry(&expiry.name, expiry.at);
    }
}
