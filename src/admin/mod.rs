//! The admin port: health, metrics, and the verbs of an operator, as JSON over HTTP/1.1 (RFC 9112).
//!
//! This file serves connections, within bounds that keep slow and huge requests away from mail.
//! Who may ask is in `access`, what can be asked in [`api`]; the gateway itself is reached through
//! the trait [`Gateway`] only.

mod access;
pub mod api;
pub mod config;
mod dashboard;
mod director;
mod gateway;
mod http;
mod verbs;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

pub use access::Door;
pub use config::Config;
pub use gateway::{Backend, Gateway, Host, HostState, Readiness};

/// Connections at a time. An operator, a few monitors and their retries need a handful; what
/// comes beyond waits in the kernel.
const CONNECTIONS: usize = 64;

/// How long a request's head may take, also the first and the next on a kept connection.
const HEAD: Duration = Duration::from_secs(10);

/// How long a connection lives: who does not read its answer gives its place back.
const CONNECTION: Duration = Duration::from_secs(300);

/// How long an answer that is being written at the end of [`CONNECTION`] may still take.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// Header fields in a request; browsers send about 15.
const HEADERS: usize = 64;

/// Octets of a request's head, and of what is read ahead.
const BUFFER: usize = 16 * 1024;

/// How long to wait after an accept that failed, as when descriptors have run out.
const BACK_OFF: Duration = Duration::from_millis(200);

/// Serves the admin port until `stop` changes; then lets go of the socket and returns when the answers
/// that are due are given. Drop the future to end at once.
pub async fn serve(
    listener: impl Into<Arc<TcpListener>>,
    door: Arc<Door>,
    gateway: Arc<dyn Gateway>,
    mut stop: watch::Receiver<bool>,
) {
    let listener = listener.into();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    let stopped = stop.clone();
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = stop.changed() => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, client)) => {
                let (door, gateway, stop) = (door.clone(), gateway.clone(), stopped.clone());
                connections.spawn(async move {
                    connection(stream, client, door, gateway, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(event = "accept_failed", listener = "admin", %error);
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    drop(listener);
    connections.join_all().await;
}

async fn connection(
    stream: TcpStream,
    client: SocketAddr,
    door: Arc<Door>,
    gateway: Arc<dyn Gateway>,
    mut stop: watch::Receiver<bool>,
) {
    // An answer is one write; a client that waits for it should not wait for ours to be joined.
    let _ = stream.set_nodelay(true);
    // hyper closes a connection that is to end and has heard nothing yet; who has just been let in is
    // to be answered, too.
    let heard = tokio::time::timeout(HEAD, stream.peek(&mut [0; 1])).await;
    if !matches!(heard, Ok(Ok(1..))) {
        return;
    }
    let answering = service_fn(move |request: hyper::Request<Incoming>| {
        let (access, gateway) = (door.access(), gateway.clone());
        async move {
            let reply = api::answer(request, client, &access, gateway).await;
            Ok::<_, Infallible>(reply.into_response())
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // A script that says all it has to say and closes its side still gets its answer.
        .half_close(true)
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), answering);
    let mut connection = std::pin::pin!(connection);
    let over = async {
        tokio::select! {
            () = tokio::time::sleep(CONNECTION) => {}
            _ = stop.changed() => {}
        }
    };
    let outcome = tokio::select! {
        biased;
        outcome = connection.as_mut() => outcome,
        () = over => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_ANSWER, connection).await {
                Ok(outcome) => outcome,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(event = "admin_connection", %client, %error);
    }
}
