//! The tree of proxy.yaml: values that know their places.

/// Where a node stands. Lines and columns (in characters) count from 1, offsets are octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
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
pub(super) struct Node {
    /// Where it stands; for an alias, where the alias stands.
    pub mark: Mark,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
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
    /// A scalar whose `${NAME}` could not be put in; that was reported.
    Broken,
    /// A list.
    List(Vec<Node>),
    /// A map in file order, duplicates included.
    Map(Vec<(Node, Node)>),
}

/// A scalar with environment variables put in.
#[derive(Clone, Debug)]
pub(super) struct Filled {
    /// As it stands in the file: messages show this, as a variable may hold a secret.
    pub written: Box<str>,
    /// With the values put in.
    pub text: Box<str>,
}

impl Node {
    /// The text of a scalar as written or filled in; none for null, lists, maps.
    pub(super) fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Bool(true) => Some("true"),
            Kind::Bool(false) => Some("false"),
            Kind::Number(text) | Kind::Text(text) => Some(text),
            Kind::Filled(filled) => Some(&filled.text),
            Kind::Null | Kind::Broken | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// What to show of a scalar in a message: never the value of a variable.
    pub(super) fn shown(&self) -> &str {
        match &self.kind {
            Kind::Filled(filled) => &filled.written,
            _ => self.scalar().unwrap_or_default(),
        }
    }

    /// The value of a key of a map.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The key and value of a map's entry.
    pub(super) fn entry(&self, key: &str) -> Option<(&Node, &Node)> {
        match &self.kind {
            Kind::Map(entries) => entries
                .iter()
                .find(|(k, _)| k.scalar() == Some(key))
                .map(|(k, v)| (k, v)),
            _ => None,
        }
    }

    /// The elements of a list, or nothing.
    pub(super) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// The entries of a map, or nothing.
    pub(super) fn entries(&self) -> &[(Node, Node)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// What it is, for "expected … got …".
    pub(super) fn noun(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) | Kind::Filled(_) | Kind::Broken => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

/// A tree in one line, to be compared: `line:column value`.
pub(super) fn show(node: &Node) -> String {
    // Nothing stands nowhere: YAML puts an empty block where its next line is, if there is one.
    if matches!(&node.kind, Kind::Text(text) if text.is_empty()) {
        return "\"\"".into();
    }
    let at = format!("{}:{} ", node.mark.line, node.mark.column);
    at + &match &node.kind {
        Kind::Null => "null".into(),
        Kind::Broken => "broken".into(),
        Kind::Bool(yes) => format!("bool {yes}"),
        Kind::Number(text) => format!("number {text}"),
        Kind::Text(text) => format!("{text:?}"),
        Kind::Filled(filled) => format!("filled {:?}", filled.text),
        Kind::List(items) => {
            let items: Vec<_> = items.iter().map(show).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Map(entries) => {
            let entry = |(k, v): &(Node, Node)| format!("{} = {}", show(k), show(v));
            let entries: Vec<_> = entries.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}
