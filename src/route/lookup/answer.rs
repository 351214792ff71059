//! The answer of a lookup service: nginx's `auth_http` response headers and our additions, read as
//! strictly as anything a stranger says. Pure: a status and headers in, a verdict out.

use std::net::IpAddr;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};

use crate::backend::config::Security;
use crate::protocol::{Code, Secret, UserName};

/// Longest text of a refusal that goes on to the user.
const TEXT: usize = 200;

/// Longest `Auth-Wait` that is obeyed, in seconds: whoever waits holds a connection.
const MAX_WAIT: u32 = 60;

/// Longest `Auth-Cache` that is obeyed, in seconds: a day.
const MAX_CACHE: u32 = 24 * 3600;

/// What a service says of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `Auth-Status: OK`
    Go(Answer),
    /// Any other: words for the user.
    No {
        /// The words, without control characters.
        text: String,
        /// What they come to.
        code: Code,
        /// How many seconds to wait before they are said.
        wait: Option<u32>,
    },
    /// `Auth-Status: WAIT`: ask again after so many seconds.
    Wait(u32),
}

/// Where a login goes, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Where.
    pub to: To,
    /// `Auth-User`: the name to log in with.
    pub user: Option<UserName>,
    /// `Auth-Pass`: the password to log in with.
    pub password: Option<Secret>,
    /// `Auth-Cache`: how long the answer may be kept, instead of `cache:`.
    pub cache: Option<Duration>,
}

/// Where a login goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// `Auth-Server`, `Auth-Port`, `Auth-TLS`.
    Server(Server),
    /// `Auth-Backend`: a backend of the settings.
    Backend(String),
    /// `Auth-Backend: *`: wherever the next source or the default leads.
    Next,
}

/// A mail server that an answer names; it speaks the protocol that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `Auth-TLS`; clear without it, as with nginx.
    pub security: Security,
}

/// Reads an answer. `known` tells whether a backend of this name is there.
///
/// # Errors
/// What is wrong with it, for the log.
pub fn read(
    status: StatusCode,
    headers: &HeaderMap,
    known: &dyn Fn(&str) -> bool,
) -> Result<Verdict, String> {
    let said = |name: &'static str| once(headers, name);
    let Some(verdict) = said("auth-status")? else {
        return Err(format!("the answer ({status}) has no Auth-Status"));
    };
    let wait = said("auth-wait")?
        .map(|wait| number("Auth-Wait", wait))
        .transpose()?;
    let wait = wait.filter(|wait| *wait > 0).map(|wait| wait.min(MAX_WAIT));
    match verdict.as_bytes() {
        // A status that says otherwise is not overruled by a header: who knows who added it.
        b"OK" | b"WAIT" if !status.is_success() => Err(format!(
            "the answer's status is {status}, its Auth-Status OK"
        )),
        b"OK" => go(headers, known).map(Verdict::Go),
        b"WAIT" => match wait {
            Some(wait) => Ok(Verdict::Wait(wait)),
            None => Err("Auth-Status: WAIT without Auth-Wait".into()),
        },
        _ if !status.is_success() && !status.is_client_error() => {
            Err(format!("the answer's status is {status}"))
        }
        text => {
            // nginx has the code for SMTP only. That a code of 4xx is no word about the password is
            // worth knowing everywhere: a client would ask its user for another one.
            let code = said("auth-error-code")?.map_or(&b""[..], HeaderValue::as_bytes);
            let code = match code.first() {
                Some(b'4') => Code::Unavailable,
                _ => Code::AuthenticationFailed,
            };
            let text = String::from_utf8_lossy(text);
            let text = text.chars().filter(|c| !c.is_control()).take(TEXT);
            Ok(Verdict::No {
                text: text.collect(),
                code,
                wait,
            })
        }
    }
}

fn go(headers: &HeaderMap, known: &dyn Fn(&str) -> bool) -> Result<Answer, String> {
    let said = |name: &'static str| once(headers, name);
    let to = match said("auth-backend")?.map(HeaderValue::to_str) {
        Some(Ok("*")) => To::Next,
        Some(Ok(name)) if known(name) => To::Backend(name.to_owned()),
        Some(name) => {
            let name = name.unwrap_or_default();
            return Err(format!(
                "Auth-Backend names no backend: {}",
                shown(name.as_bytes())
            ));
        }
        None => To::Server(server(headers)?),
    };
    let unfit = |name: &str| format!("{name} is none: empty, too long or with control characters");
    let user = said("auth-user")?.map(|user| UserName::new(user.as_bytes()));
    let password = said("auth-pass")?.map(|password| Secret::new(password.as_bytes()));
    let cache = said("auth-cache")?
        .map(|cache| number("Auth-Cache", cache))
        .transpose()?;
    Ok(Answer {
        to,
        user: user.transpose().map_err(|_| unfit("Auth-User"))?,
        password: password.transpose().map_err(|_| unfit("Auth-Pass"))?,
        cache: cache.map(|seconds| Duration::from_secs(seconds.min(MAX_CACHE).into())),
    })
}

fn server(headers: &HeaderMap) -> Result<Server, String> {
    let said = |name: &'static str| once(headers, name);
    let host = said("auth-server")?.ok_or("the answer has no Auth-Server and no Auth-Backend")?;
    let host = host
        .to_str()
        .ok()
        .and_then(address)
        .ok_or_else(|| format!("Auth-Server is no address: {}", shown(host.as_bytes())))?;
    let port = said("auth-port")?.ok_or("the answer has no Auth-Port")?;
    let port = number("Auth-Port", port)
        .ok()
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port != 0)
        .ok_or_else(|| format!("Auth-Port is no port: {}", shown(port.as_bytes())))?;
    let security = match said("auth-tls")?.map(HeaderValue::as_bytes) {
        None | Some(b"off") => Security::Clear,
        Some(b"starttls") => Security::StartTls,
        Some(b"implicit") => Security::Implicit,
        Some(other) => {
            let expected = "expected off, starttls or implicit";
            return Err(format!("Auth-TLS is {}: {expected}", shown(other)));
        }
    };
    Ok(Server {
        host,
        port,
        security,
    })
}

/// An address, or a name of letters, digits, `-`, `_` and dots.
fn address(text: &str) -> Option<String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
        let nowhere = ip.is_unspecified() || ip.is_multicast();
        return (!nowhere).then(|| ip.to_string());
    }
    let fine = (1..=253).contains(&text.len())
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && label
                    .bytes()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
        })
        // What looks like an address and is none is no name either.
        && !text.ends_with(|c: char| c.is_ascii_digit());
    fine.then(|| text.to_ascii_lowercase())
}

/// A header that must not be said twice: which of them was meant?
fn once<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a HeaderValue>, String> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(format!("the answer says {name} twice")),
    }
}

fn number(name: &str, value: &HeaderValue) -> Result<u32, String> {
    let text = value.to_str().ok();
    let digits = text.filter(|text| text.bytes().all(|c| c.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("{name} is no number: {}", shown(value.as_bytes())))
}

/// What a service said, for a log line.
fn shown(octets: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(octets).chars().take(80).collect();
    format!("{text:?}")
}

#[cfg(test)]
mod tests;
