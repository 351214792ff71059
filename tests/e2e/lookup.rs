//! Logins that a lookup service decides: where they go, as whom, and what becomes of them where the
//! service hangs, talks nonsense or is away. Nobody who is waiting for its word ever reaches the
//! default.

use std::sync::{Arc, Mutex};

use crate::support::gateway::{Settings, admin_get, cli};
use crate::support::imap::Way;
use crate::support::lookup::{Question, Service, lines};
use crate::support::pki::Pki;
use crate::support::pop3::Way as PopWay;
use crate::support::{BOB, Imap, Pop3, Scratch, scripted};

type Seen = Arc<Mutex<Vec<String>>>;

/// An IMAP host, and the logins it saw.
fn host() -> (u16, Seen) {
    let seen = Seen::default();
    (scripted::imap_recording(seen.clone()), seen)
}

/// Who is in the map goes to one host, everybody else would go to another: it must stay untouched.
fn settings(service: &Service, store: u16, default: u16) -> Settings {
    Settings::new()
        .backend("store", format!("imap://127.0.0.1:{store}"))
        .backend("rest", format!("imap://127.0.0.1:{default}"))
        .user("mapped@example.org", "store")
        .user("\"*\"", "rest")
        .top(&service.source())
}

fn to_store(question: &Question) -> Vec<u8> {
    match question.get("Auth-User").as_deref() {
        Some("away@example.org") => lines("Auth-Status: account closed, call 555-0100\r\n"),
        Some("rest@example.org") => lines("Auth-Status: OK\r\nAuth-Backend: *\r\n"),
        Some("other@example.org") => {
            lines("Auth-Status: OK\r\nAuth-Backend: store\r\nAuth-User: u2\r\nAuth-Pass: p2\r\n")
        }
        _ => lines("Auth-Status: OK\r\nAuth-Backend: store\r\n"),
    }
}

#[test]
fn the_service_says_where_a_login_goes_and_as_whom() {
    let scratch = Scratch::new();
    let (store, at_store) = host();
    let (rest, at_rest) = host();
    let service = Service::start(to_store);
    let mut gateway = settings(&service, store, rest).start(&scratch, &Pki::new(&scratch));
    let log_in =
        |user: &str| Imap::plain(gateway.ports.imap).login(Way::LoginQuoted, user, BOB.password);
    log_in("bob@example.org").ok();
    log_in("other@example.org").ok();
    log_in("rest@example.org").ok();
    log_in("mapped@example.org").ok();
    let no = log_in("away@example.org").no("AUTHENTICATIONFAILED");
    assert!(
        no.status.contains("account closed, call 555-0100"),
        "{}",
        no.status
    );
    let mut pop3 = Pop3::plain(gateway.ports.pop3);
    let said = pop3.login(PopWay::UserPass, "bob@example.org", BOB.password);
    assert!(said.starts_with("+OK"), "{said}");
    let bob = format!("bob@example.org\" \"{}", BOB.password);
    let logins = at_store.lock().unwrap().join("\n").replace("LOGIN ", "");
    let plain = logins.replace('"', "");
    let want = [
        bob.replace('"', ""),
        "u2 p2".to_owned(),
        format!("mapped@example.org {}", BOB.password),
        bob.replace('"', ""),
    ];
    assert_eq!(plain, want.join("\n"));
    assert_eq!(at_rest.lock().unwrap().len(), 1);
    let asked: Vec<_> = service.questions();
    assert_eq!(asked.len(), 5, "who is in the map is not asked for");
    assert_eq!(asked[4].get("Auth-Protocol").as_deref(), Some("pop3"));
    gateway.logged(&[
        "event=login",
        "result=AUTHENTICATIONFAILED",
        "account closed",
    ]);
}

