//! Clients that guess passwords or only sit there: windows over failed logins, what a lookup service
//! hears of them, who makes room when all connections are taken, and that nobody waits behind them.

mod at_once;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::proxy_protocol::{Version, of};
use crate::support::gateway::{Settings, admin_get};
use crate::support::lookup::{Question, Service, lines};
use crate::support::pki::Pki;
use crate::support::scratch::free_port;
use crate::support::users::WRONG;
use crate::support::wire::{Conn, Heard};
use crate::support::{Gateway, Scratch, scripted};

/// A gateway whose clients come from wherever a PROXY header says.
struct Stage {
    gateway: Gateway,
    imap: u16,
    pop3: u16,
    _scratch: Scratch,
}

impl Stage {
    fn new(settings: Settings) -> Stage {
        let [imap, pop3] = std::array::from_fn(|_| free_port());
        let scratch = Scratch::new();
        let pki = Pki::new(&scratch);
        let gateway = settings
            .behind_balancer("imap", imap)
            .behind_balancer("pop3", pop3)
            .start(&scratch, &pki);
        Stage {
            gateway,
            imap,
            pop3,
            _scratch: scratch,
        }
    }

    fn connect(port: u16, from: &str) -> Conn {
        let mut conn = Conn::plain(port);
        conn.send(of(Version::V2, &format!("{from}:4711")));
        conn.text();
        conn
    }

    /// One IMAP login on a connection of its own: the answer without its tag.
    fn login(&self, from: &str, user: &str, password: &str) -> String {
        let mut conn = Self::connect(self.imap, from);
        conn.send(format!("a LOGIN {user} {password}\r\n"));
        loop {
            if let Some(answer) = conn.text().strip_prefix("a ") {
                return answer.to_owned();
            }
        }
    }

    /// One POP3 login.
    fn pop3_login(&self, from: &str, user: &str, password: &str) -> String {
        let mut conn = Self::connect(self.pop3, from);
        conn.send(format!("USER {user}\r\nPASS {password}\r\n"));
        conn.text();
        conn.text()
    }

    fn refused(&self, reason: &str) -> u64 {
        let (_, metrics) = admin_get(self.gateway.ports.admin, "/metrics").unwrap();
        let name = format!("gatepost_refused_total{{reason=\"{reason}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |count| count.parse().unwrap())
    }
}

/// An IMAP host where every password but `right` is wrong; it keeps the names it was shown.
fn host(asked: Arc<Mutex<Vec<String>>>) -> u16 {
    scripted::imap("[CAPABILITY IMAP4rev1] here", move |command| {
        let mut verdict = "OK";
        if command.verb == "LOGIN" {
            let (name, password) = command.rest.split_once(' ').unwrap();
            asked.lock().unwrap().push(name.replace('"', ""));
            if password.replace('"', "") != "right" {
                verdict = "NO";
            }
        }
        format!("{} {verdict} done\r\n", command.tag)
    })
}

#[test]
fn who_guesses_is_answered_at_once_and_no_host_is_asked() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let store = host(asked.clone());
    let mut stage = Stage::new(
        Settings::new()
            .backend("store", format!("imap://127.0.0.1:{store}"))
            .user("\"@example.org\"", "store")
            .limits("failed_logins: { per_ip: 8/1h, per_user: 4/1h }"),
    );
    let asked = || std::mem::take(&mut *asked.lock().unwrap()).len();
    let alice = "alice@example.org";
    // Alice knows her password, at home.
    assert!(stage.login("192.0.2.1", alice, "right").starts_with("OK"));
    assert_eq!(asked(), 1);
    // A phone with an old one, again and again.
    for _ in 0..10 {
        let said = stage.login("192.0.2.50", alice, WRONG);
        assert!(said.starts_with("NO [AUTHENTICATIONFAILED]"), "{said}");
    }
    assert_eq!(asked(), 10);
    // Somebody guesses, from many places: three more and the window is full.
    for n in 0..3 {
        let said = stage.login(&format!("198.51.100.{n}"), alice, &format!("guess{n}"));
        assert!(said.starts_with("NO [AUTHENTICATIONFAILED]"), "{said}");
    }
    assert_eq!(asked(), 3);
    for n in 10..15 {
        let said = stage.login(&format!("198.51.100.{n}"), alice, &format!("guess{n}"));
        assert!(said.starts_with("NO [LIMIT]"), "{said}");
    }
    let said = stage.pop3_login("198.51.100.20", "Alice@Example.org", "right");
    assert!(said.starts_with("-ERR [IN-USE]"), "{said}");
    assert_eq!(asked(), 0, "a host was asked");
    stage.gateway.logged(&[
        "event=login",
        "result=LIMIT",
        "user=Alice@Example.org",
        "client=198.51.100.20:4711",
        "reason=",
    ]);
    assert_eq!(stage.refused("failed_logins"), 6);
    // Alice at home notices nothing, others neither.
    assert!(stage.login("192.0.2.1", alice, "right").starts_with("OK"));
    let bob = stage.login("198.51.100.20", "bob@example.org", "right");
    assert!(bob.starts_with("OK"), "{bob}");
    assert_eq!(asked(), 2);
    // A user nobody knows fills a window of the same size.
    for n in 0..5 {
        let from = format!("203.0.113.{n}");
        let said = stage.login(&from, "nobody@nowhere.example", &format!("guess{n}"));
        let want = ["NO [AUTHENTICATIONFAILED]", "NO [LIMIT]"][usize::from(n == 4)];
        assert!(said.starts_with(want), "{n}: {said}");
    }
    // One address tries one password on many users.
    for n in 0..9 {
        let user = format!("user{n}@example.org");
        let said = stage.login(&format!("[2001:db8::{n}]"), &user, WRONG);
        let want = ["NO [AUTHENTICATIONFAILED]", "NO [LIMIT]"][usize::from(n == 8)];
        assert!(said.starts_with(want), "{n}: {said}");
    }
    assert_eq!(asked(), 8);
}

