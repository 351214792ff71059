//! Where the entries of the users map lead, each place kept once: names of backends and hosts as numbers,
//! login templates and refusals one behind the other. A million users may each have a login of their own.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::config::Destination;
use super::index::Index;
use super::rule::Template;

/// What a [`Destination`] says, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead<'m> {
    /// To a backend.
    Backend {
        /// Its name.
        backend: &'m str,
        /// Another login name: the text of a template.
        login: Option<&'m str>,
        /// A fixed host of the backend.
        host: Option<&'m str>,
    },
    /// Nowhere: this text is told.
    Reject(&'m str),
}

impl Destination {
    /// The same, borrowed.
    pub fn lead(&self) -> Lead<'_> {
        match self {
            Destination::Backend {
                backend,
                login,
                host,
            } => Lead::Backend {
                backend,
                login: login.as_ref().map(Template::as_str),
                host: host.as_deref(),
            },
            Destination::Reject(text) => Lead::Reject(text),
        }
    }
}

impl Lead<'_> {
    /// The same as a value of its own.
    pub(super) fn destination(self) -> Destination {
        match self {
            Lead::Backend {
                backend,
                login,
                host,
            } => Destination::Backend {
                backend: backend.to_owned(),
                login: login.map(Template::kept),
                host: host.map(str::to_owned),
            },
            Lead::Reject(text) => Destination::Reject(text.to_owned()),
        }
    }
}

/// Leads by number.
#[derive(Clone, Default)]
pub(super) struct Leads {
    names: Vec<Box<str>>,
    texts: String,
    kept: Vec<Kept>,
    /// Finds what is there already, while leads are added.
    by_name: Index,
    by_lead: Index,
}

/// A lead: numbers of names, and where its text lies. A refusal has no backend, a lead without a text no
/// login: a template is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    backend: u32,
    host: u32,
    text: u32,
    len: u32,
}

/// No name.
const NONE: u32 = u32::MAX;

impl Leads {
    /// The number of a lead, a new one where it is not there. None: there is no room.
    pub(super) fn number(&mut self, lead: Lead<'_>) -> Option<u32> {
        // Neighbours mostly lead to the same place.
        let last = u32::try_from(self.kept.len()).ok()?;
        if let Some(before) = last.checked_sub(1)
            && self.get(before) == Some(lead)
        {
            return Some(before);
        }
        let (backend, host, text) = match lead {
            Lead::Backend {
                backend,
                login,
                host,
            } => {
                let host = host.map_or(Some(NONE), |name| self.name(name));
                (self.name(backend)?, host?, login.unwrap_or_default())
            }
            Lead::Reject(text) => (NONE, NONE, text),
        };
        let hash = hash_of(backend, host, text);
        let same = |number| self.get(number) == Some(lead);
        if let Some(number) = self.by_lead.find(hash, same) {
            return Some(number);
        }
        if last == NONE {
            return None;
        }
        let kept = Kept {
            backend,
            host,
            text: u32::try_from(self.texts.len()).ok()?,
            len: u32::try_from(text.len()).ok()?,
        };
        self.texts.push_str(text);
        self.kept.push(kept);
        self.by_lead.add(last, hash);
        let (kept, texts) = (&self.kept, &self.texts);
        self.by_lead.grow(|number| {
            let of = kept.get(number as usize);
            of.map_or(0, |of| hash_of(of.backend, of.host, of.text(texts)))
        });
        Some(last)
    }

    /// The lead of this number.
    pub(super) fn get(&self, number: u32) -> Option<Lead<'_>> {
        let kept = self.kept.get(number as usize)?;
        let text = kept.text(&self.texts);
        let name = |number: u32| self.names.get(number as usize).map(|name| &**name);
        Some(match kept.backend {
            NONE => Lead::Reject(text),
            backend => Lead::Backend {
                backend: name(backend)?,
                login: Some(text).filter(|text| !text.is_empty()),
                host: name(kept.host),
            },
        })
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Lead<'_>> {
        (0..).map_while(|number| self.get(number))
    }

    /// Whether both have the same leads by the same numbers.
    pub(super) fn are(&self, other: &Leads) -> bool {
        self.names == other.names && self.texts == other.texts && self.kept == other.kept
    }

    /// Lets go of what only [`number`](Leads::number) needs.
    pub(super) fn shrink(&mut self) {
        self.by_name = Index::default();
        self.by_lead = Index::default();
        self.texts.shrink_to_fit();
        self.kept.shrink_to_fit();
    }

    /// How many octets it takes; names, of which there are few, come besides.
    pub(super) fn octets(&self) -> usize {
        let indexes = self.by_name.octets() + self.by_lead.octets();
        self.texts.capacity() + self.kept.capacity() * size_of::<Kept>() + indexes
    }

    fn name(&mut self, name: &str) -> Option<u32> {
        let hash = |name: &str| xxh3_64_with_seed(name.as_bytes(), 0);
        let same = |number: u32| {
            self.names
                .get(number as usize)
                .is_some_and(|it| **it == *name)
        };
        if let Some(number) = self.by_name.find(hash(name), same) {
            return Some(number);
        }
        let number = u32::try_from(self.names.len())
            .ok()
            .filter(|it| *it != NONE)?;
        self.names.push(name.into());
        self.by_name.add(number, hash(name));
        let names = &self.names;
        self.by_name
            .grow(|number| names.get(number as usize).map_or(0, |name| hash(name)));
        Some(number)
    }
}

impl Kept {
    fn text(self, texts: &str) -> &str {
        let start = self.text as usize;
        let end = start.saturating_add(self.len as usize);
        texts.get(start..end).unwrap_or_default()
    }
}

fn hash_of(backend: u32, host: u32, text: &str) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), u64::from(backend) << 32 | u64::from(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_kept_once_and_comes_back_as_it_was() {
        let to = |backend: &str, login: Option<&str>, host: Option<&str>| Destination::Backend {
            backend: backend.into(),
            login: login.map(|text| Template::new(text, &[]).unwrap()),
            host: host.map(Into::into),
        };
        let mut all = vec![
            to("a", None, None),
            to("a", None, Some("a")),
            to("a", Some("a"), None),
            to("b", Some("a"), Some("a")),
            Destination::Reject(String::new()),
            Destination::Reject("a".into()),
        ];
        all.extend((0..1000).map(|n| to("b", Some(&format!("{n}@{{domain}}")), None)));
        let mut leads = Leads::default();
        for round in 0..2 {
            for (number, to) in (0..).zip(&all) {
                assert_eq!(leads.number(to.lead()), Some(number), "round {round}");
            }
            assert_eq!(leads.len(), all.len());
        }
        leads.shrink();
        for (number, to) in (0..).zip(&all) {
            assert_eq!(&leads.get(number).unwrap().destination(), to);
        }
        assert_eq!(leads.iter().count(), all.len());
        assert_eq!(leads.get(u32::MAX), None);
    }
}
