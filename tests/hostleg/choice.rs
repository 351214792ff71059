//! Which host is asked, which one next, and what is never sent twice.

use std::sync::Arc;
use std::time::Duration;

use gatepost::backend::config::{Balance, Config, Endpoint, Failover};
use gatepost::backend::{Backend, Request, Surroundings};
use gatepost::protocol::{Failure, Protocol, UserName};
use gatepost::state::{Claimed, Pass, Place, State};
use tokio::net::TcpListener;

use super::absent::Absent;
use super::scripted::*;

#[tokio::test]
async fn the_next_host_takes_over_before_credentials_were_sent() {
    for script in [
        None,
        Some(greets("")),
        Some(greets("* BYE full\r\n")),
        Some(greets("* OK hi\r\n")),
    ] {
        let (second, nobody) = (Host::start(good()).await, Absent::new());
        let mut first = None;
        let at = match script {
            None => nobody.at,
            Some(script) => first.insert(Host::start(script).await).at,
        };
        let backend = backend(Config {
            greeting_timeout: Duration::from_secs(2),
            login_timeout: Duration::from_secs(2),
            ..first_then(at, second.at).await
        });
        let connected = login(&backend).await.unwrap();
        let order = order(&backend);
        // Alice has a live session: hers is the first choice now.
        assert_eq!(connected.seat.host().name(), order[0]);
        drop(connected);
        // The host that failed is not asked by the next login.
        login(&backend).await.unwrap();
        assert!(first.is_none_or(|host| host.connections() == 1));
        assert_eq!(second.connections(), 2);
    }
}

#[tokio::test]
async fn with_failover_turned_off_users_stay_with_their_host() {
    let (nobody, second) = (Absent::new(), Host::start(good()).await);
    let backend = backend(Config {
        failover: Failover::No,
        ..first_then(nobody.at, second.at).await
    });
    assert!(matches!(
        login(&backend).await.map(drop).unwrap_err().failure,
        Failure::Unreachable { .. }
    ));
    assert_eq!(second.connections(), 0);
}

#[tokio::test]
async fn a_password_is_shown_to_one_host_only_unless_it_calls_itself_unavailable() {
    for (answer, elsewhere) in [
        ("% NO wrong\r\n", false),
        ("% NO [AUTHENTICATIONFAILED] wrong\r\n", false),
        ("% NO [LIMIT] too many\r\n", false),
        ("% BAD\r\n", false),
        ("close", false),
        ("* BYE later\r\n% NO\r\n", false),
        ("% NO [UNAVAILABLE] later\r\n", true),
        ("* BYE [UNAVAILABLE] later\r\n% NO\r\n", true),
    ] {
        let answers: &'static [_] = Box::leak(Box::new([("AUTHENTICATE", answer)]));
        let first = Host::start(login_answered(answers)).await;
        let second = Host::start(good()).await;
        let backend = backend(Config {
            retry_for: Duration::from_secs(1),
            ..first_then(first.at, second.at).await
        });
        assert_eq!(login(&backend).await.is_ok(), elsewhere, "{answer}");
        let seen = (first.connections(), second.connections());
        assert_eq!(seen, (1, usize::from(elsewhere)), "{answer}");
    }
}

/// As little over POP3 where the password was not the reason, and the host says none.
#[tokio::test]
async fn a_refusal_without_a_code_is_not_taken_to_another_pop3_host() {
    for (answer, want) in [
        ("-ERR cannot open the mailbox\r\n", Err("UNAVAILABLE")),
        ("-ERR [AUTH] wrong\r\n", Err("AUTHENTICATIONFAILED")),
        ("-ERR [SYS/TEMP] later\r\n", Ok(())),
    ] {
        let script = |answer| Script {
            greeting: "+OK ready\r\n",
            answers: Box::leak(Box::new([
                ("CAPA", "+OK\r\nSASL PLAIN\r\nAUTH-RESP-CODE\r\n.\r\n"),
                // Bob.
                ("PLAIN AGJvYg", "-ERR [AUTH] wrong\r\n"),
                ("PLAIN", answer),
            ])),
            tls: None,
        };
        let (first, second) = (
            Host::start(script(answer)).await,
            Host::start(script("+OK in\r\n")).await,
        );
        let mut config = first_then(first.at, second.at).await;
        for host in &mut config.hosts {
            host.pop3 = host.imap.take().map(|it| Endpoint {
                protocol: Protocol::Pop3,
                ..it
            });
        }
        let backend = backend(config);
        let (alice, bob) = (Alice::new(), UserName::new(b"bob").unwrap());
        let request = || Request {
            protocol: Protocol::Pop3,
            ..alice.request()
        };
        // It was heard to keep to its announcement.
        let home = order(&backend)[0].clone();
        let wrong = Request {
            user: &bob,
            host: Some(&home),
            ..request()
        };
        assert!(backend.connect(wrong).await.is_err());
        let got = backend.connect(request()).await.map(drop);
        let got = got.map_err(|refusal| refusal.failure);
        assert!(
            !got.as_ref()
                .is_err_and(|it| it.is_credentials() != answer.contains("[AUTH]"))
        );
        assert_eq!(
            got.as_ref().map_err(Failure::code).copied(),
            want,
            "{answer}"
        );
        let seen = (first.connections(), second.connections());
        assert_eq!(seen, (2, usize::from(want.is_ok())), "{answer}");
    }
}

