//! Faults of clients and hosts against the gateway's binary: what the client saw, and what leaked.
//!
//! Each fault is played on a gateway with a host of its own behind it. After it nothing may be left: no
//! session, no descriptor, no panic, no password in the log; and another user's login works.
//! `tests/FAULTS.md` is what came of them; `GATEPOST_FAULTS=write` writes it anew.

mod clients;
mod closes;
mod host;
mod hosts;
mod left;
mod strangers;
mod table;
mod talk;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::director;
use crate::support::gateway::{Gateway, Ports, Settings, admin_get};
use crate::support::lookup::{Question, Service};
use crate::support::pki::{self, Pki};
use crate::support::process::wait_for;
use crate::support::scratch::free_port;
use crate::support::users::WRONG;
use crate::support::{Imap, Scratch, imap};
use table::{table, timeless};
use talk::{Said, Talk};

/// How long is waited for the gateway to let go of everything, once its client is gone or has been left: what is
/// promised. Of its own limits only the second between two looks at a client that waits (`session::asked`) lies
/// in there, so a slow machine has the other four. What takes longer is a [`Left`].
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest time until who has ended its half is left. The gateway's own limit is 5 s since then, in each state
/// (`HALF_CLOSED_IDLE` of `session::relay`, `GONE_SILENCE` of its translation, `HALF_CLOSED` of
/// `session::asked`); the rest is for slow machines.
const HALF_CLOSED: Duration = Duration::from_secs(10);

/// `login_timeout` and `greeting_timeout` of hosts where [`Pace::Hasty`] is played.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Between those that are played together, one and the next.
const PACE: Duration = Duration::from_millis(20);

/// How long a connection waits for the next poll (`LIFE` of `backend::pool`).
const POLL: Duration = Duration::from_secs(20);

/// One fault.
struct Fault {
    /// What may go wrong, as a heading of the table.
    class: &'static str,
    /// What is done.
    name: String,
    pace: Pace,
    left: Left,
    /// The value of the backend that its user is sent to.
    backend: Option<String>,
    play: Play,
}

type Play = Box<dyn Fn(&Doors, &str) -> Talk + Send + Sync>;

/// How much time the gateway gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// A minute for everything: no fault is a timeout by chance.
    Patient,
    /// A few seconds: the fault is that somebody takes too long.
    Hasty,
}

/// What the gateway keeps on purpose when a fault is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// The connection to a host that judges a password: until it has, or its time is over.
    Judge,
    /// Connections to an IMAP host that POP3 clients were let in to so often that the next is expected: five
    /// times within [`POLL`], as only sessions are that lose their host again and again.
    ForPolls,
}

impl Left {
    /// How long is waited until everything is gone.
    fn patience(self) -> Duration {
        match self {
            Left::Nothing => PATIENCE,
            Left::Judge => LOGIN_TIMEOUT + PATIENCE,
            Left::ForPolls => POLL + PATIENCE,
        }
    }
}

/// Where the gateway listens.
struct Doors {
    ports: Ports,
    /// Wants a PROXY header.
    proxied: u16,
    /// Where the hosts of the users are.
    hosts: HashMap<String, u16>,
    /// Is asked about users that the map does not have, where [`Pace::Hasty`] is played, and never answers.
    lookup: Service,
}

impl Doors {
    /// An operator's order: logins of this user wait.
    fn hold(&self, user: &str) {
        let order = json!({ "user": user });
        let (status, _) = director::ask(self.ports.admin, "POST", "/api/v1/hold", &order);
        assert_eq!(status, 200);
    }

    /// An operator's order: who is on the host of this user is to leave at once.
    fn drain_host_of(&self, user: &str) {
        let (_, body) = admin_get(self.ports.admin, "/api/v1/backends").unwrap();
        let all: Value = serde_json::from_str(&body).unwrap();
        let name = user.replace('u', "b");
        let mut backends = all["backends"].as_array().unwrap().iter();
        let backend = backends.find(|it| it["name"] == *name).unwrap();
        let host = backend["hosts"][0]["name"].as_str().unwrap();
        let path = format!("/api/v1/backends/{name}/hosts/{host}");
        let order = json!({ "state": "drain", "after": "0s" });
        let (status, answer) = director::ask(self.ports.admin, "PUT", &path, &order);
        assert_eq!(status, 200, "{answer}");
    }

