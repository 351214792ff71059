//! Single values against their description: whether one is what its key asks for.

use std::path::Path;

use super::check::{Report, Watch};
use super::node::{Kind, Node};
use super::problem::{Code, did_you_mean, quoted};
use super::schema::{Holds, Leaf, Shape};
use super::url::{self, HostUrl, ListenUrl};
use super::value::{self, Wrong};
use super::{files, pending};

impl Report<'_> {
    /// Checks a single value; `place` is where the description has it.
    pub(super) fn leaf(
        &mut self,
        node: &Node,
        leaf: Leaf,
        shape: &Shape,
        place: &str,
    ) -> Result<(), Wrong> {
        let wrong_type = |help: Option<&str>| {
            let wrong = Wrong::new(Code::E013, format!("expected {}", shape.what));
            match help {
                Some(help) => wrong.help(help),
                None => wrong,
            }
        };
        let Some(text) = node.scalar() else {
            return Err(wrong_type(None));
        };
        match (&node.kind, leaf) {
            (Kind::Bool(_) | Kind::Filled(_), Leaf::Bool) if matches!(text, "true" | "false") => {
                return Ok(());
            }
            (_, Leaf::Bool) => {
                return Err(wrong_type(match text {
                    "yes" | "on" | "Yes" | "On" | "true" => Some("write `true`, without quotes"),
                    "no" | "off" | "No" | "Off" | "false" => Some("write `false`, without quotes"),
                    _ => None,
                }));
            }
            (Kind::Bool(_), _) => return Err(wrong_type(None)),
            (Kind::Number(_), Leaf::Line | Leaf::Secret | Leaf::File(_) | Leaf::Path) => {
                return Err(wrong_type(Some("put it in quotes")));
            }
            // YAML has no numbers with zeros before them: they are text with quotes and without.
            (Kind::Text(_), Leaf::Count(..)) if value::count(text, 0, u64::MAX).is_ok() => {
                let help = match text.starts_with('0') && text.len() > 1 {
                    true => "write it without leading zeros, and without quotes",
                    false => "write it without quotes",
                };
                return Err(wrong_type(Some(help)));
            }
            _ => {}
        }
        match leaf {
            Leaf::Bool => Ok(()),
            Leaf::Count(least, most) => value::count(text, least, most).map(drop),
            Leaf::Line => value::line(text).map(drop),
            Leaf::Secret => crate::protocol::Secret::new(text.as_bytes())
                .map(drop)
                .map_err(|_| {
                    Wrong::new(
                        Code::E026,
                        "expected a secret: not empty, no control characters",
                    )
                }),
            Leaf::Name => value::name(text).map(drop),
            Leaf::Duration(least) => match value::duration(text)? {
                time if time.as_millis() < u128::from(least) => {
                    Err(Wrong::new(Code::E021, "expected more than no time"))
                }
                _ => Ok(()),
            },
            Leaf::Size(least, most) => match value::size(text)? {
                size if size < least || size > most => Err(Wrong::new(
                    Code::E022,
                    format!("expected {least} to {most} octets"),
                )),
                _ => Ok(()),
            },
            Leaf::Rate => value::rate(text).map(drop),
            Leaf::Network => value::network(text).map(drop),
            Leaf::Address => url::address(text).map(drop),
            Leaf::Listen => match url::listen_url(text)? {
                ListenUrl::Submission => submission(),
                ListenUrl::Mail { .. } => Ok(()),
            },
            Leaf::Host => match url::host_url(text)? {
                HostUrl::Submission(_) => submission(),
                HostUrl::Mail(..) => Ok(()),
            },
            Leaf::Endpoint(protocol) => {
                let url = url::host_url(text)?;
                match &url {
                    HostUrl::Mail(endpoint, _) if endpoint.protocol.as_str() == protocol => Ok(()),
                    HostUrl::Submission(_) if protocol == "submission" => submission(),
                    _ => Err(Wrong::new(
                        Code::E020,
                        format!(
                            "expected a scheme of {protocol}: `{protocol}`, `{protocol}+starttls` or `{protocol}s`"
                        ),
                    )),
                }
            }
            Leaf::Http => url::http_url(text),
            Leaf::State => url::state_url(text).map(drop),
            Leaf::Word(words) => {
                value::word(text, words)?;
                match text {
                    "submission" => submission(),
                    _ => Ok(()),
                }
            }
            Leaf::Pin => value::pin(text).map(drop),
            Leaf::Uidl => value::uidl(text).map(drop),
            Leaf::Domain => value::domain(text).map(drop),
            Leaf::Path if text.is_empty() => Err(wrong_type(None)),
            Leaf::Path => value::output(text),
            Leaf::File(holds) => {
                let path = self.base.join(text);
                self.looks_at(&path, Watch::of(place));
                files::check(&path, holds).map_err(|wrong| match path == Path::new(text) {
                    true => wrong,
                    false => {
                        wrong.help(format!("looked at {}", quoted(&path.display().to_string())))
                    }
                })?;
                if holds == Holds::Key && files::is_open_to_all(&path) {
                    let message = format!("{} can be read by every user", quoted(node.shown()));
                    let wrong = Wrong::new(Code::W003, "expected a private key to be private");
                    let wrong = wrong.help(format!("chmod o-rwx {}", path.display()));
                    self.add(node.mark, Code::W003, message, wrong);
                }
                Ok(())
            }
            Leaf::Backend if self.backends.contains(&text) => Ok(()),
            Leaf::Backend => Err(Wrong {
                help: did_you_mean(text, self.backends.iter().copied()),
                ..Wrong::new(Code::E011, "expected a name of `backends`")
            }),
        }
    }
}

fn submission() -> Result<(), Wrong> {
    match pending::SUBMISSION {
        Some(what) => Err(not_yet(what)),
        None => Ok(()),
    }
}

fn not_yet(what: &str) -> Wrong {
    Wrong::new(Code::E060, format!("{what} is not there yet"))
}

/// What is wrong with a value, in a few words.
pub(super) fn message(node: &Node, code: Code, key: &str) -> String {
    let shown = quoted(node.shown());
    match code {
        Code::E011 => format!("no backend is named {shown}"),
        Code::E013 => format!("{} is {}", quoted(key), node.noun()),
        Code::E014 => format!("{shown} is none of the choices"),
        Code::E020 => format!("{shown} cannot be used"),
        Code::E021 => format!("{shown} is no duration for {}", quoted(key)),
        Code::E022 => format!("{shown} is no size for {}", quoted(key)),
        Code::E023 => format!("{shown} is no rate"),
        Code::E024 => format!("{shown} is no network"),
        Code::E025 => format!("{shown} is no number for {}", quoted(key)),
        // It may be a secret.
        Code::E026 => format!("{} is not well-formed", quoted(key)),
        Code::E030 => format!("{shown} is no format of unique ids"),
        Code::E031 => format!("{shown} is no pin"),
        Code::E032 => format!("{shown} is no domain"),
        Code::E040 => format!("{shown} cannot be read"),
        Code::E041 => format!("{shown} does not hold what it should"),
        Code::E060 => format!("{shown} is not there yet"),
        _ => format!("{shown} is wrong"),
    }
}
