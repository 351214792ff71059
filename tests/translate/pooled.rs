//! Connections that waited greeted for a login: what becomes of a login whose connection dies as it is
//! used. Until something was answered that connection may have been dead all along, so the login is
//! tried once more; afterwards it is not, as with any other connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::backend::{Backend, Refusal, Request};
use gatepost::protocol::{Credentials, Protocol, Secret, UserName};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::exchanges::backend;

const GREETING: &str = "* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ AUTH=PLAIN] ready\r\n";

/// What a host answers to the login on the connection that waited, and on others meanwhile: then it
/// closes. `$T` is the tag; with none, it serves on.
#[derive(Clone, Copy)]
struct Script {
    waited: &'static str,
    fresh: Option<&'static str>,
}

/// The connections with their login lines, as the host saw them.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(usize, String)>>>);

impl Seen {
    fn on(&self, connection: usize) -> usize {
        let seen = self.0.lock().unwrap();
        seen.iter()
            .filter(|(number, _)| *number == connection)
            .count()
    }

    fn all(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Serves one connection: answers every command with OK, but the login as the script has it.
async fn connection(tcp: TcpStream, number: usize, answer: Option<&'static str>, seen: Seen) {
    let mut tcp = BufReader::new(tcp);
    if tcp.write_all(GREETING.as_bytes()).await.is_err() {
        return;
    }
    let mut answer = answer;
    let mut line = String::new();
    while matches!(tcp.read_line(&mut line).await, Ok(1..)) {
        let (tag, command) = line.trim_end().split_once(' ').unwrap();
        if ["LOGIN", "AUTHENTICATE"]
            .iter()
            .any(|verb| command.starts_with(verb))
        {
            seen.0.lock().unwrap().push((number, command.to_owned()));
            if let Some(answer) = answer.take() {
                let _ = tcp.write_all(answer.replace("$T", tag).as_bytes()).await;
                return;
            }
        }
        let done = format!("{tag} OK done\r\n");
        if tcp.write_all(done.as_bytes()).await.is_err() {
            return;
        }
        line.clear();
    }
}

async fn log_in(backend: &Backend) -> Result<(), Refusal> {
    let user = UserName::new(b"alice").unwrap();
    let credentials = Credentials::Password(Secret::new(b"hunter2").unwrap());
    let request = Request {
        protocol: Protocol::Pop3,
        user: &user,
        credentials: &credentials,
        host: None,
        origin: None,
        behind: b"a STATUS x\r\n",
        pass: None,
        seat: None,
    };
    backend.connect(request).await.map(drop)
}

/// Polls until a connection waits, then once more on it: how that ended, how often credentials came
/// to the host for it, and on how many connections besides.
async fn on_one_that_waited(script: Script) -> (Result<(), Refusal>, usize, usize) {
    /// So many polls have one connection waiting for the next.
    const POLLS: usize = 5;
    let (backend, listener): (_, TcpListener) = backend().await;
    let seen = Seen::default();
    let scripted = Arc::new(Mutex::new(false));
    let accepted = Arc::new(AtomicUsize::new(0));
    let serving = tokio::spawn({
        let (seen, scripted, accepted) = (seen.clone(), scripted.clone(), accepted.clone());
        async move {
            for number in 0.. {
                let (tcp, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                let answer = match number {
                    POLLS => Some(script.waited),
                    _ if *scripted.lock().unwrap() => script.fresh,
                    _ => None,
                };
                tokio::spawn(connection(tcp, number, answer, seen.clone()));
            }
        }
    });
    for _ in 0..POLLS {
        log_in(&backend).await.expect("logged in");
    }
    let last = async {
        // The next one is nobody's yet.
        while accepted.load(Ordering::Relaxed) <= POLLS {
            sleep(Duration::from_millis(5)).await;
        }
        loop {
            // Those that find nothing waiting yet are served as ever.
            let before = seen.all();
            *scripted.lock().unwrap() = true;
            let ended = log_in(&backend).await;
            *scripted.lock().unwrap() = false;
            if seen.on(POLLS) > 0 {
                return (ended, seen.all() - before);
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let (ended, tries) = timeout(Duration::from_secs(60), last).await.unwrap();
    serving.abort();
    (ended, seen.on(POLLS), tries - 1)
}

#[tokio::test]
async fn credentials_go_once_more_only_when_nothing_was_answered() {
    for (name, waited, fresh, logged_in, more) in [
        ("answered", "$T OK in\r\na OK x\r\n", None, true, 0),
        (
            "refused",
            "$T NO [AUTHENTICATIONFAILED] no\r\n",
            None,
            false,
            0,
        ),
        ("dead", "", None, true, 1),
        ("dead, and so is the next", "", Some(""), false, 1),
        ("goodbye", "* BYE too many\r\n", None, false, 0),
        ("half an answer", "* CAPABI", None, false, 0),
    ] {
        let script = Script { waited, fresh };
        let (ended, on_it, others) = on_one_that_waited(script).await;
        assert_eq!((on_it, others), (1, more), "{name}");
        assert_eq!(ended.is_ok(), logged_in, "{name}: {ended:?}");
    }
}
