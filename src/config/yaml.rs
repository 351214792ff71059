//! YAML text to a tree of nodes that know their places. The only file that names the YAML crate.
//!
//! Strict where YAML is loose: YAML 1.2 booleans only, no merge keys, budgets against alias bombs and
//! deep nesting. Duplicate keys stay in the tree, so that `check` can point at every one of them.

use std::fmt;
use std::io::Read;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Location, Spanned};

use super::node::{Kind, Mark, Node};
use super::written::Written;

/// Longest proxy.yaml in octets. A longer map belongs into a file of `users_from`.
pub(super) const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Longest map file in octets: it is read as a stream.
pub(super) const MAX_MAP_FILE: u64 = 1024 * 1024 * 1024;

/// Most nodes of proxy.yaml: what fits into [`MAX_FILE`] at the shortest (`a: b`), and no alias bomb.
const MAX_NODES: usize = 8_000_000;

/// Deepest nesting. The settings need six levels.
const MAX_DEPTH: usize = 32;

/// Most nodes that aliases may repeat. They save typing in a file of settings, no more.
const MAX_REPLAYED: usize = 100_000;

/// Why a file is no tree.
#[derive(Debug)]
pub(super) struct Fault {
    /// Where, if it is known.
    pub mark: Option<Mark>,
    /// What kind of fault.
    pub kind: FaultKind,
    /// What is wrong, for people.
    pub message: String,
}

/// The kinds of [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// It is not YAML.
    Syntax,
    /// It is YAML, but more than a file of settings may ask for.
    Budget,
}

/// Reads a whole document. An empty one is [`Kind::Null`].
pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    let raw = serde_yaml::with_deserializer_from_str_with_options(text, options(), |de| {
        Spanned::<Raw>::deserialize(de)
    })
    .map_err(fault)?;
    node(raw, Source::Text(text))
}

/// Reads a document that is one map, entry by entry; nothing of it is kept. Interpolation is off: map
/// files are taken as they stand. Byte offsets are not known.
///
/// The visitor's error ends the reading and comes back.
pub(super) fn stream_map(reader: impl Read, mut each: impl FnMut(Node, Node)) -> Result<(), Fault> {
    let written = Written::default();
    let reader = written.of(reader);
    let mut unread = None;
    let read =
        serde_yaml::with_deserializer_from_reader_with_options(reader, stream_options(), |de| {
            de.deserialize_map(Stream {
                written: &written,
                each: &mut each,
                unread: &mut unread,
            })
        });
    match unread {
        Some(unread) => Err(unread),
        None => read.map_err(fault),
    }
}

/// The lines of a text as YAML counts them, with their ends: a bare CR ends one too (YAML 1.2.2 §5.4).
pub(super) fn lines(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let end = match text.find(['\n', '\r']) {
            Some(at) if text.get(at..)?.starts_with("\r\n") => at + 2,
            Some(at) => at + 1,
            None if text.is_empty() => return None,
            None => text.len(),
        };
        let (line, rest) = text.split_at_checked(end)?;
        text = rest;
        Some(line)
    })
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
        // A name may look like one.
        non_finite_float_policy: serde_yaml::options::NonFiniteFloatPolicy::PassThrough,
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
    let kind = kind(error);
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