#[tokio::test]
async fn a_host_that_comes_back_in_time_is_asked_again() {
    let absent = Absent::new();
    let backend = Arc::new(backend(Config {
        retry_for: Duration::from_secs(20),
        ..config(&[absent.at])
    }));
    let first = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { login(&backend).await.is_ok() }
    });
    while backend.hosts()[0].last_failure().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Others are answered at once while it is down.
    let others = login(&backend).await.map(drop);
    assert!(matches!(
        others.unwrap_err().failure,
        Failure::Unreachable { .. }
    ));
    let host = Host::on(TcpListener::bind(absent.at).await.unwrap(), good());
    assert!(first.await.unwrap());
    assert_eq!(host.connections(), 1);
    assert!(login(&backend).await.is_ok());
}

#[tokio::test]
async fn a_fixed_host_is_the_only_one() {
    let (one, two) = (Host::start(good()).await, Host::start(good()).await);
    let backend = backend(config(&[one.at, two.at]));
    let alice = Alice::new();
    for name in ["h0", "h1"] {
        let request = Request {
            host: Some(name),
            ..alice.request()
        };
        assert_eq!(
            backend.connect(request).await.unwrap().seat.host().name(),
            name
        );
    }
    let request = Request {
        host: Some("h2"),
        ..alice.request()
    };
    let refusal = backend.connect(request).await.map(drop).unwrap_err();
    assert!(matches!(refusal.failure, Failure::HostSetup { .. }));
}

#[tokio::test]
async fn a_user_leaves_one_host_before_the_other_is_asked() {
    let (one, two) = (Host::start(good()).await, Host::start(good()).await);
    let backend = backend(config(&[one.at, two.at]));
    let alice = Alice::new();
    let on = |host| Request {
        host: Some(host),
        ..alice.request()
    };
    let stays = backend.connect(on("h0")).await.unwrap();
    let also = login(&backend).await.unwrap();
    assert_eq!(also.seat.host().name(), "h0");
    let (asked, mut leave) = tokio::sync::mpsc::unbounded_channel();
    for connected in [&stays, &also] {
        let asked = asked.clone();
        (connected.seat).on_leave(Arc::new(move || {
            let _ = asked.send(());
        }));
    }
    let leaving = async {
        leave.recv().await.unwrap();
        leave.recv().await.unwrap();
        // Asked, but not gone yet: the other host hears nothing.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(two.connections(), 0);
        drop((stays, also));
    };
    let (moves, ()) = tokio::join!(backend.connect(on("h1")), leaving);
    let moves = moves.unwrap();
    assert_eq!(login(&backend).await.unwrap().seat.host().name(), "h1");
    drop(moves);
}

#[tokio::test]
async fn the_host_with_the_fewest_sessions_for_its_weight() {
    let (one, two) = (Host::start(good()).await, Host::start(good()).await);
    let mut config = config(&[one.at, two.at]);
    config.balance = Balance::LeastSessions;
    config.hosts[1].weight = 3;
    let backend = backend(config);
    let mut seats = Vec::new();
    for n in 0..40 {
        let user = Alice::called(&format!("user{n}"));
        seats.push(backend.connect(user.request()).await.unwrap());
    }
    let sessions: Vec<u32> = backend.hosts().iter().map(|host| host.sessions()).collect();
    assert_eq!(sessions, [10, 30]);
}

