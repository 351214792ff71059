//! Many tries at one moment: a host hears no more guesses than the windows have, and everybody whose password is
//! right is let in, however many come together.

use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// How long a host or a service thinks about a password: what is not held back comes meanwhile.
const THINKS: Duration = Duration::from_millis(300);

/// What a host was shown.
#[derive(Default)]
struct Seen {
    /// Passwords and proofs.
    judged: AtomicUsize,
    wrong: AtomicUsize,
    /// How many it thinks about, and at most at once since that was last asked.
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Seen {
    fn thinks(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(THINKS);
        self.now.fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self) -> usize {
        self.most.swap(0, Ordering::SeqCst)
    }
}

/// An IMAP host that knows LOGIN and SCRAM, where every password but `right` and every proof but that of the
/// nonce `right` is wrong.
fn slow(seen: Arc<Seen>) -> u16 {
    scripted::host(move |mut stream| {
        let list = "CAPABILITY IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-256";
        let _ = write!(stream, "* OK [{list}] here\r\n");
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut read = || {
            let mut line = String::new();
            let some = reader.read_line(&mut line).is_ok_and(|n| n > 0);
            some.then(|| line.trim_end().to_owned())
        };
        while let Some(line) = read() {
            let (tag, command) = line.split_once(' ').unwrap();
            let mut right = true;
            if let Some(first) = command.strip_prefix("AUTHENTICATE SCRAM-SHA-256 ") {
                let first = String::from_utf8(STANDARD.decode(first).unwrap()).unwrap();
                let (_, nonce) = first.split_once(",r=").unwrap();
                let asks = STANDARD.encode(format!("r={nonce}host,s=c2FsdA==,i=4096"));
                let _ = write!(stream, "+ {asks}\r\n");
                if read().is_none_or(|proof| proof == "*") {
                    return;
                }
                right = nonce.starts_with("right");
            } else if command.starts_with("LOGIN ") {
                right = command.contains("right");
            }
            let shown = command.starts_with("LOGIN") || command.starts_with("AUTHENTICATE");
            if shown {
                seen.judged.fetch_add(1, Ordering::SeqCst);
                seen.thinks();
            }
            if !right {
                seen.wrong.fetch_add(1, Ordering::SeqCst);
                let _ = write!(stream, "{tag} NO [AUTHENTICATIONFAILED] wrong\r\n");
                continue;
            }
            if command.starts_with("AUTHENTICATE") {
                let _ = write!(stream, "+ {}\r\n", STANDARD.encode("v=c2lnbmF0dXJl"));
                read();
            }
            let _ = write!(stream, "{tag} OK [{list}] done\r\n");
        }
    })
}

fn stage(limits: &str) -> (Stage, Arc<Seen>) {
    stage_of(limits, "")
}

/// The host with further settings of its backend.
fn stage_of(limits: &str, more: &str) -> (Stage, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let store = slow(seen.clone());
    let backend = format!("{{ hosts: [\"imap://127.0.0.1:{store}\"]{more} }}");
    let mut stage = Stage::new(Settings::to(backend).limits(limits));
    // What the host takes is known from a look at it.
    let port = stage.imap;
    let offered = || {
        let mut conn = Stage::connect(port, "192.0.2.250");
        conn.send("a CAPABILITY\r\n");
        conn.text().contains("AUTH=SCRAM-SHA-256")
    };
    stage.gateway.wait_until("SCRAM to be offered", offered);
    (stage, seen)
}

/// One login by SCRAM: the answer without its tag.
fn scram(stage: &Stage, from: &str, user: &str, nonce: &str) -> String {
    let mut conn = Stage::connect(stage.imap, from);
    let first = STANDARD.encode(format!("n,,n={user},r={nonce}"));
    conn.send(format!("a AUTHENTICATE SCRAM-SHA-256 {first}\r\n"));
    let proof = STANDARD.encode(format!("c=biws,r={nonce}host,p=cHJvb2Y="));
    let mut answers = [proof, String::new()].into_iter();
    loop {
        let said = conn.text();
        if let Some(answer) = said.strip_prefix("a ") {
            return answer.to_owned();
        }
        if said.starts_with('+') {
            let answer = answers.next().unwrap();
            conn.send(format!("{answer}\r\n"));
        }
    }
}

/// So many logins at once: what each was told.
fn at_once(count: usize, login: impl Fn(usize) -> String + Sync) -> Vec<String> {
    let (login, start) = (&login, &std::sync::Barrier::new(count));
    std::thread::scope(|scope| {
        let one = |n| {
            scope.spawn(move || {
                start.wait();
                login(n)
            })
        };
        let all: Vec<_> = (0..count).map(one).collect();
        all.into_iter().map(|it| it.join().unwrap()).collect()
    })
}

/// All of them were told one of the two, and so many that they are wrong.
fn told(said: &[String], wrong: usize) {
    let begin = |with: &str| said.iter().filter(|it| it.starts_with(with)).count();
    let (refused, limit) = (begin("NO [AUTHENTICATIONFAILED]"), begin("NO [LIMIT]"));
    assert_eq!((refused, limit), (wrong, said.len() - wrong), "{said:?}");
}

#[test]
fn of_many_proofs_for_a_user_a_host_hears_as_many_as_the_window_has() {
    let (stage, seen) = stage("failed_logins: { per_ip: 100/1h, per_user: 3/1h }");
    let (alice, stage) = ("alice@example.org", &stage);
    let said = at_once(20, |n| {
        scram(stage, &format!("192.0.2.{n}"), alice, &format!("wrong{n}"))
    });
    assert_eq!(seen.judged.load(Ordering::SeqCst), 3);
    told(&said, 3);
}

#[test]
fn of_many_guesses_from_an_address_a_host_hears_as_many_as_the_window_has() {
    let (stage, seen) = stage("failed_logins: { per_ip: 5/1h, per_user: 100/1h }");
    let (from, stage) = ("192.0.2.1", &stage);
    let guess = |n: usize| {
        let (user, secret) = (format!("user{n}@example.org"), format!("wrong{n}"));
        match n % 2 {
            0 => stage.login(from, &user, &secret),
            _ => scram(stage, from, &user, &secret),
        }
    };
    told(&at_once(3, guess), 3);
    told(&at_once(30, |n| guess(n + 3)), 2);
    assert_eq!(seen.wrong.load(Ordering::SeqCst), 5);
}

/// As it is of users who are there.
#[test]
fn of_many_guesses_at_nobody_as_many_are_called_wrong_as_the_window_has() {
    let stage = Stage::new(
        Settings::new()
            .backend("store", "demo://")
            .user("demo", "store")
            .limits("failed_logins: { per_ip: 5/1h, per_user: 3/1h }"),
    );
    let nobody = |n: usize| stage.login("192.0.2.1", &format!("nobody{n}"), WRONG);
    told(&at_once(30, nobody), 5);
    let somebody = |n: usize| {
        let from = format!("192.0.2.{}", n + 2);
        stage.login(&from, "nobody", &format!("wrong{n}"))
    };
    told(&at_once(30, somebody), 3);
}

/// Lets one password in.
fn thinks(question: &Question) -> Vec<u8> {
    std::thread::sleep(THINKS);
    match question.get("Auth-Pass").as_deref() {
        Some("right") => lines("Auth-Status: OK\r\nAuth-Backend: store\r\n"),
        _ => lines("Auth-Status: Invalid login or password\r\n"),
    }
}

/// A lookup service is shown passwords, too.
#[test]
fn a_lookup_service_hears_no_more_guesses_than_the_window_has() {
    let service = Service::start(thinks);
    let store = host(Arc::default());
    let stage = Stage::new(
        Settings::new()
            .backend("store", format!("imap://127.0.0.1:{store}"))
            .user("mapped@example.org", "store")
            .top(&service.source())
            .limits("failed_logins: { per_ip: 100/1h, per_user: 3/1h }"),
    );
    let login = |n: usize, secret: &str| {
        stage.login(&format!("203.0.113.{n}"), "alice@example.org", secret)
    };
    for said in at_once(8, |n| login(n, "right")) {
        assert!(said.starts_with("OK"), "{said}");
    }
    let asked = service.questions().len();
    assert_eq!(asked, 8);
    told(&at_once(8, |n| login(n + 10, &format!("guess{n}"))), 3);
    assert_eq!(service.questions().len(), asked + 3);
}

#[test]
fn right_passwords_that_come_together_are_all_let_in() {
    let (stage, seen) = stage("failed_logins: { per_ip: 5/1h, per_user: 3/1h }");
    let stage = &stage;
    let behind_one_address = at_once(60, |n| {
        stage.login("192.0.2.1", &format!("user{n}@example.org"), "right")
    });
    assert!(seen.most() <= 5);
    let of_one_user = at_once(20, |n| {
        let nonce = format!("right{n}");
        scram(stage, &format!("192.0.2.{n}"), "alice@example.org", &nonce)
    });
    assert!(seen.most() <= 3);
    for said in behind_one_address.into_iter().chain(of_one_user) {
        assert!(said.starts_with("OK"), "{said}");
    }
}

/// Whose password nobody has seen yet has no part in a window: the many who wait for a host that takes one login
/// at a time hold up nobody else behind their address.
#[test]
fn who_waits_for_a_host_takes_no_room_from_others_of_its_address() {
    let (busy, asked) = (Arc::new(Mutex::new(())), Arc::new(AtomicUsize::new(0)));
    let thinks = busy.lock().unwrap();
    let slow = {
        let (busy, asked) = (busy.clone(), asked.clone());
        scripted::imap("[CAPABILITY IMAP4rev1] here", move |command| {
            if command.verb == "LOGIN" {
                asked.fetch_add(1, Ordering::SeqCst);
                drop(busy.lock());
            }
            format!("{} OK done\r\n", command.tag)
        })
    };
    let store = host(Arc::default());
    let stage = &Stage::new(
        Settings::new()
            .backend(
                "slow",
                format!("{{ hosts: [\"imap://127.0.0.1:{slow}\"], logins_in_flight: 1 }}"),
            )
            .backend("store", format!("imap://127.0.0.1:{store}"))
            .user("\"@slow.example\"", "slow")
            .user("\"@example.org\"", "store")
            .limits("failed_logins: { per_ip: 3/1h, per_user: 100/1h }"),
    );
    let from = "192.0.2.1";
    let said = std::thread::scope(|scope| {
        let waiting = (0..6).map(|n| {
            scope.spawn(move || stage.login(from, &format!("user{n}@slow.example"), "right"))
        });
        let waiting: Vec<_> = waiting.collect();
        while asked.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        // The others are in the queue by then.
        std::thread::sleep(THINKS);
        let said = stage.login(from, "alice@example.org", "right");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        drop(thinks);
        for login in waiting {
            let said = login.join().unwrap();
            assert!(said.starts_with("OK"), "{said}");
        }
        said
    });
    assert!(said.starts_with("OK"), "{said}");
}

/// A host that takes two at a time, and windows that have room for few: each waits for both, and neither for ever.
#[test]
fn a_full_window_before_a_busy_host_loses_nobody() {
    let limits = "failed_logins: { per_ip: 3/1h, per_user: 100/1h }";
    let (stage, seen) = stage_of(limits, ", logins_in_flight: 2");
    let login =
        |n: usize, secret: &str| stage.login("192.0.2.1", &format!("user{n}@example.org"), secret);
    for said in at_once(30, |n| login(n, "right")) {
        assert!(said.starts_with("OK"), "{said}");
    }
    assert!(seen.most() <= 2);
    told(&at_once(12, |n| login(n, &format!("wrong{n}"))), 3);
    assert_eq!(seen.wrong.load(Ordering::SeqCst), 3);
}
