//! What proxy.yaml may hold: every key, its shape, and what it is for.
//!
//! One description: `check` walks the file along it. Here is what such a description is made of; the keys
//! themselves are in `keys`. What a single value means is in `value`, what several keys mean together
//! in the readers.

mod keys;

pub use keys::{ROOT, USER};

/// What may stand somewhere: each way YAML can say it, if allowed.
#[derive(Debug)]
pub struct Shape {
    /// For "expected …": `a URL, or a map with bind`.
    pub what: &'static str,
    /// As a single value.
    pub scalar: Option<Leaf>,
    /// As a list of these.
    pub list: Option<&'static Shape>,
    /// As a map.
    pub map: Option<Keys>,
}

/// The keys of a map.
#[derive(Debug)]
pub enum Keys {
    /// These.
    Known(&'static [Key]),
    /// Any, all with values of one shape.
    Free(&'static Shape),
    /// Any, of any shape.
    Any,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// As written.
    pub name: &'static str,
    /// What it holds.
    pub shape: &'static Shape,
    /// Whether it may be left out.
    pub need: Need,
    /// What it is for.
    pub about: &'static str,
}

/// Whether a key may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It must be there.
    Required,
    /// It may be left out.
    Optional,
}

/// A single value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// `true`, `false`
    Bool,
    /// A whole number from … to ….
    Count(u64, u64),
    /// One line of text.
    Line,
    /// Text nobody looks into: a secret.
    Secret,
    /// A name for logs, labels and paths.
    Name,
    /// `30s`; at least so many milliseconds.
    Duration(u64),
    /// `64KiB`; from … to … octets.
    Size(u64, u64),
    /// `100/10m`
    Rate,
    /// `10.0.0.0/8`
    Network,
    /// `127.0.0.1:9090`
    Address,
    /// A listener's URL.
    Listen,
    /// A host's URL.
    Host,
    /// A host's URL for one protocol.
    Endpoint(&'static str),
    /// `https://…`
    Http,
    /// `memory`, `file:`, `redis:`
    State,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `sha256/…`
    Pin,
    /// A uidl preset or template.
    Uidl,
    /// `example.org`
    Domain,
    /// A file that must be readable and hold this.
    File(Holds),
    /// The name of a backend of this file.
    Backend,
    /// A path that is written to.
    Path,
}

/// What a file must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Anything: it is looked at elsewhere.
    Anything,
    /// PEM certificates.
    Certificates,
    /// A PEM private key.
    Key,
    /// A secret on its first line.
    Secret,
    /// Lines `user:{SCHEME}hash`.
    Passwords,
}

const fn leaf(what: &'static str, leaf: Leaf) -> Shape {
    Shape {
        what,
        scalar: Some(leaf),
        list: None,
        map: None,
    }
}

const fn list(what: &'static str, of: &'static Shape) -> Shape {
    Shape {
        what,
        scalar: None,
        list: Some(of),
        map: None,
    }
}

const fn map(what: &'static str, keys: Keys) -> Shape {
    Shape {
        what,
        scalar: None,
        list: None,
        map: Some(keys),
    }
}

const fn must(name: &'static str, shape: &'static Shape, about: &'static str) -> Key {
    Key {
        name,
        shape,
        need: Need::Required,
        about,
    }
}

const fn may(name: &'static str, shape: &'static Shape, about: &'static str) -> Key {
    Key {
        name,
        shape,
        need: Need::Optional,
        about,
    }
}
