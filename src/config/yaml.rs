//! YAML text to a tree of nodes that know their places. The only file that names the YAML crate.
//!
//! Strict where YAML is loose: YAML 1.2 booleans only, no merge keys, budgets against alias bombs and
//! deep nesting. `${NAME}` in a scalar is replaced by the environment variable before the value is
//! typed. Duplicate keys stay in the tree, so that `check` can point at every one of them.

use std::fmt;
use std::io::Read;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Location, Spanned};

/// Longest proxy.yaml in octets. A longer map belongs into a file of `users_from`.
pub const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Longest map file in octets: it is read as a stream.
pub const MAX_MAP_FILE: u64 = 1024 * 1024 * 1024;

/// Most nodes of proxy.yaml: what fits into [`MAX_FILE`] at the shortest (`a: b`), and no alias bomb.
const MAX_NODES: usize = 8_000_000;

/// Deepest nesting. The settings need six levels.
const MAX_DEPTH: usize = 32;

/// Most nodes that aliases may repeat. They save typing in a file of settings, no more.
const MAX_REPLAYED: usize = 100_000;

/// Where a node stands. Lines and columns (in characters) count from 1, offsets are octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Line.
    pub line: u32,
    /// Column in characters.
    pub column: u32,
    /// Octet the node starts at; equal to `end` where the reader does not tell.
    pub start: u32,
    /// Octet behind its end.
    pub end: u32,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands; for an alias, where the alias stands.
    pub mark: Mark,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing, `null`, `~`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A plain scalar that YAML reads as a number, as written.
    Number(Box<str>),
    /// Text.
    Text(Box<str>),
    /// A scalar that held `${NAME}`: it becomes what is expected of it.
    Filled(Box<Filled>),
    /// A list.
    List(Vec<Node>),
    /// A map in file order, duplicates included.
    Map(Vec<(Node, Node)>),
}

/// A scalar with environment variables put in.
#[derive(Clone, Debug)]
pub struct Filled {
    /// As it stands in the file: messages show this, as a variable may hold a secret.
    pub written: Box<str>,
    /// With the values put in.
    pub text: Box<str>,
}

/// Why a file is no tree.
#[derive(Debug)]
pub struct Fault {
    /// Where, if it is known.
    pub mark: Option<Mark>,
    /// What kind of fault.
    pub kind: FaultKind,
    /// What is wrong, for people.
    pub message: String,
}

/// The kinds of [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It is not YAML.
    Syntax,
    /// It is YAML, but more than a file of settings may ask for.
    Budget,
}

impl Node {
    /// The text of a scalar as written or filled in; none for null, lists, maps.
    pub fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Bool(true) => Some("true"),
            Kind::Bool(false) => Some("false"),
            Kind::Number(text) | Kind::Text(text) => Some(text),
            Kind::Filled(filled) => Some(&filled.text),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// What to show of a scalar in a message: never the value of a variable.
    pub fn shown(&self) -> &str {
        match &self.kind {
            Kind::Filled(filled) => &filled.written,
            _ => self.scalar().unwrap_or_default(),
        }
    }

    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The key and value of a map's entry.
    pub fn entry(&self, key: &str) -> Option<(&Node, &Node)> {
        match &self.kind {
            Kind::Map(entries) => entries
                .iter()
                .find(|(k, _)| k.scalar() == Some(key))
                .map(|(k, v)| (k, v)),
            _ => None,
        }
    }

