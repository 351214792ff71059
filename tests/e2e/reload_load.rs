//! Reloads one after the other while mail is served: nobody is lost, nobody is refused, nobody goes a
//! way that was never meant.
//!
//! Each version of the settings names itself three times: in the greeting, in the name that logins
//! have at the host, and by the host they go to. A client that reads two versions in one session, or
//! one that was refused, has found a mixture. `GATEPOST_RELOADS=1000` plays the long form, with 2,000
//! idle sessions and 100 logins a second.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::support::Scratch;
use crate::support::gateway::{Gateway, Ports, Settings, admin_get};
use crate::support::pki::Pki;
use crate::support::scratch::free_port;
use crate::support::wire::Conn;

/// No wait lasts longer; it is not a measure.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is played.
struct Size {
    reloads: u32,
    idle: u32,
    logins_a_second: u64,
}

impl Size {
    fn wanted() -> Size {
        let reloads = std::env::var("GATEPOST_RELOADS").ok();
        match reloads.and_then(|it| it.parse().ok()) {
            Some(reloads) => Size {
                reloads,
                idle: 2000,
                logins_a_second: 100,
            },
            None => Size {
                reloads: 30,
                idle: 50,
                logins_a_second: 20,
            },
        }
    }
}

/// An IMAP host that takes every login and answers NOOP with the name that was shown to it.
async fn host() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", free_port())).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    port
}

async fn serve(stream: TcpStream) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let greeting = b"* OK [CAPABILITY IMAP4rev1 LITERAL+] here\r\n";
    stream.write_all(greeting).await.ok()?;
    let mut user = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let mut words = line.split_whitespace();
        let tag = words.next()?.to_owned();
        let untagged = match words.next()?.to_ascii_uppercase().as_str() {
            "LOGIN" => {
                user = words.next()?.trim_matches('"').to_owned();
                String::new()
            }
            "NOOP" => format!("* OK [{user}] here\r\n"),
            _ => String::new(),
        };
        let answer = format!("{untagged}{tag} OK done\r\n");
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// A client's session; an error is what went wrong, in words.
struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects, logs in; the version that greeted, and the one that logged in.
    async fn log_in(port: u16, user: &str) -> Result<(Client, u32), String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        let stream = stream.map_err(|error| format!("connect: {error}"))?;
        let mut client = Client(BufReader::new(stream));
        let greeting = client.line().await?;
        let greeted = version(&greeting, "version ").ok_or(greeting)?;
        client.command(&format!("LOGIN {user} secret")).await?;
        let logged_in = client.version().await?;
        match greeted == logged_in {
            true => Ok((client, greeted)),
            false => Err(format!("greeted by {greeted}, logged in by {logged_in}")),
        }
    }

    /// The version that the host was shown.
    async fn version(&mut self) -> Result<u32, String> {
        let said = self.command("NOOP").await?;
        version(&said, "* OK [v").ok_or(said)
    }

    async fn command(&mut self, command: &str) -> Result<String, String> {
        let line = format!("t {command}\r\n");
        let written = self.0.write_all(line.as_bytes()).await;
        written.map_err(|error| format!("write: {error}"))?;
        let mut said = String::new();
        loop {
            let line = self.line().await?;
            said.push_str(&line);
            match line.strip_prefix("t ") {
                Some(status) if status.starts_with("OK") => return Ok(said),
                Some(status) => return Err(format!("{command}: {status}")),
                None => {}
            }
        }
    }

    async fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match timeout(PATIENCE, self.0.read_line(&mut line)).await {
            Ok(Ok(0)) => Err("the connection ended".into()),
            Ok(Ok(_)) => Ok(line),
            Ok(Err(error)) => Err(format!("read: {error}")),
            Err(_) => Err("no answer".into()),
        }
    }
}

