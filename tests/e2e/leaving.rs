//! Clients that leave while a host judges their login: they are let go, what they showed is judged to its
//! end, and nothing that they said behind it is done.

use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::proxy_protocol::{Version, of};
use crate::support::gateway::{Gateway, Settings};
use crate::support::pki::Pki;
use crate::support::scratch::free_port;
use crate::support::users::WRONG;
use crate::support::wire::Conn;
use crate::support::{Scratch, scripted};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(50);

/// An IMAP host with one message, which thinks about a login until it is told what to say.
struct Slow {
    port: u16,
    verdicts: Arc<(Mutex<Vec<&'static str>>, Condvar)>,
    /// What it was told, but for passwords.
    heard: mpsc::Receiver<String>,
}

impl Slow {
    fn start() -> Slow {
        let verdicts = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let (hears, heard) = mpsc::channel();
        let (given, hears) = (verdicts.clone(), Mutex::new(hears));
        let hears = Arc::new(hears);
        let port = scripted::imap("[CAPABILITY IMAP4rev1] here", move |command| {
            let (tag, verb) = (command.tag, command.verb);
            let user = command.rest.split(' ').next().unwrap_or_default();
            let told = match verb {
                "LOGIN" => format!("LOGIN {}", user.replace('"', "")),
                _ => format!("{verb} {}", command.rest),
            };
            let _ = hears.lock().unwrap().send(told);
            match verb {
                "LOGIN" => {
                    let (verdicts, more) = &*given;
                    let mut verdicts = verdicts.lock().unwrap();
                    while verdicts.is_empty() {
                        verdicts = more.wait(verdicts).unwrap();
                    }
                    format!("{tag} {} done\r\n", verdicts.remove(0))
                }
                "SELECT" | "EXAMINE" => format!(
                    "* 1 EXISTS\r\n* FLAGS (\\Seen \\Deleted)\r\n* OK [UIDVALIDITY 7] v\r\n* OK [UIDNEXT 2] n\r\n{tag} OK done\r\n"
                ),
                "UID" if command.rest.contains("BODY") => {
                    format!("* 1 FETCH (UID 1 BODY[] {{4}}\r\nhi\r\n)\r\n{tag} OK done\r\n")
                }
                "UID" => format!("* 1 FETCH (UID 1 RFC822.SIZE 4 FLAGS ())\r\n{tag} OK done\r\n"),
                _ => format!("{tag} OK done\r\n"),
            }
        });
        Slow {
            port,
            verdicts,
            heard,
        }
    }

    /// Waits until it is asked to let somebody in.
    fn asked(&self) -> String {
        loop {
            let told = self.heard.recv_timeout(PATIENCE).unwrap();
            if told.starts_with("LOGIN") {
                return told;
            }
        }
    }

    fn says(&self, verdict: &'static str) {
        self.verdicts.0.lock().unwrap().push(verdict);
        self.verdicts.1.notify_all();
    }

