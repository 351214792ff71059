//! What a host says besides rows: every response finds its place here (RFC 9051 §7). Texts for people
//! are for nobody; what is not known is passed over.

use super::ask::Loss;
use super::facts::{Can, Selected, Sticky};
use super::fetch;
use super::mailbox::{Mailbox, Sent, What};
use super::opening::Number;
use super::status::{Said, Status, split_word};
use super::uid_set::{UidSet, number, number64};

impl Mailbox {
    /// A whole response.
    pub(super) fn line(&mut self, line: &[u8]) {
        if self.open.is_some() {
            return self.line_of_body(line);
        }
        let Some(rest) = line.strip_prefix(b"*") else {
            return self.tagged(line);
        };
        self.bursts.moved();
        let rest = rest.trim_ascii_start();
        if rest.first().is_some_and(u8::is_ascii_digit) {
            return match fetch::row(line) {
                Some(row) => self.row(&row),
                None => self.counted(rest),
            };
        }
        let (word, tail) = split_word(rest);
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("OK") || is("NO") || is("BAD") {
            if let Some(said) = Said::read(rest) {
                self.untagged(&said);
            }
        } else if is("SEARCH") {
            let numbers = tail.split(|&b| b == b' ').filter_map(number);
            numbers.for_each(|uid| self.found.push(uid, uid));
        } else if is("ESEARCH") {
            if let Some(set) = esearch_all(tail) {
                self.found.read(set);
            }
        } else if is("CAPABILITY") {
            self.facts.can = Some(Can::of(tail.split(|&b| b == b' ')));
        } else if is("STATUS") {
            self.status(tail);
        } else if is("VANISHED") {
            self.vanished(tail);
        } else if is("LIST") {
            self.listed(tail);
        } else if is("BYE") {
            self.die(Loss::Closed);
        }
    }

    /// `* n EXISTS`, `* n EXPUNGE`.
    pub(super) fn counted(&mut self, text: &[u8]) {
        let (count, word) = split_word(text);
        let Some(count) = number64(count) else { return };
        let before = self.facts.exists;
        if word.trim_ascii().eq_ignore_ascii_case(b"EXISTS") {
            self.facts.exists = u32::try_from(count).unwrap_or(u32::MAX);
            if let Some(opening) = &mut self.opening {
                opening.builder.expect(self.facts.exists);
            }
        } else if word.trim_ascii().eq_ignore_ascii_case(b"EXPUNGE") {
            self.facts.exists = before.saturating_sub(1);
        }
        self.fell_from(before);
    }

    /// There were so many messages before: a list that is on its way may have one that went.
    fn fell_from(&mut self, before: u32) {
        if let Some(opening) = &mut self.opening
            && self.facts.exists < before
        {
            opening.number = Number::Fell;
        }
    }

    /// `* VANISHED (EARLIER) set`: gone since the mailbox was seen last; `* VANISHED set`: gone just
    /// now, in place of EXPUNGE (RFC 7162 §3.2.10).
    fn vanished(&mut self, text: &[u8]) {
        let earlier = text
            .get(..9)
            .filter(|word| word.eq_ignore_ascii_case(b"(EARLIER)"));
        let mut set = UidSet::new();
        set.read(match earlier {
            Some(word) => text.get(word.len()..).unwrap_or_default().trim_ascii(),
            None => text.trim_ascii(),
        });
        set.normalise();
        let before = self.facts.exists;
        if earlier.is_none() {
            let count = u32::try_from(set.count()).unwrap_or(u32::MAX);
            self.facts.exists = before.saturating_sub(count);
        }
        self.fell_from(before);
        if let Some(opening) = &mut self.opening {
            opening.vanished(&set);
        }
    }

    /// `* OK [CODE …]` and the like. Texts are for nobody here.
    pub(super) fn untagged(&mut self, said: &Said<'_>) {
        if said.has("UIDVALIDITY") {
            let told = number64(said.argument.trim_ascii());
            if self.opening.is_none() && self.facts.uid_validity != told {
                return self.die(Loss::Poisoned);
            }
            self.facts.uid_validity = told;
        } else if said.has("UIDNEXT") {
            self.facts.uid_next = number64(said.argument.trim_ascii());
        } else if said.has("HIGHESTMODSEQ") {
            self.facts.mod_seq = number64(said.argument.trim_ascii());
        } else if said.has("NOMODSEQ") {
            self.facts.mod_seq = None;
        } else if said.has("UIDNOTSTICKY") {
            self.facts.uid_sticky = Sticky::No;
        } else if said.has("PERMANENTFLAGS") {
            self.facts.permanent_deleted = Some(has_word(said.argument, b"\\Deleted"));
        } else if said.has("READ-ONLY") {
            self.facts.read_only = true;
        } else if said.has("CAPABILITY") {
            self.facts.can = Some(Can::of(said.argument.split(|&b| b == b' ')));
        } else if said.has("CLOSED") && self.opening.is_none() {
            self.die(Loss::Poisoned);
        }
    }

    /// The end of a command.
    pub(super) fn tagged(&mut self, line: &[u8]) {
        let (tag, rest) = split_word(line);
        let Some(at) = self.sent.iter().position(|sent| sent.tag == tag) else {
            // Nothing of ours: a continuation, or a line end too many. Behind a body it is the rest of one
            // that was announced too short.
            if self.is_behind_body() && !line.is_empty() {
                self.die(Loss::Protocol("a response behind a body"));
            }
            return;
        };
        let Some(said) = Said::read(rest) else {
            return self.die(Loss::Protocol("OK, NO or BAD behind a tag"));
        };
        let Some(Sent { what, number, .. }) = self.sent.remove(at) else {
            return;
        };
        self.answered(number);
        self.next_command();
        if said.has("CAPABILITY") {
            self.facts.can = Some(Can::of(said.argument.split(|&b| b == b' ')));
        }
        match what {
            What::Nothing => {}
            What::Select => self.selected(&said),
            What::Status | What::Enable | What::Rows | What::Search | What::Hidden => {
                self.opening_answer(&what, &said);
            }
            What::Capability => {
                // A host that cannot even tell what it can do can do nothing special.
                self.facts.can.get_or_insert_default();
                self.advance_update();
            }
            What::Fetch(fetching) => self.fetched(fetching, &said),
            What::Probe => self.probed(&said),
            What::Trash(listing) => self.trash_listed(listing, &said),
            What::Update(step) => self.update_answer(step, &said),
        }
    }

    pub(super) fn selected(&mut self, said: &Said<'_>) {
        if said.status != Status::Ok {
            if self.resync_refused() {
                return;
            }
            self.facts.selected = Selected::Refused;
            if self.opening.is_some() {
                return self.refuse(said.failure());
            }
            // A mailbox that could be asked about but not be opened: what waits for it gets nothing.
            return self.die(Loss::Closed);
        }
        self.facts.selected = Selected::Yes;
        if said.has("READ-ONLY") {
            self.facts.read_only = true;
        }
        if self.opening.is_some() {
            self.opening_answer(&What::Select, said);
        }
        self.tell_access();
    }
}

/// The value of ALL in an ESEARCH response (RFC 4731 §3.1): `(TAG "x") UID ALL 1:3,5`.
fn esearch_all(text: &[u8]) -> Option<&[u8]> {
    let mut words = text.split(|&b| b == b' ').filter(|word| !word.is_empty());
    words
        .find(|word| word.eq_ignore_ascii_case(b"ALL"))
        .and_then(|_| words.next())
}

fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|&b| matches!(b, b' ' | b'(' | b')'))
        .any(|item| item.eq_ignore_ascii_case(word))
}
