//! The running gateway, asked over its admin port: where that is and the token come from the same
//! proxy.yaml that the gateway runs with.
//!
//! Every failure is told with its cause and a next step; [`Trouble::exit`] is the exit code for it.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{FAILED, WRONG, reachable, tell, tell_problems};
use crate::config::{Config, Problem};
use crate::protocol::Secret;

/// Longest wait for a connection: it is on this machine, or near.
const CONNECT: Duration = Duration::from_secs(5);

/// Longest wait for an answer. A move waits for sessions to end, a reload reads a map of millions.
const ANSWER: Duration = Duration::from_secs(180);

/// Largest answer: a million sessions.
const LARGEST: usize = 512 * 1024 * 1024;

/// A gateway that runs, or should.
#[derive(Debug)]
pub(super) struct Remote {
    address: SocketAddr,
    token: Option<Secret>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// proxy.yaml cannot be read as far as needed.
    File(Vec<Problem>),
    /// It has no `admin:`.
    NoAdmin,
    /// Nothing answers.
    Unreachable(SocketAddr, String),
    /// The token of the file is not the gateway's.
    Token(SocketAddr),
    /// The gateway said no: its status and its words.
    Refused(StatusCode, Value),
    /// This command line asks for what cannot be.
    Asked(String),
    /// It was done, and came to nothing.
    Nothing(String),
}

impl Remote {
    /// The gateway that runs with this file.
    pub(super) fn of(path: &Path) -> Result<Self, Trouble> {
        let admin = Config::load_admin(path).map_err(|problems| Trouble::File(problems.0))?;
        let admin = admin.ok_or(Trouble::NoAdmin)?;
        Ok(Remote {
            address: reachable(admin.bind),
            token: admin.token,
        })
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.ask(Method::GET, path, None)
    }

    pub(super) fn delete(&self, path: &str) -> Result<Value, Trouble> {
        self.ask(Method::DELETE, path, None)
    }

    /// Sends JSON and gives the JSON of the answer; null where it has none.
    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Trouble> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| self.unreachable(&error))?;
        let (status, octets) = runtime.block_on(async {
            match timeout(ANSWER, self.exchange(method, path, body)).await {
                Ok(answer) => answer,
                Err(_) => Err(self.unreachable(&"no answer within 3 minutes")),
            }
        })?;
        let value = serde_json::from_slice(&octets).unwrap_or_default();
        match status {
            status if status.is_success() => Ok(value),
            StatusCode::UNAUTHORIZED => Err(Trouble::Token(self.address)),
            status => Err(Trouble::Refused(status, value)),
        }
    }

    /// As [`exchange_once`](Self::exchange_once), on another connection where one was closed before the
    /// request was sent: the gateway behind it has just been followed by another process.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), Trouble> {
        for _ in 1..TRIES {
            match self.exchange_once(&method, path, body).await {
                Err(Unsent::Closed) => {}
                Err(Unsent::Trouble(trouble)) => return Err(trouble),
                Ok(answer) => return Ok(answer),
            }
        }
        let last = self.exchange_once(&method, path, body).await;
        last.map_err(|unsent| match unsent {
            Unsent::Trouble(trouble) => trouble,
            Unsent::Closed => self.unreachable(&"it closes the connection"),
        })
    }

    async fn exchange_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), Unsent> {
        let stream = match timeout(CONNECT, TcpStream::connect(self.address)).await {
            Ok(stream) => stream.map_err(|error| self.unreachable(&error))?,
            Err(_) => return Err(self.unreachable(&"no connection within 5 seconds").into()),
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(&error))?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(HOST, self.address.to_string());
        if let Some(token) = &self.token {
            let mut value =
                hyper::header::HeaderValue::from_bytes(&[b"Bearer ", token.reveal()].concat())
                    .map_err(|_| {
                        Trouble::Asked("the admin token has octets no header may have".into())
                    })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = request
            .body(Full::new(body))
            .map_err(|error| Trouble::Asked(error.to_string()))?;
        let response = match sender.send_request(request).await {
            Err(error) if error.is_canceled() => return Err(Unsent::Closed),
            response => response.map_err(|error| self.unreachable(&error))?,
        };
        let status = response.status();
        let whole = Limited::new(response.into_body(), LARGEST).collect().await;
        let whole = whole.map_err(|error| self.unreachable(&error))?;
        Ok((status, whole.to_bytes()))
    }

    fn unreachable(&self, cause: &dyn fmt::Display) -> Trouble {
        Trouble::Unreachable(self.address, cause.to_string())
    }
}

