//! A Redis that the gateways of a site share. Every step that must not be torn is one run of
//! `redis.lua`, so two gateways never let one user in on two hosts.
//!
//! A gateway is known by a key that lives as long as it beats; what it holds is void without. When an
//! answer fails to come the link is lost: at once everybody goes by what this process knows, and a
//! keeper makes a new link, under a new name, with all that is held here entered again. No call waits
//! longer than [`ANSWER`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, Script};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::config;

/// How long an answer may take: a login waits no longer.
const ANSWER: Duration = Duration::from_millis(800);

/// For answers that hold all orders of a site, and lists of orders.
const LONG_ANSWER: Duration = Duration::from_secs(10);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);

/// How often a gateway shows that it lives, and hears what others have ordered.
pub(super) const BEAT: Duration = Duration::from_millis(250);

/// After this long without a beat a gateway counts as dead.
pub(super) const LIFE: Duration = Duration::from_secs(10);

/// How long to wait before the next try.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// The shared store.
pub(super) struct Redis {
    client: Client,
    password: Option<String>,
    prefix: String,
    link: RwLock<Option<Link>>,
    /// Why there is none.
    trouble: RwLock<Option<String>>,
    /// The number of the last order that was given here.
    ordered: AtomicU64,
    pub(super) lost: Notify,
    /// What others ordered is wanted before the next beat is due.
    pub(super) hurry: Notify,
}

/// A connection under a name.
#[derive(Clone)]
pub(super) struct Link {
    connection: MultiplexedConnection,
    /// The gateway's name on this link.
    pub(super) gate: Arc<str>,
}

/// The shared store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Away;

impl Redis {
    /// Reads the settings; nothing is asked yet.
    pub(super) fn new(config: &config::Redis) -> Result<Self, String> {
        let wrong = |_| "state: expected a URL like redis://user@host:6379/0".to_owned();
        let url = String::from_utf8_lossy(config.url.reveal()).into_owned();
        let mut info = url.into_connection_info().map_err(wrong)?;
        if let Some(password) = &config.password {
            let password = String::from_utf8_lossy(password.reveal()).into_owned();
            let settings = info.redis_settings().clone().set_password(password);
            info = info.set_redis_settings(settings);
        }
        Ok(Redis {
            password: info.redis_settings().password().map(str::to_owned),
            client: Client::open(info).map_err(|error| error.to_string())?,
            prefix: config.prefix.clone(),
            link: RwLock::default(),
            trouble: RwLock::new(Some("not reached yet".into())),
            ordered: AtomicU64::new(0),
            lost: Notify::new(),
            hurry: Notify::new(),
        })
    }

    /// The store has taken an order of ours under this number.
    pub(super) fn ordered(&self, number: u64) {
        self.ordered.fetch_max(number, Ordering::Relaxed);
    }

    /// The highest such number.
    pub(super) fn last_ordered(&self) -> u64 {
        self.ordered.load(Ordering::Relaxed)
    }

    /// The link, if there is one.
    pub(super) fn link(&self) -> Option<Link> {
        let link = self.link.read().unwrap_or_else(PoisonError::into_inner);
        link.clone()
    }