#[test]
fn a_server_that_the_answer_names_speaks_the_protocol_that_was_asked_for() {
    static HOSTS: Mutex<(u16, u16)> = Mutex::new((0, 0));
    let (imap, seen) = host();
    let pop3 = scripted::pop3_verdict("+OK in");
    *HOSTS.lock().unwrap() = (imap, pop3);
    let service = Service::start(|question| {
        let (imap, pop3) = *HOSTS.lock().unwrap();
        let port = match question.get("Auth-Protocol").as_deref() {
            Some("imap") => imap,
            _ => pop3,
        };
        lines(&format!(
            "Auth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: {port}\r\n"
        ))
    });
    let scratch = Scratch::new();
    let mut gateway = settings(&service, 1, 1).start(&scratch, &Pki::new(&scratch));
    let mut session = Imap::plain(gateway.ports.imap);
    session.login(Way::LoginQuoted, BOB.name, BOB.password).ok();
    assert_eq!(seen.lock().unwrap().len(), 1);
    let answer = Pop3::plain(gateway.ports.pop3).login(PopWay::UserPass, BOB.name, BOB.password);
    assert!(answer.starts_with("+OK"), "{answer}");
    let source = format!("backend=http://127.0.0.1:{}/auth", service.port);
    let host = format!("host=127.0.0.1:{imap}");
    gateway.logged(&["event=login", "result=ok", "protocol=imap", &source, &host]);
}

#[test]
fn nonsense_is_a_temporary_failure_with_a_clear_word_in_the_log() {
    fn nonsense(question: &Question) -> Vec<u8> {
        const OK: &str = "Auth-Status: OK\r\nAuth-Port: 143\r\n";
        match question.get("Auth-User").as_deref() {
            Some("hangs") => Vec::new(),
            Some("head") => format!("HTTP/1.1 200 OK\r\n{OK}X: {}", "x".repeat(10_000_000)).into(),
            Some("body") => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n{OK}Auth-Server: 127.0.0.1\r\n\r\n"
                );
                (head + &"x".repeat(10_000_000)).into()
            }
            Some("cr") => lines(&format!("{OK}Auth-Server: 127.0.0.1\rX-Y: z\r\n")),
            Some("escaped") => lines(&format!("{OK}Auth-Server: 127.0.0.1%0d%0a\r\n")),
            Some("zero") => lines("Auth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: 0\r\n"),
            Some("unknown") => lines("Auth-Status: OK\r\nAuth-Backend: nowhere\r\n"),
            Some("500") => b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_vec(),
            Some("silent") => lines("X: y\r\n"),
            _ => b"I speak no HTTP\r\n\r\n".to_vec(),
        }
    }
    let scratch = Scratch::new();
    let (store, at_store) = host();
    let (rest, at_rest) = host();
    let service = Service::start(nonsense);
    let settings = settings(&service, store, rest);
    let mut gateway = settings.start(&scratch, &Pki::new(&scratch));
    for (user, words) in [
        ("hangs", "no answer within 2s"),
        ("head", "head is larger than 32 KiB"),
        ("body", "body of more than 64 KiB"),
        ("cr", "the answer is not HTTP"),
        ("escaped", "Auth-Server is no address"),
        ("zero", "Auth-Port is no port"),
        ("unknown", "Auth-Backend names no backend"),
        ("500", "500 Internal Server Error"),
        ("silent", "has no Auth-Status"),
        ("garbage", "the answer is not HTTP"),
    ] {
        let mut imap = Imap::plain(gateway.ports.imap);
        imap.login(Way::LoginQuoted, user, BOB.password)
            .no("UNAVAILABLE");
        gateway.logged(&["event=lookup_failed", &format!("user={user}"), words]);
        // The same connection, another user: nothing is lost.
        imap.login(Way::LoginQuoted, "mapped@example.org", BOB.password)
            .ok();
        let mut pop3 = Pop3::plain(gateway.ports.pop3);
        let said = pop3.login(PopWay::UserPass, user, BOB.password);
        assert!(said.starts_with("-ERR [SYS/TEMP]"), "{user}: {said}");
    }
    assert_eq!(at_store.lock().unwrap().len(), 10);
    assert!(
        at_rest.lock().unwrap().is_empty(),
        "somebody came to the default"
    );
}

