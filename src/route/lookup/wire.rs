//! HTTP to a lookup service: connections that are kept, each URL in its turn, everything bounded.
//!
//! HTTP/1.1 with keep-alive, over TLS that is verified where the URL says `https`. An answer is a head
//! of at most 32 KiB and a body nobody reads, of at most 64 KiB; what takes longer than `timeout` is
//! given up, connection and all.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::backend::Surroundings;
use crate::backend::config::TlsConfig;
use crate::backend::dial::dial;
use crate::backend::tls::HostTls;
use crate::net::Stream;

/// Longest head of an answer in octets: nginx reads one page; a cookie or two may stand in it.
const MAX_HEAD: usize = 32 * 1024;

/// Most header lines of an answer.
const MAX_LINES: usize = 100;

/// Longest body of an answer in octets. Nothing in it counts, but a page of words is no mistake.
const MAX_BODY: usize = 64 * 1024;

/// Most questions at once; more wait for their turn within their time.
const MAX_AT_ONCE: usize = 64;

/// How long an unused connection is kept: less than servers commonly do.
const IDLE: Duration = Duration::from_secs(20);

/// How long a URL that failed is asked last.
const PAUSE: Duration = Duration::from_secs(5);

/// A service: its URLs, and the connections to them.
pub(super) struct Wire {
    targets: Vec<Target>,
    timeout: Duration,
    turns: Semaphore,
}

struct Target {
    uri: Uri,
    /// Name or address without brackets, and port.
    host: String,
    port: u16,
    /// The `Host` header.
    authority: HeaderValue,
    /// None: clear text. An error is told whenever it is asked.
    tls: Option<Result<HostTls, String>>,
    idle: Mutex<Vec<(SendRequest<Empty<Bytes>>, Instant)>>,
    failed: Mutex<Option<Instant>>,
}

impl Wire {
    /// Makes one; every URL has a host (the settings say so).
    pub(super) fn new(urls: &[Uri], timeout: Duration) -> Self {
        Wire {
            targets: urls.iter().map(Target::new).collect(),
            timeout,
            turns: Semaphore::new(MAX_AT_ONCE),
        }
    }

    /// Asks each URL in turn until one answers; the error is for the log and has all that went wrong.
    pub(super) async fn ask(&self, headers: &HeaderMap) -> Result<(StatusCode, HeaderMap), String> {
        let now = Instant::now();
        let mut order: Vec<&Target> = self.targets.iter().collect();
        // Stable: those that are not in trouble keep their order.
        order.sort_by_key(|target| target.is_in_trouble(now));
        let mut causes = Vec::new();
        for target in order {
            let asked = async {
                let _turn = self.turns.acquire().await;
                target.ask(headers).await
            };
            let cause = match timeout(self.timeout, asked).await {
                Ok(Ok(answer)) => {
                    *lock(&target.failed) = None;
                    return Ok(answer);
                }
                Ok(Err(cause)) => cause,
                Err(_) => format!("no answer within {:?}", self.timeout),
            };
            *lock(&target.failed) = Some(Instant::now());
            causes.push(format!("{}: {cause}", super::shown(&target.uri)));
        }
        Err(causes.join("; "))
    }
}

impl Target {
    fn new(uri: &Uri) -> Self {
        let host = uri.host().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16();
        let authority = match port {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Target {
            host: bare.unwrap_or(host).to_owned(),
            port: port.unwrap_or(if secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(&authority)
                .unwrap_or_else(|_| HeaderValue::from_static("")),
            tls: secure.then(|| HostTls::new(&TlsConfig::default()).map_err(String::from)),
            uri: uri.clone(),
            idle: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    fn is_in_trouble(&self, now: Instant) -> bool {
        lock(&self.failed).is_some_and(|at| now.saturating_duration_since(at) < PAUSE)
    }

    async fn ask(&self, headers: &HeaderMap) -> Result<(StatusCode, HeaderMap), String> {
        // A connection that was kept may have been closed meanwhile: then there is no answer at all,
        // and the question goes out anew.
        while let Some(mut kept) = self.kept() {
            if kept.ready().await.is_err() {
                continue;
            }
            match kept.send_request(self.request(headers)).await {
                Ok(answer) => return self.read(answer, kept).await,
                Err(error) if unheard(&error) => {}
                Err(error) => return Err(plainly(&error)),
            }
        }
        let mut made = self.connect().await?;
        let answer = made.send_request(self.request(headers)).await;
        self.read(answer.map_err(|error| plainly(&error))?, made)
            .await
    }

    fn kept(&self) -> Option<SendRequest<Empty<Bytes>>> {
        let now = Instant::now();
        let mut idle = lock(&self.idle);
        idle.retain(|(connection, since)| {
            !connection.is_closed() && now.saturating_duration_since(*since) < IDLE
        });
        idle.pop().map(|(connection, _)| connection)
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, String> {
        // The whole question has its time; this one never ends first.
        let limit = Duration::from_secs(3600);
        let around = Surroundings::default();
        let failed = |failure: crate::protocol::Failure| failure.to_string();
        let tcp = dial(&self.host, self.port, limit, &around).await;
        let tcp = tcp.map_err(failed)?;
        let stream = match &self.tls {
            None => Stream::Tcp(tcp),
            Some(Ok(tls)) => {
                let shaken = tls.connect(&self.host, tcp).await;
                Stream::HostTls(Box::new(shaken.map_err(failed)?))
            }
            Some(Err(cause)) => return Err(cause.clone()),
        };
        let (sender, connection) = Builder::new()
            .title_case_headers(true)
            .max_headers(MAX_LINES)
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| plainly(&error))?;
        // Ends with the sender. What goes wrong is told where the answer is waited for.
        tokio::spawn(async move { connection.await.unwrap_or_default() });
        Ok(sender)
    }

    fn request(&self, headers: &HeaderMap) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        let path = self.uri.path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        request.headers_mut().append(HOST, self.authority.clone());
        request.headers_mut().extend(headers.clone());
        request
    }

    /// Head and body; the connection is kept where both came whole.
    async fn read(
        &self,
        answer: Response<hyper::body::Incoming>,
        connection: SendRequest<Empty<Bytes>>,
    ) -> Result<(StatusCode, HeaderMap), String> {
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        body.map_err(|error| match error.downcast_ref::<hyper::Error>() {
            Some(error) => plainly(error),
            None => "the answer has a body of more than 64 KiB".to_owned(),
        })?;
        let mut idle = lock(&self.idle);
        if idle.len() < MAX_AT_ONCE {
            idle.push((connection, Instant::now()));
        }
        Ok((head.status, head.headers))
    }
}

/// Whether the other side closed before it said anything.
fn unheard(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message()
}

/// What went wrong, in words an operator can act on.
fn plainly(error: &hyper::Error) -> String {
    if error.is_parse_too_large() {
        return "the answer's head is larger than 32 KiB or has more than 100 lines".into();
    }
    if error.is_parse() {
        // Header lines that hold control characters come here, too.
        return format!("the answer is not HTTP: {error}");
    }
    if error.is_incomplete_message() {
        return "the connection was closed before the answer was whole".into();
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
