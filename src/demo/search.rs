//! SEARCH (RFC 3501 §6.4.4): its keys, whether a message matches, and the answer, also in the form
//! of ESEARCH (RFC 4731).

use std::cell::OnceCell;

use super::account::{Account, Message};
use super::date;
use super::mail::{self, Part};
use super::output::Output;
use super::parse::{self, Bad, Cursor, Parsed};
use super::readable;
use super::set::{self, Ranges, Set};
use super::view::{By, Named};

/// Keys of one SEARCH: each may read every message.
const KEYS: usize = 64;
/// Parentheses, NOT and OR within each other.
const DEPTH: usize = 16;

/// What is asked: `Set` as the client wrote it, or `Ranges` as it is meant in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key<S> {
    Numbers(By, S),
    Not(Box<Key<S>>),
    Or(Box<Key<S>>, Box<Key<S>>),
    And(Vec<Key<S>>),
    Test(Test),
}

/// A key that needs nothing but the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    All,
    Recent,
    /// All these flags are set.
    Set(u64),
    Keyword(String),
    /// A field of that name has the text; any such field if the text is empty.
    Header(String, String),
    Body(String),
    /// Header or body.
    Text(String),
    /// INTERNALDATE's day, or the Date field's.
    Day(Day, When, i64),
    Larger(usize),
    Smaller(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Day {
    Internal,
    Sent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Before,
    On,
    Since,
}

/// What the answer is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// `* SEARCH`
    Plain,
    /// `* ESEARCH` with these results.
    Extended(Vec<Wanted>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    Count,
    Min,
    Max,
}

/// A whole SEARCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Search {
    pub(super) answer: Answer,
    /// A charset that is not known here.
    pub(super) unknown_charset: bool,
    pub(super) key: Key<Set>,
}

/// Reads everything behind `SEARCH`.
pub(super) fn search(cursor: &mut Cursor<'_>) -> Parsed<Search> {
    let mut answer = Answer::Plain;
    if cursor.word("RETURN") {
        cursor.space()?;
        let wanted = cursor.list(4, |cursor| match cursor.atom()?.as_str() {
            "ALL" => Ok(Wanted::All),
            "COUNT" => Ok(Wanted::Count),
            "MIN" => Ok(Wanted::Min),
            "MAX" => Ok(Wanted::Max),
            _ => Err(Bad("expected ALL, COUNT, MIN or MAX")),
        })?;
        // RFC 4731 §3.1: an empty list means ALL.
        answer = Answer::Extended(match wanted.is_empty() {
            true => vec![Wanted::All],
            false => wanted,
        });
        cursor.space()?;
    }
    let mut unknown_charset = false;
    if cursor.word("CHARSET") {
        cursor.space()?;
        let charset = cursor.astring()?.to_ascii_uppercase();
        unknown_charset = !matches!(charset.as_slice(), b"US-ASCII" | b"UTF-8");
        cursor.space()?;
    }
    let mut left = KEYS;
    let mut all = vec![key(cursor, DEPTH, &mut left)?];
    while !cursor.at_end() {
        cursor.space()?;
        all.push(key(cursor, DEPTH, &mut left)?);
    }
    Ok(Search {
        answer,
        unknown_charset,
        key: Key::And(all),
    })
}

impl Key<Set> {
    /// What the key means in a mailbox.
    pub(super) fn resolve(self, numbers: &impl Fn(By, &Set) -> Ranges) -> Key<Ranges> {
        let boxed = |key: Box<Key<Set>>| Box::new(key.resolve(numbers));
        match self {
            Key::Numbers(by, set) => Key::Numbers(by, numbers(by, &set)),
            Key::Not(key) => Key::Not(boxed(key)),
            Key::Or(one, other) => Key::Or(boxed(one), boxed(other)),
            Key::And(keys) => Key::And(keys.into_iter().map(|key| key.resolve(numbers)).collect()),
            Key::Test(test) => Key::Test(test),
        }
    }
}

