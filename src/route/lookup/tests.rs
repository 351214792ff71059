//! A lookup service on loopback that answers as it is told, and what becomes of logins.

use std::sync::Mutex;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::backend::config::Security;
use crate::net::TlsFacts;
use crate::protocol::{Code, Credentials};
use crate::tls::Shown;

/// Questions as they came, and which connection each came on.
type Heard = Arc<Mutex<Vec<(usize, String)>>>;

/// What the service does with its n-th question: writes that, and closes or not.
type Script = fn(usize) -> (Vec<u8>, Then);

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Stay,
    Close,
    Hang,
}

async fn service(
    script: impl Fn(usize) -> (Vec<u8>, Then) + Clone + Send + 'static,
) -> (Uri, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/auth?key=secret", listener.local_addr().unwrap());
    let heard = Heard::default();
    let ours = heard.clone();
    tokio::spawn(async move {
        for connection in 0.. {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let (heard, script) = (ours.clone(), script.clone());
            tokio::spawn(async move {
                let mut text = Vec::new();
                loop {
                    let mut chunk = [0; 4096];
                    match tcp.read(&mut chunk).await {
                        Ok(0) | Err(_) => return,
                        Ok(n) => text.extend_from_slice(&chunk[..n]),
                    }
                    if !text.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let question = String::from_utf8_lossy(&text).into_owned();
                    text.clear();
                    let n = {
                        let mut heard = heard.lock().unwrap();
                        heard.push((connection, question));
                        heard.len() - 1
                    };
                    let (answer, then) = script(n);
                    let _ = tcp.write_all(&answer).await;
                    match then {
                        Then::Stay => {}
                        Then::Close => return,
                        Then::Hang => std::future::pending().await,
                    }
                }
            });
        }
    });
    (uri.parse().unwrap(), heard)
}

fn answer(lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}\r\n").into_bytes()
}

const STORE: &str = "Auth-Status: OK\r\nAuth-Backend: store\r\n";

fn lookup(urls: Vec<Uri>) -> Lookup {
    lookup_for(urls, Duration::from_secs(60), Duration::ZERO)
}

fn lookup_for(urls: Vec<Uri>, timeout: Duration, cache: Duration) -> Lookup {
    Lookup::new(Config {
        urls,
        timeout,
        cache,
        headers: vec![own_header("X-Key", b"a b").unwrap()],
        backends: ["store".to_owned()].into(),
        place: Place::default().at(9),
    })
}

fn password(password: &str) -> Credentials {
    Credentials::Password(Secret::new(password.as_bytes()).unwrap())
}

async fn ask(lookup: &Lookup, user: &str, shown: &str) -> Result<Option<Sent>, Failure> {
    asked_with(lookup, user, &password(shown), None).await
}

async fn asked_with(
    lookup: &Lookup,
    user: &str,
    credentials: &Credentials,
    tls: Option<VisitTls<'_>>,
) -> Result<Option<Sent>, Failure> {
    let visit = Visit {
        credentials,
        client: "192.0.2.1".parse().unwrap(),
        attempt: 1,
        session: "s1",
        tls,
    };
    let user = UserName::new(user.as_bytes()).unwrap();
    lookup.ask(&user, Protocol::Imap, &visit).await
}

fn store() -> Sent {
    Sent {
        to: Destination::Backend("store".into()),
        user: None,
        password: None,
    }
}

