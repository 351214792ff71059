//! `gatepost check --connect`: one look at each host that the settings name, from where this runs.
//!
//! It asks no running gateway. What a look is stands in `backend`.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::table::{self, Table};
use crate::backend::dns::Dns;
use crate::backend::{Backend, Surroundings, Tried};
use crate::config::Config;

/// What came of a look, and at which backend.
pub(super) struct Seen {
    backend: String,
    host: String,
    endpoint: String,
    /// What the host says it is, or why it cannot be used.
    found: Result<String, String>,
    took: Duration,
}

impl Seen {
    fn new(backend: &str, tried: Tried) -> Self {
        Seen {
            backend: backend.to_owned(),
            host: tried.host,
            endpoint: tried.endpoint,
            found: tried.found.map_err(|failure| failure.to_string()),
            took: tried.took,
        }
    }

    pub(super) fn is_well(&self) -> bool {
        self.found.is_ok()
    }

    fn millis(&self) -> f64 {
        (self.took.as_secs_f64() * 10_000.0).round() / 10.0
    }

    /// For machines.
    pub(super) fn json(&self) -> Value {
        json!({
            "backend": self.backend,
            "host": self.host,
            "endpoint": self.endpoint,
            "ok": self.is_well(),
            "greeting": self.found.as_ref().ok(),
            "error": self.found.as_ref().err(),
            "milliseconds": self.millis(),
        })
    }
}

/// Looks at every host of every backend; the error is that there is no way to look at all.
pub(super) fn hosts(config: &Config) -> Result<Vec<Seen>, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    Ok(runtime.block_on(async {
        let around = around(config);
        let mut all = Vec::new();
        for settings in config.backends.values() {
            let name = &settings.name;
            match Backend::new(settings.clone(), around.clone()) {
                Ok(backend) => {
                    let tried = Arc::new(backend).try_each(Arc::new(Dns::system())).await;
                    all.extend(tried.into_iter().map(|tried| Seen::new(name, tried)));
                }
                Err(why) => all.push(Seen {
                    backend: name.clone(),
                    host: String::new(),
                    endpoint: String::new(),
                    found: Err(why),
                    took: Duration::ZERO,
                }),
            }
        }
        all
    }))
}

/// What a look starts from, as a running gateway with these settings would.
fn around(config: &Config) -> Surroundings {
    Surroundings {
        // A host that is one of our own listeners is a loop, whether we listen now or not.
        listens: Arc::new(ArcSwap::from_pointee(
            config.listeners.iter().map(|it| it.bind).collect(),
        )),
        keepalive: config.timeouts.keepalive,
        ..Surroundings::default()
    }
}

/// For people: a line each.
pub(super) fn table(all: &[Seen]) -> String {
    let mut table = Table::new(&["backend", "host", "endpoint", "result", "#ms", "what"]);
    for seen in all {
        let (result, what) = match &seen.found {
            Ok(greeting) => ("ok", greeting),
            Err(why) => ("failed", why),
        };
        let cells = [&seen.backend, &seen.host, &seen.endpoint];
        let mut row: Vec<String> = cells.map(String::to_owned).to_vec();
        row.extend([
            result.to_owned(),
            format!("{:.1}", seen.millis()),
            what.clone(),
        ]);
        table.row(row);
    }
    table.render(table::width())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_look_starts_from_what_a_gateway_would() {
        let text = "listeners: ['imap://127.0.0.1:1143']\n\
                    backends: {old: imap://10.0.0.5}\n\
                    users: {\"*\": old}\n\
                    timeouts: {keepalive: 10h}\n";
        let read = Config::parse(Path::new("proxy.yaml"), text, Path::new(""), &|_| None);
        let (config, _) = read.unwrap();
        let around = around(&config);
        assert_eq!(around.keepalive, Duration::from_secs(36_000));
        assert_eq!(**around.listens.load(), ["127.0.0.1:1143".parse().unwrap()]);
    }
}
