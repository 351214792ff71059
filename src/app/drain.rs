//! The end: the world notices, listeners close, sessions get their goodbye.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::App;
use crate::config::Config;
use crate::protocol::Farewell;
use crate::session::registry::Filter;

/// How often a drain looks whether the last session is gone.
const DRAIN_TICK: Duration = Duration::from_millis(50);

/// Lets the world notice, closes the listeners, says goodbye to sessions, waits for them.
pub(super) async fn drain(app: &App, config: &Config, stop: watch::Sender<bool>) {
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
