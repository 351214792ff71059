//! Reloads that meet: another reload, an upgrade, a login under way; and files that only a backend
//! names.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::reload::{Play, host_of, replace, to};
use super::upgrade::Last;
use crate::support::gateway::{Settings, admin_ask, cli};
use crate::support::imap::Way;
use crate::support::pki::Pki;
use crate::support::process::wait_for;
use crate::support::scratch::free_port;
use crate::support::users::ANYBODYS;
use crate::support::{BOB, Imap, Scratch, scripted};

/// Hosts that say their name, the version of the settings that lead there.
const VERSIONS: [&str; 10] = ["v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9"];

fn many(port: u16) -> Settings {
    Settings::to(to(port)).limits("per_user: 10000, per_user_ip: 10000")
}

/// The watch may have read the file before a reload is asked for: what is told is what runs, not what
/// was read last.
#[test]
fn what_waits_for_a_restart_is_told_until_what_runs_is_written_again() {
    let host = scripted::imap_named("a");
    let runs = || Settings::to(to(host));
    let mut play = Play::new(&runs().top("threads: 2\n"));
    let at_restart = |play: &Play| {
        let (status, told) = play.gateway.reload();
        assert_eq!(status, 200, "{told:#}");
        told["at_restart"].clone()
    };
    let state = format!(
        "state: \"file://{}\"\n",
        play.file.with_file_name("state").display()
    );
    for (top, later) in [
        ("threads: 3\n".to_owned(), vec!["threads"]),
        (format!("threads: 3\n{state}"), vec!["threads", "state"]),
        (format!("threads: 2\n{state}"), vec!["state"]),
        ("threads: 2\n".to_owned(), vec![]),
    ] {
        play.write(&runs().top(&top));
        // Whoever was first, the watch or the first of these, took it.
        for time in ["first", "second"] {
            assert_eq!(at_restart(&play), serde_json::json!(later), "{top} {time}");
        }
    }
    let threads = play
        .gateway
        .logged(&["event=reload_at_restart", "key=threads"]);
    assert!(threads.contains("from the next start on"), "{threads}");
}

#[test]
fn of_reloads_at_once_the_newest_file_that_is_good_wins() {
    let ports = VERSIONS.map(scripted::imap_named);
    let play = Play::new(&many(ports[0]));
    // The newest version that is written, and so the oldest that a reload begun now may lead to.
    let newest = AtomicUsize::new(0);
    let users = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let written = newest.load(SeqCst);
                    let (status, told) = play.gateway.reload();
                    assert_eq!(status, 200, "{told:#}");
                    // Always another user: one user's sessions are on one host.
                    let user = format!("user{}", users.fetch_add(1, SeqCst));
                    let mut imap = Imap::plain(play.gateway.ports.imap);
                    imap.login(Way::LoginQuoted, &user, ANYBODYS).ok();
                    let on = host_of(&mut imap);
                    let on = VERSIONS.iter().position(|name| *name == on).unwrap();
                    assert!(on >= written, "version {on} after {written} was written");
                    if written + 1 == VERSIONS.len() {
                        break;
                    }
                }
            });
        }
        for (version, port) in ports.iter().enumerate().skip(1) {
            play.write(&many(*port));
            newest.store(version, SeqCst);
            // And the watch, and a signal.
            play.gateway.signal("HUP");
            std::thread::sleep(Duration::from_millis(30));
        }
    });
    assert_eq!(play.lands_on(), "v9");
    // A bad one, asked for by several: refused to all of them, and the last good one stays.
    replace(&play.file, "listeners: [");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(play.gateway.reload().0, 422));
        }
    });
    assert_eq!(play.lands_on(), "v9");
}

#[test]
fn a_login_under_way_goes_by_one_version() {
    // The host holds back its answer to LOGIN until it is told.
    let (answer, told) = mpsc::channel::<()>();
    let told = Arc::new(std::sync::Mutex::new(told));
    let (asked, heard) = mpsc::channel::<String>();
    let slow = scripted::imap("[CAPABILITY IMAP4rev1 LITERAL+] here", move |command| {
        if command.verb == "LOGIN" {
            let _ = asked.send(command.rest.to_owned());
            let _ = told.lock().unwrap().recv();
        }
        format!("* OK [slow] here\r\n{} OK done\r\n", command.tag)
    });
    let other = scripted::imap_named("other");
    let old = Settings::new()
        .backend("old", to(slow))
        .user("\"*\"", "{ backend: old, login: \"old-{user}\" }");
    let new = Settings::new()
        .backend("new", to(other))
        .user("\"*\"", "{ backend: new, login: \"new-{user}\" }")
        .limits("per_user: 1");
    let mut play = Play::new(&old);
    let port = play.gateway.ports.imap;
    let login = std::thread::spawn(move || {
        let mut imap = Imap::plain(port);
        imap.login(Way::LoginQuoted, BOB.name, BOB.password).ok();
        imap.command("NOOP").ok().text()
    });
    // The host was asked by the old settings; they are gone before it answers.
    let line = heard.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(line.contains("old-"), "{line}");
    play.reload(&new);
    assert_eq!(play.lands_on(), "other");
    answer.send(()).unwrap();
    let said = login.join().unwrap();
    assert!(said.contains("[slow]"), "{said}");
    play.gateway
        .logged(&["event=login", "result=ok", "backend=old"]);
    play.gateway
        .logged(&["event=login", "result=ok", "backend=new"]);
}

