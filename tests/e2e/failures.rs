//! Why a login failed, as each protocol says it: never an outage as a wrong password, always with a
//! code, and the client can try again on the same connection.

use crate::support::gateway::Settings;
use crate::support::imap::Way;
use crate::support::need::{DOVECOT, needs};
use crate::support::pop3::Way as PopWay;
use crate::support::scratch::free_port;
use crate::support::users::WRONG;
use crate::support::{ALICE, BOB, Dovecot, Imap, Pop3, Scratch, Stage, pki::Pki, scripted};

/// A user whose login fails, and how that is told.
struct Case {
    user: &'static str,
    /// The backend this user is sent to, as YAML; none: what the map says already.
    backend: Option<String>,
    imap: &'static str,
    pop3: &'static str,
}

/// Waits for hosts that say nothing are short: they will not get better.
const SHORT: &str =
    "connect_timeout: 2s, greeting_timeout: 300ms, login_timeout: 2s, retry_for: 0s, health: none";

/// Those for hosts that are to be heard are not, however slow the machine is.
const LONG: &str =
    "connect_timeout: 60s, greeting_timeout: 60s, login_timeout: 60s, retry_for: 0s, health: none";

#[test]
fn each_failure_has_its_reply_and_the_client_can_try_again() {
    needs!(DOVECOT);
    let own = free_port();
    let cases = |pki: &Pki, lone: &Dovecot, other: &Dovecot| {
        let host = |port: u16| format!("imap://127.0.0.1:{port}");
        let case = |user, url: String, imap, pop3| {
            let waits = match user {
                "silent" | "half" => SHORT,
                _ => LONG,
            };
            let ca = pki.ca.display();
            Case {
                user,
                backend: Some(format!(
                    "{{ hosts: [\"{url}\"], tls: {{ ca: \"{ca}\" }}, {waits} }}"
                )),
                imap,
                pop3,
            }
        };
        let (down, temp, perm) = ("UNAVAILABLE", "SYS/TEMP", "SYS/PERM");
        let verdict = scripted::imap_verdict;
        vec![
            case("down", host(free_port()), down, temp),
            case("silent", host(scripted::silent()), down, temp),
            case("closing", host(scripted::closing()), down, temp),
            case(
                "half",
                host(scripted::greeting("* OK and then nothing")),
                down,
                temp,
            ),
            case(
                "http",
                host(scripted::greeting("HTTP/1.1 400 Bad Request")),
                "SERVERBUG",
                perm,
            ),
            case(
                "preauth",
                host(scripted::greeting("* PREAUTH welcome")),
                "SERVERBUG",
                perm,
            ),
            case(
                "lone",
                format!("imaps://localhost:{}", lone.imaps),
                "CONTACTADMIN",
                perm,
            ),
            case(
                "lone-starttls",
                format!("imap+starttls://localhost:{}", lone.imap),
                "CONTACTADMIN",
                perm,
            ),
            case(
                "other-name",
                format!("imaps://localhost:{}", other.imaps),
                "CONTACTADMIN",
                perm,
            ),
            case(
                "no-starttls",
                format!("imap+starttls://127.0.0.1:{}", verdict("OK in clear")),
                "CONTACTADMIN",
                perm,
            ),
            case(
                "refused",
                host(verdict("NO go away")),
                "AUTHENTICATIONFAILED",
                "AUTH",
            ),
            case(
                "unavailable",
                host(verdict("NO [UNAVAILABLE] later")),
                down,
                temp,
            ),
            case("limit", host(verdict("NO [LIMIT] too many")), "LIMIT", temp),
            case(
                "expired",
                host(verdict("NO [EXPIRED] old password")),
                "EXPIRED",
                "AUTH",
            ),
            case(
                "contactadmin",
                host(verdict("NO [CONTACTADMIN] ask")),
                "CONTACTADMIN",
                perm,
            ),
            case("own", host(own), "SERVERBUG", perm),
        ]
    };
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let (lone_dir, other_dir) = (Scratch::new(), Scratch::new());
    let (cert, key) = &pki.self_signed;
    let lone = Dovecot::with_certificate(&lone_dir, cert, key, "");
    let (cert, key) = &pki.other_name;
    let other = Dovecot::with_certificate(&other_dir, cert, key, "");
    let good = Dovecot::start(&scratch, &pki);

    let mut cases = cases(&pki, &lone, &other);
    let mut settings = Settings::new()
        .limits("logins_per_session: 100")
        .listener(&format!(
            "{{ bind: \"imap://127.0.0.1:{own}\", cleartext_login: true }}"
        ))
        .backend("good", format!("imap://127.0.0.1:{}", good.imap))
        .backend(
            "closed",
            format!(
                "{{ hosts: [\"imap://127.0.0.1:{}\"], maintenance: \"back at 6\" }}",
                good.imap
            ),
        )
        .user(ALICE.name, "good")
        .user("nobody", "good")
        .user("moved", "{ reject: \"account moved, call 555-0100\" }")
        .user("maintained", "closed");
    for case in &cases {
        settings = settings
            .backend(case.user, case.backend.as_ref().unwrap())
            .user(case.user, case.user);
    }
    for (user, imap, pop3) in [
        ("alice", "AUTHENTICATIONFAILED", "AUTH"),
        ("nobody", "AUTHENTICATIONFAILED", "AUTH"),
        ("not-in-the-map", "AUTHENTICATIONFAILED", "AUTH"),
        ("moved", "AUTHORIZATIONFAILED", "AUTH"),
        ("maintained", "UNAVAILABLE", "SYS/TEMP"),
    ] {
        cases.push(Case {
            user,
            backend: None,
            imap,
            pop3,
        });
    }
    let mut gateway = settings.start(&scratch, &pki);

    let mut imap = Imap::plain(gateway.ports.imap);
    let mut pop3 = Pop3::plain(gateway.ports.pop3);
    let mut wrong = Vec::new();
    let mut words = Vec::new();
    for case in &cases {
        let answer = imap.login(Way::LoginQuoted, case.user, WRONG);
        if !answer.status.starts_with(&format!("NO [{}] ", case.imap)) {
            wrong.push(format!("{}: imap: {}", case.user, answer.status));
        }
        let line = pop3.login(PopWay::UserPass, case.user, WRONG);
        if !line.starts_with(&format!("-ERR [{}] ", case.pop3)) {
            wrong.push(format!("{}: pop3: {line}", case.user));
        }
        words.push((case.user, answer.status, line));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // All of this was one connection each, and it is still good for a login.
    imap.login(Way::LoginQuoted, ALICE.name, ALICE.password)
        .ok();
    imap.command("SELECT INBOX").ok();
    let line = pop3.login(PopWay::UserPass, ALICE.name, ALICE.password);
    assert!(line.starts_with("+OK"), "{line}");
    pop3.ok("STAT");

    // Wrong password, unknown to the host, unknown to us: nobody can tell which.
    let said = |name: &str| {
        let (_, imap, pop3) = words.iter().find(|(user, ..)| *user == name).unwrap();
        (imap.clone(), pop3.clone())
    };
    assert_eq!(said("nobody"), said("alice"));
    assert_eq!(said("not-in-the-map"), said("alice"));
    // What an operator wrote for the user reaches the user.
    assert!(said("moved").0.contains("account moved, call 555-0100"));
    assert!(said("moved").1.contains("account moved, call 555-0100"));
    assert!(said("maintained").0.contains("back at 6"));
    assert!(said("maintained").1.contains("back at 6"));
    // The text of each failure ends with the session's id, which is in the log.
    for (user, imap, pop3) in &words {
        for text in [imap, pop3] {
            let id = text.trim_end_matches([')', ']', '.']);
            let id = id
                .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')
                .next()
                .unwrap();
            assert!(id.len() > 3, "{user}: {text}");
            gateway.logged(&[&format!("session={id}")]);
        }
    }
}

#[test]
fn failures_of_pop3_hosts_are_told_by_their_codes() {
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let cases = [
        ("refused", "-ERR no", "AUTH"),
        ("auth", "-ERR [AUTH] no", "AUTH"),
        ("temporary", "-ERR [SYS/TEMP] later", "SYS/TEMP"),
        ("permanent", "-ERR [SYS/PERM] never", "SYS/PERM"),
        ("in-use", "-ERR [IN-USE] locked", "IN-USE"),
    ];
    let mut settings = Settings::new()
        .limits("logins_per_session: 100")
        .backend(
            "silent",
            format!(
                "{{ hosts: [{{ name: h, pop3: \"pop3://127.0.0.1:{}\" }}], {SHORT} }}",
                scripted::silent()
            ),
        )
        .user("silent", "silent")
        .backend(
            "good",
            format!(
                "{{ hosts: [{{ name: h, pop3: \"pop3://127.0.0.1:{}\" }}], {LONG} }}",
                scripted::pop3_verdict("+OK")
            ),
        )
        .user("good", "good");
    for (user, verdict, _) in cases {
        settings = settings
            .backend(
                user,
                format!(
                    "{{ hosts: [{{ name: h, pop3: \"pop3://127.0.0.1:{}\" }}], {LONG} }}",
                    scripted::pop3_verdict(verdict)
                ),
            )
            .user(user, user);
    }
    let gateway = settings.start(&scratch, &pki);
    let mut pop3 = Pop3::plain(gateway.ports.pop3);
    for (user, _, code) in cases.into_iter().chain([("silent", "", "SYS/TEMP")]) {
        let line = pop3.login(PopWay::UserPass, user, WRONG);
        assert!(
            line.starts_with(&format!("-ERR [{code}] ")),
            "{user}: {line}"
        );
    }
    let line = pop3.login(PopWay::UserPass, "good", WRONG);
    assert!(line.starts_with("+OK"), "{line}");
    pop3.ok("NOOP");
    // An IMAP client of a host that speaks only POP3.
    let mut imap = Imap::plain(gateway.ports.imap);
    imap.login(Way::LoginQuoted, "good", WRONG)
        .no("CONTACTADMIN");
}

#[test]
fn a_second_host_answers_for_one_that_is_down() {
    needs!(DOVECOT);
    let stage = Stage::with(|dovecot, _| {
        Settings::to(format!(
            "[imap://127.0.0.1:{}, imap://127.0.0.1:{}, imap://127.0.0.1:{}]",
            free_port(),
            dovecot.imap,
            scripted::closing()
        ))
    });
    for user in [ALICE, BOB] {
        for _ in 0..3 {
            let mut imap = Imap::logged_in(stage.gateway.ports.imap, user);
            imap.command("SELECT INBOX").ok();
            let mut pop3 = Pop3::logged_in(stage.gateway.ports.pop3, user);
            pop3.ok("STAT");
        }
    }
}

#[test]
fn too_many_failures_end_the_connection() {
    needs!(DOVECOT);
    let stage = Stage::new();
    let mut imap = Imap::plain(stage.gateway.ports.imap);
    for _ in 0..3 {
        imap.login(Way::LoginQuoted, ALICE.name, WRONG)
            .no("AUTHENTICATIONFAILED");
    }
    let rest = String::from_utf8(imap.conn.rest()).unwrap();
    assert!(rest.is_empty() || rest.starts_with("* BYE"), "{rest}");
    let mut pop3 = Pop3::plain(stage.gateway.ports.pop3);
    for _ in 0..3 {
        let line = pop3.login(PopWay::UserPass, ALICE.name, WRONG);
        assert!(line.starts_with("-ERR [AUTH]"), "{line}");
    }
    assert_eq!(pop3.conn.rest(), b"");
}

#[test]
fn a_host_that_loses_bursts_fails_one_pop3_login_only() {
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let host = scripted::imap_losing_bursts();
    // What was lost is waited for until the login's time is over.
    let waits = "greeting_timeout: 60s, login_timeout: 4s, retry_for: 0s, health: none";
    let backend = format!("{{ hosts: [\"imap://127.0.0.1:{host}\"], {waits} }}");
    let gateway = Settings::to(backend).start(&scratch, &pki);
    let mut pop3 = Pop3::plain(gateway.ports.pop3);
    let first = pop3.login(PopWay::UserPass, "carol", WRONG);
    assert!(first.starts_with("-ERR [SYS/TEMP] "), "{first}");
    let second = pop3.login(PopWay::UserPass, "carol", WRONG);
    assert!(second.starts_with("+OK"), "{second}");
    assert_eq!(pop3.ok("STAT").trim_start_matches("+OK "), "0 0");
}
