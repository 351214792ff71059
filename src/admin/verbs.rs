//! The verbs that look at the gateway and end sessions: readiness, metrics, sessions, backends, a user's
//! route, a reload, an upgrade. Those that order hosts and users about are in `director`.

use std::net::IpAddr;

use hyper::StatusCode;
use tokio::runtime::Handle;

use super::api::{Call, FILTER, aside, bad_request, plain};
use super::gateway::Readiness;
use super::http::{Query, Reply};
use crate::protocol::{Farewell, Protocol, UserName};
use crate::session::registry::{Filter, Live};

pub(super) fn readyz(call: &Call) -> Reply {
    match call.gateway.readiness() {
        Readiness::Ready => {
            let trouble = call.gateway.serving().and_then(|it| it.state.trouble());
            match trouble {
                None => plain(StatusCode::OK, "ready"),
                // Mail goes on with what is known: no reason to take this gateway out.
                // Who asks shows no token, so what is wrong is for the log alone.
                Some(_) => plain(StatusCode::OK, "ready; the shared state is away"),
            }
        }
        Readiness::Starting => plain(StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Readiness::Draining => plain(StatusCode::SERVICE_UNAVAILABLE, "draining"),
    }
}

pub(super) fn metrics(call: &Call) -> Reply {
    let text = call.gateway.metrics();
    Reply::text(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        text,
    )
}

pub(super) fn sessions(call: &Call) -> Reply {
    let filter = match filter_of(&call.query) {
        Ok(filter) => filter,
        Err(text) => return bad_request(&text),
    };
    let mut live = call.gateway.sessions().list(&filter);
    live.sort_by(|a, b| a.since.cmp(&b.since).then_with(|| a.id.cmp(&b.id)));
    let sessions: Vec<_> = live.iter().map(|live| session(live)).collect();
    Reply::json(&serde_json::json!({ "sessions": sessions }))
}

fn session(live: &Live) -> serde_json::Value {
    let (from_client, to_client) = live.traffic.so_far();
    let login = live.login.get();
    serde_json::json!({
        "id": live.id,
        "protocol": live.protocol.as_str(),
        "user": login.map(|login| &login.user),
        "client": live.client.to_string(),
        "backend": login.map(|login| &*login.backend),
        "host": login.map(|login| &*login.host),
        "state": login.map_or("login", |login| login.state),
        "tls": live.tls.get(),
        "since": humantime::format_rfc3339_seconds(live.since).to_string(),
        "bytes_in": from_client,
        "bytes_out": to_client,
    })
}

pub(super) fn end_sessions(call: &Call) -> Reply {
    if call.query.is_empty() {
        let names = FILTER.join(", ");
        return bad_request(&format!("name the sessions to end by one of: {names}"));
    }
    match filter_of(&call.query) {
        Ok(filter) => end(call, &filter),
        Err(text) => bad_request(&text),
    }
}

pub(super) fn end_session(call: &Call) -> Reply {
    let filter = Filter {
        id: call.params.first().cloned(),
        ..Filter::default()
    };
    end(call, &filter)
}

fn end(call: &Call, filter: &Filter) -> Reply {
    let ended = call.gateway.sessions().end(filter, Farewell::Kicked);
    Reply::json(&serde_json::json!({ "ended": ended }))
}

fn filter_of(query: &Query) -> Result<Filter, String> {
    let text = |name: &str| query.get(name).map(str::to_owned);
    let ip = query.get("ip").map(|ip| {
        let parsed = ip.parse::<IpAddr>();
        parsed.map_err(|_| format!("expected an address in `ip`, got {ip:?}"))
    });
    Ok(Filter {
        id: None,
        user: text("user"),
        backend: text("backend"),
        host: text("host"),
        protocol: protocol_of(query)?,
        ip: ip.transpose()?,
    })
}

fn protocol_of(query: &Query) -> Result<Option<Protocol>, String> {
    let Some(word) = query.get("protocol") else {
        return Ok(None);
    };
    let known = Protocol::ALL.into_iter().find(|p| p.as_str() == word);
    known.map(Some).ok_or_else(|| {
        let words = Protocol::ALL.map(Protocol::as_str).join(" or ");
        format!("expected {words} in `protocol`, got {word:?}")
    })
}

pub(super) fn backends(call: &Call) -> Reply {
    Reply::json(&serde_json::json!({ "backends": call.gateway.backends() }))
}

pub(super) async fn reload(call: Call) -> Reply {
    match call.gateway.reload().await {
        Ok(changed) => Reply::json(&changed),
        Err(problems) => Reply::json_with(StatusCode::UNPROCESSABLE_ENTITY, &problems),
    }
}

pub(super) async fn route(call: Call) -> Reply {
    let user = match call.query.get("user") {
        None => return bad_request("parameter `user` is missing"),
        Some(user) => match UserName::new(user.as_bytes()) {
            Ok(user) => user,
            Err(_) => return bad_request("`user` can be no user's name"),
        },
    };
    let protocol = match protocol_of(&call.query) {
        Ok(protocol) => protocol.unwrap_or(Protocol::Imap),
        Err(text) => return bad_request(&text),
    };
    // It goes through all rules and all that is ordered, and waits for lookups between.
    let runtime = Handle::current();
    let explain = move || match runtime.block_on(call.gateway.explain(user, protocol)) {
        Ok(explained) => Reply::json(&explained),
        Err(nobody) => Reply::json_with(StatusCode::NOT_FOUND, &nobody),
    };
    aside(explain).await
}

pub(super) async fn upgrade(call: Call) -> Reply {
    let sessions = call.gateway.sessions().count();
    match call.gateway.upgrade().await {
        Ok(pid) => Reply::json(&serde_json::json!({ "pid": pid, "draining": sessions })),
        Err(why) => Reply::error(StatusCode::INTERNAL_SERVER_ERROR, &why),
    }
}