fn unavailable(asked: Result<Option<Sent>, Failure>) -> String {
    match asked {
        Err(Failure::MapUnavailable { cause }) => cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn questions_come_on_one_connection_as_http_has_them() {
    let (uri, heard) = service(|_| (answer(STORE), Then::Stay)).await;
    let authority = uri.authority().unwrap().to_string();
    let lookup = lookup(vec![uri]);
    assert_eq!(ask(&lookup, "bob", "p w").await, Ok(Some(store())));
    assert_eq!(ask(&lookup, "bob", "p w").await, Ok(Some(store())));
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 2, "without `cache` each login asks");
    assert!(heard.iter().all(|(connection, _)| *connection == 0));
    assert_eq!(
        heard[0].1,
        format!(
            "GET /auth?key=secret HTTP/1.1\r\nHost: {authority}\r\nAuth-Method: plain\r\n\
             Auth-User: bob\r\nAuth-Pass: p%20w\r\nAuth-Protocol: imap\r\n\
             Auth-Login-Attempt: 1\r\nClient-Ip: 192.0.2.1\r\nX-Key: a b\r\n\r\n"
        )
    );
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_made_anew() {
    let (uri, heard) = service(|n| (answer(STORE), [Then::Close, Then::Stay][n % 2])).await;
    let lookup = lookup(vec![uri]);
    for _ in 0..4 {
        assert_eq!(ask(&lookup, "bob", "x").await, Ok(Some(store())));
    }
    assert_eq!(heard.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_server_of_the_answers_own_and_another_login() {
    let (uri, _) = service(|_| {
        let lines = "Auth-Status: OK\r\nAuth-Server: 10.0.0.5\r\nAuth-Port: 143\r\n\
                     Auth-User: bob2\r\nAuth-Pass: p w\r\n";
        (answer(lines), Then::Stay)
    })
    .await;
    let sent = ask(&lookup(vec![uri]), "bob", "x").await.unwrap().unwrap();
    assert_eq!(sent.user.unwrap().as_str(), "bob2");
    assert_eq!(sent.password.unwrap().reveal(), b"p w");
    let Destination::Server(server) = sent.to else {
        panic!()
    };
    assert_eq!((server.host.as_str(), server.port), ("10.0.0.5", 143));
    assert_eq!(server.security, Security::Clear);
}

#[tokio::test]
async fn the_service_says_no_next_or_later() {
    let (uri, heard) = service(|n| {
        let lines = [
            "Auth-Status: account closed\r\nAuth-Wait: 3\r\n",
            "Auth-Status: OK\r\nAuth-Backend: *\r\n",
            "Auth-Status: WAIT\r\nAuth-Wait: 1\r\n",
            STORE,
            "Auth-Status: WAIT\r\nAuth-Wait: 60\r\n",
        ];
        (answer(lines[n]), Then::Stay)
    })
    .await;
    let lookup = lookup(vec![uri]);
    let declined = Failure::Declined {
        text: "account closed".into(),
        code: Code::AuthenticationFailed,
        wait: Some(3),
    };
    assert_eq!(ask(&lookup, "bob", "x").await, Err(declined));
    assert_eq!(ask(&lookup, "bob", "x").await, Ok(None));
    assert_eq!(ask(&lookup, "bob", "x").await, Ok(Some(store())));
    assert_eq!(heard.lock().unwrap().len(), 4);
    assert!(unavailable(ask(&lookup, "eve", "x").await).contains("wait for too long"));
}

/// What a service says is in the log and, where it says no, before the user.
#[tokio::test]
async fn a_service_that_repeats_the_password_is_not_quoted() {
    const PASSWORD: &str = r#"S3 CR\E"T"#;
    for (said, shown) in [
        (r#"Auth-Status: no S3 CR\E"T for you"#, Ok(())),
        ("Auth-Status: no S3%20CR\\E\"T for you", Ok(())),
        (r#"Auth-Status: no S3 CR\\E\"T for you"#, Ok(())),
        (r#"Auth-Status: OK\r\nAuth-Backend: S3 CR\E"T"#, Err(())),
        (r#"Auth-Status: OK\r\nAuth-Server: xxS3 CR\E"Txx"#, Err(())),
    ] {
        let said = said.replace(r"\r\n", "\r\n") + "\r\n";
        let (uri, _) = service(move |_| (answer(&said), Then::Stay)).await;
        let told = match (ask(&lookup(vec![uri]), "bob", PASSWORD).await, shown) {
            (Err(Failure::Declined { text, .. }), Ok(())) => text,
            (asked, _) => unavailable(asked),
        };
        assert!(
            told.ends_with("(withheld: it repeats the password)"),
            "{told}"
        );
    }
    let (uri, _) = service(|_| (answer("Auth-Status: no S3 for you\r\n"), Then::Stay)).await;
    match ask(&lookup(vec![uri]), "bob", PASSWORD).await {
        Err(Failure::Declined { text, .. }) => assert_eq!(text, "no S3 for you"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bad_answers_are_named_and_nobody_goes_anywhere() {
    const GOOD: &str = "HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nAuth-Port: 143\r\n";
    let scripts: [(Script, &str); 9] = [
        (
            |_| {
                (
                    format!("{GOOD}Auth-Server: 10.0.0.5\rX: y\r\n\r\n").into(),
                    Then::Stay,
                )
            },
            "is not HTTP",
        ),
        (
            |_| {
                (
                    format!("{GOOD}Auth-Server: 10.0.0.5%0D\r\nContent-Length: 0\r\n\r\n").into(),
                    Then::Stay,
                )
            },
            "is no address",
        ),
        (
            |_| {
                (
                    b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".into(),
                    Then::Stay,
                )
            },
            "500 Internal Server Error",
        ),
        (
            |_| (b"+OK I am no web server\r\n".into(), Then::Close),
            "is not HTTP",
        ),
        (
            |_| (Vec::new(), Then::Close),
            "closed before the answer was whole",
        ),
        (
            |_| (format!("{GOOD}X: ").into(), Then::Close),
            "closed before the answer was whole",
        ),
        (
            |_| {
                (
                    format!("{GOOD}X: {}", "x".repeat(10_000_000)).into(),
                    Then::Stay,
                )
            },
            "head is larger",
        ),
        (
            |_| {
                let head = format!("HTTP/1.1 200 OK\r\n{STORE}Content-Length: 10000000\r\n\r\n");
                ((head + &"x".repeat(10_000_000)).into(), Then::Stay)
            },
            "body of more than 64 KiB",
        ),
        (
            |_| {
                (
                    format!("{GOOD}Content-Length: 5\r\n\r\nno").into(),
                    Then::Close,
                )
            },
            "end of file before message length",
        ),
    ];
    for (script, want) in scripts {
        let (uri, _) = service(script).await;
        let cause = unavailable(ask(&lookup(vec![uri.clone()]), "bob", "x").await);
        assert!(cause.contains(want), "expected {want:?}, got {cause:?}");
        let url = format!("http://{}/auth", uri.authority().unwrap());
        assert!(!cause.contains("key=secret"), "{cause}");
        assert!(cause.contains(&url), "{cause}");
    }
}

#[tokio::test]
async fn a_service_that_hangs_is_given_up_and_the_next_one_asked() {
    let (hangs, heard) = service(|_| (b"HTTP/1.1 200 OK\r\n".into(), Then::Hang)).await;
    let (works, _) = service(|_| (answer(STORE), Then::Stay)).await;
    let timeout = Duration::from_millis(50);
    let alone = lookup_for(vec![hangs.clone()], timeout, Duration::ZERO);
    let cause = unavailable(ask(&alone, "bob", "x").await);
    assert!(cause.contains("no answer within 50ms"), "{cause}");
    let both = lookup_for(vec![hangs, works], Duration::from_secs(1), Duration::ZERO);
    for _ in 0..3 {
        assert_eq!(ask(&both, "bob", "x").await, Ok(Some(store())));
    }
    // Once alone, once first of two; then it stands behind the other.
    assert_eq!(heard.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn who_was_sent_before_goes_there_while_the_service_is_away() {
    const MASTER: &str = "Auth-Status: OK\r\nAuth-Backend: store\r\nAuth-Pass: master\r\n";
    let (uri, _) = service(|n| match n {
        0 => (answer(STORE), Then::Stay),
        1 => (answer(MASTER), Then::Stay),
        _ => (
            b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n".into(),
            Then::Stay,
        ),
    })
    .await;
    let lookup = lookup(vec![uri]);
    assert!(ask(&lookup, "bob", "x").await.is_ok());
    assert!(ask(&lookup, "eve", "right").await.is_ok());
    assert_eq!(ask(&lookup, "Bob", "other").await, Ok(Some(store())));
    let eve = ask(&lookup, "eve", "right").await.unwrap().unwrap();
    assert_eq!(eve.password.unwrap().reveal(), b"master");
    unavailable(ask(&lookup, "eve", "wrong").await);
    unavailable(ask(&lookup, "carol", "x").await);
    // New settings know what the old ones did, but for a backend that is no more.
    let again = Lookup::after(lookup.config().clone(), &lookup);
    assert_eq!(ask(&again, "bob", "x").await, Ok(Some(store())));
    let mut config = lookup.config().clone();
    config.backends.clear();
    unavailable(ask(&Lookup::after(config, &lookup), "bob", "x").await);
}

/// A certificate that the service has never seen is not that of a user whom it let in with another.
#[tokio::test]
async fn an_answer_for_one_certificate_is_none_for_another() {
    // With a password for the host, and without: a master logs in then.
    for says in [
        STORE,
        "Auth-Status: OK\r\nAuth-Backend: store\r\nAuth-Pass: master\r\n",
    ] {
        let (uri, heard) = service(move |n| match n {
            0 => (answer(says), Then::Stay),
            _ => (answer("Auth-Status: it was revoked\r\n"), Then::Stay),
        })
        .await;
        let hour = Duration::from_secs(3600);
        let lookup = lookup_for(vec![uri], Duration::from_secs(60), hour);
        let bob = async |der: &[u8]| {
            let shown = Shown::of(&CertificateDer::from(der), der.len());
            let tls = VisitTls {
                facts: TlsFacts {
                    version: "TLSv1.3",
                    cipher: None,
                },
                certificate: Certificate::Verified(&shown),
            };
            asked_with(&lookup, "bob", &Credentials::Certificate, Some(tls)).await
        };
        assert!(bob(b"new").await.unwrap().is_some());
        let old = bob(b"old").await;
        assert!(matches!(old, Err(Failure::Declined { .. })), "{old:?}");
        // What was given for the other one is not void by that.
        assert!(bob(b"new").await.unwrap().is_some());
        assert_eq!(heard.lock().unwrap().len(), 2);
        // That of a login by password is none, either.
        assert!(ask(&lookup, "bob", "x").await.is_err());
    }
}

/// Whoever wants a blocked account to count at once lowers it.
#[tokio::test]
async fn settings_of_now_say_how_long_an_answer_is_kept() {
    let (uri, heard) = service(|_| (answer(STORE), Then::Stay)).await;
    let hour = Duration::from_secs(3600);
    let before = lookup_for(vec![uri], hour, hour);
    let mut asked = Vec::new();
    let changed = |cache| {
        let mut config = before.config().clone();
        config.cache = cache;
        Lookup::after(config, &before)
    };
    for lookup in [&before, &changed(hour), &changed(Duration::ZERO), &before] {
        assert_eq!(ask(lookup, "bob", "x").await, Ok(Some(store())));
        asked.push(heard.lock().unwrap().len());
    }
    assert_eq!(asked, [1, 1, 2, 2]);
}

#[tokio::test]
async fn an_answer_may_be_kept_and_the_service_says_for_how_long() {
    let (uri, heard) = service(|n| {
        let never = format!("{STORE}Auth-Cache: 0\r\n");
        (answer(if n == 0 { &never } else { STORE }), Then::Stay)
    })
    .await;
    let hour = Duration::from_secs(3600);
    let lookup = lookup_for(vec![uri], Duration::from_secs(60), hour);
    for _ in 0..4 {
        assert_eq!(ask(&lookup, "bob", "x").await, Ok(Some(store())));
    }
    assert_eq!(heard.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn the_same_login_many_times_at_once_asks_once() {
    let (uri, heard) = service(|_| {
        std::thread::sleep(Duration::from_millis(100));
        (answer(STORE), Then::Stay)
    })
    .await;
    let lookup = lookup(vec![uri]);
    let (one, two, three) = tokio::join!(
        ask(&lookup, "bob", "x"),
        ask(&lookup, "bob", "x"),
        ask(&lookup, "bob", "y"),
    );
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    // Another password is another question.
    assert_eq!(heard.lock().unwrap().len(), 2);
}
