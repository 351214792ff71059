//! Master logins: the gateway checks the client, Dovecot lets a master in for it.

use crate::support::gateway::{Settings, admin_get};
use crate::support::imap::{WAYS, Way};
use crate::support::need::{DOVECOT, needs};
use crate::support::pki::Pki;
use crate::support::pop3::{WAYS as POP_WAYS, Way as PopWay};
use crate::support::scratch::free_port;
use crate::support::stage::both;
use crate::support::users::WRONG;
use crate::support::wire::Conn;
use crate::support::{ALICE, BOB, Dovecot, Imap, Pop3, Scratch, Stage};

/// The password that the gateway knows alice and bob by; Dovecot has others.
pub(crate) const OURS: &str = "tanstaaf";
const BCRYPT: &str = "{BLF-CRYPT}$2y$05$QS25kUNq1IDcrkABuq4pfuA7KrAxNFxgmVKy74ew3kXGEauxRm4XG";

/// The master's own. Any login may have to carry it.
const MASTER: &str = r#"the "master's" own \ key"#;

fn dovecot(scratch: &Scratch, pki: &Pki) -> Dovecot {
    let masters = scratch.write("masters", format!("gateway:{{PLAIN}}{MASTER}\n"));
    let more = format!(
        "auth_master_user_separator = *
passdb {{
  driver = passwd-file
  args = {}
  master = yes
}}
",
        masters.display()
    );
    Dovecot::with(scratch, pki, &more)
}

fn passwords(users: &[&str]) -> String {
    users
        .iter()
        .map(|user| format!("{user}:{BCRYPT}\n"))
        .collect()
}

/// `store` speaks both protocols, `only-imap` is translated for POP3 clients.
pub(crate) fn stage(more: impl FnOnce(Settings, &Pki) -> Settings) -> Stage {
    let stage = Stage::on(
        |scratch, pki| {
            scratch.write_private(
                "passwords",
                passwords(&["Alice", "bob", "evil*bob", "alice@example.org"]),
            );
            scratch.write_private("master", MASTER);
            dovecot(scratch, pki)
        },
        |dovecot, pki| {
            let master = "login_as: { master: gateway, password_file: master }, ";
            let with = |hosts: String| hosts.replacen('{', &format!("{{ {master}"), 1);
            let settings = Settings::new()
                .backend("store", with(both(dovecot.imap, dovecot.pop3)))
                .backend(
                    "only-imap",
                    with(format!(
                        "{{ hosts: [\"imap://127.0.0.1:{}\"] }}",
                        dovecot.imap
                    )),
                )
                .user("\"*\"", "store")
                .user("alice@example.org", "{ backend: store, login: alice }")
                .user("mallory", "{ reject: \"go away\" }")
                .top("authenticate: { passwords: passwords }");
            more(settings, pki)
        },
    );
    stage
        .dovecot
        .deliver(ALICE.name, &[b"Subject: for alice\n\nhello\n".to_vec()]);
    stage
}

#[test]
fn a_master_logs_in_for_who_knows_the_password_here() {
    needs!(DOVECOT);
    let mut stage = stage(|settings, _| settings);
    let ports = stage.gateway.ports;
    for way in WAYS {
        let mut imap = Imap::plain(ports.imap);
        imap.login(way, "alice", OURS).ok();
        imap.command("SELECT INBOX").ok();
        assert_eq!(imap.uids(), vec![1], "{way:?}");
        imap.command("LOGOUT").ok();
    }
    for way in POP_WAYS {
        let mut pop3 = Pop3::plain(ports.pop3);
        let answer = pop3.login(way, "ALICE", OURS);
        assert!(answer.starts_with("+OK"), "{way:?}: {answer}");
        assert!(pop3.ok("STAT").starts_with("1 "), "{way:?}");
        pop3.ok("QUIT");
    }
    stage
        .gateway
        .logged(&["event=login", "result=ok", "user=alice", "mechanism=PLAIN"]);
    stage
        .dovecot
        .logged(&["imap-login: Info: Login:", "user=<alice>"]);
    stage
        .dovecot
        .logged(&["pop3-login: Info: Login:", "user=<alice>"]);
    assert!(!stage.gateway.log().contains(OURS));
    assert!(
        !stage.gateway.log().contains("own \\"),
        "the master's password is in the log"
    );
}