#[test]
fn while_the_service_is_away_users_go_where_it_last_sent_them() {
    static AWAY: Mutex<bool> = Mutex::new(false);
    let scratch = Scratch::new();
    let (store, at_store) = host();
    let (rest, at_rest) = host();
    let service = Service::start(|question| match *AWAY.lock().unwrap() {
        true => b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n".to_vec(),
        false => to_store(question),
    });
    let settings = settings(&service, store, rest);
    let mut gateway = settings.start(&scratch, &Pki::new(&scratch));
    let port = gateway.ports.imap;
    let log_in =
        |user: &str, password: &str| Imap::plain(port).login(Way::LoginQuoted, user, password);
    log_in("bob@example.org", "right").ok();
    log_in("other@example.org", "right").ok();
    *AWAY.lock().unwrap() = true;
    log_in("bob@example.org", "another").ok();
    log_in("Other@Example.org", "right").ok();
    // Its answer brought a password: it was for who showed the right one.
    log_in("other@example.org", "guessed").no("UNAVAILABLE");
    log_in("carol@example.org", "right").no("UNAVAILABLE");
    assert_eq!(at_store.lock().unwrap().len(), 4);
    assert!(at_rest.lock().unwrap().is_empty());
    gateway.logged(&[
        "event=lookup_failed",
        "user=bob@example.org",
        "last known route",
    ]);
    let explained = admin_get(gateway.ports.admin, "/api/v1/route?user=bob@example.org")
        .unwrap()
        .1;
    assert!(explained.contains("\"backend\":\"store\""), "{explained}");
}

#[test]
fn over_tls_the_service_is_believed_only_with_a_certificate() {
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let (store, at_store) = host();
    let (good, ca) = ((&pki.cert, &pki.key), Some(&pki.ca));
    for ((cert, key), trust, believed) in [
        (good, ca, true),
        (good, None, false),
        ((&pki.self_signed.0, &pki.self_signed.1), ca, false),
        ((&pki.other_name.0, &pki.other_name.1), ca, false),
    ] {
        let service = Service::start_tls(to_store, cert, key);
        let mut settings = Settings::to(format!("imap://127.0.0.1:{store}"))
            .backend("rest", "imap://127.0.0.1:1")
            .top(&format!(
                "users_from: [{{ http: \"https://localhost:{}/auth\" }}]",
                service.port
            ));
        if let Some(ca) = trust {
            settings = settings.env("SSL_CERT_FILE", ca.to_str().unwrap());
        }
        let mut gateway = settings.start(&scratch, &pki);
        let mut imap = Imap::plain(gateway.ports.imap);
        let said = imap.login(Way::LoginQuoted, "bob@example.org", BOB.password);
        if believed {
            said.ok();
            assert_eq!(service.questions().len(), 1);
        } else {
            said.no("UNAVAILABLE");
            gateway.logged(&["event=lookup_failed", "tls to the host failed"]);
            assert!(service.questions().is_empty(), "a password was shown");
        }
    }
    assert_eq!(at_store.lock().unwrap().len(), 1);
}

#[test]
fn explain_says_that_a_service_is_asked() {
    let scratch = Scratch::new();
    let service = Service::start(to_store);
    let gateway = settings(&service, 1, 1).start(&scratch, &Pki::new(&scratch));
    let told = cli(
        &["explain", "bob@example.org", "--json"],
        &scratch.join("proxy.yaml"),
    );
    let told = String::from_utf8(told.stdout).unwrap();
    let url = format!("http://127.0.0.1:{}/auth", service.port);
    for part in [
        &format!("\"entry\": \"{url}\""),
        "proxy.yaml\"",
        "\"backend\": null",
        "is asked, with the password",
    ] {
        assert!(told.contains(part), "expected {part} in {told}");
    }
    assert!(service.questions().is_empty(), "explaining asks nobody");
    drop(gateway);
}
