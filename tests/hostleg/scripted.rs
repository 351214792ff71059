//! Scripted hosts on loopback, and what logs in to them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::backend::config::{Config, Endpoint, HostConfig, Security, Target};
use gatepost::backend::{Backend, Connected, Refusal, Request, Surroundings};
use gatepost::protocol::{Credentials, Failure, Protocol, Secret, UserName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What a scripted host does on a connection: says these, and answers each line that begins (behind
/// its tag) with a word by what stands there. `%` is the tag, the last one where a line has none.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) greeting: &'static str,
    pub(crate) answers: &'static [(&'static str, &'static str)],
    /// The certificate of an implicit or upgraded connection.
    pub(crate) tls: Option<(Arc<rustls::ServerConfig>, Security)>,
}

/// A scripted host, and what it saw.
pub(crate) struct Host {
    pub(crate) at: SocketAddr,
    connections: Arc<AtomicUsize>,
    heard: Arc<Mutex<String>>,
}

impl Host {
    pub(crate) async fn start(script: Script) -> Host {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Host::on(listener, script)
    }

    pub(crate) fn on(listener: TcpListener, script: Script) -> Host {
        let host = Host {
            at: listener.local_addr().unwrap(),
            connections: Arc::default(),
            heard: Arc::default(),
        };
        let (connections, heard) = (Arc::clone(&host.connections), Arc::clone(&host.heard));
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (script, heard) = (script.clone(), Arc::clone(&heard));
                tokio::spawn(async move {
                    match &script.tls {
                        Some((config, Security::Implicit)) => {
                            let acceptor = TlsAcceptor::from(Arc::clone(config));
                            if let Ok(tls) = acceptor.accept(tcp).await {
                                talk(tls, &script, script.greeting, &heard).await;
                            }
                        }
                        Some((config, _)) => {
                            if talk(&mut tcp, &script, script.greeting, &heard).await {
                                let acceptor = TlsAcceptor::from(Arc::clone(config));
                                if let Ok(tls) = acceptor.accept(tcp).await {
                                    talk(tls, &script, "", &heard).await;
                                }
                            }
                        }
                        None => drop(talk(tcp, &script, script.greeting, &heard).await),
                    }
                });
            }
        });
        host
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }
}

/// Speaks until the other side closes; true: STARTTLS was accepted.
async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: &Script,
    greeting: &str,
    heard: &Mutex<String>,
) -> bool {
    if stream.write_all(greeting.as_bytes()).await.is_err() {
        return false;
    }
    let (mut line, mut last) = (String::new(), String::new());
    while let Ok(octet) = stream.read_u8().await {
        line.push(char::from(octet));
        if !line.ends_with('\n') {
            continue;
        }
        heard.lock().unwrap().push_str(&line);
        let (tag, command) = line.split_once(' ').unwrap_or((&last, &line));
        let found = (script.answers.iter()).find(|(start, _)| command.starts_with(start));
        if let Some((_, answer)) = found {
            if *answer == "close" {
                return false;
            }
            let answer = answer.replace('%', tag);
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            if command.starts_with("STARTTLS") && answer.contains(" OK") {
                return true;
            }
        }
        last = tag.to_owned();
        line.clear();
    }
    false
}

pub(crate) const GREETING: &str = "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID] ready\r\n";

/// A host that lets everybody in.
pub(crate) fn good() -> Script {
    Script {
        greeting: GREETING,
        answers: &[
            ("ID", "* ID NIL\r\n% OK thanks\r\n"),
            ("AUTHENTICATE", "% OK [CAPABILITY IMAP4rev1 IDLE] in\r\n"),
            ("LOGIN", "% OK [CAPABILITY IMAP4rev1 IDLE] in\r\n"),
            ("SELECT", "* 1 EXISTS\r\n% OK selected\r\n"),
            (
                "CAPABILITY",
                "* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\n% OK\r\n",
            ),
            ("STARTTLS", "% OK go ahead\r\n"),
        ],
        tls: None,
    }
}

/// A host that answers a login so.
pub(crate) fn login_answered(answers: &'static [(&'static str, &'static str)]) -> Script {
    Script {
        greeting: GREETING,
        answers,
        tls: None,
    }
}

pub(crate) fn greets(greeting: &'static str) -> Script {
    Script {
        greeting,
        ..Script::default()
    }
}

pub(crate) fn endpoint(protocol: Protocol, security: Security, at: SocketAddr) -> Endpoint {
    Endpoint {
        protocol,
        security,
        target: Target::Network {
            host: at.ip().to_string(),
            port: at.port(),
        },
    }
}

pub(crate) fn imap(name: &str, security: Security, at: SocketAddr) -> HostConfig {
    HostConfig {
        name: name.into(),
        imap: Some(endpoint(Protocol::Imap, security, at)),
        pop3: None,
        weight: 1,
    }
}

/// A backend of hosts `h0`, `h1`, … that tries each once and is not patient.
pub(crate) fn config(hosts: &[SocketAddr]) -> Config {
    let hosts = hosts.iter().enumerate();
    let hosts = hosts.map(|(n, at)| imap(&format!("h{n}"), Security::Clear, *at));
    Config {
        retry_for: Duration::ZERO,
        ..Config::new("test", hosts.collect())
    }
}

pub(crate) fn backend(config: Config) -> Backend {
    Backend::new(config, Surroundings::default()).unwrap()
}

/// Who logs in, in most tests.
pub(crate) struct Alice {
    pub(crate) user: UserName,
    pub(crate) credentials: Credentials,
}

impl Alice {
    pub(crate) fn new() -> Self {
        Alice::called("alice")
    }

    pub(crate) fn called(name: &str) -> Self {
        Alice {
            user: UserName::new(name.as_bytes()).unwrap(),
            credentials: Credentials::Password(Secret::new(b"hunter2").unwrap()),
        }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            protocol: Protocol::Imap,
            user: &self.user,
            credentials: &self.credentials,
            host: None,
            origin: None,
            behind: b"",
            pass: None,
            seat: None,
        }
    }
}

pub(crate) async fn login(backend: &Backend) -> Result<Connected, Refusal> {
    backend.connect(Alice::new().request()).await
}

/// How a login of alice's on this one host fails.
pub(crate) async fn failure_of(config: Config) -> Failure {
    match login(&backend(config)).await {
        Ok(_) => panic!("logged in"),
        Err(refusal) => {
            assert_eq!(refusal.host.as_deref(), Some("h0"));
            refusal.failure
        }
    }
}

/// The names of the hosts in the order in which alice asks them.
pub(crate) fn order(backend: &Backend) -> Vec<String> {
    let alice = Alice::new().user;
    let pass = gatepost::state::Pass::plain(backend.name(), &alice);
    let hosts = backend.preference(&pass, &alice, None).unwrap();
    hosts.iter().map(|host| host.name().to_string()).collect()
}

/// Two addresses as the hosts `h0`, `h1`, so that alice's first choice is `first`.
pub(crate) async fn first_then(first: SocketAddr, second: SocketAddr) -> Config {
    let straight = config(&[first, second]);
    match order(&backend(straight.clone()))[0].as_str() {
        "h0" => straight,
        _ => config(&[second, first]),
    }
}