/// Lets one password in, under another name.
fn renames(question: &Question) -> Vec<u8> {
    match question.get("Auth-Pass").as_deref() {
        Some("right") => lines("Auth-Status: OK\r\nAuth-Backend: store\r\nAuth-User: u1\r\n"),
        _ => lines("Auth-Status: Invalid login or password\r\n"),
    }
}

/// Also where a service knows the user by another name: guesses are counted under the one that was typed,
/// so who logged in is known at home by that, too.
#[test]
fn strangers_lock_nobody_out_who_has_another_name() {
    let store = host(Arc::default());
    let service = Service::start(renames);
    let stage = Stage::new(
        Settings::new()
            .backend("store", format!("imap://127.0.0.1:{store}"))
            .user("mapped@example.org", "store")
            .top(&service.source())
            .limits("failed_logins: { per_ip: 100/1h, per_user: 2/1h }"),
    );
    let alice = "alice@example.org";
    let home = || stage.login("192.0.2.1", alice, "right");
    let said = home();
    assert!(said.starts_with("OK"), "{said}");
    for n in 0..4 {
        let said = stage.login(&format!("198.51.100.{n}"), alice, &format!("guess{n}"));
        let want = ["NO [AUTHENTICATIONFAILED]", "NO [LIMIT]"][usize::from(n >= 2)];
        assert!(said.starts_with(want), "{n}: {said}");
    }
    let said = home();
    assert!(said.starts_with("OK"), "{said}");
}

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(50);

/// The line of a guess does not wait for its answer to be let go.
#[test]
fn a_guess_is_in_the_log_before_it_is_answered() {
    let store = host(Arc::default());
    let mut stage = Stage::new(
        Settings::new()
            .backend("store", format!("imap://127.0.0.1:{store}"))
            .user("\"@example.org\"", "store")
            .failure_delay("15s"),
    );
    let mut conn = Stage::connect(stage.imap, "192.0.2.1");
    conn.send(format!("a LOGIN alice@example.org {WRONG}\r\n"));
    stage
        .gateway
        .logged(&["event=login", "client=192.0.2.1:4711"]);
    assert_eq!(conn.heard_within(Duration::from_millis(1)), Heard::Nothing);
}