/// How often a request is tried that was not sent.
const TRIES: usize = 3;

/// Why there is no answer.
enum Unsent {
    /// The connection was closed before the request was sent.
    Closed,
    Trouble(Trouble),
}

impl From<Trouble> for Unsent {
    fn from(trouble: Trouble) -> Self {
        Unsent::Trouble(trouble)
    }
}

/// A part of a path or a value of a query (RFC 3986 §2.1).
pub(super) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' | b':' => {
                out.push(octet.into());
            }
            octet => {
                let _ = write!(out, "%{octet:02X}");
            }
        }
    }
    out
}

impl Trouble {
    /// The exit code: 2 where the command or the file is wrong, else 1.
    fn exit(&self) -> u8 {
        match self {
            Trouble::File(_) | Trouble::NoAdmin | Trouble::Asked(_) => WRONG,
            Trouble::Refused(status, _) if *status == StatusCode::BAD_REQUEST => WRONG,
            _ => FAILED,
        }
    }

    fn text(&self, path: &Path) -> String {
        let file = path.display();
        match self {
            Trouble::File(_) => String::new(),
            Trouble::NoAdmin => format!(
                "error: {file} has no `admin`, through which a running gateway is asked\n\n\
                 next: add `admin: {{ bind: 127.0.0.1:9090 }}` to it and start the gateway anew"
            ),
            Trouble::Unreachable(address, cause) => format!(
                "error: no answer from the gateway at {address}: {cause}\n\n\
                 next: is it running, and with {file}? `gatepost run` starts it; settings elsewhere \
                 are named with --config"
            ),
            Trouble::Token(address) => format!(
                "error: the gateway at {address} does not take the admin token of {file}\n\n\
                 next: name the file it runs with by --config, or reload it if the token is new"
            ),
            Trouble::Refused(status, body) => {
                let said = body.get("error").and_then(Value::as_str);
                match (*status, said) {
                    (StatusCode::NOT_FOUND, None | Some("there is nothing at this path")) => {
                        "error: the running gateway does not know this command\n\n\
                         next: it is older than this program; restart it, or use its own program"
                            .into()
                    }
                    (_, Some(said)) => format!("error: {said}"),
                    (status, None) => format!("error: the gateway answered {status}"),
                }
            }
            Trouble::Asked(text) | Trouble::Nothing(text) => format!("error: {text}"),
        }
    }
}

/// The end of a command: its exit code, and on standard error what was wrong.
pub(super) fn finish(path: &Path, outcome: Result<(), Trouble>) -> ExitCode {
    let Err(trouble) = outcome else {
        return ExitCode::SUCCESS;
    };
    match &trouble {
        Trouble::File(problems) => tell_problems(path, problems),
        trouble => tell(&trouble.text(path)),
    }
    ExitCode::from(trouble.exit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_on_all_addresses_is_reached_on_loopback() {
        for (bind, want) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(reachable(bind.parse().unwrap()).to_string(), want);
        }
    }

    #[test]
    fn names_fit_into_paths() {
        for (name, want) in [
            ("alice+x@example.com", "alice%2Bx@example.com"),
            ("a/b c?d", "a%2Fb%20c%3Fd"),
            ("[::1]:143", "%5B::1%5D:143"),
            ("jürgen", "j%C3%BCrgen"),
        ] {
            assert_eq!(encode(name), want);
        }
    }
}
