//! SIGTERM: the world notices, what runs ends whole, everybody hears goodbye.
//!
//! `GATEPOST_CROWD=1000` makes the crowd as large as that, with a twentieth of it busy.

use std::time::{Duration, Instant};

use crate::support::crowd::{self, Client};
use crate::support::gateway::{Settings, admin_get};
use crate::support::mail::{crlf, mailbox};
use crate::support::need::{DOVECOT, needs};
use crate::support::pki::Pki;
use crate::support::process::signal;
use crate::support::stage::both;
use crate::support::{ALICE, BOB, Imap, Pop3, Scratch, Stage};

fn crowd_size(small: usize) -> usize {
    let asked = std::env::var("GATEPOST_CROWD").ok();
    asked.map_or(small, |size| size.parse().unwrap())
}

#[test]
fn everybody_hears_goodbye_and_no_fetch_is_cut() {
    let idling = crowd_size(60);
    let busy = (idling / 20).max(3);
    let drain = if idling > 60 { 30 } else { 12 };
    let runtime = crowd::runtime();
    let host = crowd::host(&runtime);
    let scratch = Scratch::new();
    let mut gateway = Settings::to(format!("imap://127.0.0.1:{host}"))
        .top(&format!("timeouts: {{ drain: {drain}s }}"))
        .log("level: info")
        .start(&scratch, &Pki::new(&scratch));
    let port = gateway.ports.imap;
    let began = runtime.block_on(async {
        let mut crowd = Vec::new();
        for number in 0..idling {
            let mut client = Client::logged_in(port, &format!("idle{number}"))
                .await
                .unwrap();
            client.idle().await.unwrap();
            crowd.push(client);
        }
        let mut fetching = Vec::new();
        for number in 0..busy {
            let mut client = Client::logged_in(port, &format!("busy{number}"))
                .await
                .unwrap();
            client.begin_fetch().await.unwrap();
            fetching.push(client);
        }
        signal(gateway.pid(), "TERM");
        let began = Instant::now();
        let mut all = tokio::task::JoinSet::new();
        for mut client in crowd {
            all.spawn(async move {
                let last = client.rest().await.unwrap();
                (last, began.elapsed())
            });
        }
        for mut client in fetching {
            all.spawn(async move {
                client.end_fetch().await.unwrap();
                let last = client.rest().await.unwrap();
                (last, began.elapsed())
            });
        }
        let mut last = Duration::ZERO;
        for (words, when) in all.join_all().await {
            assert!(words.starts_with("* BYE "), "{words:?}");
            assert_eq!(words.lines().count(), 1, "{words:?}");
            last = last.max(when);
        }
        eprintln!("{idling} idling and {busy} busy clients heard BYE, the last after {last:?}");
        began
    });
    assert_eq!(gateway.wait().code(), Some(0));
    eprintln!("exit 0 after {:?} of {drain} s", began.elapsed());
    gateway.logged(&["event=stopped", "sessions_left=0"]);
}

#[test]
fn during_the_delay_clients_are_served_and_a_second_signal_ends_it() {
    let runtime = crowd::runtime();
    let host = crowd::host(&runtime);
    let scratch = Scratch::new();
    let mut gateway = Settings::to(format!("imap://127.0.0.1:{host}"))
        .top("timeouts: { drain_delay: 1h, drain: 1h }")
        .start(&scratch, &Pki::new(&scratch));
    let (port, admin) = (gateway.ports.imap, gateway.ports.admin);
    signal(gateway.pid(), "TERM");
    gateway.wait_until("503", || {
        admin_get(admin, "/readyz").is_some_and(|(status, _)| status == 503)
    });
    assert_eq!(admin_get(admin, "/healthz").unwrap().0, 200);
    runtime.block_on(async {
        let mut client = Client::logged_in(port, "late").await.unwrap();
        assert!(client.command("NOOP").await.unwrap().starts_with("a OK"));
    });
    signal(gateway.pid(), "INT");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn listeners_close_and_a_login_in_flight_is_answered() {
    let runtime = crowd::runtime();
    let host = crowd::host(&runtime);
    let scratch = Scratch::new();
    let mut gateway = Settings::to(format!("imap://127.0.0.1:{host}"))
        .top("timeouts: { drain: 1h }")
        .start(&scratch, &Pki::new(&scratch));
    let port = gateway.ports.imap;
    runtime.block_on(async {
        let mut client = Client::connect(port).await.unwrap();
        signal(gateway.pid(), "TERM");
        gateway.wait_until("a closed port", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_err()
        });
        let answer = client.command("LOGIN late secret").await.unwrap();
        // A slow machine may be past the five seconds there are for a login.
        assert!(
            answer.starts_with("a OK") || answer.starts_with("* BYE"),
            "{answer}"
        );
    });
    signal(gateway.pid(), "TERM");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn pop3_hears_it_at_its_next_command_and_nothing_is_deleted() {
    needs!(DOVECOT);
    for relayed in [true, false] {
        let messages = mailbox(3);
        let mut stage = Stage::with(|dovecot, _| {
            let url = match relayed {
                true => both(dovecot.imap, dovecot.pop3),
                false => format!("imap://127.0.0.1:{}", dovecot.imap),
            };
            Settings::to(url).top("timeouts: { drain: 20s }")
        })
        .delivered(ALICE, &messages)
        .delivered(BOB, &messages);
        let port = stage.gateway.ports.pop3;
        let mut clients = [Pop3::logged_in(port, ALICE), Pop3::logged_in(port, BOB)];
        for pop3 in &mut clients {
            pop3.ok("DELE 1");
        }
        signal(stage.gateway.pid(), "TERM");
        for pop3 in &mut clients {
            let last = loop {
                let answer = pop3.command("NOOP");
                if !answer.starts_with("+OK") {
                    break answer;
                }
                std::thread::sleep(Duration::from_millis(20));
            };
            assert!(last.starts_with("-ERR [SYS/TEMP] "), "{last}");
            assert_eq!(pop3.conn.rest(), b"");
        }
        assert_eq!(stage.gateway.wait().code(), Some(0));
        for user in [ALICE, BOB] {
            let mut imap = Imap::logged_in(stage.dovecot.imap, user);
            imap.command("SELECT INBOX").ok();
            assert!(imap.fetch(1) == crlf(&messages[0]));
        }
    }
}