fn kind(error: &serde_yaml::Error) -> FaultKind {
    use serde_yaml::Error;
    match error {
        Error::Budget { .. }
        | Error::MultipleDocuments { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => FaultKind::Budget,
        Error::AliasError { error, .. } => kind(error.without_snippet()),
        _ => FaultKind::Syntax,
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
    /// What it was understood as is no use: `12e3` and `12000` are two names.
    Number,
    Text(Box<str>),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

/// Where numbers are looked up as they are written.
#[derive(Clone, Copy)]
enum Source<'a> {
    Text(&'a str),
    Stream(&'a Written),
}

impl Source<'_> {
    fn number(self, at: &Location) -> Result<Box<str>, Fault> {
        let place = mark(at);
        let written: Option<Box<str>> = match self {
            Source::Text(text) => {
                let written = text.get(place.start as usize..place.end as usize);
                written.map(|text| text.trim().into())
            }
            Source::Stream(written) => written.text(at.span().offset(), at.span().len()),
        };
        let of_a_number = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        written
            .filter(|text| !text.is_empty() && text.chars().all(of_a_number))
            .ok_or_else(|| Fault {
                mark: Some(place),
                kind: FaultKind::Syntax,
                message:
                    "this cannot be read as it is written: write it in quotes, without its tag"
                        .into(),
            })
    }
}

fn node(raw: Spanned<Raw>, source: Source<'_>) -> Result<Node, Fault> {
    let kind = match raw.value {
        Raw::Null => Kind::Null,
        Raw::Bool(yes) => Kind::Bool(yes),
        Raw::Number => Kind::Number(source.number(&raw.defined)?),
        Raw::Text(text) => Kind::Text(text),
        Raw::List(items) => {
            let items = items.into_iter().map(|item| node(item, source));
            Kind::List(items.collect::<Result<_, _>>()?)
        }
        Raw::Map(entries) => {
            let both = |(key, value)| Ok((node(key, source)?, node(value, source)?));
            Kind::Map(entries.into_iter().map(both).collect::<Result<_, _>>()?)
        }
    };
    Ok(Node {
        mark: mark(&raw.referenced),
        kind,
    })
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

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Number)
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

struct Stream<'a, F> {
    written: &'a Written,
    each: &'a mut F,
    /// Why the reading was ended here.
    unread: &'a mut Option<Fault>,
}

impl<'de, F: FnMut(Node, Node)> Visitor<'de> for Stream<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of users")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let source = Source::Stream(self.written);
        while let Some((key, value)) = map.next_entry::<Spanned<Raw>, Spanned<Raw>>()? {
            self.written.pass(key.defined.span().offset());
            match node(key, source).and_then(|key| Ok((key, node(value, source)?))) {
                Ok((key, value)) => (self.each)(key, value),
                Err(fault) => {
                    *self.unread = Some(fault);
                    return Err(serde::de::Error::custom("ended"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::show;
    use super::*;

    #[test]
    fn scalars_are_typed_as_yaml_1_2_and_keep_their_text() {
        for (text, want) in [
            ("~", "null"),
            ("true", "bool true"),
            ("yes", "\"yes\""),
            ("off", "\"off\""),
            ("007", "\"007\""),
            ("1_000", "\"1_000\""),
            ("0x10", "number 0x10"),
            ("-5", "number -5"),
            ("1.50 # why", "number 1.50"),
            ("'5'", "\"5\""),
            ("a b # c", "\"a b\""),
            ("\"a\\tb\"", "\"a\\tb\""),
        ] {
            let node = parse(&format!("a: {text}\n")).unwrap();
            assert_eq!(show(&node), format!("1:1 {{1:1 \"a\" = 1:4 {want}}}"));
        }
    }

    #[test]
    fn a_bare_cr_ends_a_line() {
        let text = "a\rb\r\n\rc\nd";
        let lines: Vec<&str> = lines(text).collect();
        assert_eq!(lines, ["a\r", "b\r\n", "\r", "c\n", "d"]);
        let node = parse("a: b\rc: d\r\ne: f\n").unwrap();
        assert_eq!(
            show(&node),
            "1:1 {1:1 \"a\" = 1:4 \"b\", 2:1 \"c\" = 2:4 \"d\", 3:1 \"e\" = 3:4 \"f\"}"
        );
    }

    #[test]
    fn nodes_know_their_places() {
        let text = "é: 'ü'\nm:\n  k: [v, {x: 1}]\n  k: w\nn: &a {q: 1}\no: *a\n";
        let node = parse(text).unwrap();
        assert_eq!(
            show(&node),
            "1:1 {1:1 \"é\" = 1:4 \"ü\", 2:1 \"m\" = 3:3 {3:3 \"k\" = 3:6 [3:7 \"v\", \
             3:10 {3:11 \"x\" = 3:14 number 1}], 4:3 \"k\" = 4:6 \"w\"}, \
             5:1 \"n\" = 5:7 {5:8 \"q\" = 5:11 number 1}, \
             6:1 \"o\" = 6:4 {6:4 \"q\" = 6:4 number 1}}"
        );
        let mark = node.get("é").unwrap().mark;
        assert_eq!(&text[mark.start as usize..mark.end as usize], "'ü'");
    }

    #[test]
    fn faults_have_places_and_bombs_do_not_go_off() {
        let bomb = "a: &a [1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n\
                    c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\n\
                    e: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n";
        let deep = "[".repeat(40) + &"]".repeat(40);
        for (text, kind, at) in [
            ("a: [1", FaultKind::Syntax, (1, 4)),
            ("a:\n  @x: b\n", FaultKind::Syntax, (2, 3)),
            ("a:\n\tb: 1", FaultKind::Syntax, (2, 2)),
            ("a: !foo 1", FaultKind::Syntax, (1, 9)),
            ("--- 1\n--- 2\n", FaultKind::Budget, (2, 1)),
            (bomb, FaultKind::Budget, (6, 8)),
            (&deep, FaultKind::Budget, (1, 33)),
        ] {
            let fault = parse(text).unwrap_err();
            let mark = fault.mark.unwrap();
            assert_eq!((fault.kind, (mark.line, mark.column)), (kind, at), "{text}");
            assert!(!fault.message.contains(" line "), "{}", fault.message);
        }
    }

    #[test]
    fn maps_are_streamed() {
        let mut seen = Vec::new();
        let text = "a: b\n\"@c\": {backend: x}\n007: $x\na: again\n";
        stream_map(text.as_bytes(), |key, value| {
            seen.push(format!("{} = {}", show(&key), show(&value)));
        })
        .unwrap();
        assert_eq!(
            seen,
            [
                "1:1 \"a\" = 1:4 \"b\"",
                "2:1 \"@c\" = 2:7 {2:8 \"backend\" = 2:17 \"x\"}",
                "3:1 \"007\" = 3:6 \"$x\"",
                "4:1 \"a\" = 4:4 \"again\"",
            ]
        );
        assert!(stream_map(&b""[..], |_, _| {}).is_ok());
        assert!(stream_map(&b"[1]"[..], |_, _| {}).is_err());
    }
}
