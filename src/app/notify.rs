//! What the service manager is told (`sd_notify(3)`): nothing, where there is none.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::interval;

/// Every listener serves; also the end of a reload.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// New settings are being read; [`ready`] follows, whatever comes of it.
pub(super) fn reloading() {
    let began = NotifyState::monotonic_usec_now();
    match began {
        Ok(began) => tell(&[NotifyState::Reloading, began]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The process ends, within this time.
pub(super) fn stopping(within: Duration) {
    // More than the drain: the log is still to be written.
    let patience = (within + Duration::from_secs(10)).as_micros();
    let patience = u32::try_from(patience).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Stopping,
        NotifyState::ExtendTimeoutUsec(patience),
        NotifyState::Status("draining: sessions get their goodbye"),
    ]);
}

/// Another process is the service from now on.
pub(super) fn succeeded_by(pid: u32) {
    tell(&[NotifyState::MainPid(pid), NotifyState::Ready]);
}

/// Says that every listener serves, and shows the watchdog, if there is one, that the process still gets
/// things done.
pub(super) async fn serve() {
    ready();
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut often = interval((patience / 2).max(Duration::from_millis(1)));
    loop {
        often.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(event = "notify", %error, "cannot tell the service manager");
    }
}
