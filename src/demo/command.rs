//! The commands (RFC 3501 §6 and the extensions in `mod`'s list), from a cut command to a value
//! that cannot be wrong. Passwords are in here: nothing of this is ever printed.

use bytes::Bytes;

use super::date::DateTime;
use super::fetch::{self, Item};
use super::input::Piece;
use super::parse::{Bad, Cursor, FlagName, Parsed, is_atom};
use super::search::{self, Search};
use super::set::Set;
use super::view::{Access, By};

/// Longest tag, as everywhere in Gatepost.
const TAG: usize = 64;
/// Patterns, options and items of a LIST or STATUS.
const LISTED: usize = 10;

/// A command without its tag.
pub(super) enum Command {
    Capability,
    Noop,
    Check,
    Logout,
    Id,
    Login {
        user: Bytes,
        password: Bytes,
    },
    Authenticate {
        mechanism: String,
        initial: Option<Vec<u8>>,
    },
    Namespace,
    Enable,
    List(List),
    Lsub {
        reference: String,
        pattern: String,
    },
    Create(String),
    Delete(String),
    Rename {
        from: String,
        to: String,
    },
    Subscribe(String),
    Unsubscribe(String),
    Select(String, Access),
    Status(String, Vec<StatusItem>),
    Append(Append),
    Idle,
    Close,
    Unselect,
    Expunge(Option<Set>),
    Search(By, Search),
    Fetch {
        by: By,
        set: Set,
        items: Vec<Item>,
    },
    Store {
        by: By,
        set: Set,
        change: Change,
        told: Told,
        flags: Vec<FlagName>,
    },
    Copy {
        by: By,
        set: Set,
        to: String,
        kind: Transfer,
    },
}

/// LIST (RFC 3501 §6.3.8), with what RFC 6154 and RFC 5258 add.
pub(super) struct List {
    pub(super) reference: String,
    pub(super) patterns: Vec<String>,
    /// Only mailboxes with a special use.
    pub(super) special: bool,
    /// Only subscribed mailboxes.
    pub(super) subscribed: bool,
}

/// APPEND (RFC 3501 §6.3.11).
pub(super) struct Append {
    pub(super) mailbox: String,
    pub(super) flags: Vec<FlagName>,
    pub(super) date: Option<DateTime>,
    pub(super) message: Bytes,
}

/// What STORE does with the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Replace,
    Add,
    Remove,
}

/// Whether STORE answers with the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Flags,
    Silent,
}

/// COPY, or MOVE (RFC 6851).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    Copy,
    Move,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    /// RFC 8438
    Size,
}

/// The state a command is for (RFC 3501 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    NoLogin,
    Login,
    Mailbox,
}

impl Command {
    /// The state this command is for.
    pub(super) fn needs(&self) -> Needs {
        match self {
            Command::Capability | Command::Noop | Command::Logout | Command::Id => Needs::Nothing,
            Command::Login { .. } | Command::Authenticate { .. } => Needs::NoLogin,
            Command::Namespace
            | Command::Enable
            | Command::List(_)
            | Command::Lsub { .. }
            | Command::Create(_)
            | Command::Delete(_)
            | Command::Rename { .. }
            | Command::Subscribe(_)
            | Command::Unsubscribe(_)
            | Command::Select(..)
            | Command::Status(..)
            | Command::Append(_)
            | Command::Idle => Needs::Login,
            Command::Check
            | Command::Close
            | Command::Unselect
            | Command::Expunge(_)
            | Command::Search(..)
            | Command::Fetch { .. }
            | Command::Store { .. }
            | Command::Copy { .. } => Needs::Mailbox,
        }
    }
}

/// The tag and what stands behind it. `None`: no tag that could be repeated.
pub(super) fn parse(pieces: &[Piece]) -> Option<(String, Parsed<Command>)> {
    let mut cursor = Cursor::new(pieces);
    let tag = tag(&mut cursor)?;
    Some((tag, command(&mut cursor)))
}

/// The tag of a command of which only the start is there.
pub(super) fn tag(cursor: &mut Cursor<'_>) -> Option<String> {
    let tag = cursor.take(|b| (is_atom(b) || b == b']') && b != b'+');
    let valid = !tag.is_empty() && tag.len() <= TAG && matches!(cursor.peek(), Some(b' ') | None);
    valid.then(|| String::from_utf8_lossy(tag).into_owned())
}