#[test]
fn a_reload_during_an_upgrade_is_not_lost() {
    let names = ["a", "b", "c", "d"];
    let ports = names.map(scripted::imap_named);
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let first = many(ports[0]).top("timeouts: { drain: 1s }");
    let gateway = first.start(&scratch, &pki);
    let mut last = Last(gateway.pid());
    let imap = gateway.ports.imap;
    for (round, pause) in [0, 100, 300].into_iter().enumerate() {
        let extra = free_port();
        let settings = many(ports[round + 1])
            .top("timeouts: { drain: 1s }")
            .listener(&format!(
                "{{ bind: \"imap://127.0.0.1:{extra}\", cleartext_login: true }}"
            ))
            .yaml(&gateway.ports, &pki);
        std::thread::scope(|scope| {
            let upgrade = scope.spawn(|| cli(&["upgrade"], &gateway.config));
            std::thread::sleep(Duration::from_millis(pause));
            replace(&gateway.config, &settings);
            // Done, or told that another process takes over.
            let (status, told) = gateway.reload();
            assert!(
                status == 200 || (status == 422 && told.to_string().contains("takes over")),
                "{status} {told:#}"
            );
            last.is_now(&upgrade.join().unwrap());
        });
        // What is new is served by the new process in the end, the new port too.
        wait_for("the new settings", || {
            TcpStream::connect(("127.0.0.1", extra)).is_ok()
                && host_of(&mut Imap::logged_in(extra, BOB)) == names[round + 1]
                && host_of(&mut Imap::logged_in(imap, BOB)) == names[round + 1]
        });
    }
    last.end();
}

/// An IMAP host behind TLS that believes clients of the authority only.
fn host_that_asks_for_certificates(pki: &Pki) -> u16 {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(&pki.ca).unwrap();
    roots.add(ca).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let chain = vec![CertificateDer::from_pem_file(&pki.cert).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&pki.key).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    scripted::host(move |stream: TcpStream| {
        let conn = ServerConnection::new(config.clone()).unwrap();
        let mut tls = BufReader::new(StreamOwned::new(conn, stream));
        let greeting = b"* OK [CAPABILITY IMAP4rev1 LITERAL+] here\r\n";
        if tls.get_mut().write_all(greeting).is_err() {
            return;
        }
        let mut line = String::new();
        while tls.read_line(&mut line).is_ok_and(|n| n > 0) {
            let tag = line.split(' ').next().unwrap_or("*").to_owned();
            let said = tls
                .get_mut()
                .write_all(format!("{tag} OK done\r\n").as_bytes());
            if said.is_err() {
                return;
            }
            line.clear();
        }
    })
}

#[test]
fn files_that_a_backend_names_are_read_anew() {
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let host = host_that_asks_for_certificates(&pki);
    let name = |name: &str| scratch.join(name);
    let (ca, cert, key) = (name("their-ca.pem"), name("our.pem"), name("our.key"));
    let put = |from: &PathBuf, to: &PathBuf| replace(to, &fs::read_to_string(from).unwrap());
    put(&pki.self_signed.0, &ca);
    put(&pki.client.0, &cert);
    put(&pki.client.1, &key);
    let backend = format!(
        "{{ hosts: [\"imaps://127.0.0.1:{host}\"], health: none, tls: {{ ca: {}, cert: {}, key: {} }} }}",
        ca.display(),
        cert.display(),
        key.display()
    );
    let gateway = Settings::new()
        .backend("store", backend)
        .user("\"*\"", "store")
        .limits("per_user: 10000, per_user_ip: 10000")
        .start(&scratch, &pki);
    let port = gateway.ports.imap;
    let works = || {
        let mut imap = Imap::plain(port);
        let answer = imap.login(Way::LoginQuoted, BOB.name, BOB.password);
        answer.status.starts_with("OK")
    };
    assert!(!works(), "a host of an authority that is not the backend's");
    put(&pki.ca, &ca);
    wait_for("the host's authority", works);
    put(&pki.self_signed.0, &cert);
    put(&pki.self_signed.1, &key);
    wait_for("a certificate that the host refuses", || !works());
    put(&pki.client.0, &cert);
    put(&pki.client.1, &key);
    wait_for("a certificate that the host believes", works);
}

/// To open a pipe that nobody reads would take until somebody does: with one thread, all mail would wait.
#[test]
fn a_log_that_is_a_pipe_nobody_reads_is_refused() {
    let settings = |log: &str| Settings::to("demo://").top("threads: 1").log(log);
    let play = Play::new(&settings("level: info"));
    let pipe = play.file.with_file_name("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    play.write(&settings(&format!(
        "level: info, output: \"{}\"",
        pipe.display()
    )));
    let reload = || admin_ask(play.gateway.ports.admin, "POST", "/api/v1/reload").unwrap();
    let log_in = || {
        let mut imap = Imap::plain(play.gateway.ports.imap);
        imap.login(Way::LoginQuoted, "demo", "demo").ok();
    };
    let (status, told) = reload();
    assert_eq!(status, 422, "{told}");
    assert!(told.contains("nobody reads"), "{told}");
    log_in();
    // To write as well lets it be opened at once.
    let reader = fs::File::options().read(true).write(true).open(&pipe);
    let (status, told) = reload();
    assert_eq!(status, 200, "{told}");
    log_in();
    let mut line = String::new();
    BufReader::new(reader.unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("event="), "{line}");
}
