//! The checked tree as the readers see it: every value optional, every type asked for by name.
//!
//! A value that is not there, or that `check` has reported, reads as none: readers put the default in
//! its place and go on, so that one run finds everything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::node::{Kind, Mark, Node};
use super::value;
use crate::session::Rate;

/// A value of the file that may not be there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Raw<'a>(Option<&'a Node>);

impl<'a> From<&'a Node> for Raw<'a> {
    fn from(node: &'a Node) -> Self {
        Raw(Some(node))
    }
}

impl<'a> Raw<'a> {
    /// The value of a key.
    pub(super) fn get(self, key: &str) -> Raw<'a> {
        Raw(self.0.and_then(|node| node.get(key)))
    }

    /// The node, if it is there.
    pub(super) fn node(self) -> Option<&'a Node> {
        self.0
    }

    /// Where it stands; a place before the file for what is not there.
    pub(super) fn mark(self) -> Mark {
        self.0.map(|node| node.mark).unwrap_or_default()
    }

    /// Whether it is there at all.
    pub(super) fn is_there(self) -> bool {
        self.0.is_some()
    }

    /// Whether it is a map.
    pub(super) fn is_map(self) -> bool {
        matches!(
            self.0,
            Some(Node {
                kind: Kind::Map(_),
                ..
            })
        )
    }

    /// The elements of a list.
    pub(super) fn items(self) -> impl Iterator<Item = Raw<'a>> {
        self.0.map_or(&[][..], Node::items).iter().map(Raw::from)
    }

    /// The keys and values of a map; keys that are no scalars are left out.
    pub(super) fn entries(self) -> impl Iterator<Item = (&'a str, Mark, Raw<'a>)> {
        let entries = self.0.map_or(&[][..], Node::entries).iter();
        entries.filter_map(|(key, value)| Some((key.scalar()?, key.mark, Raw::from(value))))
    }

    /// Any scalar's text.
    pub(super) fn text(self) -> Option<&'a str> {
        self.0.and_then(Node::scalar)
    }

    /// `true` or `false`.
    pub(super) fn bool(self) -> Option<bool> {
        match self.text() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        }
    }

    /// A duration.
    pub(super) fn duration(self) -> Option<Duration> {
        self.text().and_then(|text| value::duration(text).ok())
    }

    /// A size in octets.
    pub(super) fn size(self) -> Option<u64> {
        self.text().and_then(|text| value::size(text).ok())
    }

    /// A rate.
    pub(super) fn rate(self) -> Option<Rate> {
        self.text().and_then(|text| value::rate(text).ok())
    }

    /// A whole number that fits.
    pub(super) fn count<N: TryFrom<u64>>(self) -> Option<N> {
        let count = value::count(self.text()?, 0, u64::MAX).ok()?;
        N::try_from(count).ok()
    }

    /// A list of networks.
    pub(super) fn networks(self) -> Vec<IpNet> {
        self.items()
            .filter_map(|item| item.text().and_then(|text| value::network(text).ok()))
            .collect()
    }

    /// A path; a relative one starts at the directory of proxy.yaml.
    pub(super) fn path(self, base: &Path) -> Option<PathBuf> {
        self.text().map(|text| base.join(text))
    }
}
