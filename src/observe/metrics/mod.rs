//! Metrics for Prometheus: every series the gateway has, and cheap handles to them.
//!
//! Labels come from the settings and from enums, never from what a client typed. Handles are
//! resolved once, for a listener, a backend, a host, the process; counting then is one atomic
//! addition. Make handles after [`Metrics::install`]: those made before count nothing.

mod handles;
mod labels;
mod present;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
pub use handles::{Backend, Counted, Host, Listener};
pub use labels::{AcceptError, Outcome, Pop3Action, Refused};
use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
pub use present::Present;

use super::process;
use crate::protocol::{Failure, Protocol};

/// Times from a millisecond on a fast network to a login that waited its whole minute, in seconds.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// The process's metrics.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    /// None: the settings are not in use yet, and everything is shown.
    present: Arc<ArcSwapOption<Present>>,
}

impl Metrics {
    /// How often [`Metrics::upkeep`] is to be called.
    pub const UPKEEP: Duration = Duration::from_secs(5);

    /// Installs the recorder of the process; fails, in words, if there is one already.
    pub fn install() -> Result<Self, String> {
        let recorder = recorder()?;
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|e| e.to_string())?;
        describe();
        Ok(Metrics {
            handle,
            present: Arc::default(),
        })
    }

    /// All series in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        if let Some(present) = &*self.present.load() {
            text = present.keep(&text);
        }
        process::render(&mut text);
        text
    }

    /// These are the names of the settings from now on: series of others are not shown any more.
    pub fn set_present(&self, present: Present) {
        self.present.store(Some(Arc::new(present)));
    }

    /// Folds what histograms gathered; without it they grow.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn recorder() -> Result<PrometheusRecorder, String> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .map_err(|e| e.to_string())?;
    Ok(builder.build_recorder())
}