    /// All that it was told since.
    fn told(&self) -> Vec<String> {
        self.heard.try_iter().collect()
    }
}

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum How {
    Reset,
    HalfClosed,
}

const HOWS: [How; 2] = [How::Reset, How::HalfClosed];

/// The client leaves, and has been let go when this returns; its last words to it.
fn leave(mut conn: Conn, how: How, gateway: &mut Gateway) -> String {
    let (pid, there) = (gateway.pid(), gateway.descriptors());
    let mut said = Vec::new();
    match how {
        How::Reset => conn.reset(),
        How::HalfClosed => {
            conn.close_write();
            said = conn.rest();
        }
    }
    let open = || std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(there, Iterator::count);
    let what = "the connection of a client that left to be closed";
    gateway.wait_until(what, || open() < there);
    String::from_utf8(said).unwrap()
}

fn connected(port: u16, from: &str) -> Conn {
    let mut conn = Conn::plain(port);
    conn.send(of(Version::V2, &format!("{from}:4711")));
    conn.text();
    conn
}

#[test]
fn what_who_left_has_shown_counts() {
    let host = Slow::start();
    let (scratch, imap) = (Scratch::new(), free_port());
    let mut gateway = Settings::to(format!("imap://127.0.0.1:{}", host.port))
        .limits("failed_logins: { per_ip: 1/1h, per_user: 100/1h }")
        .behind_balancer("imap", imap)
        .start(&scratch, &Pki::new(&scratch));
    for (how, from) in HOWS.into_iter().zip(["192.0.2.1", "192.0.2.2"]) {
        let mut conn = connected(imap, from);
        conn.send("a LOGIN alice guess\r\nb LOGIN carol guess\r\n");
        assert_eq!(host.asked(), "LOGIN alice");
        let said = leave(conn, how, &mut gateway);
        if let How::HalfClosed = how {
            assert!(said.starts_with("a NO [UNAVAILABLE] "), "{said}");
        }
        host.says("NO");
        let client = format!("client={from}:4711");
        let line = gateway.logged(&["event=login", &client]);
        assert!(line.contains("result=AUTHENTICATIONFAILED"), "{line}");
        let line = gateway.logged(&["event=session_end", &client]);
        let reason = ["reset", "closed"][usize::from(matches!(how, How::HalfClosed))];
        let why = format!("ended_by=client reason={reason}");
        assert!(line.contains(&why), "{line}");
        // Its window is full, and its next guess was not made.
        let mut conn = connected(imap, from);
        conn.send(format!("a LOGIN bob {WRONG}\r\n"));
        let said = conn.text();
        assert!(said.starts_with("a NO [LIMIT]"), "{said}");
        let told = host.told();
        assert!(!told.iter().any(|it| it.starts_with("LOGIN")), "{told:?}");
    }
}

/// Above all nothing is removed that nobody has read.
#[test]
fn what_who_left_has_said_behind_its_login_is_not_done() {
    let host = Slow::start();
    let scratch = Scratch::new();
    let mut gateway = Settings::to(format!("imap://127.0.0.1:{}", host.port))
        .start(&scratch, &Pki::new(&scratch));
    let (imap, pop3) = (gateway.ports.imap, gateway.ports.pop3);
    for how in HOWS {
        for (port, words) in [
            (pop3, "USER u\r\nPASS x\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n"),
            (
                imap,
                "a LOGIN u x\r\nb SELECT INBOX\r\nc STORE 1 +FLAGS \\Deleted\r\nd EXPUNGE\r\n",
            ),
        ] {
            let mut conn = Conn::plain(port);
            conn.text();
            conn.send(words);
            assert_eq!(host.asked(), "LOGIN u");
            let ended = |gateway: &Gateway| gateway.log().matches("event=session_end").count();
            let before = ended(&gateway);
            leave(conn, how, &mut gateway);
            host.says("OK");
            let log = gateway.log_path();
            let now = || {
                std::fs::read_to_string(&log)
                    .unwrap()
                    .matches("event=session_end")
                    .count()
            };
            gateway.wait_until("the session's end", || now() > before);
            let told = host.told();
            let done = |it: &&String| {
                ["STORE", "EXPUNGE", "BODY"]
                    .iter()
                    .any(|word| it.contains(word))
            };
            assert_eq!(told.iter().find(done), None, "{how:?} {words:?}: {told:?}");
        }
    }
}

/// The answer to a wrong password is held back, and that to nobody's as long as one takes: who does not wait for it
/// is let go, and counts all the same.
#[test]
fn who_does_not_wait_for_a_refusal_is_let_go() {
    let host = Slow::start();
    let (scratch, imap) = (Scratch::new(), free_port());
    let mut gateway = Settings::new()
        .backend("store", format!("imap://127.0.0.1:{}", host.port))
        .user("alice", "store")
        .failure_delay("15s")
        .limits("failed_logins: { per_ip: 1/1h, per_user: 100/1h }")
        .behind_balancer("imap", imap)
        .start(&scratch, &Pki::new(&scratch));
    host.says("NO");
    host.says("NO");
    let clients = (1..).map(|n| format!("192.0.2.{n}"));
    let all = HOWS
        .into_iter()
        .flat_map(|how| [(how, "alice"), (how, "nobody")]);
    for ((how, user), from) in all.zip(clients) {
        let mut conn = connected(imap, &from);
        conn.send(format!("a LOGIN {user} guess\r\n"));
        let begun = Instant::now();
        let client = format!("client={from}:4711");
        if user == "alice" {
            gateway.logged(&["event=login", &client]);
        }
        leave(conn, how, &mut gateway);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(14), "{how:?} {user}: {took:?}");
        gateway.logged(&["event=login", &client]);
        let mut conn = connected(imap, &from);
        conn.send(format!("a LOGIN alice {WRONG}\r\n"));
        let said = conn.text();
        assert!(said.starts_with("a NO [LIMIT]"), "{how:?} {user}: {said}");
    }
}
