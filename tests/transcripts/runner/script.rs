//! How a transcript is written. The first line that is no comment is the header, of a front server:
//!
//! `server imap|pop3 tls=none|offered|on cleartext=refused|allowed [line=N] [bad_commands=N]
//! [greeting="…"] [capabilities="…,…"] [mechanisms="…,…"]`
//!
//! Then, a line each:
//!
//! | line | meaning |
//! |---|---|
//! | `C: text` | the client sends it with CRLF |
//! | `C~ text` | the client sends it as it stands, with `\r \n \t \0 \\ \xNN` |
//! | `S: text` | the server says this line |
//! | `S~ regex` | the server says a line that matches |
//! | `=> login USER "SECRET" MECHANISM` | credentials are handed out; tokens and SCRAM in base64 |
//! | `<= challenge TEXT` | the host asks the client something, in base64 |
//! | `=> answer "TEXT"`, `=> abort` | the client's answer for the host, in base64 |
//! | `<= accept [text="…"] [untagged="…"] [rest="…"] [CAPABILITY …]` | the host said yes |
//! | `<= reject Failure [detail]` | the host, or the gateway, said no |
//! | `=> starttls`, `<= tls` | the handshake is asked for, and done |
//! | `=> host "…"` | what is handed over for the host, with escapes |
//! | `=> state NAME` | where the conversation stands |
//! | `<= farewell Reason` | the gateway ends it; what it says follows as `S:` |
//! | `=> close` | the connection is to be closed |
//!
//! In all of them `{{x*9000}}` is 9000 times `x`, `{{b64:…}}` the base64 of … with escapes, and `{{}}`
//! nothing (for a space at a line's end). `#` starts a comment line. Text in `"…"` has the escapes of
//! `C~` and `\"`.

use base64::Engine as _;
use gatepost::protocol::sasl::{self, Mechanisms};
use gatepost::protocol::{
    Channel, ClearLogin, Code, Failure, Farewell, FrontSettings, Limit, Protocol, StartTls,
};
use regex::Regex;
use std::path::Path;

pub(crate) struct Script {
    /// Directory and file, for messages.
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) settings: FrontSettings,
    /// Each with its line number.
    pub(crate) events: Vec<(usize, Event)>,
}

pub(crate) enum Event {
    Client(Vec<u8>),
    Says(Vec<u8>),
    Matches(Regex),
    Login {
        user: String,
        secret: Vec<u8>,
        mechanism: String,
    },
    Accept {
        text: String,
        untagged: Vec<u8>,
        rest: Vec<u8>,
        capabilities: Option<Vec<String>>,
    },
    Reject(Failure),
    Challenge(sasl::Message),
    Answer(sasl::Answer),
    StartTls,
    Tls,
    Host(Vec<u8>),
    State(String),
    Farewell(Farewell),
    Close,
}

impl Script {
    pub(crate) fn read(path: &Path) -> Script {
        let text = std::fs::read_to_string(path).unwrap();
        let mut parts = path.iter().rev().map(|p| p.to_string_lossy());
        let (file, dir) = (parts.next().unwrap(), parts.next().unwrap());
        let name = format!("{dir}/{file}");
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
            .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let (_, header) = lines.next().unwrap_or((0, ""));
        let Some((protocol, settings)) = read_header(header) else {
            panic!("{name}: cannot read the header {header:?}");
        };
        let events = lines
            .map(|(at, line)| match read_event(line) {
                Some(event) => (at, event),
                None => panic!("{name}:{at}: cannot read {line:?}"),
            })
            .collect();
        Script {
            name,
            protocol,
            settings,
            events,
        }
    }
}

