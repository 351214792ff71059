//! `gatepost explain USER`: the whole decision for a name, by the same router a login asks.
//!
//! It reads the settings, not the running gateway: every host counts as up.

use std::path::Path;
use std::process::ExitCode;

use super::{FAILED, Form, WRONG, load, say, tell};
use crate::protocol::{Protocol, UserName};
use crate::route::{Ask, explain};

pub(super) fn explain(path: &Path, user: &str, protocol: Protocol, form: Form) -> ExitCode {
    let (config, _) = match load(path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let Ok(user) = UserName::new(user.as_bytes()) else {
        tell(
            "error: no user can have this name: expected 1 to 512 octets without control characters",
        );
        return ExitCode::from(WRONG);
    };
    let ask = Ask {
        user: &user,
        protocol,
        listener: None,
        server_name: None,
    };
    let mut told = explain::explain(&config.router(), &config.backends, ask, &|_, _| None);
    for listener in config.listeners.iter().filter(|l| l.protocol == protocol) {
        if let Some(backend) = &listener.backend {
            let reason = format!(
                "but the listener {} sends everybody to {backend}",
                listener.name
            );
            told.reasons.push(reason);
        }
        // Only where the map does not name the user.
        let named = told.matched() && told.entry.as_deref() != Some("*");
        let names = listener.server_names.iter().filter(|_| !named);
        told.reasons.extend(names.map(|(name, backend)| {
            let listener = &listener.name;
            format!(
                "but who asks for the server {name} on the listener {listener} goes to {backend}"
            )
        }));
    }
    match form {
        Form::Text => say(&told.to_string()),
        Form::Json => say(&serde_json::to_string_pretty(&told).unwrap_or_default()),
    }
    match told.matched() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    }
}
