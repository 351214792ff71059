//! FETCH (RFC 3501 §6.4.5): the items a client may ask for, and their values.

use std::ops::Range;

use bytes::Bytes;

use super::date::DateTime;
use super::mail::{self, Content, Part};
use super::output::Output;
use super::parse::{Bad, Cursor, Parsed};
use super::structure::{self, Form};

/// Items of one FETCH. Clients ask for a dozen; more only multiplies what is sent.
const ITEMS: usize = 64;
/// Names in HEADER.FIELDS.
const NAMES: usize = 200;
/// Numbers in a section: deeper than any part.
const NUMBERS: usize = 40;

/// A data item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Flags,
    Uid,
    InternalDate,
    Size,
    Envelope,
    Structure(Form),
    Content(Section),
}

/// A piece of the message: `BODY[…]<…>` and the old `RFC822…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// What the answer calls it: `BODY[1.MIME]<0>`.
    name: String,
    numbers: Vec<u32>,
    text: Text,
    partial: Option<Range<usize>>,
    pub(super) seen: Seen,
}

/// Whether fetching a section sets \Seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Set,
    /// PEEK
    Kept,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    All,
    Header,
    Fields(Vec<String>),
    FieldsNot(Vec<String>),
    Body,
    Mime,
}

/// A message as FETCH sees it.
pub(super) struct Subject {
    pub(super) number: u32,
    pub(super) uid: u32,
    /// The inside of the FLAGS list.
    pub(super) flags: String,
    pub(super) date: DateTime,
    pub(super) raw: Bytes,
}

/// The items of a FETCH: a macro, one item, or a list.
pub(super) fn items(cursor: &mut Cursor<'_>) -> Parsed<Vec<Item>> {
    use Item::{Envelope, Flags, InternalDate, Size};
    if cursor.peek() == Some(b'(') {
        return cursor.list(ITEMS, item);
    }
    let fast = vec![Flags, InternalDate, Size];
    if cursor.word("FAST") {
        return Ok(fast);
    }
    if cursor.word("ALL") {
        return Ok([fast, vec![Envelope]].concat());
    }
    if cursor.word("FULL") {
        return Ok([fast, vec![Envelope, Item::Structure(Form::Body)]].concat());
    }
    Ok(vec![item(cursor)?])
}

/// Writes one FETCH response.
pub(super) fn write(subject: &Subject, items: &[Item], out: &mut Output) {
    let raw = &subject.raw;
    let mut parsed = None;
    out.bytes(format!("* {} FETCH (", subject.number).as_bytes());
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.bytes(b" ");
        }
        match item {
            Item::Flags => out.bytes(format!("FLAGS ({})", subject.flags).as_bytes()),
            Item::Uid => out.bytes(format!("UID {}", subject.uid).as_bytes()),
            Item::Size => out.bytes(format!("RFC822.SIZE {}", raw.len()).as_bytes()),
            Item::InternalDate => {
                let date = subject.date.internal();
                out.bytes(format!("INTERNALDATE \"{date}\"").as_bytes());
            }
            Item::Envelope => {
                out.bytes(b"ENVELOPE ");
                let header = raw.get(..mail::header_end(raw)).unwrap_or_default();
                structure::envelope(header, out);
            }
            Item::Structure(form) => {
                out.bytes(match form {
                    Form::Body => b"BODY ",
                    Form::BodyStructure => b"BODYSTRUCTURE ",
                });
                let part = parsed.get_or_insert_with(|| mail::parse(raw));
                structure::body(raw, part, *form, out);
            }
            Item::Content(section) => {
                out.bytes(section.name.as_bytes());
                out.bytes(b" ");
                match section.octets(raw, &mut parsed) {
                    Some(content) => out.literal(section.cut(content)),
                    None => out.bytes(b"NIL"),
                }
            }
        }
    }
    out.bytes(b")\r\n");
}

impl Section {
    fn octets(&self, raw: &Bytes, parsed: &mut Option<Part>) -> Option<Bytes> {
        let share = |range: &Range<usize>| {
            let sound = range.start <= range.end && range.end <= raw.len();
            sound.then(|| raw.slice(range.clone()))
        };
        // The whole message and its two halves need no look at the parts.
        let middle = mail::header_end(raw);
        let (header, body) = if self.numbers.is_empty() {
            match self.text {
                Text::All | Text::Mime => return Some(raw.clone()),
                _ => (0..middle, middle..raw.len()),
            }
        } else {
            let message = parsed.get_or_insert_with(|| mail::parse(raw));
            let part = structure::find(message, &self.numbers)?;
            match (&self.text, &part.content) {
                (Text::All, _) => return share(&part.body),
                (Text::Mime, _) => return share(&part.header),
                // HEADER and TEXT of a part are those of the message in it.
                (_, Content::Message(inner)) => (inner.header.clone(), inner.body.clone()),
                _ => return None,
            }
        };
        match &self.text {
            Text::All | Text::Mime | Text::Body => share(&body),
            Text::Header => share(&header),
            Text::Fields(names) => Some(chosen(raw.get(header)?, |name| listed(names, name))),
            Text::FieldsNot(names) => Some(chosen(raw.get(header)?, |name| !listed(names, name))),
        }
    }

    fn cut(&self, content: Bytes) -> Bytes {
        let Some(partial) = &self.partial else {
            return content;
        };
        let start = partial.start.min(content.len());
        content.slice(start..partial.end.min(content.len()))
    }
}