#[test]
fn the_oldest_silent_connection_makes_room() {
    let mut stage = Stage::new(Settings::to("demo://").limits("connections: 4"));
    let port = stage.gateway.ports.imap;
    let greeted = || {
        let mut conn = Conn::plain(port);
        assert!(conn.text().starts_with("* OK "));
        conn
    };
    // One of them is logged in, one in the middle of a handshake, two are silent.
    let mut inside = greeted();
    inside.send("a LOGIN demo demo\r\n");
    while !inside.text().starts_with("a OK") {}
    let mut shaking = Conn::plain(stage.gateway.ports.imaps);
    shaking.send(b"\x16\x03\x01");
    let admin = stage.gateway.ports.admin;
    stage
        .gateway
        .wait_until("both to be accepted", || connections(admin) >= 2);
    let (mut oldest, mut second) = (greeted(), greeted());
    // The one in its handshake is the oldest, and nothing can be said to it.
    let mut third = greeted();
    assert_eq!(shaking.rest(), b"");
    // A dribbler is as old as it is.
    oldest.send("b NO");
    let mut fourth = greeted();
    let said = String::from_utf8(oldest.rest()).unwrap();
    assert!(said.starts_with("* BYE "), "{said}");
    fourth.send("a LOGIN demo demo\r\n");
    while !fourth.text().starts_with("a OK") {}
    for conn in [&mut second, &mut third] {
        conn.send("a LOGIN demo demo\r\n");
        while !conn.text().starts_with("a OK") {}
    }
    // All are logged in: now nobody makes room.
    let mut late = Conn::plain(port);
    assert!(late.text().starts_with("* BYE "));
    inside.send("b NOOP\r\n");
    while !inside.text().starts_with("b OK") {}
}

/// Connections that owe a handshake or a PROXY header keep nobody behind them waiting, at any door (CVE-2024-28854).
#[test]
fn who_does_not_shake_hands_keeps_nobody_waiting() {
    let stage = Stage::new(
        Settings::to("demo://").top("timeouts: { tls_handshake: 10m, proxy_header: 10m }"),
    );
    let ports = stage.gateway.ports;
    // Half of them say nothing, the others begin.
    let silent = |port: u16, words: &[u8]| -> Vec<Conn> {
        let begun = |n: usize| {
            let mut conn = Conn::plain(port);
            conn.send(&words[..n % 2 * words.len()]);
            conn
        };
        (0..20).map(begun).collect()
    };
    let greeted_by_tls = |port: u16| {
        let mut conn = Conn::tls(port);
        conn.text();
        conn
    };
    type Greeted<'a> = &'a dyn Fn(u16) -> Conn;
    let behind_balancer = |port: u16| Stage::connect(port, "192.0.2.7");
    let doors: [(&str, u16, &[u8], Greeted); 4] = [
        ("imaps", ports.imaps, b"\x16\x03\x01", &greeted_by_tls),
        ("pop3s", ports.pop3s, b"\x16\x03\x01", &greeted_by_tls),
        ("imap, proxied", stage.imap, b"PROXY ", &behind_balancer),
        ("pop3, proxied", stage.pop3, b"PROXY ", &behind_balancer),
    ];
    for (door, port, words, greeted) in doors {
        let _silent = silent(port, words);
        let begun = Instant::now();
        let mut conn = greeted(port);
        if door.starts_with("imap") {
            conn.send("a LOGIN demo demo\r\n");
            while !conn.text().starts_with("a OK") {}
        } else {
            conn.send("USER demo\r\nPASS demo\r\n");
            for said in [conn.text(), conn.text()] {
                assert!(said.starts_with("+OK"), "{door}: {said}");
            }
        }
        let took = begun.elapsed();
        assert!(took < PATIENCE, "{door}: a login took {took:?}");
    }
}

/// Connections that were accepted on `imap` and `imaps`.
fn connections(admin: u16) -> u64 {
    let (_, metrics) = admin_get(admin, "/metrics").unwrap();
    let counts = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("gatepost_connections_total{"))
        .filter_map(|line| line.split_once("} "))
        .map(|(_, count)| count.parse::<u64>().unwrap());
    counts.sum()
}
