//! What a lookup service answers: a status line and headers, each on a line of its own.

use gatepost::route::lookup::answer::{To, Verdict, read};
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::Choice;

pub(crate) fn answer(octets: &[u8]) {
    let mut choice = Choice(octets);
    let status = [200, 204, 302, 401, 403, 404, 429, 500, 503][usize::from(choice.octet()) % 9];
    let mut headers = HeaderMap::new();
    for line in choice.0.split(|octet| *octet == b'\n').take(100) {
        let colon = line.iter().position(|octet| *octet == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        // What HTTP does not take as a header never comes so far.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    let status = StatusCode::from_u16(status).unwrap();
    let fine = |text: &str| !text.chars().any(char::is_control);
    match read(status, &headers, &|name| name == "store") {
        Ok(Verdict::Go(answer)) => {
            assert!(status.is_success());
            match answer.to {
                To::Server(server) => {
                    assert!(
                        server.port != 0 && !server.host.is_empty() && server.host.len() <= 253
                    );
                    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
                    assert!(server.host.chars().all(plain), "{:?}", server.host);
                }
                To::Backend(name) => assert_eq!(name, "store"),
                To::Next => {}
            }
            assert!(answer.user.is_none_or(|user| fine(user.as_str())));
            assert!(
                answer
                    .cache
                    .is_none_or(|cache| cache.as_secs() <= 24 * 3600)
            );
        }
        Ok(Verdict::No { text, wait, .. }) => {
            assert!(fine(&text) && text.chars().count() <= 200);
            assert!(wait.is_none_or(|wait| (1..=60).contains(&wait)));
        }
        Ok(Verdict::Wait(seconds)) => assert!((1..=60).contains(&seconds)),
        Err(words) => assert!(fine(&words), "{words:?}"),
    }
}