    /// The elements of a list, or nothing.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// The entries of a map, or nothing.
    pub fn entries(&self) -> &[(Node, Node)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// What it is, for "expected … got …".
    pub fn noun(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) | Kind::Filled(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

/// Reads a whole document. An empty one is [`Kind::Null`].
pub fn parse(text: &str) -> Result<Node, Fault> {
    let raw = serde_yaml::with_deserializer_from_str_with_options(text, options(), |de| {
        Spanned::<Raw>::deserialize(de)
    })
    .map_err(fault)?;
    Ok(node(raw, Some(text)))
}

/// Reads a document that is one map, entry by entry; nothing of it is kept. Interpolation is off: map
/// files are taken as they stand. Byte offsets are not known.
///
/// The visitor's error ends the reading and comes back.
pub fn stream_map(reader: impl Read, mut each: impl FnMut(Node, Node)) -> Result<(), Fault> {
    serde_yaml::with_deserializer_from_reader_with_options(reader, stream_options(), |de| {
        de.deserialize_map(Stream(&mut each))
    })
    .map_err(fault)
}

fn options() -> serde_yaml::Options {
    serde_yaml::options! {
        budget: Some(budget(MAX_NODES)),
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: serde_yaml::options::DuplicateKeyPolicy::PassThrough,
        merge_keys: serde_yaml::options::MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn stream_options() -> serde_yaml::Options {
    let mut options = options();
    let mut budget = budget(usize::MAX);
    budget.max_reader_input_bytes = Some(MAX_MAP_FILE as usize);
    budget.max_total_scalar_bytes = usize::MAX;
    budget.max_aliases = 0;
    options.budget = Some(budget);
    options
}

fn budget(nodes: usize) -> serde_yaml::Budget {
    let mut budget = serde_yaml::Budget::default();
    budget.max_nodes = nodes;
    budget.max_events = nodes.saturating_mul(2);
    budget.max_depth = MAX_DEPTH;
    budget.max_documents = 1;
    budget.max_aliases = 1000;
    budget.max_anchors = 1000;
    budget
}

fn fault(error: serde_yaml::Error) -> Fault {
    let mark = error.location().map(|at| mark(&at));
    let error = error.without_snippet();
    let kind = match error {
        serde_yaml::Error::Budget { .. } => FaultKind::Budget,
        _ => FaultKind::Syntax,
    };
    let mut message = error.to_string();
    if let Some(cut) = message.find(" at line ") {
        message.truncate(cut);
    }
    Fault {
        mark,
        kind,
        message,
    }
}

fn mark(at: &Location) -> Mark {
    let span = at.span();
    let start = span.byte_offset().unwrap_or_default();
    let end = start.saturating_add(span.byte_len().unwrap_or_default());
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Mark {
        line: small(at.line()),
        column: small(at.column()),
        start: small(start),
        end: small(end),
    }
}

/// What the visitor sees, before places and texts are put together.
enum Raw {
    Null,
    Bool(bool),
    /// Without a source to look it up in, the number as it was understood.
    Number(Box<str>),
    Text(Box<str>),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

fn node(raw: Spanned<Raw>, source: Option<&str>) -> Node {
    let defined = mark(&raw.defined);
    let kind = match raw.value {
        Raw::Null => Kind::Null,
        Raw::Bool(yes) => Kind::Bool(yes),
        Raw::Number(understood) => {
            let written =
                source.and_then(|text| text.get(defined.start as usize..defined.end as usize));
            Kind::Number(written.map_or(understood, |text| text.trim().into()))
        }
        Raw::Text(text) => Kind::Text(text),
        Raw::List(items) => Kind::List(items.into_iter().map(|item| node(item, source)).collect()),
        Raw::Map(entries) => Kind::Map(
            entries
                .into_iter()
                .map(|(key, value)| (node(key, source), node(value, source)))
                .collect(),
        ),
    };
    Node {
        mark: mark(&raw.referenced),
        kind,
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(yes))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Raw, E> {
        Ok(Raw::Number(n.to_string().into()))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Raw, E> {
        Ok(Raw::Number(n.to_string().into()))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Raw, E> {
        Ok(Raw::Number(n.to_string().into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

struct Stream<'a, F>(&'a mut F);

impl<'de, F: FnMut(Node, Node)> Visitor<'de> for Stream<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of users")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<Spanned<Raw>, Spanned<Raw>>()? {
            (self.0)(node(key, None), node(value, None));
        }
        Ok(())
    }
}
