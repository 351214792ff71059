//! Answers as services give them, good and bad.

use super::*;

fn answer(status: u16, lines: &[(&'static str, &[u8])]) -> Result<Verdict, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    let status = StatusCode::from_u16(status).unwrap();
    read(status, &headers, &|name| name == "store")
}

fn went(lines: &[(&'static str, &[u8])]) -> Result<Answer, String> {
    let lines = [&[("auth-status", &b"OK"[..])], lines].concat();
    match answer(200, &lines)? {
        Verdict::Go(answer) => Ok(answer),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_is_an_address_or_a_name_with_a_port() {
    use Security::{Clear, Implicit, StartTls};
    for (host, port, tls, want) in [
        ("10.0.0.5", "143", None, Ok(("10.0.0.5", 143, Clear))),
        ("10.0.0.5", "143", Some("off"), Ok(("10.0.0.5", 143, Clear))),
        ("::1", "993", Some("implicit"), Ok(("::1", 993, Implicit))),
        ("[::1]", "993", Some("implicit"), Ok(("::1", 993, Implicit))),
        (
            "Store-1.Example.net",
            "143",
            Some("starttls"),
            Ok(("store-1.example.net", 143, StartTls)),
        ),
        ("localhost", "1", None, Ok(("localhost", 1, Clear))),
        ("10.0.0.5", "0", None, Err("Auth-Port is no port: \"0\"")),
        (
            "10.0.0.5",
            "65536",
            None,
            Err("Auth-Port is no port: \"65536\""),
        ),
        (
            "10.0.0.5",
            "+143",
            None,
            Err("Auth-Port is no port: \"+143\""),
        ),
        ("10.0.0.5", "", None, Err("Auth-Port is no port: \"\"")),
        (
            "10.0.0.5%0d",
            "143",
            None,
            Err("Auth-Server is no address: \"10.0.0.5%0d\""),
        ),
        (
            "10.0.0.5:143",
            "143",
            None,
            Err("Auth-Server is no address: \"10.0.0.5:143\""),
        ),
        (
            "10.0.0.555",
            "143",
            None,
            Err("Auth-Server is no address: \"10.0.0.555\""),
        ),
        (
            "0.0.0.0",
            "143",
            None,
            Err("Auth-Server is no address: \"0.0.0.0\""),
        ),
        (
            "unix:/run/x",
            "143",
            None,
            Err("Auth-Server is no address: \"unix:/run/x\""),
        ),
        (
            "a b",
            "143",
            None,
            Err("Auth-Server is no address: \"a b\""),
        ),
        ("", "143", None, Err("Auth-Server is no address: \"\"")),
        (
            "a..b",
            "143",
            None,
            Err("Auth-Server is no address: \"a..b\""),
        ),
        (
            "10.0.0.5",
            "143",
            Some("on"),
            Err("Auth-TLS is \"on\": expected off, starttls or implicit"),
        ),
    ] {
        let mut lines = vec![
            ("auth-server", host.as_bytes()),
            ("auth-port", port.as_bytes()),
        ];
        lines.extend(tls.map(|tls| ("auth-tls", tls.as_bytes())));
        let want = want
            .map_err(str::to_owned)
            .map(|(host, port, security)| Server {
                host: host.into(),
                port,
                security,
            });
        let got = went(&lines).map(|answer| match answer.to {
            To::Server(server) => server,
            other => panic!("{other:?}"),
        });
        assert_eq!(got, want, "{host} {port}");
    }
}

#[test]
fn an_answer_may_name_a_backend_and_replace_the_login() {
    let got = went(&[
        ("auth-backend", b"store"),
        ("auth-server", b"ignored:"),
        ("auth-user", "bébé".as_bytes()),
        ("auth-pass", b"p w\xE9%20"),
        ("auth-cache", b"30"),
    ]);
    let got = got.unwrap();
    assert_eq!(got.to, To::Backend("store".into()));
    assert_eq!(got.user.unwrap().as_str(), "bébé");
    assert_eq!(got.password.unwrap().reveal(), b"p w\xE9%20");
    assert_eq!(got.cache, Some(Duration::from_secs(30)));
    assert_eq!(went(&[("auth-backend", b"*")]).unwrap().to, To::Next);
    for (lines, want) in [
        (
            &[("auth-backend", &b"stor"[..])][..],
            "Auth-Backend names no backend: \"stor\"",
        ),
        (&[], "the answer has no Auth-Server and no Auth-Backend"),
        (&[("auth-server", b"::1")], "the answer has no Auth-Port"),
        (
            &[("auth-backend", b"store"), ("auth-user", b"")],
            "Auth-User is none: empty, too long or with control characters",
        ),
        (
            &[("auth-backend", b"store"), ("auth-backend", b"*")],
            "the answer says auth-backend twice",
        ),
        (
            &[("auth-backend", b"store"), ("auth-cache", b"ever")],
            "Auth-Cache is no number: \"ever\"",
        ),
    ] {
        assert_eq!(went(lines).unwrap_err(), want);
    }
}

#[test]
fn whatever_is_not_ok_is_a_refusal_and_its_words() {
    let no = |text: &str, code, wait| {
        Ok(Verdict::No {
            text: text.into(),
            code,
            wait,
        })
    };
    let wrong = Code::AuthenticationFailed;
    let text = ("auth-status", &b"Invalid login\tor password"[..]);
    for (status, lines, want) in [
        (
            200,
            &[text][..],
            no("Invalid loginor password", wrong, None),
        ),
        (403, &[text], no("Invalid loginor password", wrong, None)),
        (
            200,
            &[text, ("auth-wait", b"3")],
            no("Invalid loginor password", wrong, Some(3)),
        ),
        (
            200,
            &[text, ("auth-wait", b"0")],
            no("Invalid loginor password", wrong, None),
        ),
        (
            200,
            &[text, ("auth-wait", b"9999")],
            no("Invalid loginor password", wrong, Some(60)),
        ),
        (
            200,
            &[("auth-status", b"later"), ("auth-error-code", b"451 4.3.0")],
            no("later", Code::Unavailable, None),
        ),
        (
            200,
            &[("auth-status", b"never"), ("auth-error-code", b"535 5.7.8")],
            no("never", wrong, None),
        ),
        (200, &[("auth-status", b"ok")], no("ok", wrong, None)),
        (
            200,
            &[("auth-status", b"WAIT"), ("auth-wait", b"2")],
            Ok(Verdict::Wait(2)),
        ),
        (
            200,
            &[("auth-status", b"WAIT")],
            Err("Auth-Status: WAIT without Auth-Wait".into()),
        ),
        (
            200,
            &[],
            Err("the answer (200 OK) has no Auth-Status".into()),
        ),
        (
            404,
            &[],
            Err("the answer (404 Not Found) has no Auth-Status".into()),
        ),
        (
            500,
            &[text],
            Err("the answer's status is 500 Internal Server Error".into()),
        ),
        (302, &[text], Err("the answer's status is 302 Found".into())),
        (
            403,
            &[("auth-status", b"OK"), ("auth-backend", b"store")],
            Err("the answer's status is 403 Forbidden, its Auth-Status OK".into()),
        ),
    ] {
        assert_eq!(answer(status, lines), want, "{status} {lines:?}");
    }
    let long = "x".repeat(500);
    let cut = answer(200, &[("auth-status", long.as_bytes())]);
    assert_eq!(cut, no(&"x".repeat(200), wrong, None));
}
