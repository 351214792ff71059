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

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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

use crate::session::limits;

/// Connections at a time. An operator, a few monitors and their retries need a handful; what
/// comes beyond waits in the kernel.
const CONNECTIONS: usize = 64;

/// Connections at a time from one address (IPv6: from one /64), where a token is asked for and so the port
/// may be reached from afar: nobody alone keeps the probes out. What comes beyond is closed.
const FROM_ONE: usize = 16;

/// How long a request's head may take, also the first and the next on a kept connection.
const HEAD: Duration = Duration::from_secs(10);

/// How long a connection lives: who does not read its answer gives its place back.
const CONNECTION: Duration = Duration::from_secs(300);

/// Why a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It has lived for [`CONNECTION`].
    Old,
    /// The port is closed.
    Stop,
}

/// How long an answer that is being written at the end of a connection may still take; one that is not
/// there yet when the connection is merely old is waited for.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// Header fields in a request; browsers send about 15.
const HEADERS: usize = 64;

/// Octets of a request's head, and of what is read ahead.
const BUFFER: usize = 16 * 1024;

/// How long to wait after an accept that failed, as when descriptors have run out.
const BACK_OFF: Duration = Duration::from_millis(200);

/// Serves the admin port until `stop` changes; then lets go of the socket and returns when the answers
/// that are due are given, at most ten seconds later. Drop the future to end at once.
pub async fn serve(
    listener: impl Into<Arc<TcpListener>>,
    door: Arc<Door>,
    gateway: Arc<dyn Gateway>,
    mut stop: watch::Receiver<bool>,
) {
    let listener = listener.into();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let clients = Clients::default();
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
                let share = match door.access().is_by_token() {
                    true => clients.enter(client.ip()).map(Some),
                    false => Some(None),
                };
                let Some(share) = share else {
                    tracing::debug!(event = "admin_connection", %client, error = "too many from there");
                    continue;
                };
                let (door, gateway, stop) = (door.clone(), gateway.clone(), stopped.clone());
                connections.spawn(async move {
                    connection(stream, client, door, gateway, stop).await;
                    drop((share, place));
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

/// How many connections each address has.
#[derive(Clone, Default)]
struct Clients(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Clients {
    /// One more, if it may have one, until that is dropped.
    fn enter(&self, ip: IpAddr) -> Option<Share> {
        let ip = limits::bucket(ip);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(ip).or_default();
        if *count >= FROM_ONE {
            return None;
        }
        *count += 1;
        Some(Share(self.clone(), ip))
    }
}

/// A connection of an address.
struct Share(Clients, IpAddr);

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = all.entry(self.1) {
            match *count.get() {
                0 | 1 => drop(count.remove()),
                n => *count.get_mut() = n - 1,
            }
        }
    }
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
    let due = Arc::new(AtomicBool::new(false));
    let is_due = due.clone();
    let answering = service_fn(move |request: hyper::Request<Incoming>| {
        let (access, gateway, due) = (door.access(), gateway.clone(), due.clone());
        async move {
            due.store(true, Ordering::Relaxed);
            let reply = api::answer(request, client, &access, gateway).await;
            due.store(false, Ordering::Relaxed);
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
            () = tokio::time::sleep(CONNECTION) => End::Old,
            _ = stop.changed() => End::Stop,
        }
    };
    let outcome = tokio::select! {
        biased;
        outcome = connection.as_mut() => outcome,
        end = over => {
            connection.as_mut().graceful_shutdown();
            loop {
                let ended = tokio::time::timeout(LAST_ANSWER, connection.as_mut()).await;
                match ended {
                    Ok(outcome) => break outcome,
                    // What was asked for is still being done; every answer comes in its time.
                    Err(_) if end == End::Old && is_due.load(Ordering::Relaxed) => {}
                    Err(_) => return,
                }
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(event = "admin_connection", %client, %error);
    }
}