#[test]
fn pop3_from_imap_goes_by_the_master_too() {
    needs!(DOVECOT);
    let mut port = 0;
    let mut stage = stage(|settings, _| {
        port = free_port();
        settings.listener(&format!(
            "{{ bind: \"pop3://127.0.0.1:{port}\", cleartext_login: true, backend: only-imap, name: second }}"
        ))
    });
    let mut pop3 = Pop3::plain(port);
    let answer = pop3.login(PopWay::UserPass, "alice", OURS);
    assert!(answer.starts_with("+OK"), "{answer}");
    let message = String::from_utf8_lossy(&pop3.multi("RETR 1")).into_owned();
    assert!(message.contains("for alice"), "{message}");
    pop3.ok("QUIT");
    stage
        .dovecot
        .logged(&["imap-login: Info: Login:", "user=<alice>"]);
}

#[test]
fn who_does_not_know_it_never_reaches_a_host() {
    needs!(DOVECOT);
    let stage = stage(|settings, _| settings);
    let ports = stage.gateway.ports;
    let mut texts = Vec::new();
    for (user, password) in [
        ("alice", WRONG),
        // What Dovecot itself would take.
        ("alice", ALICE.password),
        (BOB.name, BOB.password),
        ("nobody", OURS),
        ("gateway", MASTER),
        ("alice*gateway", MASTER),
        ("alice*gateway", OURS),
    ] {
        for way in [Way::PlainInitial, Way::LoginLiteral] {
            let mut imap = Imap::plain(ports.imap);
            let answer = imap.login(way, user, password).no("AUTHENTICATIONFAILED");
            // Told alike but for the session's id.
            texts.push(answer.status.rsplit_once(" (").unwrap().0.to_owned());
        }
        let mut pop3 = Pop3::plain(ports.pop3);
        let answer = pop3.login(PopWay::Plain, user, password);
        assert!(answer.starts_with("-ERR [AUTH]"), "{answer}");
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    // A name that could choose a master of its own is good here, and goes no further.
    let mut imap = Imap::plain(ports.imap);
    imap.login(Way::PlainInitial, "evil*bob", OURS)
        .no("CONTACTADMIN");
    // Rejected users are told before the password is looked at.
    let mut imap = Imap::plain(ports.imap);
    imap.login(Way::PlainInitial, "mallory", WRONG)
        .no("AUTHORIZATIONFAILED");
    let log = stage.dovecot.log();
    assert!(!log.contains("method="), "somebody tried to log in: {log}");
}

#[test]
fn a_masters_refusal_is_no_wrong_password() {
    needs!(DOVECOT);
    let mut stage = Stage::on(
        // This Dovecot knows no masters.
        |scratch, pki| {
            scratch.write_private("passwords", passwords(&["alice"]));
            Dovecot::start(scratch, pki)
        },
        |dovecot, _| {
            Settings::to(format!(
                "{{ hosts: [\"imap://127.0.0.1:{}\"], login_as: {{ master: gateway, password: tanstaafl }} }}",
                dovecot.imap
            ))
            .top("authenticate: { passwords: passwords }")
        },
    );
    let mut imap = Imap::plain(stage.gateway.ports.imap);
    imap.login(Way::PlainInitial, "alice", OURS)
        .no("CONTACTADMIN");
    stage
        .gateway
        .logged(&["event=login", "result=CONTACTADMIN", "login_as"]);
}

#[test]
fn passwords_change_with_their_file() {
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    scratch.write_private("passwords", passwords(&["demo"]));
    let mut gateway = Settings::to("demo://")
        .top("authenticate: { passwords: passwords }")
        .start(&scratch, &pki);
    let port = gateway.ports.imap;
    let gateway_admin = gateway.ports.admin;
    let login = |user: &str, password: &str| {
        let mut imap = Imap::plain(port);
        imap.login(Way::PlainInitial, user, password)
    };
    // The built-in store has another password, and is shown what the client showed.
    login("demo", OURS).no("AUTHENTICATIONFAILED");
    login("demo", "demo").no("AUTHENTICATIONFAILED");
    let of_demo = "{SHA512-CRYPT}$6$abcdefghijklmnop$Gf3wGsn7vtF8emDZwDRsxGgTFeBbHye5r6ZSmlw9MsO8t.yRKXGi4zNpebcjo6QnkodVmOO5euB5V9fQ7H3vh/";
    scratch.write_private("passwords", format!("demo:{of_demo}\n"));
    gateway.logged(&["passwords_swapped"]);
    login("demo", "demo").ok();
    scratch.write_private("passwords", "demo:{PLAIN}demo\n");
    gateway.logged(&["passwords_refused", "line 1"]);
    login("demo", "demo").ok();
    // Counted for what they are, not as reloads of the settings.
    for (series, count) in [
        ("password_reloads_total{result=\"ok\"}", 1),
        ("password_reloads_total{result=\"failed\"}", 1),
        ("reloads_total{result=\"ok\"}", 0),
        ("reloads_total{result=\"failed\"}", 0),
    ] {
        let line = format!("gatepost_{series} {count}\n");
        gateway.wait_until(&line, || {
            let (_, metrics) = admin_get(gateway_admin, "/metrics").unwrap();
            metrics.contains(&line)
        });
    }
}

#[test]
fn a_certificate_logs_in_where_a_master_does_it_for_it() {
    needs!(DOVECOT);
    let [imaps, pop3s, starttls] = std::array::from_fn(|_| free_port());
    let mut stage = stage(|settings, pki| {
        settings
            .asks_for_certificates("imaps", imaps, &pki.ca)
            .asks_for_certificates("pop3s", pop3s, &pki.ca)
            .asks_for_certificates("imap", starttls, &pki.ca)
    });
    let client = &stage.pki.client;
    // alice@example.org, whose login there is alice.
    let authzid = "YWxpY2VAZXhhbXBsZS5vcmc=";
    for initial in ["=", authzid] {
        let mut imap = Imap::new(Conn::tls_as(imaps, client));
        assert!(imap.command("CAPABILITY").text().contains(" AUTH=EXTERNAL"));
        imap.command(&format!("AUTHENTICATE EXTERNAL {initial}"))
            .ok();
        imap.command("SELECT INBOX").ok();
        assert_eq!(imap.uids(), vec![1]);
    }
    let mut pop3 = Pop3::new(Conn::tls_as(pop3s, client));
    assert!(
        pop3.lines("CAPA")
            .iter()
            .any(|line| line.starts_with("SASL ") && line.ends_with(" EXTERNAL"))
    );
    pop3.ok("AUTH EXTERNAL =");
    assert!(pop3.ok("STAT").starts_with("1 "));
    let mut imap = Imap::plain(starttls);
    assert!(!imap.command("CAPABILITY").text().contains("EXTERNAL"));
    imap.command("STARTTLS").ok();
    imap.conn.start_tls_as((&client.0, &client.1));
    imap.command("AUTHENTICATE EXTERNAL =").ok();

    stage.gateway.logged(&[
        "event=login",
        "result=ok",
        "user=alice@example.org",
        "mechanism=EXTERNAL",
    ]);
    stage
        .dovecot
        .logged(&["imap-login: Info: Login:", "user=<alice>"]);

    // Somebody else's name, no certificate, and one of nobody we know.
    let client = &stage.pki.client;
    let mut imap = Imap::new(Conn::tls_as(imaps, client));
    imap.command("AUTHENTICATE EXTERNAL Ym9i")
        .no("AUTHENTICATIONFAILED");
    let mut imap = Imap::tls(imaps);
    assert!(!imap.command("CAPABILITY").text().contains("EXTERNAL"));
    let answer = imap.command("AUTHENTICATE EXTERNAL =");
    assert!(answer.status.starts_with("NO "), "{}", answer.status);
    let refused = std::panic::catch_unwind(|| {
        let (cert, key) = &stage.pki.self_signed;
        Imap::new(Conn::tls_as(imaps, &(cert.clone(), key.clone())))
    });
    assert!(
        refused.is_err(),
        "a certificate of an unknown authority was taken"
    );
    // A password is as good there as anywhere.
    let mut imap = Imap::tls(imaps);
    imap.login(Way::PlainInitial, "alice", OURS).ok();
}
