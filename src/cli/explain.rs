//! `gatepost explain USER`: the whole decision for a name, by the same router a login asks.
//!
//! It reads the settings, what `state:` remembers, and the name server where hosts are found by name. It
//! does not ask the running gateway, which alone knows hosts' health: `GET /api/v1/route` does.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::timeout;

use super::{FAILED, Form, WRONG, load, say, tell};
use crate::backend::HostNow;
use crate::backend::config::HostConfig;
use crate::backend::discover;
use crate::backend::dns::Dns;
use crate::config::Config;
use crate::protocol::{Protocol, UserName};
use crate::route::explain::{Explanation, Known};
use crate::route::{Ask, explain};
use crate::state::{self, Lane, Look, Pass, Places};

/// How long the state and the name server may take.
const ANSWER: Duration = Duration::from_secs(5);

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
    let (told, code) = match config.ask(&user, protocol) {
        Err(told) => (*told, ExitCode::SUCCESS),
        Ok(ask) => {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = match runtime.enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    tell(&format!("error: {error}"));
                    return ExitCode::from(FAILED);
                }
            };
            let mut told = runtime.block_on(explained(&config, ask));
            if ask.listener.is_none() {
                otherwise(&config, protocol, &mut told);
            }
            let code = match told.matched() {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(FAILED),
            };
            (told, code)
        }
    };
    match form {
        Form::Text => say(&told.to_string()),
        Form::Json => say(&serde_json::to_string_pretty(&told).unwrap_or_default()),
    }
    code
}

/// Where some listeners decide otherwise than the map.
fn otherwise(config: &Config, protocol: Protocol, told: &mut Explanation) {
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
}

async fn explained(config: &Config, ask: Ask<'_>) -> Explanation {
    let router = config.router();
    let (owner, named) = router.decide(ask).owners();
    let pass = Pass {
        owner,
        named,
        moved: 0,
        lane: Lane::Whole,
    };
    let late = |what: &str| format!("{what}: no answer in {} s", ANSWER.as_secs());
    let mut notes = Vec::new();
    let look = match timeout(ANSWER, Look::at(&config.state, &pass)).await {
        Ok(Ok(look)) => {
            match (&config.state, &look.places) {
                (state::Config::Memory, _) => notes.push(
                    "what operators ordered of the running gateway is in its memory only, and not in this"
                        .to_owned(),
                ),
                (_, None) => {
                    notes.push("where live sessions are only the running gateway knows".to_owned());
                }
                (_, Some(_)) => {}
            }
            look
        }
        Ok(Err(why)) => {
            notes.push(format!("moves, holds and drains are not in this: {why}"));
            Look::default()
        }
        Err(_) => {
            let why = late("the state");
            notes.push(format!("moves, holds and drains are not in this: {why}"));
            Look::default()
        }
    };
    let places = look.places.unwrap_or_default();
    let found = Found::None;
    let first = by(config, &router, ask, &look.orders, &places, &found);
    let backend = first
        .backend
        .as_ref()
        .and_then(|it| config.backends.get(it));
    let Some((name, wanted)) = backend.and_then(|it| Some((&it.name, it.discover.as_ref()?)))
    else {
        return with(first, notes);
    };
    let dns = Dns::system();
    let asked = timeout(ANSWER, discover::find(wanted, &dns)).await;
    let found = match asked.unwrap_or_else(|_| Err(late("the name server"))) {
        Ok(hosts) => Found::Of(name, hosts),
        Err(why) => {
            notes.push(format!("its hosts were not found: {why}"));
            Found::None
        }
    };
    with(
        by(config, &router, ask, &look.orders, &places, &found),
        notes,
    )
}

/// Hosts that were found by name just now.
enum Found<'a> {
    None,
    Of(&'a str, Vec<HostConfig>),
}

fn by(
    config: &Config,
    router: &crate::route::Router,
    ask: Ask<'_>,
    orders: &state::Orders,
    places: &Places,
    found: &Found<'_>,
) -> Explanation {
    let known = Known {
        orders,
        pinned: &|pass| places.of(pass),
        hosts: &|backend, _| match found {
            Found::Of(name, hosts) if *name == backend.name => {
                let hosts = hosts.iter();
                hosts.map(|host| HostNow::of(host, name, orders)).collect()
            }
            _ => backend.hosts_by(orders),
        },
    };
    explain::explain(router, &config.backends, ask, &known)
}

fn with(mut told: Explanation, notes: Vec<String>) -> Explanation {
    // Where nobody matches there is nothing to add.
    if told.backend.is_some() {
        told.reasons.extend(notes);
        let live =
            "hosts count as up here: the running gateway knows their health (GET /api/v1/route)";
        told.reasons.push(live.to_owned());
    }
    told
}
