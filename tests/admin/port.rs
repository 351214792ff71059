//! An admin port, and the gateway behind it that is none.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use gatepost::admin::{self, Backend, Gateway, Host, HostState, Readiness};
use gatepost::protocol::{Protocol, Secret, UserName};
use gatepost::session::{
    self,
    registry::{Entry, LoggedIn, Registry},
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(super) struct Fake {
    /// The threads on which it was asked for something that may take long.
    pub(super) asked_on: Mutex<Vec<ThreadId>>,
    pub(super) readiness: AtomicU8,
    pub(super) sessions: Arc<Registry>,
}

impl Fake {
    fn note(&self) {
        let here = std::thread::current().id();
        self.asked_on.lock().unwrap().push(here);
    }
}

impl Gateway for Fake {
    fn readiness(&self) -> Readiness {
        match self.readiness.load(Ordering::Relaxed) {
            0 => Readiness::Starting,
            1 => Readiness::Ready,
            _ => Readiness::Draining,
        }
    }

    fn metrics(&self) -> String {
        self.note();
        "gatepost_build_info 1\n".into()
    }

    fn sessions(&self) -> Arc<Registry> {
        self.note();
        self.sessions.clone()
    }

    fn serving(&self) -> Option<Arc<session::Gateway>> {
        self.note();
        None
    }

    fn backends(&self) -> Vec<Backend> {
        self.note();
        let host = |name: &str, state, weight, sessions| Host {
            name: name.into(),
            state,
            weight,
            sessions,
        };
        vec![Backend {
            name: "old".into(),
            hosts: vec![
                host("10.0.0.5", HostState::Up, 1, 3),
                host("10.0.0.6", HostState::Drain, 2, 0),
            ],
        }]
    }

    fn reload(&self) -> Pin<Box<dyn Future<Output = Result<Value, Value>> + Send + '_>> {
        Box::pin(async move {
            match self.readiness() {
                Readiness::Ready => Ok(json!({"changed": []})),
                _ => Err(json!([{"code": "E070"}])),
            }
        })
    }

    /// One that takes its time.
    fn upgrade(&self) -> Pin<Box<dyn Future<Output = Result<u32, String>> + Send + '_>> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok(4242)
        })
    }

    fn explain(
        &self,
        user: UserName,
        protocol: Protocol,
    ) -> Pin<Box<dyn Future<Output = Result<Value, Value>> + Send + '_>> {
        Box::pin(async move {
            self.note();
            let told = json!({"user": user.as_str(), "protocol": protocol.as_str()});
            match user.as_str() {
                "nobody" => Err(told),
                _ => Ok(told),
            }
        })
    }
}

pub(super) struct Port {
    pub(super) address: SocketAddr,
    pub(super) gateway: Arc<Fake>,
    pub(super) serving: tokio::task::JoinHandle<()>,
    pub(super) stop: watch::Sender<bool>,
}

impl Port {
    pub(super) async fn open(token: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = Arc::new(Fake {
            asked_on: Mutex::default(),
            readiness: AtomicU8::new(1),
            sessions: Arc::default(),
        });
        let token = token.map(|token| Secret::new(token.as_bytes()).unwrap());
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(admin::serve(
            listener,
            Arc::new(admin::Door::new(token)),
            gateway.clone(),
            stopped,
        ));
        Port {
            address,
            gateway,
            serving,
            stop,
        }
    }

    /// One request, and all that comes until the connection is closed.
    pub(super) async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // May fail where the answer comes before all was said.
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    pub(super) async fn status(&self, request: &str) -> u16 {
        status_of(&self.ask(request).await)
    }

    pub(super) async fn get(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        let answer = self.ask(&request).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        (status_of(&answer), body.to_owned())
    }

    pub(super) async fn get_json(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.get(path).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    pub(super) fn session(
        &self,
        id: &str,
        protocol: Protocol,
        client: &str,
        user: Option<&str>,
    ) -> Entry {
        let client = client.parse().unwrap();
        let registry = &self.gateway.sessions;
        let entry = registry.enter(id.into(), protocol, client, Some("TLSv1.3"));
        if let Some(user) = user {
            let login = LoggedIn {
                user: user.into(),
                canonical: user.to_ascii_lowercase(),
                backend: "old".into(),
                host: "h1".into(),
                state: "relay",
            };
            entry.login.set(login).unwrap();
        }
        entry
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub(super) fn status_of(answer: &str) -> u16 {
    let word = answer.split(' ').nth(1);
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}
