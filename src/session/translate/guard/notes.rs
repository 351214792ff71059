//! What is noted of marks that were taken away, as it is written.

use crate::protocol::imap::uid_set::UidSet;
use crate::session::maildrop_cache::{Home, Key};

/// What is kept of a maildrop is called so.
pub(super) fn note(maildrop: &Key) -> String {
    let Key {
        backend,
        user,
        mailbox,
    } = maildrop;
    format!("pop3-delete/{backend}/{user}/{mailbox}")
}

/// Marks that were taken away on one host.
#[derive(Clone)]
pub(super) struct Note {
    pub(super) home: String,
    pub(super) uid_validity: u64,
    pub(super) marks: UidSet,
}

/// What a line begins with: a gateway of before that reads it finds no note of its own, and takes no marks
/// away.
const OF: &str = "of\t";

/// A host in a note: without tabs and line ends, whatever its name is.
pub(super) fn named(home: &Home) -> String {
    let Home { host, address } = home;
    format!("{}\t{}", host.escape_debug(), address.escape_debug())
}

/// A line for each host that marks are to be put back on.
pub(super) fn written(notes: &[Note]) -> String {
    let line = |note: &Note| {
        let ranges = note.marks.ranges().iter();
        let ranges = ranges.map(|(first, last)| format!("{first}:{last}"));
        let ranges = ranges.collect::<Vec<_>>().join(" ");
        format!("{OF}{}\t{}\t{ranges}", note.home, note.uid_validity)
    };
    notes.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The same back. A note of before hosts were noted is dropped, even where there is only one: nobody knows
/// whether that was the host then. A mark that stays away is one for its owner to set again; one that comes
/// on another's message has it removed.
pub(super) fn read(text: &str) -> Option<Vec<Note>> {
    let mut notes = Vec::new();
    for line in text.split('\n') {
        let Some(line) = line.strip_prefix(OF) else {
            let (uid_validity, _) = line.split_once(' ')?;
            uid_validity.parse::<u64>().ok()?;
            continue;
        };
        let (line, ranges) = line.rsplit_once('\t')?;
        let (home, uid_validity) = line.rsplit_once('\t')?;
        let mut marks = UidSet::new();
        ranges
            .split(' ')
            .for_each(|range| marks.read(range.as_bytes()));
        marks.normalise();
        notes.push(Note {
            home: home.to_owned(),
            uid_validity: uid_validity.parse().ok()?,
            marks,
        });
    }
    Some(notes)
}
