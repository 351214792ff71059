//! What ends TLS before an IMAP host: Gatepost, a bare relay in Rust, and the peers that are
//! installed. Each with one thread, the same certificate, no log of connections if it can be helped.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::peers::{Folder, Peer, free_port, start};

/// All that can be had here, Gatepost first, the bare relay second.
pub fn all(imap: SocketAddr) -> Vec<Peer> {
    let fronts = [gatepost, bare_relay, nginx, haproxy];
    fronts.iter().filter_map(|front| front(imap)).collect()
}

/// Gatepost with its line of log for each login and session.
fn gatepost(imap: SocketAddr) -> Option<Peer> {
    let (at, folder, cert, key) = prepare("whole-gatepost");
    let yaml = format!(
        "listeners: [\"imaps://{at}\"]\nthreads: 1\ntls: {{ cert: {cert}, key: {key} }}\n\
         backends:\n  host: imap://{imap}\nusers:\n  \"*\": host\n\
         limits: {{ connections: 20000, per_ip: 100000, per_user: 100000, per_user_ip: 100000 }}\n"
    );
    let file = folder.0.join("proxy.yaml");
    fs::write(&file, yaml).expect("write proxy.yaml");
    let mut command = pinned(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("--config").arg(file);
    Some(started("gatepost", command, at, folder))
}

/// TLS and a copy in both directions, nothing of mail: what Rust, tokio and rustls cost.
fn bare_relay(imap: SocketAddr) -> Option<Peer> {
    let (at, folder, cert, key) = prepare("whole-relay");
    let mut command = pinned(std::env::current_exe().ok()?.to_str()?);
    command.args(["relay", &at.to_string(), &imap.to_string(), &cert, &key]);
    Some(started("bare relay", command, at, folder))
}

/// nginx's mail proxy, with an answer to its question for the route.
fn nginx(imap: SocketAddr) -> Option<Peer> {
    let module = Path::new("/usr/lib/nginx/modules/ngx_mail_module.so");
    let program = installed("/usr/sbin/nginx").filter(|_| module.exists())?;
    let (at, folder, cert, key) = prepare("whole-nginx");
    let (dir, asked) = (folder.0.display(), answering(imap));
    let text = format!(
        "load_module {};\nuser root;\ndaemon off;\nworker_processes 1;\npid {dir}/pid;\n\
         error_log {dir}/log warn;\nevents {{ worker_connections 20000; }}\n\
         mail {{\n  auth_http {asked}/;\n  imap_capabilities IMAP4rev1 SASL-IR LITERAL+ IDLE;\n\
         \x20 timeout 30m;\n  ssl_certificate {cert};\n  ssl_certificate_key {key};\n\
         \x20 ssl_protocols TLSv1.3;\n  ssl_session_cache shared:SSL:10m;\n\
         \x20 server {{ listen {at} ssl backlog=4096; protocol imap; }}\n}}\n",
        module.display()
    );
    let file = folder.0.join("nginx.conf");
    fs::write(&file, text).expect("write nginx.conf");
    let mut command = pinned(&program);
    command.arg("-p").arg(&folder.0).arg("-c").arg(file);
    Some(started("nginx", command, at, folder))
}

/// HAProxy in TCP mode: it ends TLS and knows nothing of mail.
fn haproxy(imap: SocketAddr) -> Option<Peer> {
    let program = installed("/usr/sbin/haproxy")?;
    let (at, folder, cert, key) = prepare("whole-haproxy");
    let pair = folder.0.join("pair.pem");
    let both = [cert, key].map(|path| fs::read_to_string(path).expect("a file just written"));
    fs::write(&pair, both.concat()).expect("write pair.pem");
    let text = format!(
        "global\n  nbthread 1\n  maxconn 9900\ndefaults\n  mode tcp\n  timeout connect 5s\n\
         \x20 timeout client 30m\n  timeout server 30m\nfrontend f\n\
         \x20 bind {at} ssl crt {} backlog 4096\n  default_backend b\nbackend b\n  server s {imap}\n",
        pair.display()
    );
    let file = folder.0.join("haproxy.cfg");
    fs::write(&file, text).expect("write haproxy.cfg");
    let mut command = pinned(&program);
    command.arg("-db").arg("-f").arg(file);
    Some(started("HAProxy (TCP)", command, at, folder))
}

/// The bare relay's process: `relay LISTEN HOST CERT KEY`.
pub fn relay(words: &[String]) {
    let [listen, host, cert, key] = words else {
        panic!("relay LISTEN HOST CERT KEY");
    };
    let chain = CertificateDer::pem_file_iter(cert).expect("a certificate");
    let chain = chain.map(|it| it.expect("PEM")).collect();
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    config.ticketer = aws_lc_rs::Ticketer::new().expect("a ticketer");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let host: SocketAddr = host.parse().expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await.expect("listen");
        loop {
            let Ok((client, _)) = listener.accept().await else {
                continue;
            };
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let _ = client.set_nodelay(true);
                let mut client = acceptor.accept(client).await.ok()?;
                let mut host = TcpStream::connect(host).await.ok()?;
                let _ = host.set_nodelay(true);
                copy_bidirectional(&mut client, &mut host).await.ok()
            });
        }
    });
}

/// A port, a folder, and in it a certificate and its key.
fn prepare(name: &str) -> (SocketAddr, Folder, String, String) {
    let at = free_port();
    let folder = Folder::new(name, at.port());
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("sign");
    let (cert, key) = (folder.0.join("cert.pem"), folder.0.join("key.pem"));
    fs::write(&cert, signed.cert.pem()).expect("write cert.pem");
    fs::write(&key, signed.signing_key.serialize_pem()).expect("write key.pem");
    let text = |path: PathBuf| path.to_str().expect("a path of ours").to_owned();
    (at, folder, text(cert), text(key))
}

/// On the first processor, so that the load on the others takes nothing from it.
fn pinned(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", program]);
    command
}

fn started(name: &'static str, command: Command, at: SocketAddr, folder: Folder) -> Peer {
    let mut peer = start(name, command, at, folder);
    peer.imaps = Some(at);
    peer
}

fn installed(path: &str) -> Option<String> {
    Path::new(path).exists().then(|| path.to_owned())
}

/// A service that tells nginx the route of everybody.
fn answering(imap: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let at = listener.local_addr().expect("the port just bound");
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let mut reader = BufReader::new(tcp);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let (ip, port) = (imap.ip(), imap.port());
            let _ = write!(
                reader.get_mut(),
                "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: {ip}\r\nAuth-Port: {port}\r\n\r\n"
            );
        }
    });
    at
}
