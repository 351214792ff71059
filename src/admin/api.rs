//! What can be asked: a table of methods and paths, and the function that answers each.
//!
//! The table is the API. A request is judged in this order: access, path, method, query, body; so
//! a stranger learns nothing of what is there.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};

use super::access::Access;
use super::gateway::{Gateway, Readiness};
use super::http::decode;
pub use super::http::{Query, Reply};
use super::{dashboard, director};
use crate::protocol::{Farewell, Protocol, UserName};
use crate::session::registry::{Filter, Live};

/// A row of the table.
struct Endpoint {
    method: Method,
    /// Segments in braces stand for any one, which is given to the handler.
    path: &'static str,
    needs: Needs,
    /// Parameters the query may have.
    query: &'static [&'static str],
    handler: Handler,
}

enum Needs {
    Nothing,
    Token,
}

enum Handler {
    Now(fn(&Call) -> Reply),
    Later(fn(Call) -> Pin<Box<dyn Future<Output = Reply> + Send>>),
}

/// A request that may be answered.
pub struct Call {
    pub(super) gateway: Arc<dyn Gateway>,
    /// What stands for the braces of the path, in order.
    pub(super) params: Vec<String>,
    pub(super) query: Query,
    /// The body, read whole.
    pub(super) body: Bytes,
}

const FILTER: &[&str] = &["user", "backend", "host", "protocol", "ip"];

static TABLE: &[Endpoint] = &[
    Endpoint {
        method: Method::GET,
        path: "/",
        needs: Needs::Nothing,
        query: &[],
        handler: Handler::Now(|_| dashboard::page()),
    },
    Endpoint {
        method: Method::GET,
        path: "/dashboard/{file}",
        needs: Needs::Nothing,
        query: &[],
        handler: Handler::Now(|call| {
            dashboard::file(call.params.first().map_or("", String::as_str))
        }),
    },
    Endpoint {
        method: Method::GET,
        path: "/healthz",
        needs: Needs::Nothing,
        query: &[],
        handler: Handler::Now(|_| plain(StatusCode::OK, "ok")),
    },
    Endpoint {
        method: Method::GET,
        path: "/readyz",
        needs: Needs::Nothing,
        query: &[],
        handler: Handler::Now(readyz),
    },
    Endpoint {
        method: Method::GET,
        path: "/metrics",
        needs: Needs::Token,
        query: &[],
        handler: Handler::Now(metrics),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/v1/sessions",
        needs: Needs::Token,
        query: FILTER,
        handler: Handler::Now(sessions),
    },
    Endpoint {
        method: Method::DELETE,
        path: "/api/v1/sessions",
        needs: Needs::Token,
        query: FILTER,
        handler: Handler::Now(end_sessions),
    },
    Endpoint {
        method: Method::DELETE,
        path: "/api/v1/sessions/{id}",
        needs: Needs::Token,
        query: &[],
        handler: Handler::Now(end_session),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/v1/backends",
        needs: Needs::Token,
        query: &[],
        handler: Handler::Now(backends),
    },
    Endpoint {
        method: Method::PUT,
        path: "/api/v1/backends/{backend}/hosts/{host}",
        needs: Needs::Token,
        query: &[],
        handler: Handler::Later(|call| Box::pin(director::change_host(call))),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/v1/move",
        needs: Needs::Token,
        query: &["wait"],
        handler: Handler::Later(|call| Box::pin(director::move_users(call))),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/v1/moves",
        needs: Needs::Token,
        query: &["job"],
        handler: Handler::Now(director::moves),
    },
    Endpoint {
        method: Method::DELETE,
        path: "/api/v1/moves/{user}",
        needs: Needs::Token,
        query: &["wait"],
        handler: Handler::Later(|call| Box::pin(director::undo_move(call))),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/v1/hold",
        needs: Needs::Token,
        query: &[],
        handler: Handler::Later(|call| Box::pin(director::hold(call))),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/v1/release",
        needs: Needs::Token,
        query: &[],
        handler: Handler::Later(|call| Box::pin(director::release(call))),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/v1/route",
        needs: Needs::Token,
        query: &["user", "protocol"],
        handler: Handler::Later(|call| Box::pin(route(call))),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/v1/upgrade",
        needs: Needs::Token,
        query: &[],
        handler: Handler::Later(|call| Box::pin(upgrade(call))),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/v1/reload",
        needs: Needs::Token,
        query: &[],
        handler: Handler::Later(|call| Box::pin(reload(call))),
    },
];

/// Largest body.
const BODY: usize = 1024 * 1024;

/// Largest list of moves: fifty thousand of long names.
const MOVES: usize = 16 * BODY;

/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);