    /// Waits until the lookup service is asked about this user.
    fn asks_about(&self, user: &str) {
        wait_for("a question to the lookup service", || {
            let questions = self.lookup.questions();
            let about = |it: &Question| it.get("Auth-User").as_deref() == Some(user);
            questions.iter().any(about)
        });
    }

    /// Waits until the host of this user is asked.
    fn asks_host_of(&self, user: &str) {
        let host = self.hosts.get(user).copied();
        wait_for("a host to be asked", || !left::callers_of(host).is_empty());
    }
}

/// What came of a fault.
struct Row {
    class: &'static str,
    name: String,
    saw: String,
    took: Duration,
    leaked: String,
}

fn all(pki: &Pki) -> Vec<Fault> {
    let mut all = clients::all();
    all.extend(hosts::all());
    all.extend(closes::all(&pki::server(&pki.cert, &pki.key)));
    all
}

/// A gateway for faults.
struct Stage {
    gateway: Gateway,
    doors: Doors,
    /// Descriptors it has open when nobody is there.
    idle: usize,
    _scratch: Scratch,
}

impl Stage {
    fn new(pace: Pace, faults: &[(usize, &Fault)], pki: &Pki) -> Stage {
        let scratch = Scratch::new();
        let proxied = free_port();
        let (timeouts, host) = match pace {
            Pace::Patient => ("{}", String::new()),
            Pace::Hasty => (
                "{ login: 6s, tls_handshake: 3s, proxy_header: 3s, idle: 4s, pop3_idle: 4s }",
                format!(
                    ", greeting_timeout: {0}s, login_timeout: {0}s",
                    LOGIN_TIMEOUT.as_secs()
                ),
            ),
        };
        let good = host::imap(host::Trouble::none());
        let lookup = Service::start(|_| Vec::new());
        let mut settings = Settings::new()
            .behind_balancer("imap", proxied)
            .limits("logins_per_session: 3")
            .backend(
                "good",
                // No fault is played there: a machine that is slow is none either.
                format!(
                    "{{ hosts: [\"imap://127.0.0.1:{good}\"], health: none, \
                     greeting_timeout: 60s, login_timeout: 60s }}"
                ),
            )
            .user("good", "good")
            .user("moved", "{ reject: \"account moved, call 555-0100\" }")
            .top(&format!("timeouts: {timeouts}"))
            .top("state: memory");
        if pace == Pace::Hasty {
            settings = settings.top(&lookup.source());
        }
        let mut ports = HashMap::new();
        for (n, fault) in faults {
            if let Some(hosts) = &fault.backend {
                let ca = pki.ca.display();
                let backend = format!(
                    "{{ {hosts}, tls: {{ ca: \"{ca}\" }}, retry_for: 0s, health: none{host} }}"
                );
                settings = settings
                    .backend(&format!("b{n}"), backend)
                    .user(&format!("u{n}"), format!("b{n}"));
                let digits =
                    |it: &str| it.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
                let (_, at) = hosts.split_once("127.0.0.1:").unwrap();
                ports.insert(format!("u{n}"), digits(at).unwrap());
            }
        }
        let gateway = settings.start(&scratch, pki);
        left::watch(gateway.pid());
        let doors = Doors {
            ports: gateway.ports,
            proxied,
            hosts: ports,
            lookup,
        };
        let mut stage = Stage {
            gateway,
            doors,
            idle: 0,
            _scratch: scratch,
        };
        // What is opened once and kept is no leak.
        stage.another_login();
        stage.idle = stage.gateway.descriptors();
        while !stage.at_rest() {
            stage.idle = stage.gateway.descriptors();
        }
        stage
    }

    /// Somebody else's login, and what the mailbox says.
    fn another_login(&self) {
        let mut imap = Imap::plain(self.doors.ports.imap);
        imap.login(imap::Way::LoginQuoted, "good", WRONG).ok();
        imap.command("NOOP").ok();
        imap.command("LOGOUT");
    }

    fn at_rest(&self) -> bool {
        std::thread::sleep(Duration::from_millis(10));
        self.sessions() == 0 && self.gateway.descriptors() <= self.idle
    }

    fn sessions(&self) -> usize {
        let (_, body) = admin_get(self.doors.ports.admin, "/api/v1/sessions").unwrap();
        let value: Value = serde_json::from_str(&body).unwrap();
        value["sessions"].as_array().unwrap().len()
    }