fn read_header(header: &str) -> Option<(Protocol, FrontSettings)> {
    let rest = header.strip_prefix("server ")?;
    let (protocol, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let protocol = match protocol {
        "imap" => Protocol::Imap,
        "pop3" => Protocol::Pop3,
        _ => return None,
    };
    let (mut starttls, mut login, mut tls) = (StartTls::No, ClearLogin::Refused, false);
    let mut settings = FrontSettings {
        greeting: "Gatepost ready".into(),
        session: "SESSION".into(),
        channel: Channel::Tls,
        capabilities: None,
        mechanisms: Mechanisms::PASSWORD,
        line: 8 * 1024,
        bad_commands: 5,
    };
    while let Some((key, value, tail)) = read_option(rest) {
        let value = String::from_utf8(value).unwrap();
        match (key, value.as_str()) {
            ("tls", "none") => starttls = StartTls::No,
            ("tls", "offered") => starttls = StartTls::Yes,
            ("tls", "on") => tls = true,
            ("cleartext", "refused") => login = ClearLogin::Refused,
            ("cleartext", "allowed") => login = ClearLogin::Allowed,
            ("line", n) => settings.line = n.parse().unwrap(),
            ("bad_commands", n) => settings.bad_commands = n.parse().unwrap(),
            ("greeting", text) => settings.greeting = text.into(),
            ("mechanisms", list) => {
                let more = list
                    .split(',')
                    .map(|name| sasl::Mechanism::from_name(name.as_bytes()).expect("a mechanism"));
                settings.mechanisms = Mechanisms::PASSWORD.or(more.collect());
            }
            ("capabilities", list) => {
                settings.capabilities = Some(list.split(',').map(Into::into).collect());
            }
            _ => return None,
        }
        rest = tail;
    }
    if !tls {
        settings.channel = Channel::Clear { starttls, login };
    }
    Some((protocol, settings))
}

fn read_event(line: &str) -> Option<Event> {
    let line = expand(line);
    let (sign, rest) = line.split_at_checked(2)?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    Some(match sign {
        "C:" => Event::Client(format!("{rest}\r\n").into_bytes()),
        "C~" => Event::Client(unescape(rest)),
        "S:" => Event::Says(format!("{rest}\r\n").into_bytes()),
        "S~" => Event::Matches(Regex::new(&format!("^(?:{rest})$")).ok()?),
        "=>" => {
            let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            match word {
                "login" => {
                    let (user, rest) = rest.split_once(' ')?;
                    let (secret, rest) = read_quoted(rest)?;
                    Event::Login {
                        user: user.into(),
                        secret,
                        mechanism: rest.trim().into(),
                    }
                }
                "answer" => {
                    let text = read_quoted(rest)?.0;
                    Event::Answer(sasl::Answer::Message(sasl::Message::from_base64(&text)?))
                }
                "abort" => Event::Answer(sasl::Answer::Abort),
                "starttls" => Event::StartTls,
                "host" => Event::Host(read_quoted(rest)?.0),
                "state" => Event::State(rest.into()),
                "close" => Event::Close,
                _ => return None,
            }
        }
        "<=" => {
            let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            match word {
                "accept" => read_accept(rest),
                "challenge" => Event::Challenge(sasl::Message::from_base64(rest.as_bytes())?),
                "reject" => Event::Reject(read_failure(rest)?),
                "tls" => Event::Tls,
                "farewell" => Event::Farewell(match rest {
                    "Timeout" => Farewell::Timeout,
                    "Shutdown" => Farewell::Shutdown,
                    "TooMany" => Farewell::TooMany,
                    "TooManyFailures" => Farewell::TooManyFailures,
                    "Kicked" => Farewell::Kicked,
                    _ => return None,
                }),
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn read_accept(mut rest: &str) -> Event {
    let (mut text, mut untagged, mut behind) = (String::new(), Vec::new(), Vec::new());
    while let Some((key, value, tail)) = read_option(rest) {
        match key {
            "text" => text = String::from_utf8(value).unwrap(),
            "untagged" => untagged = value,
            "rest" => behind = value,
            // `AUTH=…` and the like: a capability.
            _ => break,
        }
        rest = tail;
    }
    let list: Vec<String> = rest.split_whitespace().map(Into::into).collect();
    Event::Accept {
        text,
        untagged,
        rest: behind,
        capabilities: (!list.is_empty()).then_some(list),
    }
}

fn read_failure(rest: &str) -> Option<Failure> {
    let (name, detail) = rest.split_once(' ').unwrap_or((rest, ""));
    let own = || Some(detail.to_owned()).filter(|text| !text.is_empty());
    let cause = detail.to_owned();
    Some(match name {
        "Credentials" => Failure::Credentials,
        "Aborted" => Failure::Aborted,
        "PrivacyRequired" => Failure::PrivacyRequired,
        "UnsupportedMechanism" => Failure::UnsupportedMechanism {
            name: sasl::known_name(cause.as_bytes()),
        },
        "NotAllowed" => Failure::NotAllowed { text: own() },
        "NotServed" => Failure::NotServed,
        "TooMany" => Failure::TooMany {
            limit: Limit::PerUser,
        },
        "NoRoute" => Failure::NoRoute,
        "MapUnavailable" => Failure::MapUnavailable { cause },
        "Maintenance" => Failure::Maintenance { text: cause },
        "Held" => Failure::Held,
        "Unreachable" => Failure::Unreachable { cause },
        "TimedOut" => Failure::TimedOut { state: "greeting" },
        "HostTls" => Failure::HostTls { cause },
        "HostSetup" => Failure::HostSetup { cause },
        "NotTaken" => Failure::NotTaken { cause },
        "HostProtocol" => Failure::HostProtocol {
            expected: "a greeting",
            got: cause,
        },
        "Loop" => Failure::Loop,
        "Unexplained" => Failure::Unexplained,
        // `Refused CODE [alert text]`
        "Refused" => {
            let (code, alert) = detail.split_once(' ').unwrap_or((detail, ""));
            Failure::Refused {
                code: Code::named(code.as_bytes())?,
                alert: Some(alert.to_owned()).filter(|alert| !alert.is_empty()),
            }
        }
        _ => return None,
    })
}

/// `key=value` or `key="va lue"` at the start, and what follows.
fn read_option(text: &str) -> Option<(&str, Vec<u8>, &str)> {
    let text = text.trim_start();
    let (key, rest) = text.split_once('=')?;
    if key.contains(' ') {
        return None;
    }
    if rest.starts_with('"') {
        let (value, rest) = read_quoted(rest)?;
        return Some((key, value, rest));
    }
    let (value, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((key, value.into(), rest))
}

fn read_quoted(text: &str) -> Option<(Vec<u8>, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inner.find(|c| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    })?;
    Some((unescape(&inner[..end]), &inner[end + 1..]))
}

fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'\\' => match rest.next().expect("an escape") {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'0' => 0,
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            },
            octet => octet,
        });
    }
    octets
}

/// Replaces `{{…}}`.
fn expand(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, tail)) = rest.split_once("{{") {
        let (inner, tail) = tail.split_once("}}").expect("a closing }}");
        out.push_str(before);
        if let Some(text) = inner.strip_prefix("b64:") {
            let octets = unescape(&expand_repeats(text));
            out.push_str(&base64::engine::general_purpose::STANDARD.encode(octets));
        } else {
            out.push_str(&repeat(inner));
        }
        rest = tail;
    }
    out + rest
}

/// Inside `{{b64:…}}` a repetition is written `<x*9000>`.
fn expand_repeats(text: &str) -> String {
    match text.split_once('<') {
        Some((before, tail)) => {
            let (inner, tail) = tail.split_once('>').expect("a closing >");
            format!("{before}{}{}", repeat(inner), expand_repeats(tail))
        }
        None => text.into(),
    }
}

fn repeat(inner: &str) -> String {
    match inner.rsplit_once('*') {
        Some((what, times)) => what.repeat(times.parse().unwrap()),
        None => {
            assert!(inner.is_empty(), "what is {{{{{inner}}}}}?");
            String::new()
        }
    }
}
