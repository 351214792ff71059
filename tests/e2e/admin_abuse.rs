//! Requests to the admin port that mean ill: each is refused, and mail does not notice. A session that was
//! there before goes on and a new one begins, while slow and huge requests hold every connection the port
//! has.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::gateway::Settings;
use crate::support::imap::Way;
use crate::support::pki::Pki;
use crate::support::process::connect;
use crate::support::{Imap, Scratch};

const TOKEN: &str = "an-admin-token";

/// One request, and the statuses that are right for it; 0: closed without an answer.
fn requests(own: &str) -> Vec<(&'static str, String, &'static [u16])> {
    let auth = format!("Authorization: Bearer {TOKEN}\r\n");
    let long = "a".repeat(200_000);
    let kick = "DELETE /api/v1/sessions?user=demo";
    let smuggled = format!("{kick} HTTP/1.1\r\nHost: {own}\r\n\r\n");
    let refused: &[u16] = &[400, 431, 0];
    vec![
        (
            "no token",
            format!("{kick} HTTP/1.1\r\nHost: {own}\r\n\r\n"),
            &[401],
        ),
        (
            "a wrong token",
            format!("{kick} HTTP/1.1\r\nHost: {own}\r\nAuthorization: Bearer {TOKEN}x\r\n\r\n"),
            &[401],
        ),
        (
            "a token in the query",
            format!("{kick}&token={TOKEN} HTTP/1.1\r\nHost: {own}\r\n\r\n"),
            &[401],
        ),
        (
            "two tokens",
            format!("{kick} HTTP/1.1\r\nHost: {own}\r\n{auth}{auth}\r\n"),
            &[401],
        ),
        (
            "a page of another site",
            format!("{kick} HTTP/1.1\r\nHost: {own}\r\nOrigin: http://evil.example\r\n\r\n"),
            &[401],
        ),
        (
            "a page of another site asks whether it may",
            format!(
                "OPTIONS /api/v1/sessions HTTP/1.1\r\nHost: {own}\r\nOrigin: http://evil.example\r\n\
                 Access-Control-Request-Method: DELETE\r\nAccess-Control-Request-Headers: authorization\r\n\r\n"
            ),
            &[401],
        ),
        (
            "a form of another site",
            format!(
                "POST /api/v1/sessions HTTP/1.1\r\nHost: {own}\r\nOrigin: null\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nuser=demo"
            ),
            &[401],
        ),
        (
            "a wrong method",
            format!("PATCH /api/v1/sessions HTTP/1.1\r\nHost: {own}\r\n{auth}\r\n"),
            &[405],
        ),
        (
            "an unknown method",
            format!("KICK /api/v1/sessions HTTP/1.1\r\nHost: {own}\r\n{auth}\r\n"),
            &[405],
        ),
        (
            "TRACE",
            format!("TRACE / HTTP/1.1\r\nHost: {own}\r\n{auth}\r\n"),
            &[405],
        ),
        (
            "everybody",
            format!("DELETE /api/v1/sessions HTTP/1.1\r\nHost: {own}\r\n{auth}\r\n"),
            &[400],
        ),
        (
            "a path that climbs",
            format!("GET /dashboard/../api/v1/sessions HTTP/1.1\r\nHost: {own}\r\n\r\n"),
            &[401],
        ),
        (
            "a file of the machine",
            format!("GET /dashboard/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: {own}\r\n\r\n"),
            &[404],
        ),
        (
            "a long path",
            format!("GET /{long} HTTP/1.1\r\nHost: {own}\r\n\r\n"),
            &[400, 414, 431],
        ),
        (
            "a long header",
            format!("GET /metrics HTTP/1.1\r\nHost: {own}\r\nX: {long}\r\n\r\n"),
            refused,
        ),
        (
            "many headers",
            format!(
                "GET /metrics HTTP/1.1\r\nHost: {own}\r\n{}\r\n",
                "X: y\r\n".repeat(500)
            ),
            refused,
        ),
        (
            "a huge body",
            format!(
                "DELETE /api/v1/sessions?user=x HTTP/1.1\r\nHost: {own}\r\n{auth}Content-Length: 99999999\r\n\r\n{long}{long}{long}{long}{long}{long}"
            ),
            &[413, 0],
        ),
        (
            "a body without an end",
            format!(
                "DELETE /api/v1/sessions?user=x HTTP/1.1\r\nHost: {own}\r\n{auth}Transfer-Encoding: chunked\r\n\r\n{}",
                format!("186a0\r\n{}\r\n", "a".repeat(100_000)).repeat(12)
            ),
            &[413, 0],
        ),
        (
            "a length and chunks",
            format!(
                "GET /healthz HTTP/1.1\r\nHost: {own}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
            ),
            &[200, 400],
        ),
        (
            "two lengths",
            format!(
                "GET /healthz HTTP/1.1\r\nHost: {own}\r\nContent-Length: 0\r\nContent-Length: {}\r\n\r\n{smuggled}",
                smuggled.len()
            ),
            refused,
        ),
        (
            "a length with a sign",
            format!(
                "GET /healthz HTTP/1.1\r\nHost: {own}\r\nContent-Length: +{}\r\n\r\n{smuggled}",
                smuggled.len()
            ),
            refused,
        ),
        (
            "chunks that are not last",
            format!(
                "GET /healthz HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"
            ),
            refused,
        ),
        (
            "a bad chunk",
            format!(
                "DELETE /api/v1/sessions?user=x HTTP/1.1\r\nHost: {own}\r\n{auth}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n{smuggled}"
            ),
            refused,
        ),
        (
            "a space before the colon",
            format!("GET /healthz HTTP/1.1\r\nHost : {own}\r\n\r\n"),
            refused,
        ),
        (
            "a folded header",
            format!("GET /healthz HTTP/1.1\r\nHost: {own}\r\nX: a\r\n b\r\n\r\n"),
            refused,
        ),
        (
            "a NUL",
            format!("GET /healthz HTTP/1.1\r\nHost: {own}\r\nX: a\0b\r\n\r\n"),
            refused,
        ),
        (
            "a request behind a request",
            format!("GET /healthz HTTP/1.1\r\nHost: {own}\r\n\r\n{smuggled}"),
            &[200],
        ),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), refused),
        (
            "TLS",
            "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".into(),
            refused,
        ),
        ("mail", "a1 LOGIN demo demo\r\n".into(), refused),
    ]
}