    /// Waits until nothing is left of all that was played; what is, if it stays.
    fn leaked(&self, left: Left) -> String {
        let begun = Instant::now();
        loop {
            let late = begun.elapsed() > left.patience();
            if self.at_rest() {
                self.another_login();
                return "nothing".to_owned();
            }
            if late {
                let descriptors = self.gateway.descriptors().saturating_sub(self.idle);
                return format!("{} sessions, {descriptors} descriptors", self.sessions());
            }
        }
    }

    /// Plays a fault, and waits until none of its connections is left.
    fn play(&self, n: usize, fault: &Fault) -> Row {
        let (begun, user) = (Instant::now(), format!("u{n}"));
        let Said { saw, inodes, kept } = (fault.play)(&self.doors, &user).said();
        let took = begun.elapsed();
        let of = left::Of {
            clients: &inodes,
            host: self.doors.hosts.get(&user).copied(),
        };
        let left = of.wait(PATIENCE, fault.left.patience());
        let message = of.host.and_then(host::message).unwrap_or_default();
        let leaked = match kept {
            Some(kept) if kept > HALF_CLOSED => format!("its client, for {} s", kept.as_secs()),
            _ if !talk::HALF.starts_with(&message) => {
                format!("`{}` to its host as a message", message.escape_ascii())
            }
            _ => left,
        };
        Row {
            class: fault.class,
            name: fault.name.clone(),
            saw,
            took,
            leaked,
        }
    }
}

/// Plays those of one pace; the patient ones one after the other, the hasty ones together.
fn played(pace: Pace, faults: &[(usize, &Fault)], pki: &Pki) -> Vec<(usize, Row)> {
    let stage = Stage::new(pace, faults, pki);
    let also = |row: &mut Row, left: Left| {
        let leaked = stage.leaked(left);
        if row.leaked == "nothing" {
            row.leaked = leaked;
        }
    };
    let mut rows = Vec::new();
    match pace {
        Pace::Patient => {
            for (n, fault) in faults {
                let mut row = stage.play(*n, fault);
                also(&mut row, fault.left);
                rows.push((*n, row));
            }
        }
        Pace::Hasty => {
            std::thread::scope(|scope| {
                let (stage, all) = (&stage, faults.iter());
                let playing: Vec<_> = all
                    .map(|(n, fault)| {
                        // Two hundred handshakes at one moment are no fault that is meant.
                        std::thread::sleep(PACE);
                        (n, scope.spawn(|| stage.play(*n, fault)))
                    })
                    .collect();
                let ended = playing.into_iter();
                rows.extend(ended.map(|(n, row)| (*n, row.join().unwrap())));
            });
            // What is no connection, and whoever came back for one: nobody's in particular.
            rows.iter_mut()
                .take(1)
                .for_each(|(_, row)| also(row, Left::Nothing));
        }
    }
    rows
}

#[test]
fn the_table_of_faults_is_what_comes_of_them() {
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let faults = all(&pki);
    let of = |pace: Pace| -> Vec<(usize, &Fault)> {
        let numbered = faults.iter().enumerate();
        numbered.filter(|(_, fault)| fault.pace == pace).collect()
    };
    let (patient, hasty) = (of(Pace::Patient), of(Pace::Hasty));
    let mut rows = std::thread::scope(|scope| {
        let halves = patient.chunks(patient.len().div_ceil(3));
        let playing: Vec<_> = halves
            .map(|half| scope.spawn(|| played(Pace::Patient, half, &pki)))
            .chain([scope.spawn(|| played(Pace::Hasty, &hasty, &pki))])
            .collect();
        let mut rows = Vec::new();
        for played in playing {
            rows.extend(played.join().unwrap());
        }
        rows
    });
    rows.sort_by_key(|(n, _)| *n);
    assert!(rows.len() >= 90, "{}", rows.len());
    let table = table(&rows);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/FAULTS.md");
    if std::env::var_os("GATEPOST_FAULTS").is_some_and(|it| it == "write") {
        std::fs::write(file, table).unwrap();
        return;
    }
    for (_, row) in &rows {
        assert_eq!(row.leaked, "nothing", "{}", row.name);
    }
    let written = std::fs::read_to_string(file).unwrap_or_default();
    let difference = timeless(&table)
        .zip(timeless(&written))
        .find(|(now, then)| now != then);
    if let Some((now, then)) = difference {
        panic!(
            "tests/FAULTS.md says otherwise (GATEPOST_FAULTS=write writes it)\nnow:  {now}\nthen: {then}"
        );
    }
    assert_eq!(table.lines().count(), written.lines().count());
}
