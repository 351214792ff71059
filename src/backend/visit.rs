//! One connection to an endpoint, from nothing to the end of its conversation.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, duplex};
use tokio::time::{Instant, timeout, timeout_at};

use super::attempt::{starttls, unpredictable};
use super::config::{Config, Endpoint, ForwardClient, Security, Target};
use super::host::Host;
use super::login::{Patience, Played, play};
use super::{Backend, Dialogue, Nobody, dial};
use crate::demo;
use crate::net::Stream;
use crate::protocol::proxy_header::{self, Version};
use crate::protocol::{Client, Failure, HostLogin, Origin, Protocol, imap, pop3};

/// Buffer between the gateway and the built-in store, each way.
const DEMO_BUFFER: usize = 64 * 1024;

impl Backend {
    /// One connection to an endpoint: what was learned of it is used and renewed.
    pub(super) async fn visit(
        &self,
        host: &Host,
        endpoint: &Endpoint,
        errand: Errand<'_>,
        waits: Waits,
        dialogue: &mut dyn Dialogue,
    ) -> Result<Played, (Failure, Sent)> {
        let (starttls, seed) = (starttls(endpoint), unpredictable());
        match endpoint.protocol {
            Protocol::Imap => {
                let known = host.known.profile();
                let (mut client, origin) = match errand {
                    Errand::LogIn(login, it) => (imap::client::Client::new(*login, known), it),
                    Errand::Look => (imap::client::Client::look(starttls, seed, known), None),
                };
                let played = self
                    .log_in(endpoint, &mut client, origin, waits, dialogue)
                    .await;
                host.known.learn(client.learned());
                played
            }
            Protocol::Pop3 => {
                let known = host.known.pop3_profile();
                let (mut client, origin) = match errand {
                    Errand::LogIn(login, it) => (pop3::client::Client::new(*login, known), it),
                    Errand::Look => (pop3::client::Client::look(starttls, seed, known), None),
                };
                let played = self
                    .log_in(endpoint, &mut client, origin, waits, dialogue)
                    .await;
                host.known.learn_pop3(client.learned());
                played
            }
        }
    }

    /// One look at an endpoint, for no client and within a time: a login where there is an account for it.
    pub(super) async fn look_at(
        &self,
        host: &Host,
        endpoint: &Endpoint,
        login: Option<HostLogin>,
        most: Duration,
    ) -> Result<Played, Failure> {
        let (errand, state) = match login {
            Some(login) => (Errand::LogIn(Box::new(login), None), "login"),
            None => (Errand::Look, "capability"),
        };
        let waits = Waits {
            connect: most.min(self.config.connect_timeout),
            greeting: most,
            greeted_by: Instant::now() + most,
            login: most,
        };
        let mut nobody = Nobody;
        let visit = self.visit(host, endpoint, errand, waits, &mut nobody);
        let visited = timeout(most, visit).await;
        let visited = visited.map_err(|_| Failure::TimedOut { state })?;
        visited.map_err(|(failure, _)| failure)
    }

