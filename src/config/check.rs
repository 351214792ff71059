//! Walks a tree along its description and collects what is wrong: unknown, double and missing keys,
//! wrong types, values that are not what they should be, files that cannot be used.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::leaf::message;
use super::mask;
use super::node::{Kind, Mark, Node};
use super::pending;
use super::problem::{self, Code, Problem, did_you_mean, quoted};
use super::schema::{Key, Keys, Need, Shape};
use super::value::{self, Wrong};
use crate::tls::Stamp;

/// Collects the problems of one file.
pub(super) struct Report<'a> {
    /// The file, as it was named.
    pub file: Arc<Path>,
    /// Its text; empty for a file that is read as a stream.
    text: &'a str,
    /// Where its secrets stand; not known before it is read.
    pub secrets: Option<Vec<Range<usize>>>,
    /// Where relative paths start.
    pub base: &'a Path,
    /// The names of the backends.
    pub backends: Vec<&'a str>,
    /// What was found.
    pub problems: Vec<Problem>,
    /// The files that were looked at.
    pub files: Vec<Looked>,
}

/// A file that was looked at.
pub(super) struct Looked {
    /// Its name.
    pub file: PathBuf,
    /// As it was then; none: it was not there.
    pub stamp: Option<Stamp>,
    /// Who sees that it changes.
    pub watch: Watch,
}

/// Who sees that a file changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// Whoever watches the settings: they are read anew.
    Settings,
    /// Those who use it, and nobody else does.
    Users,
}

impl Watch {
    /// For what stands at a place of the description.
    pub(super) fn of(place: &str) -> Self {
        match place.starts_with("tls.") || place == "authenticate.passwords" {
            true => Watch::Users,
            false => Watch::Settings,
        }
    }
}

impl<'a> Report<'a> {
    /// Nothing found yet.
    pub(super) fn new(file: Arc<Path>, text: &'a str, base: &'a Path) -> Self {
        Report {
            file,
            text,
            secrets: None,
            base,
            backends: Vec::new(),
            problems: Vec::new(),
            files: Vec::new(),
        }
    }

    /// A file is about to be looked at. One that is named at several places counts as the settings' if it
    /// is at one of them.
    pub(super) fn looks_at(&mut self, file: &Path, watch: Watch) {
        match self.files.iter_mut().find(|known| known.file == file) {
            Some(known) if watch == Watch::Settings => known.watch = watch,
            Some(_) => {}
            None => self.files.push(Looked {
                file: file.into(),
                stamp: Stamp::of(file),
                watch,
            }),
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
    pub(super) fn line(&self, mark: Mark) -> (String, Range<usize>) {
        let start = mark.start as usize;
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind(['\n', '\r']).map_or(0, |at| at + 1);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let line = rest.split(['\n', '\r']).next().unwrap_or_default();
        let from = (start - line_start.min(start)).min(line.len());
        // What goes on over several lines is marked to the end of its first.
        let to = (mark.end as usize).saturating_sub(line_start);
        let mut to = to.clamp(from, line.trim_end().len().max(from));
        while !line.is_char_boundary(to) {
            to += 1;
        }
        let shown = match &self.secrets {
            Some(secrets) => mask::ranges(&mask::line(line), line_start, secrets),
            None => mask::unread(self.text, line_start, line),
        };
        (shown, from..to)
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
                Keys::Free(value) => self.free(entries, value, key.1, place),
                Keys::Any => self.double(entries),
            },
            (Kind::List(items), Shape { list: Some(of), .. }) => {
                let place = format!("{place}[]");
                let element = format!("{}[]", key.0);
                for item in items {
                    self.shape(item, of, (&element, item.mark), &place);
                }
                if items.is_empty()
                    && matches!(
                        place.as_str(),
                        "listeners[]"
                            | "listeners[].allow[]"
                            | "backends.*[]"
                            | "backends.*.hosts[]"
                    )
                {
                    let message = format!("{} is empty", quoted(key.0));
                    self.say(node.mark, Code::E015, message, "expected at least one");
                }
            }
            (Kind::Null, _) => {
                let wrong = Wrong::new(Code::E013, format!("expected {}", shape.what));
                let message = format!("{} holds nothing", quoted(key.0));
                let wrong = match place {
                    "listeners" | "backends" | "users" => wrong,
                    _ => wrong.help("leave the key out to get its default"),
                };
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
                if let Err(wrong) = self.leaf(node, *leaf, shape, place) {
                    let message = message(node, wrong.code, key.0);
                    self.add(node.mark, wrong.code, message, wrong);
                }
            }
        }
    }

    fn known(&mut self, entries: &[(Node, Node)], keys: &'static [Key], at: Mark, place: &str) {
        self.double(entries);
        let before = self.problems.len();
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
            let there = entries
                .iter()
                .any(|(key, _)| key.scalar() == Some(missing.name));
            if !there && !self.misspelt(missing.name, before) {
                let expected = format!("expected `{}`: {}", missing.name, missing.shape.what);
                let message = format!("`{}` is missing", missing.name);
                self.say(at, Code::E012, message, &expected);
            }
        }
    }

    /// Whether an unknown key reported since then seems to mean this one: one mistake, one problem.
    pub(super) fn misspelt(&self, name: &str, since: usize) -> bool {
        let help = format!("did you mean {}?", quoted(name));
        let mut unknown = self
            .problems
            .iter()
            .skip(since)
            .filter(|p| p.code == Code::E010);
        unknown.any(|p| p.help.as_ref() == Some(&help))
    }

    fn free(&mut self, entries: &[(Node, Node)], value: &'static Shape, at: Mark, place: &str) {
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
}