#[tokio::test]
async fn a_full_host_passes_new_users_on() {
    let (one, two) = (Host::start(good()).await, Host::start(good()).await);
    let backend = backend(Config {
        max_sessions: 1,
        ..config(&[one.at, two.at])
    });
    let alice = login(&backend).await.unwrap();
    let again = login(&backend).await.map(drop).unwrap_err().failure;
    assert!(matches!(again, Failure::TooMany { .. }));
    let bob = backend
        .connect(Alice::called("bob").request())
        .await
        .unwrap();
    assert_ne!(alice.seat.host().name(), bob.seat.host().name());
    let carol = backend
        .connect(Alice::called("carol").request())
        .await
        .map(drop);
    assert!(matches!(
        carol.unwrap_err().failure,
        Failure::TooMany { .. }
    ));
}

#[tokio::test]
async fn logins_wait_their_turn() {
    let host = Host::start(greets("* OK hi\r\n")).await;
    let backend = Arc::new(backend(Config {
        logins_in_flight: 1,
        login_timeout: Duration::from_millis(300),
        ..config(&[host.at])
    }));
    let one = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { login(&backend).await.map(drop) }
    });
    while host.connections() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(login(&backend).await.is_err());
    assert!(one.await.unwrap().is_err());
    assert_eq!(host.connections(), 1);
}

/// Sessions that came after this login began are to it what those of another gateway are.
#[tokio::test]
async fn a_host_without_a_free_turn_keeps_the_sessions_it_has() {
    let silent = Host::start(greets("")).await;
    let second = Host::start(good()).await;
    let config = Config {
        logins_in_flight: 1,
        greeting_timeout: Duration::from_secs(60),
        login_timeout: Duration::from_millis(300),
        ..first_then(silent.at, second.at).await
    };
    let state = State::memory();
    let around = Surroundings {
        state: state.clone(),
        ..Surroundings::default()
    };
    let backend = Arc::new(Backend::new(config, around).unwrap());
    let home = order(&backend)[0].clone();
    let host = backend.host(&home).unwrap();
    let start = |name: &'static str| {
        let (backend, host) = (backend.clone(), home.clone());
        tokio::spawn(async move {
            let request = Alice::called(name);
            let fixed = (name == "bob").then_some(host.as_str());
            let request = Request {
                host: fixed,
                ..request.request()
            };
            backend.connect(request).await.map(drop)
        })
    };
    // However long this one takes: the turn is another's while alice waits.
    let bob = start("bob");
    while silent.connections() == 0 {
        tokio::task::yield_now().await;
    }
    let alice = start("alice");
    while host.sessions() < 2 {
        tokio::task::yield_now().await;
    }
    let pass = Pass::plain(backend.name(), &Alice::new().user);
    let place = Place::new(backend.name(), &home);
    let Claimed::Here(claim) = state.claim(&pass, &place).await else {
        panic!("not granted");
    };
    let (asked, leave) = std::sync::mpsc::channel();
    claim.on_leave(Arc::new(move || {
        let _ = asked.send(());
    }));
    let refusal = alice.await.unwrap().unwrap_err();
    assert!(leave.try_recv().is_err(), "alice was sent away");
    assert_eq!(refusal.host.as_deref(), Some(home.as_str()));
    assert!(matches!(
        refusal.failure,
        Failure::TimedOut { state: "queue" }
    ));
    assert_eq!(second.connections(), 0);
    bob.abort();
}

/// Logins that overlap: what becomes of the one is not yet known when the other is passed on.
#[tokio::test]
async fn a_login_that_is_passed_on_waits_for_those_under_way() {
    for session in [false, true] {
        let answers = &[("AUTHENTICATE", "% NO [UNAVAILABLE] later\r\n")];
        let first = Host::start(login_answered(answers)).await;
        let second = Host::start(good()).await;
        let config = first_then(first.at, second.at).await;
        let state = State::memory();
        let around = Surroundings {
            state: state.clone(),
            ..Surroundings::default()
        };
        let backend = Arc::new(Backend::new(config, around).unwrap());
        let pass = Pass::plain(backend.name(), &Alice::new().user);
        let place = Place::new(backend.name(), &order(&backend)[0]);
        let Claimed::Here(under_way) = state.claim(&pass, &place).await else {
            panic!("not granted");
        };
        let login = tokio::spawn(async move { login(&backend).await.map(drop) });
        while first.connections() == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(second.connections(), 0);
        if session {
            let (asked, leave) = std::sync::mpsc::channel();
            under_way.on_leave(Arc::new(move || {
                let _ = asked.send(());
            }));
            let refusal = login.await.unwrap().unwrap_err();
            assert!(matches!(refusal.failure, Failure::Refused { .. }));
            assert!(leave.try_recv().is_err(), "alice was sent away");
        } else {
            drop(under_way);
            login.await.unwrap().unwrap();
        }
        assert_eq!(second.connections(), usize::from(!session));
    }
}