fn listed(names: &[String], name: &[u8]) -> bool {
    names
        .iter()
        .any(|listed| name.eq_ignore_ascii_case(listed.as_bytes()))
}

/// The fields that are wanted, and the empty line (RFC 3501 §6.4.5: always there).
fn chosen(header: &[u8], wanted: impl Fn(&[u8]) -> bool) -> Bytes {
    let fields = mail::fields(header).filter(|field| wanted(field.name));
    let mut text = fields.map(|field| field.raw).collect::<Vec<_>>().concat();
    text.extend_from_slice(b"\r\n");
    text.into()
}

fn item(cursor: &mut Cursor<'_>) -> Parsed<Item> {
    // Longer words first: BODY is the start of three others.
    for (word, item) in [
        ("FLAGS", Item::Flags),
        ("UID", Item::Uid),
        ("INTERNALDATE", Item::InternalDate),
        ("RFC822.SIZE", Item::Size),
        ("ENVELOPE", Item::Envelope),
        ("BODYSTRUCTURE", Item::Structure(Form::BodyStructure)),
    ] {
        if cursor.word(word) {
            return Ok(item);
        }
    }
    for (word, text, seen) in [
        ("RFC822.HEADER", Text::Header, Seen::Kept),
        ("RFC822.TEXT", Text::Body, Seen::Set),
        ("RFC822", Text::All, Seen::Set),
    ] {
        if cursor.word(word) {
            return Ok(Item::Content(Section {
                name: word.to_owned(),
                numbers: Vec::new(),
                text,
                partial: None,
                seen,
            }));
        }
    }
    if cursor.word("BODY.PEEK") {
        return section(cursor, Seen::Kept);
    }
    if cursor.word("BODY") {
        return match cursor.peek() {
            Some(b'[') => section(cursor, Seen::Set),
            _ => Ok(Item::Structure(Form::Body)),
        };
    }
    Err(Bad("expected a FETCH item"))
}

/// `section` and the partial behind it.
fn section(cursor: &mut Cursor<'_>, seen: Seen) -> Parsed<Item> {
    let form = Bad("expected a section such as [1.2] or [HEADER]");
    let mut name = "BODY[".to_owned();
    let mut numbers = Vec::new();
    if !cursor.eat(b'[') {
        return Err(form);
    }
    let mut more = cursor.peek() != Some(b']');
    while more && cursor.peek().is_some_and(|b| b.is_ascii_digit()) {
        if numbers.len() == NUMBERS {
            return Err(form);
        }
        let dot = if numbers.is_empty() { "" } else { "." };
        let number = cursor.positive()?;
        name.push_str(&format!("{dot}{number}"));
        numbers.push(number);
        more = cursor.eat(b'.');
    }
    let text = match more {
        true => {
            let (text, shown) = section_text(cursor)?;
            let dot = if numbers.is_empty() { "" } else { "." };
            name.push_str(&format!("{dot}{shown}"));
            text
        }
        false => Text::All,
    };
    // MIME is of a part, never of the message (RFC 3501 §9 `section-text`).
    if !cursor.eat(b']') || (text == Text::Mime && numbers.is_empty()) {
        return Err(form);
    }
    name.push(']');
    let partial = partial(cursor)?;
    if let Some(partial) = &partial {
        name.push_str(&format!("<{}>", partial.start));
    }
    Ok(Item::Content(Section {
        name,
        numbers,
        text,
        partial,
        seen,
    }))
}

fn section_text(cursor: &mut Cursor<'_>) -> Parsed<(Text, String)> {
    for (word, make) in [
        ("HEADER.FIELDS.NOT", Text::FieldsNot as fn(_) -> _),
        ("HEADER.FIELDS", Text::Fields),
    ] {
        // `word` ends at a dot, so the longer one must come first.
        if cursor.word(word) {
            cursor.space()?;
            let names = cursor.list(NAMES, field_name)?;
            let shown = format!("{word} ({})", names.join(" "));
            return Ok((make(names), shown));
        }
    }
    for (word, text) in [
        ("HEADER", Text::Header),
        ("TEXT", Text::Body),
        ("MIME", Text::Mime),
    ] {
        if cursor.word(word) {
            return Ok((text, word.to_owned()));
        }
    }
    Err(Bad("expected HEADER, HEADER.FIELDS, TEXT or MIME"))
}

/// A field name (RFC 5322 §3.6.8): it is shown again in the answer, as it came.
fn field_name(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let name = cursor.astring()?;
    let valid = |&b: &u8| b.is_ascii_graphic() && !b":(){%*\"\\]".contains(&b);
    match !name.is_empty() && name.iter().all(valid) {
        true => Ok(String::from_utf8_lossy(&name).into_owned()),
        false => Err(Bad("expected a header field's name")),
    }
}

/// `<0.1000>`
fn partial(cursor: &mut Cursor<'_>) -> Parsed<Option<Range<usize>>> {
    if !cursor.eat(b'<') {
        return Ok(None);
    }
    let form = Bad("expected a partial such as <0.1000>");
    let start = cursor.number()? as usize;
    let dot = cursor.eat(b'.');
    let length = cursor.positive()? as usize;
    if !dot || !cursor.eat(b'>') {
        return Err(form);
    }
    Ok(Some(start..start.saturating_add(length)))
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
