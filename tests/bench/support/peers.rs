//! The gateways under test, each started from a configuration of its own in a temporary folder.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A gateway at work; ended when dropped.
pub struct Peer {
    /// Its name in tables.
    pub name: &'static str,
    /// Where it speaks POP3, in clear.
    pub pop3: SocketAddr,
    /// Where it speaks IMAP under TLS, if it does.
    pub imaps: Option<SocketAddr>,
    /// Its first process, if it is one of ours to measure.
    pub pid: Option<u32>,
    child: Option<Child>,
    _folder: Option<Folder>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

/// A folder that goes when it is dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new one, named by a port that only one has.
    pub fn new(name: &str, port: u16) -> Self {
        let path = std::env::temp_dir().join(format!("gatepost-bench-{name}-{port}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Gatepost: relays the host's IMAP, and translates POP3 to it.
pub fn gatepost(imap: SocketAddr) -> Peer {
    let (pop3, imaps) = (free_port(), free_port());
    let folder = Folder::new("gatepost", pop3.port());
    let file = folder.0.join("proxy.yaml");
    let yaml = format!(
        "listeners:\n  - bind: pop3://{pop3}\n    cleartext_login: true\n\
         \x20 - imaps://{imaps}\n\
         backends:\n  host: imap://{imap}\nusers:\n  \"*\": host\n\
         limits: {{ connections: 20000, per_ip: 100000, per_user: 100000, per_user_ip: 100000 }}\n\
         log: {{ level: warn }}\n"
    );
    fs::write(&file, yaml).expect("write proxy.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(["--config"]).arg(&file);
    let mut peer = start("gatepost", command, pop3, folder);
    peer.imaps = Some(imaps);
    peer
}

/// Dovecot's POP3 over its `imapc` storage, which translates as well; none where it is not installed.
pub fn dovecot(imap: SocketAddr) -> Option<Peer> {
    if !PathBuf::from("/usr/lib/dovecot/pop3").exists() {
        return None;
    }
    let pop3 = free_port();
    let folder = Folder::new("dovecot", pop3.port());
    let at = folder.0.display();
    let (host, port, listen) = (imap.ip(), imap.port(), pop3.port());
    fs::create_dir_all(folder.0.join("home")).expect("a folder for homes");
    let text = format!(
        "protocols = pop3\nlisten = 127.0.0.1\nbase_dir = {at}/run\nstate_dir = {at}/state\n\
         log_path = {at}/log\nssl = no\ndisable_plaintext_auth = no\n\
         default_login_user = nobody\ndefault_internal_user = nobody\ndefault_internal_group = nogroup\n\
         passdb {{\n  driver = static\n  args = nopassword=y\n}}\n\
         userdb {{\n  driver = static\n  args = uid=65534 gid=65534 home={at}/home/%u\n}}\n\
         mail_location = imapc:{at}/home/%u\nimapc_host = {host}\nimapc_port = {port}\n\
         imapc_password = secret\nimapc_features = rfc822.size fetch-headers\n\
         service pop3-login {{\n  inet_listener pop3 {{\n    port = {listen}\n  }}\n\
         \x20 inet_listener pop3s {{\n    port = 0\n  }}\n}}\n\
         service anvil {{\n  chroot =\n}}\nservice stats {{\n  unix_listener stats-writer {{\n    mode = 0666\n  }}\n}}\n"
    );
    let file = folder.0.join("dovecot.conf");
    fs::write(&file, text).expect("write dovecot.conf");
    let _ = Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(folder.0.join("home"))
        .status();
    let mut command = Command::new("dovecot");
    command.arg("-F").arg("-c").arg(&file);
    Some(start("dovecot imapc", command, pop3, folder))
}

/// The host's own POP3, with nothing between.
pub fn direct(pop3: SocketAddr) -> Peer {
    Peer {
        name: "host's POP3",
        pop3,
        imaps: None,
        pid: None,
        child: None,
        _folder: None,
    }
}

/// A port of loopback that nobody has.
pub fn free_port() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    socket.local_addr().expect("the port just bound")
}

/// Starts a peer and waits until it listens.
pub fn start(name: &'static str, mut command: Command, pop3: SocketAddr, folder: Folder) -> Peer {
    let log = fs::File::create(folder.0.join("stderr")).expect("a file for messages");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let child = child.unwrap_or_else(|error| panic!("start {name}: {error}"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(pop3).is_err() {
        let said = fs::read_to_string(folder.0.join("stderr")).unwrap_or_default();
        assert!(Instant::now() < deadline, "{name} does not listen: {said}");
        thread::sleep(Duration::from_millis(20));
    }
    Peer {
        name,
        pop3,
        imaps: None,
        pid: Some(child.id()),
        child: Some(child),
        _folder: Some(folder),
    }
}