pub(super) async fn answer(
    request: Request<Incoming>,
    client: SocketAddr,
    access: &Access,
    gateway: Arc<dyn Gateway>,
) -> Reply {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let rows: Vec<_> = TABLE
        .iter()
        .filter_map(|row| Some((row, params_of(row.path, path)?)))
        .collect();
    let open = rows
        .iter()
        .any(|(row, _)| matches!(row.needs, Needs::Nothing));
    let allowed = match open {
        true => access.check_open(&head.uri, &head.headers),
        false => access.check(&head.uri, &head.headers),
    };
    if let Err(refusal) = allowed {
        let status = refusal.status().as_u16();
        tracing::info!(event = "admin_refused", %client, status, path);
        return refusal;
    }
    if rows.is_empty() {
        return Reply::error(StatusCode::NOT_FOUND, "there is nothing at this path");
    }
    // RFC 9110 §9.3.2: HEAD is GET without the body, which the server leaves out itself.
    let method = match head.method {
        Method::HEAD => Method::GET,
        ref method => method.clone(),
    };
    let allow: Vec<_> = rows.iter().map(|(row, _)| row.method.as_str()).collect();
    let allow = allow.join(", ");
    let Some((row, params)) = rows.into_iter().find(|(row, _)| row.method == method) else {
        let text = format!("this path takes {allow}");
        return Reply::error(StatusCode::METHOD_NOT_ALLOWED, &text).with("allow", allow);
    };
    let query = match Query::parse(head.uri.query().unwrap_or_default(), row.query) {
        Ok(query) => query,
        Err(text) => return bad_request(&text),
    };
    let body = match read_body(body, row.path).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    if method != Method::GET {
        let method = method.as_str();
        tracing::info!(event = "admin", %client, method, path, query = head.uri.query());
    }
    let call = Call {
        gateway,
        params,
        query,
        body,
    };
    match row.handler {
        Handler::Now(handler) => handler(&call),
        Handler::Later(handler) => handler(call).await,
    }
}

/// What stands for a pattern's braces, if a path fits it.
fn params_of(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut params = Vec::new();
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(params),
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {
                params.push(decode(given)?);
            }
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return None,
        }
    }
}

async fn read_body(body: Incoming, path: &str) -> Result<Bytes, Reply> {
    let most = match path {
        "/api/v1/move" => MOVES,
        _ => BODY,
    };
    let whole = Limited::new(body, most).collect();
    match tokio::time::timeout(BODY_TIME, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => Err(Reply::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("the body may have {} MiB", most / BODY),
        )),
        Ok(Err(_)) => Err(bad_request("the body could not be read")),
        Err(_) => Err(Reply::error(
            StatusCode::REQUEST_TIMEOUT,
            "the body took too long",
        )),
    }
}

fn plain(status: StatusCode, text: &str) -> Reply {
    Reply::text(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

pub(super) fn bad_request(text: &str) -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, text)
}

fn readyz(call: &Call) -> Reply {
    match call.gateway.readiness() {
        Readiness::Ready => {
            let trouble = call.gateway.serving().and_then(|it| it.state.trouble());
            match trouble {
                None => plain(StatusCode::OK, "ready"),
                // Mail goes on with what is known: no reason to take this gateway out.
                Some(why) => plain(
                    StatusCode::OK,
                    &format!("ready; the shared state is away: {why}"),
                ),
            }
        }
        Readiness::Starting => plain(StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Readiness::Draining => plain(StatusCode::SERVICE_UNAVAILABLE, "draining"),
    }
}

fn metrics(call: &Call) -> Reply {
    let text = call.gateway.metrics();
    Reply::text(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        text,
    )
}

fn sessions(call: &Call) -> Reply {
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
    use std::sync::atomic::Ordering::Relaxed;
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
        "bytes_in": live.bytes_in.load(Relaxed),
        "bytes_out": live.bytes_out.load(Relaxed),
    })
}

fn end_sessions(call: &Call) -> Reply {
    if call.query.is_empty() {
        let names = FILTER.join(", ");
        return bad_request(&format!("name the sessions to end by one of: {names}"));
    }
    match filter_of(&call.query) {
        Ok(filter) => end(call, &filter),
        Err(text) => bad_request(&text),
    }
}

fn end_session(call: &Call) -> Reply {
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

fn backends(call: &Call) -> Reply {
    Reply::json(&serde_json::json!({ "backends": call.gateway.backends() }))
}

async fn reload(call: Call) -> Reply {
    match call.gateway.reload().await {
        Ok(changed) => Reply::json(&changed),
        Err(problems) => Reply::json_with(StatusCode::UNPROCESSABLE_ENTITY, &problems),
    }
}

async fn route(call: Call) -> Reply {
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
    match call.gateway.explain(user, protocol).await {
        Ok(explained) => Reply::json(&explained),
        Err(nobody) => Reply::json_with(StatusCode::NOT_FOUND, &nobody),
    }
}

async fn upgrade(call: Call) -> Reply {
    let sessions = call.gateway.sessions().count();
    match call.gateway.upgrade().await {
        Ok(pid) => Reply::json(&serde_json::json!({ "pid": pid, "draining": sessions })),
        Err(why) => Reply::error(StatusCode::INTERNAL_SERVER_ERROR, &why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fit_patterns() {
        let fits = |pattern, path| params_of(pattern, path);
        let some = |params: &[&str]| Some(params.iter().map(ToString::to_string).collect());
        for (pattern, path, want) in [
            ("/healthz", "/healthz", some(&[])),
            ("/healthz", "/healthz/", None),
            ("/healthz", "/", None),
            ("/a/{id}", "/a/x%2Fy", some(&["x/y"])),
            ("/a/{id}", "/a/", None),
            ("/a/{id}", "/a/b/c", None),
            ("/a/{id}", "/a/%ff", None),
            (
                "/b/{b}/hosts/{h}",
                "/b/x/hosts/[::1]:143",
                some(&["x", "[::1]:143"]),
            ),
        ] {
            assert_eq!(fits(pattern, path), want, "{pattern} {path}");
        }
    }
}