/// The number behind some words.
fn version(text: &str, behind: &str) -> Option<u32> {
    let rest = text.split(behind).nth(1)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// A volume whose files are swapped all at once, as kubelet does.
struct Volume {
    dir: PathBuf,
    last: Option<PathBuf>,
}

impl Volume {
    fn new(scratch: &Scratch) -> Volume {
        let dir = scratch.dir("volume");
        for name in ["proxy.yaml", "tls.crt", "tls.key"] {
            symlink(format!("..data/{name}"), dir.join(name)).unwrap();
        }
        Volume { dir, last: None }
    }

    fn swap(&mut self, number: u32, yaml: &str, (cert, key): (&PathBuf, &PathBuf)) {
        let name = format!("..{number}");
        let data = self.dir.join(&name);
        fs::create_dir(&data).unwrap();
        fs::write(data.join("proxy.yaml"), yaml).unwrap();
        fs::copy(cert, data.join("tls.crt")).unwrap();
        fs::copy(key, data.join("tls.key")).unwrap();
        let link = self.dir.join("..data_tmp");
        symlink(name, &link).unwrap();
        fs::rename(link, self.dir.join("..data")).unwrap();
        if let Some(last) = self.last.replace(data) {
            fs::remove_dir_all(last).unwrap();
        }
    }
}

/// What is shared with the clients.
#[derive(Default)]
struct Tally {
    /// The newest version that may be in use.
    newest: AtomicU32,
    logins: AtomicU64,
    wrong: std::sync::Mutex<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_lost_refused_or_led_astray() {
    let size = Size::wanted();
    let hosts = [host().await, host().await];
    let trap = host().await;
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let ports = Ports::free();
    let port = free_port();
    let yaml = |version: u32, backend: &str, more: &str| {
        Settings::new()
            .listener(&format!(
                "{{ bind: \"imap://127.0.0.1:{port}\", cleartext_login: true, greeting: \"version {version}\" }}"
            ))
            .backend("even", format!("imap://127.0.0.1:{}", hosts[0]))
            .backend("odd", format!("imap://127.0.0.1:{}", hosts[1]))
            .backend("trap", format!("imap://127.0.0.1:{trap}"))
            .user("\"*\"", format!("{{ backend: {backend}, login: \"v{version}-{{local}}\" }}"))
            .top(&format!("tls: {{ cert: tls.crt, key: tls.key }}\n{more}"))
            .without_certificate()
            .log("level: info")
            .yaml(&ports, &pki)
    };
    let good = |version: u32| {
        let backend = if version.is_multiple_of(2) {
            "even"
        } else {
            "odd"
        };
        yaml(version, backend, "")
    };
    let pair = |version: u32| match version / 10 % 2 {
        0 => (&pki.cert, &pki.key),
        _ => (&pki.other_name.0, &pki.other_name.1),
    };
    let mut volume = Volume::new(&scratch);
    let mut swaps = 0;
    let mut put = |yaml: &str, version: u32| {
        swaps += 1;
        volume.swap(swaps, yaml, pair(version));
    };
    put(&good(0), 0);
    let file = scratch.join("volume/proxy.yaml");
    let gateway = tokio::task::block_in_place(|| Gateway::run(&file, ports, &scratch));

    let mut idle = Vec::new();
    for user in 0..size.idle {
        let (client, _) = Client::log_in(port, &format!("idle{user}")).await.unwrap();
        idle.push(client);
    }
    let tally = Arc::new(Tally::default());
    let traffic = tokio::spawn(log_in_again_and_again(
        port,
        size.logins_a_second,
        tally.clone(),
    ));

    for version in 1..=size.reloads {
        if version % 7 == 0 {
            // Refused: a route that is never valid, behind a mistake.
            put(&yaml(version, "trap", "colour: blue"), version - 1);
            let (status, told) = ask(&gateway).await;
            assert_eq!(status, 422, "{told}");
        }
        tally.newest.store(version, SeqCst);
        put(&good(version), version);
        match version % 5 {
            // The watch sees it.
            0 => until(|| async { Client::log_in(port, "w").await.unwrap().1 == version }).await,
            _ => {
                let (status, told) = ask(&gateway).await;
                assert_eq!(status, 200, "{told}");
            }
        }
        let (_, seen) = Client::log_in(port, "next").await.unwrap();
        assert_eq!(seen, version);
        if version % 10 == 0 {
            let wanted = fs::read_to_string(pair(version).0).unwrap();
            let imaps = ports.imaps;
            until(|| async {
                let shown = tokio::task::block_in_place(|| Conn::tls(imaps).certificate());
                pem(&wanted) == shown
            })
            .await;
        }
    }
    assert!(
        !traffic.is_finished(),
        "the traffic ended before the reloads"
    );
    traffic.abort();
    assert!(tally.logins.load(SeqCst) > 0, "there was no traffic");

    for client in &mut idle {
        assert_eq!(client.version().await, Ok(0), "an idle session");
    }
    let wrong = tally.wrong.lock().unwrap().clone();
    assert!(
        wrong.is_empty(),
        "{} of {}: {:?}",
        wrong.len(),
        tally.logins.load(SeqCst),
        &wrong[..wrong.len().min(5)]
    );
    // Sessions of all versions are counted where they are.
    let count = size.idle;
    until(|| async {
        let (_, metrics) = admin_get(ports.admin, "/metrics").unwrap();
        let sessions = "gatepost_host_sessions{backend=\"even\",";
        let line = metrics.lines().find(|line| line.starts_with(sessions));
        line.is_some_and(|line| line.ends_with(&format!(" {count}")))
    })
    .await;
    eprintln!(
        "{} reloads, {} idle sessions, {} logins: all well",
        size.reloads,
        size.idle,
        tally.logins.load(SeqCst)
    );
}

async fn log_in_again_and_again(port: u16, a_second: u64, tally: Arc<Tally>) {
    let mut tick = interval(Duration::from_micros(1_000_000 / a_second));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        tick.tick().await;
        let tally = tally.clone();
        tokio::spawn(async move {
            let outcome = Client::log_in(port, &format!("user{}", number % 5000)).await;
            tally.logins.fetch_add(1, SeqCst);
            let wrong = match outcome {
                Ok((_, version)) if version <= tally.newest.load(SeqCst) => return,
                Ok((_, version)) => format!("version {version} was never valid"),
                Err(error) => error,
            };
            tally.wrong.lock().unwrap().push(wrong);
        });
    }
}

async fn ask(gateway: &Gateway) -> (u16, String) {
    tokio::task::block_in_place(|| {
        let (status, told) = gateway.reload();
        (status, told.to_string())
    })
}

async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
}

/// The first certificate of a PEM text.
fn pem(text: &str) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(text.as_bytes())
        .unwrap()
        .to_vec()
}
