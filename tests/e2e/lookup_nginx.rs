//! nginx and the gateway ask the same lookup service about the same logins: header for header the
//! same. A real nginx (Debian's, with its mail module) says what there is to say.

use std::path::PathBuf;
use std::process::Command;

use crate::support::gateway::Settings;
use crate::support::imap::Way;
use crate::support::lookup::{Question, Service};
use crate::support::need::{self, Need, needs};
use crate::support::pki::Pki;
use crate::support::pop3::Way as PopWay;
use crate::support::process::Running;
use crate::support::scratch::free_port;
use crate::support::users::AWKWARD;
use crate::support::wire::Conn;
use crate::support::{ALICE, BOB, Imap, Pop3, Scratch};

/// Where one of the two takes logins.
#[derive(Clone, Copy)]
struct Ports {
    imap: u16,
    pop3: u16,
    imaps: u16,
    pop3s: u16,
    /// TLS, and asks for a client's certificate.
    certificate: u16,
}

/// Nobody gets in, and everybody may try again at once.
fn no(_: &Question) -> Vec<u8> {
    b"HTTP/1.0 200 OK\r\nAuth-Status: Invalid login or password\r\nAuth-Wait: 1\r\n\r\n".to_vec()
}

#[test]
fn the_gateway_asks_as_nginx_does() {
    needs!(Need::Venv("nginx"));
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);

    let asked_by_nginx = Service::start(no);
    let (_nginx, ports) = nginx(&scratch, &pki, asked_by_nginx.port);
    log_in(ports, &pki);

    let asked_by_us = Service::start(no);
    let certificate = free_port();
    let gateway = Settings::to("imap://127.0.0.1:1")
        .asks_for_certificates("imaps", certificate, &pki.ca)
        .limits("logins_per_session: 20")
        .top(&asked_by_us.source())
        .start(&scratch, &pki);
    let ours = Ports {
        imap: gateway.ports.imap,
        pop3: gateway.ports.pop3,
        imaps: gateway.ports.imaps,
        pop3s: gateway.ports.pop3s,
        certificate,
    };
    log_in(ours, &pki);

    let (nginxs, ours) = (asked_by_nginx.questions(), asked_by_us.questions());
    assert_eq!(nginxs.len(), ours.len());
    for (nginxs, ours) in nginxs.iter().zip(&ours) {
        assert_eq!(told(nginxs), told(ours));
    }
    // What the comparison is about was there at all.
    let all: Vec<String> = ours.iter().flat_map(told).map(|it| it.0).collect();
    for header in [
        "auth-login-attempt",
        "auth-ssl",
        "auth-ssl-protocol",
        "auth-ssl-cipher",
        "auth-ssl-verify",
        "auth-ssl-subject",
        "auth-ssl-issuer",
        "auth-ssl-serial",
        "auth-ssl-fingerprint",
        "x-key",
    ] {
        assert!(all.iter().any(|it| it == header), "no {header} in {all:?}");
    }
}

/// What a question says, in its order. `Host` is HTTP's own: nginx leaves the port out. So is the
/// case of names: RFC 9110 §5.1.
fn told(question: &Question) -> Vec<(String, String)> {
    let lines = question.0.iter();
    lines
        .map(|(name, value)| {
            let value = value.escape_ascii().to_string();
            (name.to_ascii_lowercase(), value)
        })
        .filter(|(name, _)| name != "host")
        .collect()
}

/// The same logins, in the same order, on either.
fn log_in(ports: Ports, pki: &Pki) {
    // Several on one connection: attempts are counted.
    let mut imap = Imap::plain(ports.imap);
    for (way, user) in [Way::LoginQuoted, Way::PlainInitial, Way::Login]
        .into_iter()
        .cycle()
        .zip(AWKWARD)
    {
        let said = imap.login(way, user.name, user.password);
        assert!(said.text().contains("Invalid login"), "{}", said.text());
    }
    let mut pop3 = Pop3::plain(ports.pop3);
    for (way, user) in [PopWay::UserPass, PopWay::PlainInitial, PopWay::Login]
        .into_iter()
        .cycle()
        // nginx reads POP3 commands of at most 128 octets.
        .zip(AWKWARD.iter().filter(|user| user.password.len() < 80))
    {
        let said = pop3.login(way, user.name, user.password);
        assert!(said.contains("Invalid login"), "{said}");
    }
    let mut imap = Imap::plain(ports.imap);
    imap.start_tls();
    imap.login(Way::LoginQuoted, "a b%20c@example.org", BOB.password);
    let mut pop3 = Pop3::plain(ports.pop3);
    pop3.start_tls();
    pop3.login(PopWay::UserPass, "Ünï@example.org", ALICE.password);
    Imap::tls(ports.imaps).login(Way::PlainInitial, BOB.name, BOB.password);
    Pop3::tls(ports.pop3s).login(PopWay::PlainInitial, BOB.name, BOB.password);
    Imap::tls(ports.certificate).login(Way::PlainInitial, BOB.name, BOB.password);
    let shown = Conn::tls_as(ports.certificate, &pki.client);
    Imap::new(shown).login(Way::PlainInitial, BOB.name, BOB.password);
}

/// One cipher suite, the one we would choose: which of them is chosen is no word of the question.
fn nginx(scratch: &Scratch, pki: &Pki, service: u16) -> (Running, Ports) {
    let ports = Ports {
        imap: free_port(),
        pop3: free_port(),
        imaps: free_port(),
        pop3s: free_port(),
        certificate: free_port(),
    };
    let tree = need::unpacked("nginx");
    let module = tree.join("usr/lib/nginx/modules/ngx_mail_module.so");
    let dir = scratch.dir("nginx");
    let path = |path: &PathBuf| path.display().to_string();
    let settings = format!(
        "daemon off; master_process off; {user}
load_module {module};
error_log stderr info; pid {dir}/pid;
events {{}}
mail {{
  server_name mail.example.org;
  auth_http 127.0.0.1:{service}/auth?a=b; auth_http_header X-Key \"a b\";
  imap_auth plain login; pop3_auth plain;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  ssl_certificate {cert}; ssl_certificate_key {key};
  server {{ listen 127.0.0.1:{imap}; protocol imap; starttls on; }}
  server {{ listen 127.0.0.1:{pop3}; protocol pop3; starttls on; }}
  server {{ listen 127.0.0.1:{imaps} ssl; protocol imap; }}
  server {{ listen 127.0.0.1:{pop3s} ssl; protocol pop3; }}
  server {{ listen 127.0.0.1:{certificate} ssl; protocol imap;
    ssl_verify_client optional; ssl_client_certificate {ca}; }}
}}
",
        user = if need::is_root() { "user root;" } else { "" },
        module = path(&module),
        dir = path(&dir),
        cert = path(&pki.cert),
        key = path(&pki.key),
        ca = path(&pki.ca),
        imap = ports.imap,
        pop3 = ports.pop3,
        imaps = ports.imaps,
        pop3s = ports.pop3s,
        certificate = ports.certificate,
    );
    let file = scratch.write("nginx.conf", settings);
    scratch.dir("nginx/logs");
    let mut command = Command::new(tree.join("usr/sbin/nginx"));
    command.arg("-p").arg(&dir).arg("-c").arg(&file);
    let mut running = Running::start("nginx", &command, &scratch.join("nginx.log"));
    running.wait_for_port(ports.imap);
    (running, ports)
}
