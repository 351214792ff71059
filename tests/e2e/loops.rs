//! Gateways that lead to each other: the login comes around until its TTL is used up, and then fails
//! as a mistake of somebody's settings, not of the user's password.

use crate::support::gateway::Settings;
use crate::support::imap::Way;
use crate::support::pki::Pki;
use crate::support::pop3::Way as PopWay;
use crate::support::process::wait_for;
use crate::support::scratch::free_port;
use crate::support::stage::both;
use crate::support::{ALICE, Gateway, Imap, Pop3, Scratch};

/// Two gateways, each the other's only host.
fn circle(backend: impl Fn(u16, u16) -> String) -> ([Scratch; 2], [Gateway; 2]) {
    circle_over("pop3", backend)
}

fn circle_over(
    pop3_scheme: &str,
    backend: impl Fn(u16, u16) -> String,
) -> ([Scratch; 2], [Gateway; 2]) {
    let scratches = [Scratch::new(), Scratch::new()];
    let ports: [[u16; 2]; 2] = std::array::from_fn(|_| std::array::from_fn(|_| free_port()));
    let gateway = |n: usize, other: usize| {
        let [imap, pop3] = ports[n];
        let mut settings = Settings::to(backend(ports[other][0], ports[other][1]));
        for (scheme, port) in [("imap", imap), (pop3_scheme, pop3)] {
            settings = settings.listener(&match scheme.ends_with('s') {
                true => format!("{scheme}://127.0.0.1:{port}"),
                false => {
                    format!("{{ bind: \"{scheme}://127.0.0.1:{port}\", cleartext_login: true }}")
                }
            });
        }
        settings.start(&scratches[n], &Pki::new(&scratches[n]))
    };
    let gateways = [gateway(0, 1), gateway(1, 0)];
    // What is named last is dropped first: their logs are looked at then.
    (scratches, gateways)
}

#[test]
fn a_circle_of_gateways_is_found() {
    let (_scratches, mut gateways) = circle(both);
    let ports = gateways[0].ports;
    let mut imap = Imap::plain(ports.imap);
    imap.login(Way::PlainInitial, ALICE.name, ALICE.password)
        .no("SERVERBUG");
    // The client stays, and a gateway that leads nowhere does not call the password wrong.
    imap.command("NOOP").ok();
    let mut pop3 = Pop3::plain(ports.pop3);
    let answer = pop3.login(PopWay::UserPass, ALICE.name, ALICE.password);
    assert!(answer.starts_with("-ERR [SYS/PERM]"), "{answer}");
    for gateway in &mut gateways {
        gateway.logged(&["event=login", "result=SERVERBUG", "protocol=imap"]);
        gateway.logged(&["event=login", "result=SERVERBUG", "protocol=pop3"]);
        let log = gateway.log();
        let logins = log.lines().filter(|line| line.contains("event=login "));
        assert!(logins.count() <= 8, "it came around too often:\n{log}");
    }
    let logs = gateways.each_ref().map(Gateway::log_path);
    wait_for("the gateway that says how it came", || {
        let log = logs
            .each_ref()
            .map(|it| std::fs::read_to_string(it).unwrap());
        log.concat().contains("leads back here")
    });
}

/// The greeting leaves with the TLS handshake there, and must know by then who is let to tell where a login
/// comes from.
#[test]
fn also_where_pop3_is_in_tls_from_the_first_octet() {
    let (_scratches, mut gateways) = circle_over("pop3s", |imap, pop3| {
        format!(
            "{{ hosts: [{{ name: store, imap: \"imap://127.0.0.1:{imap}\", \
             pop3: \"pop3s://127.0.0.1:{pop3}\" }}], tls: {{ verify: false }} }}"
        )
    });
    for tls in [false, true] {
        let ports = gateways[0].ports;
        let mut pop3 = match tls {
            false => Pop3::plain(ports.pop3),
            true => Pop3::tls(ports.pop3s),
        };
        let answer = pop3.login(PopWay::UserPass, ALICE.name, ALICE.password);
        assert!(answer.starts_with("-ERR [SYS/PERM]"), "{answer}");
    }
    for gateway in &mut gateways {
        gateway.logged(&["event=login", "result=SERVERBUG", "protocol=pop3"]);
        let log = gateway.log();
        let logins = log.lines().filter(|line| line.contains("event=login "));
        assert!(logins.count() <= 8, "it came around too often:\n{log}");
    }
    let last = gateways.each_ref().map(Gateway::log).concat();
    assert!(last.contains("leads back here"), "{last}");
}

#[test]
fn also_where_pop3_is_made_from_imap() {
    let (_scratches, mut gateways) = circle(|imap, _| format!("imap://127.0.0.1:{imap}"));
    let mut pop3 = Pop3::plain(gateways[0].ports.pop3);
    let answer = pop3.login(PopWay::UserPass, ALICE.name, ALICE.password);
    assert!(answer.starts_with("-ERR [SYS/PERM]"), "{answer}");
    gateways[1].logged(&["event=login", "result=SERVERBUG", "protocol=imap"]);
}

/// And does not tell who is in the map: a way that is over is over for every name.
#[test]
fn what_a_client_says_of_its_ttl_only_shortens_the_way() {
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let gateway = Settings::new()
        .backend("store", "demo://")
        .user("demo", "store")
        .start(&scratch, &pki);
    for (login, ttl, code) in [
        ("demo demo", "255", None),
        ("demo demo", "2", None),
        ("demo demo", "1", Some("SERVERBUG")),
        ("demo demo", "0", Some("SERVERBUG")),
        ("demo wrong", "1", Some("SERVERBUG")),
        ("nobody wrong", "1", Some("SERVERBUG")),
        ("nobody wrong", "0", Some("SERVERBUG")),
        ("nobody wrong", "2", Some("AUTHENTICATIONFAILED")),
    ] {
        let mut imap = Imap::plain(gateway.ports.imap);
        imap.command(&format!(
            "ID (\"x-proxy-ttl\" \"{ttl}\" \"x-originating-ip\" \"192.0.2.1\")"
        ))
        .ok();
        let answer = imap.command(&format!("LOGIN {login}"));
        match code {
            Some(code) => drop(answer.no(code)),
            None => drop(answer.ok()),
        }
    }
    for user in ["demo", "nobody"] {
        let mut pop3 = Pop3::plain(gateway.ports.pop3);
        pop3.ok("XCLIENT TTL=1");
        let answer = pop3.login(PopWay::UserPass, user, "wrong");
        assert!(answer.starts_with("-ERR [SYS/PERM]"), "{user}: {answer}");
    }
    assert!(!gateway.log().contains("client=192.0.2.1"));
}
