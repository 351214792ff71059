//! What can be asked: a table of methods and paths, and the function that answers each.
//!
//! The table is the API. A request is judged in this order: access, path, method, query, body; so
//! a stranger learns nothing of what is there.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio::task::spawn_blocking;

use super::access::Access;
use super::gateway::Gateway;
use super::http::decode;
pub use super::http::{Query, Reply};
use super::verbs::{
    backends, end_session, end_sessions, metrics, readyz, reload, route, sessions, upgrade,
};
use super::{dashboard, director};

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
    /// What is at hand: a page, a word.
    Now(fn(&Call) -> Reply),
    /// What takes the longer the more sessions, hosts or orders there are.
    Aside(fn(&Call) -> Reply),
    /// What waits for others.
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

pub(super) const FILTER: &[&str] = &["user", "backend", "host", "protocol", "ip"];

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
        handler: Handler::Aside(metrics),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/v1/sessions",
        needs: Needs::Token,
        query: FILTER,
        handler: Handler::Aside(sessions),
    },
    Endpoint {
        method: Method::DELETE,
        path: "/api/v1/sessions",
        needs: Needs::Token,
        query: FILTER,
        handler: Handler::Aside(end_sessions),
    },
    Endpoint {
        method: Method::DELETE,
        path: "/api/v1/sessions/{id}",
        needs: Needs::Token,
        query: &[],
        handler: Handler::Aside(end_session),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/v1/backends",
        needs: Needs::Token,
        query: &[],
        handler: Handler::Aside(backends),
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
        handler: Handler::Aside(director::moves),
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

/// Answers a request. A connection on which nobody has shown who they are ends with the answer: there are
/// few, and a probe needs no second request on its own.
pub(super) async fn answer(
    request: Request<Incoming>,
    client: SocketAddr,
    access: &Access,
    gateway: Arc<dyn Gateway>,
) -> Reply {
    let known = access.check(request.uri(), request.headers()).is_ok();
    let reply = judged(request, client, access, gateway).await;
    match known {
        true => reply,
        false => reply.with("connection", "close"),
    }
}

async fn judged(
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
        Handler::Aside(handler) => aside(move || handler(&call)).await,
        Handler::Later(handler) => handler(call).await,
    }
}

/// Does what may take long on a thread that serves no mail. Once begun it goes on, also where the asker
/// goes away.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this with it.
            Err(_) => std::future::pending().await,
        },
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

pub(super) fn plain(status: StatusCode, text: &str) -> Reply {
    Reply::text(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

pub(super) fn bad_request(text: &str) -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, text)
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