    /// From nothing to a stream whose conversation is played. A failure says whether credentials were
    /// sent before it.
    async fn log_in(
        &self,
        endpoint: &Endpoint,
        client: &mut dyn Client,
        origin: Option<&Origin>,
        waits: Waits,
        dialogue: &mut dyn Dialogue,
    ) -> Result<Played, (Failure, Sent)> {
        let kept = |failure| (failure, Sent::Nothing);
        let late = |state| move |_| Failure::TimedOut { state };
        let mut stream = match &endpoint.target {
            Target::Demo => {
                let (ours, theirs) = duplex(DEMO_BUFFER);
                tokio::spawn(demo::serve(theirs));
                Stream::Memory(ours)
            }
            Target::Network { host, port } if let Some(inside) = &self.around.inside => {
                Stream::Memory(inside.dial(host, *port).map_err(kept)?)
            }
            Target::Network { host, port } => {
                let limit = waits.connect.min(waits.left());
                let names = self.names.get().map(Arc::as_ref);
                let tcp = dial::dial_by(names, host, *port, limit, &self.around).await;
                Stream::Tcp(tcp.map_err(kept)?)
            }
        };
        let name = certified_name(&self.config, endpoint);
        let greeting = (Instant::now() + waits.greeting).min(waits.greeted_by);
        // The built-in store is in the process: nothing stands between it and us.
        if let (Stream::Tcp(_), Some(header)) = (&stream, self.told_first(origin)) {
            let written = timeout_at(greeting, stream.write_all(&header)).await;
            let lost = |error: std::io::Error| Failure::Unreachable {
                cause: error.to_string(),
            };
            let written = written.map_err(late("connect"));
            written.and_then(|it| it.map_err(lost)).map_err(kept)?;
        }
        let tls = self.tls.as_deref();
        let stream = match (endpoint.security, stream, tls) {
            (Security::Clear | Security::StartTls, stream, _) => stream,
            (Security::Implicit, Stream::Tcp(tcp), Some(tls)) => {
                let shaken = timeout_at(greeting, tls.connect(name, tcp)).await;
                let shaken = shaken.map_err(late("tls")).and_then(|it| it);
                Stream::HostTls(Box::new(shaken.map_err(kept)?))
            }
            (Security::Implicit, ..) => {
                let cause = "TLS on a connection that cannot have it".into();
                return Err(kept(Failure::HostSetup { cause }));
            }
        };
        let patience = Patience {
            greeting,
            login: waits.login,
        };
        let played = play(
            stream,
            client,
            patience,
            tls.map(|tls| (tls, name)),
            dialogue,
        )
        .await;
        played.map_err(|failure| (failure, Sent::by(client)))
    }

    /// Who the client is, for hosts that hear it before anything else. Such a host waits for a header
    /// on every connection, so one that is for no client has one too.
    pub(super) fn told_first(&self, origin: Option<&Origin>) -> Option<Vec<u8>> {
        let version = match self.config.forward_client {
            ForwardClient::ProxyV1 => Version::V1,
            ForwardClient::ProxyV2 => Version::V2,
            _ => return None,
        };
        Some(match origin {
            None => proxy_header::local(version),
            Some(it) => proxy_header::header(version, it.client, it.connected, &it.session),
        })
    }
}

/// The name that the certificate of an endpoint must bear, on every connection to it. Whoever answers
/// for the name server may name any host: where hosts are found by name it is the one that the settings
/// have (RFC 6125 §6.2.1).
pub(super) fn certified_name<'a>(config: &'a Config, endpoint: &'a Endpoint) -> &'a str {
    match (&config.discover, &endpoint.target) {
        (Some(discover), _) => &discover.name,
        (None, Target::Network { host, .. }) => host,
        // In the process, where no TLS is spoken.
        (None, Target::Demo) => "demo",
    }
}

/// What an endpoint is visited for.
pub(super) enum Errand<'a> {
    /// To log in, for this client.
    LogIn(Box<HostLogin>, Option<&'a Origin>),
    /// To see what it can do.
    Look,
}

/// What a host has seen of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// No credentials.
    Nothing,
    /// Credentials: what became of them only the host knows.
    Credentials,
}

impl Sent {
    /// What our side has sent so far.
    pub(super) fn by(client: &dyn Client) -> Self {
        match client.credentials_sent() {
            true => Sent::Credentials,
            false => Sent::Nothing,
        }
    }
}

/// How long a visit may take.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    /// For the connection.
    pub(super) connect: Duration,
    /// From there to the greeting.
    pub(super) greeting: Duration,
    /// For both, the end.
    pub(super) greeted_by: Instant,
    /// From the greeting to the end.
    pub(super) login: Duration,
}

impl Waits {
    pub(super) fn of(config: &Config, greeted_by: Instant) -> Self {
        Waits {
            connect: config.connect_timeout,
            greeting: config.greeting_timeout,
            greeted_by,
            login: config.login_timeout,
        }
    }

    fn left(&self) -> Duration {
        self.greeted_by.saturating_duration_since(Instant::now())
    }
}