/// A message under examination; what several keys need is made once.
pub(super) struct Subject<'a> {
    pub(super) named: Named,
    pub(super) recent: bool,
    pub(super) flags: u64,
    pub(super) message: &'a Message,
    pub(super) account: &'a Account,
    header: OnceCell<String>,
    body: OnceCell<String>,
    parsed: OnceCell<Part>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(
        account: &'a Account,
        message: &'a Message,
        named: Named,
        recent: bool,
    ) -> Self {
        Subject {
            named,
            recent,
            flags: message.flags,
            message,
            account,
            header: OnceCell::new(),
            body: OnceCell::new(),
            parsed: OnceCell::new(),
        }
    }

    /// Whether the message is one that is asked for.
    pub(super) fn matches(&self, key: &Key<Ranges>) -> bool {
        match key {
            Key::Numbers(By::Number, ranges) => ranges.contains(self.named.number),
            Key::Numbers(By::Uid, ranges) => ranges.contains(self.named.uid),
            Key::Not(key) => !self.matches(key),
            Key::Or(one, other) => self.matches(one) || self.matches(other),
            Key::And(keys) => keys.iter().all(|key| self.matches(key)),
            Key::Test(test) => self.passes(test),
        }
    }

    fn passes(&self, test: &Test) -> bool {
        match test {
            Test::All => true,
            Test::Recent => self.recent,
            Test::Set(flags) => self.flags & flags == *flags,
            Test::Keyword(name) => {
                let bit = self.account.keyword(name);
                bit.is_some_and(|bit| self.flags & bit != 0)
            }
            Test::Header(name, text) => mail::fields(self.fields())
                .filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))
                .any(|field| readable::header(&mail::unfold(field.value)).contains(text)),
            Test::Body(text) => self.body().contains(text),
            Test::Text(text) => self.header().contains(text) || self.body().contains(text),
            Test::Day(Day::Internal, when, day) => when.fits(self.message.date.day(), *day),
            Test::Day(Day::Sent, when, day) => {
                let sent = mail::field(self.fields(), "Date");
                let sent = sent.and_then(|sent| date::header_day(&sent));
                sent.is_some_and(|sent| when.fits(sent, *day))
            }
            Test::Larger(size) => self.message.raw.len() > *size,
            Test::Smaller(size) => self.message.raw.len() < *size,
        }
    }

    fn parsed(&self) -> &Part {
        self.parsed.get_or_init(|| mail::parse(&self.message.raw))
    }

    fn fields(&self) -> &[u8] {
        let raw = &self.message.raw;
        raw.get(..mail::header_end(raw)).unwrap_or_default()
    }

    fn header(&self) -> &str {
        self.header.get_or_init(|| {
            let fields = mail::fields(self.fields()).map(|field| readable::header(field.raw));
            fields.collect::<Vec<_>>().join("\n")
        })
    }

    fn body(&self) -> &str {
        let read = || readable::body(&self.message.raw, self.parsed());
        self.body.get_or_init(read)
    }
}

impl When {
    fn fits(self, day: i64, asked: i64) -> bool {
        match self {
            When::Before => day < asked,
            When::On => day == asked,
            When::Since => day >= asked,
        }
    }
}

/// Writes the answer; `found` ascends.
pub(super) fn write(answer: &Answer, tag: &str, by: By, found: &[u32], out: &mut Output) {
    let Answer::Extended(wanted) = answer else {
        out.bytes(b"* SEARCH");
        for number in found {
            out.bytes(format!(" {number}").as_bytes());
        }
        return out.bytes(b"\r\n");
    };
    // A tag may hold what is quoted with care; those that are accepted do not.
    out.bytes(format!("* ESEARCH (TAG \"{tag}\")").as_bytes());
    if by == By::Uid {
        out.bytes(b" UID");
    }
    for wanted in wanted {
        let (name, value) = match wanted {
            Wanted::Count => ("COUNT", Some(found.len().to_string())),
            Wanted::Min => ("MIN", found.first().map(u32::to_string)),
            Wanted::Max => ("MAX", found.last().map(u32::to_string)),
            Wanted::All => (
                "ALL",
                Some(set::compact(found)).filter(|set| !set.is_empty()),
            ),
        };
        if let Some(value) = value {
            out.bytes(format!(" {name} {value}").as_bytes());
        }
    }
    out.bytes(b"\r\n");
}

