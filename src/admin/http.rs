//! Small parts of HTTP that the API needs: replies, the query of a URL, its percent-encoding.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// An answer, made whole before it is sent.
#[derive(Clone, Debug)]
pub struct Reply {
    status: StatusCode,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Reply {
    /// 200 with JSON.
    pub fn json(value: &impl Serialize) -> Self {
        Self::json_with(StatusCode::OK, value)
    }

    /// JSON with another status.
    pub fn json_with(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(mut body) => {
                // For who reads it in a terminal.
                body.push(b'\n');
                Self::new(status, "application/json", body)
            }
            Err(e) => Self::error(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
        }
    }

    /// `{"error": text}`.
    pub fn error(status: StatusCode, text: &str) -> Self {
        Self::json_with(status, &serde_json::json!({ "error": text }))
    }

    /// Text of some type.
    pub fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::new(status, content_type, body)
    }

    fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Reply {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// One more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// The parameters of a URL's query, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d`. Only names of `known` may come: with a mistyped one more would be meant
    /// than was asked for. A `+` is a plus, as in `bob+tag@example.org`; a space is `%20`.
    pub fn parse(query: &str, known: &[&str]) -> Result<Self, String> {
        let mut all: Vec<(String, String)> = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decode(name).ok_or("bad percent-encoding in the query")?;
            let value = decode(value).ok_or("bad percent-encoding in the query")?;
            if !known.contains(&name.as_str()) {
                let expected = match known {
                    [] => "none".to_owned(),
                    known => known.join(", "),
                };
                return Err(format!("unknown parameter `{name}`, expected: {expected}"));
            }
            if value.is_empty() {
                return Err(format!("parameter `{name}` is empty"));
            }
            if all.iter().any(|(other, _)| *other == name) {
                return Err(format!("parameter `{name}` comes twice"));
            }
            all.push((name, value));
        }
        Ok(Query(all))
    }

    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Percent-decoding (RFC 3986 §2.1) to UTF-8; `None` where it is neither.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_first_chunk::<2>()?;
        rest = behind;
        let [high, low] = digits.map(|d| char::from(d).to_digit(16));
        octets.push(u8::try_from(high? * 16 + low?).ok()?);
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding() {
        for (text, want) in [
            ("", Some("")),
            ("bob+tag@x", Some("bob+tag@x")),
            ("a%20b%2Fc%2f", Some("a b/c/")),
            ("j%C3%BCrgen", Some("jürgen")),
            ("%", None),
            ("%2", None),
            ("%zz", None),
            ("%+1", None),
            ("%ff", None),
            ("%é", None),
        ] {
            assert_eq!(decode(text).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn queries() {
        let known = ["user", "ip"];
        let both = Query::parse("user=a%26b&ip=::1&", &known).unwrap();
        assert_eq!(
            (both.get("user"), both.get("ip")),
            (Some("a&b"), Some("::1"))
        );
        assert!(Query::parse("", &known).unwrap().is_empty());
        for (bad, want) in [
            ("users=a", "unknown parameter `users`, expected: user, ip"),
            ("user=a&user=b", "parameter `user` comes twice"),
            ("user=", "parameter `user` is empty"),
            ("user", "parameter `user` is empty"),
            ("user=%", "bad percent-encoding in the query"),
        ] {
            assert_eq!(Query::parse(bad, &known).unwrap_err(), want);
        }
        assert_eq!(
            Query::parse("x=1", &[]).unwrap_err(),
            "unknown parameter `x`, expected: none"
        );
    }
}
