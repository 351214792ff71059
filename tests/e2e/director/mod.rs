//! Operators order hosts and users about, on one gateway and on several that share a Redis: no user has
//! sessions on two hosts at once, orders survive a restart, and what is wrong is told.
//!
//! `GATEPOST_DIRECTOR=full` runs the long forms: four gateways for a minute, fifty thousand moves, ten
//! thousand users, a host that dies under two thousand sessions, a map of a million entries.

mod alone;
mod explained;
mod killed;
mod late;
mod map;
mod movers;
mod orders;
mod other;
mod redis;
mod replicas;
mod returns;
mod services;
mod spread;
mod store;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::gateway::{Settings, admin_get};
use crate::support::process::{connect, wait_for};

fn full() -> bool {
    std::env::var_os("GATEPOST_DIRECTOR").is_some_and(|value| value == "full")
}

/// Who has how many sessions where, as the hosts see it.
#[derive(Default)]
struct Census {
    live: Mutex<HashMap<String, HashMap<usize, u32>>>,
    torn: Mutex<Vec<String>>,
    logins: AtomicU64,
}

impl Census {
    fn enter(&self, user: &str, host: usize) {
        let mut live = self.live.lock().unwrap();
        let on = live.entry(user.to_owned()).or_default();
        *on.entry(host).or_default() += 1;
        self.logins.fetch_add(1, Ordering::Relaxed);
        if on.len() > 1 {
            self.torn.lock().unwrap().push(format!("{user}: {on:?}"));
        }
    }

    fn leave(&self, user: &str, host: usize) {
        let mut live = self.live.lock().unwrap();
        let on = live.get_mut(user).unwrap();
        let count = on.get_mut(&host).unwrap();
        *count -= 1;
        if *count == 0 {
            on.remove(&host);
        }
    }

    /// The hosts a user is on.
    fn of(&self, user: &str) -> Vec<usize> {
        let live = self.live.lock().unwrap();
        live.get(user)
            .map_or_else(Vec::new, |on| on.keys().copied().collect())
    }
}

/// An IMAP host that counts, and that may be away: then it takes no new connections, those it has go on.
struct Host {
    port: u16,
    up: Arc<AtomicBool>,
}

impl Host {
    fn start(number: usize, census: &Arc<Census>) -> Host {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let up = Arc::new(AtomicBool::new(true));
        let (is_up, census) = (up.clone(), census.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, census) = (stream.unwrap(), census.clone());
                if is_up.load(Ordering::Relaxed) {
                    std::thread::spawn(move || serve(stream, number, &census));
                }
            }
        });
        Host { port, up }
    }
}

fn serve(mut stream: TcpStream, host: usize, census: &Census) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let _ = write!(stream, "* OK [CAPABILITY IMAP4rev1] here\r\n");
    let mut line = String::new();
    let mut user = None;
    while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let tag = words.first().copied().unwrap_or("*");
        let word = words.get(1).map(|word| word.to_ascii_uppercase());
        let answer = match word.as_deref() {
            Some("CAPABILITY") => format!("* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n"),
            Some("LOGIN") => {
                let name = words[2].trim_matches('"').to_owned();
                match words.get(3).map_or("", |it| it.trim_matches('"')) {
                    it if it.contains("wrong") => {
                        format!("{tag} NO [AUTHENTICATIONFAILED] no\r\n")
                    }
                    it if it == format!("busy{host}") => {
                        format!("{tag} NO [UNAVAILABLE] not now\r\n")
                    }
                    _ => {
                        census.enter(&name, host);
                        user = Some(name);
                        format!("{tag} OK in\r\n")
                    }
                }
            }
            Some("NOOP") => format!("{tag} OK done\r\n"),
            Some("LOGOUT") => format!("* BYE\r\n{tag} OK bye\r\n"),
            _ => format!("{tag} BAD unknown\r\n"),
        };
        if stream.write_all(answer.as_bytes()).is_err() || word.as_deref() == Some("LOGOUT") {
            break;
        }
        line.clear();
    }
    if let Some(user) = user {
        census.leave(&user, host);
    }
}

/// A mail client that shows what it hears.
struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(port: u16) -> Client {
        Client::connect_as(port, "")
    }

    /// With something to be said before the greeting.
    fn connect_as(port: u16, first: &str) -> Client {
        let mut stream = connect(port).unwrap();
        stream.write_all(first.as_bytes()).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        let mut client = Client { stream, reader };
        client.line();
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.reader.read_line(&mut line);
        line
    }

    /// A command, and the line that ends its answer; empty where the connection ended.
    fn command(&mut self, command: &str) -> String {
        self.say(command);
        self.answer()
    }

    fn say(&mut self, command: &str) {
        let _ = write!(self.stream, "a {command}\r\n");
    }

    fn answer(&mut self) -> String {
        loop {
            let line = self.line();
            if line.is_empty() || line.starts_with("a ") {
                return line;
            }
        }
    }

    fn logged_in(port: u16, user: &str) -> Client {
        let mut client = Client::connect(port);
        let answer = client.command(&format!("LOGIN {user} secret"));
        assert!(answer.starts_with("a OK"), "{user}: {answer}");
        client
    }

    /// All that is still said, to the end.
    fn rest(mut self) -> String {
        let mut rest = String::new();
        let _ = self.reader.read_to_string(&mut rest);
        rest
    }
}

/// A request on the admin port: status and answer.
pub(crate) fn ask(port: u16, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let mut stream = connect(port).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn get(port: u16, path: &str) -> Value {
    let (status, body) = admin_get(port, path).unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

struct Site {
    census: Arc<Census>,
    hosts: Vec<Host>,
}

impl Site {
    fn new(hosts: usize) -> Site {
        let census = Arc::default();
        let hosts = (0..hosts).map(|number| Host::start(number, &census));
        Site {
            hosts: hosts.collect(),
            census: census.clone(),
        }
    }

    /// Backend `old` of all hosts but the last, `new` of the last; everybody is on `old`.
    fn settings(&self, state: &str) -> Settings {
        self.settings_with(state, "per_user: 1000, per_user_ip: 1000")
    }

    /// The hosts as a backend names them: `h0`, `h1`, …
    fn entries(&self) -> Vec<String> {
        let all = self.hosts.iter().enumerate();
        all.map(|(n, host)| format!("{{ name: h{n}, imap: \"imap://127.0.0.1:{}\" }}", host.port))
            .collect()
    }

    /// The same with other limits.
    fn settings_with(&self, state: &str, limits: &str) -> Settings {
        let mut all = self.entries();
        let last = all.pop().unwrap();
        let health = "health: { interval: 200ms, timeout: 2s, rise: 1, fall: 1 }, retry_for: 3s";
        Settings::new()
            .backend(
                "old",
                format!("{{ hosts: [{}], {health} }}", all.join(", ")),
            )
            .backend("new", format!("{{ hosts: [{last}], {health} }}"))
            .user("\"*\"", "old")
            .user(
                "\"@mapped.example\"",
                "{ backend: old, login: \"{local}\" }",
            )
            .limits(limits)
            .log("level: info")
            .top(&format!("state: {state}"))
    }
}

fn moved(user: &str) -> Value {
    json!({ "user": user, "backend": "new" })
}
