//! Users without a domain in the map, where `default_domain` gives one to every name that is looked up:
//! nobody is ever found there.

use crate::config::check::Report;
use crate::config::node::{Mark, Node};
use crate::config::problem::{Code, quoted};
use crate::config::raw::Raw;
use crate::config::value::Wrong;
use crate::route::rule::Key;

/// Those of one file: there may be a million of them, and one mistake.
pub(super) struct Bare<'a> {
    domain: Option<&'a str>,
    first: Option<(String, Mark)>,
    more: usize,
}

impl<'a> Bare<'a> {
    /// None yet. Without a `default_domain` names are looked up as they are, and all is well.
    pub(super) fn under(default_domain: Raw<'a>) -> Self {
        Bare {
            domain: default_domain.node().map(Node::shown),
            first: None,
            more: 0,
        }
    }

    /// Takes a key of the map.
    pub(super) fn note(&mut self, key: &Node) {
        if self.domain.is_none() {
            return;
        }
        let name = key.scalar().unwrap_or_default();
        if !matches!(Key::parse(name), Ok(Key::Exact(name)) if !name.contains('@')) {
            return;
        }
        match self.first {
            None => self.first = Some((key.shown().to_owned(), key.mark)),
            Some(_) => self.more += 1,
        }
    }

    /// Says it.
    pub(super) fn tell(self, report: &mut Report<'_>) {
        let (Some(domain), Some((name, mark))) = (self.domain, self.first) else {
            return;
        };
        let message = match self.more {
            0 => format!("no login is ever for {}", quoted(&name)),
            more => format!(
                "no login is ever for {} and {more} more without a domain",
                quoted(&name)
            ),
        };
        let full = quoted(&format!("{name}@{domain}"));
        let wrong = Wrong::new(Code::W007, format!("`default_domain` makes it {full}"))
            .help(format!("write {full}"));
        report.add(mark, Code::W007, message, wrong);
    }
}
