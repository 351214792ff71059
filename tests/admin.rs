//! The admin port over real sockets: what it answers, to whom, and what it does with requests that
//! mean ill.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

#[path = "admin/port.rs"]
mod port;

use std::sync::atomic::Ordering;

use gatepost::protocol::{Farewell, Protocol};
use port::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn health_readiness_and_metrics() {
    let port = Port::open(None).await;
    for (readiness, status, body) in [
        (0, 503, "starting\n"),
        (1, 200, "ready\n"),
        (2, 503, "draining\n"),
    ] {
        port.gateway.readiness.store(readiness, Ordering::Relaxed);
        assert_eq!(port.get("/readyz").await, (status, body.into()));
        assert_eq!(port.get("/healthz").await, (200, "ok\n".into()));
    }
    let (status, body) = port.get("/metrics").await;
    assert_eq!((status, body.as_str()), (200, "gatepost_build_info 1\n"));
}

#[tokio::test]
async fn a_reload_is_told_with_what_changed_or_with_every_problem() {
    let port = Port::open(Some("t")).await;
    let request = |fields: &str| {
        format!("POST /api/v1/reload HTTP/1.1\r\nHost: x\r\n{fields}Content-Length: 0\r\n\r\n")
    };
    let allowed = request("Authorization: Bearer t\r\n");
    let answer = port.ask(&allowed).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(r#"{"changed":[]}"#));
    port.gateway.readiness.store(2, Ordering::Relaxed);
    let answer = port.ask(&allowed).await;
    assert!(answer.starts_with("HTTP/1.1 422 ") && answer.contains(r#"[{"code":"E070"}]"#));
    assert_eq!(port.status(&request("")).await, 401);
    let get = "GET /api/v1/reload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n";
    assert_eq!(port.status(get).await, 405);
}

#[tokio::test]
async fn the_token_is_asked_for() {
    let port = Port::open(Some("s3cret token")).await;
    for (fields, want) in [
        ("", 401),
        ("Authorization: Bearer s3cret token\r\n", 200),
        ("authorization: bearer   s3cret token \r\n", 200),
        ("Authorization: Bearer s3cret toke\r\n", 401),
        ("Authorization: Bearer s3cret tokens\r\n", 401),
        ("Authorization: Bearer \r\n", 401),
        ("Authorization: Bearer\r\n", 401),
        ("Authorization: Basic s3cret token\r\n", 401),
        ("Authorization: s3cret token\r\n", 401),
        ("Authorization: Bearer \u{e9}\r\n", 401),
        (
            "Authorization: Bearer s3cret token\r\nAuthorization: Bearer x\r\n",
            401,
        ),
    ] {
        for path in ["/metrics", "/api/v1/sessions", "/api/v1/backends"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: gate.example\r\n{fields}\r\n");
            assert_eq!(port.status(&request).await, want, "{path} with {fields:?}");
        }
    }
    // A stranger does not learn what is there.
    for (request, want) in [
        ("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 401),
        ("DELETE /api/v1/sessions HTTP/1.1\r\nHost: x\r\n\r\n", 401),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ] {
        assert_eq!(port.status(request).await, want, "{request:?}");
    }
    let answer = port.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.contains("www-authenticate: Bearer\r\n"), "{answer}");
}

#[tokio::test]
async fn without_a_token_no_page_reaches_in() {
    let port = Port::open(None).await;
    let own = port.address;
    let own_origin = format!("Host: {own}\r\nOrigin: http://{own}\r\n");
    for (fields, want) in [
        ("Host: localhost\r\n", 200),
        ("Host: 127.0.0.1:9090\r\n", 200),
        ("Host: [::1]:9090\r\n", 200),
        (&own_origin, 200),
        ("Host: evil.example\r\n", 403), // DNS rebinding
        ("Host: 127.0.0.1.evil.example\r\n", 403),
        ("", 403),
        ("Host: localhost\r\nHost: evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: http://evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: https://localhost\r\n", 403),
        ("Host: localhost\r\nOrigin: http://localhost:3000\r\n", 403),
        ("Host: localhost\r\nOrigin: null\r\n", 403),
        (
            "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n",
            403,
        ),
    ] {
        for path in ["/healthz", "/metrics", "/api/v1/backends"] {
            let request = format!("GET {path} HTTP/1.1\r\n{fields}\r\n");
            assert_eq!(port.status(&request).await, want, "{path} with {fields:?}");
        }
    }
    let absolute = "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(port.status(absolute).await, 403);
}

#[tokio::test]
async fn hostile_requests_are_answered_or_closed() {
    let port = Port::open(None).await;
    let long = "a".repeat(100_000);
    let many = "X: y\r\n".repeat(200);
    let huge = "0".repeat(2 * 1024 * 1024);
    // 0: closed without an answer.
    for (request, want) in [
        ("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), &[404][..]),
        ("POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".into(), &[405]),
        ("PUT /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".into(), &[405]),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), &[404]),
        ("CONNECT evil.example:25 HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), &[403, 404]),
        (format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"), &[400, 414, 431]),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"), &[400, 431]),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"), &[431]),
        ("garbage\r\n\r\n".into(), &[400]),
        ("a1 LOGIN user password\r\n".into(), &[400]),
        ("\x16\x03\x01\x02\0\x01\0".into(), &[400]),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), &[200, 400]),
        (format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{huge}", huge.len()), &[413]),
        ("DELETE /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), &[400]),
        ("DELETE /api/v1/sessions?usr=bob HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), &[400]),
        ("DELETE /api/v1/sessions?user= HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), &[400]),
        ("GET /api/v1/sessions?protocol=smtp HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), &[400]),
        ("GET /api/v1/sessions?ip=localhost HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), &[400]),
        ("GET /api/v1/sessions?user=%zz HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), &[400]),
        ("GET /api/v1/route HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), &[400]),
        ("GET /api/v1/route?user=a%0d%0ab HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), &[400]),
    ] {
        let answer = port.ask(&request).await;
        let status = status_of(&answer);
        let shown = &request[..request.len().min(80)];
        assert!(want.contains(&status), "{shown:?} got {answer:.300}");
        assert_eq!(port.get("/healthz").await.0, 200, "after {shown:?}");
    }
    let answer = port
        .ask("POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(answer.contains("allow: GET, DELETE\r\n"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, json!({"error": "this path takes GET, DELETE"}));
}

#[tokio::test]
async fn the_dashboard_is_open_and_holds_nothing() {
    let port = Port::open(Some("s3cret token")).await;
    for path in [
        "/",
        "/dashboard/main.js",
        "/dashboard/style.css",
        "/dashboard/icon.svg",
    ] {
        let answer = port
            .ask(&format!(
                "GET {path} HTTP/1.1\r\nHost: gate.example\r\n\r\n"
            ))
            .await;
        assert_eq!(status_of(&answer), 200, "{path}");
        for field in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; \
             connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'\r\n",
            "x-content-type-options: nosniff\r\n",
            "referrer-policy: no-referrer\r\n",
            "cache-control: no-store\r\n",
        ] {
            assert!(
                answer.contains(field),
                "{path}: {field} not in {answer:.700}"
            );
        }
    }
    for (request, want) in [
        ("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            405,
        ),
        ("GET /dashboard/mod.rs HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("GET /dashboard/ HTTP/1.1\r\nHost: x\r\n\r\n", 401),
        ("GET /dashboard/a/b HTTP/1.1\r\nHost: x\r\n\r\n", 401),
    ] {
        assert_eq!(port.status(request).await, want, "{request:?}");
    }
    // Without a token it is for this machine's own browser.
    let port = Port::open(None).await;
    let evil = "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(port.status(evil).await, 403);
}

#[tokio::test(start_paused = true)]
async fn slow_requests_are_given_up() {
    let port = Port::open(None).await;
    for part in [
        "",
        "GET /heal",
        "GET /healthz HTTP/1.1\r\nHost: localh",
        "DELETE /api/v1/sessions?user=bob HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        stream.write_all(part.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // Comes to an end at all.
        let _ = stream.read_to_string(&mut answer).await;
        assert!(
            answer.is_empty() || status_of(&answer) == 408,
            "{part:?}: {answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn idle_connections_give_their_places_back() {
    let port = Port::open(None).await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(port.address).await.unwrap());
    }
    assert_eq!(port.get("/healthz").await.0, 200);
}

/// Where a token is asked for the port may be reached from afar: strangers must not keep the probes out.
#[tokio::test]
async fn strangers_do_not_keep_places() {
    let port = Port::open(Some("t")).await;
    // Whoever shows no token is answered and let go.
    for (path, status) in [
        ("/healthz", 200),
        ("/", 200),
        ("/metrics", 401),
        ("/x", 401),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(status_of(&answer), status, "{path}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    // With the token it is kept.
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n";
    let mut kept = TcpStream::connect(port.address).await.unwrap();
    for _ in 0..3 {
        kept.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"gatepost_build_info 1\n") {
            assert_ne!(kept.read_buf(&mut answer).await.unwrap(), 0);
        }
    }
    // From one address there are sixteen: the rest is closed at once, and the places stay free for others.
    let mut silent = Vec::new();
    for _ in 0..15 {
        silent.push(TcpStream::connect(port.address).await.unwrap());
    }
    for _ in 0..100 {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        let mut answer = Vec::new();
        assert!(!matches!(stream.read_to_end(&mut answer).await, Ok(1..)));
    }
    let probe = tokio::net::TcpSocket::new_v4().unwrap();
    probe.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut probe = probe.connect(port.address).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    probe.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    probe.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    // Given back, they are there again.
    drop(silent);
    while port
        .status("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        != 200
    {
        tokio::task::yield_now().await;
    }
}

/// An answer may take longer than a connection lives: it is waited for.
#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_long_is_given() {
    let port = Port::open(None).await;
    let host = port.address;
    let request =
        format!("POST /api/v1/upgrade HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
    let answer = port.ask(&request).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("4242"),
        "{answer}"
    );
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let port = Port::open(None).await;
    let alice = port.session(
        "1",
        Protocol::Imap,
        "192.0.2.1:5000",
        Some("Alice+x@Example.com"),
    );
    let bob = port.session("2", Protocol::Pop3, "[2001:db8::1]:5000", Some("bob"));
    let nobody = port.session("3", Protocol::Imap, "192.0.2.1:5001", None);

    for (query, want) in [
        ("", &["1", "2", "3"][..]),
        ("?user=alice+x@example.com", &["1"]),
        ("?user=Alice%2Bx%40Example.com", &["1"]),
        ("?protocol=pop3", &["2"]),
        ("?ip=192.0.2.1", &["1", "3"]),
        ("?ip=2001:db8:0::1", &["2"]),
        ("?backend=old&host=h1", &["1", "2"]),
        ("?backend=new", &[]),
    ] {
        let (status, body) = port.get_json(&format!("/api/v1/sessions{query}")).await;
        assert_eq!(status, 200);
        let mut ids: Vec<_> = body["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["id"].as_str().unwrap())
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, want, "{query}");
    }
    let (_, body) = port.get_json("/api/v1/sessions?user=bob").await;
    let mut session = body["sessions"][0].clone();
    let since = session["since"].take();
    assert!(since.as_str().unwrap().ends_with('Z'), "{since}");
    assert_eq!(
        session,
        json!({
            "id": "2", "protocol": "pop3", "user": "bob", "client": "[2001:db8::1]:5000",
            "backend": "old", "host": "h1", "state": "relay", "tls": "TLSv1.3",
            "since": null, "bytes_in": 0, "bytes_out": 0,
        })
    );
    let (_, body) = port
        .get_json("/api/v1/sessions?ip=192.0.2.1&protocol=imap")
        .await;
    let silent = body["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["id"] == "3");
    assert_eq!(silent.unwrap()["user"], Value::Null);

    for (request, ended) in [
        ("DELETE /api/v1/sessions?user=nobody", 0),
        ("DELETE /api/v1/sessions/nothing", 0),
        ("DELETE /api/v1/sessions/1", 1),
        // The other one was told before.
        ("DELETE /api/v1/sessions?host=h1", 1),
    ] {
        let answer = port
            .ask(&format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body, json!({ "ended": ended }), "{request}");
    }
    assert_eq!(alice.asked_to_end(), Some(Farewell::Kicked));
    assert_eq!(bob.asked_to_end(), Some(Farewell::Kicked));
    assert_eq!(nobody.asked_to_end(), None);
}

/// The threads that serve mail, here the test's own one, are not kept by what an operator asks for.
#[tokio::test(flavor = "current_thread")]
async fn what_may_take_long_is_done_on_a_thread_that_serves_no_mail() {
    let port = Port::open(None).await;
    for (request, want) in [
        ("GET /metrics", 200),
        ("GET /api/v1/sessions", 200),
        ("DELETE /api/v1/sessions?user=alice", 200),
        ("DELETE /api/v1/sessions/x", 200),
        ("GET /api/v1/backends", 200),
        ("GET /api/v1/route?user=alice", 200),
        ("GET /api/v1/moves", 503),
        ("POST /api/v1/move", 503),
    ] {
        let status = port
            .status(&format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await;
        assert_eq!(status, want, "{request}");
        let asked_on = std::mem::take(&mut *port.gateway.asked_on.lock().unwrap());
        assert!(!asked_on.is_empty(), "{request}");
        let here = std::thread::current().id();
        assert!(!asked_on.contains(&here), "{request}");
    }
}

#[tokio::test]
async fn backends_and_routes_are_told() {
    let port = Port::open(None).await;
    assert_eq!(
        port.get_json("/api/v1/backends").await,
        (
            200,
            json!({"backends": [{"name": "old", "hosts": [
                {"name": "10.0.0.5", "state": "up", "weight": 1, "sessions": 3},
                {"name": "10.0.0.6", "state": "drain", "weight": 2, "sessions": 0},
            ]}]})
        )
    );
    assert_eq!(
        port.get_json("/api/v1/route?user=bob+x&protocol=pop3")
            .await,
        (200, json!({"user": "bob+x", "protocol": "pop3"}))
    );
    assert_eq!(port.get_json("/api/v1/route?user=nobody").await.0, 404);
}

#[tokio::test]
async fn told_to_stop_it_lets_go_of_connections_and_of_the_socket() {
    let mut port = Port::open(None).await;
    let mut kept = TcpStream::connect(port.address).await.unwrap();
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", port.address);
    kept.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 15];
    kept.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");
    port.stop.send(true).unwrap();
    (&mut port.serving).await.unwrap();
    // Kept alive, and closed in order: an end, no reset.
    kept.read_to_end(&mut answer).await.unwrap();
    assert!(TcpStream::connect(port.address).await.is_err());
}
