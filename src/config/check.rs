//! Walks a tree along its description and collects what is wrong: unknown, double and missing keys,
//! wrong types, values that are not what they should be, files that cannot be used.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::problem::{self, Code, Problem, did_you_mean, quoted};
use super::schema::{Holds, Key, Keys, Leaf, Need, Shape};
use super::value::{self, Wrong};
use super::yaml::{Kind, Mark, Node};
use super::{files, pending};

/// Collects the problems of one file.
pub(super) struct Report<'a> {
    /// The file, as it was named.
    pub file: Arc<Path>,
    /// Its text; empty for a file that is read as a stream.
    text: &'a str,
    /// Where relative paths start.
    pub base: &'a Path,
    /// The names of the backends.
    pub backends: Vec<&'a str>,
    /// What was found.
    pub problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    /// Nothing found yet.
    pub(super) fn new(file: Arc<Path>, text: &'a str, base: &'a Path) -> Self {
        Report {
            file,
            text,
            base,
            backends: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Something is wrong at a place.
    pub(super) fn add(&mut self, mark: Mark, code: Code, message: impl Into<String>, wrong: Wrong) {
        if self.problems.len() >= problem::MOST {
            return;
        }
        let (source, marked) = self.line(mark);
        self.problems.push(Problem {
            code,
            file: self.file.clone(),
            line: mark.line.max(1),
            column: mark.column.max(1),
            source,
            marked,
            message: message.into(),
            expected: wrong.expected,
            help: wrong.help,
        });
    }

    /// Something is wrong at a place: message, what was expected, what to do.
    pub(super) fn say(
        &mut self,
        mark: Mark,
        code: Code,
        message: impl Into<String>,
        expected: &str,
    ) {
        self.add(mark, code, message, Wrong::new(code, expected));
    }

    /// The source line of a place, and the octets of it that are marked.
    fn line(&self, mark: Mark) -> (String, std::ops::Range<usize>) {
        let start = mark.start as usize;
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let line = rest.split(['\n', '\r']).next().unwrap_or_default();
        let from = (start - line_start.min(start)).min(line.len());
        // What goes on over several lines is marked to the end of its first.
        let to = (mark.end as usize).saturating_sub(line_start);
        let to = to.clamp(from, line.trim_end().len().max(from));
        (problem::masked(line), from..to)
    }

    /// Checks a node against a shape. `key` is the key it is the value of, `place` where the
    /// description has it.
    pub(super) fn shape(
        &mut self,
        node: &Node,
        shape: &'static Shape,
        key: (&str, Mark),
        place: &str,
    ) {
        if let Some(what) = pending::pending(place) {
            let message = format!("{what} is not there yet");
            self.say(
                key.1,
                Code::E060,
                message,
                "this version cannot do what this asks for",
            );
        }
        match (&node.kind, shape) {
            (Kind::Broken, _) => {}
            (
                Kind::Map(entries),
                Shape {
                    map: Some(keys), ..
                },
            ) => match keys {
                Keys::Known(keys) => self.known(entries, keys, key.1, place),
                Keys::Free(value) => self.free(entries, value, place),
                Keys::Any => self.double(entries),
            },
            (Kind::List(items), Shape { list: Some(of), .. }) => {
                let place = format!("{place}[]");
                for item in items {
                    self.shape(item, of, (key.0, item.mark), &place);
                }
                if items.is_empty()
                    && matches!(
                        place.as_str(),
                        "listeners[]" | "backends.*[]" | "backends.*.hosts[]"
                    )
                {
                    let message = format!("{} is empty", quoted(key.0));
                    self.say(node.mark, Code::E015, message, "expected at least one");
                }
            }
            (Kind::Null, _) => {
                let wrong = Wrong::new(Code::E013, format!("expected {}", shape.what));
                let message = format!("{} holds nothing", quoted(key.0));
                let wrong = wrong.help("leave the key out to get its default");
                self.add(key.1, Code::E013, message, wrong);
            }
            (Kind::Map(_) | Kind::List(_), _) | (_, Shape { scalar: None, .. }) => {
                let message = format!("{} is {}", quoted(key.0), node.noun());
                let expected = format!("expected {}", shape.what);
                self.say(node.mark, Code::E013, message, &expected);
            }
            (
                _,
                Shape {
                    scalar: Some(leaf), ..
                },
            ) => {
                if let Err(wrong) = self.leaf(node, *leaf, shape) {
                    let message = message(node, wrong.code, key.0);
                    self.add(node.mark, wrong.code, message, wrong);
                }
            }
        }
    }

    fn known(&mut self, entries: &[(Node, Node)], keys: &'static [Key], at: Mark, place: &str) {
        self.double(entries);
        for (key, value) in entries {
            let name = key.scalar().unwrap_or_default();
            match keys.iter().find(|known| known.name == name) {
                Some(known) => {
                    let place = match place {
                        "" => known.name.to_owned(),
                        place => format!("{place}.{}", known.name),
                    };
                    self.shape(value, known.shape, (name, key.mark), &place);
                }
                None if matches!(key.kind, Kind::Broken) => {}
                None => {
                    let names = keys.iter().map(|key| key.name);
                    let list: Vec<_> = names.clone().map(quoted).collect();
                    let wrong = Wrong {
                        help: did_you_mean(name, names),
                        ..Wrong::new(
                            Code::E010,
                            match list.len() > 6 {
                                true => "not a key that may stand here".to_owned(),
                                false => format!("expected one of {}", list.join(", ")),
                            },
                        )
                    };
                    let message = format!("unknown key {}", quoted(key.shown()));
                    self.add(key.mark, Code::E010, message, wrong);
                }
            }
        }
        for missing in keys.iter().filter(|key| key.need == Need::Required) {
            if !entries
                .iter()
                .any(|(key, _)| key.scalar() == Some(missing.name))
            {
                let expected = format!("expected `{}`: {}", missing.name, missing.shape.what);
                self.say(
                    at,
                    Code::E012,
                    format!("`{}` is missing", missing.name),
                    &expected,
                );
            }
        }
    }

    fn free(&mut self, entries: &[(Node, Node)], value: &'static Shape, place: &str) {
        let users = place == "users";
        // The users map finds its own doubles, without regard to case.
        if !users {
            self.double(entries);
        }
        let below = format!("{place}.*");
        for (key, node) in entries {
            match key.scalar() {
                Some(name) => {
                    if let Err(wrong) = value::name(name)
                        && place == "backends"
                    {
                        let message = format!("{} is no name", quoted(key.shown()));
                        self.add(key.mark, Code::E026, message, wrong);
                    }
                    self.shape(node, value, (name, key.mark), &below);
                }
                None if matches!(key.kind, Kind::Broken) || users => {}
                None => {
                    let message = format!("the key is {}", key.noun());
                    self.say(key.mark, Code::E013, message, "expected a name");
                }
            }
        }
        if entries.is_empty() && place == "backends" {
            let at = Mark::default();
            self.say(
                at,
                Code::E015,
                "`backends` is empty",
                "expected at least one",
            );
        }
    }

    fn double(&mut self, entries: &[(Node, Node)]) {
        let mut seen: HashMap<&str, u32> = HashMap::new();
        for (key, _) in entries {
            let Some(name) = key.scalar() else { continue };
            match seen.get(name) {
                Some(line) => {
                    let message = format!("{} is here twice", quoted(key.shown()));
                    let expected = format!("the first is in line {line}");
                    self.say(key.mark, Code::E004, message, &expected);
                }
                None => {
                    seen.insert(name, key.mark.line);
                }
            }
        }
    }

    fn leaf(&mut self, node: &Node, leaf: Leaf, shape: &Shape) -> Result<(), Wrong> {
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
            (Kind::Text(_), Leaf::Count(..)) if value::count(text, 0, u64::MAX).is_ok() => {
                return Err(wrong_type(Some("write it without quotes")));
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
            Leaf::Address => value::address(text).map(drop),
            Leaf::Listen => match value::listen_url(text)? {
                value::ListenUrl::Submission => submission(),
                value::ListenUrl::Mail { .. } => Ok(()),
            },
            Leaf::Host => match value::host_url(text)? {
                value::HostUrl::Submission(_) => submission(),
                value::HostUrl::Mail(..) => Ok(()),
            },
            Leaf::Endpoint(protocol) => {
                let url = value::host_url(text)?;
                match &url {
                    value::HostUrl::Mail(endpoint, _) if endpoint.protocol.as_str() == protocol => {
                        Ok(())
                    }
                    value::HostUrl::Submission(_) if protocol == "submission" => submission(),
                    _ => Err(Wrong::new(
                        Code::E020,
                        format!(
                            "expected a scheme of {protocol}: `{protocol}`, `{protocol}+starttls` or `{protocol}s`"
                        ),
                    )),
                }
            }
            Leaf::Http => value::http_url(text),
            Leaf::State => match (value::state_url(text)?, pending::STATE) {
                (false, Some(what)) => Err(not_yet(what)),
                _ => Ok(()),
            },
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
            Leaf::Path => Ok(()),
            Leaf::File(holds) => {
                let path = self.base.join(text);
                files::check(&path, holds)?;
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

fn message(node: &Node, code: Code, key: &str) -> String {
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