fn key(cursor: &mut Cursor<'_>, depth: usize, left: &mut usize) -> Parsed<Key<Set>> {
    let (Some(depth), Some(fewer)) = (depth.checked_sub(1), left.checked_sub(1)) else {
        return Err(Bad("expected a simpler search"));
    };
    *left = fewer;
    match cursor.peek() {
        Some(b'(') => {
            let keys = cursor.list(KEYS, |cursor| key(cursor, depth, left))?;
            return match keys.is_empty() {
                true => Err(Bad("expected a search key")),
                false => Ok(Key::And(keys)),
            };
        }
        Some(b'*' | b'0'..=b'9') => return Ok(Key::Numbers(By::Number, cursor.set()?)),
        _ => {}
    }
    let word = cursor.atom()?;
    Ok(match word.as_str() {
        "UID" => {
            cursor.space()?;
            Key::Numbers(By::Uid, cursor.set()?)
        }
        "NOT" => {
            cursor.space()?;
            Key::Not(Box::new(key(cursor, depth, left)?))
        }
        "OR" => {
            cursor.space()?;
            let one = key(cursor, depth, left)?;
            cursor.space()?;
            Key::Or(Box::new(one), Box::new(key(cursor, depth, left)?))
        }
        "NEW" => Key::And(vec![Key::Test(Test::Recent), not(Test::Set(parse::SEEN))]),
        "OLD" => not(Test::Recent),
        "UNANSWERED" => not(Test::Set(parse::ANSWERED)),
        "UNDELETED" => not(Test::Set(parse::DELETED)),
        "UNDRAFT" => not(Test::Set(parse::DRAFT)),
        "UNFLAGGED" => not(Test::Set(parse::FLAGGED)),
        "UNSEEN" => not(Test::Set(parse::SEEN)),
        "UNKEYWORD" => not(Test::Keyword(argument(cursor)?)),
        _ => Key::Test(test(&word, cursor)?),
    })
}

fn test(word: &str, cursor: &mut Cursor<'_>) -> Parsed<Test> {
    let day = |cursor: &mut Cursor<'_>, day, when| {
        cursor.space()?;
        Ok(Test::Day(day, when, cursor.date()?))
    };
    match word {
        "ALL" => Ok(Test::All),
        "RECENT" => Ok(Test::Recent),
        "ANSWERED" => Ok(Test::Set(parse::ANSWERED)),
        "DELETED" => Ok(Test::Set(parse::DELETED)),
        "DRAFT" => Ok(Test::Set(parse::DRAFT)),
        "FLAGGED" => Ok(Test::Set(parse::FLAGGED)),
        "SEEN" => Ok(Test::Set(parse::SEEN)),
        "KEYWORD" => Ok(Test::Keyword(argument(cursor)?)),
        "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => {
            Ok(Test::Header(word.to_owned(), argument(cursor)?))
        }
        "HEADER" => Ok(Test::Header(argument(cursor)?, argument(cursor)?)),
        "BODY" => Ok(Test::Body(argument(cursor)?)),
        "TEXT" => Ok(Test::Text(argument(cursor)?)),
        "BEFORE" => day(cursor, Day::Internal, When::Before),
        "ON" => day(cursor, Day::Internal, When::On),
        "SINCE" => day(cursor, Day::Internal, When::Since),
        "SENTBEFORE" => day(cursor, Day::Sent, When::Before),
        "SENTON" => day(cursor, Day::Sent, When::On),
        "SENTSINCE" => day(cursor, Day::Sent, When::Since),
        "LARGER" => Ok(Test::Larger(size(cursor)?)),
        "SMALLER" => Ok(Test::Smaller(size(cursor)?)),
        _ => Err(Bad("expected a search key")),
    }
}

fn not(test: Test) -> Key<Set> {
    Key::Not(Box::new(Key::Test(test)))
}

/// A text to look for, in lower case as everything it is compared with.
fn argument(cursor: &mut Cursor<'_>) -> Parsed<String> {
    cursor.space()?;
    let text = cursor.astring()?;
    Ok(String::from_utf8_lossy(&text).to_lowercase())
}

fn size(cursor: &mut Cursor<'_>) -> Parsed<usize> {
    cursor.space()?;
    Ok(cursor.number()? as usize)
}