/// The port may well hang up in the middle, but not keep one waiting.
#[track_caller]
fn hung_up<T>(came_of_it: io::Result<T>) {
    if let Err(error) = came_of_it {
        let gone = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(gone.contains(&error.kind()), "{error}");
    }
}

/// Sends what is taken of it and gives the whole answer.
fn ask(port: u16, request: &str) -> String {
    let mut stream = connect(port).unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    hung_up(stream.write_all(request.as_bytes()));
    // It may be gone already.
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    hung_up(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn hostile_requests_are_refused_and_mail_does_not_notice() {
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let mut gateway = Settings::to("demo://")
        .token(TOKEN)
        .log("level: info")
        .start(&scratch, &pki);
    let ports = gateway.ports;
    let mut there = Imap::plain(ports.imap);
    there.login(Way::LoginQuoted, "demo", "demo").ok();
    let mut mail_goes_on = |during: &str| {
        let mut new = Imap::plain(ports.imap);
        for answer in [
            there.command("NOOP"),
            new.login(Way::LoginQuoted, "demo", "demo"),
            new.command("LOGOUT"),
        ] {
            let status = answer.status;
            assert!(status.starts_with("OK"), "during {during}: {status}");
        }
    };
    for (what, request, want) in requests(&format!("127.0.0.1:{}", ports.admin)) {
        let answer = ask(ports.admin, &request);
        let status = answer
            .split(' ')
            .nth(1)
            .map_or(0, |word| word.parse().unwrap());
        assert!(want.contains(&status), "{what}: {answer:.300}");
        assert!(
            !answer.to_lowercase().contains("access-control-allow"),
            "{what}: {answer:.300}"
        );
        assert!(!answer.contains("\"ended\""), "{what}: {answer:.300}");
        mail_goes_on(what);
    }
    // What is wrong is named.
    let body = "{\"weight\":-1}";
    let request = format!(
        "PUT /api/v1/backends/store/hosts/demo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(ports.admin, &request);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("`weight`, got -1"), "{answer}");
    // Every connection the port has, and as many again, held by requests that do not end.
    let mut held = Vec::new();
    for n in 0..128 {
        let mut stream = TcpStream::connect(("127.0.0.1", ports.admin)).unwrap();
        let part = [
            "",
            "GET /hea",
            "GET /healthz HTTP/1.1\r\nX: y\r\n",
            "POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        ];
        // What is too much from one address is closed.
        hung_up(stream.write_all(part[n % part.len()].as_bytes()));
        held.push(stream);
        if n % 16 == 0 {
            mail_goes_on("slow requests");
        }
    }
    // Who asks from elsewhere has an answer meanwhile, and their own address when they are given up.
    let probe = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let elsewhere = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let of = |ip: [u8; 4], port| SockAddr::from(SocketAddr::from((ip, port)));
    elsewhere.bind(&of([127, 0, 0, 2], 0)).unwrap();
    elsewhere.connect(&of([127, 0, 0, 1], ports.admin)).unwrap();
    let mut elsewhere = TcpStream::from(elsewhere);
    elsewhere.write_all(probe.as_bytes()).unwrap();
    let mut answer = String::new();
    elsewhere.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    gateway.wait_until("the port to come back", || {
        ask(ports.admin, probe).starts_with("HTTP/1.1 200")
    });
    mail_goes_on("the end");
}
