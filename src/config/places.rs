//! Where in proxy.yaml those things stand that may fail only when they are put to use: a port that is
//! taken, a log that cannot be opened. What is refused then is told with its line, too.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::check::Report;
use super::node::Mark;
use super::problem::{Code, Problem};
use super::raw::Raw;

/// Places in proxy.yaml, by what stands there: `listener NAME`, `backend NAME`, `admin`, or a key of
/// the top level.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<String, Spot>);

#[derive(Clone, Debug)]
struct Spot {
    line: u32,
    column: u32,
    /// The line itself, secrets masked.
    source: String,
    marked: Range<usize>,
}

/// Keys of the top level that are put to use as a whole.
const TOP: [&str; 3] = ["tls", "state", "authenticate"];

impl Places {
    /// Of a checked tree; `listeners` are their names and where each stands.
    pub(super) fn of<'a>(
        root: Raw<'_>,
        listeners: impl Iterator<Item = (&'a str, Mark)>,
        report: &Report<'_>,
    ) -> Self {
        let mut places = BTreeMap::new();
        let mut note = |what: String, mark: Mark| {
            if mark.line > 0 {
                let (source, marked) = report.line(mark);
                let spot = Spot {
                    line: mark.line,
                    column: mark.column,
                    source,
                    marked,
                };
                places.insert(what, spot);
            }
        };
        for (name, mark) in listeners {
            note(format!("listener {name}"), mark);
        }
        for (name, mark, _) in root.get("backends").entries() {
            note(format!("backend {name}"), mark);
        }
        note("admin".into(), root.get("admin").get("bind").mark());
        let log = root.get("log");
        let output = log.get("output");
        let log = if output.is_there() { output } else { log };
        note("log".into(), log.mark());
        for key in TOP {
            note(key.into(), root.get(key).mark());
        }
        Places(places)
    }

    /// The line of such a place; 0 where there is none.
    pub fn line(&self, place: &str) -> u32 {
        self.0.get(place).map_or(0, |spot| spot.line)
    }

    /// A problem at one of these places; of the whole file where there is no such place.
    pub fn problem(&self, file: &Path, place: &str, code: Code, message: String) -> Problem {
        let whole = Problem::of_file(file, code, message);
        match self.0.get(place) {
            None => whole,
            Some(spot) => Problem {
                file: Arc::from(file),
                line: spot.line,
                column: spot.column,
                source: spot.source.clone(),
                marked: spot.marked.clone(),
                ..whole
            },
        }
    }
}
