//! Backends by the server that a client asks for: SCRAM is offered there and relayed, and nobody is
//! sent against the map.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::clients::mpop;
use super::sasl::{imaplib_by_each, stage};
use crate::support::gateway::{Settings, admin_get};
use crate::support::imap::Way;
use crate::support::mail::message;
use crate::support::need::{DOVECOT, Need, needs};
use crate::support::pki::Pki;
use crate::support::scratch::free_port;
use crate::support::stage::both;
use crate::support::wire::Conn;
use crate::support::{BOB, Imap, Scratch, Stage};

/// Ports of listeners that know a Dovecot by the names `localhost` and `*.mail.example`. Everybody
/// else goes to the built-in store, and its user `demo` does so by an entry of the map.
struct Ports {
    imaps: u16,
    pop3s: u16,
    imap: u16,
    pop3: u16,
}

fn named() -> (Stage, Ports) {
    let [imaps, pop3s, imap, pop3] = std::array::from_fn(|_| free_port());
    let ports = Ports {
        imaps,
        pop3s,
        imap,
        pop3,
    };
    let mut stage = stage(|dovecot| {
        let listener = |settings: Settings, (scheme, port): (&str, u16)| {
            settings.listener(&format!(
                "{{ bind: \"{scheme}://127.0.0.1:{port}\", server_names: {{ localhost: scram, \"*.Mail.Example\": scram }} }}"
            ))
        };
        let settings = Settings::new()
            .backend("scram", both(dovecot.imap, dovecot.pop3))
            .backend("built-in", "demo://")
            .user("demo", "built-in")
            .user("\"*\"", "built-in");
        [
            ("imaps", imaps),
            ("pop3s", pop3s),
            ("imap", imap),
            ("pop3", pop3),
        ]
        .into_iter()
        .fold(settings, listener)
    });
    // What hosts take is known from a look at them.
    stage
        .gateway
        .wait_until("the host's mechanisms to be listed", || {
            capabilities(imaps, "localhost").contains("SCRAM-SHA-256")
        });
    (stage, ports)
}

fn asking(port: u16, server_name: &str) -> Imap {
    Imap::new(Conn::tls_from([127, 0, 0, 1], port, server_name))
}

fn capabilities(port: u16, server_name: &str) -> String {
    asking(port, server_name).command("CAPABILITY").ok().text()
}

#[test]
fn scram_is_offered_and_relayed_by_server_name() {
    needs!(DOVECOT, Need::Program("python3"), Need::Program("mpop"));
    let (stage, ports) = named();
    let mut stage = stage.delivered(BOB, &[message("one", b"text\n")]);
    // Both mechanisms, right and wrong passwords, the host's proof checked; tokens besides.
    imaplib_by_each(&stage, ports.imaps);
    for (way, port, starttls) in [("tls", ports.pop3s, "off"), ("stls", ports.pop3, "on")] {
        let how = format!(
            "auth scram-sha-256\nuser {}\npassword {}\ntls_starttls {starttls}\n",
            BOB.name, BOB.password
        );
        let collected = mpop(&stage, way, port, &how).len();
        assert_eq!(collected, 1, "{way}");
    }
    for protocol in ["protocol=imap", "protocol=pop3"] {
        stage.gateway.logged(&[
            "event=login result=ok",
            "mechanism=SCRAM-SHA-256",
            protocol,
            "backend=scram",
        ]);
    }
}

#[test]
fn scram_is_listed_by_the_name_and_nowhere_else() {
    needs!(DOVECOT);
    let (_stage, ports) = named();
    for (name, listed) in [
        ("LOCALHOST", true),
        ("imap.mail.example", true),
        ("mail.example", false),
        ("a.imap.mail.example", false),
        ("elsewhere.example", false),
    ] {
        let list = capabilities(ports.imaps, name);
        assert_eq!(list.contains("SCRAM"), listed, "{name}: {list}");
    }
    // The name is known once TLS has begun.
    let mut imap = Imap::plain(ports.imap);
    assert!(!imap.command("CAPABILITY").ok().text().contains("SCRAM"));
    imap.start_tls();
    assert!(imap.command("CAPABILITY").ok().text().contains("SCRAM"));
}

#[test]
fn nobody_is_sent_against_the_map() {
    needs!(DOVECOT);
    let (mut stage, ports) = named();
    let login = |server_name: &str, user: &str, password: &str| {
        asking(ports.imaps, server_name).login(Way::PlainInitial, user, password)
    };
    // Whom no entry names goes where the server's users are, and only by asking for it.
    login("localhost", BOB.name, BOB.password).ok();
    login("elsewhere.example", BOB.name, BOB.password).no("AUTHENTICATIONFAILED");
    // Whom one names goes there, whatever server was asked for.
    login("localhost", "demo", "demo").ok();
    login("elsewhere.example", "demo", "demo").ok();
    // By SCRAM, too: that store knows none, and no other host is asked.
    let mut imap = asking(ports.imaps, "localhost");
    let first = STANDARD.encode("n,,n=demo,r=rOprNGfwEbeRWgbNEkqO");
    imap.command(&format!("AUTHENTICATE SCRAM-SHA-256 {first}"))
        .no("CONTACTADMIN");
    stage.gateway.logged(&[
        "event=login",
        "result=CONTACTADMIN",
        "mechanism=SCRAM-SHA-256",
        "backend=built-in",
    ]);
    let log = stage.dovecot.log();
    assert!(!log.contains("demo"), "{log}");
}

/// What a process has in memory beside the pages of files, in octets.
fn anonymous(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Anonymous:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    1024 * kib.unwrap().parse::<u64>().unwrap()
}

#[test]
fn names_that_are_asked_for_once_take_no_memory() {
    /// So many handshakes, each for another server.
    const HANDSHAKES: usize = 3000;
    /// A quarter of what these names take wherever they are kept.
    const MOST: u64 = 180 * 1024;
    let (scratch, named) = (Scratch::new(), free_port());
    let mut gateway = Settings::to("demo://")
        .listener(&format!(
            "{{ bind: \"imaps://127.0.0.1:{named}\", server_names: {{ localhost: store, \"*.mail.example\": store }} }}"
        ))
        .log("level: info")
        .start(&scratch, &Pki::new(&scratch));
    let ports = gateway.ports;
    let mut after = |name: &dyn Fn(usize) -> String| {
        for n in 0..HANDSHAKES {
            // Where names choose the backend, and where they do not.
            let door = [named, ports.imaps][n % 2];
            let mut conn = Conn::tls_from([127, 0, 0, 1], door, &name(n));
            // One after the other: how many are there at once would count, too.
            conn.try_close_write();
            conn.rest();
        }
        gateway.wait_until("the last session to end", || {
            let (_, sessions) = admin_get(ports.admin, "/api/v1/sessions").unwrap();
            sessions.contains("\"sessions\":[]")
        });
        anonymous(gateway.pid())
    };
    let label = "x".repeat(57);
    let long = |n: usize| format!("{n:05}.{label}.{label}.{label}.{label}.mail.example");
    // A handshake that names nobody, as those do who know an address only, then one name, then each its own.
    after(&|_| "127.0.0.1".to_owned());
    let mut before = after(&|_| long(0));
    // The allocator takes a piece of two MiB at some time. What keeps names grows each time.
    let small = (0..3).any(|round| {
        let now = after(&|n| long(1 + round * HANDSHAKES + n));
        eprintln!("{before} octets became {now} after {HANDSHAKES} names");
        let grown = now.saturating_sub(std::mem::replace(&mut before, now));
        grown <= MOST
    });
    assert!(small, "names are kept");
}