    /// Why there is no link, if there is none.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.read().unwrap_or_else(PoisonError::into_inner);
        trouble.clone()
    }

    /// From now on this link is used.
    pub(super) fn use_link(&self, link: Link) {
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = Some(link);
        *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A link failed; whether it was the one in use.
    pub(super) fn lose(&self, gate: &str, why: &str) -> bool {
        let mut link = self.link.write().unwrap_or_else(PoisonError::into_inner);
        if link.as_ref().is_none_or(|link| &*link.gate != gate) {
            return false;
        }
        *link = None;
        drop(link);
        self.note(why);
        self.lost.notify_one();
        true
    }

    /// Notes why there is no link; whether that is new.
    pub(super) fn note(&self, why: &str) -> bool {
        let mut trouble = self.trouble.write().unwrap_or_else(PoisonError::into_inner);
        let new = trouble.as_deref() != Some(why);
        *trouble = Some(why.to_owned());
        new
    }

    /// Connects, under a new name that nobody else knows yet.
    pub(super) async fn connect(&self) -> Result<Link, String> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(LONG_ANSWER));
        let connected = timeout(
            CONNECT,
            self.client
                .get_multiplexed_async_connection_with_config(&config),
        );
        let connected = connected.await.map_err(|_| "no connection in time")?;
        let name = random::<12>();
        Ok(Link {
            connection: connected.map_err(|error| told(&error))?,
            gate: name.into(),
        })
    }

    /// Connects, and is a gateway from then on; what the site's orders are, and their number.
    pub(super) async fn join(&self) -> Result<(Link, Vec<String>), String> {
        let link = self.connect().await?;
        let args = ["join".to_owned(), link.gate.to_string(), Redis::lease()];
        let orders = self.run(&link, &args, LONG_ANSWER).await?;
        Ok((link, orders))
    }

    /// Asks for something, for whoever is no gateway.
    pub(super) async fn look(&self, link: &Link, args: &[String]) -> Result<Vec<String>, String> {
        self.run(link, args, LONG_ANSWER).await
    }

    /// Runs a step and waits for its answer, but not long.
    pub(super) async fn ask(&self, link: &Link, args: &[String]) -> Result<Vec<String>, Away> {
        self.ask_within(link, args, ANSWER).await
    }

    /// As [`ask`](Self::ask), for long lists.
    pub(super) async fn ask_long(&self, link: &Link, args: &[String]) -> Result<Vec<String>, Away> {
        self.ask_within(link, args, LONG_ANSWER).await
    }

    async fn ask_within(
        &self,
        link: &Link,
        args: &[String],
        wait: Duration,
    ) -> Result<Vec<String>, Away> {
        self.run(link, args, wait).await.map_err(|why| {
            if self.lose(&link.gate, &why) {
                tracing::warn!(target: "gatepost", event = "state_away", reason = why);
                crate::observe::metrics::state_up(false);
            }
            Away
        })
    }

    async fn run(
        &self,
        link: &Link,
        args: &[String],
        wait: Duration,
    ) -> Result<Vec<String>, String> {
        static SCRIPT: OnceLock<Script> = OnceLock::new();
        let script = SCRIPT.get_or_init(|| Script::new(include_str!("redis.lua")));
        let mut connection = link.connection.clone();
        let mut call = script.key(&self.prefix);
        for arg in args {
            call.arg(arg);
        }
        let answer = timeout(wait, call.invoke_async::<Vec<String>>(&mut connection)).await;
        let answer = answer.map_err(|_| "no answer in time".to_owned())?;
        let answer = answer.map_err(|error| told(&error))?;
        match answer.first() {
            None => Err("an empty answer".into()),
            Some(_) => Ok(answer),
        }
    }

    /// The key of a hash that counts something.
    pub(super) fn count_key(&self, what: &str) -> String {
        format!("{}:count:{what}", self.prefix)
    }

    /// The key of a user's members.
    pub(super) fn pin_key(&self, owner: &str) -> String {
        format!("{}:pin:{owner}", self.prefix)
    }

    /// A new secret.
    pub(super) fn secret() -> String {
        random::<32>()
    }

    /// What is made of a stored secret: who can only read what is stored, a copy of it for example, does
    /// not know it, where a password is set.
    pub(super) fn keyed(&self, stored: &str) -> String {
        let password = self.password.as_deref().unwrap_or_default();
        let key = hmac::Key::new(hmac::HMAC_SHA256, password.as_bytes());
        hex(hmac::sign(&key, stored.as_bytes()).as_ref())
    }

    /// The life of a gateway's name, in milliseconds.
    pub(super) fn lease() -> String {
        LIFE.as_millis().to_string()
    }

    /// A command on the journal's hash.
    pub(super) async fn note_command<T: redis::FromRedisValue>(
        &self,
        command: &str,
        args: &[&[u8]],
    ) -> std::io::Result<T> {
        let away = || std::io::Error::other("the state's Redis is away");
        let mut link = self.link().ok_or_else(away)?;
        let mut call = redis::cmd(command);
        call.arg(format!("{}:notes", self.prefix));
        for arg in args {
            call.arg(*arg);
        }
        let answer = timeout(ANSWER, call.query_async(&mut link.connection)).await;
        let answer = answer.map_err(|_| away())?;
        answer.map_err(std::io::Error::other)
    }
}

fn random<const N: usize>() -> String {
    let mut octets = [0; N];
    let _ = rand::fill(&mut octets);
    hex(&octets)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// What is wrong, without what a server may have put into its words but for a short piece.
fn told(error: &redis::RedisError) -> String {
    let text = error.to_string();
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    text.take(200).collect()
}