/// Whether the literal that is announced next is the message of an APPEND.
pub(super) fn awaits_message(pieces: &[Piece]) -> bool {
    let mut cursor = Cursor::new(pieces);
    let Some(_) = tag(&mut cursor) else {
        return false;
    };
    cursor.eat(b' ')
        && cursor.word("APPEND")
        && append_start(&mut cursor).is_ok()
        && cursor.at_end()
}

fn command(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let verb = cursor.atom()?;
    let by = match verb == "UID" {
        true => By::Uid,
        false => By::Number,
    };
    let verb = match by {
        By::Uid => {
            cursor.space()?;
            let verb = cursor.atom()?;
            match verb.as_str() {
                "EXPUNGE" | "SEARCH" | "FETCH" | "STORE" | "COPY" | "MOVE" => verb,
                _ => return Err(Bad("expected a command that goes by UID")),
            }
        }
        By::Number => verb,
    };
    let command = arguments(&verb, by, cursor)?;
    cursor.end()?;
    Ok(command)
}

fn arguments(verb: &str, by: By, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    Ok(match verb {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "CHECK" => Command::Check,
        "LOGOUT" => Command::Logout,
        "NAMESPACE" => Command::Namespace,
        "IDLE" => Command::Idle,
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        "ID" => {
            // What the client says of itself is of no interest here.
            cursor.space()?;
            if !cursor.word("NIL") {
                cursor.list(60, |cursor| match cursor.word("NIL") {
                    true => Ok(()),
                    false => cursor.string().map(drop),
                })?;
            }
            Command::Id
        }
        "LOGIN" => Command::Login {
            user: spaced(cursor, Cursor::astring)?,
            password: spaced(cursor, Cursor::astring)?,
        },
        "AUTHENTICATE" => Command::Authenticate {
            mechanism: spaced(cursor, Cursor::atom)?,
            initial: cursor
                .eat(b' ')
                .then(|| cursor.take(|b| b != b' ').to_vec()),
        },
        "ENABLE" => {
            while cursor.eat(b' ') {
                cursor.atom()?;
            }
            Command::Enable
        }
        "LIST" => Command::List(list(cursor)?),
        "LSUB" => Command::Lsub {
            reference: spaced(cursor, Cursor::pattern)?,
            pattern: spaced(cursor, Cursor::pattern)?,
        },
        "CREATE" => Command::Create(mailbox(cursor)?),
        "DELETE" => Command::Delete(mailbox(cursor)?),
        "RENAME" => Command::Rename {
            from: mailbox(cursor)?,
            to: mailbox(cursor)?,
        },
        "SUBSCRIBE" => Command::Subscribe(mailbox(cursor)?),
        "UNSUBSCRIBE" => Command::Unsubscribe(mailbox(cursor)?),
        "SELECT" => Command::Select(mailbox(cursor)?, Access::ReadWrite),
        "EXAMINE" => Command::Select(mailbox(cursor)?, Access::ReadOnly),
        "STATUS" => {
            let mailbox = mailbox(cursor)?;
            cursor.space()?;
            Command::Status(mailbox, cursor.list(LISTED, status_item)?)
        }
        "APPEND" => {
            let (mailbox, flags, date) = append_start(cursor)?;
            let message = cursor.literal()?;
            Command::Append(Append {
                mailbox,
                flags,
                date,
                message,
            })
        }
        "EXPUNGE" if by == By::Number => Command::Expunge(None),
        "EXPUNGE" => Command::Expunge(Some(spaced(cursor, Cursor::set)?)),
        "SEARCH" => Command::Search(by, spaced(cursor, search::search)?),
        "FETCH" => {
            let set = spaced(cursor, Cursor::set)?;
            let mut items = spaced(cursor, fetch::items)?;
            // UID FETCH always tells the UID (RFC 3501 §6.4.8).
            if by == By::Uid && !items.contains(&Item::Uid) {
                items.insert(0, Item::Uid);
            }
            Command::Fetch { by, set, items }
        }
        "STORE" => store(by, cursor)?,
        "COPY" => copy(by, Transfer::Copy, cursor)?,
        "MOVE" => copy(by, Transfer::Move, cursor)?,
        _ => return Err(Bad("expected a command that exists")),
    })
}