fn describe() {
    use metrics::{describe_counter as counter, describe_gauge as gauge};
    counter!("gatepost_connections_total", "Connections accepted.");
    counter!(
        "gatepost_accept_errors_total",
        "Connections that could not be accepted when they came."
    );
    gauge!("gatepost_sessions", "Sessions that are logged in.");
    counter!("gatepost_logins_total", "Login attempts by their result.");
    metrics::describe_histogram!(
        "gatepost_login_seconds",
        "Time from a client's login command to its answer."
    );
    metrics::describe_histogram!(
        "gatepost_backend_connect_seconds",
        "Time to a connection that is logged in to a host."
    );
    gauge!(
        "gatepost_host_up",
        "Whether a host counts as up (1) or down (0)."
    );
    gauge!("gatepost_host_sessions", "Sessions on a host.");
    counter!("gatepost_host_logins_total", "Logins a host has accepted.");
    counter!(
        "gatepost_bytes_total",
        "Octets from (in) and to (out) clients after login."
    );
    counter!(
        "gatepost_refused_total",
        "Connections that were closed before their greeting, and logins past a limit."
    );
    gauge!(
        "gatepost_certificate_expiry_timestamp_seconds",
        "When a certificate ends, in Unix time."
    );
    counter!(
        "gatepost_certificate_reloads_total",
        "New certificates and ticket keys found."
    );
    counter!(
        "gatepost_password_reloads_total",
        "New files of passwords found."
    );
    counter!("gatepost_reloads_total", "Reloads of the settings.");
    gauge!(
        "gatepost_last_reload_timestamp_seconds",
        "When settings were last read anew, in Unix time; 0: never."
    );
    counter!(
        "gatepost_pop3_messages_total",
        "Messages of translated POP3 sessions."
    );
    counter!(
        "gatepost_log_dropped_total",
        "Log lines that could not be written."
    );
    gauge!(
        "gatepost_state_up",
        "Whether the shared state answers (1) or is away (0); absent where none is shared."
    );
    gauge!("gatepost_build_info", "The running version, always 1.");
    metrics::gauge!("gatepost_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::counter!("gatepost_log_dropped_total").absolute(0);
}

/// What all listeners and backends count together.
#[derive(Clone)]
pub struct Gateway {
    logins: [[Counter; RESULTS]; PROTOCOLS],
    login_seconds: [Histogram; PROTOCOLS],
    bytes: [[Counter; 2]; PROTOCOLS],
    refused: [Counter; Refused::ALL.len()],
    reloads: [Counter; 2],
    last_reload: [Gauge; 2],
    certificates: [Counter; 2],
    passwords: [Counter; 2],
    pop3: [Counter; Pop3Action::ALL.len()],
}

impl Default for Gateway {
    fn default() -> Self {
        Self::new()
    }
}

impl Gateway {
    /// The handles; every series is there from now on, at zero.
    pub fn new() -> Self {
        let logins = Protocol::ALL.map(|protocol| {
            LOGIN_RESULTS.map(|result| {
                zero(metrics::counter!(
                    "gatepost_logins_total", "protocol" => protocol.as_str(), "result" => result
                ))
            })
        });
        let login_seconds = Protocol::ALL.map(|protocol| {
            metrics::histogram!("gatepost_login_seconds", "protocol" => protocol.as_str())
        });
        let bytes = Protocol::ALL.map(|protocol| {
            ["in", "out"].map(|direction| {
                zero(metrics::counter!(
                    "gatepost_bytes_total",
                    "protocol" => protocol.as_str(), "direction" => direction
                ))
            })
        });
        let results = ["ok", "failed"];
        Gateway {
            logins,
            login_seconds,
            bytes,
            refused: Refused::ALL.map(|reason| {
                zero(metrics::counter!("gatepost_refused_total", "reason" => reason.as_str()))
            }),
            reloads: results
                .map(|r| zero(metrics::counter!("gatepost_reloads_total", "result" => r))),
            last_reload: results.map(|r| {
                let last = metrics::gauge!("gatepost_last_reload_timestamp_seconds", "result" => r);
                last.increment(0.0);
                last
            }),
            certificates: results.map(|r| {
                zero(metrics::counter!("gatepost_certificate_reloads_total", "result" => r))
            }),
            passwords: results
                .map(|r| zero(metrics::counter!("gatepost_password_reloads_total", "result" => r))),
            pop3: Pop3Action::ALL.map(|action| {
                zero(metrics::counter!("gatepost_pop3_messages_total", "action" => action.as_str()))
            }),
        }
    }

    /// A login attempt was decided; no failure is a yes. `took` counts from the command to its answer; none:
    /// nobody had to be asked, which says nothing of how long logins take.
    pub fn login(&self, protocol: Protocol, failure: Option<&Failure>, took: Option<Duration>) {
        let result = failure.map_or(OK, Failure::code);
        let place = LOGIN_RESULTS.iter().position(|known| *known == result);
        if let (Some(counts), Some(place)) = (of(&self.logins, protocol), place)
            && let Some(count) = counts.get(place)
        {
            count.increment(1);
        }
        if let (Some(seconds), Some(took)) = (of(&self.login_seconds, protocol), took) {
            seconds.record(took);
        }
    }

    /// Octets that came from clients and went to them after login.
    pub fn bytes(&self, protocol: Protocol, from_client: u64, to_client: u64) {
        if let Some([incoming, outgoing]) = of(&self.bytes, protocol) {
            incoming.increment(from_client);
            outgoing.increment(to_client);
        }
    }

    /// A connection was closed before its greeting, or a login met a limit.
    pub fn refused(&self, reason: Refused) {
        let place = Refused::ALL.iter().position(|known| *known == reason);
        if let Some(count) = place.and_then(|place| self.refused.get(place)) {
            count.increment(1);
        }
    }

    /// New settings are in use, or were refused.
    pub fn reload(&self, outcome: Outcome) {
        outcome.count(&self.reloads);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let last = match outcome {
            Outcome::Taken => &self.last_reload[0],
            Outcome::Failed => &self.last_reload[1],
        };
        last.set(now.unwrap_or_default().as_secs_f64().floor());
    }

    /// A new certificate or ticket key is in use, or was refused.
    pub fn certificate_reload(&self, outcome: Outcome) {
        outcome.count(&self.certificates);
    }

    /// A new file of passwords is in use, or was refused.
    pub fn password_reload(&self, outcome: Outcome) {
        outcome.count(&self.passwords);
    }

    /// A translated POP3 session did this to so many messages.
    pub fn pop3(&self, action: Pop3Action, messages: u64) {
        let place = Pop3Action::ALL.iter().position(|known| *known == action);
        if let Some(count) = place.and_then(|place| self.pop3.get(place)) {
            count.increment(messages);
        }
    }
}

/// Whether the store that is shared with other gateways answers.
pub fn state_up(up: bool) {
    metrics::gauge!("gatepost_state_up").set(if up { 1.0 } else { 0.0 });
}

/// When a certificate ends, in Unix time; `name` is from the settings.
pub fn certificate_expiry(name: &str, at: i64) {
    let gauge = metrics::gauge!(
        "gatepost_certificate_expiry_timestamp_seconds", "name" => name.to_owned()
    );
    // Exact for 285 million years.
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds of dates are far below 2^52"
    )]
    gauge.set(at as f64);
}

const PROTOCOLS: usize = Protocol::ALL.len();

const OK: &str = "ok";

/// Every word of [`Failure::code`], and `ok`.
const LOGIN_RESULTS: [&str; RESULTS] = [
    OK,
    "AUTHENTICATIONFAILED",
    "AUTHORIZATIONFAILED",
    "UNAVAILABLE",
    "LIMIT",
    "EXPIRED",
    "CONTACTADMIN",
    "PRIVACYREQUIRED",
    "INUSE",
    "SERVERBUG",
    "CANNOT",
];

const RESULTS: usize = 11;

fn zero(counter: Counter) -> Counter {
    counter.absolute(0);
    counter
}

fn of<T>(all: &[T; PROTOCOLS], protocol: Protocol) -> Option<&T> {
    let place = Protocol::ALL.iter().position(|known| *known == protocol)?;
    all.get(place)
}
