//! Faults of clients and hosts against the gateway's binary: what the client saw, and what leaked.
//!
//! Each fault is played on a gateway with a host of its own behind it. After it nothing may be left: no
//! session, no descriptor, no panic, no password in the log; and another user's login works.
//! `tests/FAULTS.md` is what came of them; `GATEPOST_FAULTS=write` writes it anew.

mod clients;
mod closes;
mod host;
mod hosts;
mod strangers;
mod talk;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::gateway::{Gateway, Ports, Settings, admin_get};
use crate::support::pki::Pki;
use crate::support::scratch::free_port;
use crate::support::users::WRONG;
use crate::support::{Imap, Scratch, imap};
use talk::Talk;

/// One fault.
struct Fault {
    /// What may go wrong, as a heading of the table.
    class: &'static str,
    /// What is done.
    name: String,
    pace: Pace,
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

/// Whose connections may be left when a fault is over.
#[derive(Clone, Copy)]
enum Clients {
    /// POP3 clients': the next poll's.
    Polls,
    /// Nobody's.
    Others,
}

impl Clients {
    fn of(fault: &Fault) -> Clients {
        let told = |it: &str| it.contains("POP3");
        match told(fault.class) || told(&fault.name) {
            true => Clients::Polls,
            false => Clients::Others,
        }
    }
}

/// Where the gateway listens.
struct Doors {
    ports: Ports,
    /// Wants a PROXY header.
    proxied: u16,
}

/// What came of a fault.
struct Row {
    class: &'static str,
    name: String,
    saw: String,
    took: Duration,
    leaked: String,
}

fn all() -> Vec<Fault> {
    let mut all = clients::all();
    all.extend(hosts::all());
    all.extend(closes::all());
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
    fn new(pace: Pace, faults: &[(usize, &Fault)]) -> Stage {
        let scratch = Scratch::new();
        let pki = Pki::new(&scratch);
        let proxied = free_port();
        let (timeouts, host) = match pace {
            Pace::Patient => ("{}", ""),
            Pace::Hasty => (
                "{ login: 6s, tls_handshake: 3s, proxy_header: 3s, idle: 4s, pop3_idle: 4s }",
                ", greeting_timeout: 2s, login_timeout: 2s",
            ),
        };
        let good = host::imap(host::Trouble::none());
        let mut settings = Settings::new()
            .behind_balancer("imap", proxied)
            .limits("logins_per_session: 3")
            .backend(
                "good",
                format!("{{ hosts: [\"imap://127.0.0.1:{good}\"], health: none }}"),
            )
            .user("good", "good")
            .user("moved", "{ reject: \"account moved, call 555-0100\" }")
            .top(&format!("timeouts: {timeouts}"));
        for (n, fault) in faults {
            if let Some(hosts) = &fault.backend {
                let ca = pki.ca.display();
                let backend = format!(
                    "{{ {hosts}, tls: {{ ca: \"{ca}\" }}, retry_for: 0s, health: none{host} }}"
                );
                settings = settings
                    .backend(&format!("b{n}"), backend)
                    .user(&format!("u{n}"), format!("b{n}"));
            }
        }
        let gateway = settings.start(&scratch, &pki);
        let doors = Doors {
            ports: gateway.ports,
            proxied,
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

    /// Waits until nothing is left of a fault; what is, if it stays. Five seconds are promised, where there is
    /// somebody to wait for; a busy machine may need some more. Where there are POP3 clients of an IMAP host
    /// connections of no session may wait for the next poll, for 20 s.
    fn leaked(&self, clients: Clients) -> String {
        let begun = Instant::now();
        loop {
            if self.at_rest() {
                self.another_login();
                return "nothing".to_owned();
            }
            let descriptors = self.gateway.descriptors().saturating_sub(self.idle);
            let sessions = self.sessions();
            let patience = match (sessions, clients) {
                (0, Clients::Polls) => Duration::from_secs(30),
                _ => Duration::from_secs(10),
            };
            if begun.elapsed() > patience {
                return format!("{sessions} sessions, {descriptors} descriptors");
            }
        }
    }

    fn play(&self, n: usize, fault: &Fault) -> Row {
        let begun = Instant::now();
        let saw = (fault.play)(&self.doors, &format!("u{n}")).saw();
        Row {
            class: fault.class,
            name: fault.name.clone(),
            saw,
            took: begun.elapsed(),
            leaked: String::new(),
        }
    }
}

/// Plays those of one pace; the patient ones one after the other, the hasty ones together.
fn played(pace: Pace, faults: &[(usize, &Fault)]) -> Vec<(usize, Row)> {
    let stage = Stage::new(pace, faults);
    let rows: Vec<_> = match pace {
        Pace::Patient => faults
            .iter()
            .map(|(n, fault)| {
                let row = stage.play(*n, fault);
                let leaked = stage.leaked(Clients::of(fault));
                (*n, Row { leaked, ..row })
            })
            .collect(),
        Pace::Hasty => {
            let rows: Vec<(usize, Row)> = std::thread::scope(|scope| {
                let (stage, all) = (&stage, faults.iter());
                let playing: Vec<_> = all
                    .map(|(n, fault)| (n, scope.spawn(|| stage.play(*n, fault))))
                    .collect();
                let ended = playing.into_iter();
                ended.map(|(n, row)| (*n, row.join().unwrap())).collect()
            });
            let leaked = stage.leaked(Clients::Polls);
            rows.into_iter()
                .map(|(n, row)| {
                    let leaked = leaked.clone();
                    (n, Row { leaked, ..row })
                })
                .collect()
        }
    };
    rows
}

#[test]
fn the_table_of_faults_is_what_comes_of_them() {
    let faults = all();
    let of = |pace: Pace| -> Vec<(usize, &Fault)> {
        let numbered = faults.iter().enumerate();
        numbered.filter(|(_, fault)| fault.pace == pace).collect()
    };
    let (patient, hasty) = (of(Pace::Patient), of(Pace::Hasty));
    let mut rows = std::thread::scope(|scope| {
        let halves = patient.chunks(patient.len().div_ceil(3));
        let playing: Vec<_> = halves
            .map(|half| scope.spawn(|| played(Pace::Patient, half)))
            .chain([scope.spawn(|| played(Pace::Hasty, &hasty))])
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

/// The lines without the column of times.
fn timeless(table: &str) -> impl Iterator<Item = String> {
    table.lines().map(|line| {
        let cells: Vec<&str> = line.split(" | ").collect();
        match cells[..] {
            [fault, saw, _, leaked] => format!("{fault} | {saw} | {leaked}"),
            _ => line.to_owned(),
        }
    })
}

fn table(rows: &[(usize, Row)]) -> String {
    let mut text = format!(
        "# Faults, and what came of them

What hostile, broken or dying clients and hosts did to a running gateway, what the client saw of it, and what was left of it after
10 s: sessions, descriptors, a panic, a password in the log. After each of them, and after all together whose fault is a timeout,
somebody else logged in as ever. Written by `GATEPOST_FAULTS=write cargo test --test e2e faults`; `cargo test` plays all {} and compares.
`…` stands for octets, `closed` for the end of the connection; times are those of one run, where a timeout was a fault it was set to 2 to 6 s.
Which test holds which promise: [THREATS.md](THREATS.md).

Who has left is let go within 5 s. Two connections may stay longer, by design and for a time of their own: that to a host which is judging
a password, until it has (`login_timeout` at most), or leaving early would be guessing without being counted; and both sides where the host
takes nothing of what its client said before it left, for 20 s, as it may be storing a message. A connection to an IMAP host may wait
20 s for the next poll of its POP3 clients.
",
        rows.len()
    );
    let mut class = "";
    for (_, row) in rows {
        if row.class != class {
            class = row.class;
            write!(
                text,
                "\n## {class}\n\n| fault | the client saw | time | leaked |\n|---|---|---:|---|\n"
            )
            .unwrap();
        }
        writeln!(
            text,
            "| {} | {} | {:.2} s | {} |",
            row.name,
            row.saw,
            row.took.as_secs_f64(),
            row.leaked
        )
        .unwrap();
    }
    text
}