/// A space and what follows it.
fn spaced<'a, T>(
    cursor: &mut Cursor<'a>,
    read: impl FnOnce(&mut Cursor<'a>) -> Parsed<T>,
) -> Parsed<T> {
    cursor.space()?;
    read(cursor)
}

fn mailbox(cursor: &mut Cursor<'_>) -> Parsed<String> {
    spaced(cursor, Cursor::mailbox)
}

fn list(cursor: &mut Cursor<'_>) -> Parsed<List> {
    cursor.space()?;
    let mut options = Vec::new();
    if cursor.peek() == Some(b'(') {
        options = cursor.list(LISTED, |cursor| match cursor.atom()?.as_str() {
            option @ ("SPECIAL-USE" | "SUBSCRIBED" | "REMOTE") => Ok(option.to_owned()),
            _ => Err(Bad("expected SPECIAL-USE or SUBSCRIBED")),
        })?;
        cursor.space()?;
    }
    let reference = cursor.pattern()?;
    cursor.space()?;
    let patterns = match cursor.peek() {
        Some(b'(') => cursor.list(LISTED, Cursor::pattern)?,
        _ => vec![cursor.pattern()?],
    };
    if cursor.eat(b' ') {
        if !cursor.word("RETURN") {
            return Err(Bad("expected RETURN"));
        }
        // The answers hold all of these anyhow.
        spaced(cursor, |cursor| {
            cursor.list(LISTED, |cursor| match cursor.atom()?.as_str() {
                "SPECIAL-USE" | "SUBSCRIBED" | "CHILDREN" => Ok(()),
                _ => Err(Bad("expected SPECIAL-USE, SUBSCRIBED or CHILDREN")),
            })
        })?;
    }
    let chosen = |name: &str| options.iter().any(|option| option == name);
    Ok(List {
        reference,
        patterns,
        special: chosen("SPECIAL-USE"),
        subscribed: chosen("SUBSCRIBED"),
    })
}

fn status_item(cursor: &mut Cursor<'_>) -> Parsed<StatusItem> {
    match cursor.atom()?.as_str() {
        "MESSAGES" => Ok(StatusItem::Messages),
        "RECENT" => Ok(StatusItem::Recent),
        "UIDNEXT" => Ok(StatusItem::UidNext),
        "UIDVALIDITY" => Ok(StatusItem::UidValidity),
        "UNSEEN" => Ok(StatusItem::Unseen),
        "SIZE" => Ok(StatusItem::Size),
        _ => Err(Bad("expected a STATUS item")),
    }
}

/// Everything of an APPEND up to its message.
fn append_start(cursor: &mut Cursor<'_>) -> Parsed<(String, Vec<FlagName>, Option<DateTime>)> {
    let mailbox = mailbox(cursor)?;
    cursor.space()?;
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        flags = cursor.flags()?;
        cursor.space()?;
    }
    let mut date = None;
    if cursor.peek() == Some(b'"') {
        date = Some(cursor.date_time()?);
        cursor.space()?;
    }
    Ok((mailbox, flags, date))
}

fn store(by: By, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let set = spaced(cursor, Cursor::set)?;
    cursor.space()?;
    let change = match (cursor.eat(b'+'), cursor.eat(b'-')) {
        (true, false) => Change::Add,
        (false, true) => Change::Remove,
        _ => Change::Replace,
    };
    let told = match cursor.atom()?.as_str() {
        "FLAGS" => Told::Flags,
        "FLAGS.SILENT" => Told::Silent,
        _ => return Err(Bad("expected FLAGS or FLAGS.SILENT")),
    };
    let flags = spaced(cursor, Cursor::flags)?;
    Ok(Command::Store {
        by,
        set,
        change,
        told,
        flags,
    })
}

fn copy(by: By, kind: Transfer, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    Ok(Command::Copy {
        by,
        set: spaced(cursor, Cursor::set)?,
        to: mailbox(cursor)?,
        kind,
    })
}
